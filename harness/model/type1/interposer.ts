import type { Clause } from '../../spec/clause.ts';
import type { Answer } from '../outcome.ts';
import type { FileBacking, IoctlCall, MapRequest } from '../world/kernel-file.ts';
import type { DeviceFile } from './files.ts';

/** A read or a write of a device's file: the offset and, of a read, the size in bytes. */
export type Access = { readonly offset: bigint } & ({ readonly size: number } | { readonly data: Uint8Array });

/**
 * What a revision puts between a device's file and the device. Each function is given what the device itself would answer,
 * and answers in its place; absent, the device answers.
 */
export interface Interposer extends Clause {
  readonly kind: 'interposer';
  readonly ioctl?: (file: DeviceFile, call: IoctlCall, through: () => Answer) => Answer;
  readonly rw?: (file: DeviceFile, access: Access, through: () => Answer) => Answer;
  readonly maps?: (file: DeviceFile, request: MapRequest, through: () => FileBacking) => FileBacking;
  /** The last file of the device was closed. */
  readonly closed?: (file: DeviceFile) => void;
}

export const interposer = (stated: Omit<Interposer, 'kind'>): Interposer => ({ kind: 'interposer', ...stated });

/** What a request to a device's file gives. */
export const requested = (file: DeviceFile, call: IoctlCall, device: () => Answer): Answer =>
  interposersOf(file).reduceRight<() => Answer>(
    (through, { ioctl }) => (ioctl === undefined ? through : () => ioctl(file, call, through)),
    device,
  )();

/** What reading or writing a device's file gives; the interposer that was stated first is outermost. */
export const readOrWrite = (file: DeviceFile, access: Access, device: () => Answer): Answer =>
  interposersOf(file).reduceRight<() => Answer>(
    (through, { rw }) => (rw === undefined ? through : () => rw(file, access, through)),
    device,
  )();

/** What mapping a device's file gives. */
export const mapped = (file: DeviceFile, request: MapRequest, device: () => FileBacking): FileBacking =>
  interposersOf(file).reduceRight<() => FileBacking>(
    (through, { maps }) => (maps === undefined ? through : () => maps(file, request, through)),
    device,
  )();

/** Tells that the last file of a device was closed. */
export const closed = (file: DeviceFile): void => {
  for (const one of interposersOf(file)) one.closed?.(file);
};

const interposersOf = ({ vfio }: DeviceFile): readonly Interposer[] => vfio.law.all<Interposer>('interposer');
