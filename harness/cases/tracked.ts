import * as uapi from '../uapi/iommufd.ts';
import * as mock from '../uapi/iommufd-test.ts';
import { offsetOf } from '../uapi/struct.ts';
import { type Context, openWithMock } from './iommufd.ts';
import { allocTable, DIRTY, getDirty, setTracking, writeThrough } from './page-tables.ts';
import type { Memory, Said, Scenario } from './scenario.ts';
import { u64 } from './vfio.ts';

/* Words for page tables that track which pages are written. */

const PAGE = 0x1000n;
/** Where IO virtual addresses of the mock device begin, how much is mapped there, and the page table that tracks. */
export const BASE = mock.MOCK_APERTURE.start;
export const SIZE = 64n * PAGE;
export const TABLE = 5;
const COUNT_AT = offsetOf(mock.iommuTestDirty, 'out_nr_dirty');

/** How page table 5 is made. */
export interface Options {
  /** Pages may be combined. */
  readonly large?: boolean;
  readonly flags?: number;
}

/** IO address space 1 with mock device 2, bound as device 3, attached to page table 4; page table 5 tracks what is written. */
export const ready = (s: Scenario, { large = false, flags = DIRTY }: Options = {}): Context => {
  const c = openWithMock(s);
  c.alloc(1);
  if (!large) {
    const option = { option_id: uapi.IOMMU_OPTION_HUGE_PAGES, op: uapi.IOMMU_OPTION_OP_SET, object_id: 1 };
    c.option({ ...option, val64: 0n }).returns(0);
  }
  c.attachMock(1).returns(0);
  allocTable(c, { dev_id: 3, flags }).returns(0);
  return c;
};

/** Maps new memory, in huge pages of so many bytes where that is said. */
export const maps = (s: Scenario, c: Context, iova = BASE, length = SIZE, huge?: bigint): Memory => {
  const memory = s.main.memory(length, huge === undefined ? {} : { huge });
  c.map({ iova, length, vaddr: memory.at() }).returns(0);
  return memory;
};

/** The same, tracking, with [BASE, BASE + SIZE) mapped in pages of 4 KiB. */
export const tracking = (s: Scenario): Context => {
  const c = ready(s);
  maps(s, c);
  setTracking(c, TABLE).returns(0);
  return c;
};

/** Sets bits of a bitmap. */
export const bitsOf = (bits: readonly number[], bytes: number, before = 0): Uint8Array => {
  const found = new Uint8Array(bytes).fill(before);
  for (const bit of bits) found[bit >> 3] = (found[bit >> 3] ?? 0) | (1 << (bit & 7));
  return found;
};

/** The device writes to pages, counted from an IOVA. */
export const writes = (s: Scenario, c: Context, pages: readonly number[], from = BASE, unit = PAGE): Said => {
  const most = Math.max(...pages) + 1;
  const bits = s.main.memory(Math.ceil(most / 8));
  bits.write(bitsOf(pages, Math.ceil(most / 8)));
  return writeThrough(c, { id: TABLE, iova: from, length: BigInt(most) * unit, page_size: unit }, bits.at())
    .returns(0)
    .shows(COUNT_AT, u64(BigInt(pages.length)));
};

/** What is read, and where to; bytes. */
export interface Reading {
  readonly iova?: bigint;
  readonly length?: bigint;
  readonly unit?: bigint;
  readonly flags?: number;
  /** How far the bitmap begins from the start of a page. */
  readonly offset?: number;
  /** What the bytes of the bitmap are before. */
  readonly before?: number;
  readonly table?: number;
}

/** Reads a range, and says which bits are then set. */
export const shows = (s: Scenario, c: Context, bits: readonly number[], reading: Reading = {}): void => {
  const { iova = BASE, length = SIZE, unit = PAGE, flags = 0, offset = 0, before = 0, table = TABLE } = reading;
  const bytes = Number((length / unit + 7n) / 8n);
  // What lies round the bitmap must stay as it is: a bitmap of another size would show there.
  const margin = 16;
  const memory = s.main.memory(bytes + 2 * margin, { offset, guard: true });
  memory.fill(0x5a);
  memory.fill(before, BigInt(margin), BigInt(bytes));
  getDirty(c, { hwpt_id: table, iova, length, page_size: unit, flags }, memory.at(margin)).returns(0);
  const expected = new Uint8Array(bytes + 2 * margin).fill(0x5a);
  expected.set(bitsOf(bits, bytes, before), margin);
  memory.read().shows(0, expected);
  memory.guards().returns(0);
};
