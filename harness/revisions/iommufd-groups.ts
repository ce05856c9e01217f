import { ATTACH_STAGE, attachAtOpening, isBesideMock, joinIommufd } from '../model/iommufd/compat/group.ts';
import { GET_DEVICE } from '../model/type1/device-open.ts';
import { NOT_A_CONTAINER, SET_CONTAINER } from '../model/type1/group-container.ts';

/* What groups do where there is IOMMUFD. */

const setContainer: typeof SET_CONTAINER = {
  ...SET_CONTAINER,
  says: 'SET_CONTAINER puts the group into the container whose descriptor it is given, where others may be already, and returns 0; an opening of /dev/iommu stands for a container, and has an IO address space from then on.',
  source: `${SET_CONTAINER.source}; include/uapi/linux/iommufd.h: IOMMU_VFIO_IOAS: either by taking what is already set, or auto creating one`,
  effect: (call) => (call.target.kind === 'iommufd' ? joinIommufd(call) : SET_CONTAINER.effect?.(call)),
};

const neither: typeof NOT_A_CONTAINER = {
  ...NOT_A_CONTAINER,
  says: 'SET_CONTAINER with the descriptor of something that is neither a container nor /dev/iommu is refused with EBADFD.',
  source: 'vfio_group_ioctl_set_container(), drivers/vfio/group.c',
  errnos: ['EBADFD'],
  when: ({ target: { kind } }) => kind !== 'container' && kind !== 'iommufd',
};

const getDevice: typeof GET_DEVICE = {
  ...GET_DEVICE,
  says: 'GET_DEVICE_FD returns a new descriptor for the device of the group that the string names, as often as it is asked; where the group was given /dev/iommu the first opening attaches the device to the IO address space, SET_IOMMU or not, and what is mapped there is pinned, but for a device without an IOMMU, which pins what it is told.',
  source: `${GET_DEVICE.source}; vfio_df_group_open(), drivers/vfio/group.c; include/uapi/linux/iommufd.h: IOMMU_VFIO_IOAS`,
  leavesOpen: (call) => (isBesideMock(call) ? 'a device beside a mock device is not stated' : undefined),
  stages: [...GET_DEVICE.stages, ATTACH_STAGE],
  effect: (call) => {
    const attach = attachAtOpening(call);
    GET_DEVICE.effect?.(call);
    attach();
  },
};

export const IOMMUFD_GROUP_CLAUSES = [setContainer, neither, getDevice];
