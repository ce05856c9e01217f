/** Proving that a machine of the hosts file can be tested on, without leaving anything changed. */
import { parseProgram } from '../program/text.ts';
import { HostTrouble } from '../trouble.ts';
import { bindDevices, giveBack } from './binding.ts';
import type { Lab } from './hosts-file.ts';
import { type HelperBinary, startHelper } from './install.ts';
import { checkRelease, connectToLab, leaseLab } from './lab.ts';
import type { Lease } from './lease.ts';
import { type AskLimits, askLimits } from './limits.ts';
import { readPlatform } from './platform.ts';
import { openRemoteFiles } from './remote-files.ts';
import type { SshConnection } from './ssh.ts';
import type { Files } from './sysfs.ts';

/** One thing that was looked at. */
export interface Finding {
  readonly what: 'way' | 'lease' | 'clock' | 'helper' | 'kernel' | 'iommu' | 'devices' | 'groups';
  readonly ok: boolean;
  /** One line. */
  readonly says: string;
}

export interface CheckOptions {
  readonly helper: HelperBinary;
  /** An SSH configuration file in place of the user's own. */
  readonly sshConfig?: string;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** How far a machine's clock may be off, in seconds. */
const MOST_SKEW = 30;
const DEADLINES = { stepMs: 5000, programMs: 10_000 };
const ANY_PROGRAM = parseProgram('main cat /proc/version\n');

/** What Linux calls an IOMMU in /sys/class/iommu (iommu_device_sysfs_add in drivers/iommu). */
const IOMMU_NAMES: readonly (readonly [Lab['iommu'], RegExp])[] = [
  ['vtd', /^dmar\d+$/],
  ['amdvi', /^ivhd\d+$/],
  ['smmuv3', /^smmu3\./],
  ['virtio', /^virtio\d+$/],
];

/** Looks at everything that a run would need of a machine; never throws for what it finds there. */
export const checkLab = async (lab: Lab, options: CheckOptions): Promise<readonly Finding[]> => {
  const findings: Finding[] = [];
  const look = async (what: Finding['what'], check: () => Promise<string>): Promise<boolean> => {
    try {
      findings.push({ what, ok: true, says: await check() });
      return true;
    } catch (cause) {
      if (!(cause instanceof HostTrouble)) throw cause;
      findings.push({ what, ok: false, says: cause.message });
      return false;
    }
  };
  let connection: SshConnection | undefined;
  await look('way', async () => {
    connection = await connectToLab(lab, options.sshConfig);
    return `reached through ${lab.transport === 'system' ? "this machine's ssh" : 'ssh2'}, its host key is known`;
  });
  if (connection === undefined) return findings;
  const here = connection;
  let lease: Lease | undefined;
  try {
    await look('lease', async () => {
      lease = await leaseLab(lab, options.sshConfig);
      return 'nobody else has it';
    });
    // What another runs there must not be disturbed.
    if (lease === undefined) return findings;
    await look('clock', () => checkClock(lab, here, options.now ?? Date.now));
    let page = 4096;
    await look('helper', async () => {
      const session = await startHelper(here, lab.name, options.helper, {});
      const run = await session.run(ANY_PROGRAM, DEADLINES);
      page = session.greeting.pageSizeBytes;
      await session.close();
      if (run.ending.kind !== 'done') throw new HostTrouble(`a program did not end as it should: ${run.ending.kind}`);
      return 'runs a program';
    });
    const files = await openRemoteFiles(here, lab.name);
    try {
      await look('kernel', () => checkKernel(lab, files));
      await look('iommu', () => checkIommu(lab, files));
      const ask: AskLimits = async (group) => {
        const session = await startHelper(here, lab.name, options.helper, {});
        return askLimits(session, group).finally(() => session.close());
      };
      await checkDevices({ lab, connection: here, files, page, ask }, look);
    } finally {
      files.close();
    }
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    findings.push({ what: 'way', ok: false, says: cause.message });
  } finally {
    await lease?.leave();
    here.close();
  }
  return findings;
};

const checkClock = async ({ name }: Lab, connection: SshConnection, now: () => number): Promise<string> => {
  const before = now();
  const { stdout } = await connection.run('date +%s');
  const theirs = Number(/^\d{1,12}$/m.exec(stdout)?.[0] ?? Number.NaN);
  if (Number.isNaN(theirs)) throw new HostTrouble(`${name} does not say what time it is`);
  // It was asked somewhere between.
  const off = Math.max(0, before / 1000 - theirs - 1, theirs - now() / 1000);
  if (off <= MOST_SKEW) return `within ${MOST_SKEW} s of ours`;
  throw new HostTrouble(`the clock of ${name} is ${Math.round(off)} s off: set it`);
};

const checkKernel = async (lab: Lab, files: Files): Promise<string> => {
  const release = (await files.read('/proc/sys/kernel/osrelease'))?.trim() ?? '';
  checkRelease(lab, release);
  return `Linux ${release}`;
};

const checkIommu = async ({ name, iommu }: Lab, files: Files): Promise<string> => {
  const names = (await files.list('/sys/class/iommu')) ?? [];
  if (names.length === 0) throw new HostTrouble(`the IOMMU of ${name} is off, or it has none`);
  const kinds = IOMMU_NAMES.filter(([, form]) => names.some((one) => form.test(one))).map(([kind]) => kind);
  if (iommu !== undefined && !kinds.includes(iommu)) {
    throw new HostTrouble(`${name} has the IOMMUs ${names.join(', ')}, expected ${iommu}`);
  }
  return kinds.join(', ') || names.join(', ');
};

/** A machine on which devices are looked at; `page` in bytes. */
interface Machine {
  readonly lab: Lab;
  readonly connection: SshConnection;
  readonly files: Files;
  readonly page: number;
  readonly ask: AskLimits;
}

const checkDevices = async (
  { lab, connection, files, page, ask }: Machine,
  look: (what: Finding['what'], check: () => Promise<string>) => Promise<boolean>,
): Promise<void> => {
  const areBound = await look('devices', async () => {
    if (!lab.bind) {
      for (const address of lab.devices) await checkIsBound(files, address);
      return 'bound to vfio-pci';
    }
    const before = await bindDevices(connection, lab.name, lab.devices);
    return `could be bound to vfio-pci (they were bound to: ${[...new Set(before.values())].join(', ')})`;
  });
  if (areBound) {
    await look('groups', async () => {
      const { iommu, groups } = await readPlatform(files, lab.devices, page, ask);
      const bits = iommu.aperture.end.toString(2).length;
      if (lab.addressBits !== undefined && lab.addressBits !== bits) {
        throw new HostTrouble(`the IOMMU of ${lab.name} translates ${bits} bits, expected ${lab.addressBits}`);
      }
      return `${groups.filter(({ emulated }) => emulated !== true).length} of ${lab.devices.length} devices, ${bits} bits`;
    });
  }
  if (!lab.bind) return;
  await look('devices', async () => {
    await giveBack(connection, lab.name, lab.devices);
    return 'given back as they were found';
  });
};

const checkIsBound = async (files: Files, address: string): Promise<void> => {
  const driver = (await files.link(`/sys/bus/pci/devices/${address}/driver`))?.split('/').at(-1);
  if (driver === 'vfio-pci') return;
  const what = (await files.read(`/sys/bus/pci/devices/${address}/vendor`)) === undefined ? 'is not there' : undefined;
  throw new HostTrouble(
    `${address} ${what ?? `is bound to ${driver ?? 'no driver'}, not to vfio-pci: bind it, or say bind: true`}`,
  );
};
