import { type Holds, type Objection, type Refusal, refusing, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { AddressSpace, Run } from '../world/address-space.ts';
import { ownerExceedsLimit } from './accounting.ts';
import { pinOptions } from './pinning.ts';
import type { Iommu, Mapping, Owner, Pin } from './state.ts';
import { witnessed } from './witness.ts';

/* What a device without an IOMMU asks of its container: to pin pages and let them go. */

const DRIVER = 'drivers/vfio/vfio_iommu_type1.c';
const PIN_PAGES = `vfio_iommu_type1_pin_pages(), ${DRIVER}`;
const VFIO_PIN = 'vfio_pin_pages(), drivers/vfio/container.c';

/** VFIO_PIN_PAGES_MAX_ENTRIES: as many pointers as a page holds. */
const maxPages = (pageSize: number): number => pageSize / 8;

/** What pinning is about. `iova` in bytes, `count` in pages. */
export interface PinCall {
  readonly law: Law;
  readonly iommu: Iommu;
  readonly pageSize: number;
  readonly iova: bigint;
  readonly count: number;
  /** What the device will do with the pages. */
  readonly read: boolean;
  readonly write: boolean;
  /** The pages, in order; looked up when first asked for. */
  pages(): readonly PageCall[];
}

/** One page of them. */
interface PageCall {
  readonly mapping: Mapping | undefined;
  /** Its distance from the start of the mapping in pages. */
  readonly index: number;
  /** What there is to be pinned in the memory of the owner; the page itself if it is pinned already. */
  readonly run: Run | undefined;
}

/** A request to pin pages. */
export const pinCall = (given: Omit<PinCall, 'pages'>): PinCall => {
  let pages: readonly PageCall[] | undefined;
  return {
    ...given,
    pages() {
      pages ??= Array.from({ length: given.count }, (_, page) => lookUp(given, page));
      return pages;
    },
  };
};

const lookUp = ({ law, iommu, pageSize, iova }: Omit<PinCall, 'pages'>, page: number): PageCall => {
  const at = iova + BigInt(page * pageSize);
  const mapping = iommu.mappings.containing(at);
  if (mapping === undefined) return { mapping, index: 0, run: undefined };
  const index = Number((at - mapping.start) / BigInt(pageSize));
  const run = mapping.pins.get(index)?.run ?? resolved(law, mapping, index, pageSize);
  return { mapping, index, run };
};

const resolved = (law: Law, mapping: Mapping, index: number, pageSize: number): Run | undefined => {
  const { space } = mapping.owner;
  const vaddr = mapping.vaddr + BigInt(index * pageSize);
  return space.resolve(vaddr, 1, pinOptions(law, mapping.write)).runs[0];
};

export const PINS = rule<(call: PinCall, pages: readonly PageCall[]) => readonly Run[]>({
  id: 'pin/pins',
  level: 'must',
  says: 'A device without an IOMMU pins the pages that its container maps at consecutive IOVAs, in one mapping or several: it gets the pages that stand at vaddr in the address space of the owner then, whoever asks, and keeps them whatever becomes of that. A page that is pinned already is the same page for all who pin it.',
  source: `${PIN_PAGES}; Documentation/driver-api/vfio-mediated-device.rst: Translation APIs for Mediated Devices`,
  rule: (call, pages) => pages.flatMap((page) => (page.mapping === undefined ? [] : [hold(call, page.mapping, page)])),
});

const hold = (call: PinCall, mapping: Mapping, { index }: PageCall): Run => {
  const { law, iommu, write } = call;
  const known = mapping.pins.get(index);
  if (known !== undefined) known.holds++;
  const pin = known ?? pinAnew(call, mapping, index);
  witnessed(law, { how: 'pinned', iommu, mapping, first: index, count: 1, pin, anew: known === undefined, write });
  return pin.run;
};

const pinAnew = ({ law, pageSize }: PinCall, mapping: Mapping, index: number): Pin => {
  const { owner, vaddr, write } = mapping;
  const [run] = owner.space.pin(vaddr + BigInt(index * pageSize), 1, pinOptions(law, write)).runs;
  if (run === undefined) throw new RangeError('only a page that is there can be pinned');
  const pin = { run, holds: 1 };
  mapping.pins.set(index, pin);
  const clause = law.of(CHARGES_PINNED);
  const charged = clause.rule(mapping, run);
  owner.space.charge(charged, clause);
  mapping.charged += charged;
  return pin;
};

/** How many pages are charged for one that devices pin. */
export const CHARGES_PINNED = rule<(mapping: Mapping, run: Run) => number>({
  id: 'pin/charges',
  level: 'must',
  says: 'A page that devices pin counts as locked memory of the owner of its mapping, once, however many devices pin it and however often; not at all while a group of the container has an IOMMU, for which all pages are charged already. The page of zeros counts for nobody.',
  source: `${PIN_PAGES}: do_accounting; vfio_pin_page_external()`,
  rule: ({ iommuMapped }, run) => (!iommuMapped && run.kind === 'memory' ? 1 : 0),
});

/** How many pages are given back for one that no device pins any more. */
const REFUNDS_PINNED = rule<(mapping: Mapping, run: Run) => number>({
  id: 'pin/refunds',
  level: 'must',
  says: 'When a page is unpinned as often as it was pinned its owner gets back what was charged for it, if it is still there: not before, and not while an IOMMU holds the page.',
  source: `vfio_unpin_page_external(), ${DRIVER}`,
  rule: ({ iommuMapped }, run) => (!iommuMapped && run.kind === 'memory' ? 1 : 0),
});

/** Lets go of a page that was pinned, as often as it says. */
export const unpin = (law: Law, mapping: Mapping, index: number, times: number): void => {
  const pin = mapping.pins.get(index);
  if (pin === undefined) return;
  pin.holds -= times;
  if (pin.holds > 0) return;
  mapping.pins.delete(index);
  const clause = law.of(REFUNDS_PINNED);
  const refunded = clause.rule(mapping, pin.run);
  mapping.charged -= refunded;
  if (mapping.owner.space.alive) mapping.owner.space.uncharge(refunded, clause);
};

/** The pages that stay pinned of those that could be when one of them could not. */
const ALL_OR_NOTHING = rule<(pages: readonly PageCall[]) => readonly PageCall[]>({
  id: 'pin/all-or-nothing',
  level: 'must',
  says: 'When one of the pages cannot be pinned none is, and nothing is charged.',
  source: `${PIN_PAGES}: pin_unwind`,
  rule: () => [],
});

/** The pages before the first that cannot be pinned are, until that is seen. */
const pinInVain = (call: PinCall): void => {
  const { law, iommu } = call;
  if (!iommu.v2) return;
  const pages = call.pages();
  const faulty = pages.findIndex((page) => PAGE_FAULTS.some(({ of }) => of(page, call)));
  for (const { mapping, index } of pages.slice(0, Math.max(0, faulty))) {
    if (mapping === undefined || mapping.pins.has(index)) continue;
    witnessed(law, { how: 'pinned in vain', iommu, mapping, first: index, count: 1 });
  }
};

type Stated = Omit<Refusal<PinCall>, 'leaves'>;

const objection = (stated: Stated): Objection<PinCall> =>
  refusing<PinCall>(PINS)({
    ...stated,
    leaves: (call) => {
      const { law } = call;
      if (call.count > maxPages(call.pageSize)) return;
      pinInVain(call);
      law.of(PINS).rule(call, law.of(ALL_OR_NOTHING).rule(call.pages()));
    },
  });

const exceeds = (call: PinCall): Holds => {
  const more = new Map<AddressSpace, number>();
  const owners = new Set<Owner>();
  const clause = call.law.of(CHARGES_PINNED);
  for (const { mapping, index, run } of call.pages()) {
    if (mapping === undefined || run === undefined || mapping.pins.has(index)) continue;
    const { owner } = mapping;
    owners.add(owner);
    more.set(owner.space, (more.get(owner.space) ?? 0) + clause.rule(mapping, run));
  }
  const found = [...owners].map((owner) =>
    ownerExceedsLimit(call.law, owner, more.get(owner.space) ?? 0, call.pageSize),
  );
  return found.includes(true) ? true : found.includes('perhaps') ? 'perhaps' : false;
};

/** What keeps one page from being pinned. */
interface PageFault extends Omit<Stated, 'stage' | 'when'> {
  readonly of: (page: PageCall, call: PinCall) => boolean;
}

const PAGE_FAULTS: readonly PageFault[] = [
  {
    id: 'pin/unmapped',
    says: 'Pinning an IOVA that is in no mapping is refused with EINVAL, be it one page of many.',
    source: PIN_PAGES,
    errnos: ['EINVAL'],
    of: ({ mapping }) => mapping === undefined,
  },
  {
    id: 'pin/beyond-access',
    says: 'Pinning to write what was mapped without WRITE, or to read what was mapped without READ, is refused with EPERM.',
    source: PIN_PAGES,
    errnos: ['EPERM'],
    of: ({ mapping }, { read, write }) =>
      mapping !== undefined && ((read && !mapping.read) || (write && !mapping.write)),
  },
  {
    id: 'pin/owner-gone',
    says: 'Pinning a page of a mapping whose owner died, or has another address space since exec, is refused with ENODEV; what is pinned already can be pinned again.',
    source: `vfio_pin_page_external(), ${DRIVER}: mmget_not_zero()`,
    errnos: ['ENODEV'],
    of: ({ mapping, index }) => mapping !== undefined && !mapping.pins.has(index) && !mapping.owner.space.alive,
  },
  {
    id: 'pin/unreachable-memory',
    says: 'Pinning memory that the owner itself cannot use that way (now, whatever it was when it was mapped) is refused with EFAULT.',
    source: `vfio_pin_page_external(), vaddr_get_pfns(), ${DRIVER}`,
    errnos: ['EFAULT'],
    of: ({ mapping, run }) => mapping?.owner.space.alive === true && run === undefined,
  },
  {
    id: 'pin/registers',
    says: 'The registers of a device are no pages: pinning them is refused with EINVAL.',
    source: `${PIN_PAGES}: pfn_valid()`,
    errnos: ['EINVAL'],
    of: ({ run }) => run?.kind === 'device',
  },
];

/** Any page can be the one. */
const pageObjection = ({ of, ...rest }: PageFault): Objection<PinCall> =>
  objection({ ...rest, stage: 'pages', when: (call) => call.pages().some((page) => of(page, call)) });

/** What refuses to pin pages, stage by stage. */
export const PIN_OBJECTIONS: readonly (readonly Objection<PinCall>[])[] = [
  [
    objection({
      id: 'pin/no-pages',
      says: 'Pinning no pages is refused with EINVAL.',
      source: VFIO_PIN,
      stage: 'arguments',
      errnos: ['EINVAL'],
      when: ({ count }) => count === 0,
    }),
    objection({
      id: 'pin/too-many-pages',
      says: 'Pinning more pages at a time than a page holds pointers (512 of 4 KiB) is refused with E2BIG.',
      source: `${VFIO_PIN}: VFIO_PIN_PAGES_MAX_ENTRIES`,
      stage: 'arguments',
      errnos: ['E2BIG'],
      when: ({ count, pageSize }) => count > maxPages(pageSize),
    }),
  ],
  [
    objection({
      id: 'pin/needs-v2',
      says: 'On a v1 container pages cannot be pinned: EACCES.',
      source: `${PIN_PAGES}: Supported for v2 version only`,
      stage: 'container',
      errnos: ['EACCES'],
      when: ({ iommu }) => !iommu.v2,
    }),
  ],
  [
    ...PAGE_FAULTS.map(pageObjection),
    objection({
      id: 'pin/locked-memory',
      says: "Pinning pages that would take the owner beyond its RLIMIT_MEMLOCK, as it is then, is refused with ENOMEM, unless it had CAP_IPC_LOCK when it made the mapping; the caller's own limit and capabilities do not matter.",
      source: `vfio_pin_page_external(), vfio_lock_acct(), ${DRIVER}: dma->task, dma->lock_cap`,
      stage: 'pages',
      errnos: ['ENOMEM'],
      when: exceeds,
    }),
  ],
];

export const PIN_CLAUSES = [PINS, CHARGES_PINNED, REFUNDS_PINNED, ALL_OR_NOTHING, ...PIN_OBJECTIONS.flat()];
