import { VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../../uapi/vfio.ts';
import { VFIO_DEVICE_FEATURE } from '../../uapi/vfio-logging.ts';
import { answerRequest } from '../answer.ts';
import { rule } from '../clauses.ts';
import { answerFeature } from '../logging/feature.ts';
import type { Answer } from '../outcome.ts';
import type { FileBacking, KernelFile, MapRequest } from '../world/kernel-file.ts';
import { locate, regionOf } from './device-regions.ts';
import type { DeviceFile } from './files.ts';
import { closed, mapped, readOrWrite, requested } from './interposer.ts';
import { closeDevice } from './membership.ts';
import type { Device } from './state.ts';

/** Offset of the command register in config space in bytes, and its bit that lets a device do DMA. */
const COMMAND = { at: 4, size: 2, busMaster: 1 << 2 };

/** What the first bytes of config space hold: vendor and device, little endian. */
const IDENTITY = rule<(device: Device) => Uint8Array>({
  id: 'device/config-identity',
  level: 'must',
  says: 'Config space begins with the vendor and the device that the hardware has.',
  source: 'PCI Local Bus Specification: configuration space header; QEMU docs/specs/edu: 1234:11e8',
  rule: () => Uint8Array.of(0x34, 0x12, 0xe8, 0x11),
});

/** What writing the command register does. */
const SETS_BUS_MASTER = rule<(device: Device, command: number) => void>({
  id: 'device/bus-master',
  level: 'must',
  says: 'Writing the command register in config space makes the device a bus master, or stops it being one.',
  source: 'vfio_pci_config_rw(), drivers/vfio/pci/vfio_pci_config.c',
  rule: ({ edu }, command) => {
    if (edu !== undefined) edu.busMaster = (command & COMMAND.busMaster) !== 0;
  },
});

/** What mapping a part of the device's file shows. */
const MAPS_REGION = rule<(device: Device, request: MapRequest) => FileBacking | 'refused'>({
  id: 'device/maps-registers',
  level: 'must',
  says: 'A region with the MMAP flag can be mapped shared, whole or in part, and shows the registers; private mappings, other regions, and ranges that go beyond the region are refused with EINVAL.',
  source:
    'include/uapi/linux/vfio.h: VFIO_REGION_INFO_FLAG_MMAP; vfio_pci_core_mmap(), drivers/vfio/pci/vfio_pci_core.c',
  rule: (device, { offset, size, share }) => {
    const { edu } = device;
    if (edu === undefined) return { kind: 'unspecified', why: 'the device is not modelled' };
    const { index, within } = locate(offset);
    const region = regionOf(device, index);
    if (region?.mappable !== true || share !== 'shared' || within + size > region.size) return 'refused';
    return { kind: 'device', device: edu.registers, offset: within };
  },
});

/** The file of an opened device. */
export const deviceFile = (file: DeviceFile): KernelFile => {
  const { vfio, group, device } = file;
  const { law } = vfio;
  return {
    kind: 'device',
    ioctl: (call) =>
      requested(file, call, () => {
        if (call.request === VFIO_DEVICE_FEATURE) return answerFeature(file, call);
        const provision = law.provision('device', call.request);
        return provision === undefined
          ? { unspecified: 'this request of devices is not modelled' }
          : answerRequest(provision, file, call);
      }),
    pread: (_, offset, size) => readOrWrite(file, { offset, size }, () => readConfig(file, offset, size)),
    pwrite: (_, offset, data) => readOrWrite(file, { offset, data }, () => writeConfig(file, offset, data)),
    backing: (request) =>
      mapped(file, request, () => {
        const clause = law.of(MAPS_REGION);
        const backing = clause.rule(device, request);
        return backing === 'refused' ? { kind: 'refused', errno: 'EINVAL', clauses: [clause] } : backing;
      }),
    release: () => {
      device.opened--;
      if (device.opened === 0) {
        closed(file);
        device.detach?.();
      }
      closeDevice(vfio, group);
    },
  };
};

/** A read of config space, of which only the identity is promised. */
const readConfig = ({ vfio, device }: DeviceFile, offset: bigint, size: number): Answer => {
  const { index, within } = locate(offset);
  const region = regionOf(device, index);
  if (index !== VFIO_PCI_CONFIG_REGION_INDEX || region === undefined)
    return { unspecified: `reads of region ${index}` };
  const at = Number(within);
  if (at + size > Number(region.size)) return { unspecified: 'reads beyond config space' };
  const clause = vfio.law.of(IDENTITY);
  const known = clause.rule(device).subarray(at, at + size);
  const rest = size - known.length;
  return {
    allowed: [
      {
        ret: { exactly: BigInt(size) },
        errno: 0,
        out: [
          ...(known.length > 0 ? [{ at: 0, bytes: known, clause }] : []),
          ...(rest > 0 ? [{ at: known.length, bytes: rest, clause }] : []),
        ],
        clauses: [clause],
        commit: () => undefined,
      },
    ],
  };
};

/** A write of config space, of which only the command register is modelled. */
const writeConfig = ({ vfio, device }: DeviceFile, offset: bigint, data: Uint8Array): Answer => {
  const { index, within } = locate(offset);
  if (index !== VFIO_PCI_CONFIG_REGION_INDEX || within !== BigInt(COMMAND.at) || data.length !== COMMAND.size) {
    return {
      unspecified: index === VFIO_PCI_BAR0_REGION_INDEX ? 'writes of registers by file' : 'this write of config space',
    };
  }
  const clause = vfio.law.of(SETS_BUS_MASTER);
  const command = (data[0] ?? 0) | ((data[1] ?? 0) << 8);
  return {
    allowed: [
      {
        ret: { exactly: BigInt(data.length) },
        errno: 0,
        clauses: [clause],
        commit: () => clause.rule(device, command),
      },
    ],
  };
};

export const DEVICE_FILE_CLAUSES = [IDENTITY, SETS_BUS_MASTER, MAPS_REGION];
