import type { Answer } from '../outcome.ts';
import type { KernelFile } from '../world/kernel-file.ts';
import { PARAMETER_SETS, PARAMETER_SHOWS } from './limits.ts';
import type { Vfio } from './state.ts';

/** The file of the module parameter dma_entry_limit. */
export const parameterFile = (vfio: Vfio): KernelFile => ({
  kind: 'parameter',
  pread: (_, offset, size): Answer => {
    const clause = vfio.law.of(PARAMETER_SHOWS);
    const text = new TextEncoder().encode(clause.rule(vfio.dmaEntryLimit));
    const bytes = text.subarray(Number(offset), Number(offset) + size);
    return {
      allowed: [
        {
          ret: { exactly: BigInt(bytes.length) },
          errno: 0,
          out: [{ at: 0, bytes, clause }],
          clauses: [clause],
          commit: () => undefined,
        },
      ],
    };
  },
  pwrite: (_, offset, data): Answer => {
    const clause = vfio.law.of(PARAMETER_SETS);
    const limit = clause.rule(new TextDecoder().decode(data));
    if (limit === undefined || offset !== 0n) return { unspecified: 'this text for a module parameter' };
    return {
      allowed: [
        {
          ret: { exactly: BigInt(data.length) },
          errno: 0,
          clauses: [clause],
          commit: () => {
            vfio.dmaEntryLimit = limit;
          },
        },
      ],
    };
  },
});
