/** A user's own kernel: an image that was built elsewhere, and its modules. */
import { readFile, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { UsageTrouble } from '../trouble.ts';
import type { Kernel } from './fetch.ts';
import { moduleName, modulesToLoad } from './modules.ts';
import { hasPvhEntry } from './vmlinux.ts';

/** Where it is. */
export interface OwnKernel {
  /** A bzImage, or a vmlinux that QEMU can enter. */
  readonly image: string;
  /** As `make modules_install` leaves it: /lib/modules/RELEASE. Absent when all that a host needs is built in. */
  readonly modules?: string;
}

/** What a host needs, in the order in which it is loaded; what is built in is passed over. */
const WANTED = ['virtio_pci', 'virtio_net', 'vfio_iommu_type1', 'vfio_pci'];

/** More than this is no kernel image. */
const MOST_BYTES = 1 << 30;

/** Field of the header of a bzImage (Documentation/arch/x86/boot.rst): where the release is told, from 0x200 on. */
const KERNEL_VERSION = 0x20e;

/** The kernel release that an image tells, or `undefined` when it is no kernel that can be booted here. */
export const releaseOf = (image: Uint8Array): string | undefined => {
  const file = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (file.length > 0x250 && file.toString('latin1', 0x202, 0x206) === 'HdrS') {
    const at = file.readUInt16LE(KERNEL_VERSION) + 0x200;
    return wordOf(file.toString('latin1', at, at + 128));
  }
  if (!hasPvhEntry(file)) return undefined;
  const banner = file.indexOf('Linux version ');
  return banner < 0 ? undefined : wordOf(file.toString('latin1', banner + 'Linux version '.length, banner + 160));
};

const wordOf = (text: string): string | undefined => /^([0-9][\w.+~-]{0,60})[ \0]/.exec(text)?.[1];

/** Reads what is known of it before it boots. Throws UsageTrouble for a file that is no kernel, or modules that are not its own. */
export const readOwnKernel = async (own: OwnKernel): Promise<Kernel> => {
  const image = resolve(own.image);
  const size = await stat(image).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
  if (size === undefined || size > MOST_BYTES)
    throw new UsageTrouble(`${own.image} is no kernel image: expected a bzImage, or a vmlinux with a PVH entry`);
  const release = releaseOf(await readFile(image));
  if (release === undefined) {
    throw new UsageTrouble(`${own.image} is no kernel image: expected a bzImage, or a vmlinux with a PVH entry`);
  }
  return {
    name: own.image,
    release,
    image,
    modules: own.modules === undefined ? [] : await ownModules(own.modules, release),
    commandLine: '',
    packages: [],
    notes: [],
  };
};

const ownModules = async (folder: string, release: string): Promise<Kernel['modules']> => {
  if (basename(resolve(folder)) !== release) {
    throw new UsageTrouble(`--modules ${folder} is not for this kernel: expected the folder lib/modules/${release}`);
  }
  const files = await modulesToLoad(resolve(folder), WANTED);
  return files.map((path) => ({ name: moduleName(path), path }));
};

/** The revision of a release: that of the newest kernel known which is not newer, or of the oldest. */
export const revisionOfRelease = (release: string): string => {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10));
  const isFrom = (from: number, its: number): boolean => major > from || (major === from && minor >= its);
  if (isFrom(7, 2)) return 'linux-7.2';
  return isFrom(6, 12) ? 'linux-6.12' : 'linux-6.1';
};
