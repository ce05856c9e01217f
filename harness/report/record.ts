import { z } from 'zod';

/**
 * What is kept of one case: the single source of every report. One JSON line each in results.jsonl, all of them in
 * results.json. 64-bit values are strings.
 */
export const CaseRecord = z.object({
  /** `type1/map-overlap: identical`; unique in a run. */
  id: z.string(),
  /** The clause the case is named by, and its area (the part before the slash). */
  clause: z.string(),
  area: z.string(),
  title: z.string(),
  verdict: z.enum(['conforms', 'diverges', 'damaged', 'unsupported', 'host-lost', 'harness-error']),
  /** One line that says why, for every verdict but `conforms`. */
  reason: z.string().optional(),
  /** Clauses that were broken, each with where it stands and what was expected and observed. */
  broken: z.array(
    z.object({
      clause: z.string(),
      says: z.string(),
      source: z.string(),
      call: z.string(),
      expected: z.string(),
      observed: z.string(),
    }),
  ),
  /** Set when every broken clause is a known difference of this kernel (id of its entry, and the reason given there). */
  known: z.object({ id: z.string(), reason: z.string() }).optional(),
  durationMs: z.number(),
  /** The program as text, and what the host observed as text (docs/program-format.md). */
  program: z.string(),
  observed: z.string(),
  kernelLog: z.array(z.string()).optional(),
});
export type CaseRecord = z.infer<typeof CaseRecord>;

/** What is kept of the run as a whole. */
export const RunRecord = z.object({
  schema: z.literal('vfio-conform/results/1'),
  version: z.string(),
  startedAt: z.string(),
  durationMs: z.number(),
  /** The model the host was held against, and the kernel it ran (`uname -r`). */
  revision: z.string(),
  kernel: z.string(),
  host: z.object({ name: z.string(), description: z.string() }),
  /** Why the run did not reach its end, if it did not (Ctrl-C, time limit, host trouble). */
  interrupted: z.string().optional(),
  /** Known differences that were expected in this run and did not show: ids. */
  disappeared: z.array(z.string()),
  cases: z.array(CaseRecord),
  /** Cases that were selected and not run, with the reason. */
  notRun: z.array(z.object({ id: z.string(), reason: z.string() })),
});
export type RunRecord = z.infer<typeof RunRecord>;
