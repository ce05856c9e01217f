/** For tests: what a run of the harness said. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { RunRecord } from '../report/record.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** How a run ended, and what it found. */
export interface Found {
  readonly exitCode: number | undefined;
  /** Ids of cases. */
  readonly unsupported: readonly string[];
  /** Broken clauses of cases that are not known to differ. */
  readonly broken: ReadonlySet<string>;
}

/** Runs `vfio-conform run` with these words; the report goes to a folder that is not there yet. */
export const findBroken = async (words: readonly string[], report: string): Promise<Found> => {
  const { exitCode, stderr } = await execa('node', [BIN, 'run', ...words, '--report', report], {
    reject: false,
    stdin: 'ignore',
  });
  const { cases } = RunRecord.parse(
    JSON.parse(await readFile(join(report, 'results.json'), 'utf8').catch(() => expect.fail(stderr))),
  );
  const unknown = cases.filter(({ known }) => known === undefined);
  const unsupported = cases.filter(({ verdict }) => verdict === 'unsupported').map(({ id }) => id);
  // A kernel that dies may do so before what it did is told: its case stands for what it broke.
  const broken = unknown.flatMap((one) => [
    ...one.broken.map(({ clause }) => clause),
    ...(one.verdict === 'damaged' ? [one.clause] : []),
  ]);
  return { exitCode, unsupported, broken: new Set<string>(broken) };
};
