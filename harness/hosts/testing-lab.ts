/** A guest in QEMU that outlives whoever tests on it, as a machine of a lab does: the script of docs/ci/hosts has it. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { Kernel } from '../kernels/fetch.ts';
import { buildInitramfs } from '../kernels/initramfs.ts';
import { createClientKey, createHostKey } from '../kernels/keys.ts';
import { needProgram } from '../kernels/requirements.ts';
import { type Lab, parseHostsFile } from './hosts-file.ts';
import { freePort } from './port.ts';
import { EDU_ADDRESSES, qemuArguments } from './qemu.ts';
import { bareGuest } from './testing.ts';

const SCRIPT = fileURLToPath(new URL('../../docs/ci/hosts/machine.sh', import.meta.url));
/** No guest of a test lives longer, in seconds, whatever becomes of the test. */
const MOST_SECONDS = 1800;

export interface LabMachine {
  readonly folder: string;
  /** TCP port of 127.0.0.1 behind which its SSH server is. */
  readonly port: number;
  /** An SSH configuration that knows its host key. */
  readonly sshConfig: string;
  /** A folder for PATH, with an ssh that has that configuration. */
  readonly bin: string;
  /** Words that do this to it: `cycle`. */
  words(...verb: readonly string[]): readonly string[];
  /** It as the hosts file has it, with further lines; behind another port when one is given. */
  hostsFile(lines: readonly string[], port?: number): string;
  lab(lines: readonly string[], port?: number): Lab;
  /** Does this to it. */
  act(...verb: readonly string[]): Promise<void>;
  /** Switches it off, and removes the folder. */
  end(): Promise<void>;
}

/** Every name that ssh is given is the machine: `ssh:guest`, for those that do not go by a hosts file. */
const configOf = (at: (name: string) => string, port: number): string => `HostKeyAlias lab-machine
UserKnownHostsFile ${at('known_hosts')}
GlobalKnownHostsFile none
Host *
  HostName 127.0.0.1
  Port ${port}
  User root
  IdentityFile ${at('key')}
  IdentitiesOnly yes
`;

export interface LabMachineOptions {
  /** A panic boots it again, in place of ending QEMU. */
  readonly reboots?: boolean;
  /** TCP port of 127.0.0.1 that is its serial line; absent: the script's `console` shows that. */
  readonly consolePort?: number;
  /** It stays off: another than the script switches it. */
  readonly off?: boolean;
}

/** Switches one on that boots the first of these kernels; the others can be deployed. */
export const openLabMachine = async (
  kernels: readonly [Kernel, ...Kernel[]],
  { reboots = false, consolePort, off = false }: LabMachineOptions = {},
): Promise<LabMachine> => {
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  const at = (name: string): string => join(folder, name);
  const [hostKey, clientKey] = [createHostKey(), createClientKey()];
  for (const kernel of kernels) {
    const settings = { moduleParameters: {}, modules: [], hostKey, clientKey, devices: EDU_ADDRESSES };
    await writeFile(at(`initrd-${kernel.release}`), await buildInitramfs(kernel, settings), { mode: 0o600 });
  }
  const [first] = kernels;
  await symlink(first.image, at('kernel'));
  await symlink(at(`initrd-${first.release}`), at('initrd'));
  const port = await freePort();
  const words = [...qemuArguments(await bareGuest(first), '-', port)];
  const [, line = ''] = words.splice(words.indexOf('-append'), 2);
  for (const option of ['-kernel', '-initrd']) words.splice(words.indexOf(option), 2);
  if (consolePort !== undefined)
    words.splice(words.indexOf('stdio'), 1, `tcp:127.0.0.1:${consolePort},server=on,wait=off`);
  if (reboots) words.splice(words.indexOf('-no-reboot'), 1);
  await writeFile(at('words'), words.map((word) => `${word}\n`).join(''));
  await writeFile(at('line'), line);
  await writeFile(at('key'), clientKey.privateKey, { mode: 0o600 });
  const blob = Buffer.from(hostKey.publicBlob);
  const kind = blob.subarray(4, 4 + blob.readUInt32BE(0)).toString();
  await writeFile(at('known_hosts'), `lab-machine ${kind} ${blob.toString('base64')}\n`);
  await writeFile(at('config'), configOf(at, port));
  await mkdir(at('bin'));
  const program = async (name: string, before: string, after: string): Promise<void> =>
    writeFile(at(`bin/${name}`), `#!/bin/sh\nexec ${before}${await needProgram(name)} ${after}"$@"\n`, { mode: 0o755 });
  await program('ssh', '', `-F ${at('config')} `);
  await program('qemu-system-x86_64', `timeout --foreground -s KILL ${MOST_SECONDS} `, '');
  const wordsFor = (...verb: readonly string[]): readonly string[] => [SCRIPT, folder, ...verb];
  const act = async (...verb: readonly string[]): Promise<void> => {
    await execa('sh', wordsFor(...verb), { stdio: 'ignore', env: { PATH: `${at('bin')}:${process.env['PATH']}` } });
  };
  const hostsFile = (lines: readonly string[], behind = port): string =>
    [
      ...['hosts:', '  - name: guest'],
      ...['address: 127.0.0.1', `port: ${behind}`, 'user: root', `key: ${at('key')}`].map((text) => `    ${text}`),
      ...[`devices: [${EDU_ADDRESSES.map((address) => `'${address}'`).join(', ')}]`, ...lines].map(
        (text) => `    ${text}`,
      ),
      '',
    ].join('\n');
  if (!off) await act('on');
  return {
    ...{ folder, port, act, hostsFile, sshConfig: at('config'), bin: at('bin'), words: wordsFor },
    lab: (lines, behind) => {
      const [lab] = parseHostsFile(hostsFile(lines, behind), 'hosts.yaml');
      if (lab === undefined) throw new Error('no host');
      return lab;
    },
    end: async () => {
      await act('off');
      await rm(folder, { recursive: true });
    },
  };
};
