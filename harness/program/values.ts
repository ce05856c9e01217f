/** Parameters of a step as text, one kind after the other: each is read and written here, and nowhere else. */
import { decodeBytes, encodeBytes } from './bytes.ts';
import { Malformed } from './malformed.ts';
import { type Kind, type Parameter, WORDS } from './ops.ts';
import type { Arg, Patch, Place, Segment } from './step.ts';

/** Bounds of the format (docs/program-format.md), in bytes. */
const MAX_INLINE = 1 << 20;
const MAX_DATA = 64 << 20;

const MAX_U64 = (1n << 64n) - 1n;
const NAME = /^[a-z][a-z0-9_-]{0,30}$/;
const WORD = /^[A-Za-z][A-Za-z0-9_]{0,30}$/;
/** An absolute path; `$NAME` may stand at its start instead of the slash. */
const PATH = /^[/$][\x21-\x7e]{0,4094}$/;
const NUMBER = /^(?:0x[0-9a-fA-F]{1,16}|[0-9]{1,20})$/;

/** A name as it is, or Malformed. Names are checked on the way out too: what is printed must be a program. */
export const checkName = (text: string): string => {
  if (!NAME.test(text)) throw new Malformed('a name ([a-z][a-z0-9_-]{0,30})', text);
  return text;
};

/** Decimal, and from 4096 on hex. */
const printNumber = (value: bigint): string => {
  if (value < 0n || value > MAX_U64) throw new Malformed('an unsigned 64-bit number', value.toString());
  return value < 4096n ? value.toString() : `0x${value.toString(16)}`;
};

export const parseNumber = (text: string): bigint => {
  const value = NUMBER.test(text) ? BigInt(text) : -1n;
  if (value < 0n || value > MAX_U64) throw new Malformed('a number, decimal or 0x hex, of at most 64 bits', text);
  return value;
};

/** A number of a call, within the parameter's own bound. */
const checkBound = (value: bigint, { name, bound }: Parameter): bigint => {
  if (bound === undefined) return value;
  if (value > bound.max) throw new Malformed(`a ${name} of at most ${bound.max}`, value.toString());
  if (bound.powerOfTwo === true && (value === 0n || (value & (value - 1n)) !== 0n)) {
    throw new Malformed(`a ${name} that is a power of two`, value.toString());
  }
  return value;
};

const printPlace = (place: Place): string =>
  'memory' in place ? `&${checkName(place.memory)}+0x${hexDigits(place.offset)}` : printNumber(place.literal);

const hexDigits = (value: bigint): string => {
  if (value < 0n || value > MAX_U64) throw new Malformed('an unsigned 64-bit number', value.toString());
  return value.toString(16);
};

const parsePlace = (text: string): Place => {
  if (!text.startsWith('&')) return { literal: parseNumber(text) };
  const plus = text.indexOf('+0x');
  if (plus < 0) throw new Malformed('&MEMORY+0xOFFSET', text);
  return { memory: checkName(text.slice(1, plus)), offset: parseNumber(text.slice(plus + 1)) };
};

const printPath = (path: string): string => {
  if (!PATH.test(path)) throw new Malformed('an absolute path without blanks, or $NAME', path);
  return path;
};

const printWord = (word: string, words: readonly string[] | undefined): string => {
  if (words === undefined ? WORD.test(word) : words.includes(word)) return word;
  throw new Malformed(words === undefined ? 'a word' : `one of ${words.join(' ')}`, word);
};

const printArg = (arg: Arg): string => {
  switch (arg.kind) {
    case 'value':
      return `=${printNumber(arg.value)}`;
    case 'place':
      return printPlace(arg.place);
    case 'inline': {
      let text = '';
      for (const segment of arg.segments) {
        if ('bytes' in segment && segment.bytes.length === 0) continue;
        if (text !== '') text += ',';
        text += 'bytes' in segment ? encodeBytes(segment.bytes) : `$${checkName(segment.text)}`;
      }
      if (text === '') text = '-';
      for (const patch of arg.patches) text += ` ${printPatch(patch)}`;
      return `[${text}]`;
    }
  }
};

const printPatch = (patch: Patch): string => {
  switch (patch.kind) {
    case 'pointer':
      return `@${patch.at}=${printPlace(patch.place)}`;
    case 'fd':
      return `@${patch.at}=fd:${checkName(patch.fd)}`;
    case 'stride':
      return `+${patch.at}=${printNumber(patch.stride)}`;
  }
};

const parseArg = (text: string): Arg => {
  if (text.startsWith('=')) return { kind: 'value', value: parseNumber(text.slice(1)) };
  if (!text.startsWith('[')) return { kind: 'place', place: parsePlace(text) };
  if (!text.endsWith(']')) throw new Malformed('] at the end of an argument', text);
  const [data = '', ...rest] = text.slice(1, -1).split(/[ \t]+/);
  const segments = data.includes('$') ? parseSegments(data) : bytesSegment(data);
  const known = sizeOf(segments);
  if (known > MAX_INLINE) throw new Malformed(`an argument of at most ${MAX_INLINE} bytes`, text);
  const size = segments.every((segment) => 'bytes' in segment) ? known : MAX_INLINE;
  const patches = rest.filter((word) => word !== '').map((word) => parsePatch(word, size));
  return { kind: 'inline', segments, patches };
};

const sizeOf = (segments: readonly Segment[]): number =>
  segments.reduce((size, segment) => size + ('bytes' in segment ? segment.bytes.length : 0), 0);

const bytesSegment = (text: string): readonly Segment[] => {
  const bytes = decodeBytes(text, MAX_INLINE);
  return bytes.length === 0 ? [] : [{ bytes }];
};

/** Neighbouring items of bytes are one segment; `$NAME` is one of its own. */
const parseSegments = (text: string): readonly Segment[] => {
  const segments: Segment[] = [];
  let from = 0;
  while (from <= text.length) {
    const dollar = text.startsWith('$', from) ? from : text.indexOf(',$', from);
    const end = dollar === from ? endOfItem(text, from) : dollar < 0 ? text.length : dollar;
    const part = text.slice(from, end);
    if (dollar === from) segments.push({ text: checkName(part.slice(1)) });
    else segments.push({ bytes: decodeBytes(part === '-' ? '' : part, MAX_INLINE) });
    from = end + 1;
  }
  return segments;
};

const endOfItem = (text: string, from: number): number => {
  const comma = text.indexOf(',', from);
  return comma < 0 ? text.length : comma;
};

const PATCH_FORM = '@OFFSET=PLACE, @OFFSET=fd:NAME or +OFFSET=STRIDE';

/** A patch of an argument of `size` bytes. */
const parsePatch = (text: string, size: number): Patch => {
  const equals = text.indexOf('=');
  const offset = text.slice(1, equals);
  if (!/^[0-9]{1,7}$/.test(offset)) throw new Malformed(PATCH_FORM, text);
  const at = Number(offset);
  const patch = patchOf(text, at, text.slice(equals + 1));
  const end = at + (patch.kind === 'fd' ? 4 : 8);
  if (end > size) throw new Malformed(`a patch within the ${size} bytes of the argument`, text);
  return patch;
};

const patchOf = (text: string, at: number, value: string): Patch => {
  if (text.startsWith('+')) return { kind: 'stride', at, stride: parseNumber(value) };
  if (!text.startsWith('@')) throw new Malformed(PATCH_FORM, text);
  if (value.startsWith('fd:')) return { kind: 'fd', at, fd: checkName(value.slice(3)) };
  return { kind: 'pointer', at, place: parsePlace(value) };
};

/** How one kind of parameter is read and written; both throw Malformed. */
interface Form {
  readonly parse: (text: string, parameter: Parameter) => unknown;
  /** The value is what `parse` of the same kind gives; step.ts says so for each operation. */
  readonly print: (value: never, parameter: Parameter) => string;
}

const name: Form = { parse: checkName, print: checkName };

/** An actor's name stands first on its lines, where these words mean something else. */
const checkActorName = (text: string): string => {
  if (text === 'let' || text === 'repeat' || text === 'end') throw new Malformed('a name that is no keyword', text);
  return checkName(text);
};

/** The forms of all kinds. */
export const FORMS: Readonly<Record<Kind, Form>> = {
  actor: name,
  newactor: { parse: checkActorName, print: checkActorName },
  fd: name,
  newfd: name,
  mem: name,
  newmem: name,
  num: {
    parse: (text, parameter) => checkBound(parseNumber(text), parameter),
    print: (value: bigint, parameter) => printNumber(checkBound(value, parameter)),
  },
  place: { parse: parsePlace, print: printPlace },
  arg: { parse: parseArg, print: printArg },
  bytes: { parse: (text) => decodeBytes(text, MAX_DATA), print: encodeBytes },
  path: { parse: printPath, print: printPath },
  word: {
    parse: (text, parameter) => printWord(text, WORDS[parameter.name]),
    print: (word: string, parameter) => printWord(word, WORDS[parameter.name]),
  },
};
