import type { Answer, Outcome } from '../model/outcome.ts';
import { outcomeText, type Result, resultText } from '../oracle/compare.ts';
import { conforming } from './outcomes.ts';
import type { Both } from './spec-diff.ts';
import type { Parting } from './walk.ts';

/** Pieces of a reply that are told of, and bytes of each. */
const MOST_PIECES = 4;
const MOST_BYTES = 16;

/** What both sides allow at the call where they part, in words that stand behind "the call". */
export const wordsOf = ({ answers, difference }: Parting): Both<string> => {
  if (difference.kind !== 'bytes') {
    const plain = succeedsPlainly(answers);
    return { a: answerWords(answers.a, plain), b: answerWords(answers.b, plain) };
  }
  const tell = (side: 'a' | 'b'): string => {
    const told = difference.bytes
      .slice(0, MOST_PIECES)
      .map((piece) => pieceWords(piece.at, piece.length, piece[side].bytes));
    const more = difference.bytes.length - told.length;
    return `${resultWords(difference.of)}, ${told.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
  };
  return { a: tell('a'), b: tell('b') };
};

const answerWords = (answer: Answer, plain: boolean): string => {
  if (!('allowed' in answer)) return `is not specified (${answer.unspecified})`;
  return resultsWords(conforming(answer), plain);
};

/** `is refused with EINVAL or EFAULT, or succeeds`. */
const resultsWords = (outcomes: readonly Outcome[], plain: boolean): string => {
  const errnos = [...new Set(outcomes.flatMap(({ errno }) => (errno === 0 ? [] : [errno])))];
  const done = [...new Set(outcomes.filter(({ errno }) => errno === 0).map((one) => resultWords(one, plain)))];
  return [...(errnos.length === 0 ? [] : [`is refused with ${errnos.join(' or ')}`]), ...done].join(', or ');
};

/** Whether success needs no number; where one side returns some, "succeeds" would hide that the other returns 0. */
const succeedsPlainly = ({ a, b }: Both<Answer>): boolean =>
  [a, b].flatMap(conforming).every((one) => one.errno !== 0 || isPlain(one));

/** Success that is no number of interest: 0, or a new descriptor. */
const isPlain = ({ ret }: Outcome): boolean => !('exactly' in ret) || ret.exactly === 0n;

const resultWords = (outcome: Outcome, plain = isPlain(outcome)): string => {
  if (outcome.errno !== 0) return `is refused with ${outcome.errno}`;
  return plain ? 'succeeds' : `returns ${outcomeText(outcome)}`;
};

/** `bytes 8-15 are 0x1000`; as a number where they are as long as one, as memory shows them otherwise. */
const pieceWords = (at: number, length: number, bytes: Uint8Array | undefined): string => {
  if (length === 0) return bytes === undefined ? 'promising nothing of its output' : 'with promised output';
  const where = length === 1 ? `byte ${at}` : `bytes ${at}-${at + length - 1}`;
  if (bytes === undefined) return `${where} may be anything`;
  return `${where} ${length === 1 ? 'is' : 'are'} ${bytesWords(bytes)}`;
};

const bytesWords = (bytes: Uint8Array): string => {
  const data = Buffer.from(bytes);
  if (bytes.length === 4) return `0x${data.readUInt32LE().toString(16)}`;
  if (bytes.length === 8) return `0x${data.readBigUInt64LE().toString(16)}`;
  const shown = data
    .subarray(0, MOST_BYTES)
    .toString('hex')
    .replace(/(..)(?=.)/g, '$1 ');
  return bytes.length > MOST_BYTES ? `${shown} ... (${bytes.length} bytes)` : shown;
};

/** What a kernel answered where two models part, in the same words. */
export const seenWords = ({ answers }: Parting, { ret, errno }: Result): string => {
  if (errno !== 0) return `refused it with ${resultText(ret, errno).replace(/^-1 /, '')}`;
  return ret === 0n && succeedsPlainly(answers) ? 'succeeded' : `returned ${ret}`;
};
