/**
 * The bytes form: comma-separated items, each hex digits or PATTERN*COUNT with a pattern of 1 to 8 bytes; `-` for no bytes.
 * Regular data is short in it: 32 MiB of one 8-byte pattern is one item.
 */
import { Malformed } from './malformed.ts';

/** What is encoded is cut into units of this many bytes, so that the fields of a struct can be told apart by eye. */
const UNIT = 8;

const HEX_OF_BYTE = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** The text of bytes. Runs are looked for at multiples of 8 bytes, with periods of 1, 2, 4 and 8 bytes. */
export const encodeBytes = (bytes: Uint8Array): string => {
  if (bytes.length === 0) return '-';
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const run = runAt(bytes, at);
    const end = run?.end ?? Math.min(at + UNIT, bytes.length);
    if (at > 0) text += ',';
    text += run?.text ?? hex(bytes, at, end);
    at = end;
  }
  return text;
};

const hex = (bytes: Uint8Array, from: number, to: number): string => {
  let text = '';
  for (let at = from; at < to; at++) text += HEX_OF_BYTE[bytes[at] ?? 0];
  return text;
};

/** The run that starts at a unit: at least two equal units, or one unit of one repeated byte. */
const runAt = (bytes: Uint8Array, at: number): { readonly end: number; readonly text: string } | undefined => {
  if (at + UNIT > bytes.length) return undefined;
  const same = sameAsUnitBefore(bytes, at + UNIT);
  const period = periodOf(bytes, at);
  if (same < UNIT && period > 1) return undefined;
  const end = at + UNIT + same;
  // A run that does not reach the end of the data stops between units, so that the next one is aligned again.
  const step = end === bytes.length ? period : UNIT;
  const length = Math.floor((end - at) / step) * step;
  return { end: at + length, text: `${hex(bytes, at, at + period)}*${length / period}` };
};

/** How many bytes from `at` on repeat what stands one unit before. Large runs are compared in blocks. */
const sameAsUnitBefore = (bytes: Uint8Array, at: number): number => {
  let end = at;
  for (let block = 64; ; block = Math.min(block * 4, 1 << 20)) {
    while (end < at + 64 && end < bytes.length && bytes[end] === bytes[end - UNIT]) end++;
    if (end < at + 64 || end + block > bytes.length) break;
    const later = bytes.subarray(end, end + block);
    if (Buffer.compare(later, bytes.subarray(end - UNIT, end - UNIT + block)) !== 0) break;
    end += block;
  }
  while (end < bytes.length && bytes[end] === bytes[end - UNIT]) end++;
  return end - at;
};

/** The shortest period of one unit: 1, 2, 4 or 8 bytes. */
const periodOf = (bytes: Uint8Array, at: number): number => {
  for (let period = 1; period < UNIT; period *= 2) {
    let index = period;
    while (index < UNIT && bytes[at + index] === bytes[at + index - period]) index++;
    if (index === UNIT) return period;
  }
  return UNIT;
};

const STAR = 0x2a;
const DIGIT_OF_CODE = Int8Array.from({ length: 128 }, (_, code) => {
  const digit = Number.parseInt(String.fromCharCode(code), 16);
  return Number.isNaN(digit) ? -1 : digit;
});

/** One item of the text: where its hex digits stand, and how often they are repeated. */
interface Item {
  readonly from: number;
  readonly digits: number;
  readonly count: number;
}

/** The bytes of a text; throws Malformed for what is not in the form, or holds more than `maxBytes`. */
export const decodeBytes = (text: string, maxBytes: number): Uint8Array => {
  if (text === '-') return new Uint8Array(0);
  // Two passes, the first for the size: nothing is kept of the items, however many a hostile text has.
  let size = 0;
  for (let at = 0; at <= text.length; ) {
    const end = endOfItem(text, at);
    const { digits, count } = parseItem(text, at, end);
    size += (digits / 2) * count;
    if (size > maxBytes) throw new Malformed(`at most ${maxBytes} bytes`, text);
    at = end + 1;
  }
  const bytes = new Uint8Array(size);
  let filled = 0;
  for (let at = 0; at <= text.length; ) {
    const end = endOfItem(text, at);
    filled = putItem(bytes, filled, text, parseItem(text, at, end));
    at = end + 1;
  }
  return bytes;
};

const endOfItem = (text: string, from: number): number => {
  const comma = text.indexOf(',', from);
  return comma < 0 ? text.length : comma;
};

const parseItem = (text: string, from: number, to: number): Item => {
  let digits = to - from;
  let count = 1;
  const star = starOf(text, from, to);
  if (star >= from) {
    digits = star - from;
    count = wholeNumber(text, star + 1, to);
    if (count < 1) throw new Malformed('a pattern of 1 to 8 bytes, * and a count', text.slice(from, to));
  }
  if (digits === 0 || digits % 2 !== 0) throw new Malformed('an even number of hex digits', text.slice(from, to));
  return { from, digits, count };
};

/** A pattern has at most 16 digits, so its star is looked for no further. */
const starOf = (text: string, from: number, to: number): number => {
  for (let at = from; at < Math.min(to, from + 17); at++) if (text.charCodeAt(at) === STAR) return at;
  return -1;
};

/** A decimal number of at most 12 digits; 0, which no count may be, for anything else. */
const wholeNumber = (text: string, from: number, to: number): number => {
  if (to - from > 12) return 0;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return 0;
    value = value * 10 + digit;
  }
  return value;
};

/** Writes one item and returns where it ends. */
const putItem = (bytes: Uint8Array, at: number, text: string, { from, digits, count }: Item): number => {
  const length = digits / 2;
  if (length > 64) {
    // Buffer stops at the first character that is not a hex digit, so a short result is a malformed item.
    const long = Buffer.from(text.slice(from, from + digits), 'hex');
    if (long.length !== length) throw new Malformed('hex digits', text.slice(from + long.length * 2));
    bytes.set(long, at);
    return at + length;
  }
  for (let index = 0; index < length; index++) {
    const high = DIGIT_OF_CODE[text.charCodeAt(from + 2 * index)] ?? -1;
    const low = DIGIT_OF_CODE[text.charCodeAt(from + 2 * index + 1)] ?? -1;
    if (high < 0 || low < 0) throw new Malformed('hex digits', text.slice(from, from + digits));
    bytes[at + index] = high * 16 + low;
  }
  const end = at + length * count;
  if (count > 1) spread(bytes, at, length, end);
  return end;
};

/** Fills `from` to `end` with the pattern of `length` bytes that stands at `from`, twice as much each time. */
const spread = (bytes: Uint8Array, from: number, length: number, end: number): void => {
  for (let filled = from + length; filled < end; ) {
    const next = Math.min(end, filled + (filled - from));
    bytes.copyWithin(filled, from, from + (next - filled));
    filled = next;
  }
};
