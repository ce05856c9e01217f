/** Constant expressions of integers, as headers have them. */
import { Cursor, Refusal } from './cursor.ts';
import type { ConstantDeclaration, Expression } from './declarations.ts';

/** The value of a name; `undefined` when it is not known. */
export type Lookup = (name: string) => bigint | undefined;

const MOST_DEPTH = 32;
/** Of names that stand for expressions with names. */
const MOST_NAMES = 16;
const MOST_TOKENS = 200;
const BITS = 64n;

/** Higher binds closer, as in C. */
const BINARY: Readonly<Record<string, readonly [level: number, of: (a: bigint, b: bigint) => bigint]>> = {
  '|': [1, (a, b) => a | b],
  '^': [2, (a, b) => a ^ b],
  '&': [3, (a, b) => a & b],
  '<<': [4, (a, b) => a << shift(b)],
  '>>': [4, (a, b) => a >> shift(b)],
  '+': [5, (a, b) => a + b],
  '-': [5, (a, b) => a - b],
  '*': [6, (a, b) => a * b],
  '/': [6, (a, b) => a / divisor(b)],
  '%': [6, (a, b) => a % divisor(b)],
};

const shift = (bits: bigint): bigint => {
  if (bits < 0n || bits >= BITS) throw new Refusal(0, 'a shift by more bits than there are');
  return bits;
};

const divisor = (value: bigint): bigint => {
  if (value === 0n) throw new Refusal(0, 'a division by zero');
  return value;
};

/** The value of an expression; `undefined` where it is none, or names something that is not known. */
export const evaluate = (expression: Expression, lookup: Lookup): bigint | undefined => {
  if (expression.length > MOST_TOKENS) return undefined;
  const cursor = new Cursor(expression);
  try {
    const value = sum(cursor, lookup, 0, 0);
    return cursor.ended ? value : undefined;
  } catch (refusal) {
    if (refusal instanceof Refusal) return undefined;
    throw refusal;
  }
};

const sum = (cursor: Cursor, lookup: Lookup, least: number, depth: number): bigint => {
  let value = term(cursor, lookup, depth);
  for (;;) {
    const operator = cursor.peek()?.text ?? '';
    const known = Object.hasOwn(BINARY, operator) ? BINARY[operator] : undefined;
    if (known === undefined || known[0] <= least) return value;
    cursor.next();
    // Wrapped, so that no product grows beyond bounds.
    value = BigInt.asIntN(65, known[1](value, sum(cursor, lookup, known[0], depth + 1)));
  }
};

const term = (cursor: Cursor, lookup: Lookup, depth: number): bigint => {
  if (depth > MOST_DEPTH) throw cursor.refusal('an expression as deep as this is not read');
  if (cursor.accept('(')) {
    const value = sum(cursor, lookup, 0, depth + 1);
    cursor.expect(')');
    return value;
  }
  if (cursor.accept('-')) return -term(cursor, lookup, depth + 1);
  if (cursor.accept('+')) return term(cursor, lookup, depth + 1);
  if (cursor.accept('~')) return ~term(cursor, lookup, depth + 1);
  const token = cursor.next();
  const value =
    token?.kind === 'number'
      ? numberOf(token.text)
      : token?.kind === 'char'
        ? characterOf(token.text)
        : token?.kind === 'word'
          ? lookup(token.text)
          : undefined;
  if (value === undefined) throw cursor.refusal('expected a number');
  return value;
};

const numberOf = (text: string): bigint | undefined => {
  const digits = text.replace(/[uUlL]+$/, '');
  if (digits.length > 24) return undefined;
  if (/^0[0-7]+$/.test(digits)) return BigInt(`0o${digits.slice(1)}`);
  return /^(?:\d+|0[xX][0-9a-fA-F]+|0[bB][01]+)$/.test(digits) ? BigInt(digits) : undefined;
};

const characterOf = (text: string): bigint | undefined =>
  /^'[^'\\]'$/.test(text) ? BigInt(text.charCodeAt(1)) : undefined;

/** The values of constants that are declared, and of others that `known` has; each is worked out once. */
export const lookupIn = (constants: readonly ConstantDeclaration[], known: Lookup): Lookup => {
  const declared = new Map(constants.map((one) => [one.name, one]));
  const values = new Map<string, bigint | undefined>();
  /** Along a chain that is as long as there are constants at most: without recursion, enumerators can be many. */
  const enumerator = (one: ConstantDeclaration, depth: number): bigint | undefined => {
    const chain: ConstantDeclaration[] = [];
    const seen = new Set<string>();
    let at: ConstantDeclaration | undefined = one;
    while (at?.after !== undefined && !values.has(at.name) && !seen.has(at.name)) {
      chain.push(at);
      seen.add(at.name);
      if (at.after.name === undefined) break;
      at = declared.get(at.after.name);
    }
    const last = chain.at(-1);
    let value =
      last?.after?.name === undefined ? -1n : at === undefined || seen.has(at.name) ? undefined : find(at.name, depth);
    for (const link of chain.reverse()) {
      value = value === undefined ? undefined : value + 1n;
      values.set(link.name, value);
    }
    return value;
  };
  const find = (name: string, depth: number): bigint | undefined => {
    if (values.has(name)) return values.get(name);
    const one = declared.get(name);
    if (one === undefined) return known(name);
    if (depth > MOST_NAMES) return undefined;
    if (one.after !== undefined) return enumerator(one, depth + 1);
    values.set(name, undefined);
    const value = evaluate(one.value, (other) => find(other, depth + 1));
    values.set(name, value);
    return value;
  };
  return (name) => find(name, 0);
};
