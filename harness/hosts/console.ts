/** A guest's serial console: lines that a kernel wrote, possibly a dying one, kept within bounds. */

const MAX_LINES = 2000;
const MAX_LINE_BYTES = 1000;

/** What a kernel says of itself when it is in trouble, worst first. */
export type SignKind = 'panic' | 'oops' | 'lockup' | 'hung-task' | 'bug';

const SIGNS: readonly (readonly [SignKind, RegExp])[] = [
  ['panic', /Kernel panic - not syncing/],
  ['oops', /\bOops\b|general protection fault|BUG: (?:unable to handle|kernel NULL pointer)|kernel BUG at/],
  ['lockup', /BUG: soft lockup|hard LOCKUP|rcu: INFO: .*detected stalls/],
  ['hung-task', /INFO: task .* blocked for more than \d+ seconds/],
  ['bug', /\bBUG:/],
];

export interface Console {
  /** The last lines, oldest first: printable ASCII, anything else as \xNN; at most 2,000 lines of 1,000 characters. */
  lines(): readonly string[];
  /** The lines from the first sign of that kind or worse, at most `max`; `undefined` without such a sign. */
  since(kind: SignKind, max: number): readonly string[] | undefined;
  /** Calls `listener` for every later line. Returns a function that stops it. */
  onLine(listener: (line: string) => void): () => void;
  /** Takes what the serial line gave, in whatever pieces it comes. */
  push(chunk: Uint8Array): void;
}

export const createConsole = (): Console => {
  let lines: string[] = [];
  /** How many lines were dropped from the front of `lines`. */
  let dropped = 0;
  let partial = '';
  /** Number of the line where a sign was first seen, counted from the first line ever. */
  const firstSeen = new Map<SignKind, number>();
  const listeners = new Set<(line: string) => void>();

  const take = (raw: string): void => {
    const line = escaped(raw).slice(0, MAX_LINE_BYTES);
    const sign = SIGNS.find(([, form]) => form.test(line))?.[0];
    if (sign !== undefined && !firstSeen.has(sign)) firstSeen.set(sign, dropped + lines.length);
    lines.push(line);
    // Cutting rarely, and then a lot, keeps the cost of a line constant.
    if (lines.length > 2 * MAX_LINES) {
      dropped += lines.length - MAX_LINES;
      lines = lines.slice(-MAX_LINES);
    }
    for (const listener of listeners) listener(line);
  };

  return {
    lines: () => lines.slice(-MAX_LINES),
    since: (kind, max) => {
      const worst = SIGNS.findIndex(([name]) => name === kind);
      const starts = SIGNS.slice(0, worst + 1).flatMap(([name]) => firstSeen.get(name) ?? []);
      if (starts.length === 0) return undefined;
      const start = Math.max(0, Math.min(...starts) - dropped);
      return lines.slice(start, start + max);
    },
    onLine: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    push: (chunk) => {
      const parts = (partial + Buffer.from(chunk).toString('latin1')).split('\n');
      partial = (parts.pop() ?? '').slice(0, 4 * MAX_LINE_BYTES);
      for (const part of parts) take(part.replace(/\r+$/, ''));
    },
  };
};

/** A console must not be able to move the cursor of the terminal that shows it. */
const escaped = (text: string): string =>
  text.replace(/[^\x20-\x7e]/g, (char) =>
    char === '\t' ? ' ' : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
