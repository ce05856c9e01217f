import { expect } from 'chai';
import type { Platform } from '../../program/platform.ts';
import { parseProgram } from '../../program/text.ts';
import { createMachine, type Machine } from '../machine.ts';
import type { Answer, ByteRule, Outcome } from '../outcome.ts';
import type { Files } from './kernel-file.ts';

/** A machine with nothing in it. */
export const BARE_PLATFORM: Platform = {
  pageSizeBytes: 4096,
  iommu: {
    kind: 'none',
    aperture: { start: 0n, end: 0n },
    pageSizes: 0n,
    enforcesCacheCoherency: false,
    isolatesMsi: true,
  },
  groups: [],
  dmaEntryLimit: 65_535,
  iommufd: false,
  testModules: [],
};

/**
 * Takes the calls of a program through the model and says of each what was allowed, in one line:
 * `0`, `EFAULT`, `any` (a descriptor), `0|EINVAL` (either), `0 00ff??` (bytes, `??` unknown), `open` (not defined). The first
 * outcome is followed.
 */
const answersOf = (text: string, files: Files = () => undefined): readonly string[] => {
  const { lets, steps } = parseProgram(text);
  const machine: Machine = createMachine({ platform: BARE_PLATFORM, lets, files });
  return steps.flatMap((step) =>
    (step.op === 'repeat' ? step.body : [step]).map((call) => {
      const answer = machine.answer(call, 0);
      follow(answer);
      return answerText(answer);
    }),
  );
};

/** Lines of `CALL => ANSWER`: the program, and what was allowed for each of its calls. */
export const transcript = (lines: string, files?: Files): { readonly expected: string; readonly actual: string } => {
  const rows = lines
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+=>\s+/));
  const answers = answersOf(rows.map(([call]) => call).join('\n'), files);
  const table = (cells: readonly (string | undefined)[]): string =>
    rows.map(([call], index) => `${call} => ${cells[index]}`).join('\n');
  return { expected: table(rows.map(([, answer]) => answer)), actual: table(answers) };
};

/** A suite of transcripts: titles, and lines as `transcript` takes them. */
export const describeTranscripts = (concern: string, cases: Readonly<Record<string, string>>, files?: Files): void => {
  describe(concern, () => {
    for (const [title, lines] of Object.entries(cases)) {
      it(title, () => {
        const { expected, actual } = transcript(lines, files);
        expect(actual).to.equal(expected);
      });
    }
  });
};

const follow = (answer: Answer): void => {
  if ('allowed' in answer) answer.allowed[0].commit();
  else answer.commit?.();
};

/** An answer in one line, as `answersOf` says. */
export const answerText = (answer: Answer): string =>
  'allowed' in answer ? answer.allowed.map(outcomeText).join('|') : 'open';

const outcomeText = ({ ret, errno, out }: Outcome): string => {
  const result = errno !== 0 ? errno : 'exactly' in ret ? ret.exactly.toString() : 'any';
  return out === undefined || out === 'anything' ? result : `${result} ${out.map(bytesText).join('') || '-'}`;
};

const bytesText = ({ bytes }: ByteRule): string =>
  typeof bytes === 'number' ? '??'.repeat(bytes) : Buffer.from(bytes).toString('hex');
