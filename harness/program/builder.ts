/** A maker of programs for code that writes them step by step: generators, traces, tests. */
import { UsageTrouble } from '../trouble.ts';
import { Malformed } from './malformed.ts';
import { OPS, type Operation } from './ops.ts';
import { createScope } from './scope.ts';
import type { Call, Op, OpName, Program, Step } from './step.ts';

type ParametersOf<Name extends OpName> = Omit<Extract<Op, { op: Name }>, 'op'>;

/** The name that a call makes, for later calls to use: an actor, a memory or a descriptor. */
type Made<Name extends OpName> = Name extends 'spawn' | 'mem' | 'map' | 'open' | 'memfd' | 'file' | 'dup'
  ? string
  : Name extends 'ioctl'
    ? string | undefined
    : undefined;

/** One method for each operation of ops.def; it appends the call and returns the name that the call makes. */
type ActorBuilder = {
  readonly [Name in OpName]: Record<never, never> extends ParametersOf<Name>
    ? (parameters?: ParametersOf<Name>) => Made<Name>
    : (parameters: ParametersOf<Name>) => Made<Name>;
};

export interface ProgramBuilder {
  readonly main: ActorBuilder;
  /** The steps of an actor that a `spawn` makes. */
  actor(name: string): ActorBuilder;
  /** Binds a value that differs between hosts; returns how steps write it (`$group0`). */
  let(name: string, text: string): string;
  /** What `write` appends is run `count` times; it must all be of one actor. */
  repeat(count: number, write: () => void): void;
  /** The program so far. Throws UsageTrouble when a call uses a name that no earlier one makes. */
  build(): Program;
}

export const program = (): ProgramBuilder => {
  const lets: Record<string, string> = {};
  const steps: Step[] = [];
  let body: Call[] | undefined;
  const actor = (name: string): ActorBuilder => actorBuilder(name, (call) => (body ?? steps).push(call));
  return {
    main: actor('main'),
    actor,
    let: (name, text) => {
      lets[name] = text;
      return `$${name}`;
    },
    repeat: (count, write) => {
      const calls: Call[] = [];
      body = calls;
      try {
        write();
      } finally {
        body = undefined;
      }
      steps.push({ op: 'repeat', count, body: calls });
    },
    build: () => {
      check(steps);
      return { lets: { ...lets }, steps: [...steps] };
    },
  };
};

const actorBuilder = (actor: string, append: (call: Call) => void): ActorBuilder => {
  const methods = [...OPS.values()].map((operation) => [
    operation.name,
    (parameters: Readonly<Record<string, unknown>> = {}) => {
      append({ actor, op: operation.name, ...parameters } as unknown as Call);
      return madeBy(operation, parameters);
    },
  ]);
  // One method for each operation of the table: text.test.ts holds the table and OpName together.
  return Object.fromEntries(methods) as ActorBuilder;
};

const madeBy = ({ required, options }: Operation, parameters: Readonly<Record<string, unknown>>): unknown => {
  const made = [...required, ...options].find(({ kind }) => kind.startsWith('new'));
  return made === undefined ? undefined : parameters[made.name];
};

const check = (steps: readonly Step[]): void => {
  const scope = createScope();
  for (const [index, call] of steps.flatMap((step) => (step.op === 'repeat' ? step.body : [step])).entries()) {
    try {
      scope.add(call);
    } catch (cause) {
      if (!(cause instanceof Malformed)) throw cause;
      throw new UsageTrouble(`call ${index} (${call.actor} ${call.op}): ${cause.message}`, { cause });
    }
  }
};
