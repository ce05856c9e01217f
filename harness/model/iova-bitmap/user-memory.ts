import type { Clause } from '../../spec/clause.ts';
import type { AddressSpace } from '../world/address-space.ts';
import type { BitRun } from './bits.ts';

/** Sets the bits of a run in the user's memory: whole bytes at fill speed, those at its ends one by one. */
export const setBits = (
  space: AddressSpace,
  firstPage: bigint,
  { first, count }: BitRun,
  by: Clause,
  keeps = (before: number, mask: number): number => before | mask,
): void => {
  const end = first + count;
  const or = (byte: number, mask: number): void => {
    const address = firstPage + BigInt(byte);
    const [before = 0] = space.read(address, 1) ?? [];
    space.write(address, Uint8Array.of(keeps(before, mask)), by);
  };
  const [firstByte, lastByte] = [Math.floor(first / 8), Math.floor((end - 1) / 8)];
  const head = (0xff << (first % 8)) & 0xff;
  const tail = 0xff >> (7 - ((end - 1) % 8));
  if (firstByte === lastByte) {
    or(firstByte, head & tail);
    return;
  }
  or(firstByte, head);
  or(lastByte, tail);
  const whole = lastByte - firstByte - 1;
  if (whole > 0) space.fill(firstPage + BigInt(firstByte + 1), BigInt(whole), 0xff, by);
};
