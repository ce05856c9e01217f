import type { Platform } from '../../program/platform.ts';
import type { Clause } from '../../spec/clause.ts';
import {
  VFIO_DMA_CC_IOMMU,
  VFIO_EEH,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1_NESTING_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  VFIO_UNMAP_ALL,
  VFIO_UPDATE_VADDR,
} from '../../uapi/vfio.ts';
import type { Law } from '../law.ts';
import { type Group, hasIommu, type Iommu } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h: Extensions';
const CHECK = 'vfio_iommu_type1_check_extension(), drivers/vfio/vfio_iommu_type1.c';

/** An id that CHECK_EXTENSION knows. */
export interface Extension extends Clause {
  readonly kind: 'extension';
  readonly ids: readonly bigint[];
  /** Whether it is supported; `iommu` is the container's, if one is set, and `groups` are those in it. */
  readonly supported: (platform: Platform, iommu: Iommu | undefined, groups: readonly Group[]) => boolean;
  /** What SET_IOMMU makes of it, for the ids that name a type of IOMMU. */
  readonly type?: IommuType;
}

interface IommuType {
  /** Whether UNMAP_DMA refuses to split mappings, and dirty pages can be logged. */
  readonly v2: boolean;
  /** Whether the hardware must translate in two stages. */
  readonly nesting: boolean;
}

const extension = (stated: Omit<Extension, 'kind' | 'level'>): Extension => ({
  kind: 'extension',
  level: 'must',
  ...stated,
});

export const NESTING_EXTENSION = extension({
  id: 'container/extension-nesting',
  says: 'CHECK_EXTENSION answers 1 for the nesting IOMMU (6), whatever the hardware can do.',
  source: `${HEADER}; ${CHECK}`,
  ids: [VFIO_TYPE1_NESTING_IOMMU],
  supported: () => true,
  type: { v2: true, nesting: true },
});

export const EXTENSION_CLAUSES = [
  extension({
    id: 'container/extension-type1',
    says: 'CHECK_EXTENSION answers 1 for the type1 IOMMU (1).',
    source: `${HEADER}; ${CHECK}`,
    ids: [VFIO_TYPE1_IOMMU],
    supported: () => true,
    type: { v2: false, nesting: false },
  }),
  extension({
    id: 'container/extension-type1v2',
    says: 'CHECK_EXTENSION answers 1 for the type1 v2 IOMMU (3).',
    source: `${HEADER}; ${CHECK}`,
    ids: [VFIO_TYPE1v2_IOMMU],
    supported: () => true,
    type: { v2: true, nesting: false },
  }),
  NESTING_EXTENSION,
  extension({
    id: 'container/extension-unmap-all',
    says: 'CHECK_EXTENSION answers 1 for UNMAP_ALL (9), whether an IOMMU is set or not.',
    source: `${HEADER}; ${CHECK}`,
    ids: [VFIO_UNMAP_ALL],
    supported: () => true,
  }),
  extension({
    id: 'container/extension-update-vaddr',
    says: 'CHECK_EXTENSION answers 1 for UPDATE_VADDR (10) once an IOMMU is set and all groups have an IOMMU behind them, and 0 before, when the groups that decide about it are not known.',
    source: `${HEADER}: this capability is subject to change as groups are added or removed; ${CHECK}`,
    ids: [VFIO_UPDATE_VADDR],
    supported: (_, iommu, groups) => iommu !== undefined && groups.every(hasIommu),
  }),
  extension({
    id: 'container/extension-dma-coherence',
    says: 'CHECK_EXTENSION answers 1 for DMA_CC_IOMMU (4) when an IOMMU is set and the hardware enforces cache coherence for all groups of the container that have an IOMMU, else 0.',
    source: `${HEADER}: IOMMU enforces DMA cache coherence; ${CHECK}`,
    ids: [VFIO_DMA_CC_IOMMU],
    supported: ({ iommu: hardware }, iommu, groups) =>
      iommu !== undefined && (hardware.enforcesCacheCoherency || !groups.some(hasIommu)),
  }),
  extension({
    id: 'container/extension-powerpc',
    says: 'CHECK_EXTENSION answers 0 for the IOMMUs of sPAPR (2 and 7) and for EEH (5) where there are none.',
    source: `${HEADER}; ${CHECK}`,
    ids: [VFIO_SPAPR_TCE_IOMMU, VFIO_EEH, VFIO_SPAPR_TCE_v2_IOMMU],
    supported: () => false,
  }),
  extension({
    id: 'container/extension-noiommu',
    says: 'CHECK_EXTENSION answers 0 for NOIOMMU (8) unless the administrator enabled that unsafe mode.',
    source: `${HEADER}; vfio_noiommu_ioctl(), drivers/vfio/container.c`,
    ids: [VFIO_NOIOMMU_IOMMU],
    supported: () => false,
  }),
];

/** What is said about an extension id, if anything. */
export const extensionOf = (law: Law, id: bigint): Extension | undefined =>
  law.all<Extension>('extension').find(({ ids }) => ids.includes(id));
