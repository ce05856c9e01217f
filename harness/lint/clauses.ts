import type { Clause } from '../spec/clause.ts';

const BOTCHING = 'Documentation/process/botching-up-ioctls.rst';
const VFIO_H = 'include/uapi/linux/vfio.h';
const WILLIAMSON_2018 =
  'Alex Williamson, re [RFC PATCH] vfio: Implement new Ioctl VFIO_IOMMU_GET_DIRTY_BITMAP, 10 April 2018';
const WILLIAMSON_2020 =
  'Alex Williamson, re [PATCH v3 03/14] vfio/type1: Report iommu nesting info to userspace, 2 July 2020';

/** A clause of lint is of the kind `lint/words`, and speaks of what a header declares, not of what a kernel does. */
const clause = (words: string, level: Clause['level'], says: string, source: string): Clause => ({
  id: `lint/${words}`,
  level,
  says,
  source,
});

export const SAME_LAYOUT = clause(
  'same-layout',
  'must',
  'A structure has the same size, and its fields the same offsets, on every architecture.',
  `${BOTCHING}: the structure size will otherwise differ on 32-bit versus 64-bit; ${WILLIAMSON_2020}: This could lead to the structure having a compiler dependent size and offsets`,
);

export const EXPLICIT_PADDING = clause(
  'explicit-padding',
  'must',
  'Padding is a field of its own, between fields and at the end.',
  `${BOTCHING}: Align everything to the natural size and use explicit padding; the padding the compiler might insert could contain garbage`,
);

export const ALIGNED_64_BIT = clause(
  'aligned-64-bit',
  'must',
  'A 64-bit field lies at a multiple of 8 bytes on every architecture.',
  `${BOTCHING}: 32-bit platforms don't necessarily align 64-bit values to 64-bit boundaries, but 64-bit platforms do`,
);

export const ALIGNED_TAIL = clause(
  'aligned-flexible-array',
  'must',
  'A flexible array of bytes, which may hold any structure, begins at a multiple of 8 bytes.',
  `${WILLIAMSON_2020}: info[] should start at an 8-byte alignment to allow data[] within info to have 8-byte alignment`,
);

export const ARGSZ_FLAGS = clause(
  'argsz-and-flags',
  'must',
  "The argument of a VFIO request begins with __u32 argsz and __u32 flags, that of IOMMUFD's with __u32 size.",
  `${VFIO_H}: embedding the structure length (argsz) and flags; ${WILLIAMSON_2018}: This does not follow the vfio standard calling convention of argsz and flags; include/uapi/linux/iommufd.h: General ioctl format`,
);

export const ROOM_TO_GROW = clause(
  'room-to-grow',
  'should',
  'The argument of a request has something that a later version can use: a size, flags, a version or reserved fields.',
  `${BOTCHING}: Have a plan for extending ioctls with new flags or new fields at the end of the structure`,
);

export const NUMBER_FREE = clause(
  'request-number-free',
  'must',
  'A new request has a number that no other request on the same file has.',
  `${VFIO_H}: the numbers from VFIO_BASE on; VFIO_BASE + 17, posted in 2018, is VFIO_IOMMU_DIRTY_PAGES today`,
);

export const ID_FREE = clause(
  'id-free',
  'must',
  'A new capability, feature or extension has an id that no other of its kind has.',
  `${VFIO_H}: The id within the header is a shared address space per INFO ioctl; id 3, posted in 2020, is VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL today`,
);

export const SAME_MACRO = clause(
  'comment-as-code',
  'should',
  "A request's comment names the macro that defines it: not _IOW where the code has _IO, which says neither a direction nor a size.",
  `${VFIO_H}: We therefore use the _IO() macro for these defines`,
);

/** What `vfio-conform lint` holds headers against. */
export const LINT_CLAUSES: readonly Clause[] = [
  SAME_LAYOUT,
  EXPLICIT_PADDING,
  ALIGNED_64_BIT,
  ALIGNED_TAIL,
  ARGSZ_FLAGS,
  ROOM_TO_GROW,
  NUMBER_FREE,
  ID_FREE,
  SAME_MACRO,
];
