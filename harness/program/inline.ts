import type { Arg, Patch } from './step.ts';

/** Arguments are values that do not change, and are asked for again with every iteration. */
const templates = new WeakMap<Arg, { readonly lets: Readonly<Record<string, string>>; readonly bytes: Buffer }>();

const template = (arg: Extract<Arg, { kind: 'inline' }>, lets: Readonly<Record<string, string>>): Buffer => {
  const known = templates.get(arg);
  if (known?.lets === lets) return known.bytes;
  const bytes = Buffer.concat(
    arg.segments.map((part) => ('bytes' in part ? part.bytes : Buffer.from(lets[part.text] ?? ''))),
  );
  templates.set(arg, { lets, bytes });
  return bytes;
};

/**
 * The bytes of an inline ioctl argument as it goes in, and as an observation's `out` would show it if nothing changed:
 * strides are applied, patched pointers and descriptors are not (observations show those as they were written).
 * `undefined` for arguments that are not inline. The bytes must not be written to.
 */
export const initialBytes = (
  arg: Arg,
  iteration: number,
  lets: Readonly<Record<string, string>>,
): Uint8Array | undefined => {
  if (arg.kind !== 'inline') return undefined;
  const bytes = template(arg, lets);
  if (iteration === 0) return bytes;
  let moved: Buffer | undefined;
  for (const patch of arg.patches) {
    if (patch.kind !== 'stride' || isPointer(arg.patches, patch.at)) continue;
    moved ??= Buffer.from(bytes);
    moved.writeBigUInt64LE(
      BigInt.asUintN(64, bytes.readBigUInt64LE(patch.at) + BigInt(iteration) * patch.stride),
      patch.at,
    );
  }
  return moved ?? bytes;
};

const isPointer = (patches: readonly Patch[], at: number): boolean => {
  for (const patch of patches) if (patch.kind === 'pointer' && patch.at === at) return true;
  return false;
};
