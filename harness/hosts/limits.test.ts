import { expect } from 'chai';
import type { Observation, Program, Run } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import { encode } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import { askLimits, limitsOf } from './limits.ts';

const RANGES = [
  { start: 0n, end: 0xfedfffffn },
  { start: 0xfef00000n, end: 0xfcffffffffn },
  { start: 0x10000000000n, end: (1n << 64n) - 1n },
];

interface Answer {
  readonly flags?: number;
  readonly pageSizes?: bigint;
  readonly ranges?: readonly { readonly start: bigint; readonly end: bigint }[];
  /** How many ranges it says there are. */
  readonly count?: number;
  readonly next?: number;
  readonly capOffset?: number;
}

/** GET_INFO's answer: a DMA available capability, then the ranges. */
const answer = ({ flags = 3, pageSizes = 0x1000n, ranges = RANGES, ...rest }: Answer = {}): Uint8Array => {
  const { count = ranges.length, next = 40, capOffset = 24 } = rest;
  const bytes = new Uint8Array(256);
  bytes.set(encode(uapi.vfioIommuType1Info, { argsz: 256, flags, iova_pgsizes: pageSizes, cap_offset: capOffset }));
  bytes.set(encode(uapi.vfioIommuType1InfoDmaAvail, { header: { id: 3, version: 1, next }, avail: 1 }), 24);
  const header = { id: 1, version: 1, next: 0 };
  bytes.set(encode(uapi.vfioIommuType1InfoCapIovaRange, { header, nr_iovas: count, iova_ranges: [...ranges] }), 40);
  return bytes;
};

const messageOf = (work: () => unknown): string => {
  try {
    work();
  } catch (cause) {
    if (cause instanceof HostTrouble) return cause.message;
  }
  return 'no trouble';
};

describe('hosts/limits', () => {
  it('are the ends of the first and the last range, and the page sizes', () => {
    expect(limitsOf(answer(), '/dev/vfio/2')).to.deep.equal({
      aperture: { start: 0n, end: (1n << 64n) - 1n },
      pageSizes: 0x1000n,
    });
  });

  it('are those of the ranges that are said to be there', () => {
    expect(limitsOf(answer({ count: 1 }), '/dev/vfio/2').aperture.end).to.equal(0xfedfffffn);
  });

  const useless: Readonly<Record<string, Answer>> = {
    'no page sizes': { flags: 2 },
    'page sizes of 0': { pageSizes: 0n },
    'no capabilities': { flags: 1 },
    'no room for capabilities': { capOffset: 0 },
    'no ranges': { next: 0 },
    'an empty list of ranges': { ranges: [] },
    'a chain in a circle': { next: 24 },
    'a chain that leaves the answer': { next: 250 },
  };
  for (const [what, given] of Object.entries(useless)) {
    it(`refuses an answer with ${what}`, () => {
      expect(messageOf(() => limitsOf(answer(given), '/dev/vfio/2'))).to.equal(
        'VFIO tells no page sizes or no IOVA ranges of the IOMMU behind /dev/vfio/2',
      );
    });
  }

  const seen = (ret: bigint, more: object = {}): Observation => ({
    step: 0,
    iteration: 0,
    last: 0,
    ret,
    errno: 0,
    ...more,
  });
  const asked: Program[] = [];
  const session = (observations: readonly Observation[]) => ({
    run: async (program: Program): Promise<Run> => {
      asked.push(program);
      return { observations, kernelLog: [], durationUs: 0, ending: { kind: 'done' } };
    },
  });

  it('are asked in a container of its own with just that group', async () => {
    const calls = [seen(3n), seen(4n), seen(0n), seen(0n), seen(0n, { out: answer() })];
    expect((await askLimits(session(calls), '/dev/vfio/7')).pageSizes).to.equal(0x1000n);
    expect(asked[0]?.steps.map((step) => (step.op === 'open' ? step.path : step.op))).to.deep.equal([
      '/dev/vfio/vfio',
      '/dev/vfio/7',
      'ioctl',
      'ioctl',
      'ioctl',
    ]);
  });

  const refusals: readonly [what: string, observations: readonly Observation[], why: string][] = [
    ['an open that fails', [seen(3n), seen(-1n, { errno: 'EBUSY' })], 'EBUSY'],
    [
      'a refused SET_IOMMU, whatever comes then',
      [seen(3n), seen(4n), seen(0n), seen(-1n, { errno: 'EPERM' }), seen(-1n, { errno: 'EINVAL' })],
      'EPERM',
    ],
    ['a call that hangs', [{ step: 0, iteration: 0, last: 0, mishap: 'timeout', detail: '30 s' }], 'timeout: 30 s'],
    ['a run without observations', [], 'no answer'],
  ];
  for (const [what, observations, why] of refusals) {
    it(`tells of ${what}`, async () => {
      const error = await askLimits(session(observations), '/dev/vfio/2').catch((cause: unknown) => cause);
      expect(error).to.be.instanceOf(HostTrouble);
      expect((error as HostTrouble).message).to.equal(
        `cannot ask VFIO for the limits of the IOMMU behind /dev/vfio/2: ${why}`,
      );
    });
  }
});
