import { html, type Markup } from './markup.ts';

/** Longer sentences than this are shown one behind the other. */
const MOST_WORDS = 400;
/** Sentences that have less than this in common are two sentences. */
const LEAST_COMMON = 0.5;

/** Two sentences as one, with what was taken out and what was put in. */
export const wordDiff = (before: string, after: string): Markup => {
  const [a, b] = [before.split(/\s+/), after.split(/\s+/)];
  const apart = html`<del>${before}</del><br><ins>${after}</ins>`;
  if (a.length > MOST_WORDS || b.length > MOST_WORDS) return apart;
  const common = lengths(a, b);
  if (at(common, 0, 0) < LEAST_COMMON * Math.max(a.length, b.length)) return apart;
  const parts: Markup[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [from, to] = [i, j];
    while ((i < a.length || j < b.length) && !(i < a.length && j < b.length && a[i] === b[j])) {
      if (j >= b.length || (i < a.length && at(common, i + 1, j) >= at(common, i, j + 1))) i++;
      else j++;
    }
    if (i > from) parts.push(html`<del>${a.slice(from, i).join(' ')}</del> `);
    if (j > to) parts.push(html`<ins>${b.slice(to, j).join(' ')}</ins> `);
    const same: string[] = [];
    for (; i < a.length && j < b.length && a[i] === b[j]; i++, j++) same.push(a[i] ?? '');
    if (same.length > 0) parts.push(html`${same.join(' ')} `);
  }
  return html`${parts}`;
};

const at = (table: readonly (readonly number[])[], i: number, j: number): number => table[i]?.[j] ?? 0;

/** The length of the longest common subsequence of words from each pair of places on. */
const lengths = (a: readonly string[], b: readonly string[]): readonly (readonly number[])[] => {
  const table: number[][] = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const row = table[i];
      if (row === undefined) continue;
      row[j] = a[i] === b[j] ? at(table, i + 1, j + 1) + 1 : Math.max(at(table, i + 1, j), at(table, i, j + 1));
    }
  }
  return table;
};
