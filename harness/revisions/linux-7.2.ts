import type { Objection } from '../model/clauses.ts';
import { READ_NEEDS_READ } from '../model/type1/device-access.ts';
import { NESTING_EXTENSION } from '../model/type1/extensions.ts';
import { DIRTY_WRAPS } from '../model/type1/get-bitmap.ts';
import { OUTSIDE_APERTURE } from '../model/type1/hardware-objections.ts';
import { IOVA_WRAPS, VADDR_WRAPS } from '../model/type1/map.ts';
import { UNMAP_WRAPS } from '../model/type1/unmap.ts';
import { byId, type Revision } from '../spec/revision.ts';
import { IOMMUFD_COMMANDS, iommuHwInfoVtd } from '../uapi/iommufd-commands.ts';
import { vfioDeviceAttachIommufdPt, vfioDeviceBindIommufd, vfioDeviceDetachIommufdPt } from '../uapi/vfio-cdev.ts';
import { IOMMUFD_CLAUSES } from './iommufd.ts';
import { LINUX_6_12 } from './linux-6.12.ts';

const { type: _, ...noType } = NESTING_EXTENSION;

const nestingGone: typeof NESTING_EXTENSION = {
  ...noType,
  id: 'container/extension-nesting-gone',
  says: 'CHECK_EXTENSION answers 0 for the number that was the nesting IOMMU (6), and SET_IOMMU knows no such type.',
  source: 'include/uapi/linux/vfio.h: __VFIO_RESERVED_TYPE1_NESTING_IOMMU',
  supported: () => false,
};

/** The same refusal with the errno that overflows have now. */
const overflows = <S>(clause: Objection<S>, where: string): Objection<S> => ({
  ...clause,
  says: clause.says.replace('EINVAL', 'EOVERFLOW'),
  source: `${where}, drivers/vfio/vfio_iommu_type1.c: check_add_overflow()`,
  errnos: ['EOVERFLOW'],
});

const readNeedsRead: typeof READ_NEEDS_READ = {
  ...READ_NEEDS_READ,
  says: 'A device does not read memory that was mapped without READ.',
  source:
    'include/uapi/linux/vfio.h: VFIO_IOMMU_MAP_DMA: readable from device; vtdss_pt_iommu_set_prot(), drivers/iommu/generic_pt/fmt/vtdss.h',
  rule: ({ read }) => read,
};

/** The page tables of all IOMMU drivers that are built from the generic code refuse what they cannot hold in one way. */
const outsideAperture: typeof OUTSIDE_APERTURE = {
  ...OUTSIDE_APERTURE,
  says: OUTSIDE_APERTURE.says.replace('EFAULT', 'ERANGE'),
  source:
    'vfio_iommu_aper_conflict(), vfio_iommu_replay(), drivers/vfio/vfio_iommu_type1.c; pt_check_range(), drivers/iommu/generic_pt/pt_iter.h',
  errnos: ['EINVAL', 'ERANGE'],
};

/** What changed in VFIO's containers, groups and type1 between 6.12 and 7.2, IOMMUFD, and devices by their own files. */
export const LINUX_7_2: Revision = {
  id: 'linux-7.2',
  base: LINUX_6_12,
  summary: 'VFIO containers, groups, the type1 IOMMU, device files, and IOMMUFD as of Linux 7.2',
  clauses: {
    'container/extension-nesting': null,
    'container/set-iommu-nesting': null,
    ...byId(
      nestingGone,
      readNeedsRead,
      outsideAperture,
      overflows(IOVA_WRAPS, 'vfio_dma_do_map()'),
      overflows(VADDR_WRAPS, 'vfio_dma_do_map()'),
      overflows(UNMAP_WRAPS, 'vfio_dma_do_unmap()'),
      overflows(DIRTY_WRAPS, 'vfio_iommu_type1_dirty_pages()'),
      ...IOMMUFD_CLAUSES,
    ),
  },
  structs: [
    ...IOMMUFD_COMMANDS.map(({ type }) => type),
    iommuHwInfoVtd,
    vfioDeviceBindIommufd,
    vfioDeviceAttachIommufdPt,
    vfioDeviceDetachIommufdPt,
  ],
};
