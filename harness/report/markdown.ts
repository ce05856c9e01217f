import { bounded } from './clean.ts';

/** Words of Markdown in which text from anywhere stays text. */

/** Longest fenced text, in UTF-16 units. */
const TEXT_LIMIT = 4096;

/** Prose in which nothing is markup: no link, no tag, no table cell, no mention of anybody. */
export const inline = (text: string): string =>
  text
    .replace(/[\\`*_{}[\]#!|~>$]/g, '\\$&')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('@', '(at)');

/** Fences longer than any run of backticks in the text. */
const fenceFor = (text: string, atLeast: number): string =>
  '`'.repeat(Math.max(atLeast, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)));

export const code = (text: string): string => {
  if (!text.includes('`')) return `\`${text || ' '}\``;
  const fence = fenceFor(text, 1);
  return `${fence} ${text} ${fence}`;
};

export const fenced = (text: string): string => {
  const shown = bounded(text, TEXT_LIMIT).replace(/\n+$/, '');
  const fence = fenceFor(shown, 3);
  return `${fence}\n${shown}\n${fence}\n`;
};
