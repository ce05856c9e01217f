import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { UsageTrouble } from '../trouble.ts';
import { readStructLayout } from './struct-layout.ts';
import { skipWithout } from './testing.ts';

const SOURCE = `
struct packed { long a; char b, c; };
struct holed { char a; long *b; char c; int d : 3, e : 4; struct { int x, y; }; char f[]; };
struct empty {};
struct packed p; struct holed h; struct empty e;
`;

describe('kernels/struct-layout', () => {
  let folder = '';
  let object = '';
  before(async function () {
    await skipWithout(this, 'gdb');
    folder = await mkdtemp(join(tmpdir(), 'struct-layout-'));
    object = join(folder, 'object.o');
    await writeFile(join(folder, 'source.c'), SOURCE);
    await execa('cc', ['-g', '-c', '-o', object, join(folder, 'source.c')]);
  });
  after(() => (folder === '' ? undefined : rm(folder, { recursive: true })));

  it('tells offsets and sizes, and so the padding at the end', async () => {
    expect(await readStructLayout(object, 'packed')).to.deep.equal({
      size: 16,
      members: [
        { name: 'a', offset: 0, size: 8 },
        { name: 'b', offset: 8, size: 1 },
        { name: 'c', offset: 9, size: 1 },
      ],
    });
  });

  it('shows holes, bit fields that share a byte, anonymous members and arrays without a size', async () => {
    expect(await readStructLayout(object, 'holed')).to.deep.equal({
      size: 32,
      members: [
        { name: 'a', offset: 0, size: 1 },
        { name: 'b', offset: 8, size: 8 },
        { name: 'c', offset: 16, size: 1 },
        { name: 'd, e', offset: 17, size: 1 },
        { name: '', offset: 20, size: 8 },
        { name: 'f', offset: 28, size: 0 },
      ],
    });
  });

  it('takes a structure without members', async () => {
    expect(await readStructLayout(object, 'empty')).to.deep.equal({ size: 0, members: [] });
  });

  const refused: Readonly<Record<string, readonly [name: string, RegExp]>> = {
    'a structure that is not there': ['absent', /tells of no struct absent/],
    'what is no name': ['a"); print("b', /is no name of a structure/],
  };
  for (const [what, [name, says]] of Object.entries(refused)) {
    it(`refuses ${what}`, async () => {
      const cause: unknown = await readStructLayout(object, name).catch((error: unknown) => error);
      expect(cause).to.be.instanceOf(UsageTrouble);
      expect(String(cause)).to.match(says).and.not.contain('\n');
    });
  }

  it('says which file has no debug information', async () => {
    const cause: unknown = await readStructLayout(join(folder, 'source.c'), 'packed').catch((error: unknown) => error);
    expect(cause).to.be.instanceOf(UsageTrouble);
    expect(String(cause)).to.contain('source.c tells of no struct packed');
  });
});
