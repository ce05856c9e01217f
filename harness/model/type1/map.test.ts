import { expect } from 'chai';
import { VFIO_IOMMU_MAP_DMA, VFIO_TYPE1_IOMMU } from '../../uapi/vfio.ts';
import { inline, type MapFields, mapArg, number, PAGE, PLATFORM, ready } from './testbed.ts';

const TOP = 1n << 64n;
const GIB = 1n << 30n;

describe('MAP_DMA', () => {
  const arguments_: Record<string, [MapFields, string]> = {
    'a page': [{ iova: 0n, size: PAGE }, '0'],
    'reading only': [{ iova: 0n, size: PAGE, flags: 1 }, '0'],
    'writing only': [{ iova: 0n, size: PAGE, flags: 2 }, '0'],
    'argsz one short': [{ iova: 0n, size: PAGE, argsz: 31 }, 'EINVAL'],
    'argsz longer': [{ iova: 0n, size: PAGE, argsz: 4096 }, '0'],
    'argsz zero': [{ iova: 0n, size: PAGE, argsz: 0 }, 'EINVAL'],
    'no access': [{ iova: 0n, size: PAGE, flags: 0 }, 'EINVAL'],
    'the lowest unknown flag': [{ iova: 0n, size: PAGE, flags: 3 | 8 }, 'EINVAL'],
    'the highest unknown flag': [{ iova: 0n, size: PAGE, flags: 0x8000_0003 }, 'EINVAL'],
    'no size': [{ iova: 0n, size: 0n }, 'EINVAL'],
    'half a page': [{ iova: 0n, size: PAGE / 2n }, 'EINVAL'],
    'an iova within a page': [{ iova: 1n, size: PAGE }, 'EINVAL'],
    'a vaddr within a page': [{ iova: 0n, size: PAGE, vaddr: { memory: 'ram', offset: 8n } }, 'EINVAL'],
    'an iova that wraps': [{ iova: TOP - PAGE, size: 2n * PAGE }, 'EINVAL'],
    'a vaddr that wraps': [{ iova: 0n, size: 2n * PAGE, vaddr: TOP - PAGE }, 'EINVAL'],
    'an iova that ends at the top': [{ iova: TOP - PAGE, size: PAGE }, 'EINVAL'],
    'a vaddr that ends at the top': [{ iova: 0n, size: PAGE, vaddr: TOP - PAGE }, 'EFAULT'],
    'the largest size': [{ iova: 0n, size: TOP - PAGE, vaddr: 0n }, 'EINVAL'],
    'null memory': [{ iova: 0n, size: PAGE, vaddr: 0n }, 'EFAULT'],
    'memory with its last page missing': [{ iova: 0n, size: 65n * PAGE }, 'EFAULT'],
    'the last page of the lower range': [{ iova: 0xfedf_f000n, size: PAGE }, '0'],
    'a page into the interrupt range': [{ iova: 0xfedf_f000n, size: 2n * PAGE }, 'EINVAL'],
    'the first page of the interrupt range': [{ iova: 0xfee0_0000n, size: PAGE }, 'EINVAL'],
    'the last page of the interrupt range': [{ iova: 0xfeef_f000n, size: PAGE }, 'EINVAL'],
    'the first page behind it': [{ iova: 0xfef0_0000n, size: PAGE }, '0'],
    'both sides of it': [{ iova: 0xfedf_f000n, size: 0x10_2000n }, 'EINVAL'],
    'the last page of the aperture': [{ iova: 0x7f_ffff_f000n, size: PAGE }, '0'],
    'a page over the aperture': [{ iova: 0x7f_ffff_f000n, size: 2n * PAGE }, 'EINVAL'],
    'the first page behind the aperture': [{ iova: 0x80_0000_0000n, size: PAGE }, 'EINVAL'],
  };
  for (const [title, [fields, said]] of Object.entries(arguments_)) {
    it(`answers ${title} with ${said}`, () => {
      expect(ready().map(fields)).to.equal(said);
    });
  }

  const overlaps: Record<string, [start: bigint, pages: bigint, said: string]> = {
    identical: [8n, 8n, 'EEXIST'],
    contained: [10n, 2n, 'EEXIST'],
    containing: [4n, 16n, 'EEXIST'],
    'straddling its start': [4n, 5n, 'EEXIST'],
    'straddling its end': [15n, 4n, 'EEXIST'],
    'its first page': [8n, 1n, 'EEXIST'],
    'its last page': [15n, 1n, 'EEXIST'],
    'the neighbour below': [7n, 1n, '0'],
    'the neighbour above': [16n, 1n, '0'],
  };
  for (const [title, [start, pages, said]] of Object.entries(overlaps)) {
    it(`answers ${title} with ${said}`, () => {
      const bed = ready();
      expect(bed.map({ iova: 8n * PAGE, size: 8n * PAGE })).to.equal('0');
      expect(bed.map({ iova: start * PAGE, size: pages * PAGE })).to.equal(said);
    });
  }

  it('promises no order between faults of one stage', () => {
    const bed = ready({ platform: { ...PLATFORM, dmaEntryLimit: 1 } });
    bed.map({ iova: 0xfedf_f000n, size: PAGE });
    expect(bed.map({ iova: 0xfedf_f000n, size: 2n * PAGE })).to.equal('EEXIST or ENOSPC or EINVAL');
  });

  it('promises that arguments are judged before mappings, and mappings before memory', () => {
    const bed = ready();
    bed.map({ iova: 0n, size: PAGE });
    expect(bed.map({ iova: 0n, size: PAGE, vaddr: 0n })).to.equal('EEXIST');
    expect(bed.map({ iova: 0n, size: PAGE, flags: 0 })).to.equal('EINVAL');
  });

  it('refuses a null and a protected argument', () => {
    const bed = ready();
    expect(bed.ioctl('container', VFIO_IOMMU_MAP_DMA, number(0))).to.equal('EFAULT');
    bed.take({ op: 'mem', name: 'gone', size: PAGE, prot: 'none' });
    const arg = { kind: 'place', place: { memory: 'gone', offset: 0n } } as const;
    expect(bed.ioctl('container', VFIO_IOMMU_MAP_DMA, arg)).to.equal('EFAULT');
  });

  const memories: Record<string, [prot: 'none' | 'r' | 'w' | 'rw', flags: number, said: string]> = {
    'inaccessible memory for reading': ['none', 1, 'EFAULT'],
    'read-only memory for reading': ['r', 1, '0'],
    'read-only memory for writing': ['r', 2, 'EFAULT'],
    'read-only memory for both': ['r', 3, 'EFAULT'],
    'ordinary memory for both': ['rw', 3, '0'],
  };
  for (const [title, [prot, flags, said]] of Object.entries(memories)) {
    it(`answers ${title} with ${said}`, () => {
      const bed = ready();
      bed.take({ op: 'mem', name: 'other', size: PAGE, prot });
      expect(bed.map({ iova: 0n, size: PAGE, vaddr: { memory: 'other' }, flags })).to.equal(said);
    });
  }

  it('leaves nothing of a mapping that fails at its last page', () => {
    const bed = ready();
    bed.take({ op: 'unmap', name: 'ram', offset: 63n * PAGE, size: PAGE });
    expect(bed.map({ iova: 0n, size: 64n * PAGE })).to.equal('EFAULT');
    expect(bed.locked()).to.equal(0);
    expect(bed.unmap({ iova: 0n, size: 64n * PAGE })).to.equal('0, 0');
    expect(bed.map({ iova: 0n, size: 63n * PAGE })).to.equal('0');
  });

  it('takes as many mappings as the parameter says, and takes one more when one ended', () => {
    const bed = ready({ platform: { ...PLATFORM, dmaEntryLimit: 2 } });
    expect(bed.map({ iova: 0n, size: PAGE })).to.equal('0');
    expect(bed.map({ iova: PAGE, size: 60n * PAGE })).to.equal('0');
    expect(bed.map({ iova: GIB, size: PAGE })).to.equal('ENOSPC');
    bed.unmap({ iova: 0n, size: PAGE });
    expect(bed.map({ iova: GIB, size: PAGE })).to.equal('0');
  });

  it('maps a gigabyte for the price of its runs', () => {
    const bed = ready();
    bed.take({ op: 'mem', name: 'big', size: GIB });
    expect(bed.map({ iova: 0n, size: GIB, vaddr: { memory: 'big' } })).to.equal('0');
    expect(bed.locked()).to.equal(262_144);
  });

  it('is the same on v1', () => {
    const bed = ready({ type: VFIO_TYPE1_IOMMU });
    expect(bed.map({ iova: 0n, size: PAGE })).to.equal('0');
    expect(bed.map({ iova: 0n, size: PAGE })).to.equal('EEXIST');
  });

  it('leaves its argument as it was', () => {
    const bed = ready();
    const arg = mapArg({ iova: 0n, size: PAGE });
    const { outcome } = bed.takeOutcome({ op: 'ioctl', fd: 'container', request: VFIO_IOMMU_MAP_DMA, arg });
    expect(outcome?.out).to.deep.equal([]);
  });

  it('reads no more than the structure', () => {
    const bed = ready();
    const short = inline(new Uint8Array(31));
    // What lies behind a short argument are guard bytes, so the structure reads as nonsense, but it reads.
    expect(bed.ioctl('container', VFIO_IOMMU_MAP_DMA, short)).to.equal('EINVAL');
  });
});
