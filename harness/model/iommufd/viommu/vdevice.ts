import { IOMMU_VDEVICE_ALLOC, iommuVdeviceAlloc } from '../../../uapi/iommufd-commands.ts';
import { offsetOf, sizeOf } from '../../../uapi/struct.ts';
import { field, refusing, request } from '../../clauses.ts';
import { type Found, readStruct } from '../../type1/argument.ts';
import { u32Bytes } from '../../type1/bytes.ts';
import { newId } from '../ids.ts';
import { type Context, type Device, objectOf } from '../state.ts';
import { refusedDevice, refusedViommu } from './refusals.ts';
import type { Viommu, VirtualDevice } from './state.ts';

/* Devices as a virtual machine knows them. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_VDEVICE_ALLOC';
const SOURCE = 'iommufd_vdevice_alloc_ioctl(), drivers/iommu/iommufd/viommu.c';

interface AllocCall {
  readonly context: Context;
  readonly asked: Found<typeof iommuVdeviceAlloc.fields>;
  readonly viommu: Viommu | undefined;
  readonly device: Device | undefined;
  readonly writable: boolean;
}

const ALLOC = request<Context, AllocCall>({
  id: 'vdevice/alloc',
  level: 'must',
  says: 'VDEVICE_ALLOC gives a device the id by which a virtual IOMMU knows it, any number of 64 bits, and returns 0. The virtual IOMMU stays as long.',
  source: `${HEADER}; Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_VDEVICE`,
  on: 'iommufd',
  request: IOMMU_VDEVICE_ALLOC,
  situation: (context, { argument }) => {
    const asked = readStruct(argument, iommuVdeviceAlloc);
    return {
      context,
      asked,
      viommu: objectOf(context, asked.viommu_id, 'virtual IOMMU'),
      device: objectOf(context, asked.dev_id, 'device'),
      writable: argument.writable(0, sizeOf(iommuVdeviceAlloc)),
    };
  },
  stages: ['objects', 'iommu', 'taken', 'reply'],
  effect: ({ context, asked, viommu, device }) => {
    if (viommu === undefined || device === undefined) return;
    const made: VirtualDevice = { kind: 'virtual device', viommu, device, virtId: asked.virt_id };
    context.others.set(newId(context), made);
    viommu.devices.add(made);
    viommu.users++;
    device.virtual = made;
  },
});

const ID = field(ALLOC, {
  id: 'vdevice/alloc-id',
  level: 'must',
  says: 'The field out_vdevice_id returns the id of the new virtual device; nothing else of the argument changes.',
  source: `${HEADER}: out_vdevice_id`,
  at: () => offsetOf(iommuVdeviceAlloc, 'out_vdevice_id'),
  bytes: ({ context }) => u32Bytes(newId(context)),
});

const refuses = refusing(ALLOC);

const OBJECTIONS = [
  refusedViommu(ALLOC, 'objects'),
  refusedDevice(ALLOC, 'objects'),
  refuses({
    id: 'vdevice/alloc-other-iommu',
    says: 'A device behind another IOMMU than that of the virtual IOMMU is refused with EINVAL.',
    source: `${HEADER}: The physical device to allocate a virtual instance on the vIOMMU; ${SOURCE}`,
    stage: 'iommu',
    errnos: ['EINVAL'],
    when: ({ device }) => device?.hardware !== undefined,
  }),
  refuses({
    id: 'vdevice/alloc-twice',
    says: 'A device that has a virtual device already, of whatever virtual IOMMU, is refused with EEXIST.',
    source: SOURCE,
    stage: 'taken',
    errnos: ['EEXIST'],
    when: ({ device }) => device?.virtual !== undefined,
  }),
  refuses({
    id: 'vdevice/alloc-taken',
    says: 'A virt_id that another device of the virtual IOMMU has is refused with EEXIST, and no object is left.',
    source: `${HEADER}: virt_id: Virtual device ID per vIOMMU; ${SOURCE}`,
    stage: 'taken',
    errnos: ['EEXIST'],
    when: ({ viommu, asked }) => [...(viommu?.devices ?? [])].some(({ virtId }) => virtId === asked.virt_id),
  }),
  refuses({
    id: 'vdevice/alloc-unwritable',
    says: 'When the id cannot be returned the call fails with EFAULT; no object is left, and the virt_id is free.',
    source: SOURCE,
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
  }),
];

export const VDEVICE_CLAUSES = [ALLOC, ID, ...OBJECTIONS];
