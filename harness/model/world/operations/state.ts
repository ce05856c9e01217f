import type { Answer } from '../../outcome.ts';
import { DESCRIPTORS, LIMITS, LOCKED_MEMORY, PINNED_MEMORY } from '../clauses.ts';
import type { Mm } from '../mm.ts';
import { allow, fails, succeeds, success, unspecified } from '../replies.ts';
import type { Operations } from '../world.ts';
import { openPath } from './descriptors.ts';
import { isResource } from './processes.ts';

/** How much of a file `cat` shows, in bytes. */
const CAT_SIZE = 4096;

/** The operations that show what the kernel knows. */
export const STATE_OPERATIONS: Operations<'status' | 'limits' | 'fds' | 'cat' | 'unload'> = {
  status: (_world, actor, { field }) => {
    switch (field) {
      case 'VmLck':
        return lockedMemory(actor.space);
      case 'VmPin':
        return pinnedMemory(actor.space);
      default:
        return unspecified(`${field} is not modelled`);
    }
  },

  unload: (world, _actor, { module }) => {
    const holder = world.holderOf(module);
    if (holder !== undefined) return fails('EAGAIN', holder);
    return unspecified(`${module} may be gone then, and what needs it with it`);
  },

  limits: (_world, actor, { resource }) => {
    const soft = isResource(resource) ? actor.limitBytes(resource) : undefined;
    if (soft === undefined) return unspecified(`the limit of ${resource} is the host's`);
    return succeeds(LIMITS, { ret: BigInt.asIntN(64, soft) });
  },

  fds: (_world, actor) =>
    actor.descriptors.anyVague
      ? unspecified('some descriptors were not modelled')
      : succeeds(DESCRIPTORS, { ret: BigInt(actor.descriptors.things.length) }),

  cat: (world, actor, { path }): Answer => {
    const opened = openPath(world, actor, path, 'r');
    if ('unspecified' in opened) return opened;
    if ('refused' in opened) return fails(opened.refused, opened.clauses[0]);
    const file = opened.opens();
    const answer = file.pread?.(actor, 0n, CAT_SIZE) ?? unspecified(`${path} cannot be read`);
    file.release?.();
    return answer;
  },
};

/** VmPin in kB, in the same way. */
const pinnedMemory = ({ pinnedPages, pageSize, pinnedBy }: Mm): Answer => {
  const outcome = success(PINNED_MEMORY, { ret: BigInt(pinnedPages * (pageSize / 1024)) });
  const [first, ...others] = pinnedBy;
  return allow(first === undefined ? outcome : { ...outcome, clauses: [first, ...others] });
};

/** VmLck in kB; when it is wrong, the clauses by which pages were charged and given back are in question. */
const lockedMemory = ({ lockedPages, pageSize, chargedBy }: Mm): Answer => {
  const outcome = success(LOCKED_MEMORY, { ret: BigInt(lockedPages * (pageSize / 1024)) });
  const [first, ...others] = chargedBy;
  return allow(first === undefined ? outcome : { ...outcome, clauses: [first, ...others] });
};
