import type { Arg } from './step.ts';

/**
 * The bytes of an inline ioctl argument as it goes in, and as an observation's `out` would show it if nothing changed:
 * strides are applied, patched pointers and descriptors are not (observations show those as they were written).
 * `undefined` for arguments that are not inline.
 */
export const initialBytes = (
  arg: Arg,
  iteration: number,
  lets: Readonly<Record<string, string>>,
): Uint8Array | undefined => {
  if (arg.kind !== 'inline') return undefined;
  const bytes = Buffer.concat(
    arg.segments.map((part) => ('bytes' in part ? part.bytes : Buffer.from(lets[part.text] ?? ''))),
  );
  if (iteration === 0) return bytes;
  const masked = new Set(arg.patches.filter((patch) => patch.kind === 'pointer').map((patch) => patch.at));
  for (const patch of arg.patches) {
    if (patch.kind !== 'stride' || masked.has(patch.at)) continue;
    const moved = bytes.readBigUInt64LE(patch.at) + BigInt(iteration) * patch.stride;
    bytes.writeBigUInt64LE(BigInt.asUintN(64, moved), patch.at);
  }
  return bytes;
};
