import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { readOwnKernel, releaseOf, revisionOfRelease } from './own.ts';

/** The header of a bzImage that tells a release. */
const bzImage = (told: string): Buffer => {
  const file = Buffer.alloc(4096);
  file.write('HdrS', 0x202, 'latin1');
  file.writeUInt16LE(0x300, 0x20e);
  file.write(told, 0x500, 'latin1');
  return file;
};

describe('kernels/own', () => {
  const images: Record<string, [image: Buffer, release: string | undefined]> = {
    'a bzImage': [bzImage('7.2.13-mine (me@here) #1 SMP'), '7.2.13-mine'],
    'a release without more': [bzImage('6.12.0\0'), '6.12.0'],
    'a bzImage that tells nothing': [bzImage(''), undefined],
    'what only looks like one': [bzImage('../../etc (x)'), undefined],
    'an ELF file that is no kernel': [Buffer.from('7f454c460201', 'hex'), undefined],
    'something else': [Buffer.alloc(9000), undefined],
    nothing: [Buffer.alloc(0), undefined],
  };
  for (const [title, [image, release]] of Object.entries(images)) {
    it(`reads the release of ${title}`, () => expect(releaseOf(image)).to.equal(release));
  }

  const revisions: Record<string, string> = {
    '5.15.1': 'linux-6.1',
    '6.1.192': 'linux-6.1',
    '6.6.1-x': 'linux-6.1',
    '6.12.9': 'linux-6.12',
    '6.18.0': 'linux-6.12',
    '7.1.0': 'linux-6.12',
    '7.2.13-mine': 'linux-7.2',
    '8.0.0': 'linux-7.2',
  };
  for (const [release, revision] of Object.entries(revisions)) {
    it(`holds ${release} against ${revision}`, () => expect(revisionOfRelease(release)).to.equal(revision));
  }

  describe('files', () => {
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'vfio-conform-own-'));
      await writeFile(join(folder, 'bzImage'), bzImage('7.2.13-mine (x)'));
      await writeFile(join(folder, 'text'), 'no kernel');
      await mkdir(join(folder, '7.2.13-other'));
    });
    afterEach(() => rm(folder, { recursive: true, force: true }));

    it('takes an image whose modules are built in', async () => {
      const { release, modules } = await readOwnKernel({ image: join(folder, 'bzImage') });
      expect([release, modules]).to.deep.equal(['7.2.13-mine', []]);
    });

    const refused: Record<string, [image: string, modules: string | undefined, message: RegExp]> = {
      'a file that is not there': ['nothing', undefined, /is no kernel image/],
      'a folder': ['7.2.13-other', undefined, /is no kernel image/],
      'a text': ['text', undefined, /is no kernel image/],
      'modules of another kernel': ['bzImage', '7.2.13-other', /expected the folder lib\/modules\/7\.2\.13-mine/],
    };
    for (const [title, [image, modules, message]] of Object.entries(refused)) {
      it(`refuses ${title} with one line`, async () => {
        const own = {
          image: join(folder, image),
          ...(modules === undefined ? {} : { modules: join(folder, modules) }),
        };
        const cause: unknown = await readOwnKernel(own).catch((thrown: unknown) => thrown);
        expect(cause).to.be.instanceOf(UsageTrouble);
        expect((cause as UsageTrouble).message)
          .to.match(message)
          .and.not.match(/\n/);
      });
    }
  });
});
