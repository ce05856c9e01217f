import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { parse } from 'yaml';
import { exampleSteps } from './testing-lava.ts';

/** What the examples do with an exit code, as the table of docs/ci.md wants it: their shell, with other programs behind it. */

const GITHUB = fileURLToPath(new URL('../../docs/ci/github.yml', import.meta.url));

/** Ends as CODES says, one after the other, when told to run, and well when told anything else. */
const NPX = `#!/bin/sh
case $2 in run|cell|merge) ;; *) exit 0 ;; esac
echo $2 >> "$CALLS"
n=$(wc -l < "$CALLS")
set -- $CODES
shift $((n - 1))
exit $1
`;

const RAISE = `#!/bin/sh
echo "raised: $*"
exit 1
`;

/** The commands of a job of the example for GitHub that run something under `vfio-conform WORD`. */
const githubStep = async (job: string, word: string): Promise<string> => {
  const workflow = parse(await readFile(GITHUB, 'utf8')) as { jobs: Record<string, { steps: { run?: string }[] }> };
  const found = (workflow.jobs[job]?.steps ?? []).flatMap(({ run }) =>
    run?.includes(`npx vfio-conform ${word} `) ? [run] : [],
  );
  expect(found, `${job}: ${word}`).to.have.length(1);
  return found.join('\n').replaceAll(/\$\{\{[^}]*\}\}/g, '2');
};

describe('what the examples do with exit codes', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-codes-'));
    await writeFile(join(folder, 'npx'), NPX, { mode: 0o755 });
    await writeFile(join(folder, 'lava-test-raise'), RAISE, { mode: 0o755 });
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** What the shell ends with, how often it ran something, and what it said. */
  const ran = async (script: string, codes: string) => {
    const calls = join(folder, 'calls');
    await writeFile(calls, '');
    const env = { PATH: `${folder}:${process.env['PATH']}`, CALLS: calls, CODES: codes };
    const { exitCode, stdout } = await execa('sh', ['-e', '-c', script], { cwd: folder, env, reject: false });
    return { exitCode, stdout, runs: (await readFile(calls, 'utf8')).split('\n').length - 1 };
  };

  for (const [codes, exitCode, runs] of [
    ['0', 0, 1],
    ['1', 0, 1],
    ['75 0', 0, 2],
    ['75 75 1', 0, 3],
    ['75 75 75', 1, 3],
    ['64', 1, 1],
  ] as const) {
    it(`GitHub, a part that ends with ${codes}`, async () => {
      expect(await ran(await githubStep('cells', 'cell'), codes)).to.include({ exitCode, runs });
    });
  }

  for (const [code, exitCode] of [
    ['0', 0],
    ['1', 1],
    ['4', 0],
    ['64', 1],
    ['75', 1],
  ] as const) {
    it(`GitHub, a merge that ends with ${code}`, async () => {
      expect(await ran(await githubStep('report', 'merge'), code)).to.include({ exitCode, runs: 1 });
    });
  }

  for (const [codes, runs, raised] of [
    ['0', 1, ''],
    ['1', 1, ''],
    ['4', 1, ''],
    ['75 0', 2, ''],
    ['75 75 75', 3, 'raised: vfio-conform-ended-with-75'],
    ['64', 1, 'raised: vfio-conform-ended-with-64'],
    ['124', 1, 'raised: vfio-conform-ended-with-124'],
  ] as const) {
    it(`LAVA, a run that ends with ${codes}`, async () => {
      const steps = await exampleSteps('', join(folder, 'report'));
      expect(await ran(steps.join('\n'), codes)).to.deep.equal({
        exitCode: raised === '' ? 0 : 1,
        runs,
        stdout: raised,
      });
    });
  }
});
