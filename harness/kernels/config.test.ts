import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { fallenAway, merged, symbolsOf } from './config.ts';

const FRAGMENTS = fileURLToPath(new URL('../../fixtures/kernels/', import.meta.url));

describe('kernels/config', () => {
  it('reads what is set, what is not, and nothing else', () => {
    const text = '# CONFIG_A is not set\nCONFIG_B=y\n  CONFIG_C="a b"\n# CONFIG_D=y\nCONFIG_E=\nnonsense\nCONFIG_B=m\n';
    expect([...symbolsOf(text)]).to.deep.equal([
      ['CONFIG_A', 'n'],
      ['CONFIG_B', 'm'],
      ['CONFIG_C', '"a b"'],
      ['CONFIG_E', ''],
    ]);
  });

  it('lays fragments over each other', () => {
    expect(merged(['CONFIG_A=y\nCONFIG_B=1\n', '# CONFIG_A is not set\nCONFIG_C=y\n'])).to.equal(
      'CONFIG_A=n\nCONFIG_B=1\nCONFIG_C=y\n',
    );
  });

  const cases: Record<string, [asked: string, found: string, fallen: string]> = {
    'nothing when all holds': ['CONFIG_A=y\nCONFIG_B=3\n', 'CONFIG_B=3\nCONFIG_A=y\nCONFIG_C=y\n', ''],
    'what is gone': ['CONFIG_A=y\n', '', 'CONFIG_A=y is n'],
    'what is not set': ['CONFIG_A=y\n', '# CONFIG_A is not set\n', 'CONFIG_A=y is n'],
    'what has another value': [
      'CONFIG_A=y\nCONFIG_B=3\n',
      'CONFIG_A=m\nCONFIG_B=4\n',
      'CONFIG_A=y is m, CONFIG_B=3 is 4',
    ],
    'what was to be off': ['# CONFIG_A is not set\n', 'CONFIG_A=y\n', 'CONFIG_A=n is y'],
    'not what is off by being absent': ['# CONFIG_A is not set\n', '', ''],
  };
  for (const [title, [asked, found, fallen]] of Object.entries(cases)) {
    it(`tells ${title}`, () => {
      const told = fallenAway(symbolsOf(asked), symbolsOf(found)).map(
        (one) => `${one.name}=${one.asked} is ${one.found}`,
      );
      expect(told.join(', ')).to.equal(fallen);
    });
  }

  it('says one thing of each symbol in each fragment of the project', async () => {
    for (const name of (await readdir(FRAGMENTS)).filter((one) => one.endsWith('.config'))) {
      const lines = (await readFile(`${FRAGMENTS}${name}`, 'utf8')).split('\n').filter((line) => /CONFIG_/.test(line));
      expect(symbolsOf(lines.join('\n')).size, name).to.equal(lines.length);
    }
  });
});
