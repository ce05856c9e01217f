import type { Answer, Outcome } from '../../outcome.ts';
import type { Actor } from '../actor.ts';
import { DESCRIPTORS, FILES, LIMITS } from '../clauses.ts';
import type { OpenAnswer, OpenFlags } from '../kernel-file.ts';
import { MemoryObject } from '../memory-object.ts';
import { HeldFile } from '../open-file.ts';
import { plainFile } from '../plain-file.ts';
import { allow, descriptor, fails, failure, succeeds, unspecified } from '../replies.ts';
import { type Operations, type World, withFile } from '../world.ts';

/** Answers for a call that makes a descriptor, if its name is free. */
const making = (actor: Actor, name: string, clauses: Outcome['clauses'], make: () => HeldFile): Answer => {
  if (actor.descriptors.get(name) !== undefined) return unspecified(`the name ${name} is taken`);
  return allow(
    descriptor(clauses, () => actor.addDescriptor(make(), name)),
    ...descriptorShortage(actor),
  );
};

/** Descriptor numbers are not modelled, so nobody knows when a limit on them is reached. */
const descriptorShortage = (actor: Actor): readonly Outcome[] =>
  actor.limitBytes('nofile') === undefined ? [] : [failure('EMFILE', LIMITS)];

/** What opening a path does, with the program's own names in it replaced. */
export const openPath = (world: World, actor: Actor, path: string, flags: OpenFlags): OpenAnswer => {
  const real = path.replace(/\$([a-z][a-z0-9_-]{0,30})/g, (whole, name: string) => world.lets[name] ?? whole);
  return world.files(real)?.(actor, flags) ?? { unspecified: `${real} is not modelled` };
};

const newMemoryFile = (world: World, kind: 'memfd' | 'file', size: bigint, huge?: bigint): HeldFile => {
  const object = new MemoryObject(world.platform.pageSizeBytes, Number(size));
  return new HeldFile(plainFile(kind, object, huge), 'rw');
};

/** Sizes that the model can count in. */
const MAX_SIZE = 1n << 52n;

/** The operations on descriptors. */
export const DESCRIPTOR_OPERATIONS: Operations<
  'open' | 'memfd' | 'file' | 'truncate' | 'close' | 'shut' | 'dup' | 'send' | 'pread' | 'pwrite'
> = {
  open: (world, actor, { fd, path, flags = 'rw' }) => {
    const answer = openPath(world, actor, path, flags);
    if ('refused' in answer) return refusal(answer);
    if ('unspecified' in answer) return unspecified(answer.unspecified, () => actor.descriptors.set(fd, 'vague'));
    return making(actor, fd, answer.clauses, () => new HeldFile(answer.opens(), flags));
  },

  memfd: (world, actor, { fd, size, huge }) => {
    if (size >= 1n << 63n) return fails('EINVAL', FILES);
    if (size > MAX_SIZE) return unspecified('how large a file can become depends on the file system');
    const answer = making(actor, fd, [FILES], () => newMemoryFile(world, 'memfd', size, huge));
    if (huge === undefined || 'unspecified' in answer) return answer;
    if (size % huge !== 0n) return fails('EINVAL', FILES);
    const [first, ...others] = answer.allowed;
    return allow(first, ...others, failure('ENOMEM', FILES), failure('EINVAL', FILES), failure('ENODEV', FILES));
  },

  file: (world, actor, { fd, size }) => {
    if (size >= 1n << 63n) return fails('EINVAL', FILES);
    if (size > MAX_SIZE) return unspecified('how large a file can become depends on the file system');
    return making(actor, fd, [FILES], () => newMemoryFile(world, 'file', size));
  },

  truncate: (_world, actor, { fd, size }) =>
    withFile(actor, fd, ({ file, flags }) => {
      if (flags === 'r' || file.truncate === undefined) return fails('EINVAL', FILES);
      return file.truncate(size);
    }),

  close: (_world, actor, { fd }) =>
    withFile(actor, fd, () => succeeds(DESCRIPTORS, { effect: () => actor.closeDescriptor(fd) })),

  shut: (_world, actor) => {
    const effect = (): void => actor.closeNamed();
    if (actor.descriptors.anyVague) return unspecified('some descriptors were not modelled', effect);
    return succeeds(DESCRIPTORS, { ret: BigInt(actor.descriptors.things.length), effect });
  },

  dup: (_world, actor, { fd, from }) => withFile(actor, from, (file) => making(actor, fd, [DESCRIPTORS], () => file)),

  send: (world, actor, { fd, to }) =>
    withFile(actor, fd, (file) => {
      const receiver = world.actors.get(to);
      if (receiver === undefined || !receiver.alive) return unspecified(`${to} is not there`);
      if (receiver.descriptors.get(fd) !== undefined) return unspecified(`${to} has a descriptor named ${fd} already`);
      return succeeds(DESCRIPTORS, { effect: () => receiver.addDescriptor(file, fd) });
    }),

  pread: (_world, actor, { fd, offset, size }) =>
    withFile(actor, fd, ({ file, flags }) => {
      if (flags === 'w') return fails('EBADF', DESCRIPTORS);
      if (offset >= 1n << 63n || file.pread === undefined) return fails('EINVAL', FILES);
      return file.pread(actor, offset, Number(size));
    }),

  pwrite: (_world, actor, { fd, offset, data }) =>
    withFile(actor, fd, ({ file, flags }) => {
      if (flags === 'r') return fails('EBADF', DESCRIPTORS);
      if (offset >= 1n << 63n || file.pwrite === undefined) return fails('EINVAL', FILES);
      return file.pwrite(actor, offset, data);
    }),
};

const refusal = ({ refused, clauses }: Extract<OpenAnswer, { refused: unknown }>): Answer => ({
  allowed: [{ ...failure(refused, DESCRIPTORS), clauses }],
});
