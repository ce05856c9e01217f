import { type Objection, objection, request, rule } from '../../model/clauses.ts';
import type { IommuFile } from '../../model/type1/files.ts';
import type { MapCall } from '../../model/type1/map.ts';
import type { Mapping } from '../../model/type1/state.ts';
import { NEW_OWNER_LIMIT } from '../../model/type1/vaddr.ts';
import { UPDATES_VADDR } from '../../model/type1/vaddr-update.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { VFIO_CHANGE_DMA_OWNER } from '../../uapi/change-dma-owner.ts';
import { LINUX_6_1 } from '../linux-6.1.ts';
import { CALL, type ChangeCall, clausesOf, NUMBERS, POSTED, SISTARE, STAGES, takeOver } from './shared.ts';

/** The vaddr that a mapping has after the next change; none was staged for one that is not here. */
const staged = new WeakMap<Mapping, bigint>();

const CHANGES = request<IommuFile, ChangeCall>({
  id: CALL,
  level: 'must',
  says: 'CHANGE_DMA_OWNER makes the calling process the owner of all mappings of the container, each at the vaddr that was staged for it, or where it was if none was, and returns 0; its argument is ignored.',
  source: `${POSTED}: VFIO_CHANGE_DMA_OWNER`,
  on: 'iommu',
  request: VFIO_CHANGE_DMA_OWNER,
  situation: ({ vfio, iommu }, { caller }) => ({
    law: vfio.law,
    iommu,
    caller,
    pageSize: vfio.platform.pageSizeBytes,
    changes: [...iommu.mappings].map((mapping) => ({ mapping, vaddr: staged.get(mapping) ?? mapping.vaddr })),
  }),
  stages: STAGES,
  effect: (call) => {
    takeOver(call);
    for (const { mapping } of call.changes) staged.delete(mapping);
  },
});

const STAYS_STAGED = rule<(vaddr: bigint | undefined) => bigint | undefined>({
  id: 'change-dma-owner/stays-staged',
  level: 'must',
  says: 'What was staged stays after a call that failed, whoever makes it: the same call fails again, and so does that of the owner before, until an address is staged for all mappings or those that have one are unmapped.',
  source: `${SISTARE}: the app is indeed stuck, since it does not know where it screwed up, and there is no interface to cancel the new vaddr's it has registered`,
  rule: (vaddr) => vaddr,
});

const PARTLY_STAGED = objection(CHANGES, {
  id: 'change-dma-owner/partly-staged',
  level: 'must',
  says: 'The call is refused with EINVAL when a vaddr was staged for some mappings and not for all.',
  source: `${POSTED}: EINVAL: a new vaddr was provided for some but not all mappings`,
  stage: 'owners',
  errnos: ['EINVAL'],
  when: ({ changes }) => {
    const count = changes.filter(({ mapping }) => staged.has(mapping)).length;
    return count > 0 && count < changes.length;
  },
  leaves: (call) => keepStaged(call),
});

const keepStaged = ({ law, changes }: ChangeCall): void => {
  for (const { mapping } of changes) {
    const vaddr = law.of(STAYS_STAGED).rule(staged.get(mapping));
    if (vaddr === undefined) staged.delete(mapping);
    else staged.set(mapping, vaddr);
  }
};

/** Stages a vaddr; 0 is what the posted form takes for none. */
const STAGES_VADDR = rule<(mapping: Mapping, vaddr: bigint) => void>({
  id: 'change-dma-owner/stages',
  level: 'must',
  says: 'MAP_DMA with VADDR on a mapping that has its vaddr leaves that as it is, and stages another one for the next successful CHANGE_DMA_OWNER, in place of what was staged before; it returns 0.',
  source: `${POSTED}: the vaddr can be changed in the new address space by using VFIO_DMA_MAP_FLAG_VADDR`,
  rule: (mapping, vaddr) => {
    if (vaddr === 0n) staged.delete(mapping);
    else staged.set(mapping, vaddr);
  },
});

const findUpdated = ({ iommu, asked }: MapCall): Mapping | undefined => iommu.mappings.get(asked.iova);

const UPDATES: typeof UPDATES_VADDR = {
  ...UPDATES_VADDR,
  says: 'MAP_DMA with VADDR gives an invalidated mapping a new vaddr at once, and stages one for any other: its IOVA, pages and permissions stay as they are, and no entry is taken.',
  rule: (call) => {
    const mapping = findUpdated(call);
    if (mapping?.vaddrValid === true) call.law.of(STAGES_VADDR).rule(mapping, call.asked.vaddr);
    else UPDATES_VADDR.rule(call);
  },
};

const LIMIT_OF_UPDATE: Objection<MapCall> = {
  ...NEW_OWNER_LIMIT,
  when: (call) => findUpdated(call)?.vaddrValid === false && NEW_OWNER_LIMIT.when(call),
};

/** The change of owner as it was posted, flaws included. */
export const CHANGE_DMA_OWNER_POSTED: Revision = {
  id: 'change-dma-owner/posted',
  base: LINUX_6_1,
  summary: 'a call that gives all mappings to another process, as posted in December 2022',
  clauses: {
    'vaddr/not-invalidated': null,
    ...byId(...clausesOf(CHANGES, keepStaged), STAYS_STAGED, PARTLY_STAGED, STAGES_VADDR, UPDATES, LIMIT_OF_UPDATE),
  },
  numbers: NUMBERS,
};
