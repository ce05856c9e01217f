import { expect } from 'chai';
import { coverageMarkdown, coverageText } from './page.ts';
import { PARTS } from './tables.ts';
import { aRunOf, covered, mapCall, ready } from './testing.ts';

const found = covered(
  aRunOf(
    [ready('one', [mapCall('1f000000', '03000000', '0000010000000000')], ['-1 22'])].map((one) => ({
      ...one,
      clause: 'map/argsz',
    })),
  ),
  aRunOf([], { kernel: '7.2.0', revision: 'linux-7.2' }),
);
const text = [...coverageText(found, PARTS)].join('');
const lineWith = (page: string, ...words: readonly string[]) =>
  page.split('\n').find((line) => words.every((word) => line.includes(word)));

describe('the page of coverage', () => {
  for (const [title, words, expected] of [
    ['kernels by letter', ['7.2.0'], /^B +7\.2\.0 +linux-7\.2 +0$/],
    ['a clause with a case', ['map/argsz  '], /^map\/argsz +ok 1 +no case$/],
    ['a clause that is not in force', ['iommufd/unknown-tail'], /^iommufd\/unknown-tail +- +no case$/],
    ['what an ioctl returned', ['container', 'VFIO_IOMMU_MAP_DMA'], /ok 1 EINVAL 1 +- +EFAULT.* EEXIST/],
    ['stages', ['VFIO_SET_IOMMU', 'arguments:'], /arguments: EINVAL ENODEV; hardware: EINVAL EPERM$/],
    ['two faults', ['map/overlap (EEXIST)'], /map\/argsz \(EINVAL\) +then +map\/overlap \(EEXIST\) +EINVAL 1 +-$/],
  ] as const) {
    it(`shows ${title}, in text and in Markdown`, () => {
      expect(lineWith(text, ...words)).to.match(expected);
      const row = lineWith(
        [...coverageMarkdown(found, PARTS)].join('').replaceAll('\\', ''),
        ...words.map((word) => word.trim()),
      );
      expect(row).to.match(/^\| .* \|$/);
    });
  }

  it('shows only the parts that are asked for, and the kernels', () => {
    const faults = [...coverageText(found, ['faults'])].join('');
    expect(faults).to.contain('Two faults at once').and.contain('7.2.0');
    expect(faults).not.to.contain('What ioctls returned');
    expect(faults).not.to.contain('iommufd/unknown-tail');
  });
});
