import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { AptView } from './apt.ts';
import { fetchHeaders, takeSources } from './headers.ts';
import type { KernelManifest } from './manifest.ts';
import { type Archive, makeArchive } from './testing.ts';

const RELEASE = '6.12.9+deb13-amd64';
const BITMAP = 'drivers/iommu/iommufd/iova_bitmap.c';
const BUILD = `/usr/src/linux-headers-${RELEASE}`;
const KBUILD = '/usr/lib/linux-kbuild-6.12.9+deb13';
/** Runs nothing: says what it was asked to run. */
const LOADER = '#!/bin/sh\necho "$@"\n';

describe('kernels/headers', () => {
  let folder = '';
  let cache = '';
  let view: AptView = [];
  let packages: Archive['packages'] = new Map();

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    const archive = await makeArchive(folder);
    packages = archive.packages;
    await archive.add('linux-headers-6.12.9', '6.12.9-1', {
      [`${BUILD}/Makefile`]: 'include /usr/src/linux-headers-6.12.9+deb13-common/Makefile\n',
      [`${BUILD}/.kernelvariables`]: 'override ARCH = x86\nCC = $(CROSS_COMPILE)gcc-14\n',
      [`${BUILD}/vmlinux`]: 'types',
      [`${BUILD}/include/config/auto.conf`]: 'CONFIG_CC_HAS_COUNTED_BY=y\nCONFIG_VFIO=m\n',
      [`${BUILD}/include/generated/autoconf.h`]: '#define CONFIG_CC_HAS_COUNTED_BY 1\n#define CONFIG_VFIO_MODULE 1\n',
    });
    await archive.add('linux-kbuild-6.12.9', '6.12.9-1', {
      '/usr/src/linux-kbuild-6.12.9+deb13': '',
      [`${KBUILD}/scripts/basic/fixdep`]: 'a program',
      [`${KBUILD}/scripts/mod/modpost.real-lsb-64`]: 'a program',
      [`${KBUILD}/tools/objtool/objtool.real-x86`]: 'a program',
    });
    await archive.add('libc6', '2.41-1', { '/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2': LOADER });
    await archive.add('linux-source-6.12', '6.12.9-1', { '/usr/src/linux-source-6.12.tar.xz': await tarball() });
    await archive.add('linux-headers-hollow', '1-1', { '/usr/share/doc/nothing': '' });
    view = await archive.open();
    cache = join(folder, 'cache');
  });
  after(() => rm(folder, { recursive: true }));

  const tarball = async (): Promise<Uint8Array> => {
    await mkdir(join(folder, 'linux-source-6.12', 'drivers/iommu/iommufd'), { recursive: true });
    await writeFile(join(folder, 'linux-source-6.12', BITMAP), '/* a bitmap */\n');
    const words = ['-c', '--xz', '-C', folder, 'linux-source-6.12'];
    return (await execa('tar', words, { encoding: 'buffer' })).stdout;
  };

  const ALL = ['linux-headers-6.12.9', 'linux-kbuild-6.12.9', 'libc6', 'linux-source-6.12'];

  const manifest = (names: readonly string[], sources: readonly string[]): KernelManifest => ({
    name: '6.12',
    suites: ['trixie'],
    packages: [],
    headers: {
      packages: names.map((name) => {
        const { version = '', sha256 = '' } = packages.get(name) ?? {};
        return { form: name.replaceAll('.', '\\.'), pin: { package: name, version, sha256 } };
      }),
      sources: [...sources],
    },
    modules: [],
    further: [],
    commandLine: '',
  });

  const fetch = (names = ALL, sources: readonly string[] = [BITMAP], release = RELEASE, apt = view) =>
    fetchHeaders(manifest(names, sources), release, { cache, apt });

  it('makes headers usable where they are, with the compiler of this machine', async () => {
    const { build } = await fetch();
    const text = (name: string): Promise<string> => readFile(join(build, name), 'utf8');
    expect(await text('Makefile')).to.equal('include $(CURDIR)/../linux-headers-6.12.9+deb13-common/Makefile\n');
    expect(await text('.kernelvariables')).to.equal('override ARCH = x86\nCC = gcc\n');
    expect(await text('include/config/auto.conf')).to.equal('CONFIG_VFIO=m\n');
    expect(await text('include/generated/autoconf.h')).to.equal('#define CONFIG_VFIO_MODULE 1\n');
    expect(await text('vmlinux').catch(() => 'gone')).to.equal('gone');
  });

  for (const name of ['scripts/basic/fixdep', 'scripts/mod/modpost', 'tools/objtool/objtool']) {
    it(`runs ${name} with the libraries that it was linked with`, async () => {
      const { build } = await fetch();
      const root = join(build, '../../..');
      await chmod(join(root, 'usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2'), 0o755);
      const program = join(root, KBUILD, name);
      const { stdout } = await execa(program, ['a word', 'b']);
      const libraries = `${join(root, KBUILD)}/${name.split('/').slice(0, -1).join('/')}/../../../x86_64-linux-gnu`;
      expect(stdout).to.equal(`--library-path ${libraries} ${program}.program a word b`);
    });
  }

  it('keeps the sources that are asked for, and gives them to a module', async () => {
    const headers = await fetch();
    expect(await takeSources(headers, [BITMAP, 'drivers/vfio/other.c'], cache)).to.deep.equal(['iova_bitmap.c']);
    expect(await readFile(join(cache, 'iova_bitmap.c'), 'utf8')).to.equal('/* a bitmap */\n');
  });

  it('takes from the cache what is there', async () => {
    const { version } = await fetch();
    const nowhere = ['-o', 'Dir::Etc::SourceList=/dev/null', '-o', 'Dir::Etc::SourceParts=/dev/null'];
    expect((await fetch(ALL, [BITMAP], RELEASE, nowhere)).version).to.equal(version);
  });

  const REFUSED: Readonly<Record<string, { readonly work: () => Promise<unknown>; readonly says: RegExp }>> = {
    'headers of another release': { work: () => fetch(ALL, [BITMAP], '6.12.10+deb13-amd64'), says: /6\.12\.10/ },
    'packages that hold none': { work: () => fetch(['linux-headers-hollow']), says: /no linux-headers/ },
    'no sources where some are asked for': { work: () => fetch(ALL.slice(0, 3)), says: /linux-source/ },
    'a source file that is not there': { work: () => fetch(ALL, ['drivers/none.c']), says: /none\.c/ },
  };
  for (const [what, { work, says }] of Object.entries(REFUSED)) {
    it(`refuses ${what}, in one line`, async () => {
      const cause = await work().catch((error: unknown) => error);
      expect(cause).to.be.instanceOf(HostTrouble);
      expect(cause instanceof HostTrouble ? cause.message : '')
        .to.match(/^[^\n]+$/)
        .and.match(says);
    });
  }
});
