import {
  allPages,
  CHANGE_OVER_LIMIT,
  type CHANGE_PROCESS,
  type ChangeCall,
  takesTooMuch,
} from '../../model/iommufd/change-process.ts';
import { MOVES_CHARGES, settle } from '../../model/iommufd/pinned.ts';
import { type Context, type Pages, pins } from '../../model/iommufd/state.ts';
import type { Process } from '../../model/world/process.ts';
import { byId, type Revision } from '../../spec/revision.ts';
import { LINUX_7_2 } from '../linux-7.2.ts';
import { SKETCH, SKETCHED, SKETCHED_REQUEST } from './shared.ts';

/** Whether the sketch moves a memory to a process. */
const isMoved = ({ mode, owner }: Pages, to: Process): boolean => {
  if (mode === 'none') return false;
  return mode === 'user' ? owner.uid !== to.uid : owner.space !== to.space;
};

const moved = ({ context, caller }: ChangeCall): readonly Pages[] =>
  [...allPages(context)].filter((pages) => isMoved(pages, caller));

/** What the command took it gives back by ending it; what a device is attached to cannot be ended. */
const endAll = ({ context }: { readonly context: Context }): void => {
  for (const [id, ioas] of [...context.objects]) if (!pins(ioas)) context.objects.delete(id);
  settle(context);
};

const CHANGES: typeof CHANGE_PROCESS = {
  ...SKETCHED_REQUEST,
  says: 'IOAS_CHANGE_PROCESS moves what is charged, and ends all IO address spaces of the context that no device is attached to, with what is mapped in them; it returns 0.',
  leavesOpen: (call) =>
    moved(call).some(({ owner }) => owner.space.alive)
      ? 'the address space of the process before loses a use that it has'
      : undefined,
  forgets: ({ context }) => {
    context.unclear = 'a process lost its address space';
  },
  effect: (call) => {
    const { context, caller } = call;
    const clause = context.law.of(MOVES_CHARGES);
    for (const pages of allPages(context)) clause.rule(context, pages, caller, clause);
    endAll(call);
  },
};

const OVER_LIMIT: typeof CHANGE_OVER_LIMIT = {
  ...CHANGE_OVER_LIMIT,
  says: 'When the calling process, or its user, may not lock what would be moved to it in addition, IOAS_CHANGE_PROCESS is refused with ENOMEM; IO address spaces end as after one that succeeds.',
  source: `${SKETCH}: charge_current(), iommufd_release_all_iova_rwsem()`,
  when: (call) => takesTooMuch(call, moved(call)),
  leaves: endAll,
};

const MOVES: typeof MOVES_CHARGES = {
  ...MOVES_CHARGES,
  says: 'IOAS_CHANGE_PROCESS moves what is charged for a process to another process, and what is charged for a user to another user; not what was mapped with CAP_IPC_LOCK, and not between two processes of a user.',
  source: `${SKETCH}: need_charge_update()`,
  rule: (context, pages, to, by) => {
    if (isMoved(pages, to)) MOVES_CHARGES.rule(context, pages, to, by);
  },
};

/** The sketch with its first two errors righted, which hide the others. */
export const CHANGE_PROCESS_RIGHTED: Revision = {
  id: 'change-process/righted',
  base: LINUX_7_2,
  summary: 'the sketch of IOMMU_IOAS_CHANGE_PROCESS with those two errors righted that hide all others',
  clauses: { ...SKETCHED.clauses, ...byId(CHANGES, OVER_LIMIT, MOVES) },
  structs: SKETCHED.structs,
};
