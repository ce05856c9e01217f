/** What an IOMMU can translate, asked of VFIO: for IOMMUs of which sysfs does not tell it. */
import type { IovaRange } from '../program/platform.ts';
import type { Program, Run } from '../program/step.ts';
import { parseProgram } from '../program/text.ts';
import { HostTrouble } from '../trouble.ts';
import { decode, sizeOf } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import type { Deadlines } from './host.ts';

export interface IommuLimits {
  /** From the first to the last valid IOVA; what is reserved in between is for sysfs to say. */
  readonly aperture: IovaRange;
  readonly pageSizes: bigint;
}

/** Asks a container with one group in it; the path is `/dev/vfio/N`. */
export type AskLimits = (groupPath: string) => Promise<IommuLimits>;

const DEADLINES: Deadlines = { stepMs: 30_000, programMs: 60_000 };

const hex = (number: bigint): string => `0x${number.toString(16)}`;

/** GET_INFO is given 4096 bytes: room for some 250 ranges. */
const question = (groupPath: string): Program =>
  parseProgram(`
main open container /dev/vfio/vfio
main open group ${groupPath}
main ioctl group ${hex(uapi.VFIO_GROUP_SET_CONTAINER)} [00*4 @0=fd:container]
main ioctl container ${hex(uapi.VFIO_SET_IOMMU)} =${uapi.VFIO_TYPE1v2_IOMMU}
main ioctl container ${hex(uapi.VFIO_IOMMU_GET_INFO)} [00100000,00*4092]
`);

/**
 * Asks a host, through the session that runs its programs. Throws HostTrouble when a call is refused: a group that VFIO
 * does not take cannot be used.
 */
export const askLimits = async (
  session: { run(program: Program, deadlines: Deadlines): Promise<Run> },
  groupPath: string,
): Promise<IommuLimits> => {
  const { observations } = await session.run(question(groupPath), DEADLINES);
  const last = observations.at(-1);
  if (observations.length === 5 && last !== undefined && 'ret' in last && last.ret === 0n && last.out !== undefined) {
    return limitsOf(last.out, groupPath);
  }
  const refused = observations.find((one) => !('ret' in one) || one.ret < 0n);
  const why =
    refused === undefined
      ? 'no answer'
      : 'ret' in refused
        ? `${refused.errno}`
        : `${refused.mishap}: ${refused.detail}`;
  throw new HostTrouble(`cannot ask VFIO for the limits of the IOMMU behind ${groupPath}: ${why}`);
};

/** Reads an answer of GET_INFO. Throws HostTrouble for one without page sizes and IOVA ranges that hang together. */
export const limitsOf = (info: Uint8Array, groupPath: string): IommuLimits => {
  const { flags, iova_pgsizes: pageSizes, cap_offset: first } = decode(uapi.vfioIommuType1Info, info);
  const ranges = (flags & uapi.VFIO_IOMMU_INFO_CAPS) === 0 ? [] : rangesFrom(info, first);
  const [lowest, highest] = [ranges[0], ranges.at(-1)];
  if (
    (flags & uapi.VFIO_IOMMU_INFO_PGSIZES) === 0 ||
    pageSizes === 0n ||
    lowest === undefined ||
    highest === undefined
  ) {
    throw new HostTrouble(`VFIO tells no page sizes or no IOVA ranges of the IOMMU behind ${groupPath}`);
  }
  return { aperture: { start: lowest.start, end: highest.end }, pageSizes };
};

const rangesFrom = (info: Uint8Array, first: number): readonly IovaRange[] => {
  // A chain that runs in a circle has to end somewhere.
  for (let at = first, seen = 0; at >= sizeOf(uapi.vfioIommuType1Info) && seen < 100; seen++) {
    if (at + sizeOf(uapi.vfioIommuType1InfoCapIovaRange) > info.length) return [];
    const { id, next } = decode(uapi.vfioInfoCapHeader, info.subarray(at));
    if (id === uapi.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE) {
      const { nr_iovas: count, iova_ranges: ranges } = decode(uapi.vfioIommuType1InfoCapIovaRange, info.subarray(at));
      return ranges.slice(0, count);
    }
    at = next;
  }
  return [];
};
