/* C text of records, for compilers to be asked about. */
import { type Abi, alignmentOn, type CRecord, type CType, layoutOn, sizeOn } from './layout.ts';

const SCALARS = { u8: '__u8', u16: '__u16', u32: '__u32', s32: '__s32', u64: '__u64', long: 'long', pointer: 'void *' };

/** What the kernel's headers call these types: declared here, because the targets need no headers then. */
const TYPEDEFS = [
  'typedef unsigned char __u8;',
  'typedef unsigned short __u16;',
  'typedef unsigned int __u32;',
  'typedef signed int __s32;',
  'typedef unsigned long long __u64;',
];

const aligned = (bytes: number | undefined): string =>
  bytes === undefined ? '' : ` __attribute__((aligned(${bytes})))`;

/** The definitions of records and of those in their fields, each tag once, before what uses it. */
const definitions = (records: readonly CRecord[]): ReadonlyMap<string, string> => {
  const found = new Map<string, string>();
  const define = (type: CType): void => {
    if (type.kind === 'array') define(type.element);
    if (type.kind !== 'struct' && type.kind !== 'union') return;
    if (found.has(type.name)) return;
    for (const field of Object.values(type.fields)) define(field);
    const fields = Object.entries(type.fields).map(([name, field], index) =>
      fieldText(`${type.name}_${index}`, name, field, type.alignedFields?.[name]),
    );
    const packed = type.packed === true ? ' __attribute__((packed))' : '';
    const text = `${type.kind} ${type.name} {\n${fields.map((one) => `  ${one.text};\n`).join('')}}${packed}${aligned(type.aligned)};`;
    found.set(type.name, [...fields.map(({ needs }) => needs), text].filter((one) => one !== '').join('\n'));
  };
  for (const record of records) define(record);
  return found;
};

/** A field's declaration; an alignment that its type asks for needs a typedef of its own. */
const fieldText = (unique: string, name: string, type: CType, asked: number | undefined) => {
  const counts: (number | 'flexible')[] = [];
  let inner = type;
  while (inner.kind === 'array') {
    counts.push(inner.count);
    inner = inner.element;
  }
  const dimensions = counts.map((count) => `[${count === 'flexible' ? '' : count}]`).join('');
  const own = inner.kind === 'scalar' ? SCALARS[inner.scalar] : `${inner.kind} ${inner.name}`;
  const typedef = inner.kind === 'scalar' && inner.aligned !== undefined ? `t_${unique}` : undefined;
  return {
    needs: typedef === undefined ? '' : `typedef ${own} ${typedef}${aligned(inner.aligned)};`,
    text: `${typedef ?? own} ${name}${dimensions}${aligned(asked)}`,
  };
};

/** A C program that compiles only where every record is laid out as we say that this ABI does. */
export const layoutChecksInC = (records: readonly CRecord[], abi: Abi): string => {
  const checks = records.flatMap((type) => {
    const { size, alignment, fields } = layoutOn(abi, type);
    const tag = `${type.kind} ${type.name}`;
    const says = (what: string, value: number) => `_Static_assert(${what} == ${value}, "${abi.name}: ${tag}");`;
    return [
      says(`sizeof(${tag})`, size),
      says(`_Alignof(${tag})`, alignment),
      ...fields.map(({ name, offset }) => says(`__builtin_offsetof(${tag}, ${name})`, offset)),
    ];
  });
  const pointers = `_Static_assert(sizeof(void *) == ${sizeOn(abi, { kind: 'scalar', scalar: 'pointer' })}, "${abi.name}");`;
  const longs = `_Static_assert(_Alignof(struct { long l; }) == ${alignmentOn(abi, { kind: 'scalar', scalar: 'long' })}, "${abi.name}");`;
  return [...TYPEDEFS, pointers, longs, ...definitions(records).values(), ...checks, ''].join('\n');
};
