import { IOMMU_TEST_OP_DIRTY, iommuTestDirty, testOperation } from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, type Objection, type Refusal, refusing, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import { type Context, objectOf, type PageTable } from './state.ts';
import { write } from './tracking.ts';

/* What stands for a device that writes to memory: it marks entries of a page table as written. */

const SOURCE = 'iommufd_test_dirty(), drivers/iommu/iommufd/selftest.c';
/** The most pages in one call: 16 MiB of bits. */
const MOST = 8n << 24n;

interface WriteCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuTestDirty.fields>;
  readonly table: PageTable | undefined;
  /** The bits; absent when they cannot be read. */
  bits(): Uint8Array | undefined;
  readonly writable: boolean;
}

/** The IOVAs that are written: where the bits are set. */
const writes = ({ asked, bits }: WriteCall): readonly bigint[] => {
  const { iova, length, page_size } = asked;
  const found: bigint[] = [];
  const bytes = bits() ?? new Uint8Array(0);
  const pages = Number(length / page_size);
  bytes.forEach((byte, index) => {
    for (let bit = 0; byte >> bit !== 0; bit++) {
      const page = index * 8 + bit;
      if (((byte >> bit) & 1) !== 0 && page < pages) found.push(iova + BigInt(page) * page_size);
    }
  });
  return found;
};

const carryOut = (call: WriteCall): void => {
  if (call.table !== undefined) for (const iova of writes(call)) write(call.context, call.table, iova);
};

const WRITE = request<Context, WriteCall>({
  id: 'mock/write',
  level: 'must',
  says: 'The mock device writes through a page table, at the IOVAs for which bits are set, and returns 0; where nothing is mapped nothing is written.',
  source: SOURCE,
  on: 'iommufd',
  request: testOperation(IOMMU_TEST_OP_DIRTY),
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuTestDirty);
    const { page_size, length, uptr } = asked;
    return {
      context,
      asked,
      table: objectOf(context, asked.id, 'page table'),
      bits: () => caller.space.read(uptr, Number((length / page_size + 7n) / 8n)),
      writable: argument.writable(0, sizeOf(iommuTestDirty)),
    };
  },
  stages: ['arguments', 'size', 'object', 'bits', 'reply'],
  effect: carryOut,
});

const COUNTED = field(WRITE, {
  id: 'mock/write-count',
  level: 'must',
  says: 'The field out_nr_dirty returns how many bits were set.',
  source: SOURCE,
  at: () => offsetOf(iommuTestDirty, 'out_nr_dirty'),
  bytes: (call) => u64Bytes(BigInt(writes(call).length)),
});

const refuses = (stated: Omit<Refusal<WriteCall>, 'source'>): Objection<WriteCall> =>
  refusing(WRITE)({ source: SOURCE, ...stated });

const OBJECTIONS = [
  refuses({
    id: 'mock/write-arguments',
    says: 'No pages, no page size, an iova or a length that is no multiple of it, or no bits are refused with EINVAL.',
    stage: 'arguments',
    errnos: ['EINVAL'],
    when: ({ asked: { iova, length, page_size, uptr } }) =>
      page_size === 0n || length === 0n || uptr === 0n || iova % page_size !== 0n || length % page_size !== 0n,
  }),
  refuses({
    id: 'mock/write-too-many',
    says: 'More than 2^27 pages are refused with EOVERFLOW.',
    stage: 'size',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { length, page_size } }) => length / page_size > MOST,
  }),
  refuses({
    id: 'mock/write-unknown',
    says: 'An id that no page table of the kernel has is refused with ENOENT.',
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ table }) => table === undefined,
  }),
  refuses({
    id: 'mock/write-not-tracked',
    says: 'Writing through a page table on which dirty tracking is not enabled is refused with EINVAL.',
    stage: 'object',
    errnos: ['EINVAL'],
    when: ({ table }) => table !== undefined && table.tracking?.enabled !== true,
  }),
  refuses({
    id: 'mock/write-unreadable',
    says: 'Bits that cannot be read are refused with EFAULT, and nothing is written.',
    stage: 'bits',
    errnos: ['EFAULT'],
    when: ({ bits }) => bits() === undefined,
  }),
  refuses({
    id: 'mock/write-unwritable',
    says: 'When the number cannot be returned the call fails with EFAULT; what it wrote is written all the same.',
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: carryOut,
  }),
];

export const MOCK_WRITE_CLAUSES = [WRITE, COUNTED, ...OBJECTIONS];
