import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort } from '../hosts/port.ts';
import { findProgram } from '../kernels/requirements.ts';

/** A Slurm of a test's own on 127.0.0.1: one controller, a slurmd for each node. */
export interface Cluster {
  /** For whatever talks to it. */
  readonly env: Readonly<Record<string, string>>;
  /** Ends all of it. */
  close(): Promise<void>;
}

const PROGRAMS = ['slurmctld', 'slurmd', 'munged', 'sbatch', 'squeue', 'scontrol'] as const;

/** Why there can be no Slurm here; `undefined` when there can. */
export const whyNoSlurm = async (): Promise<string | undefined> => {
  for (const name of PROGRAMS) {
    if ((await findProgram(name)) === undefined) {
      return `${name} is not installed: apt-get install slurmctld slurmd slurm-client munge`;
    }
  }
  return userInfo().uid === 0 ? undefined : 'a slurmd runs jobs as root only';
};

/** `nodes` are lines of slurm.conf. Ready when every node is idle. */
export const openCluster = async (folder: string, nodes: readonly string[]): Promise<Cluster> => {
  const at = (name: string): string => join(folder, name);
  for (const name of ['munge', 'state', 'spool']) await mkdir(at(name), { mode: 0o755 });
  await chmod(folder, 0o755);
  await writeFile(at('munge/key'), randomBytes(1024), { mode: 0o400 });
  await writeFile(at('slurm.conf'), await configuration(folder, nodes));
  const env = { SLURM_CONF: at('slurm.conf') };
  const daemons: ChildProcess[] = [];
  const start = async (program: string, ...args: readonly string[]): Promise<void> => {
    daemons.push(
      spawn((await findProgram(program)) ?? program, args, { stdio: 'ignore', env: { ...process.env, ...env } }),
    );
  };
  const munge = (name: string): string => `--${name}-file=${at(`munge/${name}`)}`;
  await start(
    'munged',
    '--foreground',
    '--force',
    munge('key'),
    munge('pid'),
    munge('seed'),
    `--socket=${at('munge/socket')}`,
  );
  await start('slurmctld', '-D', '-c');
  for (const name of nodes.map(nameOf)) await start('slurmd', '-D', '-N', name);
  const states = async (): Promise<readonly string[]> =>
    (await execa('sinfo', ['-N', '-h', '-o', '%t'], { env, reject: false })).stdout.split('\n');
  for (let seen = await states(); seen.length !== nodes.length || seen.some((one) => one !== 'idle'); ) {
    const dead = daemons.find(({ exitCode }) => exitCode !== null);
    if (dead !== undefined) throw new Error(`${dead.spawnfile} ended with ${dead.exitCode}`);
    seen = await states();
  }
  return { env, close: () => endAll(daemons) };
};

const nameOf = (line: string): string => /^NodeName=(\S+)/.exec(line)?.[1] ?? '';

/** The last one started ends first. */
const endAll = async (daemons: readonly ChildProcess[]): Promise<void> => {
  for (const daemon of [...daemons].reverse()) {
    if (daemon.exitCode !== null || daemon.signalCode !== null) continue;
    const ended = new Promise((resolve) => void daemon.once('exit', resolve));
    daemon.kill('SIGTERM');
    await ended;
  }
};

const configuration = async (folder: string, nodes: readonly string[]): Promise<string> =>
  [
    'ClusterName=test',
    'SlurmctldHost=localhost(127.0.0.1)',
    `SlurmctldPort=${await freePort()}`,
    'SlurmUser=root',
    `AuthInfo=socket=${folder}/munge/socket`,
    `StateSaveLocation=${folder}/state`,
    `SlurmdSpoolDir=${folder}/spool/%n`,
    `SlurmctldPidFile=${folder}/slurmctld.pid`,
    `SlurmdPidFile=${folder}/slurmd.%n.pid`,
    `SlurmctldLogFile=${folder}/slurmctld.log`,
    `SlurmdLogFile=${folder}/slurmd.%n.log`,
    'ProctrackType=proctrack/linuxproc',
    'TaskPlugin=task/none',
    'SelectType=select/linear',
    'JobAcctGatherType=jobacct_gather/none',
    'AccountingStorageType=accounting_storage/none',
    'MpiDefault=none',
    ...nodes,
    'PartitionName=lab Nodes=ALL Default=YES State=UP',
    '',
  ].join('\n');
