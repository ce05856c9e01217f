/**
 * C structs as data. A struct is its C name and its fields in order; where each field lies is computed for an ABI, as a
 * C compiler does, so that one description serves every architecture.
 */
import { I386, X86_64 } from './abis.ts';
import {
  type Abi,
  type CRecord,
  type CType,
  type Layout,
  layoutOn,
  type ScalarName,
  scalarBytes,
  sizeOn,
} from './layout.ts';

export { type Abi, I386, X86_64 };

interface Scalar<Name extends ScalarName> {
  readonly kind: 'scalar';
  readonly scalar: Name;
}
interface Repeated<Element> {
  readonly kind: 'array';
  readonly element: Element;
  /** Number of elements; `flexible` for a tail of as many as there are bytes for. */
  readonly count: number | 'flexible';
}
export interface Struct<Fields> {
  readonly kind: 'struct';
  /** The tag in C: `vfio_iommu_type1_dma_map`. */
  readonly name: string;
  readonly fields: Fields;
}

type Type =
  | { readonly kind: 'scalar'; readonly scalar: ScalarName }
  | { readonly kind: 'array'; readonly element: Type; readonly count: number | 'flexible' }
  | { readonly kind: 'struct'; readonly name: string; readonly fields: FieldList };
interface FieldList {
  readonly [name: string]: Type;
}
/** Any struct as this file describes it. */
export type AnyStruct = Struct<FieldList>;

/** What a field holds in TypeScript: 64-bit numbers and pointers are bigint, arrays of bytes are Uint8Array. */
export type ValueOf<T> =
  T extends Scalar<'u64' | 'pointer'>
    ? bigint
    : T extends Scalar<ScalarName>
      ? number
      : T extends Repeated<infer Element>
        ? Element extends Scalar<'u8'>
          ? Uint8Array
          : readonly ValueOf<Element>[]
        : T extends Struct<infer Fields>
          ? { readonly [Name in keyof Fields]: ValueOf<Fields[Name]> }
          : never;

/** What may be given to `encode`: like a C initialiser, fields that are not named are zero. */
export type Initialiser<T> =
  T extends Struct<infer Fields>
    ? { readonly [Name in keyof Fields]?: Initialiser<Fields[Name]> }
    : T extends Repeated<infer Element>
      ? Element extends Scalar<'u8'>
        ? Uint8Array
        : readonly Initialiser<Element>[]
      : ValueOf<T>;

const scalar = <Name extends ScalarName>(name: Name): Scalar<Name> => ({ kind: 'scalar', scalar: name });

export const u8 = scalar('u8');
export const u16 = scalar('u16');
export const u32 = scalar('u32');
export const s32 = scalar('s32');
export const u64 = scalar('u64');
export const pointer = scalar('pointer');

/** An array of a fixed number of elements. */
export const array = <Element extends Type>(element: Element, count: number): Repeated<Element> => ({
  kind: 'array',
  element,
  count,
});

/** A flexible array member; only the last field of a struct may be one. */
export const flexible = <Element extends Type>(element: Element): Repeated<Element> => ({
  kind: 'array',
  element,
  count: 'flexible',
});

/** Declares a struct: its tag and its fields in the order of the header. */
export const struct = <Fields extends FieldList>(name: string, fields: Fields): Struct<Fields> => ({
  kind: 'struct',
  name,
  fields,
});

/** Lays a struct out for an ABI; computed once for each. */
export const layoutOf = (type: CRecord, abi: Abi = X86_64): Layout => layoutOn(abi, type);

/** The same with the types of the struct's own fields, which are all such as have values. */
const valuesLayout = (type: AnyStruct, abi: Abi): Layout<Type> => layoutOn(abi, type) as Layout<Type>;

/** `sizeof` in bytes; a flexible tail counts nothing. */
export const sizeOf = (type: CType, abi: Abi = X86_64): number => sizeOn(abi, type);

/** Whether a value that a module exports is a struct. */
export const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === 'object' && value !== null && (value as Struct<unknown>).kind === 'struct';

/** `offsetof` in bytes. */
export const offsetOf = <Fields extends FieldList>(
  type: Struct<Fields>,
  field: keyof Fields & string,
  abi: Abi = X86_64,
): number => {
  const offset = layoutOf(type, abi).fields.find(({ name }) => name === field)?.offset;
  if (offset === undefined) throw new RangeError(`struct ${type.name} has no field ${field}`);
  return offset;
};

/**
 * The bytes of a struct with these values; padding and fields that are not named are zero, and a flexible tail follows
 * at its offset. Throws RangeError for a value that its field cannot hold.
 */
export const encode = <Fields extends FieldList>(
  type: Struct<Fields>,
  values: Initialiser<Struct<Fields>>,
  abi: Abi = X86_64,
): Uint8Array => {
  const bytes = new Uint8Array(encodedSize(type, values, abi));
  put(new DataView(bytes.buffer), 0, type, values, abi, type.name);
  return bytes;
};

const encodedSize = (type: AnyStruct, values: Readonly<Record<string, unknown>>, abi: Abi): number => {
  const { size, fields } = valuesLayout(type, abi);
  const tail = fields.at(-1);
  if (tail?.type.kind !== 'array' || tail.type.count !== 'flexible') return size;
  return Math.max(size, tail.offset + lengthOf(values[tail.name]) * sizeOf(tail.type.element, abi));
};

const lengthOf = (value: unknown): number => (Array.isArray(value) || value instanceof Uint8Array ? value.length : 0);

const put = (view: DataView, at: number, type: Type, value: unknown, abi: Abi, path: string): void => {
  if (value === undefined) return;
  switch (type.kind) {
    case 'scalar':
      putScalar(view, at, type.scalar, value, abi, path);
      return;
    case 'array': {
      if (type.count !== 'flexible' && lengthOf(value) > type.count) {
        throw new RangeError(`${path} holds ${type.count} elements, not ${lengthOf(value)}`);
      }
      const step = sizeOf(type.element, abi);
      for (const [index, element] of [...(value as Iterable<unknown>)].entries()) {
        put(view, at + index * step, type.element, element, abi, `${path}[${index}]`);
      }
      return;
    }
    case 'struct': {
      const values = value as Readonly<Record<string, unknown>>;
      for (const field of valuesLayout(type, abi).fields) {
        put(view, at + field.offset, field.type, values[field.name], abi, `${path}.${field.name}`);
      }
      return;
    }
  }
};

const putScalar = (view: DataView, at: number, name: ScalarName, value: unknown, abi: Abi, path: string): void => {
  const bits = scalarBytes(name, abi) * 8;
  const number = BigInt(value as number | bigint);
  if ((name === 's32' ? BigInt.asIntN(bits, number) : BigInt.asUintN(bits, number)) !== number) {
    throw new RangeError(`${path} is a ${name} and cannot hold ${number}`);
  }
  const little = abi.byteOrder === 'little';
  switch (bits) {
    case 8:
      view.setUint8(at, Number(number));
      return;
    case 16:
      view.setUint16(at, Number(number), little);
      return;
    case 32:
      view.setUint32(at, Number(number), little);
      return;
    default:
      view.setBigUint64(at, number, little);
  }
};

/**
 * Reads a struct from the start of `bytes`; a flexible tail takes all whole elements that follow. Throws RangeError when
 * there are fewer bytes than the struct's fixed part has.
 */
export const decode = <Fields extends FieldList>(
  type: Struct<Fields>,
  bytes: Uint8Array,
  abi: Abi = X86_64,
): ValueOf<Struct<Fields>> => {
  if (bytes.length < sizeOf(type, abi)) {
    throw new RangeError(`struct ${type.name} is ${sizeOf(type, abi)} bytes, not ${bytes.length}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The generic walk cannot be typed by field; ValueOf describes exactly what it builds.
  return get(view, 0, type, abi) as ValueOf<Struct<Fields>>;
};

const get = (view: DataView, at: number, type: Type, abi: Abi): unknown => {
  switch (type.kind) {
    case 'scalar':
      return getScalar(view, at, type.scalar, abi);
    case 'array': {
      const step = sizeOf(type.element, abi);
      const room = Math.max(0, Math.floor((view.byteLength - at) / step));
      const count = type.count === 'flexible' ? room : type.count;
      if (type.element.kind === 'scalar' && type.element.scalar === 'u8') {
        return new Uint8Array(view.buffer, view.byteOffset + at, count).slice();
      }
      return Array.from({ length: count }, (_, index) => get(view, at + index * step, type.element, abi));
    }
    case 'struct': {
      const values: Record<string, unknown> = {};
      for (const field of valuesLayout(type, abi).fields)
        values[field.name] = get(view, at + field.offset, field.type, abi);
      return values;
    }
  }
};

const getScalar = (view: DataView, at: number, name: ScalarName, abi: Abi): number | bigint => {
  const little = abi.byteOrder === 'little';
  switch (name) {
    case 'u8':
      return view.getUint8(at);
    case 'u16':
      return view.getUint16(at, little);
    case 'u32':
      return view.getUint32(at, little);
    case 's32':
      return view.getInt32(at, little);
    case 'u64':
      return view.getBigUint64(at, little);
    case 'pointer':
      return abi.pointerBytes === 8 ? view.getBigUint64(at, little) : BigInt(view.getUint32(at, little));
  }
};
