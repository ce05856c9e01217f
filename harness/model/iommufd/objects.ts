import { IOMMU_DESTROY, IOMMU_IOAS_ALLOC, iommuDestroy, iommuIoasAlloc } from '../../uapi/iommufd.ts';
import { offsetOf } from '../../uapi/struct.ts';
import { field, objection, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes } from '../type1/bytes.ts';
import { type Context, type Ioas, newIoas } from './state.ts';

/* Objects, and the ids that they have. */

const HEADER = 'include/uapi/linux/iommufd.h';
const MAIN = 'drivers/iommu/iommufd/main.c';
const IOAS = 'drivers/iommu/iommufd/ioas.c';

/** The id that the next object gets. */
const NEXT_ID = rule<(objects: ReadonlyMap<number, unknown>) => number>({
  id: 'iommufd/ids',
  level: 'may',
  says: 'Ids are counted from 1 on, and the lowest that is free is given; 0 is none. That of an object that is gone is given again.',
  source: `_iommufd_object_alloc(), ${MAIN}: xa_alloc(), XA_FLAGS_ALLOC1`,
  rule: (objects) => {
    let id = 1;
    while (objects.has(id)) id++;
    return id;
  },
});

interface AllocCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuIoasAlloc.fields>;
  readonly writable: boolean;
}

const SIZE = 12;

const ALLOC = request<Context, AllocCall>({
  id: 'ioas/alloc',
  level: 'must',
  says: 'IOAS_ALLOC makes an IO address space without mappings, and returns 0.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_IOAS`,
  on: 'iommufd',
  request: IOMMU_IOAS_ALLOC,
  situation: (context, { argument }) => ({
    context,
    asked: readStruct(argument, iommuIoasAlloc, 0, SIZE),
    writable: argument.writable(0, SIZE),
  }),
  stages: ['arguments', 'reply'],
  effect: ({ context: { law, objects } }) => void objects.set(law.of(NEXT_ID).rule(objects), newIoas()),
});

const ALLOCATED_ID = field(ALLOC, {
  id: 'ioas/alloc-id',
  level: 'must',
  says: 'The field out_ioas_id returns the id of the new IO address space; nothing else of the argument changes.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC: out_ioas_id`,
  at: () => offsetOf(iommuIoasAlloc, 'out_ioas_id'),
  bytes: ({ context: { law, objects } }) => u32Bytes(law.of(NEXT_ID).rule(objects)),
});

const ALLOC_FLAGS = objection(ALLOC, {
  id: 'ioas/alloc-flags',
  level: 'must',
  says: 'IOAS_ALLOC with flags other than 0 is refused with EOPNOTSUPP.',
  source: `${HEADER}: IOMMU_IOAS_ALLOC: flags: Must be 0; EOPNOTSUPP: a known field has a value the kernel does not understand`,
  stage: 'arguments',
  errnos: ['EOPNOTSUPP'],
  when: ({ asked }) => asked.flags !== 0,
});

const ALLOC_UNWRITABLE = objection(ALLOC, {
  id: 'ioas/alloc-unwritable',
  level: 'must',
  says: 'When the id cannot be returned the call fails with EFAULT, and no object is left.',
  source: `iommufd_ioas_alloc_ioctl(), ${IOAS}`,
  stage: 'reply',
  errnos: ['EFAULT'],
  when: ({ writable }) => !writable,
});

interface DestroyCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuDestroy.fields>;
  readonly object: Ioas | undefined;
}

const DESTROY = request<Context, DestroyCall>({
  id: 'iommufd/destroy',
  level: 'must',
  says: 'DESTROY ends the object with that id, an IO address space with all that is mapped in it, and returns 0; its id names nothing any more.',
  source: `${HEADER}: IOMMU_DESTROY: Destroy any object held within iommufd`,
  on: 'iommufd',
  request: IOMMU_DESTROY,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuDestroy);
    return { context, asked, object: context.objects.get(asked.id) };
  },
  stages: ['object'],
  effect: ({ context, asked }) => void context.objects.delete(asked.id),
});

const DESTROY_UNKNOWN = objection(DESTROY, {
  id: 'iommufd/destroy-unknown',
  level: 'must',
  says: 'DESTROY of an id that no object of this context has (0, one that was destroyed, that of another context) is refused with ENOENT.',
  source: `${HEADER}: ENOENT: An ID or IOVA provided does not exist; iommufd_object_remove(), ${MAIN}`,
  stage: 'object',
  errnos: ['ENOENT'],
  when: ({ object }) => object === undefined,
});

export const OBJECT_CLAUSES = [NEXT_ID, ALLOC, ALLOCATED_ID, ALLOC_FLAGS, ALLOC_UNWRITABLE, DESTROY, DESTROY_UNKNOWN];
