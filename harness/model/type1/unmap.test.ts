import { expect } from 'chai';
import { VFIO_IOMMU_UNMAP_DMA, VFIO_TYPE1_IOMMU, VFIO_TYPE1v2_IOMMU } from '../../uapi/vfio.ts';
import { number, outBytes, outcomesOf, PAGE, ready, type UnmapFields, unmapArg, words } from './testbed.ts';

const TOP = 1n << 64n;
const ALL = 2;
const VADDR = 4;
const pages = (start: bigint, count: bigint) => ({ iova: start * PAGE, size: count * PAGE });

/** Three mappings: pages 8 to 15, 16 to 19, and (behind a hole) 32 to 35. */
const mapped = (type: bigint = VFIO_TYPE1v2_IOMMU) => {
  const bed = ready({ type });
  for (const [start, count] of [
    [8n, 8n],
    [16n, 4n],
    [32n, 4n],
  ] as const) {
    bed.map(pages(start, count));
  }
  return bed;
};

describe('UNMAP_DMA', () => {
  const arguments_: Record<string, [UnmapFields, string]> = {
    'argsz one short': [{ ...pages(8n, 8n), argsz: 23 }, 'EINVAL'],
    'argsz longer': [{ ...pages(8n, 8n), argsz: 1000 }, '0, 32768'],
    'the lowest unknown flag': [{ ...pages(8n, 8n), flags: 8 }, 'EINVAL'],
    'the highest unknown flag': [{ ...pages(8n, 8n), flags: 0x8000_0000 }, 'EINVAL'],
    'no size': [{ iova: 8n * PAGE, size: 0n }, 'EINVAL'],
    'half a page': [{ iova: 8n * PAGE, size: PAGE / 2n }, 'EINVAL'],
    'an iova within a page': [{ iova: 8n * PAGE + 1n, size: PAGE }, 'EINVAL'],
    'a range that wraps': [{ iova: TOP - PAGE, size: 2n * PAGE }, 'EINVAL'],
    'a range up to the top': [{ iova: 16n * PAGE, size: TOP - 16n * PAGE }, '0, 32768'],
    'all with an iova': [{ iova: PAGE, size: 0n, flags: ALL }, 'EINVAL'],
    'all with a size': [{ iova: 0n, size: PAGE, flags: ALL }, 'EINVAL'],
    all: [{ iova: 0n, size: 0n, flags: ALL }, '0, 65536'],
    'all vaddrs': [{ iova: 0n, size: 0n, flags: ALL | VADDR }, '0, 65536'],
    'a bitmap with all': [{ iova: 0n, size: 0n, flags: 1 | ALL, bitmap: { data: 0n, size: 8n } }, 'EINVAL'],
    'a bitmap with vaddr': [{ ...pages(8n, 8n), flags: 1 | VADDR, bitmap: { data: 0n, size: 8n } }, 'EINVAL'],
    'a bitmap that argsz leaves out': [{ ...pages(8n, 8n), flags: 1, argsz: 47 }, 'EINVAL'],
    'a bitmap while nothing is logged': [{ ...pages(8n, 8n), bitmap: { data: 0n, size: 8n } }, 'EINVAL'],
  };
  for (const [title, [fields, said]] of Object.entries(arguments_)) {
    it(`answers ${title} with ${said}`, () => {
      expect(mapped().unmap(fields)).to.equal(said);
    });
  }

  /** Of a range: what v1 and what v2 answer. */
  const ranges: Record<string, [start: bigint, count: bigint, v1: string, v2: string]> = {
    'one mapping': [8n, 8n, '0, 32768', '0, 32768'],
    'a hole': [20n, 12n, '0, 0', '0, 0'],
    'far from everything': [1000n, 1n, '0, 0', '0, 0'],
    'two neighbours': [8n, 12n, '0, 49152', '0, 49152'],
    'all three and the holes': [0n, 64n, '0, 65536', '0, 65536'],
    'the start of one': [8n, 4n, '0, 32768', 'EINVAL'],
    'the end of one': [12n, 4n, '0, 0', 'EINVAL'],
    'the middle of one': [10n, 2n, '0, 0', 'EINVAL'],
    'from within one over the next': [12n, 8n, '0, 0', 'EINVAL'],
    'from one into the next': [8n, 10n, '0, 49152', 'EINVAL'],
    'from a hole into one': [30n, 4n, '0, 16384', 'EINVAL'],
    'from a hole over one': [30n, 6n, '0, 16384', '0, 16384'],
  };
  for (const [title, [start, count, v1, v2]] of Object.entries(ranges)) {
    it(`answers ${title} with ${v1} on v1 and ${v2} on v2`, () => {
      expect(mapped(VFIO_TYPE1_IOMMU).unmap(pages(start, count))).to.equal(v1);
      expect(mapped().unmap(pages(start, count))).to.equal(v2);
    });
  }

  it('knows the range up to the top that is taken for nothing as a deviation', () => {
    const op = { op: 'ioctl', fd: 'container', request: VFIO_IOMMU_UNMAP_DMA } as const;
    const top = unmapArg({ iova: 16n * PAGE, size: TOP - 16n * PAGE });
    const bed = mapped();
    const [, mistaken] = outcomesOf(bed.ask({ ...op, arg: top }));
    expect(mistaken?.breaks?.map(({ id }) => id)).to.deep.equal(['unmap/up-to-the-top']);
    expect(outBytes(mistaken, 24).subarray(16)).to.deep.equal(new Uint8Array(8));
    mistaken?.commit();
    expect(bed.locked()).to.equal(16);
    expect(outcomesOf(ready().ask({ ...op, arg: top }))).to.have.length(1);
  });

  it('changes nothing when it is refused', () => {
    const bed = mapped();
    bed.unmap(pages(8n, 4n));
    expect(bed.locked()).to.equal(16);
    expect(bed.map(pages(8n, 1n))).to.equal('EEXIST');
  });

  it('gives back what was charged, and the range', () => {
    const bed = mapped();
    expect(bed.locked()).to.equal(16);
    bed.unmap(pages(8n, 12n));
    expect(bed.locked()).to.equal(4);
    expect(bed.map(pages(8n, 12n))).to.equal('0');
  });

  it('returns the size of what was unmapped and nothing else', () => {
    const bed = mapped();
    const arg = unmapArg(pages(0n, 64n));
    const { outcome } = bed.takeOutcome({ op: 'ioctl', fd: 'container', request: VFIO_IOMMU_UNMAP_DMA, arg });
    const out = outcome?.out;
    expect(out).to.have.length(1);
    expect(out?.[0]).to.deep.include({ at: 16, bytes: Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 0) });
  });

  it('refuses a null argument', () => {
    expect(mapped().ioctl('container', VFIO_IOMMU_UNMAP_DMA, number(0))).to.equal('EFAULT');
  });

  it('unmaps even when the size cannot be returned', () => {
    const bed = mapped();
    bed.take({ op: 'mem', name: 'arg', size: PAGE });
    const argument = new Uint8Array(24);
    new DataView(argument.buffer).setUint32(0, 24, true);
    new DataView(argument.buffer).setBigUint64(16, 64n * PAGE, true);
    bed.take({ op: 'write', name: 'arg', offset: 0n, data: argument });
    bed.take({ op: 'protect', name: 'arg', offset: 0n, size: PAGE, prot: 'r' });
    const place = { memory: 'arg', offset: 0n };
    expect(bed.ioctl('container', VFIO_IOMMU_UNMAP_DMA, { kind: 'place', place })).to.equal('EFAULT');
    expect(bed.locked()).to.equal(0);
  });

  it('returns the size where the argument lies', () => {
    const bed = mapped();
    bed.take({ op: 'mem', name: 'arg', size: PAGE });
    const argument = new Uint8Array(24);
    new DataView(argument.buffer).setUint32(0, 24, true);
    new DataView(argument.buffer).setBigUint64(16, 64n * PAGE, true);
    bed.take({ op: 'write', name: 'arg', offset: 0n, data: argument });
    const place = { memory: 'arg', offset: 0n };
    expect(bed.ioctl('container', VFIO_IOMMU_UNMAP_DMA, { kind: 'place', place })).to.equal('0');
    expect(bed.read('arg', 16n, 8n)).to.deep.equal(Uint8Array.of(0, 0, 1, 0, 0, 0, 0, 0));
  });

  it('answers many mappings at once', () => {
    const bed = ready();
    for (let index = 0n; index < 5000n; index++) bed.map({ iova: index * 2n * PAGE, size: PAGE });
    expect(bed.unmap({ iova: 0n, size: 10_000n * PAGE })).to.equal(`0, ${5000n * PAGE}`);
    expect(words(bed.ask({ op: 'status', field: 'VmLck' }))).to.equal('0');
  });
});

describe('UNMAP_DMA with a dirty bitmap', () => {
  const logged = () => {
    const bed = mapped();
    bed.dirty(1);
    bed.take({ op: 'mem', name: 'bits', size: PAGE });
    return bed;
  };

  it('reports every page of what it unmaps, counted from the start of the range', () => {
    const bed = logged();
    expect(bed.unmap({ ...pages(4n, 16n), bitmap: { data: { memory: 'bits' }, size: 8n } })).to.equal('0, 49152');
    expect(bed.read('bits', 0n, 16n)).to.deep.equal(
      Uint8Array.of(0xf0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    );
    expect(bed.locked()).to.equal(4);
  });

  const requests: Record<string, [{ size: bigint; pgsize?: bigint; data?: bigint }, string]> = {
    'an empty bitmap': [{ size: 0n }, 'EINVAL'],
    'less than a word': [{ size: 7n }, 'EINVAL'],
    'the largest bitmap': [{ size: 1n << 28n }, '0, 32768'],
    'a larger one': [{ size: (1n << 28n) + 8n }, 'EINVAL'],
    'larger pages': [{ size: 8n, pgsize: 0x20_0000n }, 'EINVAL'],
    'no page size': [{ size: 8n, pgsize: 0n }, 'EINVAL'],
    'null memory': [{ size: 8n, data: 0n }, 'EFAULT'],
    'kernel memory': [{ size: 8n, data: 0xffff_8000_0000_0000n }, 'EINVAL or EFAULT'],
  };
  for (const [title, [bitmap, said]] of Object.entries(requests)) {
    it(`answers ${title} with ${said}`, () => {
      expect(logged().unmap({ ...pages(8n, 8n), bitmap: { data: { memory: 'bits' }, ...bitmap } })).to.equal(said);
    });
  }

  it('keeps the mapping whose pages it cannot report, and those behind it', () => {
    const bed = ready();
    bed.map({ iova: 0n, size: PAGE });
    bed.map({ iova: 0x1000_0000n, size: PAGE });
    bed.dirty(1);
    // 64 Ki pages take two pages of bitmap: the second one is missing.
    bed.take({ op: 'mem', name: 'bits', size: PAGE });
    const range = { iova: 0n, size: 0x1000_1000n };
    expect(bed.unmap({ ...range, bitmap: { data: { memory: 'bits' }, size: 8200n } })).to.equal('EFAULT');
    expect(bed.unmap(range)).to.equal('0, 4096');
  });
});
