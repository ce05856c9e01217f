import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { z } from 'zod';
import type { RunRecord } from '../report/record.ts';
import { aDifference, aRun, KNOWN } from '../report/testing.ts';
import { UsageTrouble } from '../trouble.ts';
import type { KcidbOptions } from './kcidb.ts';
import { ENDINGS, everything, inFormat, NASTY, nastyRun, UNSAFE } from './testing.ts';

/**
 * The form of version 5.3, of the parts that we write, in our own words: the schema itself is under another licence.
 * What is not listed must not be there, and nothing is null.
 */
const id = z.string().regex(/^[a-z0-9_]+:[^\0]+$/);
const origin = z.string().regex(/^[a-z0-9_]+$/);
const line = z.string().regex(/^[^\0]*$/);
const path = z.string().regex(/^([a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*)?$/);
const time = z.iso.datetime();
const status = z.enum(['FAIL', 'ERROR', 'MISS', 'PASS', 'DONE', 'SKIP']);
const misc = z.record(z.string(), z.unknown());
const files = z.array(z.strictObject({ name: z.string().regex(/^[^/\0]+$/), url: z.url() }));
const excerpt = line.max(16_384);

const Submission = z.strictObject({
  version: z.strictObject({ major: z.literal(5), minor: z.literal(3) }),
  checkouts: z
    .array(
      z.strictObject({
        id,
        origin,
        tree_name: line.optional(),
        git_repository_url: z.url().optional(),
        git_commit_hash: z
          .string()
          .regex(/^[0-9a-f]{40}$/)
          .optional(),
        patchset_hash: z.string().regex(/^$|^[0-9a-f]{64}$/),
        patchset_files: files.optional(),
        message_id: z.email().optional(),
        comment: line,
        valid: z.boolean(),
      }),
    )
    .length(1),
  builds: z
    .array(
      z.strictObject({
        id,
        origin,
        checkout_id: id,
        architecture: z.string().regex(/^[a-z0-9_]*$/),
        comment: line,
        status,
      }),
    )
    .length(1),
  tests: z.array(
    z.strictObject({
      id,
      origin,
      build_id: id,
      environment: z.strictObject({ comment: line, misc }),
      path,
      status,
      comment: line,
      start_time: time.optional(),
      duration: z.number().min(0).optional(),
      log_excerpt: excerpt.optional(),
      log_url: z.url().optional(),
      output_files: files.optional(),
      misc,
    }),
  ),
  issues: z
    .array(
      z.strictObject({
        id,
        version: z.int().min(0),
        origin,
        comment: line,
        culprit: z.strictObject({ code: z.boolean(), tool: z.boolean(), harness: z.boolean() }),
        misc,
      }),
    )
    .min(1)
    .optional(),
  incidents: z
    .array(
      z.strictObject({
        id,
        origin,
        issue_id: id,
        issue_version: z.int(),
        test_id: id,
        build_id: id.optional(),
        present: z.boolean(),
      }),
    )
    .min(1)
    .optional(),
});

const kcidb = (run: RunRecord, options: Partial<KcidbOptions> = {}) => {
  const text = inFormat('kcidb', run, { kcidb: { origin: 'a_lab', ...options } });
  const told = Submission.parse(JSON.parse(text));
  const ids = [...told.tests, ...(told.incidents ?? [])].map((one) => one.id);
  expect(new Set(ids).size, 'every id once').to.equal(ids.length);
  expect(told.builds[0]?.checkout_id).to.equal(told.checkouts[0]?.id);
  for (const test of told.tests) expect(test.build_id).to.equal(told.builds[0]?.id);
  for (const incident of told.incidents ?? []) {
    expect(told.issues?.map((one) => one.id)).to.include(incident.issue_id);
    expect(told.tests.map((one) => one.id)).to.include(incident.test_id);
  }
  return told;
};

const STATUS = {
  conforms: 'PASS',
  known: 'FAIL',
  'damage that is known': 'FAIL',
  differs: 'FAIL',
  damaged: 'FAIL',
  unsupported: 'SKIP',
  'host lost': 'MISS',
  'our fault': 'MISS',
} as const satisfies Record<keyof typeof ENDINGS, string>;

/** Of the run as a whole: what is known does not count against it. */
const WHOLE = { ...STATUS, known: 'PASS', 'damage that is known': 'PASS' } as const;

describe('JSON of KCIDB', () => {
  for (const name of Object.keys(STATUS) as (keyof typeof STATUS)[]) {
    it(`tells of a case that ended so, and of its run: ${name}`, () => {
      const [whole, one] = kcidb(aRun([ENDINGS[name]])).tests;
      expect([whole?.path, whole?.status]).to.deep.equal(['vfio-conform', WHOLE[name]]);
      expect([one?.path, one?.status]).to.deep.equal([
        `vfio-conform.type1.map-overlap.${name.replaceAll(' ', '-')}`,
        STATUS[name],
      ]);
    });
  }

  it('misses what did not run, and a run that was cut short', () => {
    const { tests } = kcidb(everything);
    expect(tests.map(({ status }) => status).join(' ')).to.equal('FAIL PASS FAIL FAIL FAIL FAIL SKIP MISS MISS MISS');
    const [whole] = kcidb(aRun([ENDINGS.conforms], { interrupted: { why: 'signal', reason: 'Ctrl-C' } })).tests;
    expect([whole?.status, whole?.log_excerpt]).to.deep.equal(['MISS', 'interrupted: Ctrl-C']);
  });

  it('tells known differences as issues: present where they showed, absent where they did not', () => {
    const { issues = [], incidents = [], tests } = kcidb(everything);
    expect(issues.map((one) => [one.id, one.comment])).to.deep.equal([
      ['a_lab:linux-6.1/map-overlap-quirk', KNOWN.reason],
      ['a_lab:linux-6.1/quirk-that-is-gone', 'a known difference that was expected in this run and did not show'],
    ]);
    expect(incidents.map((one) => [one.present, one.test_id])).to.deep.equal([
      [true, tests[2]?.id],
      [true, tests[3]?.id],
      [false, tests[0]?.id],
    ]);
  });

  it('tells several differences that one case shows one by one', () => {
    const both = aDifference('both', { known: { id: 'one, two', reason: 'One. Two.' } });
    expect(kcidb(aRun([both])).issues?.map((one) => one.id)).to.deep.equal([
      'a_lab:linux-6.1/one',
      'a_lab:linux-6.1/two',
    ]);
  });

  it('has neither issues nor incidents where nothing is known', () => {
    expect(kcidb(aRun([ENDINGS.differs]))).not.to.have.any.keys('issues', 'incidents');
  });

  it('tells what differed, and where its files are', () => {
    const [, one] = kcidb(aRun([ENDINGS.differs]), { url: 'https://lab.example/runs/7/' }).tests;
    expect(one?.log_excerpt).to.include('expected  EEXIST');
    expect(one?.log_url).to.equal('https://lab.example/runs/7/cases/type1/map-overlap/differs/verdict.json');
    expect(one?.duration).to.equal(0.0015);
  });

  it('tells a series as the checkout', () => {
    const sums = ['a', 'b'].map((text) => createHash('sha256').update(text).digest('hex'));
    const patches = sums.map((sha256, index) => ({ name: `000${index + 1}-a b.patch`, sha256 }));
    const facts = {
      patches,
      patchesUrl: 'https://lab.example/v3',
      messageId: '2026-v3@example.org',
      commit: 'c'.repeat(40),
      repository: 'https://git.example/linux.git',
      tree: 'vfio',
    };
    const [checkout] = kcidb(everything, facts).checkouts;
    expect(checkout).to.deep.include({
      // sha256sum of `sha256sum *.patch | cut -c-64`
      patchset_hash: createHash('sha256').update(`${sums[0]}\n${sums[1]}\n`).digest('hex'),
      message_id: '2026-v3@example.org',
      git_commit_hash: 'c'.repeat(40),
      git_repository_url: 'https://git.example/linux.git',
      tree_name: 'vfio',
    });
    expect(checkout?.patchset_files?.map(({ url }) => url)).to.deep.equal([
      'https://lab.example/v3/0001-a%20b.patch',
      'https://lab.example/v3/0002-a%20b.patch',
    ]);
    expect(checkout?.id).not.to.equal(kcidb(everything).checkouts[0]?.id);
    expect(kcidb(everything).checkouts[0]?.patchset_hash).to.equal('');
  });

  it('gives two runs of one kernel the same build and tests of their own', () => {
    const [one, other] = [everything, { ...everything, startedAt: '2026-01-03T00:00:00.000Z' }].map((run) =>
      kcidb(run),
    );
    expect(one?.builds).to.deep.equal(other?.builds);
    expect(one?.tests[0]?.id).not.to.equal(other?.tests[0]?.id);
  });

  it('refuses a run without a kernel', () => {
    expect(() => kcidb(aRun([], { kernel: 'none' }))).to.throw(UsageTrouble, 'without a kernel');
  });

  for (const [name, text] of Object.entries(NASTY)) {
    it(`is whole beside ${name}`, () => {
      const run = { ...nastyRun(text), startedAt: text };
      expect(inFormat('kcidb', run)).not.to.match(UNSAFE);
      expect(kcidb(run).tests.map(({ status }) => status)).to.deep.equal(['FAIL', 'FAIL', 'SKIP', 'MISS']);
    });
  }
});
