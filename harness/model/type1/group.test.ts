import { expect } from 'chai';
import { encode } from '../../uapi/struct.ts';
import * as uapi from '../../uapi/vfio.ts';
import { inline, number, outBytes, PAGE, PLATFORM, ready, testbed } from './testbed.ts';

const STATUS = uapi.VFIO_GROUP_GET_STATUS;
const statusArg = (argsz = 8) => inline(encode(uapi.vfioGroupStatus, { argsz }));

const opened = () => {
  const bed = testbed();
  bed.openContainer();
  bed.openGroup();
  return bed;
};

const flags = (bed: ReturnType<typeof testbed>): number => {
  const { outcome } = bed.takeOutcome({ op: 'ioctl', fd: 'group', request: STATUS, arg: statusArg() });
  return outBytes(outcome, 8)[4] ?? 0;
};

describe('group', () => {
  it('is opened once, by whomever, and again when it was closed', () => {
    const bed = opened();
    expect(bed.openGroup('again')).to.equal('EBUSY');
    bed.take({ op: 'spawn', child: 'child' });
    expect(bed.openGroup('again', '/dev/vfio/2', 'child')).to.equal('EBUSY');
    bed.take({ op: 'close', fd: 'group' });
    expect(bed.openGroup('again')).to.equal('EBUSY');
    bed.take({ op: 'close', fd: 'group' }, 'child');
    expect(bed.openGroup('again')).to.equal('0+');
    expect(bed.openGroup('other', '/dev/vfio/3')).to.equal('0+');
  });

  it('is viable, and says when it is in a container', () => {
    const bed = opened();
    expect(flags(bed)).to.equal(1);
    bed.setContainer();
    expect(flags(bed)).to.equal(3);
    bed.unsetContainer();
    expect(flags(bed)).to.equal(1);
  });

  for (const [argsz, said] of [
    [0, 'EINVAL'],
    [7, 'EINVAL'],
    [8, '0'],
    [9, '0'],
    [0xffff_ffff, '0'],
  ] as const) {
    it(`answers a status with argsz ${argsz} with ${said}`, () => {
      expect(opened().ioctl('group', STATUS, statusArg(argsz))).to.equal(said);
    });
  }

  it('refuses a status that cannot be read, or not be written', () => {
    const bed = opened();
    expect(bed.ioctl('group', STATUS, number(0))).to.equal('EFAULT');
    bed.take({ op: 'mem', name: 'arg', size: PAGE });
    bed.take({ op: 'write', name: 'arg', offset: 0n, data: Uint8Array.of(8) });
    bed.take({ op: 'protect', name: 'arg', offset: 0n, size: PAGE, prot: 'r' });
    expect(bed.ioctl('group', STATUS, { kind: 'place', place: { memory: 'arg', offset: 0n } })).to.equal('EFAULT');
  });

  const containers: Record<string, [arg: Parameters<ReturnType<typeof testbed>['ioctl']>[2], said: string]> = {
    'a container': [inline(new Uint8Array(4), { kind: 'fd', at: 0, fd: 'container' }), '0'],
    'a file that is none': [inline(new Uint8Array(4), { kind: 'fd', at: 0, fd: 'memory' }), 'EINVAL'],
    itself: [inline(new Uint8Array(4), { kind: 'fd', at: 0, fd: 'group' }), 'EINVAL'],
    'a negative number': [inline(Uint8Array.of(255, 255, 255, 255)), 'EBADF'],
    'a number that is no container of the program': [inline(Uint8Array.of(0, 0, 0, 0)), 'EBADF or EINVAL'],
    nothing: [number(0), 'EFAULT'],
  };
  for (const [title, [arg, said]] of Object.entries(containers)) {
    it(`answers SET_CONTAINER with ${title} with ${said}`, () => {
      const bed = opened();
      bed.take({ op: 'memfd', fd: 'memory', size: PAGE });
      expect(bed.ioctl('group', uapi.VFIO_GROUP_SET_CONTAINER, arg)).to.equal(said);
    });
  }

  it('belongs to one container at a time', () => {
    const bed = ready();
    bed.openContainer('second');
    expect(bed.setContainer()).to.equal('EINVAL');
    expect(bed.setContainer('group', 'second')).to.equal('EINVAL');
    bed.unsetContainer();
    expect(bed.unsetContainer()).to.equal('EINVAL');
    expect(bed.setContainer('group', 'second')).to.equal('0');
  });

  it('does not join where its reserved regions are mapped, or interrupts can be forged', () => {
    const [first, second] = PLATFORM.groups;
    if (first === undefined || second === undefined) throw new Error('the platform has two groups');
    const other = { ...second, reserved: [{ start: 0x2000n, end: 0x2fffn }] };
    const bed = ready({ platform: { ...PLATFORM, groups: [first, other] } });
    bed.map({ iova: 0x1000n, size: 2n * PAGE });
    bed.openGroup('other', '/dev/vfio/3');
    expect(bed.setContainer('other')).to.equal('EINVAL');
    bed.unmap({ iova: 0x1000n, size: 2n * PAGE });
    expect(bed.setContainer('other')).to.equal('0');
    expect(bed.map({ iova: 0x1000n, size: 2n * PAGE })).to.equal('EINVAL');
  });

  it('knows no other requests', () => {
    expect(opened().ioctl('group', uapi.VFIO_IOMMU_GET_INFO, number(0))).to.equal('ENOTTY');
  });

  it('gives its devices out by name once its container has an IOMMU', () => {
    const bed = opened();
    expect(bed.openDevice()).to.equal('EINVAL');
    expect(bed.openDevice('device', '0000:00:04.0')).to.equal('ENODEV or EINVAL');
    bed.setContainer();
    expect(bed.openDevice()).to.equal('EINVAL');
    bed.setIommu();
    expect(bed.openDevice()).to.equal('0+');
    expect(bed.openDevice('again')).to.equal('0+');
    const names = ['', '0000:00:03', '0000:00:03.0x', '0000:00:04.0', 'x'.repeat(4094)];
    for (const name of names) expect(bed.openDevice('wrong', name), name).to.equal('ENODEV');
    expect(bed.openDevice('blank', '0000:00:03.0  ')).to.equal('0+');
    expect(bed.openDevice('option', '0000:00:03.0 vf_token=1')).to.equal('EINVAL');
    expect(bed.openDevice('long', 'x'.repeat(4096))).to.equal('EINVAL');
    expect(bed.ioctl('group', uapi.VFIO_GROUP_GET_DEVICE_FD, number(0))).to.equal('EFAULT');
  });

  it('leaves it open whether a process has a descriptor left when it is limited', () => {
    const bed = ready();
    bed.take({ op: 'limit', resource: 'nofile', soft: 8n });
    expect(bed.openDevice()).to.equal('0+ or EMFILE');
  });

  it('stays in its container and busy as long as a device is open or mapped', () => {
    const bed = ready();
    bed.map({ iova: 0n, size: PAGE });
    bed.openDevice();
    bed.take({ op: 'map', name: 'bar', fd: 'device', start: 0n, size: PAGE, share: 'shared' });
    expect(bed.unsetContainer()).to.equal('EBUSY');
    bed.take({ op: 'close', fd: 'group' });
    expect(bed.locked()).to.equal(1);
    expect(bed.openGroup()).to.equal('EBUSY');
    bed.take({ op: 'close', fd: 'device' });
    expect(bed.openGroup()).to.equal('EBUSY');
    bed.take({ op: 'unmap', name: 'bar', offset: 0n, size: PAGE });
    expect(bed.locked()).to.equal(0);
    expect(bed.openGroup()).to.equal('0+');
  });

  it('leaves with the process that held it', () => {
    const bed = ready();
    bed.take({ op: 'spawn', child: 'child' });
    bed.take({ op: 'kill', victim: 'main' }, 'child');
    expect(bed.openGroup('again', '/dev/vfio/2', 'child')).to.equal('EBUSY');
    bed.take({ op: 'close', fd: 'group' }, 'child');
    expect(bed.openGroup('again', '/dev/vfio/2', 'child')).to.equal('0+');
  });
});
