import type { Platform, PlatformDevice } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { Clause } from '../spec/clause.ts';
import type { Revision } from '../spec/revision.ts';
import type { Silence } from './clauses.ts';
import { cdevFiles, OPENS as OPENS_CDEV } from './iommufd/cdev/file.ts';
import { iommufdFiles } from './iommufd/file.ts';
import { OPENS as OPENS_IOMMUFD } from './iommufd/framing.ts';
import { iovaBitmapFiles } from './iova-bitmap/test-file.ts';
import { type Law, lawOf } from './law.ts';
import { createMachine, type Machine } from './machine.ts';
import { MEDIATORS, STAYS_LOADED } from './mediate-ops/clauses.ts';
import { mediatorFiles } from './mediate-ops/control-file.ts';
import { moduleReferences } from './mediate-ops/opening.ts';
import { newMediators } from './mediate-ops/state.ts';
import { translate } from './type1/device-access.ts';
import { HOLDS_DRIVER } from './type1/device-open.ts';
import { newEmulated } from './type1/emulated-state.ts';
import { vfioFiles } from './type1/files-by-path.ts';
import type { Device, Group, Vfio } from './type1/state.ts';
import { createEdu, DEFAULT_DMA_MASK, type EduDevice } from './world/edu.ts';
import { failNthFiles } from './world/fail-nth.ts';
import type { Files } from './world/kernel-file.ts';

/** How many mediators the test module has: its parameter `instances`, as kernels of the series are given it. */
const INSTANCES = 2;

/** A machine on which a program runs under the clauses of a revision, with the groups and devices of a platform. */
export const createModel = (revision: Revision, platform: Platform, lets: Program['lets']): Machine => {
  const law = lawOf(revision);
  const vfio: Vfio = {
    law,
    platform,
    groups: platform.groups.map((group) => newGroup(law, platform, group)),
    mediators: newMediators(INSTANCES, platform.pageSizeBytes),
    dmaEntryLimit: platform.dmaEntryLimit,
  };
  const sources = [vfioFiles(vfio), ...iommufd(vfio), ...testFiles(vfio), failNthFiles(platform)];
  return createMachine({
    platform,
    lets,
    files: (path) => firstOf(sources, path),
    holderOf: (module) => holderOf(vfio, module),
    silences: law.all<Silence>('silence'),
  });
};

/** IOMMUFD and the files by which devices are bound to it, where the kernel has it and the revision states it. */
const iommufd = (vfio: Vfio): readonly Files[] => {
  const { law, platform } = vfio;
  if (!platform.iommufd) return [];
  return [
    ...(law.clauses.has(OPENS_IOMMUFD.id) ? [iommufdFiles(law, platform)] : []),
    ...(law.clauses.has(OPENS_CDEV.id) ? [cdevFiles(vfio)] : []),
  ];
};

/** The files of the test modules that are loaded. */
const testFiles = (vfio: Vfio): readonly Files[] => {
  const { testModules } = vfio.platform;
  return [
    ...(testModules.includes('iova_bitmap_test') ? [iovaBitmapFiles(vfio.law)] : []),
    // The module needs a kernel of the series; on others there is nothing that it could be.
    ...(testModules.includes('mediator_test') && vfio.law.clauses.has(MEDIATORS.id) ? [mediatorFiles(vfio)] : []),
  ];
};

/** What keeps a test module from being unloaded now. */
const holderOf = (vfio: Vfio, module: string): Clause | undefined => {
  const { law, groups } = vfio;
  if (module === 'vfio_emulated') {
    const open = groups.flatMap(({ devices }) => devices).some((one) => one.emulated !== undefined && one.opened > 0);
    const clause = law.of(HOLDS_DRIVER);
    return open && clause.rule() ? clause : undefined;
  }
  if (module !== 'mediator_test' || !law.clauses.has(STAYS_LOADED.id)) return undefined;
  const clause = law.of(STAYS_LOADED);
  return moduleReferences(vfio) > 0 && clause.rule() ? clause : undefined;
};

const firstOf = (sources: readonly Files[], path: string): ReturnType<Files> => {
  for (const source of sources) {
    const found = source(path);
    if (found !== undefined) return found;
  }
  return undefined;
};

const newGroup = (law: Law, platform: Platform, described: Platform['groups'][number]): Group => {
  const devices: Device[] = [];
  const group: Group = {
    platform: described,
    devices,
    container: undefined,
    iommufd: undefined,
    opened: false,
    closed: false,
    bound: 0,
  };
  devices.push(...described.devices.map((device) => newDevice(law, platform, group, device)));
  return group;
};

const newDevice = (law: Law, platform: Platform, group: Group, described: PlatformDevice): Device => {
  const device: Device = {
    platform: described,
    emulated: described.kind === 'emulated' ? newEmulated(platform.pageSizeBytes) : undefined,
    edu: newEdu(described, platform, (iova, access) =>
      device.reach === undefined ? translate(law, platform, group, iova, access) : device.reach(iova, access),
    ),
    opened: 0,
    reach: undefined,
    detach: undefined,
    memory: undefined,
    mediated: undefined,
  };
  return device;
};

const newEdu = (
  { kind, dmaMask = DEFAULT_DMA_MASK }: PlatformDevice,
  { pageSizeBytes }: Platform,
  reach: Parameters<typeof createEdu>[0]['translate'],
): EduDevice | undefined => (kind === 'edu' ? createEdu({ pageSizeBytes, dmaMask, translate: reach }) : undefined);
