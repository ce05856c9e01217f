import { count } from '../report/layout.ts';
import { code, fenced, inline } from '../report/markdown.ts';
import { textMaps } from './byte-map.ts';
import type { ClauseChange, KernelCase, SpecDiff } from './spec-diff.ts';
import {
  type Alike,
  clausesOf,
  headlines,
  kindsTold,
  NOT_TESTED,
  numberText,
  reproduce,
  sameWords,
  seenSentence,
  sidesTaken,
  sideText,
  type Telling,
  tallyText,
  testedBy,
} from './telling.ts';

/** For a comment on a change, or a wiki. In pieces, in order. */
export function* diffMarkdown(diff: SpecDiff, options: Telling = {}): Generator<string> {
  const { a, b } = diff.sides;
  yield `# ${inline(a.name)} and ${inline(b.name)}: what differs\n\n`;
  yield `- A, expected: ${inline(sideText(a))}: ${inline(a.summary)}\n- B, observed: ${inline(sideText(b))}: ${inline(b.summary)}\n\n`;
  yield '| | |\n|--|--|\n';
  for (const [label, text] of headlines(diff)) yield `| ${label} | ${inline(text)} |\n`;
  const ofRuns = a.run !== undefined && b.run !== undefined;
  if (ofRuns) yield* kernels(diff);
  for (const intended of [false, true]) yield* behaviour(diff, intended);
  if (diff.clauses.changes.length > 0)
    yield '\n## Clauses\n\n| clause | change | A says | B says | programs |\n|--|--|--|--|--|\n';
  for (const change of diff.clauses.changes) yield clauseRow(change);
  if (diff.numbers.length > 0) yield '\n## Numbers\n\n';
  for (const one of diff.numbers) yield `- ${code(one.number)}: ${inline(numberText(one))}\n`;
  yield* layouts(diff);
  if (!ofRuns) yield* kernels(diff);
  const tested = testedBy(diff, options.testedBy);
  yield `\n${tested.length === 0 ? NOT_TESTED : fenced(tested.map(({ line, note }) => `${line}\n# ${note}`).join('\n'))}\n`;
}

function* behaviour(diff: SpecDiff, intended: boolean): Generator<string> {
  const { heading, told, untold } = kindsTold(diff, intended);
  if (told.length === 0) return;
  yield `\n## ${heading}\n`;
  for (const one of told) yield* changeSection(diff, one);
  if (untold > 0) yield `\nAnd ${untold} more kinds; the JSON form has all.\n`;
}

function* changeSection(diff: SpecDiff, { change, others }: Alike): Generator<string> {
  const { a, b } = diff.sides;
  yield `\n### ${inline(change.id)}\n\n`;
  for (const clause of clausesOf(diff, change)) {
    const one = clause.a ?? clause.b;
    if (one !== undefined) yield `- ${code(one.id)}: ${inline(one.says)} (${inline(one.source)})\n`;
    if (clause.b !== undefined && clause.a !== undefined && !sameWords(clause)) {
      yield `  - now: ${inline(clause.b.says)} (${inline(clause.b.source)})\n`;
    }
  }
  yield `- call: ${code(change.call)}\n`;
  yield `- expected (${inline(a.revision)}): ${inline(change.allowed.a.words)}\n`;
  yield `- observed (${inline(b.revision)}): ${inline(change.allowed.b.words)}\n`;
  for (const side of ['a', 'b'] as const) {
    const [seen, run] = [change.seen[side], diff.sides[side].run];
    if (seen !== undefined && run !== undefined) {
      yield `- Linux ${inline(run.kernel)}: ${inline(seenSentence(diff, seen))}\n`;
    }
  }
  yield `- ${change.intended ? 'intended' : '**unintended**'}: ${inline(change.why)}\n`;
  if (others.length > 0) yield `- and ${count(others.length, 'program')} like it\n`;
  yield `\n${fenced(reproduce(diff, change).join('\n'))}`;
}

const clauseRow = ({ id, change, a, b, programs }: ClauseChange): string =>
  `| ${code(id)} | ${change} | ${inline(a?.says ?? '')} | ${inline(b?.says ?? '')} | ${programs} |\n`;

function* layouts({ structs }: SpecDiff): Generator<string> {
  if (structs.changes.length === 0) return;
  yield '\n## Layouts\n';
  for (const { struct, abis, change, a, b } of structs.changes) {
    const size = (one: typeof a): string => (one === undefined ? 'not there' : count(one.size, 'byte'));
    yield `\n### struct ${inline(struct)} on ${abis.join(', ')}: ${change}\n\nA: ${size(a)}; B: ${size(b)}\n\n`;
    yield fenced(textMaps(a, b).join('\n'));
  }
}

function* kernels(diff: SpecDiff): Generator<string> {
  const { kernels: found, sides } = diff;
  if (found === undefined) return;
  yield '\n## Kernels\n\n';
  for (const side of ['a', 'b'] as const) {
    const tally = found.tallies[side];
    if (tally === undefined) continue;
    const taken = sidesTaken(diff, side);
    yield `- ${side.toUpperCase()}, ${inline(sideText(sides[side]))}: ${inline(tallyText(tally))}\n`;
    if (taken !== undefined) yield `  - ${inline(taken)}\n`;
  }
  for (const { id, how, a, b, first } of found.changes) {
    yield `\n### ${inline(id)}: ${how}\n\n`;
    if (first !== undefined) yield `- call: ${code(first.call)}\n  - A: ${code(first.a)}\n  - B: ${code(first.b)}\n`;
    if (a !== undefined) yield* kernelCase('A', a);
    if (b !== undefined) yield* kernelCase('B', b);
  }
  for (const { reason, ids } of found.incomparable)
    yield `\n${count(ids.length, 'case')} not compared: ${inline(reason)}\n`;
}

function* kernelCase(label: string, { verdict, known, reason, broken, rerun }: KernelCase): Generator<string> {
  const why = broken.length === 0 && reason !== undefined ? `: ${inline(reason)}` : '';
  yield `- ${label}: ${verdict}${known === undefined ? '' : ` (known: ${inline(known)})`}${why}\n`;
  for (const { clause, says, source, call, expected, observed } of broken) {
    yield `  - ${code(clause)}: ${inline(says)} (${inline(source)})\n`;
    yield `    - call: ${code(call)}\n    - expected: ${code(expected)}\n    - observed: ${code(observed)}\n`;
  }
  yield `  - run just this case: ${code(rerun)}\n`;
}
