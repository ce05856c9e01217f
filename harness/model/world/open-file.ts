import type { KernelFile, OpenFlags } from './kernel-file.ts';
import type { OpenFile } from './process.ts';

/** An open file that counts who holds it (struct file): descriptors of any process, and mappings. The last one to drop it releases the file. */
export class HeldFile implements OpenFile {
  readonly file: KernelFile;
  readonly flags: OpenFlags;
  #holders = 0;

  constructor(file: KernelFile, flags: OpenFlags) {
    this.file = file;
    this.flags = flags;
  }

  hold(): void {
    this.#holders++;
  }

  drop(): void {
    this.#holders--;
    if (this.#holders === 0) this.file.release?.();
  }
}

/** Numbers from here on are never descriptors: no setting of fs.nr_open allows more (sysctl_nr_open_max, fs/file.c). */
const MOST_DESCRIPTORS = 0x7fff_ffc0;

/** Whether a number cannot be that of a descriptor. */
export const isNoDescriptor = (number: number): boolean => number >= MOST_DESCRIPTORS;
