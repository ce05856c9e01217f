import type { Context, Ioas } from '../state.ts';

/** What an opening of /dev/iommu is to VFIO's groups. */
export interface Compat {
  /** The IO address space that a container's requests are about, if it is still there: see `compatIoasOf`. */
  ioas: Ioas | undefined;
  /** The groups that were given it; as long as there are any it stays. */
  readonly groups: Set<object>;
  /** Its last descriptor was closed. */
  closed: boolean;
}

export const newCompat = (): Compat => ({ ioas: undefined, groups: new Set(), closed: false });

interface Holder {
  readonly objects: ReadonlyMap<number, Ioas>;
  readonly compat: Compat;
}

/** The IO address space that a container's requests are about, with its id; none before a group comes, and none once it was destroyed. */
export const compatIoasOf = ({ objects, compat }: Holder): { readonly id: number; readonly ioas: Ioas } | undefined => {
  for (const [id, ioas] of objects) if (ioas === compat.ioas) return { id, ioas };
  return undefined;
};

/** What a group holds that was given an opening of /dev/iommu: that, and the IO address space that it got with it. */
export interface Seat {
  readonly context: Context;
  readonly ioas: Ioas;
}

/** The IO address space of a group, unless it was destroyed. */
export const ioasOf = ({ context, ioas }: Seat): Ioas | undefined =>
  [...context.objects.values()].includes(ioas) ? ioas : undefined;
