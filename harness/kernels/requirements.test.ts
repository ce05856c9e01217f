import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { HostTrouble } from '../trouble.ts';
import { ALL_NEEDS, findProgram, missingRequirements, needProgram, REQUIREMENTS } from './requirements.ts';

describe('kernels/requirements', () => {
  const path = process.env['PATH'];
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
    await symlink('/bin/sh', join(folder, 'qemu-system-x86_64'));
    await writeFile(join(folder, 'busybox'), 'not executable');
  });
  after(() => rm(folder, { recursive: true }));
  beforeEach(() => {
    process.env['PATH'] = folder;
  });
  afterEach(() => {
    process.env['PATH'] = path;
  });

  const missing = async (forTests: boolean): Promise<readonly string[]> =>
    (await missingRequirements(forTests ? ALL_NEEDS : undefined)).map(({ program }) => program);

  it('finds what is there and can be run, and nothing else', async () => {
    expect(await findProgram('qemu-system-x86_64')).to.equal(join(folder, 'qemu-system-x86_64'));
    expect(await findProgram('busybox')).to.equal(undefined);
    expect(await missing(false))
      .to.include.members(['busybox', 'apt-get'])
      .and.not.to.include('qemu-system-x86_64');
  });

  it('finds programs of the system that the PATH of a user does not name', async () => {
    expect(await findProgram('dropbear')).to.equal('/usr/sbin/dropbear');
  });

  it('asks for what tests need only when tests are to be run', async () => {
    const forTests = new Set(REQUIREMENTS.filter(({ need }) => need === 'tests').map(({ program }) => program));
    expect((await missing(false)).filter((program) => forTests.has(program))).to.deep.equal([]);
  });

  it('says which package to install', async () => {
    const cause = await needProgram('busybox').catch((error: unknown) => error);
    expect(cause).to.be.instanceOf(HostTrouble);
    expect(String(cause)).to.match(/busybox is not installed \(.+\): apt-get install busybox-static$/);
  });

  it('names every program once, each with its package and a reason', () => {
    expect(new Set(REQUIREMENTS.map(({ program }) => program)).size).to.equal(REQUIREMENTS.length);
    for (const { debianPackage, why } of REQUIREMENTS) {
      expect(debianPackage).to.match(/^[a-z0-9][a-z0-9.+-]+$/);
      expect(why).to.match(/^\S.*\S$/);
    }
  });
});
