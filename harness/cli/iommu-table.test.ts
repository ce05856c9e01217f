import { expect } from 'chai';
import { IOMMU_PROFILES, iommuProfileNamed } from '../hosts/iommu-profiles.ts';
import { type Pair, pairsOf, tableOf } from './iommu-table.ts';

const PROFILES = ['intel-39', 'amd', 'none'].map(iommuProfileNamed);
const PAIRS: readonly Pair[] = [
  { profile: 'intel-39', kernel: '6.1', answer: 'works' },
  { profile: 'amd', kernel: '6.1', answer: 'cannot', why: 'no driver' },
  { profile: 'none', kernel: '6.1', answer: 'can' },
  { profile: 'intel-39', kernel: '7.2-iommufd', answer: 'fails', why: 'it died' },
  { profile: 'amd', kernel: '7.2-iommufd', answer: 'cannot', why: 'no driver' },
  { profile: 'none', kernel: '7.2-iommufd', answer: 'unknown', why: 'not here' },
];

describe('cli/iommu-table', () => {
  it('has a line for each IOMMU, a column for each kernel, and each reason once', () => {
    expect(tableOf(PROFILES, PAIRS)).to.deep.equal([
      'IOMMU     6.1      7.2-iommufd',
      'intel-39  works    fails',
      'amd       cannot   cannot',
      'none      can      unknown',
      '',
      'intel-39  VT-d, 39 bits, caching mode, interrupt remapping (default)',
      'amd       AMD-Vi, 64 bits, interrupt remapping',
      'none      no IOMMU: only what needs none, and groups of emulated devices',
      '',
      'amd cannot on 6.1, 7.2-iommufd: no driver',
      'intel-39 fails on 7.2-iommufd: it died',
      'none unknown on 7.2-iommufd: not here',
    ]);
  });

  it('has no reasons where there are none', () => {
    expect(tableOf(PROFILES, PAIRS.slice(0, 1)).at(-1)).to.match(/^none {6}no IOMMU/);
  });

  it('knows of a kernel with all drivers built in that it can be given every IOMMU', async () => {
    const pairs = await pairsOf(IOMMU_PROFILES, ['7.2-iommufd']);
    expect(pairs.map(({ profile, answer }) => [profile, answer])).to.deep.equal(
      IOMMU_PROFILES.map(({ name }) => [name, 'can']),
    );
  });
});
