import type { CaseRecord, RunRecord } from '../report/record.ts';
import { aRecord, aRun } from '../report/testing.ts';
import { revisionNamed } from '../revisions/index.ts';
import type { Coverage } from './coverage.ts';
import { coverageOf } from './index.ts';

/* Made-up runs for the tests of this room. */

/** What the programs below begin with: a container with one mapping of four pages at 0x10000, and what came of that. */
const READY = `main open container /dev/vfio/vfio
main open group $group0
main ioctl group 0x3b68 [00000000 @0=fd:container]
main ioctl container 0x3b66 =3
main mem memory 0x10000
main fill memory 0 0x10000 1
main ioctl container 0x3b71 [2000000003000000,00*8,0000010000000000,0040000000000000 @8=&memory+0x0]
`;
const READIED = '0 3 0\n1 4 0\n2 0 0\n3 0 0\n4 0 0\n5 0 0\n6 0 0\n';

/** A case that goes on from a container with a mapping; `answers` are the results of its calls. */
export const ready = (title: string, calls: readonly string[], answers: readonly string[]): CaseRecord =>
  aRecord(title, {
    program: `let group0 /dev/vfio/7\n${READY}${calls.map((call) => `${call}\n`).join('')}`,
    observed: `${READIED}${answers.map((answer, index) => `${index + 7} ${answer}\n`).join('')}`,
  });

/** A MAP_DMA of two pages: argsz, flags and IOVA as 8, 8 and 16 hex digits, little endian. */
export const mapCall = (argsz: string, flags: string, iova: string): string =>
  `main ioctl container 0x3b71 [${argsz}${flags},00*8,${iova},0020000000000000 @8=&memory+0x0]`;

export const aRunOf = (cases: readonly CaseRecord[], differs: Partial<RunRecord> = {}): RunRecord =>
  aRun(cases, { kernel: '6.1.0', ...differs });

/** What runs of those names reached, each read from a folder of its own. */
export const covered = (...runs: readonly RunRecord[]): Coverage =>
  coverageOf(
    runs.map((run, index) => ({ path: `reports/${index}`, run })),
    { version: '0.1.0', revisionNamed, restOf: () => [] },
  );
