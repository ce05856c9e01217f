import type { Finding } from '../../lint/finding.ts';
import { lint as lintText } from '../../lint/index.ts';
import { MOST_BYTES } from '../../lint/patch.ts';
import { revisionNamed } from '../../revisions/index.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';
import { readText } from '../read-text.ts';

export const lint: Command = {
  name: 'lint',
  summary: 'Judges structs, requests and ids of a C header, or those that a patch adds or changes.',
  usage: 'FILE [OPTIONS]',
  about: [
    'FILE is a header, of which everything is judged, or a patch or mailbox in plain text, of which the lines are judged',
    'that change headers under uapi/. Layouts are told for x86-64, i386, x32, arm64, armv7, riscv64, ppc64le and s390x.',
    'One line for each finding: FILE:LINE: clause: what was found. list clauses --long --grep lint/ says what clauses say.',
    'What cannot be read (bit-fields, types that are not known) is named on standard error, and is not judged.',
    'exit codes: 0 no finding, 1 findings, 64 no finding, but something could not be read; or FILE or an option is wrong',
  ].join('\n'),
  options: [
    { name: 'revision', value: 'ID', says: 'what is there already: numbers, ids, structs (default linux-6.1)' },
    { name: 'json', says: 'findings as JSON, with what the clauses say and where that stands' },
  ],
  examples: [
    ['vfio-conform lint 0001-vfio-add-a-capability.patch', 'what reviewers would object to in its headers'],
    ['vfio-conform lint include/uapi/linux/vfio.h', 'all structs of a header'],
    ['vfio-conform lint v3.mbox --revision linux-6.12 --json', 'a series on top of another kernel, for a program'],
  ],
  run: async (given) => {
    const [file, ...more] = given.words;
    if (file === undefined || more.length > 0) {
      throw new UsageTrouble(`lint takes one file, found ${given.words.length} (see vfio-conform lint --help)`);
    }
    const revision = revisionNamed(given.text('revision') ?? 'linux-6.1');
    const { findings, unread, judged } = lintText(
      await readText(file, 'a C header, a patch or a mailbox', MOST_BYTES),
      file,
      revision,
    );
    if (given.on('json')) {
      console.log(
        JSON.stringify({ file, revision: revision.id, judged, findings: findings.map(asData), unread }, null, 2),
      );
    } else for (const { line, clause, text } of findings) console.log(`${file}:${line}: ${clause.id}: ${text}`);
    for (const { line, text } of unread) console.error(`vfio-conform: ${file}:${line}: not judged: ${text}`);
    if (judged.structs + judged.requests === 0 && unread.length === 0) {
      console.error(`vfio-conform: ${file} adds no struct and no request to a header under uapi/, and changes none`);
    }
    return findings.length > 0 ? EXIT.diverges : unread.length > 0 ? EXIT.usage : EXIT.conforms;
  },
};

const asData = ({ line, clause, text }: Finding) => ({
  line,
  clause: clause.id,
  level: clause.level,
  text,
  says: clause.says,
  source: clause.source,
});
