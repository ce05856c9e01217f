import type { CountFile } from '../hosts/counts.ts';
import type { Kernel } from '../kernels/fetch.ts';
import { countedFiles } from '../kernels/gcov.ts';
import { writeCode } from '../report/code.ts';

/** Gathers what a kernel counted of its own code in a run, over all boots of all guests. */
export interface KernelCounts {
  /** Takes the counts of the boots of a kernel. */
  of(kernel: Kernel): (files: readonly CountFile[] | undefined) => void;
  /** Writes them into the report's folder, once the guests are down; nothing for a kernel that does not count. Throws HostTrouble. */
  write(folder: string): Promise<void>;
}

export const createKernelCounts = (): KernelCounts => {
  const boots: (readonly CountFile[])[] = [];
  let bootsLost = 0;
  let kernel: Kernel | undefined;
  return {
    of: (counting) => {
      kernel = counting;
      return (files) => {
        if (files === undefined) bootsLost++;
        else boots.push(files);
      };
    },
    write: async (folder) => {
      if (kernel?.counted === undefined) return;
      const files = await countedFiles(kernel.counted, boots);
      writeCode(folder, {
        kernel: kernel.release,
        boots: boots.length,
        bootsLost,
        files: files.map((one) => ({
          path: one.path,
          functions: [...one.functions],
          lines: one.lines.map((line) => ({ ...line, branches: [...line.branches] })),
        })),
      });
    },
  };
};
