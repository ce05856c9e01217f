import { givenCase, platformOf } from '../../cases/given-program.ts';
import { modelPlatform } from '../../cases/model-platform.ts';
import { recordOfCase } from '../../cases/record-of-case.ts';
import { iommuProfileNamed } from '../../hosts/iommu-profiles.ts';
import { createModel } from '../../model/create-model.ts';
import { allowedOf } from '../../oracle/allowed.ts';
import { judge as judgeRun } from '../../oracle/judge.ts';
import { explainedBy, type KnownDifference } from '../../oracle/known.ts';
import type { Verdict } from '../../oracle/verdict.ts';
import type { Platform } from '../../program/platform.ts';
import type { Program } from '../../program/step.ts';
import { printCall } from '../../program/text.ts';
import { cleanLine } from '../../report/clean.ts';
import { brokenText } from '../../report/explain.ts';
import { field, verbatim, wrap } from '../../report/layout.ts';
import type { CaseRecord } from '../../report/record.ts';
import { revisionNamed } from '../../revisions/index.ts';
import type { Revision } from '../../spec/revision.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import { readAnswers } from '../../wire/answers.ts';
import type { Command } from '../command.ts';
import { knownDifferences } from '../known-differences.ts';
import { readProgram, readText } from '../read-text.ts';

/** What is taken of a host's answers to one program. */
const MOST_BYTES = 256 << 20;

export const judge: Command = {
  name: 'judge',
  summary: 'Judges what a kernel answered to a program of your own, or says what a revision allows of it.',
  usage: 'PROGRAM [ANSWERS] [OPTIONS]',
  about: [
    'PROGRAM is a program as text (docs/program-format.md), ANSWERS what vfio-conform-helper run < PROGRAM printed on some',
    'machine, or the observed.txt of a report. Without ANSWERS each call is shown with what the revision allows of it.',
    'Groups and devices are those that the program names by let; the rest of the machine is taken to be like --iommu.',
    'exit codes: 0 conforms, or nothing was judged; 1 diverges; 64 PROGRAM or ANSWERS cannot be read; 75 nothing can be said',
  ].join('\n'),
  options: [
    { name: 'revision', value: 'ID', says: 'what it is held against (default linux-6.1; see list revisions)' },
    { name: 'iommu', value: 'PROFILE', says: 'the IOMMU of that machine (default intel-39; see list hosts)' },
    {
      name: 'kernel',
      value: 'RELEASE',
      says: 'uname -r there, of which it is told what is known (default: as the helper said)',
    },
    { name: 'known', value: 'FILE', says: "known differences (default: the revision's own file)" },
    {
      name: 'log',
      value: 'FILE',
      says: 'what the kernel logged meanwhile, where ANSWERS has not (a report keeps kernel-log.txt)',
    },
    { name: 'json', says: 'as JSON' },
  ],
  examples: [
    ['vfio-conform judge program.txt --revision linux-6.12', 'what that kernel should answer, and why'],
    ['vfio-conform judge program.txt answers.txt', 'what it answered'],
    [
      'vfio-conform judge CASE/program.txt CASE/observed.txt --revision linux-7.2',
      'a case of a report, held against another revision',
    ],
  ],
  run: async (given) => {
    const [file, answersFile, ...more] = given.words;
    if (file === undefined || more.length > 0) {
      throw new UsageTrouble(
        `judge takes a program and what was answered, found ${given.words.length} files (see vfio-conform judge --help)`,
      );
    }
    const revision = revisionNamed(given.text('revision') ?? 'linux-6.1');
    const iommu = given.text('iommu');
    const program = await readProgram(file);
    const platform = platformOf(program, modelPlatform(iommu === undefined ? undefined : iommuProfileNamed(iommu)));
    if (answersFile === undefined) {
      tellAllowed({ revision, program, platform }, given.on('json'));
      return EXIT.conforms;
    }
    const { greeting, run: seen } = readAnswers(
      await readText(answersFile, 'what was answered, as text', MOST_BYTES),
      answersFile,
    );
    const log = given.text('log');
    const run =
      log === undefined ? seen : { ...seen, kernelLog: linesOf(await readText(log, 'a kernel log', MOST_BYTES)) };
    const verdict = judgeRun(() => createModel(revision, platform, program.lets), program, run);
    const known = await knownDifferences(given.text('known'), revision);
    const kernel = given.text('kernel') ?? greeting?.kernelRelease ?? '';
    const like = explainedBy(known.map(forAnyCase), '', { name: 'elsewhere', kernel, platform }, verdict);
    tellVerdict(recordOfCase(givenCase(file, program), program, verdict, run, like), revision, given.on('json'));
    return exitCodeOf(verdict);
  },
};

const linesOf = (text: string): readonly string[] => text.split('\n').filter((line) => line !== '');

/** Entries are for cases of the suites; those of a program have no names. */
const forAnyCase = ({ cases: _, ...known }: KnownDifference): KnownDifference => known;

interface Asked {
  readonly revision: Revision;
  readonly program: Program;
  readonly platform: Platform;
}

const exitCodeOf = ({ kind }: Verdict): number => {
  if (kind === 'conforms') return EXIT.conforms;
  return kind === 'diverges' || kind === 'damaged' ? EXIT.diverges : EXIT.hostTrouble;
};

const tellVerdict = (record: CaseRecord, revision: Revision, asJson: boolean): void => {
  const { verdict, reason, broken, known } = record;
  if (asJson) {
    console.log(JSON.stringify({ revision: revision.id, verdict, reason, broken, known }, null, 2));
    return;
  }
  const parts = [
    wrap(cleanLine(`${verdict}: ${reason ?? `every call did what ${revision.id} allows`}`)),
    ...(known === undefined
      ? []
      : ['', wrap(`Looks like what is known of such kernels, ${known.id}: ${known.reason}`)]),
    ...broken.flatMap((one) => ['', brokenText(one)]),
  ];
  console.log(parts.join('\n'));
};

const tellAllowed = ({ revision, program, platform }: Asked, asJson: boolean): void => {
  const calls = [...allowedOf(createModel(revision, platform, program.lets), program)];
  if (asJson) {
    const told = calls.map(({ step, call, says }) => ({ step, call: printCall(call), ...says }));
    console.log(JSON.stringify({ revision: revision.id, calls: told }, null, 2));
    return;
  }
  for (const { step, call, says } of calls) {
    const number = `${step}`.padEnd(4);
    console.log(`${number}${verbatim(printCall(call), '    ').slice(4)}`);
    if ('unspecified' in says) console.log(wrap(`not specified: ${says.unspecified}`, '      ', undefined, '    -> '));
    else
      for (const { text, clauses } of says.outcomes) {
        console.log(wrap(text, '       ', undefined, '    -> '));
        for (const { id, says: sentence } of clauses) console.log(field(id, sentence, '       ', id.length + 2));
      }
  }
};
