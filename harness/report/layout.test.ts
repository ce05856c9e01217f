import { expect } from 'chai';
import { durationText, rerunCommand, shellWord, verbatim, wrap } from './layout.ts';

const SHELL: Readonly<Record<string, string>> = {
  plain: 'plain',
  'type1/map-overlap': 'type1/map-overlap',
  'type1/map-overlap: identical': "'type1/map-overlap: identical'",
  "it's; rm -rf /": `'it'\\''s; rm -rf /'`,
  '$(reboot)': "'$(reboot)'",
  '': "''",
};

describe('layout', () => {
  for (const [word, quoted] of Object.entries(SHELL)) {
    it(`gives a shell ${JSON.stringify(word)} as one word`, () => {
      expect(shellWord(word)).to.equal(quoted);
    });
  }

  it('writes the command for one case with what chose the host', () => {
    expect(rerunCommand('a/b: c d', ['--host', 'ssh:spr1'])).to.equal(
      "npx vfio-conform run --host ssh:spr1 --grep 'a/b: c d'",
    );
  });

  it('wraps prose at blanks only, below its indent', () => {
    expect(wrap('one two three-that-is-long four', '    ', 12, 'x ')).to.equal(
      'x one two\n    three-that-is-long\n    four',
    );
  });

  it('folds verbatim lines at the width and marks where', () => {
    expect(verbatim('0123456789abcdef\n\nshort\n\n', '  ', 10)).to.equal('  0123456\\\n  789abcd\\\n  ef\n\n  short');
  });

  it('folds between characters, not within one', () => {
    expect(verbatim('🙂🙂🙂🙂🙂', '', 6)).to.equal('🙂🙂\\\n🙂🙂🙂');
  });

  it('tells durations', () => {
    expect([1234, 59_949, 185_000].map(durationText)).to.deep.equal(['1.2 s', '59.9 s', '3 min 05 s']);
  });
});
