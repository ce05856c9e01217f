import { lstat, mkdtemp, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { cpioArchive, type Entry } from './cpio.ts';
import { needProgram } from './requirements.ts';

const file = (path: string, text: string, mode = 0o644): Entry => ({
  kind: 'file',
  path,
  mode,
  bytes: Buffer.from(text),
});

const ENTRIES: readonly Entry[] = [
  file('/init', '#!/bin/sh\n', 0o755),
  file('/etc/deep/er/file', 'content'),
  file('/etc/empty', ''),
  file('/etc/secret', 'x', 0o600),
  { kind: 'link', path: '/bin/sh', target: 'busybox' },
  { kind: 'folder', path: '/tmp', mode: 0o1777 },
];

describe('kernels/cpio', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** Unpacks with a program that is not ours; a path in the folder where it did. */
  const unpack = async (archive: Uint8Array): Promise<(path: string) => string> => {
    await execa(await needProgram('busybox'), ['cpio', '-idm', '--quiet'], { input: archive, cwd: folder });
    return (path) => join(folder, path);
  };

  it('is unpacked by others into what went in', async () => {
    const at = await unpack(cpioArchive(ENTRIES));
    expect(await readFile(at('/init'), 'utf8')).to.equal('#!/bin/sh\n');
    expect(await readFile(at('/etc/deep/er/file'), 'utf8')).to.equal('content');
    expect((await stat(at('/etc/empty'))).size).to.equal(0);
    expect(await readlink(at('/bin/sh'))).to.equal('busybox');
    const modes = ['/init', '/etc/secret', '/tmp', '/etc/deep'].map(
      async (path) => (await lstat(at(path))).mode & 0o7777,
    );
    expect(await Promise.all(modes)).to.deep.equal([0o755, 0o600, 0o1777, 0o755]);
  });

  it('describes devices', () => {
    const archive = Buffer.from(
      cpioArchive([{ kind: 'device', path: '/dev/console', mode: 0o600, major: 5, minor: 1 }]),
    );
    const header = archive.indexOf('dev/console\0') - 110;
    const field = (index: number): number =>
      Number.parseInt(archive.toString('latin1', header + 6 + 8 * index, header + 14 + 8 * index), 16);
    expect([field(1), field(9), field(10)]).to.deep.equal([0o20600, 5, 1]);
  });

  it('has the same bytes in whatever order the entries come', () => {
    expect(Buffer.compare(cpioArchive(ENTRIES), cpioArchive([...ENTRIES].reverse()))).to.equal(0);
  });

  it('keeps the mode of a folder that is given, whether before or after what is in it', async () => {
    const inner: Entry = file('/root/.ssh/key', 'k');
    const outer: Entry = { kind: 'folder', path: '/root', mode: 0o700 };
    expect(Buffer.compare(cpioArchive([inner, outer]), cpioArchive([outer, inner]))).to.equal(0);
    expect((await stat((await unpack(cpioArchive([inner, outer])))('/root'))).mode & 0o777).to.equal(0o700);
  });

  it('ends where another archive may follow', () => {
    expect(cpioArchive(ENTRIES).length % 512).to.equal(0);
    expect(cpioArchive([]).length).to.equal(512);
  });
});
