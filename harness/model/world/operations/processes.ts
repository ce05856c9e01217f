import type { Call } from '../../../program/step.ts';
import type { Answer } from '../../outcome.ts';
import { CREDENTIALS, LIMITS, MEMORY_MAPPING, PROCESSES } from '../clauses.ts';
import type { Capability, Resource } from '../process.ts';
import { allow, fails, failure, succeeds, success, unspecified } from '../replies.ts';
import type { Operations } from '../world.ts';

const SIGKILL = 9n;

const CAPABILITIES: readonly string[] = [
  'ipc_lock',
  'sys_admin',
  'sys_rawio',
  'sys_resource',
  'dac_override',
] satisfies readonly Capability[];
const isCapability = (word: string): word is Capability => CAPABILITIES.includes(word);

const RESOURCES: readonly string[] = ['memlock', 'nofile', 'as', 'data'] satisfies readonly Resource[];

/** Whether a word names a resource whose limit is modelled. */
export const isResource = (word: string): word is Resource => RESOURCES.includes(word);

/** Limits that every host grants, in bytes or as a count: memlock as it was before Linux 5.16. */
const SURE: Readonly<Record<Resource, bigint>> = {
  memlock: 0x1_0000n,
  nofile: 1024n,
  as: 0x1000_0000n,
  data: 0x1000_0000n,
};

/** The operations on processes: their life, credentials and limits. */
export const PROCESS_OPERATIONS: Operations<'spawn' | 'exec' | 'kill' | 'exit' | 'user' | 'drop' | 'limit'> = {
  spawn: (world, actor, { child }) => {
    if (world.actors.has(child)) return unspecified(`the name ${child} is taken`);
    return succeeds(PROCESSES, { effect: () => world.actors.set(child, actor.fork(child)) });
  },

  exec: (_world, actor) => succeeds(MEMORY_MAPPING, { effect: () => actor.exec() }),

  kill: (world, _actor, { victim }) => {
    const process = world.actors.get(victim);
    if (process === undefined || !process.alive) return unspecified(`${victim} is not there`);
    return succeeds(PROCESSES, { ret: SIGKILL, effect: () => process.die() });
  },

  exit: (_world, actor) => succeeds(PROCESSES, { effect: () => actor.die() }),

  user: (_world, actor, { uid }) => {
    if (!actor.privileged && Number(uid) !== actor.uid) return fails('EPERM', CREDENTIALS);
    return succeeds(CREDENTIALS, { effect: () => actor.becomeUser(Number(uid)) });
  },

  drop: (_world, actor, { capability }) => {
    const effect = (): void => {
      if (capability === 'all') actor.loseAllCapabilities();
      else if (isCapability(capability)) actor.loseCapability(capability);
    };
    if (capability !== 'all' && !isCapability(capability)) return unspecified(`no capability ${capability}`);
    return succeeds(CREDENTIALS, { effect });
  },

  limit: (_world, actor, call) =>
    limit(actor.limitBytes.bind(actor), call, (resource, soft) => actor.setLimit(resource, soft)),
};

const limit = (
  current: (resource: Resource) => bigint | undefined,
  { resource, soft }: Extract<Call, { op: 'limit' }>,
  set: (resource: Resource, soft: bigint) => void,
): Answer => {
  if (!isResource(resource)) return unspecified(`no limit ${resource}`);
  const done = success(LIMITS, { effect: () => set(resource, soft) });
  // The hard limit is the host's; it is at least what the soft limit was.
  return soft <= (current(resource) ?? SURE[resource]) ? allow(done) : allow(done, failure('EINVAL', LIMITS));
};
