import { expect } from 'chai';
import type { RunRecord } from './record.ts';
import { reportMarkdown } from './report-markdown.ts';
import { reportText } from './report-text.ts';
import { summaryText } from './summary.ts';
import { aDifference, aRecord, aRun, BROKEN, KNOWN } from './testing.ts';

const mixed = aRun(
  [
    aRecord('fine'),
    aDifference('old', { known: KNOWN }),
    aDifference('older', { known: KNOWN }),
    aDifference('identical'),
    aDifference('contained', {
      broken: [{ ...BROKEN, call: 'main ioctl container 0x3b71 [20000000,03000000,0000010000000000 @8=&ram+0x0]' }],
    }),
    aRecord('boom', {
      verdict: 'damaged',
      reason: 'the kernel log shows damage: WARNING: CPU: 0 PID: 77',
      kernelLog: ['WARNING: CPU: 0 PID: 77', 'Call Trace:'],
    }),
    aRecord('big pages', { verdict: 'unsupported', reason: 'the host has no huge pages' }),
    aRecord('gone', { verdict: 'host-lost', reason: 'the connection broke' }),
  ],
  {
    arguments: ['--host', 'ssh:spr1'],
    disappeared: ['get-info-padding'],
    notRun: [
      { id: 'group/status: set', clause: 'group/status', area: 'group', title: 'set', reason: '--timeout 10m passed' },
    ],
    interrupted: { why: 'time-limit', reason: '--timeout 10m passed' },
  },
);

const MIXED = `\
vfio-conform 0.1.0: linux-6.1 held against Linux 6.1.0-28-amd64
on vm (QEMU 7.2 tcg, two edu devices; IOMMU: intel, 39 bits), in 42.0 s

  judged       6  1 conform, 2 known to differ, 2 differ, 1 damaged
  trouble      1  1 host lost
  not run      2  1 unsupported here, 1 left out

Known differences (2)

  map-overlap-quirk: The kernel lets this pass, and always has.
    clause    type1/map-overlap: A mapping must not overlap one that stands.
    source    drivers/vfio/vfio_iommu_type1.c: vfio_dma_do_map
    call      main ioctl container 0x3b71 [20000000,03000000]
    expected  EEXIST
    observed  0
    type1/map-overlap: old
    ... and 1 more

Known differences that did not show (fixed, or their entry no longer fits)
  get-info-padding

Not run
  the host has no huge pages (1 case)
    type1/map-overlap: big pages
  --timeout 10m passed (1 case)
    group/status: set

Host lost (1)

  type1/map-overlap: gone
    the connection broke
    run it    npx vfio-conform run --host ssh:spr1 --grep 'type1/map-overlap: gone'

Damaged (1)

  type1/map-overlap: boom
    the kernel log shows damage: WARNING: CPU: 0 PID: 77
    run it    npx vfio-conform run --host ssh:spr1 --grep 'type1/map-overlap: boom'

New differences (2)

  type1/map-overlap: identical
    clause    type1/map-overlap: A mapping must not overlap one that stands.
    source    drivers/vfio/vfio_iommu_type1.c: vfio_dma_do_map
    call      main ioctl container 0x3b71 [20000000,03000000]
    expected  EEXIST
    observed  0
    run it    npx vfio-conform run --host ssh:spr1 --grep 'type1/map-overlap: identical'

  ... and 1 more in the report

INTERRUPTED, the report is partial: --timeout 10m passed

# Totals: pass:1 fail:3 xfail:2 xpass:1 skip:2 error:1
Report: reports/now/report.txt
Exit code 1: the kernel differs from the model, or was damaged
`;

const GOOD = `\
vfio-conform 0.1.0: linux-6.1 held against Linux 6.1.0-28-amd64
on vm (QEMU 7.2 tcg, two edu devices; IOMMU: intel, 39 bits), in 42.0 s

  judged       1  1 conform

# Totals: pass:1 fail:0 xfail:0 xpass:0 skip:0 error:0
Report: reports/now/report.txt
Exit code 0: the kernel conforms, known differences aside
`;

const whole = (pieces: Iterable<string>): string => [...pieces].join('');

/** Lines that no reader can fold: a command must be copied in one piece. */
const isCommand = (line: string): boolean => line.includes('npx vfio-conform run');

describe('the last summary', () => {
  it('tells what ran, what did not and why, what differs, and where to read on', () => {
    expect(summaryText(mixed, { folder: 'reports/now', most: 1 })).to.equal(MIXED);
  });

  it('is short when all is well', () => {
    expect(summaryText(aRun([aRecord('fine')]), { folder: 'reports/now', most: 10 })).to.equal(GOOD);
  });

  it('says that the report is not whole, and exits accordingly', () => {
    const text = summaryText(aRun([aRecord('fine')]), { folder: 'x', most: 10, trouble: 'cannot write x: no space' });
    expect(text).to.include('The report is not whole: cannot write x: no space\nExit code 75: ');
  });
});

describe('report.txt', () => {
  it('holds every case that did not simply conform, in full', () => {
    const text = whole(reportText(mixed, 'reports/now'));
    for (const part of [
      'contained',
      'older',
      'Call Trace:',
      'cases/type1/map-overlap/identical',
      'main open container',
    ]) {
      expect(text).to.include(part);
    }
    expect(text).not.to.include('cases/type1/map-overlap/fine');
  });

  it('keeps to 78 columns, but for commands that are to be copied', () => {
    const long = aDifference('long', { program: `main write ram 0 ${'ab'.repeat(500)}\n`, observed: 'x'.repeat(300) });
    for (const run of [mixed, aRun([long])]) {
      const wide = whole(reportText(run, 'reports/now'))
        .split('\n')
        .filter((line) => line.length > 78 && !isCommand(line));
      expect(wide).to.deep.equal([]);
    }
  });
});

describe('report.md', () => {
  const markdown = (run: RunRecord): string => whole(reportMarkdown(run));

  it('has a section for each kind of finding and the totals in one table', () => {
    const text = markdown(mixed);
    expect(text.match(/^## .*$/gm)).to.deep.equal([
      '## New differences',
      '## Damaged',
      '## Host lost',
      '## Known differences',
      '## Known differences that did not show',
      '## Not run',
    ]);
    expect(text).to.include('| 6 | 1 | 2 | 2 | 1 | 1 | 0 | 2 |');
    expect(text).to.include('Exit code 1').and.to.include('Call Trace:');
  });

  for (const [name, text] of Object.entries({
    tags: '<script>alert(1)</script>',
    links: '[click](javascript:alert(1)) ![x](y)',
    mentions: '@torvalds #1',
    'table cells': 'a | b',
    entities: '&lt;b&gt;',
  })) {
    it(`takes ${name} for text`, () => {
      const page = markdown(aRun([aDifference(text, { id: `a/b: ${text}`, reason: text, program: '', observed: '' })]));
      const heading = page.split('\n').find((line) => line.startsWith('### ')) ?? '';
      expect(heading).not.to.match(/<|(?<!\\)[[\]|#](?<!^#+)|@|&(?!amp;|lt;)/);
    });
  }

  it('does not let a program end its own fence', () => {
    const page = markdown(aRun([aDifference('x', { program: 'before\n```\n# heading\n````\n' })]));
    expect(page).to.include('\n`````\nbefore\n```\n# heading\n````\n`````\n');
  });
});
