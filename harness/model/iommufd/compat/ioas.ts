import {
  IOMMU_VFIO_IOAS,
  IOMMU_VFIO_IOAS_CLEAR,
  IOMMU_VFIO_IOAS_GET,
  IOMMU_VFIO_IOAS_SET,
  iommuVfioIoas,
} from '../../../uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import { ERRNOS } from '../framing.ts';
import type { Context } from '../state.ts';
import { compatIoasOf } from './state.ts';

/* Which IO address space the requests of a container are about. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_VFIO_IOAS';
const SOURCE = 'iommufd_vfio_ioas(), drivers/iommu/iommufd/vfio_compat.c';

interface VfioIoasCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuVfioIoas.fields>;
  readonly writable: boolean;
}

const VFIO_IOAS = request<Context, VfioIoasCall>({
  id: 'compat/ioas',
  level: 'must',
  says: 'VFIO_IOAS tells (GET), sets (SET) or clears (CLEAR) the IO address space that the requests of a container are about, and returns 0; none is destroyed by it.',
  source: HEADER,
  on: 'iommufd',
  request: IOMMU_VFIO_IOAS,
  situation: (context, { argument }) => ({
    context,
    asked: readStruct(argument, iommuVfioIoas),
    writable: argument.writable(0, sizeOf(iommuVfioIoas)),
  }),
  stages: ['arguments', 'object', 'reply'],
  effect: ({ context, asked }) => {
    if (asked.op === IOMMU_VFIO_IOAS_SET) context.compat.ioas = context.objects.get(asked.ioas_id);
    if (asked.op === IOMMU_VFIO_IOAS_CLEAR) context.compat.ioas = undefined;
  },
});

const ID = field(VFIO_IOAS, {
  id: 'compat/ioas-id',
  level: 'must',
  says: 'With GET the field ioas_id returns the id, be it one that was set or one that came with a group; nothing else of the argument changes.',
  source: HEADER,
  at: () => offsetOf(iommuVfioIoas, 'ioas_id'),
  bytes: ({ context, asked }) =>
    asked.op === IOMMU_VFIO_IOAS_GET ? u32Bytes(compatIoasOf(context)?.id ?? 0) : undefined,
});

const refuses = refusing(VFIO_IOAS);

const OBJECTIONS = [
  refuses({
    id: 'compat/ioas-unsupported',
    says: 'VFIO_IOAS with an operation that is not known, or a reserved field that is not 0, is refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.__reserved !== 0 || asked.op > IOMMU_VFIO_IOAS_CLEAR,
  }),
  refuses({
    id: 'compat/ioas-unknown',
    says: 'VFIO_IOAS SET of an id that no IO address space has is refused with ENOENT, and what was set stays.',
    source: `${ERRNOS}: ENOENT; ${SOURCE}`,
    stage: 'object',
    errnos: ['ENOENT'],
    when: ({ context, asked }) => asked.op === IOMMU_VFIO_IOAS_SET && !context.objects.has(asked.ioas_id),
  }),
  refuses({
    id: 'compat/ioas-none',
    says: 'VFIO_IOAS GET is refused with ENODEV while there is none: before a group came or one was set, after CLEAR, and after it was destroyed.',
    source: SOURCE,
    stage: 'object',
    errnos: ['ENODEV'],
    when: ({ context, asked }) => asked.op === IOMMU_VFIO_IOAS_GET && compatIoasOf(context) === undefined,
  }),
  refuses({
    id: 'compat/ioas-unwritable',
    says: 'When VFIO_IOAS GET cannot return the id it fails with EFAULT.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ asked, writable }) => asked.op === IOMMU_VFIO_IOAS_GET && !writable,
  }),
];

export const COMPAT_IOAS_CLAUSES = [VFIO_IOAS, ID, ...OBJECTIONS];
