import type { Platform } from '../../program/platform.ts';
import type { Call, OpName, Place, Program } from '../../program/step.ts';
import type { Clause } from '../../spec/clause.ts';
import type { Answer } from '../outcome.ts';
import type { Actor, NamedMemory, Names } from './actor.ts';
import { DESCRIPTORS, MEMORY_ACCESS } from './clauses.ts';
import type { Files } from './kernel-file.ts';
import type { HeldFile } from './open-file.ts';
import { fails, unspecified } from './replies.ts';

/** The state of the machine that a program runs on. */
export interface World {
  readonly platform: Platform;
  readonly lets: Program['lets'];
  readonly files: Files;
  /** The clause by which a test module is held now, so that it cannot be unloaded; `undefined` when nothing holds it. */
  readonly holderOf: (module: string) => Clause | undefined;
  /** All processes that there were, the dead ones too. */
  readonly actors: Map<string, Actor>;
}

/** What answers one operation; `iteration` counts in a repeat. */
type Operation<K extends OpName> = (
  world: World,
  actor: Actor,
  call: Extract<Call, { op: K }>,
  iteration: number,
) => Answer;

/** The operations of one concern. */
export type Operations<K extends OpName> = { readonly [Op in K]: Operation<Op> };

const withNamed = <T>(names: Names<T>, name: string, missing: Answer, act: (thing: T) => Answer): Answer => {
  const thing = names.get(name);
  if (thing === undefined) return missing;
  return thing === 'vague'
    ? unspecified(`whether ${name} is there depends on a call that is not modelled`)
    : act(thing);
};

/** Answers with a descriptor, if it is there. */
export const withFile = (actor: Actor, name: string, act: (file: HeldFile) => Answer): Answer =>
  withNamed(actor.descriptors, name, fails('EBADF', DESCRIPTORS), act);

/** Answers with a memory, if its name is there. */
export const withMemory = (actor: Actor, name: string, act: (memory: NamedMemory) => Answer): Answer =>
  withNamed(actor.memories, name, fails('EFAULT', MEMORY_ACCESS), act);

/**
 * Answers with the address of `size` bytes at an offset of a memory. They may be its guards, or in the pages beside it that
 * cannot be touched, but not so far off that they could be somebody else's.
 */
export const withBytes = (
  actor: Actor,
  { name, offset, size }: { readonly name: string; readonly offset: bigint; readonly size: bigint },
  act: (vaddr: bigint) => Answer,
): Answer =>
  withMemory(actor, name, ({ base, start, end, margin }) => {
    const vaddr = BigInt.asUintN(64, base + offset);
    const side = margin + BigInt(actor.space.pageSize);
    const near = vaddr >= start - side && vaddr + size <= end + side;
    return near ? act(vaddr) : unspecified(`the range is not within ${name}`);
  });

/** Answers with the address of a place, if the memory it names is there. */
export const withPlace = (actor: Actor, place: Place, act: (address: bigint) => Answer): Answer =>
  'literal' in place
    ? act(place.literal)
    : withMemory(actor, place.memory, ({ base }) => act(BigInt.asUintN(64, base + place.offset)));
