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
  const [head, afterHead] = tokenAt(line, 0);
  const place = parsePlace(head);
  const [second, afterSecond] = tokenAt(line, afterHead);
  if (second.startsWith('!')) return { ...place, ...parseMishap(second, line.slice(afterSecond)) };
  const [third, afterThird] = tokenAt(line, afterSecond);
  const result = { ...place, ret: parseSigned(second), errno: parseErrno(third) };
  return afterThird >= line.length ? result : { ...result, ...parseRest(line.slice(afterThird), maxBytes) };
};

/** The token at a position, and where the next one starts. */
const tokenAt = (line: string, from: number): readonly [token: string, next: number] => {
  const blank = line.indexOf(' ', from);
  return blank < 0 ? [line.slice(from), line.length] : [line.slice(from, blank), blank + 1];
};

/** `STEP[.FIRST[-LAST]]` */
const parsePlace = (text: string): Pick<Observation, 'step' | 'iteration' | 'last'> => {
  const dot = text.indexOf('.');
  if (dot < 0) return { step: parseIndex(text, MAX_STEP), iteration: 0, last: 0 };
  const dash = text.indexOf('-', dot);
  const step = parseIndex(text.slice(0, dot), MAX_STEP);
  const iteration = parseIndex(text.slice(dot + 1, dash < 0 ? undefined : dash), MAX_ITERATION);
  const last = dash < 0 ? iteration : parseIndex(text.slice(dash + 1), MAX_ITERATION);
  if (last < iteration) throw new Malformed('FIRST-LAST in order', text);
  return { step, iteration, last };
};

const parseIndex = (text: string, max: number): number => {
  const value = digits(text, 0);
  if (value < 0 || value > max) throw new Malformed(`a number up to ${max}`, text);
  return value;
};

/** The value of decimal digits from a position to the end, at most 9 of them; -1 for anything else. */
const digits = (text: string, from: number): number => {
  if (text.length <= from || text.length - from > 9) return -1;
  let value = 0;
  for (let at = from; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
};

const parseSigned = (text: string): bigint => {
  const sign = text.startsWith('-') ? -1 : 1;
  const short = digits(text, sign < 0 ? 1 : 0);
  if (short >= 0) return BigInt(sign * short);
  const value = /^-?[0-9]{1,19}$/.test(text) ? BigInt(text) : undefined;
  if (value === undefined || value < MIN_S64 || value > MAX_S64) throw new Malformed('a signed 64-bit number', text);
  return value;
};

const parseErrno = (text: string): Errno | 0 => {
  const number = parseIndex(text, MAX_ERRNO);
  return number === 0 ? 0 : errnoName(number);
};

const parseMishap = (word: string, detail: string): { readonly mishap: Mishap; readonly detail: string } => {
  const mishap = MISHAPS.find((known) => known === word.slice(1));
  if (mishap === undefined) throw new Malformed(`one of ${MISHAPS.map((known) => `!${known}`).join(' ')}`, word);
  return { mishap, detail: unescapeText(detail) };
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
    .map((offset) =>
      offset.startsWith('-') ? -parseIndex(offset.slice(1), MAX_OFFSET) : parseIndex(offset, MAX_OFFSET),
    );
};
