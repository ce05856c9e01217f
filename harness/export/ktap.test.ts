import { expect } from 'chai';
import type { RunRecord } from '../report/record.ts';
import { aRun } from '../report/testing.ts';
import { ENDINGS, everything, inFormat, NASTY, nastyRun, UNSAFE } from './testing.ts';

const ktap = (run: RunRecord): string => inFormat('ktap', run);

/** The result lines, as a reader takes them that knows nothing but the format: it strips any number of `# ` first. */
const RESULT = /^(?:# ?)*((?:not )?ok) (\d+) ([^#]*[^# ])(?: # (.*))?$/;
const results = (text: string) =>
  text.split('\n').flatMap((line) => {
    const [, verdict, number, name, told] = RESULT.exec(line) ?? [];
    return verdict === undefined ? [] : [{ verdict, number: Number(number), name, told }];
  });

const LINES = {
  conforms: 'ok 1 type1/map-overlap: conforms',
  known:
    'ok 1 type1/map-overlap: known # XFAIL known difference map-overlap-quirk: The kernel lets this pass, and always has.',
  'damage that is known':
    'ok 1 type1/map-overlap: damage that is known # XFAIL known difference map-overlap-quirk: The kernel lets this pass, and always has.',
  differs:
    'not ok 1 type1/map-overlap: differs # diverges: main ioctl container 0x3b71 [20000000,03000000]: expected EEXIST, observed 0',
  damaged: 'not ok 1 type1/map-overlap: damaged # damaged: the kernel log shows damage: WARNING: CPU: 0',
  unsupported: 'ok 1 type1/map-overlap: unsupported # SKIP the host has no huge pages',
  'host lost': 'not ok 1 type1/map-overlap: host lost # ERROR the connection broke',
  'our fault': 'not ok 1 type1/map-overlap: our fault # ERROR the model disagrees with the case',
} as const satisfies Record<keyof typeof ENDINGS, string>;

describe('KTAP', () => {
  for (const name of Object.keys(LINES) as (keyof typeof LINES)[]) {
    it(`tells of a case that ended so: ${name}`, () => {
      const lines = ktap(aRun([ENDINGS[name]])).split('\n');
      expect(lines.slice(0, 2)).to.deep.equal(['KTAP version 1', '1..1']);
      expect(lines).to.include(LINES[name]);
    });
  }

  it('tells of a whole run: cases, what did not run or show, the interruption, and the totals of all', () => {
    const text = ktap(everything);
    const found = results(text);
    expect(found.map(({ number }) => number)).to.deep.equal(found.map((_, index) => index + 1));
    expect(text).to.include(`\n1..${found.length}\n`);
    expect(found.slice(8)).to.deep.equal([
      { verdict: 'ok', number: 9, name: 'group/status: later', told: 'SKIP not run: interrupted by SIGINT' },
      {
        verdict: 'not ok',
        number: 10,
        name: 'harness/run: reached its end',
        told: 'ERROR interrupted: interrupted by SIGINT (8 of 9 cases ran in 42.0 s)',
      },
      {
        verdict: 'ok',
        number: 11,
        name: 'known difference quirk-that-is-gone',
        told: 'XPASS it was expected in this run and did not show',
      },
    ]);
    expect(text).to.match(/\n# Totals: pass:1 fail:2 xfail:2 xpass:1 skip:2 error:3\n$/);
  });

  it('calls the time limit a timeout', () => {
    const run = aRun([], { interrupted: { why: 'time-limit', reason: 'the time limit passed' } });
    expect(ktap(run)).to.match(/^not ok 1 harness\/run: reached its end # TIMEOUT interrupted: the time limit passed/m);
  });

  it('shows before a result what differed and how to run it', () => {
    const lines = ktap(aRun([ENDINGS.differs])).split('\n');
    const told = lines.slice(0, lines.indexOf(LINES.differs));
    expect(told).to.include('# |   expected  EEXIST');
    expect(told).to.include("# |   npx vfio-conform run --grep 'type1/map-overlap: differs'");
  });

  it('says so when nothing was selected', () => {
    expect(ktap(aRun([]))).to.match(/^KTAP version 1\n1\.\.0 # SKIP no case was selected\n/);
  });

  for (const [name, text] of Object.entries(NASTY)) {
    it(`keeps a reader from being misled by ${name}`, () => {
      const written = ktap(nastyRun(text));
      expect(written).not.to.match(UNSAFE);
      expect(results(written).map(({ verdict }) => verdict)).to.deep.equal(['not ok', 'ok', 'ok', 'not ok', 'ok']);
      for (const line of written.split('\n')) {
        expect(line).to.match(/^(KTAP version 1|1\.\.5|# .*|(not )?ok \d .*|)$/);
        expect(line.length).to.be.below(10_000);
        if (!line.startsWith('#')) expect(line.split('#').length, line).to.be.at.most(2);
      }
    });
  }
});
