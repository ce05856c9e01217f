import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { UsageTrouble } from '../trouble.ts';
import { HostClass } from './classes.ts';

/**
 * A plan: what is to be run, cut into cells that know nothing of each other. As lines of JSON: the first says what all share,
 * each of the others is a cell. The same matrix makes the same plan, so that several jobs can each make it for themselves.
 */

const PLAN_SCHEMA = 'vfio-conform/plan/1';

/** One kernel on one class of hosts, for one suite. */
export const Cell = z.strictObject({
  /** From 1, in the order of the plan. */
  cell: z.int().min(1),
  /** What `run --kernel` takes. */
  kernel: z.string().min(1).max(500),
  /** The model that it is held against. */
  revision: z.string().min(1).max(200),
  class: z.string().min(1).max(100),
  suite: z.string().min(1).max(100),
});
export type Cell = z.infer<typeof Cell>;

const Shared = z.strictObject({
  schema: z.literal(PLAN_SCHEMA),
  /** Of everything else in the plan: results of another plan are told by it. */
  id: z.string().regex(/^[0-9a-f]{16}$/),
  /** Of vfio-conform: another version may have other cases. */
  version: z.string().max(100),
  cells: z.int().min(1),
  classes: z.array(HostClass),
  /** Options that every cell hands on to `run`. */
  options: z.array(z.string().max(4096)).max(1000),
});

export interface Plan extends z.infer<typeof Shared> {
  readonly list: readonly Cell[];
}

/** What a plan is made of. */
export interface Matrix {
  readonly version: string;
  readonly kernels: readonly { readonly kernel: string; readonly revision: string }[];
  readonly classes: readonly HostClass[];
  /** The suites that have cases for a revision. */
  readonly suitesOf: (revision: string) => readonly string[];
  readonly options: readonly string[];
}

/** More than anybody runs; `plan` is not for filling disks. */
const MOST_CELLS = 1_000_000;

/** Throws UsageTrouble when there is nothing to run, or too much. */
export const makePlan = ({ version, kernels, classes, suitesOf, options }: Matrix): Plan => {
  const list = kernels
    .flatMap(({ kernel, revision }) =>
      classes.flatMap((one) => suitesOf(revision).map((suite) => ({ kernel, revision, class: one.name, suite }))),
    )
    .map((one, at): Cell => ({ cell: at + 1, ...one }));
  if (list.length === 0) throw new UsageTrouble('the plan would be empty: no suite that was asked for has a case');
  if (list.length > MOST_CELLS) {
    throw new UsageTrouble(`the plan would have ${list.length} cells, expected at most ${MOST_CELLS}: divide it`);
  }
  const shared = { version, classes: [...classes], options: [...options] };
  return { schema: PLAN_SCHEMA, id: idOf(shared, list), cells: list.length, ...shared, list };
};

const idOf = (
  { version, classes, options }: Pick<z.infer<typeof Shared>, 'version' | 'classes' | 'options'>,
  list: readonly Cell[],
): string => {
  const hash = createHash('sha256').update(JSON.stringify([version, classes, options]));
  for (const one of list) hash.update(JSON.stringify([one.kernel, one.revision, one.class, one.suite]));
  return hash.digest('hex').slice(0, 16);
};

/** The lines of a plan. */
export function* planLines({ list, ...shared }: Plan): Generator<string> {
  const { schema, id, version, cells, classes, options } = shared;
  yield `${JSON.stringify({ plan: { schema, id, version, cells, classes, options } })}\n`;
  for (const one of list) yield `${JSON.stringify(one)}\n`;
}

/** A plan from its file. Throws UsageTrouble, in one line, for what is none, or not whole. */
export const readPlan = (path: string): Plan => {
  const [first = '', ...lines] = textOf(path).split('\n');
  if (lines.at(-1) !== '') throw new UsageTrouble(`${path} is no whole plan: its last line was cut`);
  const { plan } = parsed(z.strictObject({ plan: Shared }), first, `${path}:1`);
  const list = lines.slice(0, -1).map((line, at) => parsed(Cell, line, `${path}:${at + 2}`));
  if (list.length !== plan.cells) {
    throw new UsageTrouble(`${path} is no whole plan: expected ${plan.cells} cells, found ${list.length}`);
  }
  const wrong = list.findIndex(({ cell }, at) => cell !== at + 1);
  if (wrong >= 0) throw new UsageTrouble(`${path}:${wrong + 2}: expected cell ${wrong + 1}`);
  if (idOf(plan, list) !== plan.id)
    throw new UsageTrouble(`${path} was changed: its cells do not make the id ${plan.id}`);
  return { ...plan, list };
};

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageTrouble(`cannot read the plan ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
};

const parsed = <Schema extends z.ZodType>(schema: Schema, line: string, where: string): z.infer<Schema> => {
  const result = schema.safeParse(jsonOf(line));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UsageTrouble(`${where}: no line of a plan: ${issue?.path.join('.') || 'the line'}: ${issue?.message}`);
};

const jsonOf = (line: string): unknown => {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
};

/** The cell of that number. Throws UsageTrouble. */
export const cellOf = (plan: Plan, number: number): Cell => {
  const found = plan.list[number - 1];
  if (found !== undefined) return found;
  throw new UsageTrouble(`the plan has no cell ${number}: it has ${plan.cells}`);
};
