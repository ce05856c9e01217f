import { exported, FORMATS } from '../../export/index.ts';
import { writeWhole } from '../../report/files.ts';
import { readResults } from '../../report/read-results.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';

type FormatName = keyof typeof FORMATS;

export const exportReport: Command = {
  name: 'export',
  summary: 'Writes a report in a form that another system reads.',
  usage: 'FORMAT DIR [OPTIONS]',
  about: [
    'DIR is the folder of a report. FORMAT is one of:',
    ...Object.entries(FORMATS).map(([name, { says }]) => `  ${name.padEnd(6)} ${says}`),
    'exit codes: 0 written (whatever the report says), 64 DIR, FORMAT or an option is wrong, 75 it could not be written',
  ].join('\n'),
  options: [{ name: 'out', value: 'FILE', says: 'writes to this file instead of standard output' }],
  examples: [['vfio-conform export ktap reports/latest', 'the last run, for a reader of kselftest output']],
  run: async (given) => {
    const [name, folder, ...more] = given.words;
    if (name === undefined || folder === undefined || more.length > 0) {
      throw new UsageTrouble(
        `export takes a format and a report's folder, found ${given.words.length} words (see vfio-conform export --help)`,
      );
    }
    const format = FORMATS[formatName(name)];
    const out = given.text('out');
    const text = exported(format, readResults(folder), {});
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
