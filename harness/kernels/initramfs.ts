/** The guest's file system: a base of the machine's own programs, and a layer of what differs between boots. */
import { readFile, realpath } from 'node:fs/promises';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { cpioArchive, type Entry } from './cpio.ts';
import type { Kernel } from './fetch.ts';
import { GUEST, INIT_SCRIPT } from './init-script.ts';
import type { ClientKey, HostKey } from './keys.ts';
import { inLoadingOrder, moduleName } from './modules.ts';
import { needProgram } from './requirements.ts';

/** What differs between boots of one kernel. */
export interface BootSettings {
  readonly hostKey: HostKey;
  readonly clientKey: ClientKey;
  /** PCI addresses to bind to vfio-pci: `0000:00:04.0`. */
  readonly devices: readonly string[];
  /** Parameters by module: `{ vfio_iommu_type1: ['dma_entry_limit=64'] }`. */
  readonly moduleParameters: Readonly<Record<string, readonly string[]>>;
  /**
   * Modules, as paths of unpacked .ko files, that take the place of the kernel package's own of the same name; those of
   * other names are loaded after all others that do not depend on them.
   */
  readonly modules: readonly string[];
  /** Names of further modules of the kernel package, loaded before all that they do not depend on. */
  readonly further?: readonly string[];
}

/** The image to boot a kernel with. The same inputs make the same bytes. Throws HostTrouble for a program that is missing. */
export const buildInitramfs = async (kernel: Kernel, settings: BootSettings): Promise<Uint8Array> =>
  Buffer.concat([cpioArchive(await baseOf(kernel)), cpioArchive(await layerOf(kernel, settings))]);

const file = (path: string, content: Uint8Array | string, mode = 0o644): Entry => ({
  kind: 'file',
  path,
  mode,
  bytes: typeof content === 'string' ? Buffer.from(content) : content,
});
const folder = (path: string, mode = 0o755): Entry => ({ kind: 'folder', path, mode });
const link = (path: string, target: string): Entry => ({ kind: 'link', path, target });

const baseOf = async (kernel: Kernel): Promise<readonly Entry[]> => {
  const busybox = await needProgram('busybox');
  const dropbear = await needProgram('dropbear');
  const libraries = [...new Set([...(await librariesOf(busybox)), ...(await librariesOf(dropbear))])];
  return [
    ...['/dev', '/proc', '/sys', '/run', '/var/run', '/var/log'].map((path) => folder(path)),
    folder('/tmp', 0o1777),
    folder('/root', 0o700),
    // The kernel opens it for the first process before that can mount anything.
    { kind: 'device', path: '/dev/console', mode: 0o600, major: 5, minor: 1 },
    file('/init', INIT_SCRIPT, 0o755),
    // Without a line for a shell, busybox's init only reaps: actors whose parent died become its children.
    file('/etc/inittab', '::ctrlaltdel:/bin/reboot -f\n'),
    file('/etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/false\n'),
    file('/etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    file('/etc/shells', '/bin/sh\n'),
    file('/bin/busybox', await readFile(busybox), 0o755),
    ...(await appletsOf(busybox)).map((name) => link(`/bin/${name}`, 'busybox')),
    file('/bin/dropbear', await readFile(dropbear), 0o755),
    ...(await Promise.all(libraries.map(async (path) => file(path, await readFile(path), 0o755)))),
    ...(await Promise.all(
      kernel.modules.map(async ({ name, path }) => file(`${GUEST.modules}/${name}.ko`, await readFile(path))),
    )),
  ];
};

const layerOf = async (kernel: Kernel, settings: BootSettings): Promise<readonly Entry[]> => {
  const given = new Map(settings.modules.map((path) => [moduleName(path), path]));
  const further = (kernel.further ?? []).filter(({ name }) => settings.further?.includes(name) === true);
  const names = await namesInOrder(kernel, given, further);
  for (const name of Object.keys(settings.moduleParameters)) {
    if (!names.has(name))
      throw new HostTrouble(`parameters were given for ${name}, which is not among the guest's modules`);
  }
  const lines = [...names].map((name) => [`${name}.ko`, ...(settings.moduleParameters[name] ?? [])].join(' '));
  return [
    file(GUEST.moduleList, lines.map((line) => `${line}\n`).join('')),
    file(GUEST.deviceList, settings.devices.map((address) => `${address}\n`).join('')),
    file(GUEST.hostKey, settings.hostKey.file, 0o600),
    folder('/root', 0o700),
    folder('/root/.ssh', 0o700),
    file(GUEST.authorizedKeys, `${settings.clientKey.authorizedKey}\n`, 0o600),
    ...(await Promise.all(
      further.map(async ({ name, path }) => file(`${GUEST.modules}/${name}.ko`, await readFile(path))),
    )),
    ...(await Promise.all(
      [...given].map(async ([name, path]) => file(`${GUEST.modules}/${name}.ko`, await readGiven(path))),
    )),
  ];
};

/** What is loaded: the kernel package's modules and the given ones, in order. */
const namesInOrder = async (
  kernel: Kernel,
  given: ReadonlyMap<string, string>,
  further: Kernel['modules'],
): Promise<ReadonlySet<string>> => {
  const own = [...further, ...kernel.modules].map(({ name, path }) => given.get(name) ?? path);
  const paths = [...new Set([...own, ...given.values()])];
  const inOrder = given.size === 0 && further.length === 0;
  return new Set((inOrder ? paths : await inLoadingOrder(paths)).map(moduleName));
};

const readGiven = (path: string): Promise<Uint8Array> =>
  readFile(path).catch((cause: unknown) => {
    throw new HostTrouble(`cannot read the module ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  });

/** The libraries that a program is linked with, and its loader; none for a static program. */
const librariesOf = async (program: string): Promise<readonly string[]> => {
  const result = await execa(await needProgram('ldd'), [await realpath(program)], { reject: false, timeout: 30_000 });
  if (/not a dynamic executable|statically linked/.test(`${result.stdout}${result.stderr}`)) return [];
  const missing = /^\s*(\S+) => not found/m.exec(result.stdout)?.[1];
  if (result.exitCode !== 0 || missing !== undefined) {
    throw new HostTrouble(`cannot tell what ${program} is linked with: ${missing ?? result.stderr.slice(0, 200)}`);
  }
  return [...result.stdout.matchAll(/(\/\S+) \(0x[0-9a-f]+\)/g)].flatMap(([, path]) => path ?? []);
};

const appletsOf = async (busybox: string): Promise<readonly string[]> => {
  const { stdout } = await execa(busybox, ['--list'], { timeout: 30_000 });
  return stdout.split('\n').filter((name) => name !== '' && name !== 'busybox');
};
