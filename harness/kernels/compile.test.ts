import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { skipBecause } from '../testing.ts';
import { UsageTrouble } from '../trouble.ts';
import { compileKernel, recompileKernel } from './compile.ts';
import { parseManifest } from './manifest.ts';
import { missingRequirements, needProgram } from './requirements.ts';

const MANIFEST = parseManifest(
  `name: toy
suites: [sid]
packages: [{ form: linux-source-toy, pin: { package: linux-source-toy, version: '1', sha256: '${'00'.repeat(32)}' } }]
config: [gcov.config]
modules: []
commandLine: ''
`,
  'toy.yaml',
);

/** A kernel of two parts, each of which says when it is built, and is built with a tool that knows where it is. */
const MAKEFILE = `all = $(O)/left.o $(O)/right.o
allnoconfig:
\tcp $(KCONFIG_ALLCONFIG) $(O)/.config
kernelrelease:
\t@echo 1.0-toy
prepare:
\tmkdir -p $(O)/tools/objtool
\techo $(O) | cmp -s - $(O)/tools/objtool/objtool || echo $(O) > $(O)/tools/objtool/objtool
modules_prepare:
\t@true
vmlinux: prepare
\t$(MAKE) $(O)/vmlinux
$(O)/%.o: %.c $(O)/tools/objtool/objtool
\tgrep -q good $<
\tcat $< > $@
\techo $* >> $(O)/built
$(O)/vmlinux: $(all)
\tcat $(all) > $@
`;

const change = (to: string, from = 'good right'): readonly { name: string; text: string }[] => [
  {
    name: 'right.patch',
    text: `diff --git a/right.c b/right.c\n--- a/right.c\n+++ b/right.c\n@@ -1 +1 @@\n-${from}\n+${to}\n`,
  },
];

describe('kernels/compile', () => {
  let folder: string;
  let tree: string;
  before(async function () {
    const missing = await missingRequirements(['kernels']);
    if (missing.length > 0) skipBecause(this, `needs ${missing.map(({ program }) => program).join(', ')}`);
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    const [root, sources] = [join(folder, 'root/usr/src'), join(folder, 'toy')];
    tree = join(folder, 'tree');
    for (const one of [root, sources]) await mkdir(one, { recursive: true });
    await writeFile(join(sources, 'Makefile'), MAKEFILE);
    for (const name of ['left', 'right']) await writeFile(join(sources, `${name}.c`), `good ${name}\n`);
    const words = ['-c', '--xz', '-f', join(root, 'linux-source-1.0.tar.xz'), '-C', folder, 'toy'];
    await execa(await needProgram('tar'), words);
    await compileKernel(MANIFEST, join(folder, 'root'), tree);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const read = (...path: readonly string[]): Promise<string> => readFile(join(folder, ...path), 'utf8');

  it('builds what a patch changes and nothing else, beside a tree that stays as it is', async () => {
    for (const [work, to] of Object.entries({ first: 'good change', second: 'good other change' })) {
      const built = await recompileKernel(MANIFEST, tree, join(folder, work), change(to));
      expect(await readFile(built.vmlinux, 'utf8')).to.equal(`good left\n${to}\n`);
      expect(built.release).to.equal('1.0-toy');
      expect(built.configuration).to.equal(await read('tree/source/output/.config'));
      expect((await read(work, 'source/output/built')).split('\n').sort().join(' ')).to.equal(' left right right');
    }
    expect(await read('tree/source/right.c')).to.equal('good right\n');
    expect(await read('tree/source/output/vmlinux')).to.equal('good left\ngood right\n');
  });

  const refused: Readonly<Record<string, readonly [patches: ReturnType<typeof change>, message: RegExp]>> = {
    'that does not apply': [change('good', 'bad right'), /^right\.patch does not apply to Linux toy: [^\n]+$/],
    'with which it does not compile': [change('bad'), /^right\.patch: make vmlinux failed: [^\n]+$/],
  };
  for (const [what, [patches, message]] of Object.entries(refused)) {
    it(`blames a patch ${what}`, async () => {
      const cause = await recompileKernel(MANIFEST, tree, join(folder, what.replaceAll(' ', '-')), patches).catch(
        (error: unknown) => error,
      );
      expect(cause).to.be.instanceOf(UsageTrouble);
      expect(cause instanceof Error ? cause.message : '').to.match(message);
    });
  }
});
