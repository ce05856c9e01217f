import { expect } from 'chai';
import { VFIO_IOMMU_DIRTY_PAGES, VFIO_TYPE1_IOMMU, VFIO_TYPE1_NESTING_IOMMU } from '../../uapi/vfio.ts';
import { type DirtyFields, inline, number, outcomesOf, PAGE, ready } from './testbed.ts';

const TOP = 1n << 64n;
const START = 1;
const STOP = 2;
const GET = 4;
const pages = (start: bigint, count: bigint) => ({ iova: start * PAGE, size: count * PAGE });
const bits = { memory: 'bits' };

/** Mappings of pages 3 to 4, 60 to 67, and 256; logging is on, and there are two pages for bitmaps. */
const logged = () => {
  const bed = ready();
  for (const [start, count] of [
    [3n, 2n],
    [60n, 8n],
    [256n, 1n],
  ] as const) {
    bed.map(pages(start, count));
  }
  bed.dirty(START);
  bed.take({ op: 'mem', name: 'bits', size: 2n * PAGE });
  return bed;
};

/** The numbers of the bits that are set. */
const setIn = (bytes: Uint8Array): readonly number[] =>
  [...bytes].flatMap((byte, index) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (1 << bit)).map((bit) => index * 8 + bit),
  );

describe('DIRTY_PAGES', () => {
  const flags: Record<string, [flags: number, said: string]> = {
    start: [START, '0'],
    stop: [STOP, '0'],
    'no flag': [0, 'EINVAL'],
    'start and stop': [START | STOP, 'EINVAL'],
    'start and get': [START | GET, 'EINVAL'],
    'all flags': [7, 'EINVAL'],
    'an unknown flag': [8, 'EINVAL'],
    'the highest flag': [0x8000_0000, 'EINVAL'],
    'start and an unknown flag': [START | 8, 'EINVAL'],
    'get without a range': [GET, 'EINVAL'],
  };
  for (const [title, [flag, said]] of Object.entries(flags)) {
    it(`answers ${title} with ${said}`, () => {
      expect(ready().dirty(flag)).to.equal(said);
    });
  }

  it('is refused on v1, before anything is read', () => {
    const bed = ready({ type: VFIO_TYPE1_IOMMU });
    expect(bed.dirty(START)).to.equal('EACCES');
    expect(bed.dirty(0)).to.equal('EACCES');
    expect(bed.ioctl('container', VFIO_IOMMU_DIRTY_PAGES, number(0))).to.equal('EACCES or EFAULT');
  });

  it('starts and stops as often as it is asked', () => {
    const bed = logged();
    const get = () => bed.getDirty({ ...pages(0n, 64n * 8n), bitmap: { data: bits, size: 64n } });
    expect([bed.dirty(START), get(), bed.dirty(STOP), get(), bed.dirty(STOP), bed.dirty(START), get()]).to.deep.equal([
      '0',
      '0',
      '0',
      'EINVAL',
      '0',
      '0',
      '0',
    ]);
  });

  it('refuses a null argument, and one that ends before its range', () => {
    const bed = logged();
    expect(bed.ioctl('container', VFIO_IOMMU_DIRTY_PAGES, number(0))).to.equal('EFAULT');
    bed.take({ op: 'mem', name: 'edge', size: PAGE });
    bed.take({ op: 'write', name: 'edge', offset: PAGE - 8n, data: Uint8Array.of(48, 0, 0, 0, GET, 0, 0, 0) });
    const place = { memory: 'edge', offset: PAGE - 8n };
    expect(bed.ioctl('container', VFIO_IOMMU_DIRTY_PAGES, { kind: 'place', place })).to.equal('EFAULT');
  });

  it('takes an argsz below 8 for a mistake', () => {
    expect(ready().ioctl('container', VFIO_IOMMU_DIRTY_PAGES, inline(Uint8Array.of(7, 0, 0, 0, 1, 0, 0, 0)))).to.equal(
      'EINVAL',
    );
  });
});

describe('GET_BITMAP', () => {
  const bitmap = { data: bits, size: 64n };
  const whole = { ...pages(0n, 512n), bitmap };
  const requests: Record<string, [DirtyFields, string]> = {
    everything: [whole, '0'],
    'argsz one short': [{ ...whole, argsz: 47 }, 'EINVAL'],
    'argsz longer': [{ ...whole, argsz: 5000 }, '0'],
    'an iova within a page': [{ ...whole, iova: 1n }, 'EINVAL'],
    'a size within a page': [{ ...whole, size: 512n * PAGE - 1n }, 'EINVAL'],
    'no size': [{ ...whole, size: 0n }, 'EINVAL'],
    'a range that wraps': [{ ...whole, iova: TOP - PAGE, size: 2n * PAGE }, 'EINVAL'],
    'a range up to the top': [{ iova: TOP - 64n * PAGE, size: 64n * PAGE, bitmap }, '0 or EINVAL'],
    'no page size': [{ ...whole, bitmap: { ...bitmap, pgsize: 0n } }, 'EINVAL'],
    'a page size of three': [{ ...whole, bitmap: { ...bitmap, pgsize: 3n } }, 'EINVAL'],
    'larger pages': [{ ...whole, bitmap: { ...bitmap, pgsize: 0x20_0000n } }, 'EINVAL'],
    'smaller pages': [{ ...whole, bitmap: { ...bitmap, pgsize: 0x800n } }, 'EINVAL'],
    'an empty bitmap': [{ ...whole, bitmap: { ...bitmap, size: 0n } }, 'EINVAL'],
    'a bitmap one word short': [{ ...whole, bitmap: { ...bitmap, size: 56n } }, 'EINVAL'],
    'a bitmap one byte short': [{ ...whole, bitmap: { ...bitmap, size: 63n } }, 'EINVAL'],
    'a bitmap longer than needed': [{ ...whole, bitmap: { ...bitmap, size: 65n } }, '0'],
    'the largest bitmap': [{ ...whole, bitmap: { ...bitmap, size: 1n << 28n } }, '0'],
    'a larger one': [{ ...whole, bitmap: { ...bitmap, size: (1n << 28n) + 1n } }, 'EINVAL'],
    'a null bitmap': [{ ...whole, bitmap: { ...bitmap, data: 0n } }, 'EFAULT'],
    'a null bitmap for a hole': [{ ...pages(10n, 40n), bitmap: { ...bitmap, data: 0n } }, '0'],
    'a bitmap in kernel memory': [{ ...whole, bitmap: { ...bitmap, data: TOP - PAGE } }, 'EINVAL or EFAULT'],
    'a bitmap that wraps': [{ ...whole, bitmap: { data: TOP - 8n, size: 64n } }, 'EINVAL or EFAULT'],
    'half of a mapping, its start': [{ ...pages(60n, 4n), bitmap }, 'EINVAL'],
    'half of a mapping, its end': [{ ...pages(64n, 4n), bitmap }, 'EINVAL'],
    'the middle of a mapping': [{ ...pages(62n, 2n), bitmap }, 'EINVAL'],
    'a mapping exactly': [{ ...pages(60n, 8n), bitmap }, '0'],
  };
  for (const [title, [fields, said]] of Object.entries(requests)) {
    it(`answers ${title} with ${said}`, () => {
      expect(logged().getDirty(fields)).to.equal(said);
    });
  }

  it('sets the bits of all mappings, in one word and across two', () => {
    const bed = logged();
    bed.getDirty(whole);
    expect(setIn(bed.read('bits', 0n, 64n))).to.deep.equal([3, 4, 60, 61, 62, 63, 64, 65, 66, 67, 256]);
  });

  it('counts bits from the start of the range', () => {
    const bed = logged();
    bed.getDirty({ ...pages(59n, 200n), bitmap });
    expect(setIn(bed.read('bits', 0n, 64n))).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 197]);
  });

  it('says the same at every reading, and of what was mapped since', () => {
    const bed = logged();
    bed.getDirty(whole);
    bed.map(pages(300n, 1n));
    bed.take({ op: 'fill', name: 'bits', offset: 0n, size: 64n, byte: 0n });
    bed.getDirty(whole);
    expect(setIn(bed.read('bits', 0n, 64n))).to.deep.equal([3, 4, 60, 61, 62, 63, 64, 65, 66, 67, 256, 300]);
  });

  it('writes only the words of mappings', () => {
    const bed = logged();
    bed.take({ op: 'fill', name: 'bits', offset: 16n, size: 16n, byte: 0xffn });
    bed.take({ op: 'fill', name: 'bits', offset: 40n, size: 24n, byte: 0xffn });
    bed.getDirty(whole);
    const words = [0, 1, 2, 3, 4, 5, 6, 7].map((word) => setIn(bed.read('bits', BigInt(word * 8), 8n)).length);
    expect(words).to.deep.equal([6, 4, 64, 64, 1, 64, 64, 64]);
  });

  it('promises nothing of the bits that the caller left set in words that are written', () => {
    const bed = logged();
    bed.take({ op: 'fill', name: 'bits', offset: 0n, size: 64n, byte: 0x80n });
    bed.getDirty(whole);
    const open = outcomesOf(bed.ask({ op: 'read', name: 'bits', offset: 0n, size: 64n }))[0]?.out;
    const positions = (open === 'anything' ? [] : (open ?? [])).flatMap(({ at, bytes }) =>
      typeof bytes === 'number' ? Array.from({ length: bytes }, (_, index) => at + index) : [],
    );
    // Byte 7 has pages 60 to 63, so that its top bit is one of theirs; words 2 and 3, and those behind word 4, are not written.
    expect(positions).to.deep.equal([
      0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 32, 33, 34, 35, 36, 37, 38, 39,
    ]);
  });

  it('takes a bitmap at any address', () => {
    const bed = logged();
    bed.getDirty({ ...whole, bitmap: { data: { memory: 'bits', offset: 4091n }, size: 64n } });
    expect(setIn(bed.read('bits', 4091n, 64n))).to.deep.equal([3, 4, 60, 61, 62, 63, 64, 65, 66, 67, 256]);
  });

  it('refuses a bitmap that is read-only, or ends before the last mapping, and tells what it wrote', () => {
    const bed = logged();
    bed.take({ op: 'protect', name: 'bits', offset: PAGE, size: PAGE, prot: 'r' });
    expect(bed.getDirty({ ...whole, bitmap: { data: { memory: 'bits', offset: PAGE }, size: 64n } })).to.equal(
      'EFAULT',
    );
    // Words 0 to 3 lie in the first page; word 4, with page 256, lies in the second.
    const data = { memory: 'bits', offset: PAGE - 32n };
    expect(bed.getDirty({ ...whole, bitmap: { data, size: 64n } })).to.equal('EFAULT');
    expect(setIn(bed.read('bits', PAGE - 32n, 32n))).to.deep.equal([3, 4, 60, 61, 62, 63, 64, 65, 66, 67]);
  });

  it('reports for a nesting IOMMU as for v2', () => {
    // The type is refused on this hardware, so that the container stays without an IOMMU.
    expect(ready({ type: VFIO_TYPE1_NESTING_IOMMU }).dirty(START)).to.equal('EINVAL');
  });

  it('writes the megabytes of a large mapping at the speed of a fill', () => {
    const bed = ready();
    const gib = 1n << 30n;
    bed.take({ op: 'mem', name: 'big', size: 64n * gib });
    bed.map({ iova: 4n * gib, size: 64n * gib, vaddr: { memory: 'big' } });
    bed.take({ op: 'mem', name: 'bits', size: 2n << 20n });
    bed.dirty(START);
    const request = { iova: 4n * gib, size: 64n * gib, bitmap: { data: bits, size: 2n << 20n } };
    expect(bed.getDirty(request)).to.equal('0');
    expect(bed.read('bits', (2n << 20n) - 2n, 2n)).to.deep.equal(Uint8Array.of(0xff, 0xff));
  });
});
