import { type Errno, errnoName } from '../../uapi/errno.ts';
import { COUNTER, HOOK, SETTING } from '../../uapi/mediator-test.ts';
import type { Law } from '../law.ts';
import type { GetDeviceCall } from '../type1/device-open.ts';
import type { DeviceFile } from '../type1/files.ts';
import type { Device, Vfio } from '../type1/state.ts';
import { BALANCED, HOLDS_MODULE, OPENS_ONCE, REGISTERS, UNREGISTERS } from './clauses.ts';
import { notesHandle } from './hook.ts';
import { count, type Mediated, type Mediator, type Registration, wordOf } from './state.ts';

/* Who gets a device when it is opened, and what becomes of it when it is closed. */

/** Vendor and device of QEMU's edu, as the module tells them. */
const EDU = 0x11e8_1234n;

/** The errno with which a mediator declines an edu device. */
const declines = (mediator: Mediator): Errno | undefined => {
  const errno = wordOf(mediator, SETTING.decline);
  if (errno !== 0n) return errnoName(Number(errno));
  const match = wordOf(mediator, SETTING.match);
  return match === 0n || match === EDU ? undefined : 'ENODEV';
};

/** Whether an opening is one that mediators are asked about: vfio-pci's, and the first. */
export const isOffered = (law: Law, device: Device | undefined): device is Device =>
  device?.edu !== undefined && law.of(OPENS_ONCE).rule(device.opened);

/** The errno of the last mediator that was asked, when none took the device. */
export const lastDecline = ({ vfio, device }: GetDeviceCall): Errno | undefined => {
  if (!isOffered(vfio.law, device)) return undefined;
  const answers = vfio.mediators.list.map(({ mediator }) => declines(mediator));
  return answers.includes(undefined) ? undefined : answers.at(-1);
};

/** Asks the mediators in turn, until one takes the device. */
export const offer = ({ law, mediators }: Vfio, device: Device): void => {
  const inList = mediators.list.length > 1 ? REGISTERS : OPENS_ONCE;
  for (const mediator of mediators.all) {
    // One that was unregistered is asked again only if that left it in the list: for its count, if it was opened before.
    const notInList = wordOf(mediator, COUNTER.opens) > 0n ? BALANCED : UNREGISTERS;
    const registered = wordOf(mediator, COUNTER.registered) > 0n;
    mediator.by.set(COUNTER.opens, law.of(registered ? inList : notInList));
  }
  for (const registration of mediators.list) {
    const { mediator } = registration;
    if (declines(mediator) === undefined) {
      device.mediated = takes(registration);
      return;
    }
    count(mediator, COUNTER.declines);
  }
};

const takes = (registration: Registration): Mediated => {
  const { mediator } = registration;
  registration.devices++;
  mediator.words[COUNTER.device] = EDU;
  count(mediator, COUNTER.opens);
  if (wordOf(mediator, SETTING.holds) !== 0n) mediator.holding++;
  return { registration, handle: wordOf(mediator, SETTING.handle), regions: wordOf(mediator, SETTING.regions) };
};

/** The last file of a device was closed: its mediator is released, if it can be told. */
export const release = ({ vfio: { law }, device }: DeviceFile): void => {
  const { mediated } = device;
  if (mediated === undefined) return;
  const { mediator } = mediated.registration;
  law.of(BALANCED).rule(mediated.registration);
  if ((mediator.hooks & HOOK.release) === 0n) return;
  notesHandle(law, mediator, mediated);
  count(mediator, COUNTER.releases);
  if (wordOf(mediator, SETTING.holds) !== 0n) mediator.holding--;
  device.mediated = undefined;
};

/** References to the module of the mediators, beside those of its open files. */
export const moduleReferences = ({ law, mediators, groups }: Vfio): number => {
  const taken = groups
    .flatMap(({ devices }) => devices)
    .filter(({ opened, mediated }) => opened > 0 && mediated !== undefined);
  const held = mediators.all.reduce((sum, { holding }) => sum + holding, 0);
  return taken.length * law.of(HOLDS_MODULE).rule + held + mediators.openFiles;
};
