import { expect } from 'chai';
import type { Platform } from '../program/platform.ts';
import { UsageTrouble } from '../trouble.ts';
import { byExpiry, explainedBy, type Place, parseKnownDifferences } from './known.ts';
import type { Divergence, Verdict } from './verdict.ts';

const ENTRY = `differences:
  - id: misaligned
    clause: info/capability-alignment
    cases: '^info/'
    shownBy: '^info/capability-alignment'
    kernel: '^6\\.1\\.'
    observed: 'byte 48'
    reason: The capability before it is 12 bytes long and is not padded.
  - id: too-many-bits
    clause: dirty/holes
    bits: more
    shownBy: '^dirty/holes'
    kernel: '^6\\.1\\.'
    observed: '^0 with byte'
    reason: Bits of pages that are in no mapping are reported as well.
  - id: stays-charged
    clause: accounting/charged-pages
    alongside: [accounting/refund]
    shownBy: '^unmap/all'
    kernel: '^6\\.1\\.'
    observed: '^4$'
    reason: The page stays charged when its mapping is gone.
  - id: shifts-too-far
    clause: dirty/page-size
    cases: '^dirty/page-size'
    shownBy: '^dirty/page-size'
    kernel: '^6\\.1\\.'
    damage: 'UBSAN: shift-out-of-bounds'
    reason: A page size of 0 has no lowest bit, which the shift is made by.
`;

/** An entry for one kind of host, and for a time. */
const FLEETING = `differences:
  - id: on-lab-machines
    clause: info/argsz
    shownBy: '^info/argsz'
    kernel: '^6'
    host: '^ssh:lab'
    observed: 'EINVAL'
    reason: The IOMMU of these machines tells no such capability.
    link: https://example.org/1
    expires: 2026-06-30
  - id: behind-virtio
    clause: info/argsz
    shownBy: '^info/argsz'
    kernel: '^6'
    iommu: [virtio]
    observed: 'EINVAL'
    reason: This driver tells no such capability.
`;

interface Where {
  readonly name?: string;
  readonly kernel?: string;
  readonly iommu?: Platform['iommu']['kind'];
}

const at = ({ name = 'vm', kernel = '6.1', iommu = 'intel' }: Where): Place => ({
  name,
  kernel,
  platform: { iommu: { kind: iommu } },
});

const divergence = (clause: string, observed: string): Divergence => ({
  step: 0,
  iteration: 0,
  call: 'main fds',
  clauses: [{ id: clause as `${string}/${string}`, level: 'must', says: '.', source: '.' }],
  expected: '0',
  observed,
});

/** A byte of a bitmap that differs. */
const bits = (expected: number, observed: number): Divergence => ({
  ...divergence('dirty/holes', '0 with byte 0'),
  bytes: [{ expected: Uint8Array.of(expected), observed: Uint8Array.of(observed) }],
});

const also = (one: Divergence, clause: string): Divergence => ({
  ...one,
  clauses: [...one.clauses, ...divergence(clause, '').clauses],
});

const diverges = (...[first, ...rest]: [Divergence, ...Divergence[]]): Verdict => ({
  kind: 'diverges',
  divergences: [first, ...rest],
});

const damaged = (...lines: readonly string[]): Verdict => ({
  kind: 'damaged',
  damage: { kind: 'kernel-log', lines },
  divergences: [],
});

describe('known differences', () => {
  const known = parseKnownDifferences(ENTRY, 'known.yaml');
  const found = divergence('info/capability-alignment', '0 with byte 48: 44');
  const rows: Record<string, { caseId?: string; kernel?: string; verdict: Verdict; ids: string[] }> = {
    'explain a divergence that all of its fields fit': { verdict: diverges(found), ids: ['misaligned'] },
    'leave another kernel alone': { kernel: '6.12.1', verdict: diverges(found), ids: [] },
    'leave another case alone': { caseId: 'type1/map: x', verdict: diverges(found), ids: [] },
    'leave another clause alone': { verdict: diverges(divergence('info/argsz', '0 with byte 48: 44')), ids: [] },
    'leave another observation alone': {
      verdict: diverges(divergence('info/capability-alignment', 'EINVAL')),
      ids: [],
    },
    'leave a divergence alone that breaks another clause too': {
      verdict: diverges(also(found, 'info/argsz')),
      ids: [],
    },
    'explain one that breaks the clauses that are named alongside': {
      verdict: diverges(also(divergence('accounting/charged-pages', '4'), 'accounting/refund')),
      ids: ['stays-charged'],
    },
    'leave one alone that breaks only a clause that is named alongside': {
      verdict: diverges(divergence('accounting/refund', '4')),
      ids: [],
    },
    'leave one alone that breaks a further clause': {
      verdict: diverges(
        also(also(divergence('accounting/charged-pages', '4'), 'accounting/refund'), 'accounting/other'),
      ),
      ids: [],
    },
    'explain bits too many': { verdict: diverges(bits(0b0101, 0b1101)), ids: ['too-many-bits'] },
    'leave a missing bit alone': { verdict: diverges(bits(0b0101, 0b1100)), ids: [] },
    'explain nothing when a part is new': { verdict: diverges(found, divergence('info/argsz', 'EINVAL')), ids: [] },
    'never explain a hang': {
      verdict: { kind: 'damaged', damage: { kind: 'hang', detail: 'x' }, divergences: [found] },
      ids: [],
    },
    'explain what the log of a kernel is known to show': {
      caseId: 'dirty/page-size: 0',
      verdict: damaged('3,1,2,-;UBSAN: shift-out-of-bounds in x.c'),
      ids: ['shifts-too-far'],
    },
    'leave another case with the same log alone': {
      caseId: 'map/argsz: 0',
      verdict: damaged('3,1,2,-;UBSAN: shift-out-of-bounds in x.c'),
      ids: [],
    },
    'leave another splat alone': { caseId: 'dirty/page-size: 0', verdict: damaged('BUG: KASAN'), ids: [] },
  };
  for (const [title, { caseId = 'info/x: y', kernel = '6.1.0-1-amd64', verdict, ids }] of Object.entries(rows)) {
    it(title, () => {
      expect(explainedBy(known, caseId, at({ kernel }), verdict).map((one) => one.id)).to.deep.equal(ids);
    });
  }

  const fleeting = parseKnownDifferences(FLEETING, 'known.yaml');
  const places: readonly [where: string, place: Place, ids: readonly string[]][] = [
    ['ssh:lab7', at({ name: 'ssh:lab7' }), ['on-lab-machines']],
    ['vm', at({}), []],
    ['other-ssh:lab7', at({ name: 'other-ssh:lab7' }), []],
    ['vm behind virtio-iommu', at({ iommu: 'virtio' }), ['behind-virtio']],
  ];
  for (const [where, place, ids] of places) {
    it(`explain ${ids.length === 0 ? 'nothing' : 'what they are for'} on ${where}`, () => {
      const verdict = diverges(divergence('info/argsz', 'EINVAL'));
      const found = explainedBy(fleeting, 'info/argsz: x', place, verdict);
      expect(found.map((one) => one.id)).to.deep.equal(ids);
    });
  }

  it('explain something up to their last day', () => {
    const ids = (today: string) => byExpiry(fleeting, today).known.map((one) => one.id);
    expect([ids('2026-06-30'), ids('2026-07-01')]).to.deep.equal([
      ['on-lab-machines', 'behind-virtio'],
      ['behind-virtio'],
    ]);
    expect(byExpiry(fleeting, '2026-07-01').expired).to.deep.equal(fleeting.slice(0, 1));
  });

  const mistakes: Record<string, [text: string, message: RegExp]> = {
    'a missing reason': [ENTRY.replace(/ {4}reason.*\n/, ''), /known\.yaml:2:5: differences\.0\.reason/],
    'an unknown key': [`${ENTRY}    why: because\n`, /why/],
    'neither observed nor damage': [
      ENTRY.replace(/ {4}observed: 'byte 48'\n/, ''),
      /known\.yaml:2:5: .*expected either observed or damage/,
    ],
    'a bad regular expression': [ENTRY.replace("'byte 48'", "'('"), /misaligned: observed is not a regular expression/],
    'a day that is none': [FLEETING.replace('06-30', '06-31'), /known\.yaml:10:14: differences\.0\.expires/],
    'text that is not YAML': ['differences: [', /known\.yaml/],
  };
  for (const [title, [text, message]] of Object.entries(mistakes)) {
    it(`names the place of ${title}`, () => {
      expect(() => parseKnownDifferences(text, 'known.yaml')).to.throw(UsageTrouble, message);
    });
  }
});
