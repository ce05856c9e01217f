/** Reads structs and unions: fields of any type that the header names, nested bodies, arrays, attributes. */
import { type Cursor, Refusal } from './cursor.ts';
import type { Attributes, Expression, FieldDeclaration, RecordDeclaration, TypeName } from './declarations.ts';
import type { Token } from './lexer.ts';

const MOST_DEPTH = 16;
const MOST_FIELDS = 2000;

/** Words that stand in declarations and say nothing of the layout. */
const IDLE = new Set(['const', 'volatile', '__user', '__restrict', '__extension__', 'extern']);
/** Words that a type can be made of, more than one. */
const BASIC = new Set(['unsigned', 'signed', 'char', 'short', 'int', 'long', 'float', 'double', '_Bool']);
const FLEXIBLE_MACRO = /^(?:__)?DECLARE_FLEX_ARRAY$/;

const BIT_FIELDS = 'compilers choose where the bits of bit-fields lie';

const lineOf = (token: Token | undefined): number => token?.line ?? 0;

/** What a record is read into: those within it too, and the directives between its fields. */
export interface RecordSink {
  record(record: RecordDeclaration): void;
  directive(token: Token, amongFields: boolean): void;
}

/**
 * Reads `struct TAG {...} attributes`, or a union, from its keyword on. Throws Refusal for what it cannot tell the layout
 * of, such as bit-fields.
 */
export const readRecord = (cursor: Cursor, sink: RecordSink, within?: string, depth = 0): RecordDeclaration => {
  const keyword = cursor.next();
  const line = keyword?.line ?? 0;
  if (depth > MOST_DEPTH) throw new Refusal(line, `structs nest deeper than ${MOST_DEPTH}`);
  const before = readAttributes(cursor);
  const tag = cursor.peek()?.kind === 'word' ? cursor.next()?.text : undefined;
  const kind = keyword?.text === 'union' ? 'union' : 'struct';
  const label = tag === undefined ? `the ${kind} in ${within ?? 'a typedef'}` : `${kind} ${tag}`;
  cursor.expect('{');
  const start = cursor.position;
  const fields: FieldDeclaration[] = [];
  while (!cursor.accept('}')) {
    const next = cursor.peek();
    if (next === undefined) throw new Refusal(line, `${label} has no end`);
    if (fields.length > MOST_FIELDS) throw new Refusal(line, `${label} has more than ${MOST_FIELDS} fields`);
    if (next.kind === 'directive') readDirective(cursor, sink);
    else fields.push(...readFields(cursor, sink, label, depth));
  }
  const changed = cursor.since(start).some((token) => token.changed);
  const after = readAttributes(cursor);
  const record: RecordDeclaration = {
    line,
    keyword: kind,
    ...(tag === undefined ? {} : { tag }),
    label,
    changed,
    fields,
    packed: before.packed || after.packed,
    aligned: [...before.aligned, ...after.aligned],
  };
  sink.record(record);
  return record;
};

/** Whether a struct or union with a body comes next, attributes and tag passed over. */
export const beginsRecord = (cursor: Cursor): boolean => {
  if (!cursor.is('struct') && !cursor.is('union')) return false;
  const start = cursor.position;
  try {
    cursor.next();
    readAttributes(cursor);
    if (cursor.peek()?.kind === 'word') cursor.next();
    return cursor.is('{');
  } finally {
    cursor.back(start);
  }
};

const readDirective = (cursor: Cursor, sink: RecordSink): void => {
  const token = cursor.next();
  if (token === undefined) return;
  if (/^(?:if|ifdef|ifndef|elif|else|endif|include)$/.test(token.text)) {
    throw new Refusal(token.line, `#${token.text} among its fields: the layout depends on it`);
  }
  sink.directive(token, true);
};

/** One declaration, which may declare several fields: `__u32 a, b[2];`. */
const readFields = (cursor: Cursor, sink: RecordSink, label: string, depth: number): readonly FieldDeclaration[] => {
  if (cursor.accept(';')) return [];
  const macro = cursor.peek();
  if (macro !== undefined && FLEXIBLE_MACRO.test(macro.text)) return [readFlexibleMacro(cursor)];
  const before = readAttributes(cursor);
  const type = readType(cursor, sink, label, depth);
  const between = readAttributes(cursor);
  const fields: FieldDeclaration[] = [];
  do {
    fields.push(readDeclarator(cursor, type, merged(before, between)));
  } while (cursor.accept(','));
  cursor.expect(';');
  return fields;
};

/** The type that a declaration begins with. */
export const readType = (cursor: Cursor, sink: RecordSink, label: string, depth: number): TypeName => {
  skipIdle(cursor);
  if (beginsRecord(cursor)) return { kind: 'record', record: readRecord(cursor, sink, label, depth + 1) };
  const first = cursor.word('a type');
  if (first.text === 'struct' || first.text === 'union') {
    return { kind: 'tag', keyword: first.text, tag: cursor.word('a tag').text };
  }
  if (first.text === 'enum') {
    if (cursor.peek()?.kind === 'word') cursor.next();
    if (cursor.is('{')) cursor.skipBracketed();
    return { kind: 'words', text: 'enum' };
  }
  const words = [first.text];
  while (BASIC.has(first.text)) {
    skipIdle(cursor);
    const next = cursor.peek();
    if (next?.kind !== 'word' || !BASIC.has(next.text)) break;
    words.push(next.text);
    cursor.next();
  }
  return { kind: 'words', text: words.sort().join(' ') };
};

const skipIdle = (cursor: Cursor): void => {
  while (IDLE.has(cursor.peek()?.text ?? '')) cursor.next();
};

/** What follows the type: `*name[2]`. */
export const readDeclarator = (cursor: Cursor, type: TypeName, given: Attributes): FieldDeclaration => {
  skipIdle(cursor);
  let pointer = false;
  while (cursor.accept('*')) {
    pointer = true;
    skipIdle(cursor);
  }
  const leading = readAttributes(cursor);
  const at = cursor.peek();
  if (cursor.is('('))
    throw new Refusal(lineOf(at), 'a pointer to a function, or another declaration in brackets, is not read');
  if (cursor.is(':')) throw new Refusal(lineOf(at), `a bit-field: ${BIT_FIELDS}`);
  const anonymous = type.kind === 'record' && !pointer && cursor.is(';');
  const name = anonymous ? undefined : cursor.word('the name of a field').text;
  const dimensions: Expression[] = [];
  while (cursor.is('[')) dimensions.push(cursor.bracketed());
  if (cursor.is(':')) throw new Refusal(lineOf(at), `the bit-field ${name}: ${BIT_FIELDS}`);
  const attributes = merged(given, merged(leading, readAttributes(cursor)));
  return { line: lineOf(at), ...(name === undefined ? {} : { name }), type, pointer, dimensions, ...attributes };
};

/** `__DECLARE_FLEX_ARRAY(TYPE, NAME);` */
const readFlexibleMacro = (cursor: Cursor): FieldDeclaration => {
  const macro = cursor.next();
  cursor.expect('(');
  const type = readType(cursor, { record: () => undefined, directive: () => undefined }, 'a macro', MOST_DEPTH);
  cursor.expect(',');
  const name = cursor.word('the name of a field').text;
  cursor.expect(')');
  cursor.expect(';');
  return { line: macro?.line ?? 0, name, type, pointer: false, dimensions: [[]], packed: false, aligned: [] };
};

const merged = (a: Attributes, b: Attributes): Attributes => ({
  packed: a.packed || b.packed,
  aligned: [...a.aligned, ...b.aligned],
});

/** Attributes that stand here, in the compiler's words or the kernel's. Throws Refusal for one that is not known. */
export const readAttributes = (cursor: Cursor): Attributes => {
  let packed = false;
  const aligned: Expression[] = [];
  for (;;) {
    if (cursor.accept('__packed')) packed = true;
    else if (cursor.accept('__aligned')) aligned.push(cursor.bracketed());
    else if (cursor.accept('__counted_by') || cursor.accept('__counted_by_le')) cursor.skipBracketed();
    else if (cursor.accept('__attribute__')) {
      cursor.expect('(');
      cursor.expect('(');
      while (!cursor.accept(')')) {
        const name = cursor.word('an attribute').text.replaceAll('__', '');
        if (name === 'packed') packed = true;
        else if (name === 'aligned' && cursor.is('(')) aligned.push(cursor.bracketed());
        else if (name === 'deprecated' || name === 'unused' || name === 'may_alias') {
          if (cursor.is('(')) cursor.skipBracketed();
        } else throw new Refusal(lineOf(cursor.last), `the attribute ${name} is not known`);
        cursor.accept(',');
      }
      cursor.expect(')');
    } else return { packed, aligned };
  }
};
