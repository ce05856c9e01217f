import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { applyPatch, readPatches, touchedFiles } from './patches.ts';

const FILE = 'drivers/vfio/a.c';

/** A patch that turns one word of a file of three lines into another. */
const change = (from: string, to: string, file = FILE): string =>
  `diff --git a/${file} b/${file}\n--- a/${file}\n+++ b/${file}\n@@ -1,3 +1,3 @@\n first\n-${from}\n+${to}\n last\n`;

const mail = (subject: string, body: string): string =>
  `From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@example.org>\nDate: Mon, 1 Jan 2024 00:00:00 +0000\nSubject: ${subject}\n\nWords.\n---\n${body}--\n2.39\n\n`;

describe('kernels/patches', () => {
  let folder = '';
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-test-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const put = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const refusal = async (work: Promise<unknown>): Promise<string> => {
    const cause = await work.catch((error: unknown) => error);
    expect(cause).to.be.instanceOf(UsageTrouble);
    return String(cause);
  };

  describe('reading', () => {
    it('takes the patches of a folder by number, and nothing else in it', async () => {
      await put('10-c.patch', change('c', 'd'));
      await put('2-b.diff', change('b', 'c'));
      await put('1-a.patch', mail('[PATCH 1/3] a', change('a', 'b')));
      await put('0-cover.patch', mail('[PATCH 0/3] all', ''));
      await put('notes.txt', change('x', 'y'));
      expect((await readPatches(folder)).map(({ name }) => name)).to.deep.equal([
        '1-a.patch',
        '2-b.diff',
        '10-c.patch',
      ]);
    });

    it('takes the mails of a mailbox by the numbers of their subjects, without cover and replies', async () => {
      const reply = `> ${change('a', 'b').replaceAll('\n', '\n> ')}\n`;
      const box = await put(
        'v2.mbox',
        mail('[PATCH v2 2/2] second', change('b', 'c')) +
          mail('[PATCH v2 0/2] cover', '') +
          mail('Re: [PATCH v2 1/2] first', reply) +
          mail('[PATCH v2 1/2] first', change('a', 'b')),
      );
      const patches = await readPatches(box);
      expect(patches.map(({ name }) => name)).to.deep.equal(['v2.mbox: first', 'v2.mbox: second']);
      expect(patches[0]?.text).to.contain('+b');
    });

    const refused: Readonly<Record<string, readonly [text: string | undefined, says: RegExp]>> = {
      'a path that is not there': [undefined, /cannot read the patches .*ENOENT/],
      'a text without a patch': ['Hello.\n', /holds no patch: expected \*\.patch files or a mailbox/],
      'two versions in one mailbox': [
        mail('[PATCH v1 1/1] a', change('a', 'b')) + mail('[PATCH v2 1/1] a', change('a', 'c')),
        /two patches are number 1: expected one version of one series/,
      ],
    };
    for (const [what, [text, says]] of Object.entries(refused)) {
      it(`refuses ${what}`, async () => {
        const path = text === undefined ? join(folder, 'absent') : await put('given', text);
        expect(await refusal(readPatches(path))).to.match(says);
      });
    }
  });

  describe('applying', () => {
    const patch = (text: string) => ({ name: 'one.patch', text });
    beforeEach(async () => {
      await mkdir(join(folder, 'drivers/vfio'), { recursive: true });
      await put(FILE, 'first\na\nlast\n');
    });

    it('changes what it touches, and says what that is', async () => {
      expect(await touchedFiles(patch(change('a', 'b')))).to.deep.equal([FILE]);
      await applyPatch(folder, patch(change('a', 'b')), '6.1');
      expect(await readFile(join(folder, FILE), 'utf8')).to.equal('first\nb\nlast\n');
    });

    it('passes over documentation', async () => {
      const both = change('a', 'b') + change('x', 'y', 'Documentation/vfio.rst');
      await applyPatch(folder, patch(both), '6.1');
      expect(await readFile(join(folder, FILE), 'utf8')).to.equal('first\nb\nlast\n');
    });

    const refused: Readonly<Record<string, readonly [text: string, says: RegExp]>> = {
      'what does not fit': [
        change('z', 'b'),
        /one\.patch does not apply to Linux 6\.1: patch failed: drivers\/vfio\/a\.c:1/,
      ],
      'a link': [
        `diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n\\ No newline at end of file\n`,
        /makes a link or a submodule/,
      ],
      'a path out of the tree': [change('a', 'b', '../a.c'), /does not apply/],
    };
    for (const [what, [text, says]] of Object.entries(refused)) {
      it(`refuses ${what}, and changes nothing`, async () => {
        expect(await refusal(applyPatch(folder, patch(text), '6.1'))).to.match(says);
        expect(await readFile(join(folder, FILE), 'utf8')).to.equal('first\na\nlast\n');
      });
    }

    it('does not follow a link that is there already', async () => {
      await symlink(tmpdir(), join(folder, 'out'));
      const text =
        'diff --git a/out/x.c b/out/x.c\nnew file mode 100644\n--- /dev/null\n+++ b/out/x.c\n@@ -0,0 +1 @@\n+x\n';
      expect(await refusal(applyPatch(folder, patch(text), '6.1'))).to.match(/beyond a symbolic link/);
    });

    it('says which text is no patch', async () => {
      expect(await refusal(touchedFiles(patch('no patch\n')))).to.match(/one\.patch is not a patch/);
    });
  });
});
