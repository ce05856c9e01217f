import { dirname, relative, resolve } from 'node:path';
import { exported, FORMATS } from '../../export/index.ts';
import type { KcidbOptions } from '../../export/kcidb.ts';
import { writeWhole } from '../../report/files.ts';
import { readResults } from '../../report/read-results.ts';
import type { RunRecord } from '../../report/record.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command, Given, OptionSpec } from '../command.ts';
import { seriesOf } from '../series-of.ts';

type FormatName = keyof typeof FORMATS;

/** Facts for KCIDB that a run does not know: what each option's value must be like, in words and as a pattern. */
const KCIDB: Readonly<Record<string, readonly [form: RegExp, words: string]>> = {
  origin: [/^[a-z0-9_]{1,64}$/, 'small letters, digits and _'],
  commit: [/^[0-9a-f]{40}$/, '40 hex digits'],
  repository: [/^https:\/\/[!-~]{1,500}$/, 'an https URL'],
  tree: [/^[!-~]{1,100}$/, 'a word'],
  'message-id': [/^[^\s<>@]{1,200}@[^\s<>@]{1,200}$/, 'the id of a mail, without < and >'],
  'patches-url': [/^https?:\/\/[!-~]{1,500}$/, 'a URL'],
  url: [/^https?:\/\/[!-~]{1,500}$/, 'a URL'],
};

const kcidbOption = (name: string, value: string, says: string): OptionSpec => ({
  name,
  value,
  says: `kcidb: ${says}`,
});

export const exportReport: Command = {
  name: 'export',
  summary: 'Writes a report in a form that another system reads.',
  usage: 'FORMAT DIR [OPTIONS]',
  about: [
    'DIR is the folder of a report. FORMAT is one of:',
    ...Object.entries(FORMATS).map(([name, { says }]) => `  ${name.padEnd(6)} ${says}`),
    'exit codes: 0 written (whatever the report says), 64 DIR, FORMAT or an option is wrong, 75 it could not be written',
  ].join('\n'),
  options: [
    { name: 'out', value: 'FILE', says: 'writes to this file instead of standard output' },
    kcidbOption('origin', 'NAME', 'who submits (default vfio_conform)'),
    kcidbOption('url', 'URL', "where the report's folder can be read"),
    kcidbOption('message-id', 'ID', 'mail that brought the patches'),
    kcidbOption('patches-url', 'URL', 'where the files of the patches can be had'),
    kcidbOption('commit', 'HASH', 'commit of the sources'),
    kcidbOption('repository', 'URL', 'repository of the commit'),
    kcidbOption('tree', 'NAME', 'tree of the commit'),
  ],
  examples: [
    ['vfio-conform export ktap reports/latest', 'the last run, for a reader of kselftest output'],
    ['vfio-conform export kcidb reports/latest --origin my_ci --out kcidb.json', 'for KernelCI'],
    ['vfio-conform export tmt reports/latest --out reports/latest/results.yaml', 'beside the files that it points to'],
  ],
  run: async (given) => {
    const [name, folder, ...more] = given.words;
    if (name === undefined || folder === undefined || more.length > 0) {
      throw new UsageTrouble(
        `export takes a format and a report's folder, found ${given.words.length} words (see vfio-conform export --help)`,
      );
    }
    const format = FORMATS[formatName(name)];
    const facts = kcidbFacts(name, given);
    const run = readResults(folder);
    const out = given.text('out');
    const text = exported(format, run, {
      kcidb: { ...facts, ...(name === 'kcidb' ? await patchesOf(run) : {}) },
      folder: out === undefined ? '' : relative(resolve(dirname(out)), resolve(folder)),
    });
    if (out === undefined) process.stdout.write(text);
    else writeWhole(out, [text]);
    return EXIT.conforms;
  },
};

const formatName = (name: string): FormatName => {
  const names = Object.keys(FORMATS) as FormatName[];
  const found = names.find((one) => one === name);
  if (found !== undefined) return found;
  throw new UsageTrouble(`there is no format "${name}"; there are: ${names.join(', ')}`);
};

const kcidbFacts = (format: string, given: Given): KcidbOptions => {
  const fact = (name: string): string | undefined => {
    const text = given.text(name);
    const [form, words] = KCIDB[name] ?? [/^/, ''];
    if (text === undefined) return undefined;
    if (format !== 'kcidb') throw new UsageTrouble(`--${name} is for kcidb`);
    if (form.test(text)) return text;
    throw new UsageTrouble(`--${name} takes ${words}, not "${text}"`);
  };
  const facts = {
    url: fact('url'),
    messageId: fact('message-id'),
    patchesUrl: fact('patches-url'),
    commit: fact('commit'),
    repository: fact('repository'),
    tree: fact('tree'),
  };
  const known = Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
  return { origin: fact('origin') ?? 'vfio_conform', ...known };
};

/** The series that a run's kernel was built with. Throws UsageTrouble when it is gone. */
const patchesOf = async (run: RunRecord): Promise<Pick<KcidbOptions, 'patches'>> => {
  const patches = await seriesOf(run.arguments);
  return patches.length === 0 ? {} : { patches };
};
