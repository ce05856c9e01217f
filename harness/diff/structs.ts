import { ABIS } from '../uapi/abis.ts';
import { type Abi, type CType, holesOn } from '../uapi/layout.ts';
import { type AnyStruct, layoutOf, sizeOf } from '../uapi/struct.ts';
import type { Change, FieldFacts, LayoutFacts, SpecDiff, StructChange } from './spec-diff.ts';

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

/** A layout with the bytes that belong to no field. */
export const factsOfLayout = (type: AnyStruct, abi: Abi): LayoutFacts => {
  const { size, alignment, fields } = layoutOf(type, abi);
  const told = fields.map(
    ({ name, offset, type: field }): FieldFacts => ({
      name,
      type: typeName(field),
      offset,
      size: sizeOf(field, abi),
    }),
  );
  const padding = holesOn(abi, type).map(
    (hole): FieldFacts => ({ name: 'padding', type: '', offset: hole.offset, size: hole.size, padding: true }),
  );
  return { size, alignment, fields: [...told, ...padding].sort((a, b) => a.offset - b.offset) };
};

/** As C has it: `__u64`, `__u8[]`, `struct vfio_bitmap`. */
const typeName = (type: CType): string => {
  switch (type.kind) {
    case 'scalar':
      return type.scalar === 'pointer' ? 'pointer' : `__${type.scalar}`;
    case 'array':
      return `${typeName(type.element)}[${type.count === 'flexible' ? '' : type.count}]`;
    case 'struct':
    case 'union':
      return `${type.kind} ${type.name}`;
  }
};
