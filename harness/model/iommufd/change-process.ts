import { IOMMU_IOAS_CHANGE_PROCESS, iommuIoasChangeProcess } from '../../uapi/iommufd.ts';
import { type Holds, objection, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import type { Process } from '../world/process.ts';
import { exceeds, MOVES_CHARGES } from './pinned.ts';
import type { Context, Pages } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_CHANGE_PROCESS';
const SOURCE = 'iommufd_ioas_change_process(), drivers/iommu/iommufd/ioas.c';

/** A call that changes the process of a context. */
export interface ChangeCall {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: Found<typeof iommuIoasChangeProcess.fields>;
}

/** All that is mapped in a context, each memory once, however often it was copied. */
export const allPages = ({ objects }: Context): ReadonlySet<Pages> => {
  const found = new Set<Pages>();
  for (const { areas } of objects.values()) for (const { pages } of areas) found.add(pages);
  return found;
};

export const CHANGE_PROCESS = request<Context, ChangeCall>({
  id: 'ioas/change-process',
  level: 'must',
  says: 'IOAS_CHANGE_PROCESS makes the calling process the one that is charged for what is mapped in all IO address spaces of the context, and returns 0. What is mapped stays mapped.',
  source: `${HEADER}: This transfers pinned memory counts for every memory map in every IOAS in the context to the current process`,
  on: 'iommufd',
  request: IOMMU_IOAS_CHANGE_PROCESS,
  situation: (context, { caller, argument }) => ({
    context,
    caller,
    asked: readStruct(argument, iommuIoasChangeProcess),
  }),
  stages: ['arguments', 'mappings', 'limit'],
  effect: ({ context, caller }) => {
    const clause = context.law.of(MOVES_CHARGES);
    for (const pages of allPages(context)) clause.rule(context, pages, caller, clause);
  },
});

export const CHANGE_RESERVED = objection(CHANGE_PROCESS, {
  id: 'ioas/change-process-reserved',
  level: 'must',
  says: 'A reserved field that is not 0 is refused with EOPNOTSUPP.',
  source: `${HEADER}: __reserved: Must be 0; ${SOURCE}`,
  stage: 'arguments',
  errnos: ['EOPNOTSUPP'],
  when: ({ asked: { __reserved } }) => __reserved !== 0,
});

export const CHANGE_FILES_ONLY = objection(CHANGE_PROCESS, {
  id: 'ioas/change-process-files-only',
  level: 'must',
  says: 'While anything is mapped in any IO address space of the context that was not mapped with IOAS_MAP_FILE, be it a copy, IOAS_CHANGE_PROCESS is refused with EINVAL.',
  source: `${HEADER}: This only supports maps created with IOMMU_IOAS_MAP_FILE, and returns EINVAL if other maps are present`,
  stage: 'mappings',
  errnos: ['EINVAL'],
  when: ({ context }) => [...allPages(context)].some(({ kind }) => kind !== 'file'),
});

/** Whether the calling process, or its user, may not lock what is charged for these in addition. */
export const takesTooMuch = ({ context, caller }: ChangeCall, moving: readonly Pages[]): Holds =>
  (['user', 'process'] as const)
    .map((mode) => {
      const more = moving.filter((one) => one.mode === mode).reduce((sum, { charged }) => sum + charged, 0);
      return exceeds(context, { process: caller, space: caller.space, uid: caller.uid }, mode, more);
    })
    .reduce((one, other) => (one === true || other === true ? true : one || other));

export const CHANGE_OVER_LIMIT = objection(CHANGE_PROCESS, {
  id: 'ioas/change-process-over-limit',
  level: 'must',
  says: 'When the calling process, or its user, may not lock what would be charged to it in addition, IOAS_CHANGE_PROCESS is refused with ENOMEM, and nothing changes. What the same process is charged for already does not count; what another process of the same user is charged for counts until it is moved, and so twice.',
  source: `${HEADER}: If the ioctl returns a failure status, then nothing is changed; charge_current(), drivers/iommu/iommufd/ioas.c`,
  stage: 'limit',
  errnos: ['ENOMEM'],
  when: (call) =>
    takesTooMuch(
      call,
      [...allPages(call.context)].filter(({ owner }) => owner.space !== call.caller.space),
    ),
});

export const CHANGE_PROCESS_CLAUSES = [CHANGE_PROCESS, CHANGE_RESERVED, CHANGE_FILES_ONLY, CHANGE_OVER_LIMIT];
