import { z } from 'zod';
import { UsageTrouble } from '../trouble.ts';
import { CaseName, CaseRecord, type Interruption, type NotRun, RunMeta, RunRecord } from './record.ts';

/**
 * The lines of results.jsonl: what happened, in the order it happened, each line on disk before the next case starts.
 * Everything else in a report folder is a view of these lines.
 */
export const JournalLine = z.union([
  z.strictObject({ run: RunMeta }).describe('The first line'),
  z.strictObject({ planned: z.array(CaseName) }).describe('The cases that were selected, before the first one runs'),
  z.strictObject({ began: z.string() }).describe('A case begins: its id'),
  z.strictObject({ case: CaseRecord }).describe('A case ended'),
  z
    .strictObject({ notRun: z.strictObject({ id: z.string(), reason: z.string() }) })
    .describe('A case is left out, and why'),
  z
    .strictObject({
      end: RunRecord.pick({ durationMs: true, interrupted: true, disappeared: true }),
    })
    .describe('The last line'),
]);
export type JournalLine = z.infer<typeof JournalLine>;

/** Reads results.jsonl. A last line that was cut off is left out; any other line that is not ours is a UsageTrouble. */
export const parseJournal = (text: string, path: string): readonly JournalLine[] =>
  text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .slice(0, -1)
    .map((line, index) => {
      const parsed = JournalLine.safeParse(jsonOf(line));
      if (parsed.success) return parsed.data;
      throw new UsageTrouble(`${path}:${index + 1}: not a line of ${path}: expected one object of results.jsonl`);
    });

const jsonOf = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
};

const CUT_OFF: Interruption = { why: 'cut-off', reason: 'the harness was killed before the run ended' };

/**
 * The run as the lines tell it: cases that ran, and the planned ones that did not, each with the best reason there is.
 * Without a last line the run was cut off; the case that was running then is `host-lost`, since it may be what took the
 * machine down. Throws UsageTrouble when the first line is missing.
 */
export const runOfJournal = (lines: readonly JournalLine[]): RunRecord => {
  const meta = lines.flatMap((line) => ('run' in line ? [line.run] : []))[0];
  if (meta === undefined) throw new UsageTrouble('the journal has no first line: nothing is known of the run');
  const end = lines.flatMap((line) => ('end' in line ? [line.end] : []))[0];
  const planned = lines.flatMap((line) => ('planned' in line ? line.planned : []));
  const cases = lines.flatMap((line) => ('case' in line ? [line.case] : []));
  const settled = new Set(cases.map((one) => one.id));
  const leftOut = new Map(lines.flatMap((line) => ('notRun' in line ? [[line.notRun.id, line.notRun.reason]] : [])));
  const began = lines.flatMap((line) => ('began' in line ? [line.began] : [])).at(-1);
  const interrupted = end === undefined ? CUT_OFF : end.interrupted;
  const notRun: NotRun[] = [];
  for (const name of planned.filter(({ id }) => !settled.has(id))) {
    if (end === undefined && name.id === began) cases.push(lostWhileRunning(name));
    else notRun.push({ ...name, reason: leftOut.get(name.id) ?? interrupted?.reason ?? 'the run ended before it' });
  }
  return {
    ...meta,
    durationMs: end?.durationMs ?? cases.reduce((sum, one) => sum + one.durationMs, 0),
    ...(interrupted === undefined ? {} : { interrupted }),
    disappeared: end?.disappeared ?? [],
    cases,
    notRun,
  };
};

const lostWhileRunning = (name: CaseName): CaseRecord => ({
  ...name,
  verdict: 'host-lost',
  reason: 'the harness was killed while this case ran',
  broken: [],
  durationMs: 0,
  program: '',
  observed: '',
});
