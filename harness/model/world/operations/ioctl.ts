import type { Call, Patch } from '../../../program/step.ts';
import type { Answer, Outcome } from '../../outcome.ts';
import type { Actor } from '../actor.ts';
import { FILES } from '../clauses.ts';
import { withoutMemory } from '../fail-nth.ts';
import { inMemory } from '../in-memory.ts';
import type { IoctlCall, KernelFile } from '../kernel-file.ts';
import { HeldFile } from '../open-file.ts';
import { fails, unspecified } from '../replies.ts';
import { type Resolver, userArgument } from '../user-argument.ts';
import { type Operations, withFile, withPlace } from '../world.ts';

type Ioctl = Extract<Call, { op: 'ioctl' }>;

/** The types of ioctl numbers (bits 8 to 15) that no file answers but those that are made for them: VFIO's and IOMMUFD's. */
const SPECIAL_TYPES: readonly bigint[] = [0x3bn];

/** The operation that asks a file for what only it can do. */
export const IOCTL_OPERATIONS: Operations<'ioctl'> = {
  ioctl: (world, actor, call, iteration) =>
    withFile(actor, call.fd, (opened) =>
      withNames(actor, call, () => {
        const { to } = call;
        const { file } = opened;
        if (to !== undefined && actor.descriptors.get(to) !== undefined) return unspecified(`the name ${to} is taken`);
        if (call.at !== undefined && call.arg.kind !== 'inline') return unspecified('a descriptor in no argument');
        const argument = userArgument(call.arg, {
          space: actor.space,
          iteration,
          lets: world.lets,
          resolver: resolverOf(actor),
        });
        const asked = ask(file, {
          caller: actor,
          opened,
          request: call.request,
          argument,
          install(made) {
            actor.addDescriptor(new HeldFile(made, 'rw'), to);
          },
        });
        const answer = withoutMemory(asked, file, actor);
        if ('unspecified' in answer) return to === undefined ? answer : withVagueName(answer, actor, to);
        if (to === undefined && call.arg.kind === 'inline') return answer;
        const settle = (outcome: Outcome): Outcome => {
          const named = to === undefined ? outcome : namingResult(outcome, actor, to);
          return call.arg.kind === 'inline' ? named : inMemory(named, actor, argument.value);
        };
        const [first, ...others] = answer.allowed;
        return { allowed: [settle(first), ...others.map(settle)] };
      }),
    ),
};

const ask = (file: KernelFile, call: IoctlCall): Answer => {
  if (file.ioctl !== undefined) return file.ioctl(call);
  const type = (call.request >> 8n) & 0xffn;
  return SPECIAL_TYPES.includes(type) ? fails('ENOTTY', FILES) : unspecified(`ioctl ${call.request} of a ${file.kind}`);
};

/** Answers, if everything that the argument names is there. */
const withNames = (actor: Actor, { arg }: Ioctl, act: () => Answer): Answer => {
  if (arg.kind === 'place') return withPlace(actor, arg.place, act);
  if (arg.kind === 'value') return act();
  // From the last patch to the first, each waits for those before it.
  return arg.patches.reduceRight((next, patch) => waiting(actor, patch, next), act)();
};

const waiting = (actor: Actor, patch: Patch, next: () => Answer): (() => Answer) => {
  if (patch.kind === 'pointer') return () => withPlace(actor, patch.place, next);
  return patch.kind === 'fd' ? () => withFile(actor, patch.fd, next) : next;
};

/** Looks names up that `withNames` has found to be there. */
const resolverOf = (actor: Actor): Resolver => ({
  address(place) {
    if ('literal' in place) return place.literal;
    const memory = actor.memories.get(place.memory);
    if (memory === undefined || memory === 'vague') throw new RangeError(`no memory ${place.memory}`);
    return BigInt.asUintN(64, memory.base + place.offset);
  },
  file(name) {
    const file = actor.descriptors.get(name);
    return file === 'vague' ? undefined : file;
  },
});

/** Whatever a call returns is taken for the descriptor that the step names, even when it made none. */
const namingResult = (outcome: Outcome, actor: Actor, name: string): Outcome => ({
  ...outcome,
  commit: () => {
    outcome.commit();
    if (outcome.errno === 0 && actor.descriptors.get(name) === undefined) actor.descriptors.set(name, 'vague');
  },
});

/** A call that is not modelled may have made the descriptor that the step names. */
const withVagueName = (answer: Extract<Answer, { unspecified: string }>, actor: Actor, name: string): Answer => ({
  ...answer,
  commit: () => {
    answer.commit?.();
    actor.descriptors.set(name, 'vague');
  },
});
