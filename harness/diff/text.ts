import { count, field, verbatim, WIDTH, wrap } from '../report/layout.ts';
import { textMaps } from './byte-map.ts';
import type { BehaviourChange, ClauseChange, KernelChange, SpecDiff, StructChange } from './spec-diff.ts';
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
  type ToldClause,
  tallyText,
  testedBy,
} from './telling.ts';

const MOST_IDS = 12;

/** Plain text at 78 columns, fit for a reply on a mailing list. In pieces, in order. */
export function* diffText(diff: SpecDiff, options: Telling = {}): Generator<string> {
  const { a, b } = diff.sides;
  yield `${wrap(`${a.name} and ${b.name}: what differs`)}\n\n`;
  yield `${field('A', `${sideText(a)}: ${a.summary}`)}\n${field('B', `${sideText(b)}: ${b.summary}`)}\n\n`;
  for (const [label, text] of headlines(diff)) yield `${field(label, text)}\n`;
  for (const { name, run } of [a, b]) {
    if (run?.interrupted !== undefined) yield `\n${wrap(`The run in ${name} is partial: ${run.interrupted}`)}\n`;
  }
  const ofRuns = a.run !== undefined && b.run !== undefined;
  if (ofRuns) yield* kernelsText(diff);
  yield* behaviourText(diff, false);
  yield* behaviourText(diff, true);
  yield* clausesText(diff);
  yield* numbersText(diff);
  yield* structsText(diff);
  if (!ofRuns) yield* kernelsText(diff);
  const tested = testedBy(diff, options.testedBy);
  yield tested.length === 0 ? `\n${NOT_TESTED}\n` : '\n';
  for (const { line, note } of tested) yield `${line}\n${wrap(note, '# ')}\n`;
}

const heading = (text: string): string => `\n${text}\n${'-'.repeat(text.length)}\n`;

function* behaviourText(diff: SpecDiff, intended: boolean): Generator<string> {
  const kinds = kindsTold(diff, intended);
  if (kinds.told.length === 0) return;
  yield heading(kinds.heading);
  for (const one of kinds.told) yield changeText(diff, one);
  if (kinds.untold > 0) yield `\n${wrap(`... and ${kinds.untold} more kinds (see --format json)`)}\n`;
}

const changeText = (diff: SpecDiff, { change, others }: Alike): string => {
  const { a, b } = diff.sides;
  return [
    '',
    wrap(change.id, '  ', WIDTH, ''),
    ...clausesOf(diff, change).flatMap(behindText),
    labelled('call', change.call),
    field('expected', `${change.allowed.a.words} (${a.revision})`),
    ...observedText(diff, change, `${change.allowed.b.words} (${b.revision})`),
    field(change.intended ? 'intended' : 'why', change.why),
    ...reproduce(diff, change).map((line, index) => commandText(index === 0 ? 'reproduce' : '', line)),
    ...(others.length === 0 ? [] : [field('likewise', idsText(others))]),
    '',
  ].join('\n');
};

/** A clause behind a difference: as A has it, and as B has it where that is not the same. */
const behindText = (clause: ToldClause): readonly string[] => {
  const { id, a, b } = clause;
  const first = a ?? b;
  if (first === undefined) return [];
  const also =
    b !== undefined && first !== b && !sameWords(clause)
      ? [field('', `now: ${b.says}`), field('', `(${b.source})`)]
      : [];
  const gone = b === undefined ? ' (withdrawn)' : a === undefined ? ' (new)' : '';
  return [field('clause', `${id}${gone}: ${first.says}`), field('', `(${first.source})`), ...also];
};

/** What is observed: what B's kernel did, if there was one and it told; otherwise what B's model allows. */
const observedText = (diff: SpecDiff, { seen }: BehaviourChange, allowed: string): readonly string[] => {
  const told = (side: 'a' | 'b'): string | undefined => {
    const [one, run] = [seen[side], diff.sides[side].run];
    return one === undefined || run === undefined ? undefined : `Linux ${run.kernel} ${seenSentence(diff, one)}`;
  };
  const [inA, inB] = [told('a'), told('b')];
  return [
    ...(inA === undefined ? [] : [field("A's run", inA)]),
    field(inB === undefined ? 'observed' : 'B allows', allowed),
    ...(inB === undefined ? [] : [field('observed', inB)]),
  ];
};

/** Verbatim text behind a label; it is folded where it does not fit. */
const labelled = (label: string, text: string): string => {
  const left = `  ${label.padEnd(10)}`;
  return left + verbatim(text, ' '.repeat(left.length)).slice(left.length);
};

/** A command that can be copied: a line that is too long goes on behind a backslash, between two words. */
const commandText = (label: string, command: string): string => {
  const left = `  ${label.padEnd(10)}`;
  const words = command.match(/(?:'[^']*'|\\'|[^\s'])+/g) ?? [];
  const lines: string[] = [];
  let line = left;
  for (const word of words) {
    if (line.trim() !== label && line.length + word.length + 3 > WIDTH) {
      lines.push(`${line} \\`);
      line = `${' '.repeat(left.length)}  ${word}`;
    } else line += line === left ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
};

const idsText = (ids: readonly string[]): string =>
  ids.length <= MOST_IDS
    ? ids.join('; ')
    : `${ids.slice(0, MOST_IDS).join('; ')}; and ${ids.length - MOST_IDS} more (see --format json)`;

function* clausesText({ clauses, sides }: SpecDiff): Generator<string> {
  if (clauses.changes.length === 0) return;
  yield heading('Clauses');
  for (const change of clauses.changes) yield clauseText(change, sides.a.revision, sides.b.revision);
}

const clauseText = ({ id, change, a, b, programs }: ClauseChange, inA: string, inB: string): string => {
  const told = (one: NonNullable<ClauseChange['a']>, label: string): readonly string[] => [
    field(label, `${one.level}: ${one.says}`),
    field('', `(${one.source})`),
  ];
  const same = sameWords({ ...(a && { a }), ...(b && { b }) });
  return [
    '',
    wrap(`${change}: ${id} (${count(programs, 'program')})`, '  ', WIDTH, ''),
    ...(a === undefined || same ? [] : told(a, b === undefined ? 'says' : 'A')),
    ...(b === undefined ? [] : told(b, a === undefined || same ? 'says' : 'B')),
    ...(same ? [field('', `The sentence is the same in ${inA} and ${inB}; the rule is not.`)] : []),
    '',
  ].join('\n');
};

function* numbersText({ numbers }: SpecDiff): Generator<string> {
  if (numbers.length === 0) return;
  yield heading('Numbers');
  for (const one of numbers) yield `${field(one.number, numberText(one), '  ', 10)}\n`;
}

function* structsText({ structs }: SpecDiff): Generator<string> {
  if (structs.changes.length === 0) return;
  yield heading('Layouts');
  for (const change of structs.changes) yield structText(change);
}

const structText = ({ struct, abis, change, a, b }: StructChange): string => {
  const size = (layout: typeof a): string =>
    layout === undefined ? 'not there' : `${count(layout.size, 'byte')}, aligned to ${layout.alignment}`;
  return [
    '',
    wrap(`${change}: struct ${struct} on ${abis.join(', ')}`, '  ', WIDTH, ''),
    field('A', size(a)),
    field('B', size(b)),
    ...textMaps(a, b).map((line) => ` ${line}`),
    '',
  ].join('\n');
};

function* kernelsText(diff: SpecDiff): Generator<string> {
  const { kernels, sides } = diff;
  if (kernels === undefined) return;
  yield heading('Kernels');
  for (const side of ['a', 'b'] as const) {
    const tally = kernels.tallies[side];
    if (tally === undefined) continue;
    yield `${field(side.toUpperCase(), `${sideText(sides[side])}: ${tallyText(tally)}`)}\n`;
    const taken = sidesTaken(diff, side);
    if (taken !== undefined) yield `${field('', taken)}\n`;
  }
  for (const change of kernels.changes) yield kernelText(change);
  for (const { reason, ids } of kernels.incomparable) yield `\n${field('aside', `${reason}: ${idsText(ids)}`)}\n`;
}

const kernelText = ({ id, how, a, b, first }: KernelChange): string => {
  const told = [
    ['A', a],
    ['B', b],
  ] as const;
  return [
    '',
    wrap(`${how}: ${id}`, '  ', WIDTH, ''),
    ...(first === undefined ? [] : [labelled('call', first.call), labelled('A', first.a), labelled('B', first.b)]),
    ...told.flatMap(([label, one]) => {
      if (one === undefined) return [];
      const known = one.known === undefined ? '' : ` (known: ${one.known})`;
      return [
        field(
          label,
          `${one.verdict}${known}${one.broken.length === 0 && one.reason !== undefined ? `: ${one.reason}` : ''}`,
        ),
        ...one.broken.flatMap(({ clause, says, call, expected, observed }) => [
          field('clause', `${clause}: ${says}`),
          labelled('call', call),
          labelled('expected', expected),
          labelled('observed', observed),
        ]),
        commandText('reproduce', one.rerun),
      ];
    }),
    '',
  ].join('\n');
};
