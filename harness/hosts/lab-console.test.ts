import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as later } from 'node:timers/promises';
import { expect } from 'chai';
import { execa } from 'execa';
import { type LabConsole, openLabConsole } from './lab-console.ts';

describe('hosts/lab-console', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    await execa('mkfifo', [join(folder, 'late')]);
  });
  after(() => rm(folder, { recursive: true }));
  const opened: LabConsole[] = [];
  const open = (script: string, pauseMs?: number): LabConsole => {
    const console = openLabConsole(['sh', '-c', script], pauseMs);
    opened.push(console);
    return console;
  };
  afterEach(() => {
    for (const console of opened.splice(0)) console.end();
  });
  const shows = async (console: LabConsole, lines: number): Promise<readonly string[]> => {
    while (console.shown().lines().length < lines) await later();
    return console.shown().lines();
  };

  it('never has its command read an end of its input', async () => {
    const console = open('echo here; cat; echo left', 0);
    await shows(console, 1);
    await console.quiet();
    expect(console.shown().lines()).to.deep.equal(['here']);
  });

  it('starts its command again when that ends, with what it showed before', async () => {
    expect(await shows(open('echo here', 0), 3)).to.include.members(['here']);
  });

  it('forgets what it showed', async () => {
    const console = open('echo here; cat');
    await shows(console, 1);
    console.startAnew();
    expect(console.shown().lines()).to.deep.equal([]);
  });

  it('waits for what comes late', async () => {
    const console = open(`echo here; read line < ${folder}/late; echo "$line"; cat`);
    await shows(console, 1);
    const quiet = console.quiet();
    await writeFile(join(folder, 'late'), 'late\n');
    await quiet;
    expect(console.shown().lines()).to.deep.equal(['here', 'late']);
  });

  it('does not wait for one that is never silent', async () => {
    const console = open('while :; do echo more; done');
    await console.quiet();
    expect(console.shown().lines().length).to.be.greaterThan(1);
  });

  it('starts nothing once it was ended', async () => {
    const console = open('echo here', 0);
    await shows(console, 1);
    console.end();
    await console.quiet();
    console.startAnew();
    await console.quiet();
    expect(console.shown().lines()).to.deep.equal([]);
  });
});
