import type { ClauseId } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import { type Objection, objection, type Request } from '../clauses.ts';
import { ENDS_WITH_ATTACHMENT } from './fault-queue/ending.ts';
import { NEXT_ID } from './ids.ts';
import { overLimit, settle, unreachable } from './pinned.ts';
import { ioasOf } from './reserved.ts';
import {
  type Access,
  alignmentOf,
  type Context,
  type Device,
  type Ioas,
  idOf,
  type NestedTable,
  type PageTable,
} from './state.ts';

/* How page tables join an IO address space, and devices a page table. */

const PAGETABLE = 'drivers/iommu/iommufd/io_pagetable.c';

/** The page table that a device gets when it is attached to an IO address space: one of its IOMMU that was made so before, else a new one. */
export const tableFor = (ioas: Ioas, made: PageTable): PageTable =>
  [...ioas.tables].find(({ automatic, aperture }) => automatic && aperture.end === made.aperture.end) ?? made;

/** Whether a page table is not one of its IO address space yet. */
export const isNew = (table: PageTable | NestedTable): boolean =>
  table.kind === 'page table' && !table.ioas.tables.has(table);

/** A page table, if it is to be made. */
export const newOf = (table: PageTable | NestedTable | undefined): PageTable | undefined =>
  table?.kind === 'page table' && isNew(table) ? table : undefined;

/** The id of a page table, or the one that it is going to have when `taken` are given before it. */
export const idOfTable = (context: Context, table: PageTable | NestedTable, taken: readonly number[] = []): number => {
  const { law, objects, spent } = context;
  const others = new Set([...context.others.keys(), ...taken]);
  return idOf(context, table) ?? law.of(NEXT_ID).rule({ objects, others, spent });
};

/** Makes a page table an object, and all that is mapped in its IO address space is pinned. */
export const join = (context: Context, table: PageTable): void => {
  context.others.set(idOfTable(context, table), table);
  table.ioas.tables.add(table);
  settle(context);
};

/** Ends a page table that is not in use. */
export const end = (context: Context, table: PageTable | NestedTable): void => {
  const id = idOf(context, table);
  if (id !== undefined) context.others.delete(id);
  if (table.faults !== undefined) table.faults.users--;
  if (table.kind === 'nested table') (table.viommu ?? table.parent).users--;
  else table.ioas.tables.delete(table);
  settle(context);
};

/** Gives a device a page table in place of the one that it has; one that was made for devices goes with the last of them. */
export const move = (context: Context, device: Device, table: PageTable | NestedTable | undefined): void => {
  const before = device.table;
  if (before === table) return;
  if (table !== undefined) {
    if (table.kind === 'page table' && isNew(table)) join(context, table);
    table.users++;
  }
  device.table = table;
  report(device, table);
  reserve(device, before, table);
  if (before === undefined) return;
  if (before.faults !== undefined) context.law.of(ENDS_WITH_ATTACHMENT).rule(before.faults, device, 0);
  before.users--;
  if (before.kind === 'page table' && before.automatic && before.users === 0) end(context, before);
};

/** Has the events of a device go where its page table says; within one virtual IOMMU it stays what it was there. */
const report = (device: Device, table: Device['table']): void => {
  const viommu = table?.kind === 'nested table' ? table.viommu : undefined;
  if (viommu === device.reports?.viommu) return;
  device.reports = viommu && { viommu, virtId: device.virtual?.virtId ?? 0n };
};

/** Has the regions of a device reserved in the IO address space that it is attached to, and nowhere else. */
const reserve = (device: Device, before: Device['table'], after: Device['table']): void => {
  ioasOf(before)?.reserved.delete(device);
  ioasOf(after)?.reserved.set(device, device.hardware?.group.reserved ?? []);
};

const TOP = (1n << 64n) - 1n;

/** Whether a mapping of an IO address space is not aligned as new users of it need it. */
export const misaligned = (
  { platform }: Context,
  ioas: Ioas,
  { tables = [], accesses = [] }: { readonly tables?: readonly PageTable[]; readonly accesses?: readonly Access[] },
): boolean => {
  const unit = alignmentOf(
    {
      ...ioas,
      tables: new Set([...ioas.tables, ...tables]),
      accesses: new Set([...ioas.accesses, ...accesses]),
    },
    platform,
  );
  const page = BigInt(platform.pageSizeBytes);
  return [...ioas.areas].some(({ start, end, pages, from }) =>
    [start, end, (pages.vaddr + from) % page].some((number) => number % unit !== 0n),
  );
};

/** Whether a mapping, or a range that is allowed, is not within what a page table can translate. */
const beyond = (ioas: Ioas, { aperture }: PageTable): boolean =>
  ioas.areas.overlapping(0n, aperture.start) !== undefined ||
  ioas.areas.overlapping(aperture.end + 1n, TOP + 1n) !== undefined ||
  ioas.allowed.some(({ start, end }) => start < aperture.start || end > aperture.end);

/** The errno for memory that cannot be pinned, where there is but one. */
const whyUnreachable = (context: Context, table: PageTable | undefined): Errno | undefined => {
  const kinds = new Set(unreachable(context, [...(table?.ioas.areas ?? [])]).map(({ pages }) => pages.kind));
  if (kinds.size !== 1) return undefined;
  return kinds.has('file') ? 'EINVAL' : 'EFAULT';
};

/** What a call that may bring a page table into an IO address space is about. */
export interface Joining {
  readonly context: Context;
  /** The page table that is not there yet. */
  joins(): PageTable | undefined;
}

/** What refuses a new page table because of what is mapped already; ids begin with `prefix`. The call has the stages `place` and `pins`. */
export const joiningObjections = <F, S extends Joining>(
  call: Request<F, S>,
  prefix: ClauseId,
): readonly Objection<S>[] => {
  const refuses = (
    stated: Pick<Objection<S>, 'id' | 'says' | 'source' | 'stage' | 'errnos' | 'errno'>,
    holds: (context: Context, table: PageTable) => ReturnType<Objection<S>['when']>,
  ): Objection<S> =>
    objection(call, {
      level: 'must',
      ...stated,
      when: (one) => {
        const table = one.joins();
        return table !== undefined && holds(one.context, table);
      },
    });
  const source = `iopt_table_add_domain(), ${PAGETABLE}`;
  return [
    refuses(
      {
        id: `${prefix}-misaligned`,
        says: 'A page table whose smallest page is larger than what is mapped in the IO address space is aligned to is refused with EADDRINUSE.',
        source: `iopt_check_iova_alignment(), ${PAGETABLE}`,
        stage: 'place',
        errnos: ['EADDRINUSE'],
      },
      (context, table) => misaligned(context, table.ioas, { tables: [table] }),
    ),
    refuses(
      {
        id: `${prefix}-beyond-aperture`,
        says: 'A page table that cannot translate all that is mapped in the IO address space, or allowed to be chosen from, is refused with EADDRINUSE.',
        source: `${source}: No area exists that is outside the allowed domain aperture; iopt_reserve_iova()`,
        stage: 'place',
        errnos: ['EADDRINUSE'],
      },
      (_, table) => beyond(table.ioas, table),
    ),
    refuses(
      {
        id: `${prefix}-no-memory`,
        says: 'When any page that is mapped in the IO address space cannot be pinned a page table is refused (EFAULT for memory, EINVAL beyond the end of a file), and nothing is charged.',
        source: `${source}: iopt_fill_domain(); pfn_reader_user_pin(), drivers/iommu/iommufd/pages.c`,
        stage: 'pins',
        errnos: ['EFAULT', 'EINVAL'],
        errno: (one) => whyUnreachable(one.context, one.joins()),
      },
      (context, { ioas }) => unreachable(context, [...ioas.areas]).length > 0,
    ),
    refuses(
      {
        id: `${prefix}-over-limit`,
        says: 'When more pages are mapped in the IO address space than whom they are charged to may still lock a page table is refused with ENOMEM, and nothing is charged.',
        source: `${source}: iopt_fill_domain(); incr_user_locked_vm(), update_mm_locked_vm(), drivers/iommu/iommufd/pages.c`,
        stage: 'pins',
        errnos: ['ENOMEM'],
      },
      (context, { ioas }) => overLimit(context, [...ioas.areas]),
    ),
  ];
};
