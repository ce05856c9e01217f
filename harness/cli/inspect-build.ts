import { cacheFolder } from '../kernels/cache.ts';
import { type KernelChoice, prepareKernel } from '../kernels/choice.ts';
import { readStructLayout } from '../kernels/struct-layout.ts';
import type { Inspection } from '../model/clauses.ts';
import { lawOf } from '../model/law.ts';
import type { Verdict } from '../oracle/verdict.ts';
import type { Revision } from '../spec/revision.ts';
import { HostTrouble } from '../trouble.ts';

/**
 * Holds the modules that were built for a kernel against a revision's inspections, by clause id. What was not built here
 * has no debug information at hand: `unsupported`.
 */
export const inspectBuild =
  (choice: KernelChoice, revision: Revision) =>
  async (id: string): Promise<Verdict> => {
    const clause = lawOf(revision)
      .all<Inspection>('inspection')
      .find((one) => one.id === id);
    if (clause === undefined) return { kind: 'harness-error', reason: `${id} is no inspection of ${revision.id}` };
    try {
      return await inspect(clause, choice);
    } catch (cause) {
      if (!(cause instanceof HostTrouble)) throw cause;
      return { kind: 'unsupported', reason: cause.message };
    }
  };

const inspect = async (clause: Inspection, choice: KernelChoice): Promise<Verdict> => {
  // It was prepared to be booted: this takes it from the cache.
  const { patched } = await prepareKernel(choice, cacheFolder());
  const module = patched?.modules.find(({ name }) => name === clause.module);
  if (module === undefined) return { kind: 'unsupported', reason: `${clause.module} was not built for this kernel` };
  const complaint = clause.complaint(await readStructLayout(module.debugPath, clause.struct));
  if (complaint === undefined) return { kind: 'conforms' };
  const call = `struct ${clause.struct} in the debug information of ${clause.module}.ko`;
  return { kind: 'diverges', divergences: [{ step: 0, iteration: 0, call, clauses: [clause], ...complaint }] };
};
