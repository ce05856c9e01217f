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
  z
    .strictObject({ asked: z.array(z.string()) })
    .describe('The options that the run was given, but for the folder of its report: what `--resume` takes them from'),
  z
    .strictObject({
      sent: z.strictObject({ ids: z.array(z.string()), host: z.string(), boot: z.string() }),
    })
    .describe(
      'The intent: programs of these cases go to a host next. `boot` tells one boot of its machine from another',
    ),
  z
    .strictObject({
      panicked: z.strictObject({ id: z.string(), host: z.string(), console: z.array(z.string()) }),
    })
    .describe('A kernel panics under a case, which has no result yet: the last words of its console'),
  z.strictObject({ began: z.string() }).describe('A case begins: its id'),
  z.strictObject({ case: CaseRecord }).describe('A case ended'),
  z
    .strictObject({ notRun: z.strictObject({ id: z.string(), reason: z.string() }) })
    .describe('A case is left out, and why'),
  z
    .strictObject({
      end: RunRecord.pick({ durationMs: true, interrupted: true, disappeared: true }),
    })
    .describe('The run ended: the last line, unless it was resumed'),
  z
    .strictObject({ resumed: z.string() })
    .describe('A run that was cut off, or interrupted, goes on: when (ISO 8601, UTC)'),
]);
export type JournalLine = z.infer<typeof JournalLine>;

/** How many bytes of a journal's file are whole lines; behind them is at most one that was cut off. */
export const wholeBytes = (file: Uint8Array): number => file.lastIndexOf(0x0a) + 1;

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
 * The run as the lines tell it: cases that ran, and the planned ones that did not, each with the best reason there is. Of a
 * run that was resumed it tells what an undisturbed one would have told: the last result of a case counts, in the order of
 * the plan. Without a last line the run was cut off; the case that was running then is `host-lost`, since it may be what took
 * the machine down. Throws UsageTrouble when the first line is missing.
 */
export const runOfJournal = (lines: readonly JournalLine[]): RunRecord => {
  const meta = metaOf(lines);
  const planned = plannedOf(lines);
  const records = recordsOf(lines);
  const leftOut = new Map(lines.flatMap((line) => ('notRun' in line ? [[line.notRun.id, line.notRun.reason]] : [])));
  const now = lines.slice(lines.findLastIndex((line) => 'resumed' in line) + 1);
  const end = now.flatMap((line) => ('end' in line ? [line.end] : []))[0];
  const began = now.flatMap((line) => ('began' in line ? [line.began] : [])).at(-1);
  const interrupted = end === undefined ? CUT_OFF : end.interrupted;
  const notRun: NotRun[] = [];
  for (const name of planned.filter(({ id }) => !records.has(id))) {
    if (end === undefined && name.id === began) records.set(name.id, lostWhileRunning(name));
    else notRun.push({ ...name, reason: leftOut.get(name.id) ?? interrupted?.reason ?? 'the run ended before it' });
  }
  const cases = isResumed(lines) ? inOrder(records, planned) : [...records.values()];
  return {
    ...meta,
    durationMs: durationOf(lines) ?? cases.reduce((sum, one) => sum + one.durationMs, 0),
    ...(interrupted === undefined ? {} : { interrupted }),
    disappeared: end?.disappeared ?? [],
    cases,
    notRun,
  };
};

/** What was known of the run when it began. Throws UsageTrouble when that line is missing. */
export const metaOf = (lines: readonly JournalLine[]): RunMeta => {
  const meta = lines.flatMap((line) => ('run' in line ? [line.run] : []))[0];
  if (meta === undefined) throw new UsageTrouble('the journal has no first line: nothing is known of the run');
  return meta;
};

/** The cases of the plan; none when the run ended before it was made. */
export const plannedOf = (lines: readonly JournalLine[]): readonly CaseName[] =>
  lines.flatMap((line) => ('planned' in line ? line.planned : []));

/** The last result of each case that has one, by its id. */
export const recordsOf = (lines: readonly JournalLine[]): Map<string, CaseRecord> =>
  new Map(lines.flatMap((line) => ('case' in line ? [[line.case.id, line.case]] : [])));

const isResumed = (lines: readonly JournalLine[]): boolean => lines.some((line) => 'resumed' in line);

/** What failed outside every case (a hook) is in no plan, and comes last. */
const inOrder = (records: ReadonlyMap<string, CaseRecord>, planned: readonly CaseName[]): CaseRecord[] => {
  const places = new Map(planned.map(({ id }, index) => [id, index]));
  const place = ({ id }: CaseRecord): number => places.get(id) ?? planned.length;
  return [...records.values()].sort((one, other) => place(one) - place(other));
};

/** The time that was told; that of sessions that were cut off is not known. */
const durationOf = (lines: readonly JournalLine[]): number | undefined => {
  const told = lines.flatMap((line) => ('end' in line ? [line.end.durationMs] : []));
  return told.length === 0 ? undefined : told.reduce((sum, ms) => sum + ms, 0);
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
