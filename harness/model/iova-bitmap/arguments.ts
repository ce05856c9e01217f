import type { Clause } from '../../spec/clause.ts';
import { type Rule, rule } from '../clauses.ts';
import type { BitmapWalk, InForce } from './walk.ts';

/*
 * What callers must not ask for. The functions check none of it: a walk that breaks one of these still has a result, which
 * `walkBitmap` gives as Linux 6.1 has it, and which nobody promises.
 */

const CALLER = 'drivers/vfio/vfio_main.c: vfio_ioctl_device_feature_logging_report()';
const TOP = 1n << 64n;
const SMALLEST_PAGE = 4096n;

type Legality = Rule<(walk: BitmapWalk) => boolean>;

/** Whether the page size is one that a bitmap can have. */
const PAGE_SIZE_LEGAL: Legality = rule({
  id: 'iova-bitmap/page-size',
  level: 'must',
  says: 'A page size is a power of two and at least 4096 bytes.',
  source: `${CALLER}, which refuses others with EINVAL; mail of 25 August 2022, review of V4: "intended to handle arbitrary page sizes"`,
  rule: ({ pageSize }) => pageSize >= SMALLEST_PAGE && (pageSize & (pageSize - 1n)) === 0n,
});

/** Whether the range has a length. */
const LENGTH_LEGAL: Legality = rule({
  id: 'iova-bitmap/length-not-zero',
  level: 'must',
  says: 'The range has a length, and so have the ranges that are set.',
  source: 'drivers/vfio/iova_bitmap.c: length - 1 is taken in iova_bitmap_alloc() and iova_bitmap_set()',
  rule: ({ length, marks }) => length > 0n && marks.every((mark) => mark.length > 0n),
});

/** Whether the range and what is set ends where IOVAs end. */
const END_LEGAL: Legality = rule({
  id: 'iova-bitmap/no-wrap',
  level: 'must',
  says: 'No range goes beyond the last IOVA.',
  source: `${CALLER}, which refuses it with EOVERFLOW (and a range that ends exactly there, too)`,
  rule: (walk) => [walk, ...walk.marks].every(({ iova, length }) => iova + length <= TOP),
});

/** Whether what is set lies in the range; that it lies in the window is up to `clipped`. */
const MARKS_LEGAL: Legality = rule({
  id: 'iova-bitmap/set-within-range',
  level: 'must',
  says: 'A caller sets ranges within the window that it was offered.',
  source: 'drivers/vfio/iova_bitmap.c: struct iova_bitmap, "within that provided range"',
  rule: (walk) =>
    walk.marks.every(
      (mark) => mark.clipped || (mark.iova >= walk.iova && mark.iova + mark.length <= walk.iova + walk.length),
    ),
});

/** What is said about arguments, in both forms. */
export const IOVA_BITMAP_ARGUMENT_CLAUSES: readonly Legality[] = [
  PAGE_SIZE_LEGAL,
  LENGTH_LEGAL,
  END_LEGAL,
  MARKS_LEGAL,
];

/** The clauses that a walk's arguments break; none if everybody promises its result. */
export const objectionsTo = (of: InForce, walk: BitmapWalk): readonly Clause[] =>
  IOVA_BITMAP_ARGUMENT_CLAUSES.map((clause) => of(clause)).filter((clause) => !clause.rule(walk));
