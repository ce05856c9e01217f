import { VFIO_CHANGE_DMA_OWNER, vfioChangeDmaOwner, vfioNewVaddr } from '../uapi/change-dma-owner.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import { emulated } from './emulated.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { type Container, inline, readyContainer } from './vfio.ts';

/* Words for mappings of other processes, and for changing whose they are. */

/** The two ranges that are mapped. */
export const A = { iova: 0x10000n, size: 0x4000n };
export const B = { iova: 0x20000n, size: 0x4000n };
/** Memory that a child shares. */
export const SHARED = { share: 'shared' } as const;

/** An IOVA, and where its memory is for the new owner. */
export type Pair = readonly [iova: bigint, vaddr: ReturnType<Memory['at']> | bigint];

/** What of a request is given otherwise. */
export type Fields = NonNullable<Parameters<typeof encode<typeof vfioChangeDmaOwner.fields>>[1]>;

/** Has a process map memory of its own, which it wrote before; bytes. */
export const mapsItsOwn = (c: Container, actor: Actor, range: typeof A, byte = 1): Said => {
  const memory = actor.memory(range.size);
  memory.fill(byte);
  return c.of(actor).map({ ...range, vaddr: memory.at() });
};

/** CHANGE_DMA_OWNER with what the reviewed form takes; the posted form takes no argument and ignores it. */
export const change = (c: Container, pairs: readonly Pair[] = [], fields: Fields = {}): Said => {
  const [size, pair] = [sizeOf(vfioChangeDmaOwner), sizeOf(vfioNewVaddr)];
  const bytes = encode(vfioChangeDmaOwner, {
    argsz: size + pairs.length * pair,
    nr: pairs.length,
    pairs: pairs.map(([iova, vaddr]) => ({ iova, vaddr: typeof vaddr === 'bigint' ? vaddr : 0n })),
    ...fields,
  });
  const patches = pairs.flatMap(([, place], index) => {
    const at = size + index * pair + offsetOf(vfioNewVaddr, 'vaddr');
    return typeof place === 'bigint' ? [] : [{ kind: 'pointer' as const, at, place }];
  });
  return c.ioctl(VFIO_CHANGE_DMA_OWNER, inline(bytes, ...patches));
};

/** Two mappings of one memory that a child shares. */
export const mapped = (s: Scenario, memory = s.main.memory(0x8000, SHARED)) => {
  const c = readyContainer(s);
  memory.fill(1);
  c.map({ ...A, vaddr: memory.at() }).succeeds();
  c.map({ ...B, vaddr: memory.at(0x4000n) }).succeeds();
  return { c, memory };
};

/** The same with a memfd, which can be mapped again elsewhere. */
export const mappedFile = (s: Scenario) => {
  const fd = s.main.memfd(0x8000);
  return { fd, ...mapped(s, s.main.maps(fd, 0x8000)) };
};

/** What actors are charged, in kB; nothing where it is not said. */
export const locked = (kb: Readonly<Record<string, number>>, ...actors: readonly Actor[]): void => {
  for (const actor of actors) actor.lockedKb().returns(kb[actor.name] ?? 0);
};

/** The same in a container with a device without an IOMMU, which alone has its memory looked up after it was mapped. */
export const withDevice = (s: Scenario) => {
  const { c, d } = emulated(s);
  const fd = s.main.memfd(0x8000);
  const memory = s.main.maps(fd, 0x8000);
  memory.fill(1);
  c.map({ ...A, vaddr: memory.at() }).succeeds();
  c.map({ ...B, vaddr: memory.at(0x4000n) }).succeeds();
  return { c, d, fd, memory };
};

/** The memory of `mappedFile` elsewhere: exec takes the addresses away, and a child keeps the mappings meanwhile. */
export const afterExec = (s: Scenario) => {
  const { c, fd } = mappedFile(s);
  const keeper = s.main.forks('keeper');
  change(c.of(keeper)).returns(0);
  s.main.execs().succeeds();
  // Takes the address that the memory had, if the process is laid out as before.
  s.main.memory(0x100000);
  return { c, keeper, place: s.main.maps(fd, 0x8000) };
};
