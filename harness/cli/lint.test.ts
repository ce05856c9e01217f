import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const POSTED = fileURLToPath(
  new URL(
    '../../fixtures/patches/nesting-cap/posted/0001-vfio-type1-the-nesting-capability-as-posted.patch',
    import.meta.url,
  ),
);

describe('vfio-conform lint', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-lint-'));
    await writeFile(join(folder, 'clean.h'), 'struct s { __u32 a; __u32 b; };\n');
    await writeFile(join(folder, 'holes.h'), 'struct s {\n  __u8 a;\n  __u32 b;\n};\n');
    await writeFile(join(folder, 'bits.h'), 'struct s { __u32 a : 4; };\n');
    await writeFile(join(folder, 'both.h'), 'struct s { __u32 a : 4; };\nstruct t { __u8 a; __u32 b; };\n');
    await writeFile(join(folder, 'empty.patch'), '');
    await writeFile(join(folder, 'large.h'), Buffer.alloc(3 * 1024 * 1024, ' '));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const lint = (...args: readonly string[]) =>
    execa('node', [BIN, 'lint', ...args], { reject: false, stdin: 'ignore', cwd: folder });

  const cases: readonly [what: string, args: readonly string[], exitCode: number, stdout: RegExp, stderr: RegExp][] = [
    ['nothing to find', ['clean.h'], EXIT.conforms, /^$/, /^$/],
    [
      'a finding',
      ['holes.h'],
      EXIT.diverges,
      /^holes\.h:3: lint\/explicit-padding: struct s: padding before b: 3 bytes on every architecture$/,
      /^$/,
    ],
    ['what cannot be read', ['bits.h'], EXIT.usage, /^$/, /^vfio-conform: bits\.h:1: not judged: the bit-field a: .*$/],
    [
      'a finding beside what cannot be read',
      ['both.h'],
      EXIT.diverges,
      /^both\.h:2: /,
      /^vfio-conform: both\.h:1: not judged: .*$/,
    ],
    ['no file', [], EXIT.usage, /^$/, /^vfio-conform: lint takes one file, found 0 .*$/],
    ['two files', ['clean.h', 'holes.h'], EXIT.usage, /^$/, /^vfio-conform: lint takes one file, found 2 .*$/],
    ['a file that is not there', ['none.h'], EXIT.usage, /^$/, /^vfio-conform: cannot read none\.h: .*$/],
    ['a folder', ['.'], EXIT.usage, /^$/, /^vfio-conform: \. is no file: .*$/],
    ['a device', ['/dev/zero'], EXIT.usage, /^$/, /^vfio-conform: \/dev\/zero is no file: .*$/],
    [
      'a file that is too large',
      ['large.h'],
      EXIT.usage,
      /^$/,
      /^vfio-conform: large\.h has 3145728 bytes, expected at most .*$/,
    ],
    ['a patch that is none', ['empty.patch'], EXIT.usage, /^$/, /^vfio-conform: empty\.patch holds no patch: .*$/],
    [
      'a revision that is not there',
      ['clean.h', '--revision', 'linux-9.9'],
      EXIT.usage,
      /^$/,
      /^vfio-conform: there is no revision linux-9\.9; .*$/,
    ],
  ];
  for (const [what, args, exitCode, stdout, stderr] of cases) {
    it(what, async () => {
      const done = await lint(...args);
      expect(done.stdout).to.match(stdout);
      expect(done.stderr).to.match(stderr);
      expect(done.exitCode).to.equal(exitCode);
    });
  }

  it('a series, as data with what each clause says', async () => {
    const done = await lint(POSTED, '--json');
    expect(done.exitCode).to.equal(EXIT.diverges);
    const { findings, unread, judged, revision } = JSON.parse(done.stdout);
    expect(revision).to.equal('linux-6.1');
    expect(unread).to.deep.equal([]);
    expect(judged).to.deep.equal({ structs: 2, requests: 0 });
    expect(findings.map(({ clause }: { clause: string }) => clause)).to.deep.equal([
      'lint/id-free',
      'lint/aligned-flexible-array',
    ]);
    expect(findings[1].says).to.match(/multiple of 8 bytes/);
    expect(findings[1].source).to.match(/Alex Williamson.*2020/);
  });

  it('its clauses are listed', async () => {
    const done = await execa('node', [BIN, 'list', 'clauses', '--grep', 'lint/']);
    expect(done.stdout.split('\n')).to.include.members(['lint/same-layout', 'lint/argsz-and-flags']);
  });
});
