/** What is held against the layout of a struct, told for all architectures at once. */
import { ABIS } from '../uapi/abis.ts';
import { type Abi, alignUp, type CType, holesOn, layoutOn, sizeOn } from '../uapi/layout.ts';
import { ALIGNED_64_BIT, ALIGNED_TAIL, EXPLICIT_PADDING, SAME_LAYOUT } from './clauses.ts';
import type { Finding } from './finding.ts';
import type { Resolved } from './resolve.ts';

const WORD = 8;

/** Everything that is wrong with the layout of a struct or union. */
export const layoutFindings = (one: Resolved): readonly Finding[] => [
  ...sameLayout(one),
  ...padding(one),
  ...aligned64(one),
  ...alignedTail(one),
];

/** `i386`, `every architecture`, `every architecture but i386`. */
const onText = (abis: readonly Abi[]): string => {
  const others = ABIS.filter((abi) => !abis.includes(abi)).map(({ name }) => name);
  if (others.length >= abis.length) return abis.map(({ name }) => name).join(', ');
  return others.length === 0 ? 'every architecture' : `every architecture but ${others.join(', ')}`;
};

/** Which architectures have which value, in the order of the architectures; those without one are left out. */
const grouped = (valueOn: (abi: Abi) => number | undefined): ReadonlyMap<number, readonly Abi[]> => {
  const groups = new Map<number, readonly Abi[]>();
  for (const abi of ABIS) {
    const value = valueOn(abi);
    if (value !== undefined) groups.set(value, [...(groups.get(value) ?? []), abi]);
  }
  return groups;
};

/** `12 on i386, 16 elsewhere`; `what` is said of the first. */
const groupsText = (groups: ReadonlyMap<number, readonly Abi[]>, what = ''): string => {
  const all = [...groups].sort(([, a], [, b]) => a.length - b.length);
  const complete = all.length > 1 && all.reduce((count, [, abis]) => count + abis.length, 0) === ABIS.length;
  return all
    .map(([value, abis], index) => {
      const where = complete && index === all.length - 1 ? 'elsewhere' : `on ${onText(abis)}`;
      return `${value}${index === 0 ? what : ''} ${where}`;
    })
    .join(', ');
};

/** One finding for a struct: the first field that moves, or changes its size, is where it begins. */
const sameLayout = ({ declaration, type, lines }: Resolved): readonly Finding[] => {
  for (const [index, [name, field]] of Object.entries(type.fields).entries()) {
    const offsets = grouped((abi) => layoutOn(abi, type).fields[index]?.offset ?? 0);
    const sizes = grouped((abi) => sizeOn(abi, field));
    if (offsets.size === 1 && sizes.size === 1) continue;
    const text = offsets.size > 1 ? `begins at ${groupsText(offsets)}` : `is ${groupsText(sizes, ' bytes long')}`;
    const line = lines.get(name) ?? declaration.line;
    return [{ line, clause: SAME_LAYOUT, text: `${declaration.label}: ${name} ${text}` }];
  }
  const sizes = grouped((abi) => layoutOn(abi, type).size);
  if (sizes.size === 1) return [];
  const text = `${declaration.label} is ${groupsText(sizes, ' bytes long')}`;
  return [{ line: declaration.line, clause: SAME_LAYOUT, text }];
};

/** One finding for each hole, be it on one architecture or on all. */
const padding = ({ declaration, type, lines }: Resolved): readonly Finding[] => {
  const found = new Map<string | undefined, Map<number, Abi[]>>();
  for (const abi of ABIS) {
    for (const { before, size } of holesOn(abi, type)) {
      const sizes = found.get(before) ?? new Map<number, Abi[]>();
      found.set(before, sizes);
      sizes.set(size, [...(sizes.get(size) ?? []), abi]);
    }
  }
  return [...found].map(([before, sizes]) => {
    const where = before === undefined ? 'at the end' : `before ${before}`;
    const line = (before === undefined ? undefined : lines.get(before)) ?? declaration.line;
    return {
      line,
      clause: EXPLICIT_PADDING,
      text: `${declaration.label}: padding ${where}: ${groupsText(sizes, ' bytes')}`,
    };
  });
};

const aligned64 = ({ declaration, type, lines }: Resolved): readonly Finding[] =>
  Object.keys(type.fields).flatMap((name, index): readonly Finding[] => {
    const off = grouped((abi) => wordsOff(abi, layoutOn(abi, type).fields[index]));
    if (off.size === 0) return [];
    const text = `${declaration.label}: the 64-bit ${name} is at byte ${groupsText(off)}`;
    return [{ line: lines.get(name) ?? declaration.line, clause: ALIGNED_64_BIT, text }];
  });

type Placed = { readonly offset: number; readonly type: CType } | undefined;

/**
 * Where the first 64-bit number of a field is that lies at no multiple of 8. A struct's own are its own affair, unless it is
 * the field's place that puts them there.
 */
const wordsOff = (abi: Abi, field: Placed): number | undefined => {
  if (field === undefined) return undefined;
  const { offset, type } = field;
  if (type.kind === 'scalar') return type.scalar === 'u64' && offset % WORD !== 0 ? offset : undefined;
  if (type.kind === 'array') {
    const first = wordsOff(abi, { offset, type: type.element });
    const step = sizeOn(abi, type.element);
    return (
      first ??
      (type.count === 1 || step % WORD === 0 ? undefined : wordsOff(abi, { offset: offset + step, type: type.element }))
    );
  }
  if (offset % WORD === 0) return undefined;
  for (const inner of layoutOn(abi, type).fields) {
    const [at, alone] = [wordsOff(abi, { ...inner, offset: offset + inner.offset }), wordsOff(abi, inner)];
    if (at !== undefined && alone === undefined) return at;
  }
  return undefined;
};

const isBytes = (type: CType): boolean => type.kind === 'scalar' && type.scalar === 'u8';

/** The tail of a struct, or of a member of it that has no end of its own. */
const alignedTail = ({ declaration, type, lines }: Resolved): readonly Finding[] =>
  Object.entries(type.fields).flatMap(([name, field], index): readonly Finding[] => {
    if (field.kind !== 'array' || field.count !== 'flexible' || !isBytes(field.element) || type.kind === 'union')
      return [];
    const offsets = grouped((abi) => layoutOn(abi, type).fields[index]?.offset ?? 0);
    if ([...offsets.keys()].every((offset) => alignUp(offset, WORD) === offset)) return [];
    const text = `${declaration.label}: ${name}[] begins at byte ${groupsText(offsets)}`;
    return [{ line: lines.get(name) ?? declaration.line, clause: ALIGNED_TAIL, text }];
  });
