/** VFIO_CHANGE_DMA_OWNER of the series change-dma-owner: without an argument as it was posted, with an array as its review has it. */
import { flexible, struct, u32, u64 } from './struct.ts';

/** `_IO(VFIO_TYPE, VFIO_BASE + 22)` in both forms. */
export const VFIO_CHANGE_DMA_OWNER = 0x3b7an;

/** Where the memory of a mapping is in the new owner. */
export const vfioNewVaddr = struct('vfio_new_vaddr', { iova: u64, vaddr: u64 });

export const vfioChangeDmaOwner = struct('vfio_change_dma_owner', {
  argsz: u32,
  flags: u32,
  /** Number of pairs: 0, or one for each mapping. */
  nr: u32,
  __reserved: u32,
  pairs: flexible(vfioNewVaddr),
});
