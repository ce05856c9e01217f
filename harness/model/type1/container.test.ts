import { expect } from 'chai';
import * as uapi from '../../uapi/vfio.ts';
import { inline, mapArg, number, PAGE, PLATFORM, ready, testbed } from './testbed.ts';

const extension = (bed: ReturnType<typeof testbed>, id: bigint | number): string =>
  bed.ioctl('container', uapi.VFIO_CHECK_EXTENSION, number(id));

const bare = (platform = PLATFORM) => {
  const bed = testbed({ platform });
  bed.openContainer();
  return bed;
};

describe('container', () => {
  it('tells the version of the interface whatever it is given', () => {
    expect(bare().ioctl('container', uapi.VFIO_GET_API_VERSION, number(77))).to.equal('0');
  });

  const coherent = { ...PLATFORM, iommu: { ...PLATFORM.iommu, enforcesCacheCoherency: true } };
  const extensions: Record<string, [id: bigint, before: string, after: string, coherentAfter?: string]> = {
    type1: [1n, '1', '1'],
    'sPAPR TCE': [2n, '0', '0'],
    'type1 v2': [3n, '1', '1'],
    'cache coherence': [4n, '0', '0', '1'],
    EEH: [5n, '0', '0'],
    nesting: [6n, '1', '1'],
    'sPAPR TCE v2': [7n, '0', '0'],
    'no IOMMU': [8n, '0', '0'],
    'unmap all': [9n, '1', '1'],
    'update vaddr': [10n, '0', '1'],
    zero: [0n, '0', '0'],
    'one behind the last': [11n, '0', '0'],
    'a known one above 2^32': [(1n << 32n) + 1n, '0', '0'],
    'the largest number': [(1n << 64n) - 1n, '0', '0'],
  };
  for (const [title, [id, before, after, coherentAfter = after]] of Object.entries(extensions)) {
    it(`answers for ${title}: ${before} before, ${after} after SET_IOMMU`, () => {
      expect(extension(bare(), id)).to.equal(before);
      expect(extension(ready(), id)).to.equal(after);
      expect(extension(bare(coherent), id)).to.equal(before);
      expect(extension(ready({ platform: coherent }), id)).to.equal(coherentAfter);
    });
  }

  const types: Record<string, [type: bigint, withoutGroup: string, withGroup: string, again: string]> = {
    type1: [1n, 'EINVAL', '0', 'EINVAL'],
    'type1 v2': [3n, 'EINVAL', '0', 'EINVAL'],
    nesting: [6n, 'EINVAL', 'EINVAL', 'EINVAL'],
    'an extension that is no type': [9n, 'EINVAL', 'EINVAL', 'EINVAL'],
    'an unsupported type': [2n, 'EINVAL or ENODEV', 'ENODEV', 'EINVAL or ENODEV'],
    'an extension that comes later': [10n, 'EINVAL or ENODEV', 'ENODEV', 'EINVAL or ENODEV'],
    'an unknown type': [77n, 'EINVAL or ENODEV', 'ENODEV', 'EINVAL or ENODEV'],
  };
  for (const [title, [type, withoutGroup, withGroup, again]] of Object.entries(types)) {
    it(`answers SET_IOMMU with ${title}: ${withoutGroup} without a group, ${withGroup} with one, ${again} twice`, () => {
      const bed = bare();
      expect(bed.setIommu(type)).to.equal(withoutGroup);
      bed.openGroup();
      bed.setContainer();
      expect(bed.setIommu(type)).to.equal(withGroup);
      expect(ready().setIommu(type)).to.equal(again);
    });
  }

  it('refuses an IOMMU where interrupts can be forged', () => {
    const unsafe = { ...PLATFORM, iommu: { ...PLATFORM.iommu, isolatesMsi: false } };
    const bed = bare(unsafe);
    bed.openGroup();
    bed.setContainer();
    expect(bed.setIommu()).to.equal('EPERM');
  });

  it('knows no request of the IOMMU before there is one, and none that nobody defined', () => {
    const bed = bare();
    const map = mapArg({ iova: 0n, size: PAGE, vaddr: 0n });
    expect(bed.ioctl('container', uapi.VFIO_IOMMU_MAP_DMA, map)).to.equal('EINVAL');
    expect(bed.ioctl('container', 0x3b99n, number(0))).to.equal('EINVAL or ENOTTY');
    expect(ready().ioctl('container', 0x3b99n, number(0))).to.equal('ENOTTY');
    expect(ready().ioctl('container', uapi.VFIO_IOMMU_ENABLE, number(0))).to.equal('ENOTTY');
    expect(ready().ioctl('container', uapi.VFIO_GROUP_GET_STATUS, number(0))).to.equal('ENOTTY');
  });

  it('loses its state with its last group only', () => {
    const bed = ready();
    bed.openGroup('other', '/dev/vfio/3');
    bed.setContainer('other');
    bed.map({ iova: 0n, size: PAGE });
    bed.dirty(1);
    expect(bed.unsetContainer('group')).to.equal('0');
    expect(bed.locked()).to.equal(1);
    expect(bed.unsetContainer('other')).to.equal('0');
    expect(bed.locked()).to.equal(0);
    expect(bed.dirty(1)).to.equal('EINVAL');
    bed.setContainer();
    expect(bed.setIommu()).to.equal('0');
    expect(bed.map({ iova: 0n, size: PAGE })).to.equal('0');
  });

  it('takes the entry limit when its IOMMU is set', () => {
    const parameter = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
    const bed = testbed();
    bed.take({ op: 'open', fd: 'limit', path: parameter });
    expect(bed.take({ op: 'pwrite', fd: 'limit', offset: 0n, data: Buffer.from('2\n') })).to.equal('2');
    bed.openContainer();
    bed.openGroup();
    bed.setContainer();
    bed.setIommu();
    expect(bed.take({ op: 'pwrite', fd: 'limit', offset: 0n, data: Buffer.from('9') })).to.equal('1');
    expect(bed.take({ op: 'cat', path: parameter })).to.equal('2');
    bed.take({ op: 'mem', name: 'ram', size: PAGE });
    const said = [0n, 1n, 2n].map((page) => bed.map({ iova: page * PAGE, size: PAGE }));
    expect(said).to.deep.equal(['0', '0', 'ENOSPC']);
  });

  for (const text of ['', 'many', '-1', '4294967296', '0x10', '1 2', '5\n\n']) {
    it(`leaves it open what writing ${JSON.stringify(text)} to the entry limit does`, () => {
      const bed = testbed();
      bed.take({ op: 'open', fd: 'limit', path: '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit' });
      expect(bed.take({ op: 'pwrite', fd: 'limit', offset: 0n, data: Buffer.from(text) })).to.match(/^unspecified/);
    });
  }

  it('ends nothing when it is closed before its groups', () => {
    const bed = ready();
    bed.map({ iova: 0n, size: PAGE });
    bed.take({ op: 'close', fd: 'container' });
    expect(bed.locked()).to.equal(1);
    expect(bed.unsetContainer()).to.equal('0');
    expect(bed.locked()).to.equal(0);
  });

  it('is its own for each opening', () => {
    const bed = ready();
    bed.openContainer('second');
    const map = mapArg({ iova: 0n, size: PAGE });
    expect(bed.ioctl('second', uapi.VFIO_IOMMU_MAP_DMA, map)).to.equal('EINVAL');
    expect(bed.setContainer('group', 'second')).to.equal('EINVAL');
  });

  it('is reached through every descriptor of the one opening', () => {
    const bed = ready();
    bed.take({ op: 'dup', fd: 'copy', from: 'container' });
    bed.take({ op: 'close', fd: 'container' });
    expect(bed.ioctl('copy', uapi.VFIO_IOMMU_MAP_DMA, mapArg({ iova: 0n, size: PAGE }))).to.equal('0');
  });

  it('takes bytes of a request for what they are', () => {
    expect(ready().ioctl('container', uapi.VFIO_IOMMU_MAP_DMA, inline(new Uint8Array(32)))).to.equal('EINVAL');
  });
});
