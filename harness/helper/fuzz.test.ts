import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ExecaError, execa } from 'execa';

const HELPER = fileURLToPath(new URL('.', import.meta.url));
const WIRE = fileURLToPath(new URL('../wire', import.meta.url));
const COMPILER = 'clang';
const SOURCES = ['ops.c', 'bytes.c', 'arena.c', 'parse.c', 'tokens.c', 'scope.c', 'values.c', 'frame.c'];
const FLAGS = ['-g', '-O1', '-std=gnu11', '-Wall', '-Wextra', '-Werror'];
const SANITIZERS = ['-fsanitize=fuzzer,address,undefined', '-fno-sanitize-recover=all'];

/** What is fuzzed, and for how many runs: a few seconds each. Run one longer by hand with the commands that stand here. */
const TARGETS: readonly [name: string, runs: number][] = [
  ['program', 50_000],
  ['frames', 200_000],
  ['bytes', 50_000],
];

describe('helper: fuzzing', () => {
  let folder = '';
  before(async function () {
    const isThere = await execa(COMPILER, ['--version']).then(
      () => true,
      () => false,
    );
    if (!isThere) {
      console.log('      skipped: there is no clang here (Debian: clang, libclang-rt-14-dev)');
      this.skip();
    }
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-'));
  });
  after(async () => {
    if (folder !== '') await rm(folder, { recursive: true });
  });

  for (const [name, runs] of TARGETS) {
    it(`finds nothing in ${runs} runs of ${name}`, async () => {
      const target = join(folder, name);
      const files = [`fuzz/${name}.c`, ...SOURCES].map((file) => join(HELPER, file));
      await execa(COMPILER, [...FLAGS, ...SANITIZERS, '-I', WIRE, ...files, '-o', target], { timeout: 120_000 });
      const bounds = [`-runs=${runs}`, '-seed=1', '-max_total_time=30', '-timeout=10', `-artifact_prefix=${folder}/`];
      // What it finds new goes to the first folder; the corpus of the project is only read.
      const corpus = [await mkdtemp(join(folder, 'new-')), join(HELPER, 'fuzz/corpus', name)];
      try {
        await execa(target, [...bounds, ...corpus], { timeout: 60_000 });
      } catch (cause) {
        if (!(cause instanceof ExecaError)) throw cause;
        throw new Error(`the fuzzer found something:\n${String(cause.stderr).split('\n').slice(-60).join('\n')}`, {
          cause,
        });
      }
    });
  }
});
