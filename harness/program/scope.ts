/** Which names a program's calls may use: those that an earlier line could have made. */
import { Malformed } from './malformed.ts';
import { type Kind, OPS, type Parameter } from './ops.ts';
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

  const take = (call: Call, { name, kind }: Parameter): void => {
    const value: unknown = Reflect.get(call, name);
    if (typeof value !== 'string') return;
    const used = USES[kind];
    if (used !== undefined) use(used, value);
    const makes = MAKES[kind];
    if (makes !== undefined) made[makes].add(value);
  };

  return {
    add: (call) => {
      use('actor', call.actor);
      const operation = OPS.get(call.op);
      for (const parameter of operation?.required ?? []) take(call, parameter);
      for (const parameter of operation?.options ?? []) take(call, parameter);
      for (const place of placesOf(call)) if ('memory' in place) use('mem', place.memory);
      if (call.op === 'ioctl' && call.arg.kind === 'inline') {
        for (const patch of call.arg.patches) if (patch.kind === 'fd') use('fd', patch.fd);
      }
      if (made.actor.size > MAX_ACTORS) throw new Malformed(`at most ${MAX_ACTORS} actors`, call.op);
    },
  };
};

const placesOf = (call: Call): readonly Place[] => {
  switch (call.op) {
    case 'mem':
    case 'map':
      return call.at === undefined ? [] : [call.at];
    case 'link':
      return [call.target];
    case 'ioctl':
      if (call.arg.kind === 'place') return [call.arg.place];
      if (call.arg.kind === 'inline') {
        return call.arg.patches.flatMap((patch) => (patch.kind === 'pointer' ? [patch.place] : []));
      }
      return [];
    default:
      return [];
  }
};
