import type { Clause } from '../../spec/clause.ts';
import type { AddressSpace } from './address-space.ts';
import type { PageStore, Piece } from './page-store.ts';

/* Bytes that the kernel copies between memory of a process and a buffer of its own; bytes that nobody can know stay so. */

/** An address in a process. */
export interface InSpace {
  readonly space: AddressSpace;
  readonly vaddr: bigint;
}

/** Copies `size` bytes that a process has to byte `at` of a buffer, up to the first that cannot be read. */
export const copyFromSpace = (
  { space, vaddr }: InSpace,
  buffer: PageStore,
  at: number,
  size: number,
  by: Clause,
): void => {
  let done = at;
  space.visitBytes(vaddr, BigInt(size), (piece) => {
    if ('byte' in piece) buffer.fill(done, piece.size, piece.byte, by);
    else {
      buffer.write(done, piece.bytes, by);
      const first = done;
      eachUnknown(piece, (from) => buffer.conceal(first + from, 1));
    }
    done += piece.size;
  });
};

/** Copies `size` bytes from byte `at` of a buffer on to a process, up to the first that cannot be written. */
export const copyToSpace = (
  { space, vaddr }: InSpace,
  buffer: PageStore,
  at: number,
  size: number,
  by: Clause,
): void => {
  let to = vaddr;
  buffer.visit(at, size, (piece) => {
    if ('byte' in piece) space.fill(to, BigInt(piece.size), piece.byte, by);
    else {
      space.write(to, piece.bytes, by);
      const first = to;
      eachUnknown(piece, (from) => void space.fill(first + BigInt(from), 1n, undefined, by));
    }
    to += BigInt(piece.size);
  });
};

const eachUnknown = (piece: Extract<Piece, { bytes: Uint8Array }>, see: (from: number) => void): void =>
  piece.unknown?.forEach((one, at) => {
    if (one === 1) see(at);
  });
