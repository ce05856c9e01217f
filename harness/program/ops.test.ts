import { expect } from 'chai';
import { BOUNDS, fnv1a64, OPS, OPS_HASH, parseOps } from './ops.ts';

const hash = (text: string): string => fnv1a64(Buffer.from(text)).toString(16).padStart(16, '0');

describe('program/ops', () => {
  it('reads parameters in order, options apart', () => {
    const ioctl = OPS.get('ioctl');
    expect(ioctl?.required.map(({ name, kind }) => `${name}:${kind}`)).to.deep.equal([
      'fd:fd',
      'request:num',
      'arg:arg',
    ]);
    expect(ioctl?.options.map(({ name, kind }) => `${name}:${kind}`)).to.deep.equal(['to:newfd', 'at:num']);
    expect(ioctl?.observes).to.equal('out');
  });

  it('reads operations without parameters', () => {
    expect(OPS.get('exec')).to.deep.equal({ name: 'exec', required: [], options: [], observes: '' });
  });

  it('knows no bound of a parameter that is not there', () => {
    const all = [...OPS.values()].flatMap(({ name, required, options }) =>
      [...required, ...options].filter(({ kind }) => kind === 'num').map((parameter) => `${name}.${parameter.name}`),
    );
    expect(all).to.include.members(Object.keys(BOUNDS));
  });

  it('refuses a table with a kind or a line that it does not know', () => {
    expect(() => parseOps('OP(x, "a:wheel", "")')).to.throw('not a parameter: a:wheel');
    expect(() => parseOps('OP(x, "a:num", "sound")')).to.throw('not an operation');
    expect(() => parseOps('OP(x, "", "") OP(y, "", "")')).to.throw('not an operation');
  });

  // From the FNV reference test vectors (Landon Curt Noll, FNV-1a 64).
  it('hashes as FNV-1a does', () => {
    expect(hash('')).to.equal('cbf29ce484222325');
    expect(hash('a')).to.equal('af63dc4c8601ec8c');
    expect(hash('foobar')).to.equal('85944171f73967e8');
  });

  it('writes the hash with 16 digits', () => expect(OPS_HASH).to.match(/^[0-9a-f]{16}$/));
});
