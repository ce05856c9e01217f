import { type Objection, objection, type Refusal, type Request, refusing, request, rule } from '../../model/clauses.ts';
import { type Found, readStruct } from '../../model/type1/argument.ts';
import type { IommuFile } from '../../model/type1/files.ts';
import { MAP_DMA } from '../../model/type1/map.ts';
import { NOT_INVALIDATED } from '../../model/type1/vaddr.ts';
import type { UserArgument } from '../../model/world/kernel-file.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { VFIO_CHANGE_DMA_OWNER, vfioChangeDmaOwner, vfioNewVaddr } from '../../uapi/change-dma-owner.ts';
import { sizeOf } from '../../uapi/struct.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { CALL, type ChangeCall, clausesOf, NUMBERS, POSTED, SISTARE, STAGES, takeOver } from './shared.ts';

const SIZE = sizeOf(vfioChangeDmaOwner);
const PAIR = sizeOf(vfioNewVaddr);
const TWO_TO_THE_64 = 1n << 64n;

const ARRAY = `${SISTARE}: This can be fixed by passing an array of (iova, new_vaddr) to VFIO_CHANGE_DMA_OWNER, rather than pre-staging the new vaddrs one at a time`;
const ARGSZ_AND_FLAGS = 'include/uapi/linux/vfio.h: argsz and flags';

type Pair = Found<typeof vfioNewVaddr.fields>;

interface ArrayCall extends ChangeCall {
  readonly asked: Found<typeof vfioChangeDmaOwner.fields>;
  /** The pairs that it was given: read only where there are as many as mappings, as the kernel does. */
  readonly pairs: readonly Pair[];
}

const readPairs = (argument: UserArgument, nr: number, mappings: number): readonly Pair[] =>
  nr === mappings
    ? Array.from({ length: nr }, (_, index) => readStruct(argument, vfioNewVaddr, SIZE + index * PAIR))
    : [];

const CHANGES: Request<IommuFile, ArrayCall> = request<IommuFile, ArrayCall>({
  id: CALL,
  level: 'must',
  says: 'CHANGE_DMA_OWNER with nr 0 makes the calling process the owner of all mappings of the container, each at the vaddr that it has, and returns 0; it leaves its argument as it was.',
  source: `${POSTED}: VFIO_CHANGE_DMA_OWNER`,
  on: 'iommu',
  request: VFIO_CHANGE_DMA_OWNER,
  situation: ({ vfio, iommu }, { caller, argument }) => {
    const asked = readStruct(argument, vfioChangeDmaOwner, 0, SIZE);
    const mappings = [...iommu.mappings];
    const pairs = readPairs(argument, asked.nr, mappings.length);
    const vaddrs = vfio.law.of(TAKES_PAIRS).rule(pairs);
    return {
      law: vfio.law,
      iommu,
      caller,
      pageSize: vfio.platform.pageSizeBytes,
      asked,
      pairs,
      changes: mappings.map((mapping) => ({ mapping, vaddr: vaddrs.get(mapping.start) ?? mapping.vaddr })),
    };
  },
  stages: STAGES,
  effect: (call) => takeOver(call),
  returnedBy: ({ law, pairs }) => (pairs.length === 0 ? law.of(CHANGES) : law.of(TAKES_PAIRS)),
});

/** The vaddr that is given for each iova. */
const TAKES_PAIRS = rule<(pairs: readonly Pair[]) => ReadonlyMap<bigint, bigint>>({
  id: 'change-dma-owner/pairs',
  level: 'must',
  says: 'With an array that has a pair of iova and vaddr for each mapping, in any order, CHANGE_DMA_OWNER compares and takes over each mapping at the vaddr that is given for it, and returns 0.',
  source: ARRAY,
  rule: (pairs) => new Map(pairs.map(({ iova, vaddr }) => [iova, vaddr])),
});

const refuses = (
  stated: Omit<Refusal<ArrayCall>, 'errnos' | 'source'> & { readonly source?: string },
): Objection<ArrayCall> => refusing(CHANGES)({ errnos: ['EINVAL'], source: ARRAY, ...stated });

const ARGUMENT = [
  {
    ...refuses({
      id: 'change-dma-owner/unreadable-argument',
      says: 'An argument whose first 16 bytes cannot be read is refused with EFAULT.',
      stage: 'read',
      when: ({ asked }) => !asked.readable,
    }),
    errnos: ['EFAULT'] as const,
  },
  refuses({
    id: 'change-dma-owner/argsz',
    says: 'An argsz that has no room for the structure and nr pairs is refused with EINVAL; what lies behind them is ignored.',
    source: ARGSZ_AND_FLAGS,
    stage: 'arguments',
    when: ({ asked: { argsz, nr } }) => argsz < SIZE + nr * PAIR,
  }),
  refuses({
    id: 'change-dma-owner/flags',
    says: 'Flags, or a reserved field, that are not 0 are refused with EINVAL.',
    source: ARGSZ_AND_FLAGS,
    stage: 'arguments',
    when: ({ asked: { flags, __reserved } }) => flags !== 0 || __reserved !== 0,
  }),
  refuses({
    id: 'change-dma-owner/pair-for-each',
    says: 'An array that has not exactly one pair for each mapping is refused with EINVAL.',
    stage: 'mappings',
    when: ({ asked: { nr }, changes }) => nr !== 0 && nr !== changes.length,
  }),
  {
    ...refuses({
      id: 'change-dma-owner/unreadable-pairs',
      says: 'An array that cannot be read is refused with EFAULT.',
      stage: 'pairs',
      when: ({ pairs }) => pairs.some(({ readable }) => !readable),
    }),
    errnos: ['EFAULT'] as const,
  },
  refuses({
    id: 'change-dma-owner/pair-iova',
    says: 'An array with an iova that is not that of a mapping, or twice the same, is refused with EINVAL.',
    stage: 'pairs',
    when: ({ pairs, iommu }) =>
      pairs.every(({ readable }) => readable) &&
      (pairs.some(({ iova }) => iommu.mappings.get(iova) === undefined) ||
        new Set(pairs.map(({ iova }) => iova)).size < pairs.length),
  }),
  refuses({
    id: 'change-dma-owner/pair-vaddr',
    says: 'An array with a vaddr that is no multiple of the page size, or from where the mapping would go beyond 2^64, is refused with EINVAL.',
    stage: 'pairs',
    when: ({ changes, pageSize }) =>
      changes.some(
        ({ mapping: { start, end }, vaddr }) =>
          vaddr % BigInt(pageSize) !== 0n || vaddr + (end - start) > TWO_TO_THE_64,
      ),
  }),
];

/** In place of 6.1's clause that a vaddr must have been taken away before: the same, for another reason. */
const NOTHING_STAGED = objection(MAP_DMA, {
  ...NOT_INVALIDATED,
  id: 'change-dma-owner/nothing-staged',
  says: 'Nothing is staged, so that there is nothing to cancel: MAP_DMA with VADDR on a mapping that has its vaddr is refused with EINVAL.',
  source: ARRAY,
});

/** The change of owner with the points of its review settled. */
export const CHANGE_DMA_OWNER_REVIEWED: Revision = {
  id: 'change-dma-owner/reviewed',
  base: LINUX_6_1,
  summary: 'a call that gives all mappings to another process, with the addresses given in the call',
  clauses: {
    'vaddr/not-invalidated': null,
    ...byId(...clausesOf(CHANGES), TAKES_PAIRS, ...ARGUMENT, NOTHING_STAGED),
  },
  structs: [vfioNewVaddr, vfioChangeDmaOwner],
  numbers: NUMBERS,
};
