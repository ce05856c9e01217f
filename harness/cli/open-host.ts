import { buildHelper, buildKexec } from '../helper/build.ts';
import type { Wanted } from '../hosts/deploy.ts';
import type { Host } from '../hosts/host.ts';
import type { Lab } from '../hosts/hosts-file.ts';
import { whyKernelUnfit } from '../hosts/iommu-fitness.ts';
import { DEFAULT_IOMMU, type IommuProfile, unexpected } from '../hosts/iommu-profiles.ts';
import { openLabHost, type Patience } from '../hosts/lab.ts';
import { takeLease } from '../hosts/lease.ts';
import { openLeased } from '../hosts/leased.ts';
import { openLocalHost } from '../hosts/local.ts';
import { localShell } from '../hosts/local-shell.ts';
import { openRemoteHost } from '../hosts/remote.ts';
import { connectByName } from '../hosts/ssh-target.ts';
import { openVmHost } from '../hosts/vm.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { isToBeBuilt, type KernelChoice, kernelToDeploy, prepareKernel } from '../kernels/choice.ts';
import { UsageTrouble } from '../trouble.ts';
import type { KernelCounts } from './kernel-code.ts';

/** What `--host`, `--kernel`, `--patches`, `--device` and `--jobs` ask for. */
export interface HostRequest {
  /** `vm`, `local`, `ssh:NAME`, `none`, or the name of a machine of the hosts file. */
  readonly host: string;
  /** That machine. */
  readonly lab?: Lab;
  /** What the vm boots, and a machine of the hosts file that says how kernels are deployed to it. */
  readonly kernel: KernelChoice;
  /** Whether the user named it: nothing is deployed otherwise. */
  readonly isKernelAsked: boolean;
  /** What the vm is given; Intel's of 39 bits when absent. */
  readonly iommu?: IommuProfile;
  /** PCI addresses that may be used on `local` and `ssh:` hosts. */
  readonly devices: readonly string[];
  /** How long a machine that another run has is waited for, in milliseconds. */
  readonly waitMs: number;
  /** How many guests run side by side. */
  readonly jobs: number;
  /** Takes what the vm's kernel counts of its own code, if it does. */
  readonly counts: KernelCounts;
  /** Told what is being done, a line each. */
  readonly say: (line: string) => void;
}

const PCI_ADDRESS = /^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/;

/** Checks what was asked before anything is started. Throws UsageTrouble. */
export const checkHostRequest = (request: HostRequest): void => {
  const { host, devices } = request;
  if (request.lab !== undefined) {
    if (devices.length > 0)
      throw new UsageTrouble('--device does not go with --hosts: the hosts file names the devices');
    if (request.jobs > 1) throw new UsageTrouble('--jobs is for vm hosts');
    return;
  }
  if (!['vm', 'local', 'none'].includes(host) && !/^ssh:[^\s-][^\s]*$/.test(host)) {
    throw new UsageTrouble(
      `--host takes vm, local, ssh:NAME or none (with --hosts: a name of that file), not "${host}"`,
    );
  }
  for (const address of devices) {
    if (!PCI_ADDRESS.test(address)) {
      throw new UsageTrouble(`--device takes a PCI address such as 0000:00:04.0, not "${address}"`);
    }
  }
  if (host === 'vm' || host === 'none') {
    if (devices.length > 0)
      throw new UsageTrouble('--device is for local and ssh hosts; the vm brings its own devices');
  } else if (devices.length === 0) {
    throw new UsageTrouble(`--host ${host} needs --device: only devices that are named are touched`);
  }
  if (request.iommu !== undefined && host !== 'vm' && host !== 'none') {
    throw new UsageTrouble(`--iommu is for the vm; ${host} is used as it is found`);
  }
  if (request.jobs > 1 && host !== 'vm') throw new UsageTrouble('--jobs is for vm hosts');
};

/** Hosts that are up; or why the kernel that was asked for cannot be given the IOMMU that was. */
export interface Opened {
  readonly hosts: readonly Host[];
  readonly unfit?: string;
}

/** What is to run on a machine of the hosts file; `undefined` when it is used as it is found. */
const wantedOn = async (
  { deploy }: Lab,
  { kernel, isKernelAsked, say }: HostRequest,
  cache: string,
): Promise<Wanted | undefined> => {
  if (deploy === undefined || !isKernelAsked) return undefined;
  if (await isToBeBuilt(kernel, cache)) say(`building kernel ${kernel.name} from source: minutes, once`);
  const { image, release } = await kernelToDeploy(kernel, cache);
  const program = 'kexec' in deploy ? await buildKexec(cache) : undefined;
  return { kernel: kernel.name, image, release, program, say };
};

/** Brings the hosts up, all at once. Throws HostTrouble; what was started is ended then. */
export const openHosts = async (request: HostRequest): Promise<Opened> => {
  const { host, devices, jobs, say, iommu = DEFAULT_IOMMU } = request;
  if (host === 'none') return { hosts: [] };
  const cache = cacheFolder();
  const helper = await buildHelper(cache);
  const { lab } = request;
  const patience: Patience = { waitMs: request.waitMs, say };
  if (lab !== undefined)
    return { hosts: [await openLabHost(lab, { helper, patience, wanted: await wantedOn(lab, request, cache) })] };
  if (host === 'local') {
    const lease = takeLease(host, async () => localShell, patience);
    return { hosts: [await openLeased(lease, () => openLocalHost({ helper, devices }))] };
  }
  if (host.startsWith('ssh:')) {
    const name = host.slice('ssh:'.length);
    const lease = takeLease(host, () => connectByName(name, undefined), patience);
    return { hosts: [await openLeased(lease, () => openRemoteHost({ name, helper, devices }))] };
  }
  const how = (await isToBeBuilt(request.kernel, cache)) ? 'building' : 'getting';
  say(`${how} kernel ${request.kernel.name}${how === 'building' ? ' from source: minutes, once' : ''}`);
  const { choice, kernel, modules, moduleParameters, notes } = await prepareKernel(request.kernel, cache);
  for (const note of notes) say(note);
  const why = await whyKernelUnfit(iommu, kernel);
  if (why !== undefined) return { hosts: [], unfit: `${choice.name} cannot be given --iommu ${iommu.name}: ${why}` };
  const patches = choice.patches === undefined ? {} : { patches: choice.name };
  say(
    `booting Linux ${kernel.release}${choice.patches === undefined ? '' : ` with ${choice.name}`} in QEMU${jobs > 1 ? ` (${jobs} guests)` : ''}`,
  );
  const names = Array.from({ length: jobs }, (_, index) => (jobs === 1 ? 'vm' : `vm${index + 1}`));
  const guest = {
    kernel,
    helper,
    cache,
    iommu,
    modules,
    moduleParameters,
    onCounts: request.counts.of(kernel),
    ...patches,
  };
  const opened = await Promise.allSettled(names.map((name) => openVmHost({ ...guest, name })));
  const hosts = opened.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failed = opened.find((result) => result.status === 'rejected');
  if (failed === undefined) {
    for (const line of hosts.slice(0, 1).flatMap(({ facts }) => unexpected(iommu, facts.platform))) say(line);
    return { hosts };
  }
  await Promise.all(hosts.map((one) => one.close()));
  throw failed.reason;
};
