import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ReadRun } from '../../coverage/columns.ts';
import type { Coverage } from '../../coverage/coverage.ts';
import { coverageOf } from '../../coverage/index.ts';
import { coverageMarkdown, coverageText } from '../../coverage/page.ts';
import { type Explanation, parseRest } from '../../coverage/rest.ts';
import { PARTS, type Part } from '../../coverage/tables.ts';
import { readCode } from '../../report/code.ts';
import { writeWhole } from '../../report/files.ts';
import { readResults } from '../../report/read-results.ts';
import { revisionNamed } from '../../revisions/index.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';
import { versionOfProject } from '../version.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The forms that it can be written in. */
type Form = (coverage: Coverage, parts: readonly Part[]) => Iterable<string>;
const FORMATS: Readonly<Record<string, Form>> = {
  text: coverageText,
  md: coverageMarkdown,
  json: (coverage) => [`${JSON.stringify(coverage, null, 2)}\n`],
};

export const coverage: Command = {
  name: 'coverage',
  summary: 'Tells what runs of the suites reached: clauses, errnos, coinciding faults, lines of the kernel.',
  usage: 'REPORT... [OPTIONS]',
  about: [
    'REPORT is the folder of a report, its results.json, a name in reports/, or a folder of several kernels.',
    'Reports of one kernel, held against one revision, are taken together.',
  ].join('\n'),
  options: [
    { name: 'part', value: 'PART', repeatable: true, says: `only ${PARTS.join(', ')} (json has all)` },
    { name: 'format', value: 'FORM', says: 'text (default), md or json' },
    { name: 'out', value: 'FILE', says: 'writes to this file instead of standard output' },
  ],
  examples: [
    ['vfio-conform coverage reports/latest', 'what the last run reached'],
    ['vfio-conform coverage reports/latest --part faults', 'what kernels answer to two faults at once'],
  ],
  run: async (given) => {
    const form = formOf(given.text('format') ?? 'text');
    const parts = partsOf(given.texts('part'));
    if (given.words.length === 0)
      throw new UsageTrouble('coverage takes reports of run (see vfio-conform coverage --help)');
    const runs = given.words.flatMap(runsOf);
    const found = coverageOf(runs, { version: versionOfProject(), revisionNamed, restOf });
    const file = given.text('out');
    if (file === undefined) process.stdout.write([...form(found, parts)].join(''));
    else writeWhole(file, form(found, parts));
    return EXIT.conforms;
  },
};

const formOf = (name: string): Form => {
  const form = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
  if (form !== undefined) return form;
  throw new UsageTrouble(`--format takes one of ${Object.keys(FORMATS).join(', ')}, not "${name}"`);
};

const partsOf = (names: readonly string[]): readonly Part[] => {
  const unknown = names.find((name) => !PARTS.some((part) => part === name));
  if (unknown !== undefined) throw new UsageTrouble(`--part takes one of ${PARTS.join(', ')}, not "${unknown}"`);
  return names.length === 0 ? PARTS : PARTS.filter((part) => names.includes(part));
};

/** The runs that a word names: one, or those of a run on several kernels. Throws UsageTrouble. */
const runsOf = (word: string): readonly ReadRun[] => {
  const path = [word, join(ROOT, word), join(ROOT, 'reports', word)].find((one) => existsSync(one)) ?? word;
  if (!existsSync(join(path, 'matrix.txt'))) return [runIn(path, word)];
  const kernels = readdirSync(path, { withFileTypes: true }).filter((one) => one.isDirectory());
  return kernels.map(({ name }) => runIn(join(path, name), join(word, name)));
};

const runIn = (path: string, name: string): ReadRun => {
  const run = readResults(path);
  const code = readCode(path);
  return { path: name, run, ...(code === undefined ? {} : { code }) };
};

/** Why some of a kernel's code is not reached, where somebody wrote that down. Throws UsageTrouble. */
const restOf = (kernel: string): readonly Explanation[] => {
  const file = join('fixtures', 'unreached', `${kernel}.yaml`);
  const isName = /^[\w.+-]+$/.test(kernel);
  return isName && existsSync(join(ROOT, file)) ? parseRest(readFileSync(join(ROOT, file), 'utf8'), file) : [];
};
