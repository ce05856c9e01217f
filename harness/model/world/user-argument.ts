import { initialBytes } from '../../program/inline.ts';
import type { Arg, Patch, Place, Program } from '../../program/step.ts';
import type { UserArgument } from './kernel-file.ts';
import type { Mm } from './mm.ts';
import type { OpenFile } from './process.ts';

/** Bytes that stand outside of what a program gave a call, so that reading or writing too far shows. */
export const GUARD_BYTE = 0xa5;

/** Guard bytes behind an inline argument, at least; it begins at a multiple of 8, and what is behind its guard bytes cannot be touched. */
const GUARD_SIZE = 256;
const ALIGNMENT = 8;

/** Where the model says that inline arguments lie; nothing else is ever mapped there. */
const INLINE_ADDRESS = 0x0800_0000_0000n;

/** What an argument's patches name, as it is when the call is made. */
export interface Resolver {
  address(place: Place): bigint;
  file(name: string): OpenFile | undefined;
}

/** The argument of one call, as the kernel sees it. */
export const userArgument = (
  arg: Arg,
  { space, iteration, lets, resolver }: { space: Mm; iteration: number; lets: Program['lets']; resolver: Resolver },
): UserArgument => {
  switch (arg.kind) {
    case 'value':
      return memoryArgument(arg.value, space);
    case 'place':
      return memoryArgument(resolver.address(arg.place), space);
    case 'inline':
      return inlineArgument(
        patched(initialBytes(arg, iteration, lets), arg.patches, iteration, resolver),
        arg.patches,
        resolver,
      );
  }
};

/** An argument that lies in the caller's memory, or where nothing lies. */
const memoryArgument = (value: bigint, space: Mm): UserArgument => ({
  value,
  read: (offset, size) => space.read(value + BigInt(offset), size),
  writable: (offset, size) => space.reach(value + BigInt(offset), BigInt(size), 'write') === BigInt(size),
  fileAt: () => undefined,
});

/**
 * An argument in a buffer of exactly its size, with guard bytes behind it. It has methods, not arrow functions, because
 * tsx names every arrow function when it is made, which costs more than calling it, and there is one of these a call.
 */
const inlineArgument = (bytes: Uint8Array, patches: readonly Patch[], resolver: Resolver): UserArgument => {
  const end = Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT + GUARD_SIZE;
  return {
    value: INLINE_ADDRESS,
    read(offset, size) {
      if (!this.writable(offset, size)) return undefined;
      const found = bytes.slice(offset, offset + size);
      if (found.length === size) return found;
      const guarded = new Uint8Array(size).fill(GUARD_BYTE);
      guarded.set(found);
      return guarded;
    },
    writable(offset, size) {
      return offset >= 0 && offset + size <= end;
    },
    fileAt(offset) {
      const patch = patches.find((one) => one.kind === 'fd' && one.at === offset);
      return patch?.kind === 'fd' ? resolver.file(patch.fd) : undefined;
    },
  };
};

/**
 * The bytes with their patches: pointers become addresses, and move with a stride that is given for them. Descriptors have
 * no number in the model; their bytes stay, and `fileAt` tells which file is meant.
 */
const patched = (
  initial: Uint8Array | undefined,
  patches: readonly Patch[],
  iteration: number,
  resolver: Resolver,
): Uint8Array => {
  // A copy of our own, for the patches; and a plain array, because slices of a Buffer are no copies.
  const bytes = new Uint8Array(initial ?? []);
  const view = new DataView(bytes.buffer);
  for (const patch of patches) {
    if (patch.kind !== 'pointer') continue;
    const strides = patches.filter((one) => one.kind === 'stride' && one.at === patch.at);
    const moved = strides.reduce((sum, one) => sum + (one.kind === 'stride' ? one.stride * BigInt(iteration) : 0n), 0n);
    view.setBigUint64(patch.at, BigInt.asUintN(64, resolver.address(patch.place) + moved), true);
  }
  return bytes;
};
