import { iommuTestCmd } from '../../../uapi/iommufd-test.ts';
import { offsetOf } from '../../../uapi/struct.ts';
import { type Objection, objection, type Request } from '../../clauses.ts';
import type { KernelFile, UserArgument } from '../../world/kernel-file.ts';
import { isNoDescriptor } from '../../world/open-file.ts';
import { endIfLeft } from '../compat/membership.ts';
import { type Access, type Context, idOf } from '../state.ts';
import { moveAccess } from './items.ts';

/* The file of an access, by which calls name it. */

const ID_AT = offsetOf(iommuTestCmd, 'id');

/** An access, and the context that it is an object of. */
export interface Opened {
  readonly context: Context;
  readonly access: Access;
}

const opened = new WeakMap<KernelFile, Opened>();

/** A new file of an access, which ends with it. */
export const accessFile = (context: Context, access: Access): KernelFile => {
  const file: KernelFile = { kind: 'access', release: () => end(context, access) };
  opened.set(file, { context, access });
  return file;
};

const end = (context: Context, access: Access): void => {
  moveAccess(context, access, undefined);
  const id = idOf(context, access);
  if (id !== undefined) context.others.delete(id);
  endIfLeft(context);
};

/** What a call on an access is about. */
export interface AccessCall {
  /** `undefined` when the descriptor is none of an access. */
  readonly opened: Opened | undefined;
  /** Nobody can know whether the number is a descriptor, and of what. */
  readonly vague: boolean;
}

/** The access whose descriptor stands in the argument. */
export const accessIn = (argument: UserArgument, id: number): AccessCall => {
  const file = argument.fileAt(ID_AT)?.file;
  return { opened: file && opened.get(file), vague: file === undefined && !isNoDescriptor(id) };
};

/** Why nothing can be said of a call on an access, if that is so. */
export const whyVague = ({ vague, opened: found }: AccessCall): string | undefined =>
  vague ? 'which descriptors have which numbers is not stated' : found?.context.unclear;

/** What refuses a call that names no access. */
export const notAnAccess = <F, S extends AccessCall>(call: Request<F, S>): Objection<S> =>
  objection(call, {
    id: `${call.id}-no-access`,
    level: 'must',
    says: 'A number that is no descriptor, and a descriptor of anything but an access, are refused with EBADFD.',
    source: 'iommufd_access_get(), drivers/iommu/iommufd/selftest.c',
    stage: 'descriptor',
    errnos: ['EBADFD'],
    when: (one) => one.opened === undefined,
  });
