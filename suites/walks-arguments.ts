import { BASE } from '../harness/cases/accesses.ts';
import { clause, each, type Memory, readyContainer, type Scenario } from '../harness/cases/index.ts';
import { openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, DIRTY } from '../harness/cases/page-tables.ts';
import { inline } from '../harness/cases/vfio.ts';
import { type Numbers, numbersFrom, seeds } from '../harness/cases/walks.ts';

import { IOMMU_DESTROY, iommuDestroy } from '../harness/uapi/iommufd.ts';
import { IOMMUFD_COMMANDS } from '../harness/uapi/iommufd-commands.ts';
import { type AnyStruct, offsetOf, sizeOf } from '../harness/uapi/struct.ts';
import * as vfio from '../harness/uapi/vfio.ts';

/* Random programs, as in walks.ts: requests whose arguments are anything, of any size, with pointers that lead somewhere or nowhere. */

const STEPS = 48;
const ROOM = 0x4000n;

const WORDS = [0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 8, 0x10, 0x1000, 0x8000_0000, 0xffff_ffff] as const;
const LONGS = [
  0n,
  0n,
  1n,
  8n,
  0x800n,
  0x1000n,
  0x1000n,
  0x2000n,
  0x4000n,
  BASE,
  BASE,
  BASE + 0x1000n,
  BASE + 0x3000n,
] as const;
const EXTREMES = [(1n << 64n) - 1n, (1n << 64n) - 0x1000n, 1n << 63n, 1n << 39n] as const;
type Patch = Parameters<typeof inline>[1];

/** Fields that are pointers. */
const POINTERS: readonly string[] = ['user_va', 'vaddr', 'allowed_iovas', 'data', 'data_uptr'];

interface Request {
  readonly request: bigint;
  readonly type: AnyStruct;
}

/** What its fields are: mostly something small, so that ids and flags are often those that there are. */
const fieldsOf = (bytes: Uint8Array, struct: AnyStruct, memory: Memory, numbers: Numbers): readonly Patch[] => {
  const view = new DataView(bytes.buffer);
  const patches: Patch[] = [];
  for (const [name, type] of Object.entries(struct.fields)) {
    // Of reserved fields, and of page sizes that are none, it is known that some are not looked at.
    if (type.kind !== 'scalar' || name.startsWith('__reserved')) continue;
    const at = offsetOf(struct, name);
    if (POINTERS.includes(name) && numbers.below(8) > 0) {
      patches.push({ kind: 'pointer', at, place: memory.at(BigInt(numbers.oneOf([0, 0, 0x1000, 0x2000, 0x3ff8]))) });
    } else if (name === 'page_size') view.setBigUint64(at, numbers.oneOf([0x800n, 0x1000n, 0x1000n, 0x2000n]), true);
    else if (type.scalar === 'u64')
      view.setBigUint64(at, numbers.below(12) === 0 ? numbers.oneOf(EXTREMES) : numbers.oneOf(LONGS), true);
    else if (type.scalar === 'u32') view.setUint32(at, numbers.oneOf(WORDS), true);
    else if (type.scalar === 'u16') view.setUint16(at, numbers.oneOf(WORDS) & 0xffff, true);
  }
  return patches;
};

/** The size that an argument says it has, which is its first field: mostly what it is. */
const sizeFor = (whole: number, { below, oneOf }: Numbers): number =>
  below(6) > 0 ? whole : oneOf([0, 4, 8, 12, whole - 1, whole - 4, whole + 8, whole + 64, 0x1000, 0x1001, 0xffff_ffff]);

const argumentOf = (struct: AnyStruct, memory: Memory, numbers: Numbers) => {
  const whole = sizeOf(struct);
  const size = sizeFor(whole, numbers);
  const bytes = new Uint8Array(size > whole && size <= 0x1000 ? size : whole);
  const patches = fieldsOf(bytes, struct, memory, numbers);
  new DataView(bytes.buffer).setUint32(0, size, true);
  if (bytes.length > whole) bytes[bytes.length - 1] = numbers.oneOf([0, 1]);
  return inline(bytes, ...patches);
};

/** Commands that give a descriptor, or take one, are left out: nobody knows its number. */
const WITH_DESCRIPTORS: readonly string[] = ['IOMMU_FAULT_QUEUE_ALLOC', 'IOMMU_VEVENTQ_ALLOC', 'IOMMU_IOAS_MAP_FILE'];

const DESTROY: Request = { request: IOMMU_DESTROY, type: iommuDestroy };
const COMMANDS: readonly [Request, ...Request[]] = [
  DESTROY,
  ...IOMMUFD_COMMANDS.filter(({ name }) => !WITH_DESCRIPTORS.includes(name)),
];

clause('iommufd/short-struct', () => {
  each(seeds(1, 12), (s, seed) => {
    const numbers = numbersFrom(seed);
    const c = openWithMock(s);
    c.alloc(1);
    c.attachMock(1).returns(0);
    allocTable(c, { dev_id: 3, flags: DIRTY }).returns(0);
    const memory = s.main.memory(ROOM);
    for (let step = 0; step < STEPS; step++) {
      const { request, type } = numbers.oneOf(COMMANDS);
      c.command(request, argumentOf(type, memory, numbers));
    }
  });
});

/** Not DIRTY_PAGES: of a page size of 0 a kernel with UBSAN tells, which is known. */
const TYPE1 = [
  { request: vfio.VFIO_IOMMU_MAP_DMA, type: vfio.vfioIommuType1DmaMap },
  { request: vfio.VFIO_IOMMU_MAP_DMA, type: vfio.vfioIommuType1DmaMap },
  { request: vfio.VFIO_IOMMU_UNMAP_DMA, type: vfio.vfioIommuType1DmaUnmap },
  { request: vfio.VFIO_IOMMU_GET_INFO, type: vfio.vfioIommuType1Info },
] as const satisfies readonly Request[];

clause('map/argsz', () => {
  each(seeds(101, 12), (s: Scenario, seed) => {
    const numbers = numbersFrom(seed);
    const c = readyContainer(s);
    const memory = s.main.memory(ROOM);
    for (let step = 0; step < STEPS; step++) {
      const { request, type } = numbers.oneOf(TYPE1);
      c.ioctl(request, argumentOf(type, memory, numbers));
    }
    c.unmapAll();
  });
});
