import type { AddressSpace, Backing } from '../../model/world/address-space.ts';
import { least } from '../../model/world/big.ts';

/** Memory of a process: addresses and sizes in bytes. */
export interface Place {
  readonly space: AddressSpace;
  readonly vaddr: bigint;
}

/** Why two processes do not see the same memory: it is not shared (or not there at all), or it is another. */
export type Mismatch = 'not-shared' | 'differs';

/** Whether two places are the same object throughout, mapped shared, at the same page of it and with the same access. */
export const compareMemory = (one: Place, other: Place, size: bigint): Mismatch | undefined => {
  for (let done = 0n; done < size; ) {
    const [a, b] = [one, other].map(({ space, vaddr }) => space.backingAt(vaddr + done));
    if (a?.shared !== true || b?.shared !== true) return 'not-shared';
    if (!isSame(a, b)) return 'differs';
    done += least(a.size, b.size);
  }
  return undefined;
};

const isSame = (a: Backing, b: Backing): boolean => a.object === b.object && a.page === b.page && a.prot === b.prot;
