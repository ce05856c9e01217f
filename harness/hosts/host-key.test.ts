import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { createClientKey } from '../kernels/keys.ts';
import { fingerprint, hostKeyObjection, kindsToAskFor, knownKeys, parseKnownKeys } from './host-key.ts';

const newKey = (): string => createClientKey().authorizedKey.split(' ').slice(0, 2).join(' ');
const blobOf = (line: string): Buffer => Buffer.from(line.split(' ')[1] ?? '', 'base64');
const NAMES = { name: 'ssh:lab1', knownAs: 'lab1' };

describe('hosts/host-key', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  after(() => rm(folder, { recursive: true }));

  const fileOf = async (text: string, hashed = false): Promise<string> => {
    const file = join(folder, 'known_hosts');
    await writeFile(file, text);
    if (hashed) await execa('ssh-keygen', ['-H', '-f', file]);
    return file;
  };

  for (const hashed of [false, true]) {
    it(`finds the keys of a machine in a file whose names are ${hashed ? 'hashed' : 'plain'}`, async () => {
      const [key, other] = [newKey(), newKey()];
      const file = await fileOf(`lab1,10.0.0.7 ${key} a comment\n[lab1]:2222 ${other}\n`, hashed);
      const found = async (name: string) =>
        (await knownKeys(name, [join(folder, 'absent'), file])).map(({ blob }) => blob.toString('base64'));
      expect(await found('lab1')).to.deep.equal([key.split(' ')[1]]);
      expect(await found('[lab1]:2222')).to.deep.equal([other.split(' ')[1]]);
      expect(await found('lab2')).to.deep.equal([]);
    });
  }

  it('reads marked lines, and passes over those that are not for keys of machines', () => {
    const key = newKey();
    const text = `# Host lab1 found: line 1\n@revoked lab1 ${key}\n@cert-authority *.lab ${key}\nlab1 ${key}\n\ngarbage\n`;
    expect(parseKnownKeys(text, 'f').map(({ kind, revoked }) => [kind, revoked])).to.deep.equal([
      ['ssh-ed25519', true],
      ['ssh-ed25519', false],
    ]);
  });

  it('prints fingerprints as OpenSSH does', async () => {
    const key = newKey();
    const file = await fileOf(`${key}\n`);
    const { stdout } = await execa('ssh-keygen', ['-l', '-f', file]);
    expect(stdout).to.contain(` ${fingerprint(blobOf(key))} `);
  });

  const shown = newKey();
  const other = newKey();
  const known = (text: string) => parseKnownKeys(text, '/home/me/.ssh/known_hosts');
  const objections: readonly [what: string, text: string, objection: RegExp | undefined][] = [
    ['takes a key that is known', `lab1 ${other}\nlab1 ${shown}\n`, undefined],
    [
      'refuses a key where none is known, and shows it',
      '',
      /^the host key of ssh:lab1 is not known \(SHA256:\S{43}\): connect once with ssh/,
    ],
    [
      'refuses another key than the known one, and shows both',
      `lab1 ${other}\n`,
      /^the host key of ssh:lab1 has changed: it shows SHA256:\S{43}, \/home\/me\/.ssh\/known_hosts has SHA256:\S{43} .*ssh-keygen -R 'lab1'/,
    ],
    [
      'refuses a key that is revoked',
      `@revoked * ${shown}\n`,
      /^the host key of ssh:lab1 \(SHA256:\S{43}\) is revoked/,
    ],
    ['refuses a key that is known and revoked', `lab1 ${shown}\n@revoked * ${shown}\n`, /is revoked/],
    ['does not count a revoked key as known', `@revoked * ${other}\n`, /is not known/],
  ];
  for (const [what, text, objection] of objections) {
    it(what, () => {
      const found = hostKeyObjection(blobOf(shown), known(text), NAMES);
      if (objection === undefined) expect(found).to.equal(undefined);
      else
        expect(found)
          .to.match(objection)
          .and.to.match(/^[^\n]+$/);
    });
  }

  it('asks for the kinds of keys that are known first', () => {
    const rsa = kindsToAskFor([{ kind: 'ssh-rsa', blob: Buffer.alloc(0), revoked: false, file: 'f' }]);
    expect(rsa.slice(0, 3)).to.deep.equal(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519']);
    expect(kindsToAskFor(known(`@revoked * ${shown}`))).to.deep.equal(kindsToAskFor([]));
    expect(new Set(rsa)).to.deep.equal(new Set(kindsToAskFor([])));
  });
});
