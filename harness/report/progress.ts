import { boundedLine } from './clean.ts';
import { count } from './layout.ts';
import type { Point } from './points.ts';
import type { CaseName } from './record.ts';

/** The part of a terminal (or a pipe) that progress is written to. */
export interface Terminal {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** Shows a run as it goes. */
export interface Progress {
  planned(total: number): void;
  began(name: CaseName): void;
  ended(point: Point): void;
  /** Takes away what is only of the moment; nothing is shown after that. */
  close(): void;
}

/** Shows nothing. */
export const noProgress: Progress = { planned() {}, began() {}, ended() {}, close() {} };

/** One line that is rewritten on a terminal, plain lines that only grow elsewhere. `now` is in milliseconds. */
export const createProgress = (terminal: Terminal, now: () => number): Progress =>
  terminal.isTTY === true ? oneLine(terminal, now) : plainLines(terminal);

/** Cases that people want to know of at once. */
const isNews = ({ outcome }: Point): boolean => outcome === 'failed' || outcome === 'errored';

const newsLine = ({ type, id, message }: Point): string => `${type.padEnd(13)} ${id}: ${message}`;

/** How often the line is drawn at most, and how often at least (so that a long case does not look like a hang). */
const REDRAW_MS = 100;
const TICK_MS = 1000;

const CLEAR = '\r\u001b[K';

const oneLine = (terminal: Terminal, now: () => number): Progress => {
  const started = now();
  let total = 0;
  let done = 0;
  let news = 0;
  let known = 0;
  let current = '';
  let shown = '';
  let drawn = Number.NEGATIVE_INFINITY;
  let closed = false;

  const draw = (): void => {
    if (closed) return;
    const width = String(total).length;
    const parts = [
      `[${String(done).padStart(width)}/${total}]`,
      clock(now() - started),
      `${String(news).padStart(width)} new`,
      `${String(known).padStart(width)} known`,
      current,
    ];
    // The last column stays free: a terminal that wraps there would leave lines behind.
    const line = cutTo(parts.join('  '), (terminal.columns ?? 80) - 1);
    drawn = now();
    if (line === shown) return;
    shown = line;
    terminal.write(`\r${line}\u001b[K`);
  };
  const drawSoon = (): void => {
    if (now() - drawn >= REDRAW_MS) draw();
  };
  const ticking = setInterval(draw, TICK_MS);
  ticking.unref();

  return {
    planned: (number) => {
      total = number;
      draw();
    },
    began: ({ id }) => {
      current = id;
      drawSoon();
    },
    ended: (point) => {
      if (closed) return;
      done++;
      if (point.type === 'known') known++;
      if (!isNews(point)) return drawSoon();
      news++;
      terminal.write(`${CLEAR}${cutTo(newsLine(point), (terminal.columns ?? 80) - 1)}\n`);
      shown = '';
      draw();
    },
    close: () => {
      closed = true;
      clearInterval(ticking);
      terminal.write(CLEAR);
    },
  };
};

/** Longest plain line: CI logs have no width of their own. */
const PLAIN_LIMIT = 300;

const plainLines = (terminal: Terminal): Progress => {
  let clause = '';
  let ended: Point[] = [];
  let closed = false;
  const print = (line: string): void => void terminal.write(`${boundedLine(line, PLAIN_LIMIT)}\n`);
  const closeClause = (): void => {
    if (ended.length > 0) print(clauseLine(clause, ended));
    ended = [];
  };
  return {
    planned: (total) => print(`${count(total, 'case')} to run`),
    began: () => undefined,
    ended: (point) => {
      if (closed) return;
      if (point.clause !== clause) closeClause();
      clause = point.clause;
      ended.push(point);
      if (isNews(point)) print(newsLine(point));
    },
    close: () => {
      closeClause();
      closed = true;
    },
  };
};

const WORDS: Readonly<Record<Point['type'], string>> = {
  conforms: 'conform',
  known: 'known',
  diverges: 'diverge',
  damaged: 'damaged',
  'host-lost': 'host lost',
  'harness-error': 'harness error',
  unsupported: 'unsupported',
  'not-run': 'not run',
  interrupted: 'interrupted',
};

/** `type1/map-overlap                12 cases: 11 conform, 1 known` */
const clauseLine = (clause: string, points: readonly Point[]): string => {
  const counts = Object.entries(WORDS)
    .map(([type, word]) => [points.filter((point) => point.type === type).length, word] as const)
    .filter(([number]) => number > 0)
    .map(([number, word]) => `${number} ${word}`);
  return `${clause.padEnd(40)} ${count(points.length, 'case')}: ${counts.join(', ')}`;
};

/** `01:23`, minutes and seconds. */
const clock = (ms: number): string => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
};

/** Cuts a line to a number of columns; characters from U+1100 on are taken to be two columns wide, which is never too few. */
const cutTo = (line: string, columns: number): string => {
  let used = 0;
  let kept = '';
  for (const character of line) {
    used += (character.codePointAt(0) ?? 0) >= 0x1100 ? 2 : 1;
    if (used > columns) return kept;
    kept += character;
  }
  return kept;
};
