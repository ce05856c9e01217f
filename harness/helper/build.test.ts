import { chmod, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { OPS_HASH } from '../program/ops.ts';
import { HostTrouble } from '../trouble.ts';
import { buildHelper } from './build.ts';
import { CACHE, helperOrSkip } from './testing.ts';

describe('helper: build', () => {
  let folder = '';
  const { PATH } = process.env;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-'));
  });
  afterEach(async () => {
    process.env['PATH'] = PATH;
    await rm(folder, { recursive: true });
  });

  /** What building says when `cc` is this shell script (`undefined`: there is none). */
  const troubleWith = async (script: string | undefined): Promise<string> => {
    if (script !== undefined) {
      await writeFile(join(folder, 'cc'), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, 'cc'), 0o755);
    }
    process.env['PATH'] = folder;
    try {
      await buildHelper(join(folder, 'cache'));
    } catch (cause) {
      if (!(cause instanceof HostTrouble)) throw cause;
      return cause.message;
    }
    throw new Error('it was built');
  };

  it('makes a binary that others cannot change, of the operations that the harness knows', async function () {
    await helperOrSkip(this);
    const { path, sha256, opsHash } = await buildHelper(CACHE);
    expect(opsHash).to.equal(OPS_HASH);
    expect(sha256).to.match(/^[0-9a-f]{64}$/);
    expect((await stat(path)).mode & 0o777).to.equal(0o755);
  });

  it('finds what it made before', async function () {
    const path = await helperOrSkip(this);
    const before = await stat(path);
    expect((await buildHelper(CACHE)).path).to.equal(path);
    expect((await stat(path)).mtimeMs).to.equal(before.mtimeMs);
  });

  const versioned = (compiling: string): string => `[ "$1" = --version ] && { echo cc 1; exit 0; }; ${compiling}`;
  const troubles: readonly [what: string, cc: string | undefined, message: RegExp][] = [
    ['no compiler', undefined, /install gcc and libc6-dev/],
    [
      'no static C library',
      versioned('echo "/usr/bin/ld: cannot find -lc: No such file" >&2; exit 1'),
      /install libc6-dev/,
    ],
    [
      'no headers',
      versioned('echo "x.c:1: fatal error: stdio.h: No such file or directory" >&2; exit 1'),
      /install libc6-dev/,
    ],
    [
      'an error',
      versioned('echo "In function f:" >&2; echo "x.c:3:1: error: nonsense" >&2; exit 1'),
      /x\.c:3:1: error: nonsense/,
    ],
    ['a binary that does not run', versioned('while [ "$1" != -o ]; do shift; done; : > "$2"'), /does not run here/],
  ];
  for (const [what, cc, message] of troubles) {
    it(`says what to do about ${what}`, async () => {
      expect(await troubleWith(cc)).to.match(message);
      const left = await readdir(join(folder, 'cache'), { recursive: true }).catch(() => []);
      expect(left.filter((name) => name.includes('helper.'))).to.deep.equal([]);
    });
  }
});
