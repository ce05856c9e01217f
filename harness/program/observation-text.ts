/** Observations as text (docs/program-format.md): what the helper answers, and what reports keep. */
import { ERRNO, type Errno, errnoName } from '../uapi/errno.ts';
import { decodeBytes, encodeBytes } from './bytes.ts';
import { Malformed } from './malformed.ts';
import type { Mishap, Observation } from './step.ts';

const MAX_STEP = 65_535;
const MAX_ITERATION = 1_048_575;
/** Trampled offsets lie in the argument's pages or their guards. */
const MAX_OFFSET = 4 << 20;
const MAX_ERRNO = 4095;
const MIN_S64 = -(1n << 63n);
const MAX_S64 = (1n << 63n) - 1n;

const MISHAPS: readonly Mishap[] = ['timeout', 'stuck', 'died', 'gone', 'bad'];

/** Text with bytes outside 0x20..0x7e, and backslashes, as `\xNN`. */
export const escapeText = (text: string): string =>
  Array.from(Buffer.from(text), (byte) =>
    byte < 0x20 || byte > 0x7e || byte === 0x5c
      ? `\\x${byte.toString(16).padStart(2, '0')}`
      : String.fromCharCode(byte),
  ).join('');

/** The text that was escaped; a backslash that begins no `\xNN` stays as it is. */
export const unescapeText = (text: string): string => {
  if (!text.includes('\\')) return text;
  const bytes = text.replace(/\\x([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
};

/** One observation as a line, without its end. */
export const printObservation = (observation: Observation): string => {
  const { step, iteration, last } = observation;
  const place = last > iteration ? `${step}.${iteration}-${last}` : iteration > 0 ? `${step}.${iteration}` : `${step}`;
  if ('mishap' in observation) return `${place} !${observation.mishap} ${escapeText(observation.detail)}`.trimEnd();
  const { ret, errno, out, trampled } = observation;
  return [
    `${place} ${ret} ${errnoNumber(errno)}`,
    ...(out === undefined ? [] : [`out=${encodeBytes(out)}`]),
    ...(trampled === undefined ? [] : [`trampled=${trampled.join(',')}`]),
  ].join(' ');
};

/** Observations as lines; no text for none. */
export const printObservations = (observations: readonly Observation[]): string =>
  observations.map((observation) => `${printObservation(observation)}\n`).join('');

const errnoNumber = (errno: Errno | 0): number => {
  if (errno === 0) return 0;
  return (ERRNO as Readonly<Record<string, number>>)[errno] ?? Number(errno.slice(1));
};

/** Reads one line; its `out` may have at most `maxBytes`. Throws Malformed. */
export const parseObservation = (line: string, maxBytes: number): Observation => {
  // Hosts send these by the hundred thousand: numbers are read in place, and each observation is made at once.
  const headEnd = endOfToken(line, 0);
  const dot = line.indexOf('.');
  const hasIterations = dot >= 0 && dot < headEnd;
  const step = parseIndex(line, 0, hasIterations ? dot : headEnd, MAX_STEP);
  const { iteration, last } = hasIterations ? parseIterations(line, dot + 1, headEnd) : ONCE;
  if (line.charCodeAt(headEnd + 1) === EXCLAMATION) {
    return { step, iteration, last, ...parseMishap(line.slice(headEnd + 2)) };
  }
  const retEnd = endOfToken(line, headEnd + 1);
  const errnoEnd = endOfToken(line, retEnd + 1);
  const ret = parseSigned(line, headEnd + 1, retEnd);
  const number = parseIndex(line, retEnd + 1, errnoEnd, MAX_ERRNO);
  const errno = number === 0 ? 0 : errnoName(number);
  if (errnoEnd === line.length) return { step, iteration, last, ret, errno };
  return { step, iteration, last, ret, errno, ...parseRest(line.slice(errnoEnd + 1), maxBytes) };
};

/** The observations of a text that was kept, which may have lost its middle: lines that are none are left out. */
export const readObservations = (text: string, maxBytes: number): readonly Observation[] =>
  text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [parseObservation(line, maxBytes)];
    } catch (cause) {
      if (cause instanceof Malformed) return [];
      throw cause;
    }
  });

const EXCLAMATION = 0x21;
const ONCE = { iteration: 0, last: 0 };

const endOfToken = (line: string, from: number): number => {
  const blank = line.indexOf(' ', from);
  return blank < 0 ? line.length : blank;
};

/** `FIRST[-LAST]` */
const parseIterations = (
  line: string,
  from: number,
  to: number,
): { readonly iteration: number; readonly last: number } => {
  const dash = line.indexOf('-', from);
  const firstEnd = dash >= 0 && dash < to ? dash : to;
  const iteration = parseIndex(line, from, firstEnd, MAX_ITERATION);
  const last = firstEnd === to ? iteration : parseIndex(line, firstEnd + 1, to, MAX_ITERATION);
  if (last < iteration) throw new Malformed('FIRST-LAST in order', line.slice(from, to));
  return { iteration, last };
};

const parseIndex = (text: string, from: number, to: number, max: number): number => {
  const value = digits(text, from, to);
  if (value < 0 || value > max) throw new Malformed(`a number up to ${max}`, text.slice(from, to));
  return value;
};

/** The value of the decimal digits of a range, at most 9 of them; -1 for anything else. */
const digits = (text: string, from: number, to: number): number => {
  if (to <= from || to - from > 9) return -1;
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
};

const MINUS = 0x2d;

const parseSigned = (line: string, from: number, to: number): bigint => {
  const negative = line.charCodeAt(from) === MINUS;
  const short = digits(line, negative ? from + 1 : from, to);
  if (short >= 0) return BigInt(negative ? -short : short);
  const text = line.slice(from, to);
  const value = /^-?[0-9]{1,19}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value < MIN_S64 || value > MAX_S64) throw new Malformed('a signed 64-bit number', text);
  return value;
};

/** `MISHAP [DETAIL]` */
const parseMishap = (text: string): { readonly mishap: Mishap; readonly detail: string } => {
  const end = endOfToken(text, 0);
  const word = text.slice(0, end);
  const mishap = MISHAPS.find((known) => known === word);
  if (mishap === undefined) throw new Malformed(`one of ${MISHAPS.map((known) => `!${known}`).join(' ')}`, word);
  return { mishap, detail: unescapeText(text.slice(end + 1)) };
};

/** `[out=BYTES] [trampled=OFFSETS]` */
const parseRest = (text: string, maxBytes: number): { out?: Uint8Array; trampled?: readonly number[] } => {
  const [first, second, ...more] = text.split(' ');
  const hasOut = first?.startsWith('out=') === true;
  const trampled = hasOut ? second : first;
  if (more.length > 0 || (!hasOut && second !== undefined)) throw new Malformed('out= and trampled=', text);
  return {
    ...(hasOut ? { out: decodeBytes(first.slice(4), maxBytes) } : {}),
    ...(trampled === undefined ? {} : { trampled: parseTrampled(trampled) }),
  };
};

const parseTrampled = (text: string): readonly number[] => {
  if (!text.startsWith('trampled=')) throw new Malformed('out= or trampled=', text);
  return text
    .slice('trampled='.length)
    .split(',')
    .map((offset) => {
      const negative = offset.startsWith('-');
      const value = parseIndex(offset, negative ? 1 : 0, offset.length, MAX_OFFSET);
      return negative ? -value : value;
    });
};
