/** IOMMU_IOAS_CHANGE_PROCESS of the series change-process: as it was sketched, before it had a reserved field. */
import { struct, u32 } from './struct.ts';

export const sketchedChangeProcess = struct('iommu_ioas_change_process', { size: u32 });
