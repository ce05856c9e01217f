/** What a helper answered to one program somewhere else (docs/program-format.md), read from a text that was kept. */
import { Malformed } from '../program/malformed.ts';
import type { Ending, Observation, Run } from '../program/step.ts';
import { UsageTrouble } from '../trouble.ts';
import { type Greeting, LIMITS, parseGreeting, parseReply } from './protocol.ts';

export interface Answers {
  readonly run: Run;
  /** What the helper said of itself and its machine; absent where the text begins with what was observed. */
  readonly greeting?: Greeting;
}

const GREETING = /^vfio-conform-helper /;

/**
 * Reads what `vfio-conform-helper run < program.txt` printed, or what a report keeps of it (observed.txt: the observations
 * alone). Text that stops before its `end` is a run whose host was lost. Throws UsageTrouble with the line, what was
 * expected there and what was found; `source` names the text in it.
 */
export const readAnswers = (text: string, source: string): Answers => {
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  const [first = ''] = lines;
  const greeting = GREETING.test(first) ? parseGreeting(first) : undefined;
  const observations: Observation[] = [];
  const log: string[] = [];
  let told = false;
  let ended: { readonly durationUs: number; readonly ending: Ending } | undefined;
  for (const [index, line] of lines.entries()) {
    if (index === 0 && greeting !== undefined) continue;
    const reply = replyAt(line, `${source}:${index + 1}`);
    if (ended !== undefined) throw new UsageTrouble(`${source}:${index + 1}: expected nothing behind end: one program`);
    if (reply.kind === 'observation') observations.push(reply.observation);
    else if (reply.kind === 'log') log.push(reply.text);
    else if (reply.kind === 'begin') told = true;
    else if (reply.kind === 'end') ended = { durationUs: reply.durationUs, ending: { kind: reply.status } };
    else if (reply.kind === 'error') throw new UsageTrouble(`${source}: the helper refused the program: ${reply.text}`);
  }
  const open: Ending = told ? { kind: 'lost', reason: 'what was answered stops before its end' } : { kind: 'done' };
  const run: Run = {
    observations,
    kernelLog: told ? log : undefined,
    durationUs: ended?.durationUs ?? 0,
    ending: ended?.ending ?? open,
  };
  return { run, ...(greeting === undefined ? {} : { greeting }) };
};

const replyAt = (line: string, place: string): ReturnType<typeof parseReply> => {
  try {
    return parseReply(line, LIMITS.outBytes);
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new UsageTrouble(`${place}: ${cause.message}`, { cause });
  }
};
