import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { convertTap, disagreement, writeJunit } from './junit.ts';
import { junitXml } from './junit-xml.ts';
import { keptRecord } from './kept.ts';
import type { CaseRecord, RunRecord } from './record.ts';
import { tapOf } from './tap.ts';
import { aDifference, aRecord, aRun, BROKEN, inFolder, KNOWN, parseJunit, readJunit } from './testing.ts';

const SCHEMA = new URL('../../fixtures/junit/junit.xsd', import.meta.url).pathname;

/** Both stages on one run: run.tap through tap-junit to junit.xml. Returns the XML. */
const throughTapJunit = (run: RunRecord): Promise<string> =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'run.tap'), tapOf(run));
    await writeJunit(folder, run);
    return readFileSync(join(folder, 'junit.xml'), 'utf8');
  });

/** A run with one case of each kind. */
const everything = aRun(
  [
    aRecord('conforms'),
    aDifference('known', { known: KNOWN }),
    aDifference('anew'),
    aRecord('damaged', {
      verdict: 'damaged',
      reason: 'WARNING: CPU: 0',
      kernelLog: ['WARNING: CPU: 0', 'Call Trace:'],
    }),
    aRecord('unsupported', { verdict: 'unsupported', reason: 'the host has no huge pages' }),
    aRecord('lost', { verdict: 'host-lost', reason: 'the connection broke' }),
    aRecord('ours', { verdict: 'harness-error', reason: 'the model disagrees with the case' }),
    aRecord('elsewhere', { id: 'group/status: elsewhere', clause: 'group/status', area: 'group' }),
  ],
  {
    notRun: [{ id: 'group/status: later', clause: 'group/status', area: 'group', title: 'later', reason: 'Ctrl-C' }],
    interrupted: { why: 'signal', reason: 'Ctrl-C' },
    disappeared: ['quirk-that-is-gone'],
    arguments: ['--host', 'ssh:spr1'],
  },
);

/** Texts that broke readers; each stands in every place that takes text from outside. */
const NASTY: Readonly<Record<string, string>> = {
  'terminal colours': '\u001b[1;31mred\u001b[0m',
  'terminal commands': '\u001b[2J\u001b]0;owned\u0007',
  NUL: 'a\0b',
  'every control character': Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join(''),
  'U+FFFE and U+FFFF': '\ufffe\uffff',
  'lone surrogates': 'a\ud800b\udc00',
  'what ends CDATA': 'a]]>b',
  'markup and entities': '<failure message="x">&amp;&lt;"\'</failure>',
  'entities that nobody declared': 'a &foo; b &#0; &#x1b; &#99999999999; & &amp;#0;',
  'a trailing brace': 'opens {',
  'a hash': 'a # b #c',
  'a TAP directive': 'x # TODO not yet',
  'a skip directive': 'x # SKIP never',
  backslashes: 'a\\b\\\\#c\\',
  'several lines': 'one\ntwo\r\nthree\u2028four',
  'TAP lines': 'x\nok 1 - fake\nBail out!\n1..2\n    # Subtest: fake\n',
  'a YAML end': '  ---\n  ...\n',
  'leading blanks': '      indented',
  'only blanks': '   ',
  nothing: '',
  'characters of every width': 'ünïcode 漢字 🙂'.repeat(50),
};

const withText = (text: string): CaseRecord =>
  keptRecord(
    aDifference(text === '' ? 'empty' : text, {
      reason: text,
      broken: [{ ...BROKEN, says: text, source: text, call: text, expected: text, observed: text }],
      program: text,
      observed: text,
      kernelLog: [text, text],
    }),
  );

describe('junit.xml', () => {
  it('has one suite for each area, and each case under its own id', async () => {
    const { suites, cases } = parseJunit(await throughTapJunit(everything));
    expect(suites.map(({ name }) => name)).to.deep.equal(['type1', 'group', 'harness']);
    expect(cases.map(({ classname, name, outcome, type }) => [classname, name, outcome, type])).to.deep.equal([
      ['vfio-conform.type1', 'type1/map-overlap: conforms', 'passed', null],
      ['vfio-conform.type1', 'type1/map-overlap: known', 'passed', null],
      ['vfio-conform.type1', 'type1/map-overlap: anew', 'failure', 'diverges'],
      ['vfio-conform.type1', 'type1/map-overlap: damaged', 'failure', 'damaged'],
      ['vfio-conform.type1', 'type1/map-overlap: unsupported', 'skipped', null],
      ['vfio-conform.type1', 'type1/map-overlap: lost', 'error', 'host-lost'],
      ['vfio-conform.type1', 'type1/map-overlap: ours', 'error', 'harness-error'],
      ['vfio-conform.group', 'group/status: elsewhere', 'passed', null],
      ['vfio-conform.group', 'group/status: later', 'skipped', null],
      ['vfio-conform.harness', 'harness/run: reached its end', 'error', 'interrupted'],
    ]);
  });

  it('counts what it holds', async () => {
    const { totals, cases } = parseJunit(await throughTapJunit(everything));
    expect(totals).to.deep.equal({ tests: '10', failures: '2', errors: '3' });
    expect(cases).to.have.length(10);
  });

  it('carries time, skip reasons and properties', async () => {
    const { cases, suites } = parseJunit(await throughTapJunit(everything));
    expect(cases[0]?.time).to.equal('0.001500');
    expect(cases[4]?.message).to.equal('the host has no huge pages');
    expect(cases[4]?.text).to.equal('the host has no huge pages');
    expect(cases[8]?.message).to.equal('not run: Ctrl-C');
    for (const { properties } of suites) {
      expect(Object.fromEntries(properties)).to.deep.equal({
        'vfio-conform.version': '0.1.0',
        'vfio-conform.revision': 'linux-6.1',
        'vfio-conform.kernel': '6.1.0-28-amd64',
        'vfio-conform.host': 'vm',
        'vfio-conform.host.description': 'QEMU 7.2 tcg, two edu devices',
        'vfio-conform.iommu': 'intel, 39 bits',
        'vfio-conform.arguments': '--host ssh:spr1',
        'vfio-conform.interrupted': 'Ctrl-C',
        'vfio-conform.known-difference.did-not-show': 'quirk-that-is-gone',
      });
    }
  });

  it('tells of a failure what a reader needs: clause, source, expected, observed, program, command', async () => {
    const anew = parseJunit(await throughTapJunit(everything)).cases[2];
    expect(anew?.message).to.equal(`${BROKEN.call}: expected EEXIST, observed 0`);
    for (const part of [
      BROKEN.says,
      BROKEN.source,
      /expected +EEXIST\n/,
      /observed +0\n/,
      'main open container /dev/vfio/vfio\n',
      "npx vfio-conform run --host ssh:spr1 --grep 'type1/map-overlap: anew'",
    ]) {
      if (typeof part === 'string') expect(anew?.text).to.include(part);
      else expect(anew?.text).to.match(part);
    }
  });

  it('says of a known difference that it is one, and lets it pass', async () => {
    const known = parseJunit(await throughTapJunit(everything)).cases[1];
    expect(known?.outcome).to.equal('passed');
    expect(known?.out).to.include(`Known difference ${KNOWN.id}: ${KNOWN.reason}`).and.to.include('EEXIST');
  });

  it('says nothing beside cases that conform', async () => {
    const { cases } = parseJunit(await throughTapJunit(everything));
    expect([cases[0]?.out, cases[7]?.out]).to.deep.equal(['', '']);
  });

  it('lets no host choose which files a CI server attaches', () => {
    const attach = '[[ATTACHMENT|/etc/passwd]]';
    const record = aDifference('x', { known: KNOWN, broken: [{ ...BROKEN, observed: attach }] });
    expect(junitXml(aRun([record]))).not.to.include('[[ATTACHMENT|');
  });

  it('can be made of a run in which nothing ran', async () => {
    const read = parseJunit(await throughTapJunit(aRun([])));
    expect(read.totals).to.deep.equal({ tests: '0', failures: '0', errors: '0' });
  });

  for (const [name, text] of Object.entries(NASTY)) {
    it(`survives ${name}`, async () => {
      const record = withText(text);
      const xml = await throughTapJunit(aRun([record, aRecord('next')]));
      const { cases } = parseJunit(xml);
      expect(cases[0]?.text).to.include(record.broken[0]?.expected);
      expect(cases.map((one) => [one.name, one.outcome])).to.deep.equal([
        [record.id, 'failure'],
        ['type1/map-overlap: next', 'passed'],
      ]);
      expect(xml).not.to.match(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\ufffe\uffff]/u);
    });
  }

  it('bounds huge texts, and says how much was cut', async () => {
    const huge = keptRecord(aDifference('huge', { observed: 'o'.repeat(3_000_000), reason: 'r'.repeat(100_000) }));
    const [one] = parseJunit(await throughTapJunit(aRun([huge]))).cases;
    expect(one?.text.length).to.be.below(40_000);
    expect(one?.text).to.match(/\[\.\.\. \d+ of \d+ characters cut \.\.\.\]/);
    expect(one?.message?.length).to.be.at.most(500);
  });

  it('stays far below 30 MB when every case fails with much to say', () => {
    const cases = Array.from({ length: 2000 }, (_, index) =>
      aDifference(`case ${index}`, { program: 'p'.repeat(20_000), observed: 'o'.repeat(20_000) }),
    );
    expect(junitXml(aRun(cases)).length).to.be.below(20_000_000);
  });

  describe('against the schema', () => {
    before(async function () {
      const found = await execa('xmllint', ['--version'], { reject: false });
      if (found.failed) {
        console.log('      xmllint (libxml2-utils) is not installed: the schema is not checked');
        this.skip();
      }
    });

    const validate = async (xml: string): Promise<string> => {
      const { stderr } = await execa('xmllint', ['--nonet', '--noout', '--schema', SCHEMA, '-'], {
        input: xml,
        reject: false,
      });
      return stderr;
    };

    for (const [name, run] of Object.entries({
      'a run with everything': everything,
      'a run without cases': aRun([]),
      'a run with nasty texts': aRun(Object.values(NASTY).map(withText)),
    })) {
      it(`is valid for ${name}`, async () => {
        expect(await validate(junitXml(run))).to.equal('- validates');
      });
    }

    for (const [name, [from, to]] of Object.entries({
      'an id on a test case, as tap-junit writes it': ['<testcase ', '<testcase id="1" '],
      'a suite without errors': [/<testsuite (.*) errors="\d+"/, '<testsuite $1'],
      'two cases of one name': ['type1/map-overlap: conforms', 'type1/map-overlap: anew'],
      'a count that is none': ['tests="10"', 'tests="ten"'],
    } as const)) {
      it(`would refuse ${name}`, async () => {
        const wrong = junitXml(everything).replace(from, to);
        expect(wrong).not.to.equal(junitXml(everything));
        expect(await validate(wrong)).to.include('fails to validate');
      });
    }
  });
});

describe('the check of tap-junit against the results', () => {
  const run = aRun([aRecord('one'), aDifference('two'), aRecord('three', { verdict: 'unsupported', reason: 'why' })]);

  const converted = (tap: string): Promise<string> =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'run.tap'), tap);
      return convertTap(join(folder, 'run.tap'));
    });

  it('finds nothing wrong with our own TAP', async () => {
    expect(await converted(tapOf(run)).then((xml) => disagreement(xml, run))).to.equal(undefined);
  });

  for (const [name, change, finding] of [
    ['a file that was cut', (tap: string) => tap.slice(0, tap.indexOf('ok 3')), 'counts 2 tests, the results hold 3'],
    ['a file that was emptied', () => '', 'counts 0 tests, the results hold 3'],
    ['a lost failure', (tap: string) => tap.replace('not ok 2', 'ok 2'), 'counts 0 failures, the results hold 1'],
    [
      'two verdicts that changed places',
      (tap: string) => tap.replace('\nok 1', '\nnot ok 1').replace('not ok 2', 'ok 2'),
      'says that point 1 failed, the results say passed',
    ],
    ['a number given twice', (tap: string) => tap.replace('\nok 3', '\nok 2'), 'failures'],
    [
      'points in another order',
      (tap: string) => tap.replace('ok 1 ', 'ok 9 ').replace('ok 2 ', 'ok 1 ').replace('ok 9 ', 'ok 2 '),
      'has point 2 where point 1 stands',
    ],
    ['a lost skip', (tap: string) => tap.replace('# SKIP', '# '), 'counts 0 skipped tests, the results hold 1'],
    [
      'a run that bailed out too early',
      (tap: string) => tap.replace('not ok 2', 'Bail out!\nnot ok 2'),
      'counts 1 tests, the results hold 3',
    ],
    [
      'printed lines that look like TAP',
      (tap: string) => tap.replace('not ok 2', 'ok 1 map\nnot ok 2'),
      'tests, the results hold 3',
    ],
  ] as const) {
    it(`sees ${name}`, async () => {
      const changed = change(tapOf(run));
      expect(changed).not.to.equal(tapOf(run));
      expect(await converted(changed).then((xml) => disagreement(xml, run))).to.include(finding);
    });
  }

  it('sees XML of another form', () => {
    expect(disagreement('<html/>', run)).to.include('not of the form');
    expect(disagreement('no xml', run)).to.include('not of the form');
  });

  it('writes nothing when they disagree', () =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'run.tap'), tapOf(aRun([aRecord('one')])));
      const error = await writeJunit(folder, run).catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(HostTrouble);
      expect((error as Error).message)
        .to.include('junit.xml was not written')
        .and.to.not.include('\n');
      expect(existsSync(join(folder, 'junit.xml'))).to.equal(false);
    }));

  it('says when tap-junit crashes', async () => {
    // An empty YAML block is what its parser dies of.
    const error = await converted('TAP version 14\n1..1\nnot ok 1 - x\n  ---\n  ...\n').catch(
      (cause: unknown) => cause,
    );
    expect(error).to.be.instanceOf(HostTrouble);
    expect((error as Error).message)
      .to.match(/^tap-junit failed on .*run\.tap: /)
      .and.to.not.include('\n');
  });

  it('reads what it wrote', () =>
    inFolder(async (folder) => {
      writeFileSync(join(folder, 'run.tap'), tapOf(run));
      await writeJunit(folder, run);
      expect(readJunit(folder).cases.map(({ outcome }) => outcome)).to.deep.equal(['passed', 'failure', 'skipped']);
    }));
});
