import { expect } from 'chai';
import { encode } from '../../uapi/struct.ts';
import * as uapi from '../../uapi/vfio.ts';
import { inline, number, outBytes, PAGE, PLATFORM, ready } from './testbed.ts';

const COMMAND_AT = (7n << 40n) + 4n;
const BUFFER = 0x40000n;
const READ = 1;
const WRITE = 2;

/** A device that may do DMA, with its registers mapped. */
const withDevice = (options: Parameters<typeof ready>[0] = {}) => {
  const bed = ready(options);
  bed.openDevice();
  bed.take({ op: 'map', name: 'bar', fd: 'device', start: 0n, size: 0x10_0000n, share: 'shared' });
  bed.take({ op: 'pwrite', fd: 'device', offset: COMMAND_AT, data: Uint8Array.of(6, 0) });
  const poke = (offset: bigint, value: bigint) => bed.take({ op: 'poke', name: 'bar', offset, width: 4n, value });
  const poke64 = (offset: bigint, value: bigint) => bed.take({ op: 'poke', name: 'bar', offset, width: 8n, value });
  const transfer = (source: bigint, destination: bigint, size: bigint, toMemory: boolean): void => {
    poke64(0x80n, source);
    poke64(0x88n, destination);
    poke64(0x90n, size);
    poke64(0x98n, toMemory ? 3n : 1n);
    bed.take({ op: 'await', name: 'bar', offset: 0x98n, width: 8n, mask: 1n, value: 0n, timeout_ms: 1000n });
  };
  return {
    ...bed,
    poke,
    /** The device reads memory at one IOVA and writes it at another; bytes. */
    copy: (from: bigint, to: bigint, size: bigint): void => {
      transfer(from, BUFFER, size, false);
      transfer(BUFFER, to, size, true);
    },
  };
};

const TEXT = Uint8Array.from(Buffer.from('what the device carried'));
const OTHER = Uint8Array.from(TEXT).reverse();
const SIZE = BigInt(TEXT.length);
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString().replaceAll('\0', '');
const SAID = text(TEXT);

describe('device access', () => {
  it('moves bytes between mappings, wherever their memory lies', () => {
    const bed = withDevice();
    bed.take({ op: 'write', name: 'ram', offset: 3n * PAGE + 5n, data: TEXT });
    bed.map({ iova: 0x1_0000_0000n, size: 4n * PAGE });
    bed.map({ iova: 0x2000n, size: PAGE, vaddr: { memory: 'ram', offset: 9n * PAGE } });
    bed.copy(0x1_0000_3005n, 0x2010n, SIZE);
    expect(text(bed.read('ram', 9n * PAGE + 16n, SIZE))).to.equal(SAID);
  });

  it('crosses from one mapping into its neighbour', () => {
    const bed = withDevice();
    bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
    bed.map({ iova: 0n, size: PAGE });
    bed.map({ iova: 2n * PAGE, size: PAGE, vaddr: { memory: 'ram', offset: 8n * PAGE } });
    bed.map({ iova: 3n * PAGE, size: PAGE, vaddr: { memory: 'ram', offset: 5n * PAGE } });
    bed.copy(0n, 3n * PAGE - 4n, SIZE);
    expect(text(bed.read('ram', 9n * PAGE - 4n, 4n)) + text(bed.read('ram', 5n * PAGE, SIZE - 4n))).to.equal(SAID);
  });

  const directions: Record<string, [iommu: 'intel' | 'amd', flags: number, reads: boolean, writes: boolean]> = {
    'READ and WRITE': ['intel', READ | WRITE, true, true],
    'READ only': ['intel', READ, true, false],
    'WRITE only behind VT-d': ['intel', WRITE, true, true],
    'WRITE only behind an AMD IOMMU': ['amd', WRITE, false, true],
  };
  for (const [title, [kind, flags, reads, writes]] of Object.entries(directions)) {
    it(`with ${title} is ${reads ? '' : 'not '}read and ${writes ? '' : 'not '}written`, () => {
      const bed = withDevice({ platform: { ...PLATFORM, iommu: { ...PLATFORM.iommu, kind } } });
      bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
      bed.map({ iova: 0n, size: PAGE });
      bed.map({ iova: PAGE, size: PAGE, vaddr: { memory: 'ram', offset: 8n * PAGE }, flags });
      bed.copy(0n, PAGE, SIZE);
      expect(text(bed.read('ram', 8n * PAGE, SIZE)) === SAID).to.equal(writes);
      // Another text, so that what the device still holds of the first is not taken for it.
      bed.take({ op: 'write', name: 'ram', offset: 8n * PAGE, data: OTHER });
      bed.copy(PAGE, 0x800n, SIZE);
      expect(text(bed.read('ram', 0x800n, SIZE))).to.equal(reads ? text(OTHER) : '');
    });
  }

  it('shows what the process wrote after it was mapped, into shared and private, touched and untouched memory', () => {
    const bed = withDevice();
    bed.map({ iova: 0n, size: PAGE });
    for (const share of ['shared', 'private'] as const) {
      bed.take({ op: 'mem', name: share, size: PAGE, share });
      bed.map({ iova: PAGE, size: PAGE, vaddr: { memory: share }, flags: READ });
      for (const said of [SAID, text(OTHER)]) {
        bed.take({ op: 'write', name: share, offset: 0n, data: Buffer.from(said) });
        bed.copy(PAGE, 0x800n, SIZE);
        expect(text(bed.read('ram', 0x800n, SIZE)), share).to.equal(said);
      }
      bed.unmap({ iova: PAGE, size: PAGE });
    }
  });

  it('ends with the mapping', () => {
    const bed = withDevice();
    bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
    bed.map({ iova: 0n, size: PAGE });
    bed.map({ iova: PAGE, size: PAGE, vaddr: { memory: 'ram', offset: 8n * PAGE } });
    bed.unmap({ iova: PAGE, size: PAGE });
    bed.copy(0n, PAGE, SIZE);
    expect(text(bed.read('ram', 8n * PAGE, SIZE))).to.equal('');
  });

  it('goes on while a vaddr is invalid, to the pages that were pinned', () => {
    const bed = withDevice();
    bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
    bed.map({ iova: 0n, size: PAGE });
    bed.unmap({ iova: 0n, size: PAGE, flags: 4 });
    bed.copy(0n, 0x800n, SIZE);
    expect(text(bed.read('ram', 0x800n, SIZE))).to.equal(SAID);
    bed.map({ iova: 0n, size: PAGE, flags: 4, vaddr: { memory: 'ram', offset: 8n * PAGE } });
    bed.copy(0n, 0x900n, SIZE);
    expect(text(bed.read('ram', 0x900n, SIZE))).to.equal(SAID);
    expect(text(bed.read('ram', 8n * PAGE + 0x900n, SIZE))).to.equal('');
  });

  it('is for the devices of all groups of the container, and of no other', () => {
    const bed = ready();
    bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
    bed.map({ iova: 0n, size: PAGE });
    bed.openGroup('other', '/dev/vfio/3');
    bed.setContainer('other');
    expect(bed.openDevice('device', '0000:00:04.0', 'other')).to.equal('0+');
  });

  it('needs the bus master bit, which opening clears', () => {
    const bed = withDevice();
    bed.take({ op: 'write', name: 'ram', offset: 0n, data: TEXT });
    bed.map({ iova: 0n, size: PAGE });
    bed.take({ op: 'pwrite', fd: 'device', offset: COMMAND_AT, data: Uint8Array.of(2, 0) });
    bed.copy(0n, 0x800n, SIZE);
    expect(text(bed.read('ram', 0x800n, SIZE))).to.equal('');
  });
});

describe('device', () => {
  const infoArg = (argsz: number) => inline(encode(uapi.vfioDeviceInfo, { argsz }));
  for (const [argsz, said, written] of [
    [15, 'EINVAL', 0],
    [16, '0', 16],
    [19, '0', 16],
    [20, '0', 20],
    [64, '0', 20],
  ] as const) {
    it(`answers GET_INFO with argsz ${argsz} with ${said}`, () => {
      const bed = withDevice();
      const op = { op: 'ioctl', fd: 'device', request: uapi.VFIO_DEVICE_GET_INFO, arg: infoArg(argsz) } as const;
      const { said: found, outcome } = bed.takeOutcome(op);
      expect(found).to.equal(said);
      const out = outcome?.out;
      if (out === 'anything' || written === 0) return;
      expect(
        Math.max(...(out ?? []).map(({ at, bytes }) => at + (typeof bytes === 'number' ? bytes : bytes.length))),
      ).to.equal(written);
      expect([...outBytes(outcome, 20).subarray(4, 16)]).to.deep.equal([2, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0]);
    });
  }

  const regions: Record<string, [index: number, said: string, flags: number, size: bigint]> = {
    'BAR 0': [0, '0', 7, 0x10_0000n],
    'BAR 1': [1, '0', 0, 0n],
    ROM: [6, '0', 0, 0n],
    'config space': [7, '0', 3, 256n],
    VGA: [8, 'EINVAL', 0, 0n],
    'one behind the last': [9, 'EINVAL', 0, 0n],
    'the largest index': [0xffff_ffff, 'EINVAL', 0, 0n],
  };
  for (const [title, [index, said, flags, size]] of Object.entries(regions)) {
    it(`answers GET_REGION_INFO of ${title} with ${said}`, () => {
      const arg = inline(encode(uapi.vfioRegionInfo, { argsz: 32, index }));
      const bed = withDevice();
      const { said: found, outcome } = bed.takeOutcome({
        op: 'ioctl',
        fd: 'device',
        request: uapi.VFIO_DEVICE_GET_REGION_INFO,
        arg,
      });
      expect(found).to.equal(said);
      if (said !== '0') return;
      const bytes = Buffer.from(outBytes(outcome, 32));
      expect([bytes.readUInt32LE(4), bytes.readBigUInt64LE(16), bytes.readBigUInt64LE(24)]).to.deep.equal([
        flags,
        size,
        BigInt(index) << 40n,
      ]);
    });
  }

  it('refuses arguments that cannot be read or are too short', () => {
    const bed = withDevice();
    expect(bed.ioctl('device', uapi.VFIO_DEVICE_GET_INFO, number(0))).to.equal('EFAULT');
    expect(bed.ioctl('device', uapi.VFIO_DEVICE_GET_REGION_INFO, number(0))).to.equal('EFAULT');
    const short = inline(encode(uapi.vfioRegionInfo, { argsz: 31 }));
    expect(bed.ioctl('device', uapi.VFIO_DEVICE_GET_REGION_INFO, short)).to.equal('EINVAL');
  });

  it('cannot be reset when it says so', () => {
    expect(withDevice().ioctl('device', uapi.VFIO_DEVICE_RESET, number(0))).to.equal('EINVAL');
  });

  it('leaves other requests open', () => {
    expect(withDevice().ioctl('device', 0x3b6dn, number(0))).to.match(/^unspecified/);
  });

  const maps: Record<string, [start: bigint, size: bigint, share: 'shared' | 'private', said: string]> = {
    'all of BAR 0': [0n, 0x10_0000n, 'shared', '0'],
    'its last page': [0xf_f000n, PAGE, 'shared', '0'],
    'a page over its end': [0xf_f000n, 2n * PAGE, 'shared', 'EINVAL'],
    'a private mapping': [0n, PAGE, 'private', 'EINVAL'],
    'BAR 1': [1n << 40n, PAGE, 'shared', 'EINVAL'],
    'config space': [7n << 40n, PAGE, 'shared', 'EINVAL'],
    'behind all regions': [9n << 40n, PAGE, 'shared', 'EINVAL'],
  };
  for (const [title, [start, size, share, said]] of Object.entries(maps)) {
    it(`answers mapping ${title} with ${said}`, () => {
      const bed = ready();
      bed.openDevice();
      expect(bed.take({ op: 'map', name: 'bar', fd: 'device', start, size, share })).to.equal(said);
    });
  }

  it('shows who it is in config space', () => {
    const { outcome } = withDevice().takeOutcome({ op: 'pread', fd: 'device', offset: 7n << 40n, size: 4n });
    expect(outBytes(outcome, 4)).to.deep.equal(Uint8Array.of(0x34, 0x12, 0xe8, 0x11));
  });

  it('promises little of a device that is not modelled', () => {
    const [group] = PLATFORM.groups;
    if (group === undefined) throw new Error('the platform has a group');
    const opaque = { name: 'device', address: '0000:00:03.0', kind: 'opaque' } as const;
    const bed = ready({ platform: { ...PLATFORM, groups: [{ ...group, devices: [opaque] }] } });
    bed.openDevice();
    expect(bed.ioctl('device', uapi.VFIO_DEVICE_RESET, number(0))).to.equal('0 or EINVAL');
    expect(bed.ioctl('device', uapi.VFIO_DEVICE_GET_INFO, infoArg(20))).to.equal('0');
    expect(bed.take({ op: 'map', name: 'bar', fd: 'device', start: 0n, size: PAGE, share: 'shared' })).to.match(
      /^unspecified/,
    );
  });
});
