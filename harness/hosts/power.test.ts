import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseHostsFile } from './hosts-file.ts';
import { powerCommands, reviveWith, switchPower } from './power.ts';
import { troubleOf } from './testing.ts';

describe('hosts/power', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  after(() => rm(folder, { recursive: true }));

  const lab = (power: string) => {
    const text = `hosts: [{ name: spr1, ssh: spr1, devices: ['0000:3b:00.0'], power: ${power} }]`;
    const [one] = parseHostsFile(text, 'h');
    return one ?? expect.fail('no host');
  };

  it('makes a cycle of off and on where none is given', () => {
    expect(powerCommands(lab('{ off: [a, x], on: [b] }'), 'cycle')).to.deep.equal([['a', 'x'], ['b']]);
    expect(powerCommands(lab('{ off: [a], on: [b], cycle: [c] }'), 'cycle')).to.deep.equal([['c']]);
    expect(powerCommands(lab('{ off: [a] }'), 'cycle')).to.equal(undefined);
    expect(reviveWith(lab('{ on: [b] }'))).to.equal(undefined);
  });

  it('runs the commands one after the other, without a shell', async () => {
    const log = join(folder, 'log');
    const tell = (word: string): string => `[sh, -c, 'printf "%s\\n" "$0" >> "$1"', '${word}', '${log}']`;
    await switchPower(lab(`{ off: ${tell('off; $HOME')}, on: ${tell('on')} }`), 'cycle');
    expect(await readFile(log, 'utf8')).to.equal('off; $HOME\non\n');
  });

  it('says what is missing, and what failed', async () => {
    expect(await troubleOf(switchPower(lab('{ on: [b] }'), 'off'))).to.equal(
      'the hosts file does not say how to switch spr1: power.off',
    );
    expect(await troubleOf(switchPower(lab("{ off: [sh, -c, 'echo no bmc >&2; exit 3'] }"), 'off'))).to.equal(
      'the power of spr1 cannot be switched: sh ended with 3: no bmc',
    );
    expect(await troubleOf(switchPower(lab('{ off: [/no/such/program] }'), 'off'))).to.match(/ENOENT/);
  });
});
