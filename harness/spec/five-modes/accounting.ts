import { alike, question } from './question.ts';
import { COMPAT, IOMMUFD_HEADER, PAGES, TYPE1 } from './sources.ts';

/* Locked memory: what is charged, to whom, since when. Mappings have four pages of 4 KiB; where not said, the process has CAP_IPC_LOCK. */

const TYPE1_MODES = ['type1-v1', 'type1-v2'] as const;
const ON_IOMMUFD = ['compat-v1', 'compat-v2', 'iommufd'] as const;

const LOCKS = `${TYPE1}: vfio_pin_pages_remote(), vfio_lock_acct()`;
const BY_USER = `${IOMMUFD_HEADER}: IOMMU_OPTION_RLIMIT_MODE: Value 0 (default) is user based accounting`;
const PINS = `${PAGES}: iopt_pages_update_pinned()`;
const LAZY = 'drivers/iommu/iommufd/io_pagetable.c: iopt_map_user_pages(): this will only setup a lazy reference';

export const LOCKED = question('locked', {
  asks: 'VmLck of a process that mapped four pages',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 16n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 0n, source: BY_USER }),
  },
});

export const LOCKED_UNPRIVILEGED = question('locked-unprivileged', {
  asks: 'VmLck of a process without CAP_IPC_LOCK that mapped four pages',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 16n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 0n, source: BY_USER }),
  },
});

export const PINNED = question('pinned', {
  asks: 'VmPin of a process that mapped four pages',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 16n, source: PINS }),
  },
});

export const CHARGED_TWICE = question('charged-twice', {
  asks: 'What is charged (VmLck of type1, VmPin of IOMMUFD) for memory that is mapped twice',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 32n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 32n, source: PINS }),
  },
});

export const CHARGED_LAZY = question('charged-before-open', {
  asks: 'What is charged for a mapping before the device is opened',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 16n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 0n, source: LAZY }),
  },
});

export const CHARGED_WHEN_OPENED = question('charged-when-opened', {
  asks: 'What is charged for a mapping that was made before the device was opened, once it is',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 16n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { returns: 16n, source: `${PINS}; iopt_fill_domain()` }),
  },
});

export const CHARGED_AFTER_CLOSE = question('charged-after-close', {
  asks: 'What is charged for a mapping once the device is closed',
  unit: 'kB',
  cells: {
    ...alike(TYPE1_MODES, { returns: 16n, source: LOCKS }),
    ...alike(ON_IOMMUFD, {
      returns: 0n,
      source: 'drivers/iommu/iommufd/hw_pagetable.c: the page table goes with its last device; iopt_unfill_domain()',
    }),
  },
});

export const CHARGED_AFTER_CUT = question('charged-after-cut', {
  asks: 'What is charged for a mapping after UNMAP of its first half',
  unit: 'kB',
  cells: {
    'type1-v1': { returns: 0n, source: `${TYPE1}: vfio_dma_do_unmap(): the comment on v1 and v2` },
    'type1-v2': { returns: 16n, source: LOCKS },
    'compat-v1': { returns: 8n, source: `${COMPAT}: iommufd_vfio_unmap_dma(); ${PINS}` },
    ...alike(['compat-v2', 'iommufd'], { returns: 16n, source: PINS }),
  },
});

export const OVER_LIMIT = question('over-limit', {
  asks: 'MAP of more pages than RLIMIT_MEMLOCK allows, without CAP_IPC_LOCK',
  cells: {
    ...alike(TYPE1_MODES, { refused: ['ENOMEM'], source: LOCKS }),
    ...alike(ON_IOMMUFD, { refused: ['ENOMEM'], source: `${PAGES}: incr_user_locked_vm()` }),
  },
});

export const LIMIT_OF_USER = question('limit-of-user', {
  asks: 'MAP of as many pages as RLIMIT_MEMLOCK allows, when another process of the user has mapped as many',
  cells: {
    ...alike(TYPE1_MODES, { returns: 0n, source: LOCKS }),
    ...alike(ON_IOMMUFD, { refused: ['ENOMEM'], source: `${BY_USER}; ${PAGES}: incr_user_locked_vm()` }),
  },
});

export const ACCOUNTING_QUESTIONS = [
  LOCKED,
  LOCKED_UNPRIVILEGED,
  PINNED,
  CHARGED_TWICE,
  CHARGED_LAZY,
  CHARGED_WHEN_OPENED,
  CHARGED_AFTER_CLOSE,
  CHARGED_AFTER_CUT,
  OVER_LIMIT,
  LIMIT_OF_USER,
];
