import type { Answer } from '../../outcome.ts';
import type { Actor } from '../actor.ts';
import { EDU, MEMORY_ACCESS, MEMORY_CONTENT } from '../clauses.ts';
import { clausesOf } from '../content.ts';
import type { DeviceMemory, Loaded } from '../device-memory.ts';
import { allow, fails, failure, succeeds, success, unspecified } from '../replies.ts';
import { type Operations, withBytes } from '../world.ts';

/** Where a load or a store goes. */
type Target =
  | { readonly kind: 'memory'; readonly vaddr: bigint }
  | { readonly kind: 'device'; readonly device: DeviceMemory; readonly offset: bigint };

const WIDTHS: readonly bigint[] = [1n, 2n, 4n, 8n];

/** Answers for one load or store of `width` bytes, if all of them can be accessed. */
const accessing = (
  actor: Actor,
  { name, offset, width }: { readonly name: string; readonly offset: bigint; readonly width: bigint },
  access: 'read' | 'write',
  answer: (target: Target) => Answer,
): Answer =>
  withBytes(actor, { name, offset, size: width }, (vaddr) => {
    if (!WIDTHS.includes(width)) return unspecified(`no load or store has ${width} bytes`);
    const { space } = actor;
    if (space.reach(vaddr, width, access) < width) return fails('EFAULT', MEMORY_ACCESS);
    const area = space.areaAt(vaddr);
    if (area?.content.kind !== 'device') return answer({ kind: 'memory', vaddr });
    if (vaddr % width !== 0n) return unspecified('what an unaligned access to registers does depends on the processor');
    const { device, offset: first } = area.content;
    return answer({ kind: 'device', device, offset: first + vaddr - area.start });
  });

/** The values that a load may see, and the clause that says so; `undefined` when nothing is promised. */
const load = (actor: Actor, target: Target, width: bigint) => {
  if (target.kind === 'device') {
    const values = target.device.load(target.offset, Number(width));
    return values === undefined ? undefined : { values, clause: EDU };
  }
  const clauses = clausesOf((see) => actor.space.visitBytes(target.vaddr, width, see));
  const bytes = actor.space.read(target.vaddr, Number(width));
  if (clauses === undefined || bytes === undefined) return undefined;
  const values: readonly [Loaded, ...Loaded[]] = [{ value: littleEndian(bytes) }];
  return { values, clause: [...clauses].find((one) => one !== MEMORY_CONTENT) ?? MEMORY_CONTENT };
};

/** The operations that load and store single values, of registers or of memory. */
export const REGISTER_OPERATIONS: Operations<'peek' | 'poke' | 'await'> = {
  peek: (_world, actor, call) =>
    accessing(actor, call, 'read', (target) => {
      const seen = load(actor, target, call.width);
      if (seen === undefined) return unspecified('nothing is promised about the value');
      const [first, ...others] = seen.values.map(({ value, commit }) =>
        success(seen.clause, { ret: BigInt.asIntN(64, value), ...(commit === undefined ? {} : { effect: commit }) }),
      );
      return first === undefined ? unspecified('nothing is promised about the value') : allow(first, ...others);
    }),

  poke: (_world, actor, call) =>
    accessing(actor, call, 'write', (target) => {
      const value = BigInt.asUintN(Number(call.width) * 8, call.value);
      const effect = (): void => {
        if (target.kind === 'device') target.device.store(target.offset, Number(call.width), value);
        else actor.space.write(target.vaddr, littleEndianBytes(value, Number(call.width)));
      };
      return succeeds(MEMORY_ACCESS, { effect });
    }),

  // Whoever polls long enough sees the value that the device settles at; values on the way there may be missed.
  await: (_world, actor, call) =>
    accessing(actor, call, 'read', (target) => {
      const seen = load(actor, target, call.width);
      if (seen === undefined) return unspecified('nothing is promised about the value');
      const [settled, ...passing] = seen.values;
      const matches = ({ value }: Loaded): boolean => (value & call.mask) === call.value;
      const found = (loaded: Loaded) =>
        success(seen.clause, {
          ret: BigInt.asIntN(64, loaded.value),
          ...(loaded.commit === undefined ? {} : { effect: loaded.commit }),
        });
      if (matches(settled)) return allow(found(settled), ...passing.filter(matches).map(found));
      return allow(failure('ETIMEDOUT', seen.clause, settled.commit), ...passing.filter(matches).map(found));
    }),
};

const littleEndian = (bytes: Uint8Array): bigint => {
  const padded = Buffer.alloc(8);
  padded.set(bytes);
  return padded.readBigUInt64LE();
};

const littleEndianBytes = (value: bigint, width: number): Uint8Array => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.subarray(0, width);
};
