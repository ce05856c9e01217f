import { rule } from '../clauses.ts';
import { greatest, least } from '../world/big.ts';
import { usableIn } from './reserved.ts';
import { type Area, alignmentOf, type Context, type Ioas } from './state.ts';

/* Where areas lie in an IO address space: what MAP and COPY have in common. Ends are the first IOVA behind. */

const TOP = (1n << 64n) - 1n;
const HUGE = 0x200000n;
const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

/** The areas of a range, ascending. */
export const areasIn = ({ areas }: Ioas, start: bigint, end: bigint): readonly Area[] => areas.within(start, end);

/** The parts of areas that lie in a range, ascending, up to the first IOVA where nothing is mapped, `done`. */
export const partsUpToHole = (
  ioas: Ioas,
  start: bigint,
  end: bigint,
): { readonly parts: readonly Area[]; readonly done: bigint } => {
  const parts: Area[] = [];
  let done = start;
  for (const area of areasIn(ioas, start, end)) {
    if (area.start > done) break;
    const first = greatest(area.start, start);
    done = least(area.end, end);
    parts.push({ ...area, start: first, end: done, from: area.from + (first - area.start) });
  }
  return { parts, done };
};

/** Whether `iova` and `length` go beyond the last IOVA; the length is not 0. */
export const overflows = (iova: bigint, length: bigint): boolean => length > 0n && iova + length - 1n > TOP;

/** What the sources call ULONG_MAX is no IOVA and no length. */
export const isHighest = (...numbers: readonly bigint[]): boolean => numbers.some((number) => number >= TOP);

const powerOfTwo = (length: bigint): bigint => 1n << BigInt((length - 1n).toString(2).length - (length === 1n ? 1 : 0));

/** Where memory begins. Of an address that a machine chose, no more is known than what it is up to multiples of `known`. */
export interface Beginning {
  readonly vaddr: bigint;
  readonly known: bigint;
}

/** The `known` of a number that no machine chose. */
export const EXACTLY = 1n << 64n;

/**
 * Where a mapping goes whose IOVA is left to the kernel: `undefined` where there is no room. How the memory's address is aligned
 * tells; where that is not known there are several answers, the one for the model's own address first.
 */
export const CHOOSES_IOVA = rule<
  (context: Context, ioas: Ioas, from: Beginning, length: bigint) => readonly [Found, ...Found[]]
>({
  id: 'ioas/chosen-iova',
  level: 'may',
  says: 'Without FIXED_IOVA the mapping goes to the lowest IOVA above the first page, within the allowed ranges, where nothing is mapped, as far aligned as the address and the length are (at most to 2 MiB) and with the same offset in a page; iova returns where.',
  source: `iopt_alloc_iova(), ${PAGETABLE}: Does not return a 0 IOVA even if it is valid`,
  rule: ({ platform }, ioas, from, length) => {
    const page = BigInt(platform.pageSizeBytes);
    const offset = from.vaddr % page;
    const [own, ...others] = alignmentsOf(from, least(powerOfTwo(length), HUGE));
    const at = (alignment: bigint): Found => lowestFit(ioas, page, { alignment, offset, length });
    const first = at(own);
    return [first, ...new Set(others.map(at).filter((found) => found !== first))];
  },
});

type Found = bigint | undefined;

/** How the memory may be aligned, as far as that counts: at most to `most`. */
const alignmentsOf = ({ vaddr, known }: Beginning, most: bigint): readonly [bigint, ...bigint[]] => {
  const own = vaddr === 0n ? most : least(vaddr & -vaddr, most);
  if (own < known) return [own];
  const others: bigint[] = [];
  for (let alignment = known; alignment < most; alignment *= 2n) others.push(alignment);
  return [own, ...others, most];
};

const lowestFit = (ioas: Ioas, page: bigint, fit: Fit): Found => {
  const ranges = ioas.allowed.length === 0 ? [{ start: page, end: TOP - page }] : ioas.allowed;
  for (const { start, end } of ranges) {
    for (const usable of usableIn(ioas)) {
      const from = greatest(greatest(start, usable.start), page);
      const found = firstFit(ioas, from, least(least(end, usable.end), TOP - page), fit);
      if (found !== undefined) return found;
    }
  }
  return undefined;
};

interface Fit {
  readonly alignment: bigint;
  readonly offset: bigint;
  readonly length: bigint;
}

/** The first place in [from, last] that is free and aligned. */
const firstFit = (
  { areas }: Ioas,
  from: bigint,
  last: bigint,
  { alignment, offset, length }: Fit,
): bigint | undefined => {
  for (let start = from; ; ) {
    const iova = ((start + alignment - 1n) & -alignment) | offset;
    if (iova >= last || last - iova < length - 1n) return undefined;
    const taken = areas.overlapping(iova, iova + length);
    if (taken === undefined) return iova;
    start = taken.end;
  }
};

/** Whether an IOVA, a length and the offset of the memory in its page are such that the address space takes them. */
export const isAligned = ({ platform }: Context, ioas: Ioas, ...numbers: readonly bigint[]): boolean =>
  numbers.every((number) => number % alignmentOf(ioas, platform) === 0n);

export const AREA_CLAUSES = [CHOOSES_IOVA];
