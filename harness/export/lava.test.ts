import { expect } from 'chai';
import type { RunRecord } from '../report/record.ts';
import { aRun } from '../report/testing.ts';
import { ENDINGS, everything, inFormat, NASTY, nastyRun, UNSAFE } from './testing.ts';

/** What LAVA sees: its pattern of a signal, and its markers of other things, which must not be there. */
const SIGNAL = /<LAVA_SIGNAL_(\S+) ([^>]+)>/g;
const signals = (text: string): readonly (readonly [string, string])[] =>
  [...text.matchAll(SIGNAL)].map(([, name = '', words = '']) => [name, words]);

const lava = (run: RunRecord): string => inFormat('lava', run);

const CASES = {
  conforms: ['TEST_CASE_ID=map-overlap.conforms RESULT=pass MEASUREMENT=1.500 UNITS=ms', false],
  known: ['TEST_CASE_ID=map-overlap.known RESULT=pass MEASUREMENT=1.500 UNITS=ms', true],
  'damage that is known': [
    'TEST_CASE_ID=map-overlap.damage-that-is-known RESULT=pass MEASUREMENT=1.500 UNITS=ms',
    true,
  ],
  differs: ['TEST_CASE_ID=map-overlap.differs RESULT=fail MEASUREMENT=1.500 UNITS=ms', true],
  damaged: ['TEST_CASE_ID=map-overlap.damaged RESULT=fail MEASUREMENT=1.500 UNITS=ms', true],
  unsupported: ['TEST_CASE_ID=map-overlap.unsupported RESULT=skip MEASUREMENT=1.500 UNITS=ms', true],
  'host lost': ['TEST_CASE_ID=map-overlap.host-lost RESULT=unknown MEASUREMENT=1.500 UNITS=ms', true],
  'our fault': ['TEST_CASE_ID=map-overlap.our-fault RESULT=unknown MEASUREMENT=1.500 UNITS=ms', true],
} as const satisfies Record<keyof typeof ENDINGS, readonly [string, boolean]>;

describe('LAVA signals', () => {
  for (const [name, [words, isTold]] of Object.entries(CASES)) {
    it(`tell of a case that ended so: ${name}`, () => {
      const found = signals(lava(aRun([ENDINGS[name as keyof typeof CASES]])));
      const id = /ID=(\S+)/.exec(words)?.[1] ?? '';
      expect(found).to.deep.equal([
        ['TESTSET', 'START type1'],
        ...(isTold
          ? [
              ['STARTTC', id],
              ['ENDTC', id],
            ]
          : []),
        ['TESTCASE', words],
        ['TESTSET', 'STOP'],
        ['TESTSET', 'START harness'],
        ['TESTCASE', 'TEST_CASE_ID=run.reached-its-end RESULT=pass'],
        ['TESTSET', 'STOP'],
      ]);
    });
  }

  it('tell of what did not run or show, and of the interruption', () => {
    const found = signals(lava(everything)).filter(([name]) => name === 'TESTCASE' || name === 'TESTSET');
    expect(found.slice(-9)).to.deep.equal([
      ['TESTSET', 'START group'],
      ['TESTCASE', 'TEST_CASE_ID=status.later RESULT=skip'],
      ['TESTSET', 'STOP'],
      ['TESTSET', 'START known-differences'],
      ['TESTCASE', 'TEST_CASE_ID=quirk-that-is-gone RESULT=unknown'],
      ['TESTSET', 'STOP'],
      ['TESTSET', 'START harness'],
      ['TESTCASE', 'TEST_CASE_ID=run.reached-its-end RESULT=fail'],
      ['TESTSET', 'STOP'],
    ]);
  });

  it('stand round what differed and how to run it', () => {
    const lines = lava(aRun([ENDINGS.differs])).split('\n');
    const told = lines.slice(
      lines.indexOf('<LAVA_SIGNAL_STARTTC map-overlap.differs>') + 1,
      lines.indexOf('<LAVA_SIGNAL_ENDTC map-overlap.differs>'),
    );
    expect(told).to.include('  expected  EEXIST');
    expect(told.at(-1)).to.equal("npx vfio-conform run --grep 'type1/map-overlap: differs'");
  });

  for (const [name, text] of Object.entries(NASTY)) {
    it(`are only ours beside ${name}`, () => {
      const written = lava(nastyRun(text));
      expect(written).not.to.match(UNSAFE);
      const found = signals(written);
      expect(
        found.filter(([kind]) => kind === 'TESTCASE').map(([, words]) => /RESULT=(\w+)/.exec(words)?.[1]),
      ).to.deep.equal(['fail', 'skip', 'skip', 'unknown', 'fail']);
      for (const [kind, words] of found) {
        if (kind === 'TESTCASE')
          expect(words).to.match(/^TEST_CASE_ID=[\w.-]{1,200} RESULT=\w+( MEASUREMENT=[\d.]+ UNITS=ms)?$/);
        else expect(words).to.match(/^((START|STOP)( [\w-]+)?|[\w.-]{1,200})$/);
      }
      expect(written.split('<LAVA_').length - 1).to.equal(found.length);
    });
  }
});
