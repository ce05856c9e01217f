import type { DeviceFile } from '../../type1/files.ts';
import type { KernelFile } from '../../world/kernel-file.ts';
import type { OpenFile } from '../../world/process.ts';
import type { Access, Context, Device } from '../state.ts';

/** An opening of a device's own file. */
export interface Cdev extends DeviceFile {
  /** Where it is bound; nothing but binding is possible before. */
  bound: Bound | undefined;
}

/** A device that is bound to a context of IOMMUFD. */
export interface Bound {
  readonly context: Context;
  /** The device as an object of the context. */
  readonly object: Device | Access;
  /** The context's file, which lasts as long. */
  readonly file: OpenFile;
}

/** A file through which a device with an IOMMU is bound. */
export type BoundCdev = Cdev & { readonly bound: Bound & { readonly object: Device } };

const contexts = new WeakMap<KernelFile, Context>();

/** Remembers that a file is a context's, for devices that are given it. */
export const markContext = (file: KernelFile, context: Context): void => void contexts.set(file, context);

/** The context of a file of /dev/iommu; `undefined` for other files. */
export const contextOf = (file: KernelFile): Context | undefined => contexts.get(file);
