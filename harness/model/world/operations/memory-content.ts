import type { Answer } from '../../outcome.ts';
import type { Actor } from '../actor.ts';
import { greatest, least } from '../big.ts';
import { MEMORY_ACCESS, MEMORY_CONTENT, MEMORY_GUARDS } from '../clauses.ts';
import { clausesOf, contentRules, countOther, hashOf, type Visit } from '../content.ts';
import { allow, fails, succeeds, success, unspecified } from '../replies.ts';
import { GUARD_BYTE } from '../user-argument.ts';
import { type Operations, withBytes, withMemory, withPlace } from '../world.ts';

const REGISTERS = 'what bulk access does to registers depends on how the processor splits it';
const UNKNOWN = 'some of the bytes depend on what is not modelled';

/** Answers for `size` bytes at an offset of a memory, all of which can be read. */
const reading = (
  actor: Actor,
  name: string,
  range: { readonly offset: bigint; readonly size: bigint },
  answer: (visit: Visit) => Answer,
): Answer =>
  withBytes(actor, { name, ...range }, (vaddr) => {
    const { space } = actor;
    if (space.touchesDevice(vaddr, range.size)) return unspecified(REGISTERS);
    if (space.reach(vaddr, range.size, 'read') < range.size) return fails('EFAULT', MEMORY_ACCESS);
    return answer((see) => space.visitBytes(vaddr, range.size, see));
  });

/** Answers for `size` bytes at an offset of a memory being written; where not all can be, it is not known how far the processor got. */
const writing = (
  actor: Actor,
  name: string,
  range: { readonly offset: bigint; readonly size: bigint },
  write: (vaddr: bigint) => void,
): Answer =>
  withBytes(actor, { name, ...range }, (vaddr) => {
    const { space } = actor;
    if (space.touchesDevice(vaddr, range.size)) return unspecified(REGISTERS);
    if (space.reach(vaddr, range.size, 'write') === range.size) {
      return succeeds(MEMORY_ACCESS, { effect: () => write(vaddr) });
    }
    return fails('EFAULT', MEMORY_ACCESS, () => forget(actor, vaddr, range.size));
  });

const forget = ({ space }: Actor, vaddr: bigint, size: bigint): void => {
  for (const { start, end } of space.areas(vaddr, vaddr + size)) {
    const from = greatest(start, vaddr);
    space.fill(from, least(end, vaddr + size) - from, undefined);
  }
};

/** The operations on the bytes of a memory. */
export const MEMORY_CONTENT_OPERATIONS: Operations<'write' | 'link' | 'fill' | 'read' | 'hash' | 'guards'> = {
  write: (_world, actor, { name, offset, data }) =>
    writing(actor, name, { offset, size: BigInt(data.length) }, (vaddr) => actor.space.write(vaddr, data)),

  link: (_world, actor, { name, offset, target }) =>
    withPlace(actor, target, (address) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(address);
      return writing(actor, name, { offset, size: 8n }, (vaddr) => actor.space.writeAddress(vaddr, bytes));
    }),

  fill: (_world, actor, { name, offset, size, byte }) =>
    writing(actor, name, { offset, size }, (vaddr) => actor.space.fill(vaddr, size, Number(byte & 0xffn))),

  read: (_world, actor, { name, offset, size }) =>
    reading(actor, name, { offset, size }, (visit) =>
      succeeds(MEMORY_CONTENT, { out: contentRules(Number(size), visit) }),
    ),

  hash: (_world, actor, { name, offset, size }) =>
    reading(actor, name, { offset, size }, (visit) => {
      const clauses = clausesOf(visit);
      if (clauses === undefined) return unspecified(UNKNOWN);
      // A wrong hash cannot say which byte is wrong; what a device wrote is what programs hash memory for.
      const suspects = [...clauses].filter((clause) => clause !== MEMORY_CONTENT);
      const [clause = MEMORY_CONTENT, ...others] = suspects;
      const outcome = success(MEMORY_CONTENT, { out: [{ at: 0, bytes: hashOf(visit), clause }] });
      return allow({ ...outcome, clauses: [clause, ...others] });
    }),

  guards: (_world, actor, { name }) =>
    withMemory(actor, name, ({ base, size, start, end, margin, guarded }) => {
      if (!guarded) return succeeds(MEMORY_GUARDS);
      const parts = [
        [start - margin, base],
        [base + size, end + margin],
      ] as const;
      let changed = 0;
      for (const [from, to] of parts) {
        if (actor.space.touchesDevice(from, to - from)) return unspecified(REGISTERS);
        if (actor.space.reach(from, to - from, 'read') < to - from) return fails('EFAULT', MEMORY_ACCESS);
        const other = countOther((see) => actor.space.visitBytes(from, to - from, see), GUARD_BYTE);
        if (other === undefined) return unspecified(UNKNOWN);
        changed += other;
      }
      return allow(success(MEMORY_GUARDS, { ret: BigInt(changed) }));
    }),
};
