/** Test support: any program, for fast-check. Every operation of ops.def occurs, with every option there or not. */
import fc from 'fast-check';
import { type Bound, OPS, type Operation, type Parameter, WORDS } from './ops.ts';
import type { Call, Program, Repeat } from './step.ts';

const NAMES = { actor: ['main', 'child'], fd: ['container', 'f-2'], mem: ['ram', 'b_1'] } as const;

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,30}$/).filter((text) => !['let', 'repeat', 'end'].includes(text));
const num = fc.oneof(fc.bigInt({ min: 0n, max: 5000n }), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));
const numberWithin = (bound: Bound | undefined): fc.Arbitrary<bigint> => {
  if (bound === undefined) return num;
  if (bound.powerOfTwo !== true) return fc.bigInt({ min: 0n, max: bound.max });
  return fc.integer({ min: 0, max: bound.max.toString(2).length - 1 }).map((shift) => 1n << BigInt(shift));
};
const place = fc.oneof(fc.record({ memory: fc.constantFrom(...NAMES.mem), offset: num }), fc.record({ literal: num }));
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.integer({ min: 1, max: 5000 }).map((size) => new Uint8Array(size).fill(0xa5)),
);
const path = fc.stringMatching(/^(\/|\$device0\/)([!-#%-~]|\$a\/){0,40}$/);

const patchOf = (size: number) => {
  const at = (width: number) => fc.integer({ min: 0, max: size - width });
  return fc.oneof(
    fc.record({ kind: fc.constant('pointer' as const), at: at(8), place }),
    fc.record({ kind: fc.constant('fd' as const), at: at(4), fd: fc.constantFrom(...NAMES.fd) }),
    fc.record({ kind: fc.constant('stride' as const), at: at(8), stride: num }),
  );
};

const inline = fc.integer({ min: 0, max: 64 }).chain((size) =>
  fc.record({
    kind: fc.constant('inline' as const),
    // Never two neighbours of bytes, and no empty ones: the form that parsing gives.
    segments: fc.uint8Array({ minLength: size, maxLength: size }).chain((data) => {
      const own = size === 0 ? [] : [{ bytes: data }];
      return fc.constantFrom(
        own,
        [{ text: 'device0' }, ...own],
        [...own, { text: 'device0' }],
        [{ text: 'a' }, { text: 'b' }, ...own],
      );
    }),
    patches: size < 8 ? fc.constant([]) : fc.array(patchOf(size), { maxLength: 3 }),
  }),
);
const arg = fc.oneof(
  inline,
  fc.record({ kind: fc.constant('value' as const), value: num }),
  fc.record({ kind: fc.constant('place' as const), place }),
);

const anyValue = (parameter: Parameter): fc.Arbitrary<unknown> => {
  switch (parameter.kind) {
    case 'actor':
    case 'fd':
    case 'mem':
      return fc.constantFrom(...NAMES[parameter.kind]);
    case 'newactor':
      // One name, so that no program has more actors than the format allows.
      return fc.constant('child');
    case 'newfd':
    case 'newmem':
      return name;
    case 'num':
      return numberWithin(parameter.bound);
    case 'place':
      return place;
    case 'arg':
      return arg;
    case 'bytes':
      return bytes;
    case 'path':
      return path;
    case 'word':
      return fc.constantFrom(...(WORDS[parameter.name] ?? ['VmLck', 'VmPin']));
  }
};

const callOf = (operation: Operation, actor: fc.Arbitrary<string>): fc.Arbitrary<Call> => {
  const required = operation.required.map((parameter) => [parameter.name, anyValue(parameter)] as const);
  const options = operation.options.map((parameter) => [parameter.name, anyValue(parameter)] as const);
  const fields: Record<string, fc.Arbitrary<unknown>> = {
    actor,
    op: fc.constant(operation.name),
    ...Object.fromEntries([...required, ...options]),
  };
  return fc
    .record(fields, { requiredKeys: ['actor', 'op', ...required.map(([key]) => key)] })
    .map((call) => ({ ...call }) as unknown as Call);
};

const callBy = (actor: fc.Arbitrary<string>): fc.Arbitrary<Call> =>
  fc.constantFrom(...OPS.values()).chain((operation) => callOf(operation, actor));

const repeat: fc.Arbitrary<Repeat> = fc.record({
  op: fc.constant('repeat' as const),
  count: fc.integer({ min: 1, max: 1_048_576 }),
  body: fc
    .constantFrom(...NAMES.actor)
    .chain((actor) => fc.array(callBy(fc.constant(actor)), { minLength: 1, maxLength: 4 })),
});

/** Calls that make the names which the others use. */
const PRELUDE: readonly Call[] = [
  { actor: 'main', op: 'spawn', child: 'child' },
  ...NAMES.fd.map((fd): Call => ({ actor: 'main', op: 'memfd', fd, size: 4096n })),
  ...NAMES.mem.map((memory): Call => ({ actor: 'main', op: 'mem', name: memory, size: 4096n })),
];

/** Any program in the form that parsing gives. */
export const anyProgram: fc.Arbitrary<Program> = fc.record({
  lets: fc
    .dictionary(name, fc.stringMatching(/^[!-~]{1,20}$/), { maxKeys: 4, noNullPrototype: true })
    .map((lets) => ({ ...lets, device0: '/dev/vfio/2', a: 'x', b: 'y' })),
  steps: fc
    .array(
      fc.oneof({ weight: 4, arbitrary: callBy(fc.constantFrom(...NAMES.actor)) }, { weight: 1, arbitrary: repeat }),
      { maxLength: 12 },
    )
    .map((steps) => [...PRELUDE, ...steps]),
});
