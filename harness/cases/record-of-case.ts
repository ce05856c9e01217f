import type { KnownDifference } from '../oracle/known.ts';
import type { Divergence, Verdict } from '../oracle/verdict.ts';
import { initialBytes } from '../program/inline.ts';
import { printObservations } from '../program/observation-text.ts';
import type { Program, Run } from '../program/step.ts';
import { printProgram } from '../program/text.ts';
import type { CaseRecord } from '../report/record.ts';
import type { Asked, Case } from './case.ts';

/** The record that is kept of one case. */
export const recordOfCase = (
  one: Case,
  program: Program,
  verdict: Verdict,
  run: Run | undefined,
  known: readonly KnownDifference[],
): CaseRecord => {
  const reason = reasonOf(verdict);
  const [first] = known;
  return {
    id: one.id,
    clause: one.clause,
    area: one.clause.slice(0, one.clause.indexOf('/')),
    title: one.title,
    verdict: verdict.kind,
    ...(reason === undefined ? {} : { reason }),
    broken: divergencesOf(verdict).flatMap(brokenClauses),
    ...(first === undefined
      ? {}
      : { known: { id: known.map((each) => each.id).join(', '), reason: known.map((each) => each.reason).join(' ') } }),
    ...(one.asked === undefined ? {} : { answer: answerOf(one.asked, program, run) }),
    durationMs: (run?.durationUs ?? 0) / 1000,
    program: printProgram(program),
    observed: run === undefined ? '' : printObservations(run.observations),
    ...logOf(run),
  };
};

/** What the kernel said until then. A dying one says it on its console alone, if there is one. */
const logOf = (run: Run | undefined): Pick<CaseRecord, 'kernelLog'> => {
  const last = run !== undefined && 'console' in run.ending ? run.ending.console : [];
  if (run?.kernelLog === undefined && last.length === 0) return {};
  return { kernelLog: [...(run?.kernelLog ?? []), ...last] };
};

/** What a table shows of a case. */
const answerOf = (
  { step, asks, mode, column, expected, source, tell }: Asked,
  program: Program,
  run: Run | undefined,
): NonNullable<CaseRecord['answer']> => {
  const seen = run?.observations.find((one) => one.step === step);
  const observed =
    seen === undefined ? undefined : 'mishap' in seen ? seen.mishap : tell({ out: argumentOf(program, step), ...seen });
  return { asks, mode, column, expected, source, ...(observed === undefined ? {} : { observed }) };
};

/** The argument of a call as it goes in: what an observation leaves out did not change. */
const argumentOf = ({ steps, lets }: Program, step: number): Uint8Array | undefined => {
  const call = steps.flatMap((one) => (one.op === 'repeat' ? one.body : [one]))[step];
  return call?.op === 'ioctl' ? initialBytes(call.arg, 0, lets) : undefined;
};

const divergencesOf = (verdict: Verdict): readonly Divergence[] => {
  if (verdict.kind === 'diverges' || verdict.kind === 'damaged') return verdict.divergences;
  return [];
};

const brokenClauses = (divergence: Divergence): CaseRecord['broken'] =>
  divergence.clauses.map((clause) => ({
    clause: clause.id,
    says: clause.says,
    source: clause.source,
    call: divergence.call,
    expected: divergence.expected,
    observed: divergence.observed,
  }));

const reasonOf = (verdict: Verdict): string | undefined => {
  switch (verdict.kind) {
    case 'conforms':
      return undefined;
    case 'diverges': {
      const [first] = verdict.divergences;
      return `${first.call}: expected ${first.expected}, observed ${first.observed}`;
    }
    case 'damaged':
      return damageText(verdict.damage);
    case 'unsupported':
    case 'host-lost':
    case 'harness-error':
      return verdict.reason;
  }
};

const damageText = (damage: Extract<Verdict, { kind: 'damaged' }>['damage']): string => {
  switch (damage.kind) {
    case 'kernel-log':
      return `the kernel log shows damage: ${damage.lines[0]}`;
    case 'panic':
      return `the kernel panicked: ${damage.console.find((line) => /panic|BUG|Oops/.test(line)) ?? 'see the console'}`;
    case 'hang':
      return `something hangs: ${damage.detail}`;
    case 'reboot':
      return `the machine went down: ${damage.detail}`;
    case 'leak':
      return `left behind: ${damage.detail}`;
  }
};
