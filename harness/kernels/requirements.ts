import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { HostTrouble } from '../trouble.ts';

/** Something of the operating system that must be on the machine that runs this. */
export interface Requirement {
  /** A program's name, looked up in PATH and in the folders of system programs; or the absolute path of a file. */
  readonly program: string;
  readonly debianPackage: string;
  /** What for, in a few words. */
  readonly why: string;
  readonly need: Need;
}

/**
 * `run`: for `npm start`; `modules`: for test modules on the stock kernel, without which the cases that need one are
 * skipped; `series`: for kernels with patches; `kernels`: for kernels that are built from source; `tests`: only for the project's own tests;
 * `campaigns`, `recipes`: for tests that are skipped without.
 */
export type Need = 'run' | 'modules' | 'series' | 'kernels' | 'tests' | 'campaigns' | 'recipes';

/** Everything that is needed beside Node and its packages; nothing else in the project names a Debian package. */
export const REQUIREMENTS: readonly Requirement[] = [
  run('qemu-system-x86_64', 'qemu-system-x86', 'runs the kernel under test'),
  run('busybox', 'busybox-static', 'the programs inside the guest'),
  run('dropbear', 'dropbear-bin', 'the SSH server inside the guest'),
  run('modinfo', 'kmod', 'tells what a kernel module depends on'),
  run('xz', 'xz-utils', 'unpacks the kernel and its modules'),
  run('apt-get', 'apt', 'fetches kernel packages'),
  run('dpkg-deb', 'dpkg', 'unpacks kernel packages'),
  run('setpriv', 'util-linux', 'ends QEMU when the harness ends'),
  run('flock', 'util-linux', 'keeps two runs from filling the cache at once'),
  run('ldd', 'libc-bin', 'finds the libraries of the programs in the guest'),
  run('ssh', 'openssh-client', 'reads the SSH configuration of lab hosts'),
  run('ssh-keygen', 'openssh-client', 'looks up the host keys of lab hosts'),
  run('cc', 'gcc', 'builds the helper'),
  run('/usr/lib/x86_64-linux-gnu/libc.a', 'libc6-dev', 'builds the helper'),
  modules('make', 'make', 'builds kernel modules'),
  modules('strip', 'binutils', 'makes kernel modules small'),
  // The headers of the kernel that fixtures/kernels/6.1.yaml pins.
  modules('/usr/src/linux-headers-6.1.0-56-amd64/Makefile', 'linux-headers-6.1.0-56-amd64', 'test modules use them'),
  series('git', 'git', 'applies patches'),
  series('tar', 'tar', "unpacks the kernel's sources"),
  series('gdb', 'gdb', 'reads how a built module lays out its structures'),
  series('/usr/src/linux-source-6.1.tar.xz', 'linux-source-6.1', 'patches are applied to it'),
  kernels('cp', 'coreutils'),
  kernels('flex', 'flex'),
  kernels('bison', 'bison'),
  kernels('bc', 'bc'),
  kernels('gcc', 'gcc'),
  kernels('gcov', 'gcc'),
  kernels('/usr/include/gelf.h', 'libelf-dev'),
  test('xmllint', 'libxml2-utils', 'checks JUnit files against their schema'),
  test('clang', 'clang', 'builds the fuzz targets of the helper; lays structs out for other architectures'),
  test(
    '/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.fuzzer-x86_64.a',
    'libclang-rt-14-dev',
    'builds the fuzz targets of the helper',
  ),
  test('sshd', 'openssh-server', 'stands for a lab host'),
  campaigns('slurmctld', 'slurmctld', 'runs a campaign on a Slurm of its own'),
  campaigns('slurmd', 'slurmd', 'stands for the nodes of that Slurm'),
  campaigns('sbatch', 'slurm-client', 'submits to that Slurm'),
  campaigns('munged', 'munge', 'what that Slurm trusts'),
  recipes('ipmitool', 'ipmitool', 'switches a server'),
  recipes('ipmi_sim', 'openipmi', 'stands for the BMC of that server'),
  recipes('virsh', 'libvirt-clients', 'switches a domain'),
  recipes('libvirtd', 'libvirt-daemon-system', 'has that domain'),
  recipes('script', 'bsdutils', 'is a terminal for virsh'),
  recipes('unshare', 'util-linux', 'keeps that libvirtd apart from others'),
  recipes('pdudaemon', 'pdudaemon', 'switches an outlet'),
  recipes('curl', 'curl', 'speaks with PDUDaemon'),
  recipes('ser2net', 'ser2net', 'has the serial line of what is behind that outlet'),
  recipes('nc', 'netcat-openbsd', 'reads that line'),
  recipes('microcom', 'microcom', 'reads a line for labgrid'),
  test('chromium', 'chromium', 'looks at the page of a spec-diff'),
];

function run(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'run' };
}

function modules(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'modules' };
}

function series(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'series' };
}

function kernels(program: string, debianPackage: string): Requirement {
  return { program, debianPackage, why: 'builds kernels from source', need: 'kernels' };
}

function campaigns(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'campaigns' };
}

function recipes(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'recipes' };
}

function test(program: string, debianPackage: string, why: string): Requirement {
  return { program, debianPackage, why, need: 'tests' };
}

/** Where system programs are that an ordinary user's PATH does not name. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

/** The absolute path of a program or file of the table, or `undefined`. */
export const findProgram = async (program: string): Promise<string | undefined> => {
  if (program.startsWith('/')) return (await isThere(program, constants.R_OK)) ? program : undefined;
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== ''),
    ...SYSTEM_FOLDERS,
  ];
  for (const folder of folders) {
    const path = join(folder, program);
    if (await isThere(path, constants.X_OK)) return path;
  }
  return undefined;
};

const isThere = (path: string, mode: number): Promise<boolean> =>
  access(path, mode).then(
    () => true,
    () => false,
  );

/** The absolute path of a program of the table; throws HostTrouble that names its Debian package. */
export const needProgram = async (program: string): Promise<string> => {
  const path = await findProgram(program);
  if (path !== undefined) return path;
  const known = REQUIREMENTS.find((one) => one.program === program);
  const advice = known === undefined ? '' : ` (${known.why}): apt-get install ${known.debianPackage}`;
  throw new HostTrouble(`${program} is not installed${advice}`);
};

/** All needs: what the project's own tests ask for. */
export const ALL_NEEDS: readonly Need[] = ['run', 'modules', 'series', 'tests'];

/** What of the table is not on this machine, in the table's order. */
export const missingRequirements = async (needs: readonly Need[] = ['run']): Promise<readonly Requirement[]> => {
  const wanted = REQUIREMENTS.filter(({ need }) => needs.includes(need));
  const found = await Promise.all(wanted.map((one) => findProgram(one.program)));
  return wanted.filter((_, index) => found[index] === undefined);
};
