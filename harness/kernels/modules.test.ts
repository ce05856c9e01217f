import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { moduleName, modulesToLoad, readModule } from './modules.ts';

describe('kernels/modules', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    await writeFile(join(folder, 'modules.builtin'), 'kernel/drivers/base/built-in.ko\n');
    await makeModule('drivers/vfio/pci/vfio-pci.ko', 'vfio-pci-core');
    await makeModule('drivers/vfio/pci/vfio-pci-core.ko', 'vfio,irqbypass');
    await makeModule('drivers/vfio/vfio.ko', '');
    await makeModule('virt/irqbypass.ko', '');
    await makeModule('drivers/needs_built_in.ko', 'built-in');
    await makeModule('drivers/needs_nothing_there.ko', 'not_there');
  });
  after(() => rm(folder, { recursive: true }));

  /** An object file that says what it depends on, as a kernel module does. */
  const makeModule = async (path: string, depends: string): Promise<void> => {
    const file = join(folder, 'kernel', path);
    await mkdir(dirname(file), { recursive: true });
    const source = `static const char depends[] __attribute__((section(".modinfo"), used)) = "depends=${depends}";`;
    await execa('cc', ['-x', 'c', '-c', '-', '-o', file], { input: source });
  };

  const order = async (wanted: readonly string[]): Promise<readonly string[]> =>
    (await modulesToLoad(folder, wanted)).map((path) => basename(path));

  it('puts every module behind what it depends on, once', async () => {
    expect(await order(['vfio_pci', 'vfio'])).to.deep.equal([
      'vfio.ko',
      'irqbypass.ko',
      'vfio-pci-core.ko',
      'vfio-pci.ko',
    ]);
  });

  it('keeps the order that was asked for where it is free', async () => {
    expect(await order(['irqbypass', 'vfio'])).to.deep.equal(['irqbypass.ko', 'vfio.ko']);
    expect(await order(['vfio', 'irqbypass'])).to.deep.equal(['vfio.ko', 'irqbypass.ko']);
  });

  it('leaves out what is built in', async () => {
    expect(await order(['built_in', 'needs-built-in'])).to.deep.equal(['needs_built_in.ko']);
  });

  for (const name of ['no_such_module', 'needs_nothing_there']) {
    it(`says that a module is not there: ${name}`, async () => {
      const error = await order([name]).catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(HostTrouble);
      expect(String(error)).to.match(/the kernel package has no module (no_such_module|not_there): /);
    });
  }

  it('knows a module by its name, whatever its file is called', () => {
    for (const file of ['vfio-pci.ko', 'vfio_pci.ko.xz', '/lib/x/vfio-pci.ko.gz', 'vfio-pci.ko.zst']) {
      expect(moduleName(file)).to.equal('vfio_pci');
    }
  });

  it('unpacks what is packed', async () => {
    const path = join(folder, 'x.ko');
    const packed = await execa('xz', ['--stdout'], { input: 'content', encoding: 'buffer' });
    await writeFile(path, 'content');
    await writeFile(`${path}.gz`, gzipSync('content'));
    await writeFile(`${path}.xz`, packed.stdout);
    for (const form of ['', '.gz', '.xz']) {
      expect(Buffer.from(await readModule(`${path}${form}`)).toString()).to.equal('content');
    }
  });

  it('says what it cannot unpack', async () => {
    await writeFile(join(folder, 'y.ko.xz'), 'not xz');
    await writeFile(join(folder, 'y.ko.zst'), '');
    for (const form of ['xz', 'zst']) {
      expect(await readModule(join(folder, `y.ko.${form}`)).catch((cause: unknown) => cause)).to.be.instanceOf(
        HostTrouble,
      );
    }
  });
});
