import * as uapi from '../uapi/iommufd.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import { type Context, openIommufd } from './iommufd.ts';
import type { Memory, Said, Scenario } from './scenario.ts';
import { pointerTo, u64 } from './vfio.ts';

/* Words for what is mapped in IO address spaces without a device. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const LENGTH_AT = offsetOf(uapi.iommuIoasUnmap, 'length');
const RANGE = sizeOf(uapi.iommuIovaRange);

/** A context with one IOAS, and memory to map. */
export const ready = (s: Scenario, ioases = 1): { readonly c: Context; readonly memory: Memory } => {
  const c = openIommufd(s);
  for (let id = 1; id <= ioases; id++) c.alloc(id);
  return { c, memory: s.main.memory(0x10000, { align: 0x200000n }) };
};

/** Maps memory at an IOVA that is given. */
export const maps = (c: Context, memory: Memory, iova: bigint, length: bigint): Said =>
  c.map({ iova, length, vaddr: memory.at() }).returns(0);

/** What is mapped: unmapping everything tells how much. */
export const holds = (c: Context, bytes: bigint, ioas = 1): Said =>
  c.unmap(0n, TOP, ioas).returns(0).shows(LENGTH_AT, u64(bytes));

/** Allows IOVAs, both ends inclusive. */
export const allows = (s: Scenario, c: Context, ranges: readonly (readonly [start: bigint, last: bigint])[]): Said => {
  if (ranges.length === 0) return c.allow({ num_iovas: 0 });
  const memory = s.main.memory(ranges.length * RANGE);
  ranges.forEach(([start, last], index) => {
    memory.write(encode(uapi.iommuIovaRange, { start, last }), BigInt(index * RANGE));
  });
  return c.allow({ num_iovas: ranges.length }, memory.at());
};

/** The argument in memory that can be read only. */
export const inReadOnly = (s: Scenario, c: Context, request: bigint, bytes: Uint8Array): Said => {
  const place = s.main.memory(PAGE);
  place.write(bytes);
  place.protect('r');
  return c.command(request, pointerTo(place.at()));
};
