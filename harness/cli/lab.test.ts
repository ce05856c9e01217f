import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { connectToLab } from '../hosts/lab.ts';
import { takeLease } from '../hosts/lease.ts';
import { EDU_ADDRESSES } from '../hosts/qemu.ts';
import { type LabMachine, openLabMachine } from '../hosts/testing-lab.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { fetchKernel, type Kernel } from '../kernels/fetch.ts';
import { readManifest } from '../kernels/manifest.ts';
import { readResults } from '../report/read-results.ts';
import { EXIT } from '../trouble.ts';
import { resultsIn } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

/** A guest that is a machine of a lab, as the commands see it. */
describe('a machine of a lab', () => {
  let machine: LabMachine;
  let old: Kernel;
  let other: Kernel;
  const at = (name: string): string => join(machine.folder, name);
  before(async () => {
    const cache = cacheFolder();
    old = await fetchKernel(await readManifest('6.1'), { cache });
    other = await fetchKernel(await readManifest('6.12'), { cache });
    machine = await openLabMachine([old, other]);
    const quoted = (...verb: readonly string[]): string =>
      `[${machine
        .words(...verb)
        .map((word) => `'${word}'`)
        .join(', ')}]`;
    const power = `power: { off: ${quoted('off')}, on: ${quoted('on')} }`;
    const deploy = `deploy: { command: ${quoted('boot', '{image}', '{release}')} }`;
    await mkdir(at('lab'));
    await writeFile(at('lab/hosts.yaml'), machine.hostsFile([power, deploy, 'bootSeconds: 60']));
    await writeFile(
      at('lab/classes.yaml'),
      'classes: [{ name: guests, hosts: [{ name: guest, hosts: hosts.yaml }] }]\n',
    );
  });
  after(() => machine.end());

  const start = (...args: readonly string[]) =>
    execa('node', [BIN, ...args], {
      ...{ cwd: machine.folder, reject: false, stdin: 'ignore' },
      env: { PATH: `${machine.bin}:${process.env['PATH']}` },
    });
  const isOn = async (): Promise<boolean> => {
    const pid = await readFile(at('pid'), 'utf8').catch(() => '');
    return pid !== '' && (await execa('kill', ['-0', pid.trim()], { reject: false })).exitCode === 0;
  };

  it('is switched off and on, and on again where it was on', async () => {
    for (const [verb, on] of [
      ['off', false],
      ['on', true],
      ['cycle', true],
    ] as const) {
      const before = await readFile(at('pid'), 'utf8').catch(() => '');
      const { exitCode, stdout, stderr } = await start('hosts', 'power', 'guest', verb, '--hosts', 'lab/hosts.yaml');
      expect([exitCode, stdout], stderr).to.deep.equal([EXIT.conforms, `guest: power ${verb}`]);
      expect(await isOn(), verb).to.equal(on);
      expect(await readFile(at('pid'), 'utf8').catch(() => ''), verb).to.not.equal(before);
    }
    const wrong = await start('hosts', 'power', 'guest', 'reset', '--hosts', 'lab/hosts.yaml');
    expect(wrong.exitCode).to.equal(EXIT.usage);
    expect(wrong.stderr).to.match(/takes the name of a machine and one of: off, on, cycle$/);
  });

  const asked = ['run', '--host', 'ssh:guest', ...EDU_ADDRESSES.map((address) => `--device=${address}`), '--report'];

  it('is one run’s at a time, also by way of ssh: alone', async () => {
    const first = start(...asked, at('first'), '--suite', 'map', '--suite', 'unmap', '--wait', '60s');
    while (resultsIn(at('first')) === 0 && first.exitCode === null) await pause(20);
    const second = await start(...asked, at('second'), '--suite', 'iova');
    expect(second.exitCode).to.equal(EXIT.hostTrouble);
    expect(second.stderr).to.match(/ssh:guest is taken: \S+@\S+, process \d+, since .*; wait, or ask them$/);
    expect((await first).exitCode, (await first).stderr).to.equal(EXIT.conforms);
  });

  it('is not switched off under another, and waited for when that is wanted', async () => {
    const lease = await takeLease('guest', () => connectToLab(machine.lab([]), machine.sshConfig), {
      owner: 'somebody',
    });
    const switched = await start('hosts', 'power', 'guest', 'off', '--hosts', 'lab/hosts.yaml');
    expect(switched.exitCode).to.equal(EXIT.hostTrouble);
    expect(switched.stderr).to.match(/guest is taken: somebody, .*; its power is not switched$/);
    const waiting = start(...asked, at('third'), '--suite', 'iova', '--wait', '5m');
    const said = new Promise<string>((resolve) => waiting.stderr.once('data', (chunk) => resolve(String(chunk))));
    expect(await said).to.match(/^ssh:guest is taken: somebody, .*; waiting\n/);
    await lease.leave();
    expect((await waiting).exitCode, (await waiting).stderr).to.equal(EXIT.conforms);
  });

  it('has the kernel of a cell deployed', async () => {
    const plan = ['plan', '--kernel', '6.12', '--classes', 'lab/classes.yaml', '--class', 'guests', '--suite', 'iova'];
    expect((await start(...plan, '--out', 'plan.jsonl')).exitCode).to.equal(EXIT.conforms);
    const { exitCode, stderr } = await start('cell', '1', '--plan', 'plan.jsonl', '--out', 'cells');
    expect(stderr).to.contain(`guest runs Linux ${old.release}: deploying 6.12 (${other.release})`);
    expect(exitCode, stderr).to.equal(EXIT.conforms);
    expect(readResults(at('cells/cell-000001'))).to.deep.include({ kernel: other.release, revision: 'linux-6.12' });
  });
}).timeout(240_000);
