/** A connection to a machine through this machine's own ssh, which knows more kinds of keys, certificates and proxies. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { execa } from 'execa';
import { needProgram } from '../kernels/requirements.ts';
import { HostTrouble } from '../trouble.ts';
import { endWithProcess } from './lifetime.ts';
import { within } from './patience.ts';
import { type Channel, SilentHost, SSH_TIMES, type SshConnection, type SshTimes, UnreachableHost } from './ssh.ts';

/** Where to, as ssh takes it. */
export interface SystemSsh {
  /** How the machine is called in messages: `ssh:spr1`. */
  readonly name: string;
  readonly destination: string;
  /** Options before it. */
  readonly words: readonly string[];
}

/** Nobody is asked for anything, and only a host key that is known will do. */
const FIRM = ['-o', 'BatchMode=yes', '-o', 'StrictHostKeyChecking=yes'];
/** How often it is looked whether the connection is up, in milliseconds. */
const LOOK_MS = 50;
const MAX_OUTPUT_BYTES = 1 << 20;
const STOP_MS = 2000;

/** What ssh says when there is no point in trying again. */
const REFUSALS = /host key|Permission denied|Too many authentication|no such identity|Bad configuration|not resolve/i;

/** Connects, and keeps that connection for all commands. Throws HostTrouble: unreachable, silent, not known, refused. */
export const connectSystemSsh = async (way: SystemSsh, times: SshTimes = SSH_TIMES): Promise<SshConnection> => {
  const ssh = await needProgram('ssh');
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-ssh-'));
  const control = ['-o', `ControlPath=${join(folder, 'control')}`];
  const alive = ['-o', `ServerAliveInterval=${Math.ceil(times.keepaliveMs / 1000)}`];
  const master = execa(
    ssh,
    [
      ...[...way.words, ...FIRM, ...control, ...alive, '-o', `ServerAliveCountMax=${times.keepaliveCount}`],
      ...['-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', '-N', '-T', '--', way.destination],
    ],
    { stdin: 'ignore', stdout: 'ignore', stderr: 'pipe', buffer: false, reject: false, cleanup: false },
  );
  let said = '';
  master.stderr.on('data', (chunk: Uint8Array) => {
    said = (said + Buffer.from(chunk).toString('latin1')).slice(-2000);
  });
  const forget = endWithProcess(() => {
    master.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  let over: string | undefined;
  const gone = master.then(async () => {
    over ??= troubleOf(way, said).message;
    forget();
    await rm(folder, { recursive: true, force: true });
  });
  const close = (): void => {
    over ??= `the connection to ${way.name} was closed by us`;
    master.kill();
    void within(STOP_MS, gone).then(() => master.kill('SIGKILL'));
  };
  const command = (text: string): readonly string[] => [
    ...[...way.words, ...FIRM, ...control, '-o', 'ControlMaster=no', '-T', '--', way.destination, text],
  ];

  const until = Date.now() + times.connectMs;
  for (let up = false; !up; ) {
    if (over !== undefined) throw troubleOf(way, said);
    if (Date.now() > until) {
      close();
      throw new SilentHost(`${way.name} did not answer SSH within ${times.connectMs / 1000} s: is it up?`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    const check = await execa(ssh, [...control, '-O', 'check', '--', way.destination], {
      ...{ reject: false, stdin: 'ignore', stdout: 'ignore', stderr: 'ignore' },
    });
    up = check.exitCode === 0;
  }

  return {
    get over() {
      return over;
    },
    open: async (text) => {
      if (over !== undefined) throw new HostTrouble(over);
      return channelOf(ssh, command(text));
    },
    run: async (text, input) => {
      if (over !== undefined) throw new HostTrouble(over);
      const result = await execa(ssh, command(text), {
        ...{ reject: false, timeout: times.commandMs, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'latin1' },
        ...(input === undefined ? { stdin: 'ignore' } : { input }),
      });
      if (result.timedOut) {
        throw new HostTrouble(`a command on ${way.name} did not end within ${times.commandMs / 1000} s`);
      }
      if (result.isMaxBuffer) {
        throw new HostTrouble(`a command on ${way.name} printed more than ${MAX_OUTPUT_BYTES} bytes`);
      }
      if (over !== undefined) throw new HostTrouble(over);
      return { stdout: result.stdout, stderr: result.stderr, status: result.exitCode };
    },
    close,
  };
};

/** A command that is spoken with. */
const channelOf = (ssh: string, words: readonly string[]): Channel => {
  const child = execa(ssh, words, {
    ...{ stdin: 'pipe', stdout: 'pipe', stderr: 'pipe', buffer: false, reject: false, cleanup: false },
  });
  const forget = endWithProcess(() => child.kill('SIGKILL'));
  void child.then(forget);
  const stream = Duplex.from({ writable: child.stdin, readable: child.stdout });
  stream.once('close', () => void child.kill());
  return Object.assign(stream, { stderr: child.stderr });
};

/** One line of what ssh said, and whether trying again may help. */
const troubleOf = ({ name }: SystemSsh, said: string): HostTrouble => {
  const lines = said.split('\n').map((line) => line.replace(/[^\x20-\x7e]+/g, ' ').trim());
  const line = lines.findLast((each) => each !== '' && !/^@+$/.test(each)) ?? 'ssh ended without a word';
  const message = `ssh does not reach ${name}: ${line.slice(0, 300)}`;
  return REFUSALS.test(said) ? new HostTrouble(message) : new UnreachableHost(message);
};
