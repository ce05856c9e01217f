import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { CountedSources } from './fetch.ts';
import { countedFiles, type RawCounts } from './gcov.ts';
import { needProgram } from './requirements.ts';
import { skipWithout } from './testing.ts';

const SOURCE = `#include <stdlib.h>

static inline int twice(int number)
{
	return number * 2;
}

static int never(int number)
{
	return number - 1;
}

int main(int count, char **words)
{
	int number = atoi(words[count - 1]);

	if (number > 10)
		return twice(number) == atoi(words[0]);
	return number < 0 ? never(number) : 0;
}
`;

describe('kernels/gcov', () => {
  let folder: string;
  let counted: CountedSources;

  /** Runs the program, which counts as a kernel does, and takes its counts away. */
  const boot = async (number: number): Promise<RawCounts> => {
    const counts = join(folder, 'drivers/toy/toy.gcda');
    await rm(counts, { force: true });
    await execa(join(folder, 'toy'), [`${number}`], { reject: false });
    const bytes = await readFile(counts);
    await rm(counts);
    return { path: '/somewhere/else/output/drivers/toy/toy', bytes };
  };

  before(async function () {
    await skipWithout(this, 'gcc', 'gcov');
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-gcov-test-'));
    const toy = join(folder, 'drivers/toy');
    await mkdir(toy, { recursive: true });
    await writeFile(join(toy, 'toy.c'), SOURCE);
    const flags = ['-O2', '--coverage', '-fno-inline-functions'];
    const gcc = await needProgram('gcc');
    await execa(gcc, [...flags, '-c', 'drivers/toy/toy.c', '-o', 'drivers/toy/toy.o'], { cwd: folder });
    await execa(gcc, ['--coverage', 'drivers/toy/toy.o', '-o', 'toy'], { cwd: folder });
    counted = { folder, folders: ['drivers/toy'] };
  });

  after(() => (folder === undefined ? undefined : rm(folder, { recursive: true, force: true })));

  const read = async (...boots: readonly (readonly RawCounts[])[]) => {
    const [file, ...others] = await countedFiles(counted, boots);
    expect(others).to.deep.equal([]);
    expect(file?.path).to.equal('drivers/toy/toy.c');
    const lineOf = (line: number) => file?.lines.find((one) => one.line === line);
    return {
      count: (line: number) => lineOf(line)?.count,
      branches: (line: number) => lineOf(line)?.branches,
      functions: Object.fromEntries(file?.functions.map(({ name, count }) => [name, count]) ?? []),
      places: file?.functions.map(({ name, firstLine, lastLine }) => `${name} ${firstLine}-${lastLine}`),
    };
  };

  it('tells which lines ran, which ways were gone, and of functions that have no code of their own', async () => {
    const found = await read([await boot(20)]);
    expect([found.count(15), found.count(18), found.count(19)]).to.deep.equal([1, 1, 0]);
    expect([...(found.branches(17) ?? [])].sort()).to.deep.equal([0, 1]);
    expect(found.functions).to.deep.equal({ twice: 1, never: 0, main: 1 });
    expect(found.places).to.deep.equal(['twice 3-6', 'never 8-11', 'main 13-20']);
  });

  it('adds boots up', async () => {
    const found = await read([await boot(20)], [await boot(-3)], [await boot(4)]);
    expect([found.count(15), found.count(18), found.count(19)]).to.deep.equal([3, 1, 2]);
    expect([...(found.branches(17) ?? [])].sort()).to.deep.equal([1, 2]);
    expect(found.functions).to.deep.equal({ twice: 1, never: 1, main: 3 });
  });

  it('tells of all code where nothing ran', async () => {
    const found = await read();
    expect([found.count(15), found.count(18), found.functions['main']]).to.deep.equal([0, 0, 0]);
  });

  it('refuses counts of another build', async () => {
    const counts = await boot(4);
    const bytes = Buffer.from(counts.bytes);
    // The third word of a file of counts is the stamp of its notes.
    bytes.writeUInt32LE((bytes.readUInt32LE(8) ^ 1) >>> 0, 8);
    const trouble = await countedFiles(counted, [[{ ...counts, bytes }]]).catch((cause: unknown) => cause);
    expect(trouble).to.be.instanceOf(HostTrouble);
    expect((trouble as Error).message).to.match(/^gcov cannot read the counts of drivers\/toy\/toy: .*stamp/);
  });
});
