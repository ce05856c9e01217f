import type { Arg, Patch, Place } from '../program/step.ts';
import { IOMMU_OPTION_OP_SET } from '../uapi/iommufd.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { type AnyStruct, encode, type Initialiser, offsetOf, sizeOf } from '../uapi/struct.ts';
import { type Context, openWithMock } from './iommufd.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { inline, u32 } from './vfio.ts';

/* Words for accesses in the kernel to IO address spaces, and for what the mock device can be asked. */

/** To read and write not as the caller, though it is the caller's memory. */
export const SLOW = mock.MOCK_ACCESS_RW_SLOW_PATH;
export const TO_WRITE = mock.MOCK_FLAGS_ACCESS_WRITE;
export const PINNING = mock.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES;

const NUMBER_AT = offsetOf(mock.iommuTestAccessPages, 'out_access_pages_id');

/** An access as one actor speaks to it. */
export interface Access {
  /** The descriptor's name; a number where it is to be none. */
  readonly fd: string | number;
  /** Pins pages, to read them unless flags say otherwise; `at` is where the caller has them. */
  pins(iova: bigint, length: bigint, at?: Place, flags?: number): Said;
  /** Lets go of what it pinned under a number. */
  unpins(number: number): Said;
  /** Reads what is mapped to where `to` leads. */
  reads(iova: bigint, length: bigint, to: Place, flags?: number): Said;
  /** Writes what `from` leads to over what is mapped. */
  writes(iova: bigint, length: bigint, from: Place, flags?: number): Said;
  /** Goes to another IO address space. */
  replaces(ioas: number): Said;
  close(): Said;
  of(actor: Actor): Access;
}

/** An operation of the mock device, with a descriptor and a pointer in it where they are given. */
const test = <T extends AnyStruct>(
  type: T,
  op: number,
  fields: Omit<Initialiser<T>, 'size' | 'op'>,
  { fd, pointer }: { fd?: string | number; pointer?: readonly [field: string, to: Place | undefined] } = {},
): Arg => {
  const [field, to] = pointer ?? [];
  const patches: Patch[] = [];
  if (typeof fd === 'string') patches.push({ kind: 'fd', at: offsetOf(type, 'id'), fd });
  if (field !== undefined && to !== undefined) patches.push({ kind: 'pointer', at: offsetOf(type, field), place: to });
  const id = typeof fd === 'number' ? { id: fd } : {};
  return inline(encode(type, { size: sizeOf(type), op, ...id, ...fields }), ...patches);
};

/** The words of an access for a descriptor, or for a number that is none. */
export const accessOf = (fd: string | number, c: Context, actor: Actor): Access => {
  const call = (arg: Arg): Said => c.of(actor).command(mock.IOMMU_TEST_CMD, arg);
  const rw = (iova: bigint, length: bigint, place: Place, flags: number): Said =>
    call(
      test(
        mock.iommuTestAccessRw,
        mock.IOMMU_TEST_OP_ACCESS_RW,
        { iova, length, flags },
        { fd, pointer: ['uptr', place] },
      ),
    );
  return {
    fd,
    pins: (iova, length, at, flags = 0) =>
      call(
        test(
          mock.iommuTestAccessPages,
          mock.IOMMU_TEST_OP_ACCESS_PAGES,
          { iova, length, flags, out_access_pages_id: 0xeeee_eeee },
          { fd, pointer: ['uptr', at] },
        ),
      ),
    unpins: (number) =>
      call(
        test(mock.iommuTestUnpinPages, mock.IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, { access_pages_id: number }, { fd }),
      ),
    reads: (iova, length, to, flags = 0) => rw(iova, length, to, flags),
    writes: (iova, length, from, flags = 0) => rw(iova, length, from, flags | mock.MOCK_ACCESS_RW_WRITE),
    replaces: (ioas) =>
      call(test(mock.iommuTestReplaceIoas, mock.IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, { ioas_id: ioas }, { fd })),
    close: () => actor.does({ op: 'close', fd: String(fd) }),
    of: (other) => accessOf(fd, c, other),
  };
};

const DESCRIPTOR_AT = BigInt(offsetOf(mock.iommuTestCreateAccess, 'out_access_fd'));

/** Asks for an access, which can pin pages unless flags say otherwise; to IO address space 1. */
export const askForAccess = (
  s: Scenario,
  c: Context,
  { ioas = 1, flags = PINNING, actor = s.main }: { ioas?: number; flags?: number; actor?: Actor } = {},
): { readonly said: Said; readonly access: Access } => {
  const to = s.fresh('access');
  const arg = test(mock.iommuTestCreateAccess, mock.IOMMU_TEST_OP_CREATE_ACCESS, { id: ioas, flags });
  const said = actor.does({ op: 'ioctl', fd: c.fd, request: mock.IOMMU_TEST_CMD, arg, to, at: DESCRIPTOR_AT });
  return { said, access: accessOf(to, c, actor) };
};

/** An access that there is. */
export const withAccess = (s: Scenario, c: Context, asked: Parameters<typeof askForAccess>[2] = {}): Access => {
  const { said, access } = askForAccess(s, c, asked);
  said.returns(0);
  return access;
};

/** Asks whether a page table leads from an IOVA on to where `at` leads. */
export const checkMap = (c: Context, table: number, iova: bigint, length: bigint, at: Place): Said =>
  c.command(
    mock.IOMMU_TEST_CMD,
    test(
      mock.iommuTestCheckMap,
      mock.IOMMU_TEST_OP_MD_CHECK_MAP,
      { id: table, iova, length },
      { pointer: ['uptr', at] },
    ),
  );

/** Asks whether pages are pinned so many times. */
export const checkPins = (c: Context, at: Place, length: bigint, times: number): Said =>
  c.command(
    mock.IOMMU_TEST_CMD,
    test(mock.iommuTestCheckRefs, mock.IOMMU_TEST_OP_MD_CHECK_REFS, { length, refs: times }, { pointer: ['uptr', at] }),
  );

/** What the kernel collects pages in when nothing limits it, in bytes. */
export const USUAL_MEMORY = 65536;

/** Limits the memory that pages are collected in. */
export const limitMemory = (c: Context, limit: number): Said =>
  c.command(mock.IOMMU_TEST_CMD, test(mock.iommuTestMemoryLimit, mock.IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, { limit }));

/** Has IOVAs reserved. */
export const reserve = (c: Context, ioas: number, start: bigint, length: bigint): Said =>
  c.command(
    mock.IOMMU_TEST_CMD,
    test(mock.iommuTestReserve, mock.IOMMU_TEST_OP_ADD_RESERVED, { id: ioas, start, length }),
  );

/** Where cases map, and how much, in bytes: 16 pages. */
export const BASE = mock.MOCK_APERTURE.start;
export const SIZE = 0x10000n;

/** A process that may lock 2 MiB, which are counted for it; IO address space 1. */
export const ready = (s: Scenario): Context => {
  const c = openWithMock(s);
  c.option({ option_id: 0, op: IOMMU_OPTION_OP_SET, val64: 1n }).returns(0);
  s.main.drops('ipc_lock').succeeds();
  s.main.limits('memlock', 0x200000n);
  c.alloc(1);
  return c;
};

/** SIZE bytes that were touched in such an order that neighbouring pages hardly lie one behind the other: every other one, and then the rest. */
export const scattered = (s: Scenario): Memory => {
  const page = 0x1000n;
  const memory = s.main.memory(SIZE);
  for (const first of [0n, page]) for (let at = first; at < SIZE; at += 2n * page) memory.fill(1, at, 1n);
  return memory;
};

/** SIZE bytes at BASE, and an access with id 2. */
export const mapped = (
  s: Scenario,
  kind: (s: Scenario) => Memory = () => s.main.memory(SIZE),
): { readonly c: Context; readonly memory: Memory; readonly access: Access } => {
  const c = ready(s);
  const memory = kind(s);
  c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
  return { c, memory, access: withAccess(s, c) };
};

/** What an actor has pinned and locked, in pages. */
export const holds = (actor: Actor, pages: number): void => {
  actor.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);
  actor.lockedKb().returns(pages * 4);
};

/** What was pinned got that number. */
export const numbered = (said: Said, number: number): Said => said.returns(0).shows(NUMBER_AT, u32(number));
