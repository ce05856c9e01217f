import { createHash } from 'node:crypto';
import { readFile, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { buildHelper } from '../helper/build.ts';
import { DEFAULT_IOMMU } from '../hosts/iommu-profiles.ts';
import { EDU_ADDRESSES, type GuestOptions, qemuArguments } from '../hosts/qemu.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { kernelNamed, prepareKernel } from '../kernels/choice.ts';
import { cpioArchive, type Entry } from '../kernels/cpio.ts';
import { buildInitramfs } from '../kernels/initramfs.ts';
import { createClientKey, createHostKey } from '../kernels/keys.ts';
import { needProgram } from '../kernels/requirements.ts';
import { skipBecause } from '../testing.ts';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));
/** What ends the guest's part: the exit code of the kselftest. */
const END = 'offline: exit ';

/** What the guest does when it is up: it is a kselftest's runner, without a network and without a compiler. */
const SCRIPT = `#!/bin/sh
exec > /dev/ttyS0 2>&1
cd /project
export PATH=/bin:/usr/bin VFIO_CONFORM_HELPER=/usr/bin/vfio-conform-helper VFIO_SELFTESTS_BDF="${EDU_ADDRESSES[0]}"
export VFIO_CONFORM="node harness/cli/bin.mjs" ESBUILD_WORKER_THREADS=0
sh docs/ci/kselftest/vfio-conform.sh --suite iova --suite unmap --timeout 20m
echo "${END}$?"
poweroff -f
`;

const file = (path: string, bytes: Uint8Array | string, mode = 0o644): Entry => ({
  kind: 'file',
  path,
  mode,
  bytes: typeof bytes === 'string' ? Buffer.from(bytes) : bytes,
});

const linesOf = async (program: string, args: readonly string[], cwd = PROJECT): Promise<readonly string[]> =>
  (await execa(program, args, { cwd })).stdout.split('\n').filter((line) => line !== '');

/** A file of this machine, at the same place. */
const asHere = async (path: string, mode = 0o755): Promise<Entry> => file(path, await readFile(path), mode);

/** Node with its libraries, the project as committed, and the packages that a run needs. */
const layer = async (): Promise<readonly Entry[]> => {
  const node = await realpath(process.execPath);
  const libraries = (await linesOf('ldd', [node])).flatMap((line) => /(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  const sources = await linesOf('git', ['ls-files']);
  const packages = (await linesOf('npm', ['ls', '--omit=dev', '--all', '--parseable'])).filter((path) =>
    path.includes('/node_modules/'),
  );
  const modules = await linesOf('find', [...packages, '-type', 'f', '-not', '-name', '*.map', '-not', '-name', '*.md']);
  // The compiler of types is a package of its own, which no run needs.
  const needed = modules.filter((path) => !/\/node_modules\/(@typescript|typescript)\//.test(path));
  const own = [...sources.map((path) => join(PROJECT, path)), ...new Set(needed)];
  const helper = await buildHelper(cacheFolder());
  return [
    file('/usr/bin/node', await readFile(node), 0o755),
    ...(await Promise.all(libraries.map((path) => asHere(path)))),
    ...(await Promise.all(
      own.map(async (path) => file(`/project/${relative(PROJECT, path)}`, await readFile(path), 0o755)),
    )),
    file('/usr/bin/vfio-conform-helper', await readFile(helper.path), 0o755),
    file('/offline.sh', SCRIPT, 0o755),
    file('/etc/inittab', '::once:/offline.sh\n'),
  ];
};

/** QEMU's words for a guest without a network card. */
const withoutNetwork = (words: readonly string[]): readonly string[] =>
  words.filter(
    (word, index) =>
      !/^(user,id=net|virtio-net)/.test(word) && !/^(user,id=net|virtio-net)/.test(words[index + 1] ?? ''),
  );

const optionsFor = (kernel: GuestOptions['kernel']): GuestOptions => ({
  ...{ kernel, iommu: DEFAULT_IOMMU, accelerator: 'tcg', memoryMiB: 3072, cpus: 2 },
  ...{ initramfs: new Uint8Array(), commandLine: '', bootMs: 0 },
});

describe('the harness in a guest without a network', function () {
  this.timeout(1_800_000);

  it('runs as a kselftest, on its own kernel', async function () {
    if (process.env['VFIO_CONFORM_OFFLINE'] !== '1') {
      skipBecause(this, 'it packs Node into a guest, which takes minutes: VFIO_CONFORM_OFFLINE=1');
    }
    const { kernel } = await prepareKernel(await kernelNamed('6.1'), cacheFolder());
    const keys = { hostKey: createHostKey(), clientKey: createClientKey() };
    const settings = { ...keys, devices: EDU_ADDRESSES, moduleParameters: {}, modules: [] };
    const archive = Buffer.concat([await buildInitramfs(kernel, settings), cpioArchive(await layer())]);
    const path = join(
      tmpdir(),
      `vfio-conform-offline-${createHash('sha256').update(SCRIPT).digest('hex').slice(0, 8)}`,
    );
    await writeFile(path, archive);
    const words = withoutNetwork(qemuArguments(optionsFor(kernel), path, 0));
    const { stdout } = await execa(await needProgram('qemu-system-x86_64'), words, {
      timeout: 1_700_000,
      stdin: 'ignore',
    });
    const said = stdout.replaceAll('\r', '').split('\n');
    expect(said).to.include('KTAP version 1');
    expect(said.find((line) => line.startsWith('# Totals: '))).to.match(/pass:[1-9][0-9]* fail:0 .* error:0$/);
    expect(said.filter((line) => line.startsWith(END))).to.deep.equal([`${END}0`]);
  });
});
