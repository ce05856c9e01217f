import { IOMMU_TYPE_DEFAULT } from '../../../uapi/iommufd-commands.ts';
import { type Objection, objection, type Request } from '../../clauses.ts';
import { ERRNOS } from '../framing.ts';
import type { Context } from '../state.ts';

interface Asking {
  readonly asked: { readonly flags: number; readonly type: number; readonly __reserved?: number };
}

/** A command that makes an object for a virtual machine, as the header calls it and its types. */
interface Making {
  readonly header: string;
  /** `IOMMU_VIOMMU_TYPE_DEFAULT` */
  readonly defaultType: string;
}

/** What refuses such an object whatever it is, in the stage `arguments`; ids begin with the call's. */
export const refusedArguments = <S extends Asking>(
  call: Request<Context, S>,
  { header, defaultType }: Making,
): readonly Objection<S>[] => {
  const refuses = (name: string, says: string, source: string, when: Objection<S>['when']): Objection<S> =>
    objection(call, {
      id: `${call.id}-${name}`,
      level: 'must',
      says,
      source: `${header}: ${source}; ${ERRNOS}: EOPNOTSUPP`,
      stage: 'arguments',
      errnos: ['EOPNOTSUPP'],
      when,
    });
  return [
    refuses(
      'flags',
      'Flags other than 0 are refused with EOPNOTSUPP.',
      'flags: Must be 0',
      ({ asked }) => asked.flags !== 0,
    ),
    refuses(
      'default-type',
      'The type DEFAULT, which is reserved, is refused with EOPNOTSUPP.',
      `${defaultType}: Reserved for future use`,
      ({ asked }) => asked.type === IOMMU_TYPE_DEFAULT,
    ),
  ];
};

/** What refuses a reserved field that must be 0. */
export const refusedReserved = <S extends { readonly asked: { readonly __reserved: number } }>(
  call: Request<Context, S>,
  { header }: Omit<Making, 'defaultType'>,
): Objection<S> =>
  objection(call, {
    id: `${call.id}-reserved`,
    level: 'must',
    says: 'A reserved field that is not 0 is refused with EOPNOTSUPP.',
    source: `${header}: __reserved: Must be 0; ${ERRNOS}: EOPNOTSUPP`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.__reserved !== 0,
  });

/** What refuses an object for a device that is not there, in the stage `device` unless another is named. */
export const refusedDevice = <S extends { readonly device: object | undefined }>(
  call: Request<Context, S>,
  stage = 'device',
): Objection<S> =>
  objection(call, {
    id: `${call.id}-unknown-device`,
    level: 'must',
    says: 'A dev_id that no device has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT`,
    stage,
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  });

/** What refuses an object of a virtual IOMMU that is not there, in the stage `object` unless another is named. */
export const refusedViommu = <S extends { readonly viommu: object | undefined }>(
  call: Request<Context, S>,
  stage = 'object',
): Objection<S> =>
  objection(call, {
    id: `${call.id}-unknown-viommu`,
    level: 'must',
    says: 'A viommu_id that no virtual IOMMU has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT`,
    stage,
    errnos: ['ENOENT'],
    when: ({ viommu }) => viommu === undefined,
  });
