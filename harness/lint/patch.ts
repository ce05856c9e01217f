/** Finds the headers of the user interface in what was given: a header is one, a patch has parts of some. */
import { UsageTrouble } from '../trouble.ts';
import type { Line } from './lexer.ts';

/** Text that belongs together: a whole header, or a hunk of a patch as it is after the patch. */
export interface Part {
  /** A hunk begins and ends anywhere, also within a structure or a comment. */
  readonly kind: 'header' | 'hunk';
  readonly lines: readonly Line[];
}

/** The largest file that is read, in bytes. */
export const MOST_BYTES = 2 * 1024 * 1024;
const MOST_LINES = 100_000;
const MOST_COLUMNS = 20_000;

const HUNK = /^@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@/;
const UAPI = /(?:^|\/)uapi\/.*\.h$/;

/**
 * The parts of a file that are to be judged: of a patch or a mailbox the hunks of headers under `uapi/`, of a header all
 * of it. Throws UsageTrouble for what is neither, for mails that are not in plain text, and for what is too large.
 */
export const partsOf = (text: string, name: string): readonly Part[] => {
  const lines = text.split('\n').map((line) => line.replace(/\r$/, ''));
  if (text.length > MOST_BYTES || lines.length > MOST_LINES || lines.some((line) => line.length > MOST_COLUMNS)) {
    throw new UsageTrouble(
      `${name} is too large: expected at most ${MOST_BYTES} bytes in ${MOST_LINES} lines of ${MOST_COLUMNS} characters`,
    );
  }
  if (text.includes('\0')) throw new UsageTrouble(`${name} is no text: expected a C header, a patch or a mailbox`);
  const isPatch = lines.some((line, index) => line.startsWith('+++ ') && lines[index - 1]?.startsWith('--- ') === true);
  if (isPatch) return hunksOf(lines, name);
  if (/\.(?:patch|diff|mbox|eml)$/.test(name) || /^From \S|^diff --git /m.test(text)) {
    throw new UsageTrouble(`${name} holds no patch: expected lines "--- FILE" and "+++ FILE", and hunks`);
  }
  return [{ kind: 'header', lines: lines.map((line, index) => ({ text: line, line: index + 1, changed: true })) }];
};

const hunksOf = (lines: readonly string[], name: string): readonly Part[] => {
  const encoded = lines.findIndex((line) => /^content-transfer-encoding:\s*(?:base64|quoted-printable)/i.test(line));
  if (encoded >= 0) {
    throw new UsageTrouble(
      `${name}:${encoded + 1}: the mail is encoded: expected plain text, as git am or b4 am write it`,
    );
  }
  const parts: Part[] = [];
  let path = '';
  let index = 0;
  while (index < lines.length) {
    const line = lines[index] ?? '';
    const file = /^\+\+\+ ([^\t]+)/.exec(line)?.[1];
    if (file !== undefined) path = file.trim();
    const [hunk, before = '1', after = '1'] = HUNK.exec(line) ?? [];
    index++;
    if (hunk === undefined) continue;
    const { end, after: text } = readHunk(lines, index, { before: Number(before), after: Number(after) }, name);
    index = end;
    if (UAPI.test(path)) parts.push({ kind: 'hunk', lines: text });
  }
  if (parts.length === 0 && !lines.some((line) => HUNK.test(line))) {
    throw new UsageTrouble(`${name} holds no hunk: expected lines "@@ -A,B +C,D @@"`);
  }
  return parts;
};

/** The lines of a hunk that are there after it, as many as its head says. */
const readHunk = (
  lines: readonly string[],
  start: number,
  left: { before: number; after: number },
  name: string,
): { readonly end: number; readonly after: readonly Line[] } => {
  const after: Line[] = [];
  let [index, removed] = [start, false];
  while (left.before > 0 || left.after > 0) {
    const text = lines[index];
    if (text === undefined || !/^(?:[ +\-\\]|$)/.test(text)) {
      throw new UsageTrouble(
        `${name}:${index + 1}: the hunk of line ${start} ends early: expected the lines that it counts`,
      );
    }
    index++;
    if (text.startsWith('\\')) continue;
    if (!text.startsWith('+')) left.before--;
    if (text.startsWith('-')) removed = true;
    else {
      left.after--;
      after.push({ text: text.slice(1), line: index, changed: removed || text.startsWith('+') });
      removed = false;
    }
  }
  return { end: index, after };
};
