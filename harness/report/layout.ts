import { cutAt } from './clean.ts';

/** Width of everything we write for people, in columns. */
export const WIDTH = 78;

/** Breaks prose at blanks so that no line passes `width`; every line but the first gets `indent`. Words are never broken. */
export const wrap = (text: string, indent = '', width: number = WIDTH, first = indent): string => {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(/\s+/).filter((one) => one !== '')) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines.join('\n');
};

/** A labelled value, wrapped under itself: `  expected  EEXIST`. */
export const field = (label: string, value: string, indent = '  ', labelWidth = 10): string => {
  const left = `${indent}${label.padEnd(labelWidth)}`;
  return wrap(value, ' '.repeat(left.length), WIDTH, left);
};

/** Verbatim lines, indented; a line longer than `width` is folded, with `\` where it goes on. */
export const verbatim = (text: string, indent = '  ', width: number = WIDTH): string =>
  text
    .replace(/\n+$/, '')
    .split('\n')
    .flatMap((line) => foldLine(line, width - indent.length))
    .map((line) => `${indent}${line}`.trimEnd())
    .join('\n');

const foldLine = (line: string, width: number): readonly string[] => {
  const pieces: string[] = [];
  let rest = line;
  while (rest.length > width) {
    const at = cutAt(rest, width - 1);
    pieces.push(`${rest.slice(0, at)}\\`);
    rest = rest.slice(at);
  }
  return [...pieces, rest];
};

/** A word as a POSIX shell takes it. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** The command that runs just this case again, on the same host, kernel and revision. */
export const rerunCommand = (caseId: string, runArguments: readonly string[]): string =>
  ['npx', 'vfio-conform', 'run', ...runArguments, '--grep', caseId].map(shellWord).join(' ');

/** `1.2 s`, `3 min 05 s`. */
export const durationText = (ms: number): string => {
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`;
};

/** `1 case`, `2 cases`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;
