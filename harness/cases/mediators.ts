import { COMMAND, COMMAND_WORD, COUNTER, HOOK, SETTING, WORD_BYTES } from '../uapi/mediator-test.ts';
import { encode } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import { MEDIATOR_TEST } from './needs.ts';
import type { Said, Scenario } from './scenario.ts';
import { type Device, inline, type Ready, readyContainer, u64 } from './vfio.ts';

/* The words of suites that are about mediators: the test module's, and a device that they are offered. */

/** What a mediator is told; the rest is as after loading the module. */
type Settings = { readonly [Name in Exclude<keyof typeof SETTING, 'form'>]?: bigint };

/** A mediator of the test module, told what to do and not yet registered. */
export interface Mediator {
  readonly fd: string;
  register(): Said;
  unregister(): Said;
  set(settings: Settings): void;
  /** Reads a counter; of those that there are for each region, that of a region. */
  reads(counter: keyof typeof COUNTER, region?: number): Said;
}

/** The `index`th mediator, with these settings and its counters cleared. */
export const mediator = (s: Scenario, settings: Settings = {}, index = 0): Mediator => {
  s.needs(MEDIATOR_TEST);
  const fd = s.main.opens(`/dev/mediator-test${index}`, 'mediator');
  const write = (word: number, data: Uint8Array): Said =>
    s.main.does({ op: 'pwrite', fd, offset: BigInt(word * WORD_BYTES), data });
  const command = (number: bigint): Said => write(COMMAND_WORD, u64(number));
  write(SETTING.match, allSettings({ handle: 0x1000n + BigInt(index), ...settings })).succeeds();
  command(COMMAND.clear).succeeds();
  return {
    fd,
    register: () => command(COMMAND.register),
    unregister: () => command(COMMAND.unregister),
    set: (some) => {
      for (const name of Object.keys(some) as (keyof Settings)[])
        write(SETTING[name], u64(some[name] ?? 0n)).succeeds();
    },
    reads: (counter, region = 0) =>
      s.main.does({
        op: 'pread',
        fd,
        offset: BigInt((COUNTER[counter] + region) * WORD_BYTES),
        size: BigInt(WORD_BYTES),
      }),
  };
};

/** The words of all settings, from the first that can be written on. */
const allSettings = (settings: Settings): Uint8Array => {
  const all: Record<string, bigint> = {
    regions: 0xffffn,
    hooks: HOOK.info | HOOK.rw | HOOK.mmap | HOOK.release,
    ...settings,
  };
  const names = Object.keys(SETTING).filter((name) => name !== 'form');
  return new Uint8Array(new BigUint64Array(names.map((name) => all[name] ?? 0n)).buffer);
};

/** Where a region begins in a device's file. */
export const regionAt = (index: number): bigint => BigInt(index) << 40n;

/** The device that mediators are offered when it is opened. */
export interface Offered {
  readonly ready: Ready;
  readonly open: () => Device;
  /** Opens it, which succeeds, and closes it. */
  visit(): void;
}

/** The edu device of a group, ready to be opened. */
export const offered = (s: Scenario): Offered => {
  const ready = readyContainer(s);
  const open = (): Device => {
    const device = ready.groups[0]?.device();
    if (device === undefined) throw new Error('a ready container has a group');
    return device;
  };
  return {
    ready,
    open,
    visit: () => {
      const device = open();
      device.opened.succeeds();
      device.close();
    },
  };
};

/** A mediator that has a device. */
export interface Taken {
  readonly mediator: Mediator;
  readonly offered: Offered;
  readonly device: Device;
  read(region: number, size: number, at?: bigint): Said;
  write(region: number, data: Uint8Array, at?: bigint): Said;
  info(region: number, argsz?: number, room?: number): Said;
  /**
   * Closes the device and unregisters the mediator. One that was opened just once is forgotten by that also in the posted
   * form, which otherwise keeps it for the cases that follow.
   */
  ends(): void;
}

/** Registers a mediator and opens a device, which it takes. */
export const taken = (s: Scenario, settings: Settings = {}): Taken => {
  const one = mediator(s, settings);
  one.register().succeeds();
  const offer = offered(s);
  const device = offer.open();
  device.opened.succeeds();
  const { fd } = device;
  return {
    offered: offer,
    mediator: one,
    device,
    read: (region, size, at = 0n) =>
      s.main.does({ op: 'pread', fd, offset: regionAt(region) + at, size: BigInt(size) }),
    write: (region, data, at = 0n) => s.main.does({ op: 'pwrite', fd, offset: regionAt(region) + at, data }),
    info: (region, argsz = 32, room = argsz) => {
      const bytes = new Uint8Array(room);
      bytes.set(encode(uapi.vfioRegionInfo, { argsz, index: region }));
      return device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, inline(bytes));
    },
    ends: () => {
      device.close().succeeds();
      one.unregister().succeeds();
    },
  };
};
