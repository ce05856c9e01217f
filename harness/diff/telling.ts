import { groupBy } from '../report/group.ts';
import { count, rerunCommand, shellWord } from '../report/layout.ts';
import * as vfio from '../uapi/vfio.ts';
import type {
  BehaviourChange,
  Change,
  ClauseFacts,
  Either,
  NumberChange,
  Seen,
  SideFacts,
  SpecDiff,
} from './spec-diff.ts';

/* What every readable form of a spec-diff tells, and in which order. */

/** What the readable forms are told beside the diff. */
export interface Telling {
  /** Who tested: `NAME <ADDRESS>`. */
  readonly testedBy?: string;
}

/** Programs that differ in the same way: the smallest one stands for all. */
export interface Alike {
  readonly change: BehaviourChange;
  /** Ids of the others. */
  readonly others: readonly string[];
}

/**
 * Differences that are of one kind told once: the same clauses behind them, the same words but for numbers, and kernels on the
 * same sides. A program that a kernel did not run goes with those that it did.
 */
export const alike = (changes: readonly BehaviourChange[]): readonly Alike[] =>
  [...groupBy(changes, kindOf).values()].flatMap((ofKind) => {
    const bySides = groupBy(ofKind, ({ seen }) => `${takes(seen.a)} ${takes(seen.b)}`);
    const silent = bySides.get(NEITHER_TOLD) ?? [];
    if (bySides.size > 1) bySides.delete(NEITHER_TOLD);
    return [...bySides.values()].flatMap(([first, ...others], index) => {
      const rest = index === 0 && first !== silent[0] ? [...others, ...silent] : others;
      return first === undefined ? [] : [{ change: first, others: rest.map(({ id }) => id) }];
    });
  });

/** Kinds of difference that are told of in full; the JSON form has all. */
const MOST_TOLD = 40;

/** The differences that were intended, or those that were not: how many programs, the kinds of them that are told of, and how many kinds are not. */
export const kindsTold = (
  { behaviour }: SpecDiff,
  intended: boolean,
): { readonly heading: string; readonly told: readonly Alike[]; readonly untold: number } => {
  const changes = behaviour.changes.filter((one) => one.intended === intended);
  const kinds = alike(changes);
  return {
    heading: `${intended ? 'Intended' : 'Unintended'} differences: ${count(changes.length, 'program')}`,
    told: kinds.slice(0, MOST_TOLD),
    untold: Math.max(0, kinds.length - MOST_TOLD),
  };
};

const takes = (seen: Seen | undefined): string => seen?.agreesWith ?? 'unknown';
const NEITHER_TOLD = `${takes(undefined)} ${takes(undefined)}`;

const kindOf = ({ intended, allowed }: BehaviourChange): string =>
  JSON.stringify([
    intended,
    ...[allowed.a, allowed.b].map(({ words, clauses }) => [
      words.replace(/, bytes?.*/, '').replace(/0x[0-9a-f]+|\d+/g, 'N'),
      clauses.map(({ id }) => id),
    ]),
  ]);

/** A clause behind a difference, as each side has it; one that both state alike stands in both. */
export interface ToldClause extends Either<ClauseFacts> {
  readonly id: string;
}

/**
 * The clauses that a reader wants to see of a difference: those that were stated anew where that is what was meant, and
 * those that were not where it is not.
 */
export const clausesOf = (diff: SpecDiff, { allowed, intended }: BehaviourChange): readonly ToldClause[] => {
  const told = new Map<string, ToldClause>();
  for (const side of ['a', 'b'] as const) {
    for (const clause of allowed[side].clauses) {
      const changed = diff.clauses.changes.find(({ id }) => id === clause.id);
      const as = changed === undefined ? { a: clause, b: clause } : { a: changed.a, b: changed.b };
      told.set(clause.id, { id: clause.id, ...(as.a && { a: as.a }), ...(as.b && { b: as.b }) });
    }
  }
  const all = [...told.values()];
  const wanted = all.filter(({ id }) => diff.clauses.changes.some((change) => change.id === id) === intended);
  return wanted.length > 0 ? wanted : all;
};

/** Whether both sides state a clause in the same words. */
export const sameWords = ({ a, b }: Either<ClauseFacts>): boolean =>
  a !== undefined && b !== undefined && a.says === b.says && a.source === b.source && a.level === b.level;

/** `2 added, 1 changed`. */
export const changesText = (changes: readonly { readonly change: Change }[]): string => {
  const told = (['added', 'removed', 'changed'] as const).flatMap((kind) => {
    const number = changes.filter(({ change }) => change === kind).length;
    return number === 0 ? [] : [`${number} ${kind}`];
  });
  return told.join(', ') || 'none changed';
};

/** The counts that stand at the head: a label and a sentence each. */
export const headlines = (diff: SpecDiff): readonly (readonly [label: string, text: string])[] => {
  const { clauses, behaviour, numbers, structs, kernels } = diff;
  const unintended = behaviour.changes.filter(({ intended }) => !intended).length;
  return [
    ['clauses', `${changesText(clauses.changes)}, ${clauses.unchanged.length} unchanged`],
    [
      'behaviour',
      behaviour.changes.length === 0
        ? `the same in ${count(behaviour.compared, 'program')}`
        : `${behaviour.changes.length} of ${count(behaviour.compared, 'program')} differ: ` +
          `${unintended} unintended, ${behaviour.changes.length - unintended} intended`,
    ],
    ['numbers', changesText(numbers)],
    ['layouts', `${changesText(structs.changes)}, ${structs.unchanged.length} unchanged`],
    ...(kernels === undefined ? [] : ([['kernels', kernelsText(diff)]] as const)),
  ];
};

const kernelsText = ({ kernels }: SpecDiff): string => {
  const changes = kernels?.changes ?? [];
  if (changes.length === 0) return 'no new differences';
  return [...groupBy(changes, ({ how }) => how)].map(([how, all]) => `${all.length} ${how}`).join(', ');
};

/** `conforms 12, diverges 3`. */
export const tallyText = (tally: Readonly<Record<string, number>>): string =>
  Object.entries(tally)
    .map(([verdict, number]) => `${number} ${verdict}`)
    .join(', ') || 'no cases';

/** A side in words: `linux-6.1`, `Linux 6.1.0-28 in reports/latest (held against linux-6.1)`. */
export const sideText = ({ name, revision, run }: SideFacts): string =>
  run === undefined ? revision : `Linux ${run.kernel} in ${name} (held against ${revision})`;

const COMMAND = ['npx', 'vfio-conform'];

/**
 * Which side a kernel is on, over all programs that the models answer otherwise: `as linux-6.1 in 2, as linux-7.2 in 190`.
 * `undefined` where there is no kernel or nothing to take sides on.
 */
export const sidesTaken = ({ sides, behaviour }: SpecDiff, side: 'a' | 'b'): string | undefined => {
  if (sides[side].run === undefined || behaviour.changes.length === 0) return undefined;
  const taken = groupBy(behaviour.changes, ({ seen }) => seen[side]?.agreesWith ?? 'unknown');
  const told = (['a', 'b', 'both', 'neither', 'unknown'] as const).flatMap((as) => {
    const number = taken.get(as)?.length ?? 0;
    const name = { a: `as ${sides.a.revision}`, b: `as ${sides.b.revision}`, both: 'as both', neither: 'as neither' };
    return number === 0 ? [] : [as === 'unknown' ? `${number} not told` : `${number} ${name[as]}`];
  });
  return `where the models differ: ${told.join(', ')}`;
};

/** Commands that show one difference again: in the models, and on a kernel where there is one to boot. */
export const reproduce = (diff: SpecDiff, { id, clause }: BehaviourChange): readonly string[] => {
  const { a, b } = diff.sides;
  const models = [...COMMAND, 'diff', a.name, b.name, '--grep', id].map(shellWord).join(' ');
  const runs = [b, a].flatMap(({ run }) => (run === undefined ? [] : [rerunCommand(id, run.arguments)]));
  if (runs.length > 0) return [models, ...runs];
  const changed = diff.clauses.changes.find((one) => one.id === clause);
  const inForce = {
    a: changed?.a !== undefined || diff.clauses.unchanged.some((one) => one === clause),
    b: changed?.b !== undefined || diff.clauses.unchanged.some((one) => one === clause),
  };
  if (inForce.a) return [models, crossed(b, a, id)];
  return inForce.b ? [models, crossed(a, b, id)] : [models];
};

/** One side's kernel against the other's model. */
const crossed = (kernel: SideFacts, model: SideFacts, id: string): string =>
  rerunCommand(id, ['--kernel', kernel.revision.replace(/^linux-/, ''), '--revision', model.revision]);

/** The lines that a maintainer takes into a commit, each with what it stands on; a kernel must have run for one. */
export const testedBy = ({ sides, kernels, version }: SpecDiff, who = 'NAME <ADDRESS>'): readonly Tested[] => {
  const told = (['a', 'b'] as const).flatMap((side) => {
    const { run, revision } = sides[side];
    if (run === undefined) return [];
    const tally = tallyText(kernels?.tallies[side] ?? {});
    return [`Linux ${run.kernel} against ${revision}, vfio-conform ${version}: ${tally}`];
  });
  return [...new Set(told)].map((note) => ({ line: `Tested-by: ${who}`, note }));
};

interface Tested {
  readonly line: string;
  readonly note: string;
}

/** Why there is no such line. */
export const NOT_TESTED = 'No Tested-by line: models were compared, no kernel was run.';

/** `refused it with EINVAL, as nesting-cap/reviewed has it (case: diverges)`. */
export const seenSentence = ({ sides }: SpecDiff, { answered, agreesWith, verdict }: Seen): string => {
  const side = {
    a: `as ${sides.a.revision} has it`,
    b: `as ${sides.b.revision} has it`,
    both: 'as both have it',
    neither: 'as neither has it',
    unknown: 'its answer to this program is not in the run',
  }[agreesWith];
  return `${[answered, side].filter((part) => part !== undefined).join(', ')} (case: ${verdict})`;
};

/** `VFIO_BASE + 17 on the container: A dirty/dirty-pages, B get-dirty-bitmap/request`. */
export const numberText = ({ on, a, b, change }: NumberChange): string => {
  const name = (b ?? a)?.name ?? '';
  const where = name.startsWith(on) ? name : `${name} on ${on}`;
  if (change !== 'changed') return `${where}: ${(b ?? a)?.id} ${change}`;
  const told = a?.clashes || b?.clashes ? 'two that clash' : 'the number has another meaning';
  return `${where}: ${a?.id} in A, ${b?.id} in B (${told})`;
};

const REQUESTS: ReadonlyMap<string, string> = new Map(
  Object.entries<unknown>(vfio).flatMap(([name, value]) =>
    typeof value === 'bigint' && value >= vfio.VFIO_GET_API_VERSION ? [[`0x${value.toString(16)}`, name]] : [],
  ),
);

/** The name of the request in a line of a program; none where the two sides do not mean the same by the number. */
export const requestName = ({ numbers }: SpecDiff, line: string): string | undefined => {
  const number = / ioctl \S+ (0x[0-9a-f]+)/.exec(line)?.[1];
  if (number === undefined || numbers.some((one) => one.number === number)) return undefined;
  return REQUESTS.get(number);
};
