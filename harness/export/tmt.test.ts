import { expect } from 'chai';
import { parse } from 'yaml';
import { z } from 'zod';
import type { RunRecord } from '../report/record.ts';
import { aRun } from '../report/testing.ts';
import { ENDINGS, everything, inFormat, NASTY, nastyRun, UNSAFE } from './testing.ts';

/** What tmt's own schema of results.yaml lets stand there, of the fields that we write. */
const Results = z.array(
  z.strictObject({
    name: z.string().regex(/^\//),
    result: z.enum(['pass', 'fail', 'info', 'warn', 'error', 'skip', 'pending']),
    note: z.array(z.string()).optional(),
    log: z.array(z.string().regex(/^(?!\/)(?!.*\.\.\/.*\.\.\/)/)).optional(),
    duration: z
      .string()
      .regex(/^[0-9]{2,}:[0-5][0-9]:[0-5][0-9]$/)
      .optional(),
  }),
);

const tmt = (run: RunRecord, folder = '') => Results.parse(parse(inFormat('tmt', run, { folder })));

const OUTCOMES = {
  conforms: 'pass',
  known: 'pass',
  'damage that is known': 'pass',
  differs: 'fail',
  damaged: 'fail',
  unsupported: 'skip',
  'host lost': 'error',
  'our fault': 'error',
} as const satisfies Record<keyof typeof ENDINGS, string>;

describe('results.yaml of tmt', () => {
  for (const [name, outcome] of Object.entries(OUTCOMES)) {
    it(`tells of a case that ended so, and of its run: ${name}`, () => {
      const [overall, one] = tmt(aRun([ENDINGS[name as keyof typeof OUTCOMES]]));
      expect([overall?.name, overall?.result]).to.deep.equal(['/', outcome]);
      expect([one?.name, one?.result]).to.deep.equal([`/type1/map-overlap/${name.replaceAll(' ', '-')}`, outcome]);
    });
  }

  it('tells of a run in full', () => {
    const results = tmt(everything);
    expect(results[0]).to.deep.include({
      result: 'fail',
      note: [
        'linux-6.1 held against Linux 6.1.0-28-amd64 on vm: the kernel differs from the model, or was damaged',
        'conforms 1, known 2, diverges 1, damaged 1, unsupported 1, host-lost 1, harness-error 1, notRun 1, disappeared 1',
      ],
      duration: '00:00:42',
    });
    expect(results[4]).to.deep.equal({
      name: '/type1/map-overlap/differs',
      result: 'fail',
      note: [
        'type1/map-overlap: differs',
        'diverges: main ioctl container 0x3b71 [20000000,03000000]: expected EEXIST, observed 0',
      ],
      log: ['verdict.json', 'program.txt', 'observed.txt'].map((file) => `cases/type1/map-overlap/differs/${file}`),
      duration: '00:00:00',
    });
    expect(results.slice(9).map(({ name, result }) => [name, result])).to.deep.equal([
      ['/group/status/later', 'skip'],
      ['/harness/run/reached-its-end', 'error'],
      ['/known-differences/1', 'info'],
    ]);
  });

  it('does not let a run pass that was cut short', () => {
    const [overall] = tmt(aRun([ENDINGS.conforms], { interrupted: { why: 'signal', reason: 'Ctrl-C' } }));
    expect(overall?.result).to.equal('error');
  });

  it('names the files as they are seen from where it stands', () => {
    const [overall, one] = tmt(aRun([ENDINGS.conforms]), 'data/report');
    expect(overall?.log?.[0]).to.equal('data/report/report.txt');
    expect(one?.log?.[0]).to.equal('data/report/cases/type1/map-overlap/conforms/verdict.json');
  });

  it('counts hours beyond a day', () => {
    expect(tmt(aRun([], { durationMs: 100 * 3_600_000 + 61_499 }))[0]?.duration).to.equal('100:01:01');
  });

  for (const [name, text] of Object.entries(NASTY)) {
    it(`is whole beside ${name}`, () => {
      expect(inFormat('tmt', nastyRun(text))).not.to.match(UNSAFE);
      const results = tmt(nastyRun(text));
      expect(results.map(({ result }) => result)).to.deep.equal(['fail', 'fail', 'skip', 'skip', 'error', 'info']);
      expect(new Set(results.map((one) => one.name)).size).to.equal(results.length);
      for (const path of results.flatMap(({ log = [] }) => log))
        expect(path).to.match(/^[\w.-]+(\/[\w-]+)*(\/[\w.-]+)?$/);
    });
  }
});
