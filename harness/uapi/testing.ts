/* Compilers, and C text of records that they are asked about. */
import { execa } from 'execa';
import { type Abi, alignmentOn, type CRecord, type CType, layoutOn, sizeOn } from './layout.ts';

const SCALARS = { u8: '__u8', u16: '__u16', u32: '__u32', s32: '__s32', u64: '__u64', long: 'long', pointer: 'void *' };

/** What the kernel's headers call these types: declared here, because the targets need no headers then. */
export const TYPEDEFS = [
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

/** Assertions that hold only where every record is laid out as we say that this ABI does; the program defines the records. */
export const layoutAssertions = (records: readonly CRecord[], abi: Abi): readonly string[] =>
  records.flatMap((type) => {
    const { size, alignment, fields } = layoutOn(abi, type);
    const tag = `${type.kind} ${type.name}`;
    const says = (what: string, value: number) => `_Static_assert(${what} == ${value}, "${abi.name}: ${tag}");`;
    return [
      says(`sizeof(${tag})`, size),
      says(`_Alignof(${tag})`, alignment),
      ...fields
        // Anonymous members have names that are none in C.
        .filter(({ name }) => /^\w+$/.test(name))
        .map(({ name, offset }) => says(`__builtin_offsetof(${tag}, ${name})`, offset)),
    ];
  });

/** A C program that compiles only where every record is laid out as we say that this ABI does. */
export const layoutChecksInC = (records: readonly CRecord[], abi: Abi): string => {
  const pointers = `_Static_assert(sizeof(void *) == ${sizeOn(abi, { kind: 'scalar', scalar: 'pointer' })}, "${abi.name}");`;
  const longs = `_Static_assert(_Alignof(struct { long l; }) == ${alignmentOn(abi, { kind: 'scalar', scalar: 'long' })}, "${abi.name}");`;
  return [...TYPEDEFS, pointers, longs, ...definitions(records).values(), ...layoutAssertions(records, abi), ''].join(
    '\n',
  );
};

/** Compilers that lay records out for an ABI: a command with its options, which reads a program from standard input. */
type Compiler = readonly [abi: string, command: string, ...options: string[]];

export const COMPILERS: readonly Compiler[] = [
  ['x86-64', 'clang', '--target=x86_64-linux-gnu'],
  ['i386', 'clang', '--target=i386-linux-gnu'],
  ['x32', 'clang', '--target=x86_64-linux-gnux32'],
  ['arm64', 'clang', '--target=aarch64-linux-gnu'],
  ['armv7', 'clang', '--target=armv7-linux-gnueabihf'],
  ['riscv64', 'clang', '--target=riscv64-linux-gnu'],
  ['ppc64le', 'clang', '--target=powerpc64le-linux-gnu'],
  ['s390x', 'clang', '--target=s390x-linux-gnu'],
  ['x86-64', 'gcc', '-m64'],
  ['i386', 'gcc', '-m32'],
  ['x32', 'gcc', '-mx32'],
];

/** What only a compiler for that ABI defines: an option that one takes and makes nothing of would prove nothing. */
const DEFINED: Readonly<Record<string, string>> = {
  'x86-64': 'defined(__x86_64__) && !defined(__ILP32__)',
  i386: 'defined(__i386__)',
  x32: 'defined(__x86_64__) && defined(__ILP32__)',
  arm64: 'defined(__aarch64__)',
  armv7: 'defined(__arm__)',
  riscv64: 'defined(__riscv) && __riscv_xlen == 64',
  ppc64le: 'defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)',
  s390x: 'defined(__s390x__)',
};

/** The compiler's complaints about a program; empty when it has none. `undefined` when it is not there at all. */
export const complaints = async ([, command, ...options]: Compiler, program: string) => {
  const args = [...options, '-std=gnu11', '-ffreestanding', '-fsyntax-only', '-w', '-x', 'c', '-'];
  const done = await execa(command, args, { input: program, reject: false, timeout: 60_000 });
  if (done.exitCode === undefined) return undefined;
  return done.exitCode === 0 ? '' : done.stderr.slice(0, 2000) || `exit code ${done.exitCode}`;
};

/** Why a compiler cannot be asked about its ABI; `undefined` when it can. */
export const whyNot = async (compiler: Compiler): Promise<string | undefined> => {
  const [name, command] = compiler;
  const refused = await complaints(compiler, `#if !(${DEFINED[name]})\n#error another architecture\n#endif\nint x;\n`);
  if (refused === '') return undefined;
  return refused === undefined ? `${command} is not here` : `${command} does not compile for ${name}`;
};
