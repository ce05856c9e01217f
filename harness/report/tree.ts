import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { makeFolder, writeWhole } from './files.ts';
import { rerunCommand } from './layout.ts';
import type { CaseName, CaseRecord, RunMeta } from './record.ts';

/**
 * A name for the file system: lower case letters, digits and dashes, at most 72 of them. A text that is more than plain
 * words gets a hash of the whole, so that two of them never meet; nothing of a text can climb out of a folder.
 */
export const slug = (text: string): string => {
  if (text.length <= 60 && /^[a-z0-9]+(?: [a-z0-9]+)*$/.test(text)) return text.replaceAll(' ', '-');
  const readable = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 60)
    .replace(/^-+|-+$/g, '');
  return `${readable || 'case'}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
};

/** A part of a clause's id is a name for the file system already, when it is one. */
const partName = (part: string): string => (/^[a-z0-9](?:[a-z0-9-]{0,59})$/.test(part) ? part : slug(part));

/** Where a case's files stand, within a report's folder: `cases/type1/map-overlap/identical`. */
export const caseFolder = ({ clause, area, title }: CaseName): string =>
  join('cases', partName(area), partName(clause.slice(clause.indexOf('/') + 1)), slug(title));

/** Writes what belongs to one case; there is no kernel-log.txt when the log showed nothing. Throws HostTrouble. */
export const writeCase = (reportFolder: string, record: CaseRecord, meta: RunMeta): void => {
  const folder = join(reportFolder, caseFolder(record));
  const { program, observed, kernelLog, ...verdict } = record;
  makeFolder(folder);
  const files = {
    'verdict.json': JSON.stringify(verdict, null, 2),
    'program.txt': program,
    'observed.txt': observed,
    'how-to-run.txt': howToRun(record, meta),
    ...(kernelLog?.length === 0
      ? {}
      : { 'kernel-log.txt': kernelLog?.join('\n') ?? '(this host does not let its kernel log be read)' }),
  };
  for (const [name, text] of Object.entries(files)) writeWhole(join(folder, name), [ended(text)]);
};

const ended = (text: string): string => (text === '' || text.endsWith('\n') ? text : `${text}\n`);

const howToRun = (record: CaseRecord, meta: RunMeta): string =>
  [
    'Just this case, on a host that comes up the same way:',
    '',
    `  ${rerunCommand(record.id, meta.arguments)}`,
    '',
    `It ran against ${meta.revision} on Linux ${meta.kernel},`,
    `host ${meta.host.name}: ${meta.host.description}.`,
    '',
    'Just its program, without any judgement, on a machine with the helper (as root):',
    '',
    '  vfio-conform-helper run < program.txt',
  ].join('\n');
