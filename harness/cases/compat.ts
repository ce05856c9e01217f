import { type Ground, groundIn, type Prepared } from './five-modes.ts';
import { contextOf } from './iommufd.ts';
import type { Actor, Said, Scenario } from './scenario.ts';
import { type inline, pointerTo, u64 } from './vfio.ts';

/* Words for /dev/iommu as a VFIO container. */

const PAGE = 0x1000n;
/** What is mapped unless a case says otherwise; there is a hole between them. */
export const A = { iova: 0x10000n, size: 0x4000n };
export const B = { iova: 0x16000n, size: 0x4000n };
const SIZE_AT = 16;

/** In a container that nothing was given to yet; in one that is set to v2, and to v1. */
export const bare = (s: Scenario): Ground => groundIn(s, 'compat-v2', 'bare');
export const v2 = (s: Scenario, prepared?: Prepared): Ground => groundIn(s, 'compat-v2', prepared);
export const v1 = (s: Scenario, prepared?: Prepared): Ground => groundIn(s, 'compat-v1', prepared);

/** A and B mapped, with a hole of two pages between them. */
export const both = (g: Ground): Ground => {
  g.map(A).returns(0);
  g.map({ ...B, vaddr: g.memory.at(0x8000n) }).returns(0);
  return g;
};

/** What IOMMUFD charges, in kB. */
export const pinnedKb = (actor: Actor): Said => actor.does({ op: 'status', field: 'VmPin' });

/** Says how much is mapped, and unmaps it. */
export const holds = (g: Ground, bytes: bigint): Said => g.unmapAll().returns(0).shows(SIZE_AT, u64(bytes));

/** The commands of IOMMUFD on the same descriptor. */
export const commands = (g: Ground) => contextOf(g.container.fd, g.main);

/** The third argument of an ioctl. */
export type Arg = ReturnType<typeof inline>;

/** An argument that can be read but not written. */
export const readOnly = (s: Scenario, arg: Arg): Arg => {
  const place = s.main.memory(PAGE);
  if (arg.kind === 'inline') for (const part of arg.segments) if ('bytes' in part) place.write(part.bytes);
  place.protect('r').succeeds();
  return pointerTo(place.at());
};
