/**
 * Making text that came from elsewhere (a host, a kernel log, an error) harmless to show: no terminal obeys it, no XML
 * parser refuses it, no reader is misled by its writing direction.
 */

const COLOUR = new RegExp(`${String.fromCharCode(0x1b)}\\[[0-9;]*m`, 'g');

/** Control characters, format characters (writing direction, byte order mark), lone surrogates, and what XML forbids. */
const UNSAFE = /\r\n|\p{Cc}|\p{Cf}|\p{Cs}|\p{Zl}|\p{Zp}|\ufffe|\uffff/gu;

const shown = (unsafe: string): string => {
  if (unsafe === '\r\n') return '\n';
  if (unsafe === '\n' || unsafe === '\t') return unsafe;
  const code = unsafe.codePointAt(0) ?? 0;
  if (code >= 0xd800 && code <= 0xdfff) return '\ufffd';
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
};

/**
 * The text with terminal colours taken out and every other character that is not plain text shown as `\xNN` or `\uNNNN`
 * (half a surrogate pair as U+FFFD). Line breaks and tabs stay. Doing it twice changes nothing.
 */
export const cleanText = (text: string): string => text.replace(COLOUR, '').replace(UNSAFE, shown);

/** The same in one line: line breaks, tabs and runs of blanks become one blank each. */
export const cleanLine = (text: string): string => cleanText(text).replace(/\s+/g, ' ').trim();

const isHigh = (code: number): boolean => code >= 0xd800 && code <= 0xdbff;

/** The largest cut at or below `at` that does not split a surrogate pair. */
export const cutAt = (text: string, at: number): number => (isHigh(text.charCodeAt(at - 1)) ? at - 1 : at);

/**
 * Text of at most about `limit` UTF-16 units: the beginning and the end of a longer one, with a line between that says
 * how much was cut.
 */
export const bounded = (text: string, limit: number): string => {
  if (text.length <= limit) return text;
  const head = cutAt(text, Math.ceil((limit * 3) / 4));
  const tail = cutAt(text, text.length - Math.floor(limit / 4));
  return `${text.slice(0, head)}\n[... ${tail - head} of ${text.length} characters cut ...]\n${text.slice(tail)}`;
};

/** One line of at most `limit` UTF-16 units; a longer one ends in `...`. */
export const boundedLine = (text: string, limit: number): string =>
  text.length <= limit ? text : `${text.slice(0, cutAt(text, Math.max(0, limit - 3)))}...`;
