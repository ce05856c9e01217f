import type { Platform } from '../../program/platform.ts';
import * as uapi from '../../uapi/iommufd-commands.ts';
import {
  IOMMU_HW_INFO_SELFTEST_REGVAL,
  IOMMU_HW_INFO_TYPE_SELFTEST,
  iommuTestHwInfo,
} from '../../uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u32Bytes, u64Bytes } from '../type1/bytes.ts';
import { least } from '../world/big.ts';
import type { Process } from '../world/process.ts';
import { ERRNOS } from './framing.ts';
import { type Context, type Device, objectOf } from './state.ts';

/* What user space can learn of the IOMMU behind a device. */

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_GET_HW_INFO';
const SOURCE = 'iommufd_get_hw_info(), drivers/iommu/iommufd/device.c';
const TYPE = uapi.iommuHwInfo;
const HIGHEST = 0xffff_ffff_ffff_ffffn;

/** What is told of an IOMMU; what is absent may be anything. */
interface Told {
  readonly type: number;
  /** Bytes; a number of bytes that may be anything, in their place. */
  readonly data: readonly (Uint8Array | number)[];
  readonly capabilities: bigint | undefined;
  readonly pasidBits: number | undefined;
}

const ofMock = ({ iommu }: Device): Told => ({
  type: IOMMU_HW_INFO_TYPE_SELFTEST,
  data: [encode(iommuTestHwInfo, { test_reg: IOMMU_HW_INFO_SELFTEST_REGVAL })],
  capabilities: uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED | (iommu.dirtyTracking ? uapi.IOMMU_HW_CAP_DIRTY_TRACKING : 0n),
  pasidBits: iommu.pasidBits,
});

/** The registers of an Intel IOMMU as they are; its flags (errata) are for the kernel to know. */
const ofIntel = ({ registers }: Platform['iommu'], { hardware }: Device): Told => {
  // QEMU's edu is no PCI Express device: it has neither ATS nor PASIDs.
  const isEdu = hardware?.device.kind === 'edu';
  return {
    type: uapi.IOMMU_HW_INFO_TYPE_INTEL_VTD,
    data: [4, u32Bytes(0), ...(registers === undefined ? [16] : [u64Bytes(registers.cap), u64Bytes(registers.ecap)])],
    capabilities: isEdu ? uapi.IOMMU_HW_CAP_PCI_ATS_NOT_SUPPORTED : undefined,
    pasidBits: isEdu ? 0 : undefined,
  };
};

/** What is told of the IOMMU behind a device. */
const TELLS = rule<(platform: Platform, device: Device) => Told>({
  id: 'hw-info/data',
  level: 'must',
  says: "The data of Intel's IOMMUs (type 1) are flags, a word that is 0, and the capability and the extended capability register; as much as there is room for is written, and 0 behind.",
  source: 'include/uapi/linux/iommufd.h: iommu_hw_info_vtd; Trailing bytes will be zeroed if the user buffer is larger',
  rule: ({ iommu }, device) => (device.hardware === undefined ? ofMock(device) : ofIntel(iommu, device)),
});

interface InfoCall {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: Found<typeof TYPE.fields>;
  readonly device: Device | undefined;
  readonly told: Told | undefined;
  /** How much of the structure was given, in bytes. */
  readonly size: number;
  readonly writable: boolean;
}

const lengthOf = ({ data }: Told): number =>
  data.reduce<number>((sum, part) => sum + (typeof part === 'number' ? part : part.length), 0);

/** Writes the data, and zeros behind them, up to the first byte that cannot be written. */
const write = ({ context, caller: { space }, asked, told }: InfoCall): void => {
  if (told === undefined) return;
  const clause = context.law.of(TELLS);
  const end = asked.data_uptr + BigInt(asked.data_len);
  let at = asked.data_uptr;
  for (const part of told.data) {
    const length = least(end - at, BigInt(typeof part === 'number' ? part : part.length));
    const written =
      typeof part === 'number'
        ? space.fill(at, length, undefined, clause)
        : BigInt(space.write(at, part.subarray(0, Number(length)), clause));
    if (written < length) return;
    at += length;
  }
  space.fill(at, end - at, 0, clause);
};

const GET = request<Context, InfoCall>({
  id: 'hw-info/get',
  level: 'must',
  says: 'GET_HW_INFO tells of the IOMMU behind a device that is bound, attached or not, and returns 0; the structure is written as far as it was given.',
  source: HEADER,
  on: 'iommufd',
  request: uapi.IOMMU_GET_HW_INFO,
  situation: (context, { caller, argument }) => {
    const size = Math.min(readStruct(argument, TYPE, 0, 4).size, sizeOf(TYPE));
    const asked = readStruct(argument, TYPE, 0, size);
    const device = objectOf(context, asked.dev_id, 'device');
    return {
      context,
      caller,
      asked,
      device,
      told: device && context.law.of(TELLS).rule(context.platform, device),
      size,
      writable: argument.writable(0, size),
    };
  },
  leavesOpen: ({ device, context }) =>
    device?.hardware !== undefined && context.platform.iommu.kind !== 'intel'
      ? "what other IOMMUs than Intel's tell is not stated"
      : undefined,
  stages: ['arguments', 'device', 'type', 'data', 'reply'],
  effect: write,
});

const FIELDS = [
  field(GET, {
    id: 'hw-info/data-length',
    level: 'must',
    says: 'The field data_len returns how many bytes of data there are, however many there was room for.',
    source: `${HEADER}: data_len will be updated to the length that kernel actually supports`,
    at: () => offsetOf(TYPE, 'data_len'),
    bytes: ({ told }) => told && u32Bytes(lengthOf(told)),
  }),
  field(GET, {
    id: 'hw-info/type',
    level: 'must',
    says: 'The field out_data_type returns what the data are: 1 for an Intel IOMMU.',
    source: `${HEADER}: out_data_type will be filled to decode the data`,
    at: () => offsetOf(TYPE, 'out_data_type'),
    bytes: ({ told }) => told && u32Bytes(told.type),
  }),
  field(GET, {
    id: 'hw-info/pasid-bits',
    level: 'must',
    says: 'The field out_max_pasid_log2 returns how many bits the PASIDs of the device have, 0 for one that has none.',
    source: `${HEADER}: out_max_pasid_log2: 0 means no PASID support`,
    at: () => offsetOf(TYPE, 'out_max_pasid_log2'),
    bytes: ({ told }) => told && (told.pasidBits === undefined ? 1 : Uint8Array.of(told.pasidBits)),
  }),
  field(GET, {
    id: 'hw-info/capabilities',
    level: 'must',
    says: 'The field out_capabilities, where the structure has it, says whether the IOMMU can track dirty pages and, in a bit, that the device cannot use ATS; bits that are not defined are 0.',
    source: 'include/uapi/linux/iommufd.h: enum iommufd_hw_capabilities',
    at: () => offsetOf(TYPE, 'out_capabilities'),
    bytes: ({ told, size }) => {
      const room = Math.max(0, size - offsetOf(TYPE, 'out_capabilities'));
      if (told === undefined || room === 0) return undefined;
      return told.capabilities === undefined ? room : u64Bytes(told.capabilities).subarray(0, room);
    },
  }),
];

const refuses = refusing(GET);

const OBJECTIONS = [
  refuses({
    id: 'hw-info/flags',
    says: 'Flags other than IOMMU_HW_INFO_FLAG_INPUT_TYPE are refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE) !== 0,
  }),
  refuses({
    id: 'hw-info/reserved',
    says: 'A reserved byte that is not 0 is refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${HEADER}: __reserved: Must be 0`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => asked.__reserved.some((byte) => byte !== 0),
  }),
  refuses({
    id: 'hw-info/unknown-device',
    says: 'An id that no device of the context has is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT`,
    stage: 'device',
    errnos: ['ENOENT'],
    when: ({ device }) => device === undefined,
  }),
  refuses({
    id: 'hw-info/other-type',
    says: 'With IOMMU_HW_INFO_FLAG_INPUT_TYPE a type that the IOMMU does not tell of is refused with EOPNOTSUPP; 0 and its own are taken, and without the flag the field is not looked at.',
    source: `${HEADER}: in_data_type; intel_iommu_hw_info(), drivers/iommu/intel/iommu.c`,
    stage: 'type',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked, told }) =>
      (asked.flags & uapi.IOMMU_HW_INFO_FLAG_INPUT_TYPE) !== 0 &&
      asked.out_data_type !== uapi.IOMMU_HW_INFO_TYPE_DEFAULT &&
      asked.out_data_type !== told?.type,
  }),
  refuses({
    id: 'hw-info/unwritable-data',
    says: 'When not all of the room can be written, zeros included, the call fails with EFAULT, and the structure stays as it was.',
    source: `${SOURCE}: copy_to_user(), clear_user()`,
    stage: 'data',
    errnos: ['EFAULT'],
    when: ({ caller, asked }) => {
      const room = BigInt(asked.data_len);
      return asked.data_uptr > HIGHEST - room || caller.space.reach(asked.data_uptr, room, 'write') < room;
    },
    leaves: write,
  }),
  refuses({
    id: 'hw-info/unwritable',
    says: 'When the structure cannot be written the call fails with EFAULT.',
    source: 'iommufd_ucmd_respond(), drivers/iommu/iommufd/iommufd_private.h',
    stage: 'reply',
    errnos: ['EFAULT'],
    when: ({ writable }) => !writable,
    leaves: write,
  }),
];

export const HW_INFO_CLAUSES = [GET, TELLS, ...FIELDS, ...OBJECTIONS];
