/** Reads what a header, or a hunk of one, declares. What it cannot read it names, and goes on behind it. */
import { Cursor, Refusal } from './cursor.ts';
import type { Declarations, Expression } from './declarations.ts';
import type { Token } from './lexer.ts';
import { beginsRecord, type RecordSink, readDeclarator, readRecord, readType } from './read-record.ts';

type Gathered = { -readonly [Kind in keyof Declarations]: Declarations[Kind][number][] };

const REQUEST = /^_IO(?:WR|W|R)?$/;

/**
 * The declarations of a text. A hunk shows parts: a struct whose beginning or end it leaves out is named as unread if the
 * patch changes it, and passed over otherwise.
 */
export const readHeader = (tokens: readonly Token[], isHunk: boolean): Declarations => {
  const found: Gathered = { records: [], requests: [], constants: [], typedefs: [], unread: [] };
  const cursor = new Cursor(outside(tokens));
  let behind: string | undefined;
  const sink: RecordSink = {
    record: (record) => {
      found.records.push(record);
      behind = record.tag;
    },
    directive: (token, amongFields) => {
      readDefine(token, amongFields, found, behind);
      behind = undefined;
    },
  };
  while (!cursor.ended) {
    const start = cursor.position;
    const known = found.records.length;
    try {
      readOne(cursor, sink, found, isHunk);
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      found.records.length = known;
      passOver(cursor, start, refusal, found, isHunk);
    }
  }
  return found;
};

const readOne = (cursor: Cursor, sink: RecordSink, found: Gathered, isHunk: boolean): void => {
  const token = cursor.peek();
  if (token?.kind === 'directive') {
    cursor.next();
    sink.directive(token, false);
  } else if (cursor.is('typedef')) readTypedef(cursor, sink, found);
  else if (cursor.is('enum')) readEnum(cursor, found);
  else if (beginsRecord(cursor)) {
    const { label } = readRecord(cursor, sink);
    if (cursor.accept(';')) return;
    if (!cursor.is('*') && !isDeclarator(cursor.peek())) throw cursor.refusal(`expected ";" behind ${label}`);
    skipStatement(cursor);
  } else if (cursor.is('extern') && cursor.peek(1)?.kind === 'string' && cursor.peek(2)?.text === '{') {
    for (let words = 0; words < 3; words++) cursor.next();
  } else if (isHunk && isField(cursor)) throw cursor.refusal(CUT_OFF);
  else skipStatement(cursor);
};

const ADVICE = 'make the patch with git diff -W, or lint the whole header';
const CUT_OFF = `a field of a struct whose beginning the patch does not show: ${ADVICE}`;

/** Behind what was refused. Of what a patch does not change nothing needs to be said. */
const passOver = (cursor: Cursor, start: number, refusal: Refusal, found: Gathered, isHunk: boolean): void => {
  cursor.back(start);
  const cutOff = skipStatement(cursor);
  const taken = cursor.since(start);
  if (!taken.some(({ changed }) => changed)) return;
  // A typedef matters where a struct uses it; what is said then is that its type is not known.
  if (taken[0]?.text === 'typedef' && !taken.some(({ text }) => text === '{')) return;
  const text = isHunk && cutOff ? `${refusal.message}: the patch shows a part of it; ${ADVICE}` : refusal.message;
  // One line is enough for all fields of a struct.
  if (isHunk && found.unread.some((one) => one.text.startsWith(CUT_OFF)) && text.startsWith(CUT_OFF)) return;
  found.unread.push({ line: refusal.line, text });
};

/** Takes what comes next up to the semicolon, or the body, that ends it. Returns whether it has no end. */
const skipStatement = (cursor: Cursor): boolean => {
  for (let first = true; ; first = false) {
    const token = cursor.peek();
    if (token === undefined) return !first;
    if (token.kind === 'directive' && !first) return false;
    if (token.kind === 'punct' && '([{'.includes(token.text)) {
      try {
        cursor.skipBracketed();
      } catch {
        return true;
      }
      const done = token.text === '{' && !isDeclarator(cursor.peek());
      if (done) {
        cursor.accept(';');
        return false;
      }
      continue;
    }
    cursor.next();
    if (token.kind === 'directive' || (token.kind === 'punct' && (token.text === ';' || token.text === '}'))) {
      if (token.text === '}') cursor.accept(';');
      return false;
    }
  }
};

/** Whether a body goes on: `} name;`, `} __packed;`. */
const isDeclarator = (token: Token | undefined): boolean =>
  token?.kind === 'word' &&
  !/^(?:struct|union|enum|typedef|static|extern|_*u?int\d*_t|__[subl]e?\d+)$/.test(token.text);

/** Whether what comes next looks like a field: at the top level of a header none can be. */
const isField = (cursor: Cursor): boolean => {
  const first = cursor.peek();
  if (first?.kind !== 'word' || /^(?:extern|static|typedef|inline|if|for|while|return)$/.test(first.text)) return false;
  for (let ahead = 1; ahead < 12; ahead++) {
    const token = cursor.peek(ahead);
    if (token === undefined || token.kind === 'directive' || '(){}=,'.includes(token.text)) return false;
    if (token.text === ';') return ahead > 1;
  }
  return false;
};

const readTypedef = (cursor: Cursor, sink: RecordSink, found: Gathered): void => {
  const line = cursor.next()?.line ?? 0;
  const type = readType(cursor, sink, 'a typedef', 0);
  const field = readDeclarator(cursor, type, { packed: false, aligned: [] });
  cursor.expect(';');
  if (field.name !== undefined) found.typedefs.push({ line, name: field.name, field });
};

const readEnum = (cursor: Cursor, found: Gathered): void => {
  cursor.next();
  if (cursor.peek()?.kind === 'word') cursor.next();
  if (!cursor.is('{')) {
    skipStatement(cursor);
    return;
  }
  const body = new Cursor(cursor.bracketed());
  let before: string | undefined;
  while (!body.ended) {
    const name = body.next();
    if (name?.kind !== 'word') continue;
    const { line, changed } = name;
    const value = body.accept('=') ? upToComma(body) : [];
    const after = before === undefined ? {} : { name: before };
    found.constants.push({
      name: name.text,
      line,
      changed,
      amongFields: false,
      value,
      ...(value.length === 0 ? { after } : {}),
    });
    before = name.text;
  }
  skipStatement(cursor);
};

const upToComma = (cursor: Cursor): Expression => {
  const start = cursor.position;
  while (!cursor.ended && !cursor.is(',')) {
    if (cursor.is('(')) cursor.skipBracketed();
    else cursor.next();
  }
  return cursor.since(start);
};

/** `#define NAME _IO(...)` is a request, `#define NAME EXPRESSION` a constant; macros with arguments are passed over. */
const readDefine = (directive: Token, amongFields: boolean, found: Gathered, behind: string | undefined): void => {
  const [name, macro, ...rest] = directive.body;
  if (directive.text !== 'define' || name?.kind !== 'word' || macro === undefined) return;
  const { line, changed } = directive;
  if (!REQUEST.test(macro.text)) {
    found.constants.push({ name: name.text, line, changed, amongFields, value: directive.body.slice(1) });
    return;
  }
  const cursor = new Cursor(rest);
  try {
    const inner = new Cursor(cursor.bracketed());
    const [type, number, argument] = [upToComma(inner), inner.accept(',') && upToComma(inner), argumentOf(inner)];
    found.requests.push({
      name: name.text,
      macro: macro.text,
      line,
      changed,
      type,
      number: number === false ? [] : number,
      ...(argument === undefined ? {} : { argument }),
      ...(behind === undefined ? {} : { behind }),
    });
  } catch (refusal) {
    if (!(refusal instanceof Refusal)) throw refusal;
    if (changed) found.unread.push({ line, text: `${name.text}: ${refusal.message}` });
  }
};

const argumentOf = (cursor: Cursor): string | undefined =>
  cursor.accept(',') && cursor.accept('struct') ? cursor.peek()?.text : undefined;

/** Leaves out what is between `#if 0` or `#ifdef __KERNEL__` and its end; of other conditions both sides count. */
const outside = (tokens: readonly Token[]): readonly Token[] => {
  const kept: Token[] = [];
  const hidden: boolean[] = [];
  let depth = 0;
  const enter = (hides: boolean): void => {
    hidden.push(hides);
    if (hides) depth++;
  };
  const leave = (): boolean => {
    const hides = hidden.pop() === true;
    if (hides) depth--;
    return hides;
  };
  for (const token of tokens) {
    if (token.kind === 'directive') {
      if (/^if(?:def|ndef)?$/.test(token.text)) enter(hides(token));
      else if (token.text === 'else' && hidden.length > 0) enter(leave() && false);
      else if (token.text === 'endif') leave();
    }
    if (depth === 0) kept.push(token);
  }
  return kept;
};

const hides = ({ text, body }: Token): boolean => {
  const condition = body.map((token) => token.text).join(' ');
  return text === 'ifdef'
    ? condition === '__KERNEL__'
    : text === 'if' && /^(?:0|defined \( __KERNEL__ \))$/.test(condition);
};
