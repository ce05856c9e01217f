/** Which names a program's calls may use: those that an earlier line could have made. */
import { Malformed } from './malformed.ts';
import { type Kind, OPS } from './ops.ts';
import type { Call, Place } from './step.ts';

/** What a name can stand for. */
type Thing = 'actor' | 'fd' | 'mem';

const MAX_ACTORS = 16;

const USES: Partial<Record<Kind, Thing>> = { actor: 'actor', fd: 'fd', mem: 'mem' };
const MAKES: Partial<Record<Kind, Thing>> = { newactor: 'actor', newfd: 'fd', newmem: 'mem' };
const WORD: Record<Thing, string> = { actor: 'an actor', fd: 'a descriptor', mem: 'a memory' };

export interface Scope {
  /** Takes the next call in; throws Malformed when it uses a name that no earlier call made. */
  add(call: Call): void;
}

/**
 * A scope in which `main` lives. It asks only whether any earlier call could have made a name; whose it is, and whether it
 * is still there, is for the run to show.
 */
export const createScope = (): Scope => {
  const made: Record<Thing, Set<string>> = { actor: new Set(['main']), fd: new Set(), mem: new Set() };

  const use = (thing: Thing, name: string): void => {
    if (!made[thing].has(name)) throw new Malformed(`${WORD[thing]} that an earlier line makes`, name);
  };

  /** The names that a call's parameters of these kinds hold. */
  const each = (call: Call, kinds: Partial<Record<Kind, Thing>>, visit: (thing: Thing, name: string) => void): void => {
    const operation = OPS.get(call.op);
    for (const parameters of [operation?.required ?? [], operation?.options ?? []]) {
      for (const { name, kind } of parameters) {
        const thing = kinds[kind];
        const value: unknown = thing === undefined ? undefined : Reflect.get(call, name);
        if (thing !== undefined && typeof value === 'string') visit(thing, value);
      }
    }
  };

  return {
    add: (call) => {
      use('actor', call.actor);
      each(call, USES, use);
      useInArgument(call, use);
      // Last, because a call cannot use the name that it makes.
      each(call, MAKES, (thing, name) => made[thing].add(name));
      if (made.actor.size > MAX_ACTORS) throw new Malformed(`at most ${MAX_ACTORS} actors`, call.op);
    },
  };
};

/** The memories and descriptors that places and patches name. */
const useInArgument = (call: Call, use: (thing: Thing, name: string) => void): void => {
  const usePlace = (place: Place | undefined): void => {
    if (place !== undefined && 'memory' in place) use('mem', place.memory);
  };
  switch (call.op) {
    case 'mem':
    case 'map':
      usePlace(call.at);
      return;
    case 'link':
      usePlace(call.target);
      return;
    case 'readfd':
      usePlace(call.into);
      return;
    case 'writefd':
      usePlace(call.from);
      return;
    case 'ioctl':
      if (call.arg.kind === 'place') usePlace(call.arg.place);
      if (call.arg.kind !== 'inline') return;
      for (const patch of call.arg.patches) {
        if (patch.kind === 'pointer') usePlace(patch.place);
        if (patch.kind === 'fd') use('fd', patch.fd);
      }
      return;
    default:
  }
};
