import type { Arg, Patch, Place } from '../program/step.ts';
import { encode, offsetOf, sizeOf } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio-cdev.ts';
import { deviceOf, type EmulatedDevice } from './emulated.ts';
import { type Context, openIommufd } from './iommufd.ts';
import { CDEV, EMULATED_GROUP, SECOND_STAGE } from './needs.ts';
import type { Actor, Said, Scenario } from './scenario.ts';
import { inline, TWO_GROUPS } from './vfio.ts';

/* The field's words for a device's own file, /dev/vfio/devices/vfioN. */

const ID_AT = offsetOf(uapi.vfioDeviceBindIommufd, 'out_devid');
const PT_AT = offsetOf(uapi.vfioDeviceAttachIommufdPt, 'pt_id');

/** What a BIND_IOMMUFD asks for, where it is not what a correct caller gives. */
export interface BindRequest {
  /** A descriptor, or a number that is none. */
  readonly iommufd: { readonly fd: string } | number;
  readonly argsz?: number;
  readonly flags?: number;
  readonly token?: Place | bigint;
  /** Zeros behind the structure, in bytes. */
  readonly behind?: number;
}

export const bindArgument = ({ iommufd, argsz, flags = 0, token = 0n, behind = 0 }: BindRequest): Arg => {
  const type = uapi.vfioDeviceBindIommufd;
  const bytes = encode(type, {
    argsz: argsz ?? sizeOf(type) + behind,
    flags,
    iommufd: typeof iommufd === 'number' ? iommufd : 0,
    token_uuid_ptr: typeof token === 'bigint' ? token : 0n,
  });
  const patches: Patch[] = [];
  if (typeof iommufd !== 'number') patches.push({ kind: 'fd', at: offsetOf(type, 'iommufd'), fd: iommufd.fd });
  if (typeof token !== 'bigint') patches.push({ kind: 'pointer', at: offsetOf(type, 'token_uuid_ptr'), place: token });
  return inline(Uint8Array.of(...bytes, ...new Uint8Array(behind)), ...patches);
};

/** What an ATTACH_IOMMUFD_PT asks for; argsz ends where the fields do that are given, unless a case says otherwise. */
export interface AttachRequest {
  /** The id of an IO address space or a page table. */
  readonly target: number;
  readonly argsz?: number;
  readonly flags?: number;
  readonly pasid?: number;
}

export const attachArgument = ({ target, argsz, flags, pasid }: AttachRequest): Arg => {
  const type = uapi.vfioDeviceAttachIommufdPt;
  const size = pasid === undefined ? offsetOf(type, 'pasid') : sizeOf(type);
  const bytes = encode(type, {
    argsz: argsz ?? size,
    flags: flags ?? (pasid === undefined ? 0 : uapi.VFIO_DEVICE_ATTACH_PASID),
    pt_id: target,
    pasid: pasid ?? 0,
  });
  return inline(bytes.subarray(0, size));
};

/** What a DETACH_IOMMUFD_PT asks for. */
export type DetachRequest = Omit<AttachRequest, 'target'>;

export const detachArgument = ({ argsz, flags, pasid }: DetachRequest): Arg => {
  const type = uapi.vfioDeviceDetachIommufdPt;
  const size = pasid === undefined ? offsetOf(type, 'pasid') : sizeOf(type);
  const bytes = encode(type, {
    argsz: argsz ?? size,
    flags: flags ?? (pasid === undefined ? 0 : uapi.VFIO_DEVICE_DETACH_PASID),
    pasid: pasid ?? 0,
  });
  return inline(bytes.subarray(0, size));
};

/** An opening of a device's own file as one actor speaks to it. */
export interface Cdev {
  readonly fd: string;
  /** Binds it; says that it gets this id. */
  bind(context: Pick<Context, 'fd'>, id: number): Said;
  /** Binds it, and says nothing. */
  asksToBind(request: BindRequest): Said;
  /** Attaches it; says that it gets the page table with this id. */
  attach(target: number, table: number): Said;
  /** Attaches it, and says nothing. */
  asksToAttach(request: AttachRequest): Said;
  detach(request?: DetachRequest): Said;
  ioctl(request: bigint, arg: Arg): Said;
  close(): Said;
  of(actor: Actor): Cdev;
}

/** Opens the own file of a device by what programs call it; it is not bound. */
export const openCdev = (s: Scenario, actor: Actor = s.main, device = 'device0'): Cdev => {
  s.needs(CDEV);
  s.needs(SECOND_STAGE);
  if (device !== 'device0') s.needs(TWO_GROUPS);
  return cdevOf(actor.opens(`$${device}-cdev`, 'cdev'), actor);
};

/** A device without an IOMMU by its own file: how it is bound and attached, and what it is told to do. */
export interface EmulatedCdev {
  readonly cdev: Cdev;
  readonly d: EmulatedDevice;
}

/** Opens the own file of a device without an IOMMU; it is not bound. */
export const openEmulated = (s: Scenario, actor: Actor = s.main, name = 'emulated0'): EmulatedCdev => {
  s.needs(CDEV);
  s.needs(EMULATED_GROUP);
  const fd = actor.opens(`$${name}-device-cdev`, 'cdev');
  return { cdev: cdevOf(fd, actor), d: deviceOf({ fd }, actor) };
};

/** A context with device 1, one without an IOMMU, attached to IO address space 2. */
export const boundEmulated = (s: Scenario, name?: string): EmulatedCdev & { readonly c: Context } => {
  const c = openIommufd(s);
  const { cdev, d } = openEmulated(s, s.main, name);
  cdev.bind(c, 1);
  c.alloc(2);
  cdev.asksToAttach({ target: 2 }).returns(0);
  return { c, cdev, d };
};

/** A context with device 1, bound and not attached, and IO address space 2. */
export const boundCdev = (s: Scenario, device?: string): { readonly c: Context; readonly cdev: Cdev } => {
  const c = openIommufd(s);
  const cdev = openCdev(s, s.main, device);
  cdev.bind(c, 1);
  c.alloc(2);
  return { c, cdev };
};

const cdevOf = (fd: string, actor: Actor): Cdev => {
  const ioctl = (request: bigint, arg: Arg): Said => actor.does({ op: 'ioctl', fd, request, arg });
  const asksToBind = (request: BindRequest): Said => ioctl(uapi.VFIO_DEVICE_BIND_IOMMUFD, bindArgument(request));
  const asksToAttach = (request: AttachRequest): Said =>
    ioctl(uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, attachArgument(request));
  return {
    fd,
    ioctl,
    asksToBind,
    asksToAttach,
    attach: (target, table) =>
      asksToAttach({ target })
        .returns(0)
        .shows(PT_AT, Uint8Array.of(table, 0, 0, 0)),
    detach: (request = {}) => ioctl(uapi.VFIO_DEVICE_DETACH_IOMMUFD_PT, detachArgument(request)),
    bind: (context, id) =>
      asksToBind({ iommufd: context })
        .returns(0)
        .shows(ID_AT, Uint8Array.of(id, 0, 0, 0)),
    close: () => actor.does({ op: 'close', fd }),
    of: (other) => cdevOf(fd, other),
  };
};
