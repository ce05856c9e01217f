import { z } from 'zod';

/** Version of the form of results.json and results.jsonl; it changes when a reader of the old form would go wrong. */
export const RESULTS_SCHEMA = 'vfio-conform/results/1';

/** What a case is called. `CaseName` of two cases of one run never agree in `id`. */
export const CaseName = z.object({
  id: z.string().describe('`type1/map-overlap: identical`; unique in a run, and what `--grep` takes'),
  clause: z.string().describe('The clause that the case is named by'),
  area: z.string().describe('The part of the clause before the slash'),
  title: z.string().describe('What the case is called under its clause'),
});
export type CaseName = z.infer<typeof CaseName>;

/** A clause that a case found broken, and how. */
export const BrokenClause = z.object({
  clause: z.string().describe('Id of the clause'),
  says: z.string().describe('The sentence of the clause'),
  source: z.string().describe('Where that stands'),
  call: z.string().describe('The call that broke it, as program text'),
  expected: z.string().describe('What the model allows, in one line'),
  observed: z.string().describe('What the host answered, in one line'),
});
export type BrokenClause = z.infer<typeof BrokenClause>;

/** A cell of the table of five modes. */
export const Answer = z.object({
  asks: z.string().describe('The question, which is the row'),
  mode: z.string().describe('`type1-v1`, `type1-v2`, `compat-v1`, `compat-v2`, `iommufd`: the column'),
  column: z.number().describe('Number of the column, from 0 on'),
  expected: z.string().describe('What the table has there, as far as the kernel of the base is concerned'),
  source: z.string().describe('Where that stands'),
  observed: z.string().optional().describe('What the host answered; absent when it was not asked'),
});
export type Answer = z.infer<typeof Answer>;

/**
 * What is kept of one case: the single source of every report. One line each in results.jsonl, all of them in
 * results.json. 64-bit values are strings.
 */
export const CaseRecord = z.object({
  ...CaseName.shape,
  verdict: z
    .enum(['conforms', 'diverges', 'damaged', 'unsupported', 'host-lost', 'harness-error'])
    .describe('Only `diverges` and `damaged` blame the kernel; `host-lost` and `harness-error` say nothing about it'),
  reason: z.string().optional().describe('One line that says why, for every verdict but `conforms`'),
  broken: z.array(BrokenClause).describe('The clauses that were broken'),
  known: z
    .object({
      id: z.string().describe('Id of the entry in the known-differences file (several: separated by commas)'),
      reason: z.string().describe('The reason given there'),
    })
    .optional()
    .describe('Set when every broken clause is a known difference of this kernel'),
  answer: Answer.optional().describe('Set when the case answers a question of the table of five modes'),
  repeats: z
    .object({
      times: z.number().describe('How often it ran'),
      shownBy: z.number().describe('How often what the verdict says was found'),
      unstable: z.boolean().describe('Not all of them found the same'),
    })
    .optional()
    .describe('Set when the case was to run more than once'),
  durationMs: z.number().describe('Time the program took on the host, in milliseconds'),
  program: z.string().describe('The program as text (docs/program-format.md)'),
  observed: z.string().describe('What the host answered, as text (docs/program-format.md)'),
  kernelLog: z.array(z.string()).optional().describe('Kernel log lines of that time; absent when the host cannot tell'),
});
export type CaseRecord = z.infer<typeof CaseRecord>;

/** Why a run did not reach its end. */
export const Interruption = z.object({
  why: z
    .enum(['signal', 'time-limit', 'trouble', 'cut-off'])
    .describe(
      '`signal`: Ctrl-C or a kill; `time-limit`: --timeout passed; `trouble`: the host or the disk failed; ' +
        '`cut-off`: the harness was killed before it could say why',
    ),
  reason: z.string().describe('One line'),
});
export type Interruption = z.infer<typeof Interruption>;

/** A case that was selected and did not run. */
export const NotRun = z.object({ ...CaseName.shape, reason: z.string().describe('Why it did not run, in one line') });
export type NotRun = z.infer<typeof NotRun>;

/** What is known of a run when it begins. */
export const RunMeta = z.object({
  schema: z.literal(RESULTS_SCHEMA).describe('Form and version of this file'),
  version: z.string().describe('Version of vfio-conform'),
  startedAt: z.string().describe('When the run began: ISO 8601, UTC'),
  revision: z.string().describe('The model that the host was held against'),
  kernel: z.string().describe('What the host ran (`uname -r`)'),
  host: z
    .object({
      name: z.string().describe('`vm`, `local`, `ssh:NAME`'),
      description: z.string().describe('How the host came up'),
      iommu: z.string().describe('The IOMMU that the platform was taken to have, in words'),
    })
    .describe('Where the programs ran'),
  arguments: z
    .array(z.string())
    .describe('Options of `vfio-conform run` that choose the same host, kernel and revision again'),
});
export type RunMeta = z.infer<typeof RunMeta>;

/** What is kept of a run as a whole: results.json. */
export const RunRecord = z.object({
  ...RunMeta.shape,
  durationMs: z.number().describe('Wall-clock time of the run, in milliseconds'),
  interrupted: Interruption.optional().describe('Set when the run did not reach its end; the report is partial then'),
  disappeared: z.array(z.string()).describe('Known differences that were expected in this run and did not show: ids'),
  cases: z.array(CaseRecord).describe('The cases that ran, in the order they ran'),
  notRun: z.array(NotRun).describe('The cases that were selected and did not run, in the order of the suites'),
});
export type RunRecord = z.infer<typeof RunRecord>;
