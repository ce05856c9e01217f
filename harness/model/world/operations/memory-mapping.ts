import type { Place, Prot, Share } from '../../../program/step.ts';
import type { Answer, Outcome } from '../../outcome.ts';
import type { Actor, NamedMemory } from '../actor.ts';
import type { Area, Content } from '../area.ts';
import { greatest, roundUp } from '../big.ts';
import { FILES, LIMITS, MEMORY_MAPPING } from '../clauses.ts';
import type { FileBacking } from '../kernel-file.ts';
import { MemoryObject } from '../memory-object.ts';
import { type Mm, USER_END } from '../mm.ts';
import type { OpenFile } from '../process.ts';
import { allow, fails, failure, succeeds, success, unspecified } from '../replies.ts';
import { GUARD_BYTE } from '../user-argument.ts';
import { type Operations, withFile, withMemory, withPlace } from '../world.ts';

/** Below this address only privileged processes may map (vm.mmap_min_addr, as distributions set it). */
const LOWEST_PLACE = 0x1_0000n;

/** What is to be mapped under a name. Sizes and offsets in bytes. */
interface Wanted {
  readonly name: string;
  /** Of the pages, a multiple of `granule`. */
  readonly length: bigint;
  readonly granule: bigint;
  readonly align: bigint;
  readonly at: Place | undefined;
  readonly prot: Prot;
  readonly content: () => Content;
  readonly file: OpenFile | undefined;
  /** Where in its first page the memory begins, and how large it is. */
  readonly offset: bigint;
  readonly size: bigint;
  /** Whether the bytes of its pages that are not part of it become guard bytes; those of a file are left alone. */
  readonly guarded: boolean;
  /** Bytes beside its pages that can be written, instead of ones that cannot be touched. */
  readonly margin: bigint;
}

/** Answers for mapping something at the place that was asked for, or at any. */
const mapping = (actor: Actor, wanted: Wanted): Answer => {
  const { space } = actor;
  if (actor.memories.get(wanted.name) !== undefined) return unspecified(`the name ${wanted.name} is taken`);
  if (wanted.length === 0n) return fails('EINVAL', MEMORY_MAPPING);
  const mapAt = (start: bigint, known: bigint): Answer =>
    allow(
      success(MEMORY_MAPPING, {
        effect: () => {
          actor.memories.set(wanted.name, establish(space, start, wanted));
          space.settle(start, known);
        },
      }),
      ...shortages(actor, wanted),
    );
  if (wanted.at === undefined) {
    const start = space.freePlace(wanted.length, wanted.align);
    return start === undefined ? fails('ENOMEM', MEMORY_MAPPING) : mapAt(start, wanted.align);
  }
  return withPlace(actor, wanted.at, (start) => {
    if (start % wanted.granule !== 0n) return fails('EINVAL', MEMORY_MAPPING);
    if (start < LOWEST_PLACE)
      return unspecified('whether the lowest addresses can be mapped depends on vm.mmap_min_addr');
    if (start + wanted.length > USER_END) return fails('ENOMEM', MEMORY_MAPPING);
    if (!space.isFree(start - wanted.margin, start + wanted.length + wanted.margin))
      return fails('EEXIST', MEMORY_MAPPING);
    return mapAt(start, space.alignmentAt(start));
  });
};

/** How a mapping may fail for want of something that the model does not count. */
const shortages = (actor: Actor, { granule }: Wanted): readonly Outcome[] => {
  const limited = actor.limitBytes('as') !== undefined || actor.limitBytes('data') !== undefined;
  if (granule > BigInt(actor.space.pageSize)) {
    return (['ENOMEM', 'EINVAL', 'ENODEV'] as const).map((errno) => failure(errno, MEMORY_MAPPING));
  }
  return limited ? [failure('ENOMEM', LIMITS)] : [];
};

/** Maps it, with its neighbours, and returns what the name stands for. */
const establish = (space: Mm, start: bigint, wanted: Wanted): NamedMemory => {
  const { length, granule, prot, file, offset, size, margin, guarded } = wanted;
  const end = start + length;
  const content = wanted.content();
  const mayWrite = file === undefined || content.kind === 'private' || file.flags === 'rw';
  space.map({ start, end, prot: 'rw', content, mayWrite, granule, file });
  const page = BigInt(space.pageSize);
  if (margin > 0n) {
    space.map(neighbourPage(space, start - page, true));
    space.map(neighbourPage(space, end, true));
  }
  for (const neighbour of [start - margin - page, end + margin]) {
    if (space.isFree(neighbour, neighbour + page)) space.map(neighbourPage(space, neighbour, false));
  }
  const memory = { base: start + offset, size, start, end, margin, guarded };
  if (guarded) writeGuards(space, memory);
  space.protect(start, end, prot);
  return memory;
};

/** The page beside a memory: one that cannot be touched, or one full of guard bytes. */
const neighbourPage = (space: Mm, start: bigint, writable: boolean): Area => ({
  start,
  end: start + BigInt(space.pageSize),
  prot: writable ? 'rw' : 'none',
  content: anonymous(space),
  mayWrite: true,
  granule: BigInt(space.pageSize),
  file: undefined,
});

const writeGuards = (space: Mm, { base, size, start, end, margin }: NamedMemory): void => {
  space.fill(start - margin, base - start + margin, GUARD_BYTE);
  space.fill(base + size, end + margin - base - size, GUARD_BYTE);
};

const anonymous = ({ pageSize }: Mm): Content => ({
  kind: 'private',
  copies: new MemoryObject(pageSize),
  file: undefined,
  first: 0,
});

/** The content of a mapping of a file's memory from a byte offset on. */
const fileContent = (object: MemoryObject, share: Share, offset: bigint): Content => {
  const first = Number(offset) / object.pageSize;
  if (share === 'shared') return { kind: 'shared', object, first };
  const copies = new MemoryObject(object.pageSize);
  object.copies.add(copies);
  return { kind: 'private', copies, file: object, first };
};

const backedContent = (
  backing: Exclude<FileBacking, { kind: 'refused' | 'unspecified' }>,
  share: Share,
  offset: bigint,
): Content =>
  backing.kind === 'device'
    ? { kind: 'device', device: backing.device, offset: backing.offset }
    : fileContent(backing.object, share, backing.from ?? offset);

/** Answers for the range of whole pages that munmap and mprotect make of their arguments; it must be the memory's own. */
const withPages = (
  actor: Actor,
  { name, offset, size }: { readonly name: string; readonly offset: bigint; readonly size: bigint },
  answer: (start: bigint, end: bigint) => Answer,
): Answer =>
  withMemory(actor, name, (memory) => {
    const page = BigInt(actor.space.pageSize);
    const start = BigInt.asUintN(64, memory.base + offset);
    const end = start + roundUp(size, page);
    if (start < memory.start - memory.margin || start > memory.end + memory.margin) return unspecified(NOT_ITS_OWN);
    if (start % page !== 0n) return fails('EINVAL', MEMORY_MAPPING);
    return end > memory.end + memory.margin ? unspecified(NOT_ITS_OWN) : answer(start, end);
  });

const NOT_ITS_OWN = 'the range goes beyond the memory it names';

/** Whether areas would be divided within one of their pages: huge pages come whole. */
const splitsHugePage = ({ space }: Actor, start: bigint, end: bigint): boolean =>
  space
    .areas(start, end)
    .some(
      (area) => (start > area.start && start % area.granule !== 0n) || (end < area.end && end % area.granule !== 0n),
    );

/** The operations that map memory, take it away and protect it. */
export const MEMORY_MAPPING_OPERATIONS: Operations<'mem' | 'map' | 'protect' | 'unmap'> = {
  mem: (
    _world,
    actor,
    { name, size, offset = 0n, share = 'private', prot = 'rw', huge, align = 0n, guard = 0n, at },
  ) => {
    const page = BigInt(actor.space.pageSize);
    const granule = greatest(huge ?? page, page);
    const length = roundUp(offset + size, granule);
    return mapping(actor, {
      name,
      length,
      granule,
      align: align > granule ? align : granule,
      at,
      prot,
      content: () =>
        share === 'private'
          ? anonymous(actor.space)
          : { kind: 'shared', object: new MemoryObject(actor.space.pageSize, Number(length)), first: 0 },
      file: undefined,
      offset,
      size,
      guarded: true,
      margin: guard === 0n ? 0n : page,
    });
  },

  map: (_world, actor, { name, fd, start, size, share = 'shared', prot = 'rw', align = 0n, at }) =>
    withFile(actor, fd, (file) => {
      const page = BigInt(actor.space.pageSize);
      const length = roundUp(size, page);
      const write = prot === 'w' || prot === 'rw';
      if (start % page !== 0n || size === 0n) return fails('EINVAL', FILES);
      if (start + length > 1n << 63n) return fails('EOVERFLOW', FILES);
      if (file.flags === 'w' || (share === 'shared' && write && file.flags !== 'rw')) return fails('EACCES', FILES);
      const backing = file.file.backing?.({ opened: file, offset: start, size: length, share, write });
      if (backing === undefined) return fails('ENODEV', FILES);
      if (backing.kind === 'unspecified') {
        return unspecified(backing.why, () => {
          backing.done?.();
          actor.memories.set(name, 'vague');
        });
      }
      if (backing.kind === 'refused')
        return { allowed: [{ ...failure(backing.errno, FILES, backing.done), clauses: backing.clauses }] };
      const held = backing.kind === 'memory' ? (backing.held ?? file) : file;
      return mapping(actor, {
        name,
        length,
        granule: page,
        align: align > page ? align : page,
        at,
        prot,
        content: () => {
          backing.done?.();
          return backedContent(backing, share, start);
        },
        file: held,
        offset: 0n,
        size,
        guarded: false,
        margin: 0n,
      });
    }),

  protect: (_world, actor, call) =>
    withPages(actor, call, (start, end) => {
      const { space } = actor;
      if (splitsHugePage(actor, start, end)) return fails('EINVAL', MEMORY_MAPPING);
      // mprotect goes from area to area, and what it changed before it was refused stays changed.
      const write = call.prot === 'w' || call.prot === 'rw';
      const refused = write ? space.areas(start, end).find(({ mayWrite }) => !mayWrite) : undefined;
      const mappedTo = space.mappedTo(start, end);
      const stop = refused !== undefined && refused.start < mappedTo ? greatest(refused.start, start) : mappedTo;
      const effect = (): void => space.protect(start, stop, call.prot);
      if (stop === end) return succeeds(MEMORY_MAPPING, { effect });
      return fails(stop === mappedTo ? 'ENOMEM' : 'EACCES', MEMORY_MAPPING, effect);
    }),

  unmap: (_world, actor, call) =>
    withPages(actor, call, (start, end) => {
      if (call.size === 0n || splitsHugePage(actor, start, end)) return fails('EINVAL', MEMORY_MAPPING);
      return succeeds(MEMORY_MAPPING, { effect: () => actor.space.unmap(start, end) });
    }),
};
