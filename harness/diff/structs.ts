import { type Abi, I386, layoutOf, type Struct, sizeOf, X86_64 } from '../uapi/struct.ts';
import type { Change, FieldFacts, LayoutFacts, SpecDiff, StructChange } from './spec-diff.ts';

/** A struct as harness/uapi describes it. */
export type AnyStruct = Parameters<typeof layoutOf>[0];

const ABIS: readonly Abi[] = [X86_64, I386];

/**
 * Compares the structs of two sides, by tag and on each architecture. Architectures that change a struct in the same way
 * are told of together.
 */
export const compareStructs = (a: readonly AnyStruct[], b: readonly AnyStruct[]): SpecDiff['structs'] => {
  const [before, after] = [byTag(a), byTag(b)];
  const changes: StructChange[] = [];
  const unchanged: string[] = [];
  for (const tag of new Set([...before.keys(), ...after.keys()])) {
    const found = alike(ABIS.map((abi) => compareOn(abi, before.get(tag), after.get(tag))));
    if (found.length === 0) unchanged.push(tag);
    changes.push(...found.map((one) => ({ struct: tag, ...one })));
  }
  return { changes, unchanged };
};

const byTag = (structs: readonly AnyStruct[]): ReadonlyMap<string, AnyStruct> =>
  new Map(structs.map((one) => [one.name, one]));

type OnAbis = Omit<StructChange, 'struct'>;

const compareOn = (abi: Abi, a: AnyStruct | undefined, b: AnyStruct | undefined): OnAbis | undefined => {
  const [before, after] = [a && factsOfLayout(a, abi), b && factsOfLayout(b, abi)];
  if (JSON.stringify(before) === JSON.stringify(after)) return undefined;
  const change: Change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  return {
    abis: [abi.name],
    change,
    ...(before === undefined ? {} : { a: before }),
    ...(after === undefined ? {} : { b: after }),
  };
};

/** One entry for all architectures that lay a struct out alike on both sides. */
const alike = (all: readonly (OnAbis | undefined)[]): readonly OnAbis[] => {
  const kinds = new Map<string, OnAbis>();
  for (const one of all) {
    if (one === undefined) continue;
    const key = JSON.stringify([one.a, one.b]);
    const known = kinds.get(key);
    kinds.set(key, known === undefined ? one : { ...known, abis: [...known.abis, ...one.abis] });
  }
  return [...kinds.values()];
};

type FieldType = AnyStruct['fields'][string];

/** A layout with the bytes that belong to no field. */
export const factsOfLayout = (type: AnyStruct, abi: Abi): LayoutFacts => {
  const { size, alignment, fields } = layoutOf(type, abi);
  const told: FieldFacts[] = [];
  let end = 0;
  const pad = (to: number): void => {
    if (to > end) told.push({ name: 'padding', type: '', offset: end, size: to - end, padding: true });
  };
  for (const field of fields) {
    pad(field.offset);
    const bytes = sizeOf(field.type, abi);
    told.push({ name: field.name, type: typeName(field.type), offset: field.offset, size: bytes });
    end = field.offset + bytes;
  }
  // Behind the start of a flexible tail nothing is padding, even where the struct itself ends later.
  if (told.at(-1)?.type.endsWith('[]') !== true) pad(size);
  return { size, alignment, fields: told };
};

/** As C has it: `__u64`, `__u8[]`, `struct vfio_bitmap`. */
const typeName = (type: FieldType): string => {
  switch (type.kind) {
    case 'scalar':
      return type.scalar === 'pointer' ? 'pointer' : `__${type.scalar}`;
    case 'array':
      return `${typeName(type.element)}[${type.count === 'flexible' ? '' : type.count}]`;
    case 'struct':
      return `struct ${type.name}`;
  }
};

/** Whether a value that a module exports is a struct. */
export const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === 'object' && value !== null && (value as Struct<unknown>).kind === 'struct';
