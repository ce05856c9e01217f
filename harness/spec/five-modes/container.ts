import { alike, question, type ValueAt } from './question.ts';
import { COMPAT, HEADER, SAME_SIZE, TYPE1 } from './sources.ts';

/* The container itself: its groups, its type, what it tells, and what devices reach. */

const TYPE1_MODES = ['type1-v1', 'type1-v2'] as const;
const COMPAT_MODES = ['compat-v1', 'compat-v2'] as const;
const ON_IOMMUFD = ['compat-v1', 'compat-v2', 'iommufd'] as const;
const NO_TYPE = { iommufd: { none: 'IO address spaces have no type that is set' } } as const;

const SET_IOMMU = 'drivers/vfio/container.c: vfio_ioctl_set_iommu()';
const COMPAT_SET = `${COMPAT}: iommufd_vfio_set_iommu()`;
const NEEDS_GROUP = `${HEADER}: A group must be set to this file descriptor before this ioctl is available`;
const COMPAT_IOAS = `${COMPAT}: get_compat_ioas()`;

export const SET_WITHOUT_GROUP = question('set-iommu-without-group', {
  asks: 'SET_IOMMU without a group',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: `${NEEDS_GROUP}; ${SET_IOMMU}` }),
    ...alike(COMPAT_MODES, { refused: ['ENODEV'], source: `${NEEDS_GROUP}; ${COMPAT_IOAS}` }),
    ...NO_TYPE,
  },
});

export const SET_UNSUPPORTED = question('set-iommu-unsupported', {
  asks: 'SET_IOMMU with a type that is not supported (sPAPR)',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['ENODEV'], source: SET_IOMMU }),
    ...alike(COMPAT_MODES, { refused: ['EINVAL'], source: COMPAT_SET }),
    ...NO_TYPE,
  },
});

export const SET_TWICE = question('set-iommu-twice', {
  asks: 'SET_IOMMU once more',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: SET_IOMMU }),
    ...alike(COMPAT_MODES, { returns: 0n, source: COMPAT_SET }),
    ...NO_TYPE,
  },
});

export const MAP_WITHOUT_GROUP = question('map-without-group', {
  asks: 'MAP without a group',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: 'drivers/vfio/container.c: vfio_fops_unl_ioctl()' }),
    ...alike(COMPAT_MODES, { refused: ['ENODEV'], source: COMPAT_IOAS }),
    iommufd: { returns: 0n, source: 'Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_IOAS' },
  },
});

export const MAP_BEFORE_SET = question('map-before-set-iommu', {
  asks: 'MAP before SET_IOMMU',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['EINVAL'], source: 'drivers/vfio/container.c: vfio_fops_unl_ioctl()' }),
    ...alike(COMPAT_MODES, { returns: 0n, source: `${COMPAT}: iommufd_vfio_map_dma()` }),
    ...NO_TYPE,
  },
});

export const OPEN_BEFORE_SET = question('open-before-set-iommu', {
  asks: 'GET_DEVICE_FD before SET_IOMMU',
  cells: {
    ...alike(TYPE1_MODES, {
      refused: ['EINVAL'],
      source: `${HEADER}: VFIO_GROUP_GET_DEVICE_FD; drivers/vfio/container.c: vfio_device_assign_container()`,
    }),
    ...alike(COMPAT_MODES, { returns: 'anything', source: 'drivers/vfio/group.c: vfio_df_group_open()' }),
    ...NO_TYPE,
  },
});

export const UNSET_WITH_DEVICE = question('unset-with-device', {
  asks: 'UNSET_CONTAINER while a device is open',
  cells: alike(['type1-v1', 'type1-v2', 'compat-v1', 'compat-v2', 'iommufd'], {
    refused: ['EBUSY'],
    source: `${HEADER}: VFIO_GROUP_UNSET_CONTAINER: All device file descriptors must be released prior`,
  }),
});

export const LEFT_WITHOUT_GROUP = question('left-without-group', {
  asks: 'After the last group left, UNMAP of everything, with a mapping',
  valueAt: SAME_SIZE,
  cells: {
    ...alike(TYPE1_MODES, {
      refused: ['EINVAL'],
      source: `${HEADER}: VFIO_GROUP_UNSET_CONTAINER: all state is lost; drivers/vfio/container.c: vfio_group_detach_container()`,
    }),
    ...alike(ON_IOMMUFD, {
      returns: 0n,
      value: 0x4000n,
      source:
        'drivers/vfio/group.c: vfio_group_ioctl_unset_container() takes the group from the iommufd, and nothing else',
    }),
  },
});

export const DIRTY_START = question('dirty-start', {
  asks: 'DIRTY_PAGES with START',
  cells: {
    'type1-v1': { refused: ['EACCES'], source: `${TYPE1}: vfio_iommu_type1_dirty_pages(): only v2` },
    'type1-v2': { returns: 0n, source: `${HEADER}: VFIO_IOMMU_DIRTY_PAGES` },
    ...alike(COMPAT_MODES, { refused: ['ENOTTY'], source: `${COMPAT}: iommufd_vfio_ioctl()` }),
    iommufd: { none: 'IOMMUFD tracks dirty pages of a page table, by other commands' },
  },
});

/** Where GET_INFO tells how many more mappings there may be. */
const AVAIL = { name: 'avail', at: 64, width: 4 } as const satisfies ValueAt;
const COMPAT_AVAIL = { ...AVAIL, at: 32 };

export const AVAILABLE = question('available', {
  asks: 'GET_INFO with one mapping: how many more there may be',
  valueAt: AVAIL,
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, value: 65534n, source: `${HEADER}: DMA available capability` }),
    ...alike(COMPAT_MODES, {
      returns: 0n,
      value: 0xffff_ffffn,
      valueAt: COMPAT_AVAIL,
      source: `${COMPAT}: iommufd_fill_cap_dma_avail(): U32_MAX`,
    }),
    iommufd: { none: 'IOMMUFD tells no such number' },
  },
});

export const INFO_ARGSZ = question('info-argsz', {
  asks: 'GET_INFO with more room (256) than is needed, before the device is opened: argsz afterwards',
  valueAt: { name: 'argsz', at: 0, width: 4 },
  cells: {
    ...alike(TYPE1_MODES, {
      returns: 0n,
      value: 256n,
      source: `${HEADER}: argsz will be updated to report the necessary buffer size, where it does not suffice`,
    }),
    ...alike(COMPAT_MODES, {
      returns: 0n,
      value: 72n,
      source: `${COMPAT}: iommufd_vfio_iommu_get_info(): the size of structure and capabilities, always`,
    }),
    iommufd: { none: 'IOMMUFD has commands of their own for what GET_INFO tells' },
  },
});

/** What memory holds: filled with 0x11, and 0x22 where the device wrote. */
const BYTES = { name: 'bytes', at: 0, width: 4 } as const satisfies ValueAt;
const OLD = 0x1111_1111n;
const NEW = 0x2222_2222n;

export const REACHES_SECOND_HALF = question('reaches-after-cut', {
  asks: 'After UNMAP of the first half of a mapping: memory to which the device wrote by the second half',
  valueAt: BYTES,
  cells: {
    'type1-v1': { returns: 'anything', value: OLD, source: `${TYPE1}: vfio_dma_do_unmap(): the comment on v1 and v2` },
    ...alike(['type1-v2', 'compat-v1', 'compat-v2', 'iommufd'], {
      returns: 'anything',
      value: NEW,
      source: `${HEADER}: VFIO_IOMMU_MAP_DMA: writable from device`,
    }),
  },
});

export const REACHES_FIRST_HALF = question('reaches-what-was-cut', {
  asks: 'After UNMAP of the first half of a mapping: memory to which the device wrote by the first half',
  valueAt: BYTES,
  cells: {
    ...alike(['type1-v1', 'compat-v1'], {
      returns: 'anything',
      value: OLD,
      source: `${HEADER}: VFIO_IOMMU_UNMAP_DMA`,
    }),
    ...alike(['type1-v2', 'compat-v2', 'iommufd'], {
      returns: 'anything',
      value: NEW,
      source: `${HEADER}: VFIO_IOMMU_MAP_DMA: writable from device`,
    }),
  },
});

export const CONTAINER_QUESTIONS = [
  SET_WITHOUT_GROUP,
  SET_UNSUPPORTED,
  SET_TWICE,
  MAP_WITHOUT_GROUP,
  MAP_BEFORE_SET,
  OPEN_BEFORE_SET,
  UNSET_WITH_DEVICE,
  LEFT_WITHOUT_GROUP,
  DIRTY_START,
  AVAILABLE,
  INFO_ARGSZ,
  REACHES_SECOND_HALF,
  REACHES_FIRST_HALF,
];
