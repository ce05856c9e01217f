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
