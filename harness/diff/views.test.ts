import { expect } from 'chai';
import { aDifference, aRecord, aRun, BROKEN } from '../report/testing.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import { diffMarkdown } from './markdown.ts';
import type { SpecDiff } from './spec-diff.ts';
import { CARELESS, CASES, diffOf, layoutsOf, POSTED, programText, side } from './testing.ts';
import { diffText } from './text.ts';

const textOf = (diff: SpecDiff): string => [...diffText(diff)].join('');
const markdownOf = (diff: SpecDiff): string => [...diffMarkdown(diff)].join('');

const CONFIRMED = CASES.filter(({ id }) => id === 'map/overlap: identical').map((one) =>
  aRecord('identical', { id: one.id, clause: one.clause, program: programText(one), observed: '6 -1 16\n' }),
);

/** Spec-diffs of every kind. */
const DIFFS: Readonly<Record<string, SpecDiff>> = {
  'a revision and itself': diffOf(side(POSTED), side(POSTED)),
  'two revisions': diffOf(side(LINUX_6_1), side(POSTED), { structsOf: layoutsOf }),
  'a careless revision': diffOf(side(LINUX_6_1), side(CARELESS)),
  'a revision and a run': diffOf(side(LINUX_6_1), side(POSTED, aRun([...CONFIRMED, aDifference('anew')]))),
  'two runs': diffOf(
    side(LINUX_6_1, aRun([aRecord('one'), aRecord('two', { observed: '0 4 0\n' }), aRecord('three')])),
    side(
      LINUX_6_1,
      aRun([aDifference('one'), aRecord('two'), aRecord('four')], { interrupted: { why: 'signal', reason: 'Ctrl-C' } }),
    ),
  ),
};

describe('diff/text', () => {
  for (const [title, diff] of Object.entries(DIFFS)) {
    it(`tells of ${title} in lines of at most 78 columns of plain text`, () => {
      const text = textOf(diff);
      expect(text.split('\n').filter((line) => line.length > 78 || line !== line.trimEnd())).to.deep.equal([]);
      expect(text)
        .to.match(/^[\x20-\x7e\n]+\n$/)
        .and.not.match(/\n{3}/);
    });
  }

  it('gives a reply what it needs: clause, expected, observed, how to reproduce', () => {
    const text = textOf(diffOf(side(LINUX_6_1), side(POSTED), { cases: CASES.slice(1, 2) }));
    expect(text).to.include(
      [
        'map/overlap: identical',
        '  clause    map/overlap: A range that shares an IOVA with a mapping, in',
        '            whatever shape, is refused with EEXIST; neighbours that only touch',
        '            are not.',
        '            (vfio_dma_do_map(), drivers/vfio/vfio_iommu_type1.c)',
        '            now: An overlap is refused with EBUSY.',
        '            (vfio_dma_do_map(), drivers/vfio/vfio_iommu_type1.c)',
      ].join('\n'),
    );
    expect(text).to.include(
      '  expected  is refused with EEXIST (linux-6.1)\n  observed  is refused with EBUSY (ping/posted)',
    );
    expect(text).to.include(
      "  reproduce npx vfio-conform diff linux-6.1 ping/posted --grep \\\n              'map/overlap: identical'",
    );
    expect(text).to.include('npx vfio-conform run --kernel ping/posted --revision linux-6.1 \\');
    expect(text).to.include('No Tested-by line: models were compared, no kernel was run.');
  });

  it('shows what a kernel answered as what is observed, and ends with a Tested-by line', () => {
    const diff = DIFFS['a revision and a run'];
    const text = diff === undefined ? '' : [...diffText(diff, { testedBy: 'T. Ester <t@example.org>' })].join('');
    expect(text).to.match(/observed {2}Linux 6\.1\.0-28-amd64 refused it with EBUSY, as ping\/posted has it/);
    expect(text).to.match(/\nTested-by: T\. Ester <t@example\.org>\n# Linux 6\.1\.0-28-amd64 against/);
  });

  it('sets unintended differences apart, in front', () => {
    const text = DIFFS['a careless revision'] === undefined ? '' : textOf(DIFFS['a careless revision']);
    expect(text).to.match(/Unintended differences: 2 programs\n-+\n/);
    expect(text.indexOf('Unintended differences')).to.be.lessThan(text.indexOf('\nClauses\n'));
    expect(text).to.match(/ {2}why {7}not declared to change: /);
  });

  it('says of two runs what changed in between', () => {
    const text = DIFFS['two runs'] === undefined ? '' : textOf(DIFFS['two runs']);
    expect(text).to.match(/newly broken: type1\/map-overlap: one\n/);
    expect(text).to.match(
      /answered otherwise: type1\/map-overlap: two\n {2}call {6}main open container \/dev\/vfio\/vfio\n {2}A {9}4\n {2}B {9}3\n/,
    );
    expect(text).to.include('The run in reports/a-run is partial: Ctrl-C');
    expect(text).to.include('only the first run has them: type1/map-overlap: three');
  });

  it('draws layouts side by side', () => {
    const text = DIFFS['two revisions'] === undefined ? '' : textOf(DIFFS['two revisions']);
    expect(text).to.include(
      [
        'changed: struct capability on x86-64, i386, x32, arm64, armv7, riscv64,',
        '  ppc64le, s390x',
        '  A         4 bytes, aligned to 4',
        '  B         8 bytes, aligned to 4',
        ' 0x00  |flags          |info[]            |flags          |reserved       |',
        ' 0x08                                     |info[]',
      ].join('\n'),
    );
  });
});

describe('diff/markdown', () => {
  it('has a heading for each thing that differs', () => {
    const headings = DIFFS['two revisions'] === undefined ? [] : markdownOf(DIFFS['two revisions']).match(/^## .*$/gm);
    expect(headings).to.deep.equal(['## Intended differences: 7 programs', '## Clauses', '## Numbers', '## Layouts']);
  });

  it('lets no text become markup', () => {
    const nasty = '<img src=x onerror=alert(1)> | **bold** [a](http://x) @someone `code`';
    const run = aRun([aDifference('one', { broken: [{ ...BROKEN, says: nasty, observed: nasty }] })], {
      kernel: nasty,
    });
    const markdown = markdownOf(diffOf(side(LINUX_6_1), side(LINUX_6_1, run)));
    // Escaped backticks begin no code; code and fences show everything as it is.
    const prose = markdown
      .replaceAll('\\`', '')
      .replace(/^(`{3,})\n[\s\S]*?^\1$/gm, '')
      .replace(/(`+).*?[^`]\1(?!`)/g, '');
    expect(prose).not.to.match(/<img|\*\*bold|\[a\]\(|@someone/);
  });
});

describe('diff as JSON', () => {
  for (const [title, diff] of Object.entries(DIFFS)) {
    it(`holds all of ${title}, and nothing that JSON cannot say`, () => {
      expect(JSON.parse(JSON.stringify(diff))).to.deep.equal(diff);
    });
  }
});
