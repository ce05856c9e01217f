import type { Clause } from '../../spec/clause.ts';
import { type Holds, rule } from '../clauses.ts';
import { roundUp } from '../world/big.ts';
import { IntervalMap } from '../world/interval-map.ts';
import type { Process } from '../world/process.ts';
import { EXACTLY } from './areas.ts';
import { hold, type Span, unpinned } from './held.ts';
import { type Area, type Context, type Ioas, type Owner, type Pages, pins } from './state.ts';

/* What is pinned while devices are attached or accesses hold it, and to whom it is charged. */

const PAGES = 'drivers/iommu/iommufd/pages.c';
const RLIMIT = 'include/uapi/linux/iommufd.h: IOMMU_OPTION_RLIMIT_MODE';

/** Memory as a process maps it now; what it is charged for and how is settled with that. */
export const newPages = (
  { perProcess }: Context,
  caller: Process,
  stated: Pick<Pages, 'kind' | 'vaddr' | 'writable' | 'fileSize' | 'object'>,
): Pages => ({
  ...stated,
  known: stated.kind === 'file' ? EXACTLY : caller.space.alignmentAt(stated.vaddr),
  mode: caller.capable('ipc_lock') ? 'none' : perProcess ? 'process' : 'user',
  owner: ownerFor(caller),
  held: new IntervalMap(),
  charged: 0,
});

const ownerFor = (process: Process): Owner => ({ process, space: process.space, uid: process.uid });

/** The pages of its memory that an area, or a part of one, lies in. */
export const spanOf = ({ platform }: Context, { start, end, pages, from }: Area): Span => {
  const page = BigInt(platform.pageSizeBytes);
  const first = (pages.vaddr % page) + from;
  return [first / page, (first + (end - start) + page - 1n) / page];
};

/** How many pages spans have together, each once. */
const united = (spans: readonly Span[]): number => {
  let [count, done] = [0n, 0n];
  for (const [from, to] of [...spans].sort(([one], [other]) => (one < other ? -1 : 1))) {
    const first = from > done ? from : done;
    if (to > first) count += to - first;
    done = to > done ? to : done;
  }
  return Number(count);
};

/** What is pinned of an IO address space: all of it while there are page tables, and what accesses pinned. */
const pinnedIn = (ioas: Ioas): readonly Area[] => [
  ...(pins(ioas) ? ioas.areas : []),
  ...[...ioas.accesses].flatMap(({ items }) => items.flatMap(({ parts }) => parts)),
];

/** Which pages of a memory are pinned. */
const spansOf = (context: Context, pages: Pages): readonly Span[] =>
  [...context.objects.values()]
    .flatMap((ioas) => pinnedIn(ioas).filter((area) => area.pages === pages))
    .map((area) => spanOf(context, area));

const CHARGES = rule<(owner: Owner, pages: number, by: Clause) => void>({
  id: 'ioas/charges-pinned',
  level: 'must',
  says: 'Every page that is mapped while a device is attached, or that an access pinned, counts as pinned (VmPin) for the process that mapped it, a part of a page as a whole one; a page that several mappings or copies of one memory share, or several accesses, counts once, and until the last of them is gone.',
  source: `iopt_pages_update_pinned(), ${PAGES}; Documentation/userspace-api/iommufd.rst: struct iopt_pages`,
  rule: ({ space }, pages, by) => space.chargePinned(pages, by),
});

const CHARGES_LOCKED = rule<(mode: Pages['mode']) => boolean>({
  id: 'ioas/charges-locked',
  level: 'must',
  says: 'What is pinned counts as locked memory (VmLck) of the process in RLIMIT_MODE 1 only; in mode 0 it counts for the user, and for a process with CAP_IPC_LOCK it does not count.',
  source: `${RLIMIT}: Value 0 (default) is user based accounting, 1 uses process based accounting; iopt_alloc_pages(), ${PAGES}`,
  rule: (mode) => mode === 'process',
});

/** Makes what is charged for a memory what it should be. */
const charge = (context: Context, pages: Pages, count: number): void => {
  const { owner, mode } = pages;
  const more = count - pages.charged;
  pages.charged = count;
  if (count > 0) context.charged.add(pages);
  else context.charged.delete(pages);
  if (more === 0) return;
  if (mode === 'user') context.users.set(owner.uid, (context.users.get(owner.uid) ?? 0) + more);
  if (!owner.space.alive) return;
  const pinned = context.law.of(CHARGES);
  pinned.rule(owner, more, pinned);
  const locked = context.law.of(CHARGES_LOCKED);
  if (!locked.rule(mode)) return;
  if (more > 0) owner.space.charge(more, locked);
  else owner.space.uncharge(-more, locked);
};

/** Charges what is pinned since the last time, and gives back what is not any more. */
export const settle = (context: Context): void => {
  const all = new Set(context.charged);
  for (const ioas of context.objects.values()) {
    for (const { pages } of pinnedIn(ioas)) all.add(pages);
  }
  for (const pages of all) {
    const spans = spansOf(context, pages);
    charge(context, pages, united(spans));
    hold(pages, spans, BigInt(context.platform.pageSizeBytes));
  }
};

/** Whom a memory is charged to when a process takes a context over. */
export const MOVES_CHARGES = rule<(context: Context, pages: Pages, to: Process, by: Clause) => void>({
  id: 'ioas/change-process-moves-charges',
  level: 'must',
  says: 'After IOAS_CHANGE_PROCESS everything that was charged for what is mapped is charged to the calling process, once however often it was copied, and nothing of it to those before; from then on it gets back what is unmapped.',
  source:
    'include/uapi/linux/iommufd.h: IOMMU_IOAS_CHANGE_PROCESS: This transfers pinned memory counts for every memory map in every IOAS in the context to the current process',
  rule: (context, pages, to) => {
    const count = pages.charged;
    charge(context, pages, 0);
    pages.owner = ownerFor(to);
    charge(context, pages, count);
  },
});

/** Whether so many more pages are too many for whom they are charged to; `locked` is what they have. */
const passes = ({ platform }: Context, { process }: Owner, locked: number, more: number): Holds => {
  if (more === 0) return false;
  const limit = process.limitBytes('memlock');
  if (limit === undefined) return 'perhaps';
  return BigInt(locked + more) > limit / BigInt(platform.pageSizeBytes);
};

/** How many pages are locked by whom a memory is charged to. */
const lockedBy = ({ users }: Context, { owner, mode }: Pick<Pages, 'owner' | 'mode'>): number =>
  mode === 'user' ? (users.get(owner.uid) ?? 0) : owner.space.lockedPages;

/** Whether so many more pages are too many for whom they are charged to. */
export const exceeds = (context: Context, owner: Owner, mode: Pages['mode'], more: number): Holds =>
  mode === 'none' ? false : passes(context, owner, lockedBy(context, { owner, mode }), more);

/** Whether pinning these areas is too much for anybody. */
export const overLimit = (context: Context, areas: readonly Area[]): Holds => {
  let held: Holds = false;
  /** What is added for each of those who are charged. */
  const added = new Map<unknown, number>();
  for (const pages of new Set(areas.map((area) => area.pages))) {
    const { owner, mode } = pages;
    if (mode === 'none') continue;
    const spans = areas.filter((area) => area.pages === pages).map((area) => spanOf(context, area));
    const payer = mode === 'user' ? owner.uid : owner.space;
    const more = (added.get(payer) ?? 0) + united([...spansOf(context, pages), ...spans]) - pages.charged;
    added.set(payer, more);
    const one = passes(context, owner, lockedBy(context, pages), more);
    if (one === true) return true;
    held = one === 'perhaps' ? one : held;
  }
  return held;
};

/** Whether pages of a memory cannot be pinned; `from` and `to` are numbers of pages. */
const cannotPin = ({ platform }: Context, pages: Pages, [from, to]: Span): boolean => {
  const page = BigInt(platform.pageSizeBytes);
  const base = pages.vaddr / page;
  if (pages.fileSize !== undefined) return (base + to) * page > roundUp(pages.fileSize(), page);
  const count = Number(to - from);
  const found = pages.owner.space.resolve((base + from) * page, count, { write: pages.writable, own: true });
  return found.pages < count || found.runs.some(({ kind }) => kind === 'device');
};

/** Of these areas, those of which any page is neither pinned nor can be. */
export const unreachable = (context: Context, areas: readonly Area[]): readonly Area[] =>
  areas.filter((area) =>
    unpinned(area.pages, spanOf(context, area)).some((gap) => cannotPin(context, area.pages, gap)),
  );

/** Whether any page of these areas is neither pinned nor can be. */
export const outOfReach = (context: Context, areas: readonly Area[]): boolean => unreachable(context, areas).length > 0;

export const PINNED_CLAUSES = [CHARGES, CHARGES_LOCKED, MOVES_CHARGES];
