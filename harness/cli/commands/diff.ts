import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { specDiff } from '../../diff/index.ts';
import { diffMarkdown } from '../../diff/markdown.ts';
import { diffPage } from '../../diff/page/index.ts';
import { differs, type Side, type SpecDiff } from '../../diff/spec-diff.ts';
import { headlines, type Telling } from '../../diff/telling.ts';
import { diffText } from '../../diff/text.ts';
import { writeWhole } from '../../report/files.ts';
import { readResults } from '../../report/read-results.ts';
import { REVISIONS, revisionNamed } from '../../revisions/index.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { collectCases } from '../suites.ts';
import { versionOfProject } from '../version.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** The forms that a spec-diff can be written in. */
type Form = (diff: SpecDiff, options: Telling) => Iterable<string>;
const FORMATS: Readonly<Record<string, Form>> = {
  text: diffText,
  html: diffPage,
  md: diffMarkdown,
  json: (diff) => [`${JSON.stringify(diff, null, 2)}\n`],
};

export const diff: Command = {
  name: 'diff',
  summary: 'Tells what differs between two revisions, two runs, or a revision and a run.',
  usage: 'A B [OPTIONS]',
  about: [
    'A and B are revisions (see list revisions) or runs: a report folder, its results.json, or a name in reports/.',
    'A is what is expected, B what is observed. Models are compared on the programs of the suites; no kernel is needed.',
    'What differs and is not declared by the clauses that changed is marked as unintended.',
    'exit codes: 0 nothing differs, 1 something differs, 64 A, B or an option is wrong',
  ].join('\n'),
  options: [
    { name: 'format', value: 'FORM', says: 'text (default, 78 columns, for a mail), html, md or json' },
    { name: 'out', value: 'FILE', says: 'writes to this file instead of standard output' },
    { name: 'suite', value: 'AREA', repeatable: true, says: 'only programs of this area (see list cases)' },
    { name: 'grep', value: 'TEXT', repeatable: true, says: 'only programs of cases whose id contains this text' },
    { name: 'tested-by', value: 'NAME', says: 'who tested, for the Tested-by line: "NAME <ADDRESS>"' },
  ],
  examples: [
    ['vfio-conform diff linux-6.1 nesting-cap/posted', 'what a patch changes'],
    ['vfio-conform diff nesting-cap/posted nesting-cap/reviewed --format html --out diff.html', 'the same as a page'],
    ['vfio-conform diff nesting-cap/reviewed reports/latest', 'which side the kernel of the last run is on'],
    ['vfio-conform diff reports/2026-01-01T09-00-00-000 reports/latest', 'what changed since yesterday'],
  ],
  run: async (given) => {
    const form = formOf(given.text('format') ?? 'text');
    const [a, b, ...more] = given.words;
    if (a === undefined || b === undefined || more.length > 0) {
      throw new UsageTrouble(
        `diff takes two revisions or runs, found ${given.words.length} (see vfio-conform diff --help)`,
      );
    }
    const [sideA, sideB] = [sideOf(a), sideOf(b)];
    const found = specDiff(sideA, sideB, {
      version: versionOfProject(),
      cases: await collectCases({ areas: given.texts('suite'), texts: given.texts('grep') }),
    });
    write(form(found, testedBy(given)), given.text('out'), found);
    return differs(found) ? EXIT.diverges : EXIT.conforms;
  },
};

const formOf = (name: string): Form => {
  const form = Object.hasOwn(FORMATS, name) ? FORMATS[name] : undefined;
  if (form !== undefined) return form;
  throw new UsageTrouble(`--format takes one of ${Object.keys(FORMATS).join(', ')}, not "${name}"`);
};

const testedBy = (given: Given): Telling => {
  const who = given.text('tested-by');
  if (who === undefined) return {};
  if (/^[^<>\p{Cc}]{1,80} <[^<>\s]{1,80}>$/u.test(who)) return { testedBy: who };
  throw new UsageTrouble(`--tested-by takes "NAME <ADDRESS>", not "${who}"`);
};

/** What a word of the command line names: a revision, else a run. Throws UsageTrouble when it is neither. */
const sideOf = (name: string): Side => {
  const revision = REVISIONS.find(({ id }) => id === name);
  if (revision !== undefined) return { name, revision };
  const path = [name, join(ROOT, name), join(ROOT, 'reports', name)].find((one) => existsSync(one));
  if (path === undefined) {
    const names = REVISIONS.map(({ id }) => id).join(', ');
    throw new UsageTrouble(
      `there is no revision and no report "${name}"; revisions are: ${names}; reports are in reports/`,
    );
  }
  const run = readResults(path);
  return { name, revision: revisionNamed(run.revision), run };
};

const write = (pieces: Iterable<string>, file: string | undefined, found: SpecDiff): void => {
  if (file === undefined) {
    process.stdout.write([...pieces].join(''));
    return;
  }
  writeWhole(file, pieces);
  const told = headlines(found).map(([label, text]) => `${label}: ${text}`);
  console.error(`${file}: ${told.join('; ')}`);
};
