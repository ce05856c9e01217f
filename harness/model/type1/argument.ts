import { decode, type Struct, sizeOf, type ValueOf } from '../../uapi/struct.ts';
import type { UserArgument } from '../world/kernel-file.ts';

/** A struct as it was found in an argument; when it could not be read all of its fields are zero. */
export type Found<Fields> = ValueOf<Struct<Fields>> & { readonly readable: boolean };

type Declared = Parameters<typeof decode>[0]['fields'];

/** copy_from_user of the first `size` bytes of a struct at `offset`; fields behind them are zero. */
export const readStruct = <Fields extends Declared>(
  argument: UserArgument,
  type: Struct<Fields>,
  offset = 0,
  size = sizeOf(type),
): Found<Fields> => {
  const bytes = argument.read(offset, size);
  const values: object = decode(type, bytes === undefined ? new Uint8Array(sizeOf(type)) : whole(bytes, sizeOf(type)));
  return Object.assign(values as ValueOf<Struct<Fields>>, { readable: bytes !== undefined });
};

const whole = (bytes: Uint8Array, size: number): Uint8Array => {
  if (bytes.length === size) return bytes;
  const padded = new Uint8Array(size);
  padded.set(bytes);
  return padded;
};
