import { readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import type { TestSshd } from '../hosts/testing-sshd.ts';
import { findProgram } from '../kernels/requirements.ts';

/** LAVA's dispatcher without a server: `lava-run` takes a job to a device that is this machine, behind a test's own sshd. */

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EXAMPLE = join(ROOT, 'docs/ci/lava-job.yaml');

/** Why no job can be run here; `undefined` when one can. */
export const whyNoLava = async (): Promise<string | undefined> => {
  if ((await findProgram('lava-run')) === undefined)
    return 'lava-run is not installed: apt-get install lava-dispatcher';
  return userInfo().uid === 0 ? undefined : 'lava-run runs as root only';
};

/** One line of what the dispatcher says, in order. */
const Line = z.object({ lvl: z.string(), msg: z.unknown() });
type Line = z.infer<typeof Line>;

/** A result as the dispatcher hands it to a server. `starttc` and `endtc` are lines of its log. */
const Result = z.object({
  definition: z.string(),
  case: z.string(),
  result: z.string(),
  set: z.string().optional(),
  measurement: z.coerce.number().optional(),
  units: z.string().optional(),
  starttc: z.coerce.number().optional(),
  endtc: z.coerce.number().optional(),
  error_msg: z.string().optional(),
  error_type: z.string().optional(),
});
export type Result = z.infer<typeof Result>;

export interface JobEnd {
  readonly exitCode: number | undefined;
  readonly results: readonly Result[];
  /** What the log shows between two of its lines, of what the device said. */
  said(from: number, to: number): readonly string[];
}

/** One test of the job: its name, and its steps. */
export interface Definition {
  readonly name: string;
  readonly steps: readonly string[];
}

interface Job {
  readonly actions: readonly { test?: { definitions: { name: string; repository: { run: { steps: string[] } } }[] } }[];
}

const exampleJob = async (): Promise<Job> => parse(await readFile(EXAMPLE, 'utf8')) as Job;

const definitionsOf = ({ actions }: Job) => actions.flatMap(({ test }) => test?.definitions ?? []);

/** The steps of the example, with the project's folder, the options of the run and the report as they are here. */
export const exampleSteps = async (options: string, report: string): Promise<readonly string[]> => {
  const [only, ...others] = definitionsOf(await exampleJob());
  if (only === undefined || others.length > 0) throw new Error(`${EXAMPLE} is to have one test`);
  return only.repository.run.steps.map((step) =>
    step
      .replaceAll('/opt/vfio-conform', ROOT)
      .replaceAll('--host local --device 0000:3b:00.0', options)
      .replaceAll('/tmp/vfio-conform', report),
  );
};

/** Runs the example's job with these tests in place of its own. */
export const runJob = async (sshd: TestSshd, id: string, tests: readonly Definition[]): Promise<JobEnd> => {
  const job = await exampleJob();
  const [only] = definitionsOf(job);
  const definitions = tests.map(({ name, steps }) => ({
    ...only,
    name,
    repository: { ...only?.repository, run: { steps } },
  }));
  const actions = job.actions.map((action) => ('test' in action ? { test: { ...action.test, definitions } } : action));
  await writeFile(sshd.at(`${id}.yaml`), stringify({ ...job, actions }));
  await writeFile(sshd.at('device.yaml'), stringify(device(sshd)));
  const words = ['--device', sshd.at('device.yaml'), '--output-dir', sshd.at(`${id}-out`), '--job-id', id];
  const { exitCode, stderr } = await execa('lava-run', [...words, sshd.at(`${id}.yaml`)], {
    reject: false,
    stdin: 'ignore',
  });
  const lines = stderr.split('\n').map((line) => Line.parse(parse(line)));
  return { exitCode, results: resultsIn(lines), said: (from, to) => targetLines(lines.slice(from, to + 1)) };
};

const resultsIn = (lines: readonly Line[]): readonly Result[] =>
  lines.flatMap(({ lvl, msg }) => (lvl === 'results' ? [Result.parse(msg)] : []));

const targetLines = (lines: readonly Line[]): readonly string[] =>
  lines.flatMap(({ lvl, msg }) => (lvl === 'target' ? [String(msg)] : []));

/** What LAVA's device type `ssh` makes of a device dictionary, as far as such a job needs it. */
const device = (sshd: TestSshd) => ({
  constants: {
    posix: {
      lava_test_sh_cmd: '/bin/sh',
      lava_test_results_dir: sshd.at('lava-%s'),
      lava_test_shell_file: '~/.bashrc',
    },
    'default-shell-prompt': 'lava-test: # ',
    spawn_maxread: '4092',
    failure_retry: 1,
    boot_retry: 1,
  },
  parameters: {},
  actions: {
    deploy: {
      connections: { serial: null },
      methods: {
        ssh: {
          options: ['-o', 'PasswordAuthentication=no', '-o', 'LogLevel=FATAL'],
          host: '127.0.0.1',
          port: sshd.port,
          user: userInfo().username,
          identity_file: sshd.at('client_key'),
        },
      },
    },
    boot: { connections: { serial: null }, methods: { ssh: null } },
  },
  timeouts: { actions: { 'lava-test-shell': { minutes: 3 } }, connections: { 'lava-test-shell': { seconds: 10 } } },
});
