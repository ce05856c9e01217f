import { expect } from 'chai';
import { pointOf } from './points.ts';
import { createProgress, type Terminal } from './progress.ts';
import type { CaseRecord } from './record.ts';
import { aDifference, aRecord, KNOWN } from './testing.ts';

/** The command that clears the rest of a line, and what stands for it here. */
const CLEAR = '\u001b[K';
const CLEARED = '¶';

/** A terminal that remembers, and what a person would see on it. */
const screen = (columns?: number): Terminal & { readonly written: string[]; seen(): readonly string[] } => {
  const written: string[] = [];
  return {
    ...(columns === undefined ? {} : { isTTY: true, columns }),
    written,
    write: (text) => written.push(text),
    seen: () => {
      const lines = [''];
      for (const [part] of written
        .join('')
        .replaceAll(CLEAR, CLEARED)
        .matchAll(/[\r\n¶]|[^\r\n¶]+/g)) {
        const last = lines.length - 1;
        if (part === '\n') lines.push('');
        else if (part === '\r') lines[last] = `\r${lines[last]}`;
        else if (part === CLEARED) lines[last] = lines[last]?.startsWith('\r') ? '' : (lines[last] ?? '');
        else lines[last] = part;
      }
      return lines;
    },
  };
};

const cases: readonly CaseRecord[] = [
  aRecord('fine'),
  aDifference('old', { known: KNOWN }),
  aDifference('identical', { reason: 'expected EEXIST, observed 0' }),
  aRecord('set', { id: 'group/status: set', clause: 'group/status', area: 'group' }),
  aRecord('lost', { id: 'group/status: lost', clause: 'group/status', verdict: 'host-lost', reason: 'gone' }),
];

/** Shows all cases, `ms` apart. */
const show = (terminal: Terminal, ms: number, close = true): void => {
  let time = 0;
  const progress = createProgress(terminal, () => time);
  progress.planned(cases.length);
  for (const record of cases) {
    progress.began(record);
    time += ms;
    progress.ended(pointOf(record));
  }
  if (close) progress.close();
};

describe('progress', () => {
  it('is plain lines where there is no terminal: one for each clause, and one for each case that is news', () => {
    const pipe = screen();
    show(pipe, 1000);
    expect(pipe.written.join('')).to.equal(`\
5 cases to run
diverges      type1/map-overlap: identical: expected EEXIST, observed 0
type1/map-overlap                        3 cases: 1 conform, 1 known, 1 diverge
host-lost     group/status: lost: gone
group/status                             2 cases: 1 conform, 1 host lost
`);
  });

  it('is one line that is rewritten on a terminal, above which news stay', () => {
    const terminal = screen(100);
    show(terminal, 1000, false);
    expect(terminal.seen()).to.deep.equal([
      'diverges      type1/map-overlap: identical: expected EEXIST, observed 0',
      'host-lost     group/status: lost: gone',
      '[5/5]  00:05  2 new  1 known  group/status: lost',
    ]);
  });

  it('leaves nothing behind but the news', () => {
    const terminal = screen(100);
    show(terminal, 1000);
    expect(terminal.seen().at(-1)).to.equal('');
  });

  for (const [name, terminal] of Object.entries({ 'a pipe': screen(), 'a terminal': screen(100) })) {
    it(`shows nothing on ${name} of a case that ends after all is told`, () => {
      const progress = createProgress(terminal, () => 0);
      progress.close();
      const before = [...terminal.written];
      progress.began(aRecord('late'));
      progress.ended(pointOf(aDifference('late')));
      expect(terminal.written).to.deep.equal(before);
    });
  }

  for (const columns of [10, 40, 78, 200]) {
    it(`never wraps a terminal of ${columns} columns`, () => {
      const terminal = screen(columns);
      show(terminal, 1000);
      const widest = Math.max(
        ...terminal.written
          .join('')
          .replaceAll(CLEAR, CLEARED)
          .split(/[\r\n¶]/)
          .map((line) => line.length),
      );
      expect(widest).to.be.at.most(columns - 1);
    });
  }

  it('does not flicker: nothing is cleared before it is written, and a fast run draws rarely', () => {
    const terminal = screen(100);
    let time = 0;
    const progress = createProgress(terminal, () => time);
    progress.planned(1000);
    for (let index = 0; index < 1000; index++) {
      progress.began(aRecord(`case ${index}`));
      time += 1;
      progress.ended(pointOf(aRecord(`case ${index}`)));
    }
    expect(terminal.written.length).to.be.within(9, 12);
    for (const text of terminal.written) expect(text.replaceAll(CLEAR, CLEARED)).to.match(/^\r[^\r¶]+¶$/);
    progress.close();
  });

  it('sends a terminal nothing that a host made up', () => {
    const terminal = screen(100);
    const progress = createProgress(terminal, () => 0);
    progress.planned(1);
    // What a report keeps is clean already; this is what is left of it.
    progress.ended(pointOf(aDifference('x', { reason: 'title\\x1b]0;owned\\x07' })));
    progress.close();
    expect(terminal.written.join('').replaceAll(CLEAR, '')).not.to.include('\u001b');
  });
});
