import { expect } from 'chai';
import { VFIO_IOMMU_GET_INFO } from '../../uapi/vfio.ts';
import { inline, number, outBytes, outcomesOf, PAGE, PLATFORM, ready } from './testbed.ts';

const ask = (bed: ReturnType<typeof ready>, argsz: number, room = Math.max(argsz, 16)) => {
  const bytes = new Uint8Array(room);
  new DataView(bytes.buffer).setUint32(0, argsz, true);
  return bed.ask({ op: 'ioctl', fd: 'container', request: VFIO_IOMMU_GET_INFO, arg: inline(bytes) });
};

/** Structure, migration (32 bytes), available (12 and 4 of padding), two ranges (16 + 32). */
const WHOLE = 24 + 32 + 16 + 48;
const u32 = (bytes: Uint8Array, at: number): number => Buffer.from(bytes).readUInt32LE(at);
const u64 = (bytes: Uint8Array, at: number): bigint => Buffer.from(bytes).readBigUInt64LE(at);

describe('GET_INFO', () => {
  for (let argsz = 0; argsz <= WHOLE + 1; argsz++) {
    it(`answers argsz ${argsz}`, () => {
      const bed = ready();
      if (argsz < 16) {
        expect(outcomesOf(ask(bed, argsz)).map(({ errno }) => errno)).to.deep.equal(['EINVAL']);
        return;
      }
      const [outcome] = outcomesOf(ask(bed, argsz));
      const bytes = outBytes(outcome, WHOLE);
      const fits = argsz >= WHOLE;
      expect(u32(bytes, 0), 'argsz').to.equal(fits ? argsz : WHOLE);
      expect(u32(bytes, 4), 'flags').to.equal(3);
      expect(u64(bytes, 8), 'page sizes').to.equal(0x4020_1000n);
      expect(u32(bytes, 16), 'cap_offset').to.equal(fits ? 24 : 0);
      const end = Math.max(
        ...(outcome?.out === 'anything' ? [] : (outcome?.out ?? [])).map(
          ({ at, bytes: b }) => at + (typeof b === 'number' ? b : b.length),
        ),
      );
      expect(end, 'written').to.equal(fits ? WHOLE : argsz >= 20 ? 20 : 16);
      expect(end).to.be.at.most(argsz);
    });
  }

  it('chains the capabilities that there are, each at a multiple of 8', () => {
    const bed = ready();
    bed.map({ iova: 0n, size: PAGE });
    const bytes = outBytes(outcomesOf(ask(bed, 4096))[0], WHOLE);
    const found: Record<number, number> = {};
    for (let at = u32(bytes, 16); at !== 0; at = u32(bytes, at + 4)) found[u32(bytes, at)] = at;
    const version1 = 1 << 16;
    expect(found).to.deep.equal({ [2 | version1]: 24, [3 | version1]: 56, [1 | version1]: 72 });
    expect([u32(bytes, 32), u64(bytes, 40), u64(bytes, 48)], 'migration').to.deep.equal([0, PAGE, 1n << 28n]);
    expect(u32(bytes, 64), 'available').to.equal(65_534);
    expect(u32(bytes, 80), 'ranges').to.equal(2);
    expect([88, 96, 104, 112].map((at) => u64(bytes, at))).to.deep.equal([
      0n,
      0xfedf_ffffn,
      0xfef0_0000n,
      0x7f_ffff_ffffn,
    ]);
  });

  it('knows the chain without padding as a deviation', () => {
    const [conforming, packed, ...others] = outcomesOf(ask(ready(), 4096));
    expect(conforming?.breaks).to.equal(undefined);
    expect(packed?.breaks?.map(({ id }) => id)).to.deep.equal(['info/capability-alignment']);
    expect(others).to.deep.equal([]);
    const bytes = outBytes(packed, WHOLE);
    expect([u32(bytes, 24 + 4), u32(bytes, 56 + 4), u32(bytes, 68 + 4)]).to.deep.equal([56, 68, 0]);
    const [, short] = outcomesOf(ask(ready(), 24));
    expect(u32(outBytes(short, WHOLE), 0)).to.equal(WHOLE - 4);
  });

  it('hides page sizes below that of the processor behind it', () => {
    const iommu = { ...PLATFORM.iommu, pageSizes: 0x20_0600n };
    const bytes = outBytes(outcomesOf(ask(ready({ platform: { ...PLATFORM, iommu } }), 20))[0], 20);
    expect(u64(bytes, 8)).to.equal(0x20_1000n);
  });

  it('refuses a null argument and one that is read-only', () => {
    const bed = ready();
    expect(bed.ioctl('container', VFIO_IOMMU_GET_INFO, number(0))).to.equal('EFAULT');
    bed.take({ op: 'mem', name: 'arg', size: PAGE });
    bed.take({ op: 'write', name: 'arg', offset: 0n, data: Uint8Array.of(16) });
    bed.take({ op: 'protect', name: 'arg', offset: 0n, size: PAGE, prot: 'r' });
    const place = { memory: 'arg', offset: 0n };
    expect(bed.ioctl('container', VFIO_IOMMU_GET_INFO, { kind: 'place', place })).to.equal('EFAULT');
  });

  it('tells the ranges of the groups that are there now', () => {
    const [first, second] = PLATFORM.groups;
    if (first === undefined || second === undefined) throw new Error('the platform has two groups');
    const other = { ...second, reserved: [...second.reserved, { start: 0n, end: 0xfffn }] };
    const bed = ready({ platform: { ...PLATFORM, groups: [first, other] } });
    const lowest = () => u64(outBytes(outcomesOf(ask(bed, 4096))[0], WHOLE), 88);
    expect(lowest()).to.equal(0n);
    bed.openGroup('other', '/dev/vfio/3');
    expect(bed.setContainer('other')).to.equal('0');
    expect(lowest()).to.equal(0x1000n);
    bed.unsetContainer('other');
    expect(lowest()).to.equal(0n);
  });
});
