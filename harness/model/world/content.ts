import type { Clause } from '../../spec/clause.ts';
import type { ByteRule } from '../outcome.ts';
import { MEMORY_CONTENT } from './clauses.ts';
import { Fnv } from './fnv.ts';
import type { Piece } from './page-store.ts';

/** Something that shows bytes in order, such as a range of a page store. */
export type Visit = (see: (piece: Piece) => void) => void;

/**
 * The bytes as rules for an output that holds them: each stretch under the clause that says what it is, unknown bytes as
 * bytes that may be anything. Neighbouring stretches of one kind are one rule.
 */
export const contentRules = (size: number, visit: Visit): readonly ByteRule[] => {
  const bytes = new Uint8Array(size);
  const rules: ByteRule[] = [];
  let from = 0;
  let end = 0;
  let known = true;
  let clause: Clause = MEMORY_CONTENT;
  const flush = (): void => {
    if (end > from) rules.push({ at: from, bytes: known ? bytes.subarray(from, end) : end - from, clause });
    from = end;
  };
  const extend = (length: number, isKnown: boolean, by: Clause): void => {
    if (isKnown !== known || by !== clause) flush();
    known = isKnown;
    clause = by;
    end += length;
  };
  visit((piece) => {
    const by = piece.by ?? MEMORY_CONTENT;
    if ('byte' in piece) {
      bytes.fill(piece.byte ?? 0, end, end + piece.size);
      extend(piece.size, piece.byte !== undefined, by);
      return;
    }
    bytes.set(piece.bytes, end);
    for (const { length, isKnown } of stretches(piece.size, piece.unknown)) extend(length, isKnown, by);
  });
  flush();
  return rules;
};

/** Turns a mask of unknown bytes into stretches of one kind. */
function* stretches(size: number, unknown: Uint8Array | undefined): Generator<{ length: number; isKnown: boolean }> {
  for (let from = 0; from < size; ) {
    const mark = unknown?.[from] ?? 0;
    let to = from + 1;
    while (to < size && (unknown?.[to] ?? 0) === mark) to++;
    if (unknown === undefined) to = size;
    yield { length: to - from, isKnown: mark === 0 };
    from = to;
  }
}

/** All the clauses that say what the bytes are, or `undefined` if some of them are unknown. */
export const clausesOf = (visit: Visit): ReadonlySet<Clause> | undefined => {
  const clauses = new Set<Clause>();
  let known = true;
  visit((piece) => {
    clauses.add(piece.by ?? MEMORY_CONTENT);
    if ('byte' in piece ? piece.byte === undefined : piece.unknown?.includes(1)) known = false;
  });
  return known ? clauses : undefined;
};

/** FNV-1a 64 of the bytes, big endian, as `hash` shows it. */
export const hashOf = (visit: Visit): Uint8Array => {
  const hash = new Fnv();
  visit((piece) => {
    if ('byte' in piece) hash.addRun(piece.byte ?? 0, piece.size);
    else hash.add(piece.bytes);
  });
  return hash.digest();
};

/** The number of bytes that differ from `byte`, or `undefined` if some of them are unknown. */
export const countOther = (visit: Visit, byte: number): number | undefined => {
  let count = 0;
  let known = true;
  visit((piece) => {
    if ('byte' in piece) {
      if (piece.byte === undefined) known = false;
      else if (piece.byte !== byte) count += piece.size;
      return;
    }
    if (piece.unknown?.includes(1)) known = false;
    for (const one of piece.bytes) if (one !== byte) count++;
  });
  return known ? count : undefined;
};
