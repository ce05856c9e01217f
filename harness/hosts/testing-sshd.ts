/** This machine as a lab machine: a real sshd of a test's own, on a port of its own, for the user of the test. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { needProgram } from '../kernels/requirements.ts';
import { freePort } from './port.ts';

export interface TestSshd {
  readonly folder: string;
  readonly port: number;
  /** An SSH configuration by which `lab1` (and any other name) is this sshd; some names have something wrong. */
  readonly config: string;
  at(name: string): string;
  /** The one that runs now. */
  process(): ChildProcess;
  start(): Promise<void>;
  /** Ends it, and removes the folder. */
  end(): Promise<void>;
}

/** Makes keys and configuration, and starts it. */
export const openSshd = async (): Promise<TestSshd> => {
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  const at = (name: string): string => join(folder, name);
  const port = await freePort();
  await Promise.all(
    ['host_key', 'other_host_key', 'client_key', 'stranger_key'].map((name) =>
      execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]),
    ),
  );
  const publicKey = async (name: string): Promise<string> => (await readFile(at(`${name}.pub`), 'utf8')).trim();
  await writeFile(at('authorized_keys'), `${await publicKey('client_key')}\n`);
  await writeFile(at('known_hosts'), `[127.0.0.1]:${port} ${await publicKey('host_key')}\n`);
  await writeFile(at('changed_hosts'), `[127.0.0.1]:${port} ${await publicKey('other_host_key')}\n`);
  await writeFile(at('no_hosts'), '');
  await writeFile(at('config'), clientConfig(at, port));
  await writeFile(at('sshd_config'), serverConfig(at, port));

  let sshd: ChildProcess;
  const start = async (): Promise<void> => {
    if (userInfo().uid === 0) await mkdir('/run/sshd', { recursive: true });
    sshd = spawn(await needProgram('sshd'), ['-D', '-e', '-f', at('sshd_config')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    await new Promise<void>((listening, failed) => {
      let said = '';
      sshd.stderr?.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (said.includes('Server listening')) listening();
      });
      sshd.once('close', () => failed(new Error(`sshd ended: ${said}`)));
    });
  };
  await start();
  return {
    ...{ folder, port, config: at('config'), at, start },
    process: () => sshd,
    end: async () => {
      sshd.kill();
      await rm(folder, { recursive: true });
    },
  };
};

const serverConfig = (at: (name: string) => string, port: number): string => `Port ${port}
ListenAddress 127.0.0.1
HostKey ${at('host_key')}
AuthorizedKeysFile ${at('authorized_keys')}
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
`;

const clientConfig = (at: (name: string) => string, port: number): string => `Host changed
  UserKnownHostsFile ${at('changed_hosts')}
Host unknown
  UserKnownHostsFile ${at('no_hosts')}
Host stranger
  IdentityFile ${at('stranger_key')}
Host jumped
  ProxyJump lab1
Host closed
  Port 1
Host !stranger *
  IdentityFile ${at('client_key')}
Host *
  HostName 127.0.0.1
  Port ${port}
  User ${userInfo().username}
  UserKnownHostsFile ${at('known_hosts')}
  GlobalKnownHostsFile none
  IdentitiesOnly yes
`;
