import { decode, type Struct, sizeOf, type ValueOf } from '../../uapi/struct.ts';
import type { UserArgument } from '../world/kernel-file.ts';

/** A struct as it was found in an argument; when it could not be read all of its fields are zero. */
export type Found<Fields> = ValueOf<Struct<Fields>> & { readonly readable: boolean };

type Declared = Parameters<typeof decode>[0]['fields'];

/** copy_from_user of the first `size` bytes of a struct at `offset`; fields behind them are zero. By default the whole struct. */
export const readStruct = <Fields extends Declared>(
  argument: UserArgument,
  type: Struct<Fields>,
  { offset = 0, size = sizeOf(type) }: { readonly offset?: number; readonly size?: number } = {},
): Found<Fields> => {
  const bytes = argument.read(offset, size);
  const whole = sizeOf(type);
  const padded = bytes?.length === whole ? bytes : new Uint8Array(whole);
  if (bytes !== undefined && padded !== bytes) padded.set(bytes);
  return { ...decode(type, padded), readable: bytes !== undefined };
};
