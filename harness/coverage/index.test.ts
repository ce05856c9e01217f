import { expect } from 'chai';
import type { RunRecord } from '../report/record.ts';
import { aDifference, aRecord, KNOWN } from '../report/testing.ts';
import { aRunOf, covered, mapCall, ready } from './testing.ts';

const overlapping = (title: string, differs: Parameters<typeof aRecord>[1] = {}) =>
  aRecord(title, { clause: 'map/overlap', ...differs });

describe('coverage of clauses', () => {
  it('counts how the cases of each ended on each kernel', () => {
    const { clauses, kernels } = covered(
      aRunOf([overlapping('one'), overlapping('two'), overlapping('three', { verdict: 'unsupported', reason: 'no' })]),
      aRunOf([aDifference('one', { clause: 'map/overlap' })], { kernel: '6.12.0' }),
      aRunOf([aDifference('one', { clause: 'map/overlap', known: KNOWN })], { kernel: '7.2.0', revision: 'linux-7.2' }),
    );
    expect(kernels.map(({ kernel, cases }) => [kernel, cases])).to.deep.equal([
      ['6.1.0', 3],
      ['6.12.0', 1],
      ['7.2.0', 1],
    ]);
    expect(clauses.find(({ clause }) => clause === 'map/overlap')?.on).to.deep.equal([
      { conforms: 2, unsupported: 1 },
      { diverges: 1 },
      { known: 1 },
    ]);
  });

  it('tells clauses without a case from those that are not in force', () => {
    const { clauses } = covered(aRunOf([]), aRunOf([], { revision: 'linux-7.2', kernel: '7.2.0' }));
    const on = (id: string) => clauses.find(({ clause }) => clause === id)?.on;
    expect(on('map/overlap')).to.deep.equal([{}, {}]);
    expect(on('iommufd/unknown-tail')).to.deep.equal([null, {}]);
    expect(on('container/extension-nesting')).to.deep.equal([{}, null]);
  });

  it('takes reports of one kernel together, the last one for a case of both', () => {
    const { kernels, clauses } = covered(
      aRunOf([overlapping('one'), overlapping('two')]),
      aRunOf([overlapping('two', { verdict: 'damaged', reason: 'a splat' })]),
    );
    expect(kernels.map(({ reports, cases }) => [reports, cases])).to.deep.equal([[['reports/0', 'reports/1'], 2]]);
    const [on] = clauses.find(({ clause }) => clause === 'map/overlap')?.on ?? [];
    expect(on).to.deep.equal({ conforms: 1, damaged: 1 });
  });
});

describe('coverage of ioctls', () => {
  const find = (runs: readonly RunRecord[], file: string, name: string) =>
    covered(...runs).ioctls.find((one) => one.file === file && one.name === name);

  it('counts what each kernel returned, iterations of a repeat included', () => {
    const looped = ready(
      'one',
      [
        'repeat 3',
        'main ioctl container 0x3b72 [1800000000000000,00*16]',
        'end',
        mapCall('00000000', '03000000', '00*8'),
      ],
      ['-1 22', '-1 22'],
    );
    const run = aRunOf([{ ...looped, observed: looped.observed.replace('\n7 ', '\n7.0-2 ') }]);
    const other = aRunOf([ready('one', [mapCall('20000000', '03000000', '0000010000000000')], ['-1 17'])], {
      kernel: '6.12.0',
    });
    expect(find([run, other], 'container', 'VFIO_IOMMU_UNMAP_DMA')?.seen).to.deep.equal([{ EINVAL: 3 }, {}]);
    expect(find([run, other], 'container', 'VFIO_IOMMU_MAP_DMA')?.seen).to.deep.equal([
      { '0': 1, EINVAL: 1 },
      { '0': 1, EEXIST: 1 },
    ]);
    expect(find([run], 'group', 'VFIO_GROUP_SET_CONTAINER')?.seen).to.deep.equal([{ '0': 1 }]);
  });

  it('lists what is stated and was never called', () => {
    expect(find([aRunOf([])], 'container', 'VFIO_IOMMU_GET_INFO')).to.deep.include({
      request: '0x3b70',
      seen: [{}],
      stated: ['EFAULT', 'EINVAL'],
    });
  });

  it('puts numbers that nobody has given out in one row, and a device apart from its group', () => {
    const odd = ready(
      'one',
      [
        'main ioctl container 0x3bff =0',
        'main ioctl container 0xb900 =0',
        'main ioctl group 0x3b6a [$device0,00] to=device',
        'main ioctl device 0x3b6f =0',
      ],
      ['-1 25', '-1 25', '5 0', '-1 22'],
    );
    const cases = [{ ...odd, program: `let device0 0000:00:04.0\n${odd.program}` }];
    expect(find([aRunOf(cases)], 'container', 'other numbers')?.seen).to.deep.equal([{ ENOTTY: 2 }]);
    expect(find([aRunOf(cases)], 'device', 'VFIO_DEVICE_RESET')?.seen).to.deep.equal([{ EINVAL: 1 }]);
  });
});

describe('coverage of coinciding faults', () => {
  const ARGSZ_AND_OVERLAP = mapCall('1f000000', '03000000', '0000010000000000');
  const FLAGS_AND_WRAP = mapCall('20000000', '00000000', '00f0ffffffffffff');
  const LONE = mapCall('20000000', '03000000', '0000010000000000');
  const UNREADABLE = 'main ioctl container 0x3b71 =0';
  const ON_7_2 = { revision: 'linux-7.2', kernel: '7.2.0' };

  it('tells which of two refusals each kernel gave, where the model says which comes first', () => {
    const { faults } = covered(
      aRunOf([ready('one', [ARGSZ_AND_OVERLAP], ['-1 22'])]),
      aRunOf([ready('one', [ARGSZ_AND_OVERLAP], ['-1 17'])], { kernel: '6.12.0' }),
    );
    expect(faults).to.deep.equal([
      {
        file: 'container',
        name: 'VFIO_IOMMU_MAP_DMA',
        faults: [
          { clause: 'map/argsz', errnos: ['EINVAL'] },
          { clause: 'map/overlap', errnos: ['EEXIST'] },
        ],
        order: 'first',
        seen: [{ EINVAL: 1 }, { EEXIST: 1 }],
      },
    ]);
  });

  it('tells which one was given where the model leaves it open', () => {
    const { faults } = covered(aRunOf([ready('one', [FLAGS_AND_WRAP], ['-1 75'])], ON_7_2));
    const open = faults.filter(({ order }) => order === 'either');
    expect(open.map((one) => one.faults.map(({ clause }) => clause))).to.deep.equal([
      ['map/needs-access', 'map/iova-wraps'],
    ]);
    expect(open[0]?.seen).to.deep.equal([{ EOVERFLOW: 1 }]);
  });

  for (const [title, call, answer] of [
    ['one fault alone', LONE, '-1 17'],
    ['faults with one errno', mapCall('1f000000', '00000000', '0000100000000000'), '-1 22'],
    ['what is zero because it cannot be read', UNREADABLE, '-1 14'],
  ] as const) {
    it(`has no pair for ${title}`, () => {
      const { faults, kernels } = covered(aRunOf([ready('one', [call], [answer])]));
      expect(faults).to.deep.equal([]);
      expect(kernels[0]?.notFollowed).to.equal(0);
    });
  }

  it('goes on behind a reply of other bytes, and behind another errno', () => {
    const status = ['main ioctl group 0x3b67 [0800000000000000]', '0 0 out=08000000ff000000'] as const;
    const refused = [mapCall('1f000000', '03000000', '0000100000000000'), '-1 1'] as const;
    const last = [ARGSZ_AND_OVERLAP, '-1 22'] as const;
    const steps = [status, refused, last];
    const run = ready(
      'one',
      steps.map(([call]) => call),
      steps.map(([, answer]) => answer),
    );
    const { faults, kernels } = covered(aRunOf([run]));
    expect(kernels[0]?.notFollowed).to.equal(0);
    expect(faults.map(({ seen }) => seen)).to.deep.equal([[{ EINVAL: 1 }]]);
  });

  it('says how many cases the model could not follow', () => {
    const strange = ready('one', [LONE, ARGSZ_AND_OVERLAP], ['0 0', '-1 22']);
    const { faults, kernels } = covered(aRunOf([strange]));
    expect(faults).to.deep.equal([]);
    expect(kernels[0]?.notFollowed).to.equal(1);
  });
});
