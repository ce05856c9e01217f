import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { lint } from './index.ts';
import { BASE, findingsIn } from './testing.ts';

/** A patch of one hunk to a header. */
const patch = (lines: readonly string[], path = 'include/uapi/linux/vfio.h'): string => {
  const [before, after] = ['+', '-'].map((sign) => lines.filter((line) => !line.startsWith(sign)).length);
  return [`--- a/${path}`, `+++ b/${path}`, `@@ -1,${before} +1,${after} @@`, ...lines, ''].join('\n');
};

describe('lint: patches', () => {
  const cases: readonly [what: string, lines: readonly string[], findings: readonly string[]][] = [
    [
      'judge what is added',
      ['+struct s {', '+ __u8 a;', '+ __u32 b;', '+};'],
      ['6: struct s: padding before b: 3 bytes on every architecture'],
    ],
    ['pass over what is there', [' struct s {', '  __u8 a;', '  __u32 b;', ' };', '+#define X 1'], []],
    [
      'judge a struct that gets a field',
      [' struct s {', '+ __u8 a;', '  __u32 b;', ' };'],
      ['6: struct s: padding before b: 3 bytes on every architecture'],
    ],
    [
      'judge a struct that loses a field',
      [' struct s {', '  __u8 a;', '- __u8 pad[3];', '  __u32 b;', ' };'],
      ['7: struct s: padding before b: 3 bytes on every architecture'],
    ],
    [
      'know what is there',
      [' struct i {', '  __u64 a;', ' };', '+struct s {', '+ __u32 a;', '+ __u32 b;', '+ struct i i;', '+};'],
      [],
    ],
    [
      'know a comment that begins before them',
      [' * int a; struct s { __u8 a; __u32 b; };', '+ * long b;', ' */', ' #define X 1'],
      [],
    ],
  ];
  for (const [what, lines, findings] of cases) {
    it(what, () => {
      const { findings: found, unread } = lint(patch(lines), 'a.patch', BASE);
      expect(found.map(({ line, text }) => `${line}: ${text}`)).to.deep.equal(findings);
      expect(unread).to.deep.equal([]);
    });
  }

  it('pass over other files', () => {
    expect(findingsIn(patch(['+struct s { __u8 a; __u32 b; };'], 'include/linux/vfio.h'), 'a.patch')).to.deep.equal([]);
  });

  it('say when they show a part of a struct only', () => {
    const parts = [
      ['  __u32 a;', '+ __u32 b;', ' };'],
      [' struct s {', '  __u32 a;', '+ __u32 b;'],
    ];
    for (const lines of parts) {
      const { unread } = lint(patch(lines), 'a.patch', BASE);
      expect(unread.map(({ text }) => text).join()).to.match(/^.*show.*git diff -W, or lint the whole header.*$/);
    }
  });

  const wrong: readonly [what: string, name: string, text: string, says: string][] = [
    ['a file that should be a patch', 'a.patch', 'hello\n', 'a.patch holds no patch'],
    [
      'a hunk that ends early',
      'a.diff',
      '--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a',
      'a.diff:5: the hunk of line 3 ends early',
    ],
    ['no hunk', 'a.diff', '--- a/x\n+++ b/x\n', 'a.diff holds no hunk'],
    [
      'an encoded mail',
      'a.mbox',
      'Content-Transfer-Encoding: base64\n--- a/x\n+++ b/x\n',
      'a.mbox:1: the mail is encoded',
    ],
    ['bytes', 'a.h', 'a\0b', 'a.h is no text'],
    ['a line without an end', 'a.h', 'a'.repeat(30_000), 'a.h is too large'],
  ];
  for (const [what, name, text, says] of wrong) {
    it(`refuse ${what}`, () => expect(() => lint(text, name, BASE)).to.throw(UsageTrouble, says));
  }
});
