import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { type BuildOptions, buildModules, buildTestModule } from './build.ts';
import { seriesNames } from './choice.ts';
import { findComplaint } from './kbuild.ts';
import { readPatches } from './patches.ts';
import { KERNEL_SOURCES, skipWithout } from './testing.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures', import.meta.url));
const TYPE1 = 'drivers/vfio/vfio_iommu_type1.c';

/** Adds one line behind the first includes of type1. */
const adding = (line: string, file = TYPE1): string =>
  `diff --git a/${file} b/${file}\n--- a/${file}\n+++ b/${file}\n@@ -25,2 +25,3 @@\n #include <linux/device.h>\n+${line}\n #include <linux/fs.h>\n`;

describe('kernels/build', () => {
  let cacheDir = '';
  before(async function () {
    await skipWithout(this, ...KERNEL_SOURCES);
    cacheDir = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  after(() => (cacheDir === '' ? undefined : rm(cacheDir, { recursive: true })));

  const build = (text: string, more: Partial<BuildOptions> = {}) =>
    buildModules({ base: '6.1', cacheDir, patches: [{ name: 'one.patch', text }], ...more });
  const trouble = async (work: Promise<unknown>): Promise<Error> => {
    const cause = await work.catch((error: unknown) => error);
    if (!(cause instanceof Error)) throw new Error('nothing was refused');
    return cause;
  };

  it('builds the module that a patch touches and no other, once', async () => {
    const first = await build(adding('/* a comment */'));
    expect(first.modules.map(({ name }) => name)).to.deep.equal(['vfio_iommu_type1']);
    const path = first.modules[0]?.path ?? '';
    const { ino } = await stat(path);
    const second = await build(adding('/* a comment */'));
    expect(second).to.deep.equal(first);
    expect((await stat(path)).ino).to.equal(ino);
    expect((await build(adding('/* another */'))).hash).not.to.equal(first.hash);
  });

  it('leaves nothing half built behind', async () => {
    await trouble(build(adding('this is no C')));
    expect(
      (await readdir(join(cacheDir, 'builds'))).filter((name) => !/^[0-9a-f]{32}(\.lock)?$/.test(name)),
    ).to.deep.equal([]);
  });

  const refused: Readonly<
    Record<string, () => readonly [Promise<unknown>, typeof UsageTrouble | typeof HostTrouble, RegExp]>
  > = {
    'what does not compile': () => [
      build(adding('this is no C')),
      UsageTrouble,
      /^one\.patch: does not compile: drivers\/vfio\/vfio_iommu_type1\.c:26:\d+: .*$/,
    ],
    'what does not apply': () => [
      build(adding('x').replace('linux/fs.h', 'linux/other.h')),
      UsageTrouble,
      /^one\.patch does not apply to Linux 6\.1: patch failed: drivers\/vfio\/vfio_iommu_type1\.c:25$/,
    ],
    'what is not VFIO': () => [
      build(adding('x', 'mm/gup.c')),
      UsageTrouble,
      /^one\.patch changes mm\/gup\.c: expected changes of drivers\/vfio and include only/,
    ],
    'an unknown base': () => [
      build('', { base: '5.4' }),
      UsageTrouble,
      /^there is no base "5\.4"; expected one of: 6\.1$/,
    ],
    'missing packages': () => [
      build('', { packages: cacheDir }),
      HostTrouble,
      /needs .*linux-source-6\.1\.tar\.xz, which is not there: apt-get install linux-source-6\.1$/,
    ],
    'missing headers': () => [
      build('', { release: '6.1.0-1-amd64' }),
      HostTrouble,
      /^building kernel modules needs .*linux-headers-6\.1\.0-1-amd64 of Linux 6\.1, which is not there: apt-get install linux-headers-6\.1\.0-1-amd64$/,
    ],
  };
  for (const [what, work] of Object.entries(refused)) {
    it(`refuses ${what} in one line`, async () => {
      const [promise, type, says] = work();
      const cause = await trouble(promise);
      expect(cause).to.be.instanceOf(type);
      expect(cause.message).to.match(says).and.not.contain('\n');
    });
  }

  it('names the module source that does not build', async () => {
    const source = join(cacheDir, 'broken');
    await mkdir(source);
    await writeFile(join(source, 'Kbuild'), 'obj-m := broken.o\n');
    await writeFile(join(source, 'broken.c'), 'this is no C\n');
    expect((await trouble(buildTestModule({ base: '6.1', source, cacheDir }))).message).to.match(
      /broken does not build: /,
    );
  });

  it('applies every series of the project to the sources', async () => {
    for (const name of await seriesNames()) {
      expect((await readPatches(join(FIXTURES, 'patches', name))).length, name).to.be.at.least(1);
    }
    const nesting = await readPatches(join(FIXTURES, 'patches', 'nesting-cap', 'reviewed'));
    const built = await buildModules({ base: '6.1', cacheDir, patches: nesting });
    const against = await buildTestModule({
      base: '6.1',
      cacheDir,
      source: join(FIXTURES, 'modules', 'emulated'),
      against: built,
    });
    expect(against.modules.map(({ name }) => name)).to.deep.equal(['vfio_emulated']);
    expect(dirname(against.modules[0]?.path ?? '')).not.to.equal(dirname(built.modules[0]?.path ?? ''));
  });
});

describe('kernels/kbuild', () => {
  const said: Readonly<Record<string, readonly [printed: string, found: string]>> = {
    'the first error of the compiler': [
      'x\n/a/b.c:1:2: warning: w\n/a/b.c:3:4: error: bad\n/a/b.c:5:6: error: worse\n',
      '/a/b.c:3:4: bad',
    ],
    'a missing header': ['b.c:1:10: fatal error: a.h: No such file\n', 'b.c:1:10: a.h: No such file'],
    'an undefined symbol': ['ERROR: modpost: "f" [x.ko] undefined!\n', '"f" [x.ko] undefined!'],
    'what make says': ['make[1]: *** No rule to make target.  Stop.\n', 'No rule to make target.  Stop.'],
    'nothing of all that': ['?\n', 'make failed'],
  };
  for (const [what, [printed, found]] of Object.entries(said)) {
    it(`finds ${what}`, () => expect(findComplaint(printed, 'make failed').text).to.equal(found));
  }
});
