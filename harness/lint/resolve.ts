/** Turns what a header declares into types whose layout can be told. */
import { X86_64 } from '../uapi/abis.ts';
import { type CRecord, type CType, sizeOn } from '../uapi/layout.ts';
import { Refusal } from './cursor.ts';
import type { Attributes, Declarations, FieldDeclaration, RecordDeclaration, TypeName } from './declarations.ts';
import { evaluate, type Lookup } from './evaluate.ts';

type Scalar = Extract<CType, { kind: 'scalar' }>['scalar'];

const scalar = (name: Scalar, aligned?: number): CType => ({
  kind: 'scalar',
  scalar: name,
  ...(aligned === undefined ? {} : { aligned }),
});

/** Types by their words in alphabetical order. Signedness and byte order make no layout. */
const WORDS: Readonly<Record<string, CType>> = Object.fromEntries([
  ...['char', 'char signed', 'char unsigned', 'bool', '_Bool', '__u8', '__s8', 'u8', 's8', 'uint8_t', 'int8_t'].map(
    (name) => [name, scalar('u8')],
  ),
  ...[
    'short',
    'short unsigned',
    'int short',
    'int short unsigned',
    'short signed',
    '__u16',
    '__s16',
    '__le16',
    '__be16',
    'u16',
    's16',
    'uint16_t',
    'int16_t',
  ].map((name) => [name, scalar('u16')]),
  ...[
    'int',
    'signed',
    'unsigned',
    'int unsigned',
    'int signed',
    'enum',
    '__u32',
    '__le32',
    '__be32',
    'u32',
    'uint32_t',
    '__s32',
    's32',
    'int32_t',
  ].map((name) => [name, scalar('u32')]),
  ...[
    'long long',
    'long long unsigned',
    'int long long',
    'int long long unsigned',
    'long long signed',
    '__u64',
    '__s64',
    '__le64',
    '__be64',
    'u64',
    's64',
    'uint64_t',
    'int64_t',
  ].map((name) => [name, scalar('u64')]),
  ...['__aligned_u64', '__aligned_s64', '__aligned_le64', '__aligned_be64', 'aligned_u64'].map((name) => [
    name,
    scalar('u64', 8),
  ]),
  ...[
    'long',
    'long unsigned',
    'int long',
    'int long unsigned',
    'long signed',
    'size_t',
    'ssize_t',
    'uintptr_t',
    'intptr_t',
  ].map((name) => [name, scalar('long')]),
]);

const declarationOf = ({ type }: FieldDeclaration): string => (type.kind === 'record' ? type.record.keyword : 'member');

const MOST_ELEMENTS = 1n << 24n;
const MOST_ALIGNMENT = 4096n;
const MOST_DEPTH = 32;
const MOST_DIMENSIONS = 4;
const MOST_SIZE = 2 ** 31;

/** A struct or union that was read. */
export interface Resolved {
  readonly declaration: RecordDeclaration;
  readonly type: CRecord;
  /** Where each field stands in the file. */
  readonly lines: ReadonlyMap<string, number>;
}

export interface Names {
  readonly declarations: Declarations;
  readonly lookup: Lookup;
  /** A struct that is declared elsewhere. */
  readonly elsewhere: (tag: string) => CRecord | undefined;
}

/** Looks types up, each once. `record` throws Refusal for a type that is not known, or that contains itself. */
export const createResolver = ({ declarations, lookup, elsewhere }: Names) => {
  const tags = new Map(declarations.records.flatMap((one) => (one.tag === undefined ? [] : [[one.tag, one]])));
  const typedefs = new Map(declarations.typedefs.map((one) => [one.name, one]));
  const done = new Map<RecordDeclaration, Resolved | Refusal>();
  const underway = new Set<RecordDeclaration>();

  const number = (tokens: Parameters<typeof evaluate>[0], line: number, what: string, most: bigint): number => {
    const value = evaluate(tokens, lookup);
    if (value !== undefined && value >= 0n && value <= most) return Number(value);
    const text = tokens.map((one) => one.text).join(' ');
    throw new Refusal(line, `${what} ${JSON.stringify(text.slice(0, 60))} is not known, or out of bounds`);
  };

  const alignment = ({ aligned }: Attributes, line: number): number | undefined => {
    const asked = aligned.map((one) => number(one, line, 'the alignment', MOST_ALIGNMENT));
    const wrong = asked.find((one) => one === 0 || (one & (one - 1)) !== 0);
    if (wrong !== undefined) throw new Refusal(line, `the alignment ${wrong} is no power of two`);
    return asked.length === 0 ? undefined : Math.max(...asked);
  };

  const named = (name: TypeName, line: number, depth: number): CType => {
    if (depth > MOST_DEPTH) throw new Refusal(line, `types nest deeper than ${MOST_DEPTH}`);
    if (name.kind === 'record') return record(name.record, depth + 1).type;
    if (name.kind === 'tag') {
      const declared = tags.get(name.tag);
      const type = declared === undefined ? elsewhere(name.tag) : record(declared, depth + 1).type;
      if (type?.kind === name.keyword) return type;
      throw new Refusal(line, `${name.keyword} ${name.tag} is not known: neither the file nor the revision has it`);
    }
    const typedef = typedefs.get(name.text);
    if (typedef !== undefined) return whole(typedef.field, depth + 1);
    const type = Object.hasOwn(WORDS, name.text) ? WORDS[name.text] : undefined;
    if (type !== undefined) return type;
    throw new Refusal(line, `the type ${name.text.slice(0, 60)} is not known`);
  };

  const arrayOf = (field: FieldDeclaration, depth: number, isLast: boolean): CType => {
    const element: CType = field.pointer ? scalar('pointer') : named(field.type, field.line, depth);
    if (field.dimensions.length > MOST_DIMENSIONS) throw new Refusal(field.line, 'an array has too many dimensions');
    const counts = field.dimensions.map((one, index) => {
      const count = one.length === 0 ? 0 : number(one, field.line, 'the length', MOST_ELEMENTS);
      if (count > 0) return count;
      if (index === 0 && isLast) return 'flexible' as const;
      throw new Refusal(
        field.line,
        `${field.name ?? 'a field'} is an array without a length that is not the last field`,
      );
    });
    return counts.reduceRight<CType>((inner, count) => ({ kind: 'array', element: inner, count }), element);
  };

  /** With the alignment that the declaration asks for: of a typedef. */
  const whole = (field: FieldDeclaration, depth: number): CType => {
    const [type, aligned] = [arrayOf(field, depth, false), alignment(field, field.line)];
    return aligned === undefined ? type : { ...type, aligned: Math.max(aligned, type.aligned ?? 1) };
  };

  const build = (declaration: RecordDeclaration, depth: number): Resolved => {
    const fields = new Map<string, CType>();
    const lines = new Map<string, number>();
    const alignedFields: Record<string, number> = {};
    for (const [index, field] of declaration.fields.entries()) {
      const name = field.name ?? `anonymous ${declarationOf(field)} (field ${index + 1})`;
      if (fields.has(name)) throw new Refusal(field.line, `two fields are called ${name}`);
      if (field.packed) throw new Refusal(field.line, `${name} is packed by itself: only whole structs are read so`);
      const isLast = index === declaration.fields.length - 1 || declaration.keyword === 'union';
      fields.set(name, arrayOf(field, depth, isLast));
      lines.set(name, field.line);
      const asked = alignment(field, field.line);
      if (asked !== undefined) alignedFields[name] = asked;
    }
    const aligned = alignment(declaration, declaration.line);
    const type: CRecord = {
      kind: declaration.keyword,
      name: declaration.tag ?? declaration.label,
      fields: Object.fromEntries(fields),
      ...(declaration.packed ? { packed: true } : {}),
      ...(aligned === undefined ? {} : { aligned }),
      ...(Object.keys(alignedFields).length === 0 ? {} : { alignedFields }),
    };
    // Also what is too large for a number to tell.
    if (!(sizeOn(X86_64, type) <= MOST_SIZE)) throw new Refusal(declaration.line, `${declaration.label} is too large`);
    return { declaration, type, lines };
  };

  const record = (declaration: RecordDeclaration, depth = 0): Resolved => {
    const known = done.get(declaration);
    if (known instanceof Refusal) throw known;
    if (known !== undefined) return known;
    if (underway.has(declaration)) throw new Refusal(declaration.line, `${declaration.label} contains itself`);
    underway.add(declaration);
    try {
      const resolved = build(declaration, depth);
      done.set(declaration, resolved);
      return resolved;
    } catch (refusal) {
      if (refusal instanceof Refusal) done.set(declaration, refusal);
      throw refusal;
    } finally {
      underway.delete(declaration);
    }
  };

  return { record, tagged: (tag: string) => tags.get(tag) };
};
