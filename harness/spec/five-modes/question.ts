import type { Errno } from '../../uapi/errno.ts';
import type { Clause, ClauseId } from '../clause.ts';

/*
 * Five ways to map memory for a device: one table holds what each of them answers to the same question. The model's clauses
 * take what differs from here, the suite expects it, and reports show it beside what was observed.
 */

/**
 * `type1-v1`, `type1-v2`: a VFIO container. `compat-v1`, `compat-v2`: an opening of /dev/iommu in its place, with the requests of a
 * container. `iommufd`: its own commands, on an IO address space of one's own.
 */
export const MODES = ['type1-v1', 'type1-v2', 'compat-v1', 'compat-v2', 'iommufd'] as const;
export type Mode = (typeof MODES)[number];

/** A number that an answer holds: where it stands in the argument, in bytes. */
export interface ValueAt {
  readonly name: string;
  readonly at: number;
  readonly width: 4 | 8;
}

/** What one mode must answer. */
export type Cell =
  | {
      /** Any of these. */
      readonly refused: readonly [Errno, ...Errno[]];
      /** The number in the argument after the refusal, where it changes. */
      readonly value?: bigint;
      readonly source: string;
    }
  | {
      /** `anything`: any number that is not negative. */
      readonly returns: bigint | 'anything';
      readonly value?: bigint;
      readonly source: string;
      /** Where the number stands, where not as in the other modes. */
      readonly valueAt?: ValueAt;
    }
  /** Why the question makes no sense in this mode. */
  | { readonly none: string };

/** A row of the table. */
export interface Question extends Clause {
  readonly kind: 'question';
  /** The question, as a heading. */
  readonly asks: string;
  /** What the returned number is, where it is no errno's: `kB`. */
  readonly unit?: string;
  readonly valueAt?: ValueAt;
  readonly cells: Readonly<Record<Mode, Cell>>;
}

/** A cell as one line: `0, size 0x4000`, `EINVAL`, `16 kB`, `-`. */
export const cellText = ({ unit, valueAt }: Pick<Question, 'unit' | 'valueAt'>, cell: Cell): string => {
  if ('none' in cell) return '-';
  const at = ('valueAt' in cell ? cell.valueAt : undefined) ?? valueAt;
  const result =
    'refused' in cell
      ? cell.refused.join(' or ')
      : cell.returns === 'anything'
        ? 'succeeds'
        : `${cell.returns}${unit === undefined ? '' : ` ${unit}`}`;
  return cell.value === undefined || at === undefined ? result : withValue(result, at, cell.value);
};

/** An answer with the number that it holds. */
export const withValue = (result: string, { name }: ValueAt, value: bigint): string =>
  result === 'succeeds' ? `${name} ${numberText(value)}` : `${result}, ${name} ${numberText(value)}`;

/** Small numbers as they are read, large ones in hexadecimal. */
const numberText = (number: bigint): string => (number < 10n ? `${number}` : `0x${number.toString(16)}`);

/** The same cell in several modes. */
export const alike = <M extends Mode>(modes: readonly M[], cell: Cell): Record<M, Cell> =>
  Object.fromEntries(modes.map((mode) => [mode, cell])) as Record<M, Cell>;

type Stated = Pick<Question, 'asks' | 'unit' | 'valueAt' | 'cells'>;

export const question = (name: string, stated: Stated): Question => {
  const id: ClauseId = `five-modes/${name}`;
  const told = MODES.map((mode) => `${mode}: ${cellText(stated, stated.cells[mode])}`);
  const sources = MODES.flatMap((mode) => {
    const cell = stated.cells[mode];
    return [`${mode}: ${'none' in cell ? cell.none : cell.source}`];
  });
  return {
    kind: 'question',
    id,
    level: 'must',
    says: `${stated.asks}: ${told.join('; ')}.`,
    source: sources.join('; '),
    ...stated,
  };
};

/** The errnos with which a mode refuses. Throws RangeError where it does not. */
export const refusal = ({ id, cells }: Question, mode: Mode): readonly [Errno, ...Errno[]] => {
  const cell = cells[mode];
  if (!('refused' in cell)) throw new RangeError(`${mode} does not refuse ${id}`);
  return cell.refused;
};
