import { CONFIG, edu, eduOf } from '../harness/cases/edu.ts';
import {
  clause,
  each,
  inline,
  NULL,
  pointerTo,
  READ,
  type Scenario,
  test,
  u32,
  u64,
  WRITE,
} from '../harness/cases/index.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const A = { iova: 0x10000n, size: 0x1000n };

clause('device/reaches-mappings', () => {
  test('reads and writes bring the right bytes', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.memory.write(u64(0x1122334455667788n), 0x100n);
    c.map({ iova: 0x10000n, size: 0x2000n }).succeeds();
    reads(0x10100n);
    writes(0x11200n);
    c.memory.read(0x1200n, 8n).shows(0, u64(0x1122334455667788n));
    c.memory.read(0x1210n, 8n).shows(0, u64(0x1111111111111111n));
  });
  test('nothing after unmap', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    reads(A.iova);
    c.unmap(A).succeeds();
    c.memory.fill(0x22);
    writes(A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x2222222222222222n));
  });
  test('nothing outside any mapping', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    reads(A.iova);
    writes(0x20000n);
    c.memory.read(0n, 16n).shows(0, u64(0x1111111111111111n));
  });
});

clause('device/write-needs-write', () => {
  test('a mapping to be read only', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.map({ ...A, flags: READ }).succeeds();
    reads(A.iova);
    c.memory.fill(0x22);
    writes(A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x2222222222222222n));
  });
});

clause('device/read-needs-read', () => {
  test('a mapping to be written only takes writes', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    reads(A.iova);
    c.unmap(A).succeeds();
    c.memory.fill(0x22);
    c.map({ ...A, flags: WRITE }).succeeds();
    writes(A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x1111111111111111n));
  });
  test('a mapping to be written only, where the IOMMU grants that without reading, shows nothing', (s) => {
    const { c, reads, writes } = edu(s);
    const other = { iova: 0x20000n, size: 0x1000n };
    c.memory.fill(0x11);
    c.map({ ...A, flags: WRITE }).succeeds();
    c.map({ ...other, vaddr: c.memory.at(0x1000n) }).succeeds();
    reads(A.iova);
    writes(other.iova);
    // With VT-d every mapping can be read on some kernels: it is the model that says what is seen.
    c.memory.read(0x1000n, 16n).succeeds();
  });
});

/** A VFIO_DEVICE_GET_INFO argument of `room` bytes, full of 0xee but for argsz. */
const info = (argsz: number, room = 20) => {
  const bytes = new Uint8Array(room).fill(0xee);
  bytes.set(u32(argsz).subarray(0, room));
  return inline(bytes);
};

clause('device/get-info', () => {
  test('succeeds', (s) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(20)).returns(0));
});

clause('device/info-argsz', () => {
  each(
    { '0': 0, '15': 15 },
    (s, argsz) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(argsz)).refused('EINVAL'),
  );
  each(
    { '16': 16, '20': 20, '4096': 4096 },
    (s, argsz) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(argsz, 64)).succeeds(),
  );
});

clause('device/info-within-argsz', () => {
  const sizes = Array.from({ length: 20 }, (_, index) => 16 + index);
  each(Object.fromEntries(sizes.map((argsz) => [`argsz ${argsz}`, argsz])), (s, argsz) => {
    edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(argsz, argsz)).succeeds();
  });
});

clause('device/info-regions', () => {
  test('nine', (s) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(16)).shows(8, u32(9)));
});

clause('device/info-interrupts', () => {
  test('five', (s) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_INFO, info(16)).shows(12, u32(5)));
});

const region = (index: number, argsz = 32) => inline(encode(uapi.vfioRegionInfo, { argsz, index }));

clause('device/get-region-info', () => {
  each(
    { BAR0: 0, 'config space': 7 },
    (s, index) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, region(index)).returns(0),
  );
});

clause('device/region-info-argsz', () => {
  each(
    { '0': 0, '31': 31 },
    (s, argsz) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, region(0, argsz)).refused('EINVAL'),
  );
});

clause('device/unknown-region', () => {
  each(
    { 'one behind the last': 9, 'the largest': 0xffffffff },
    (s, index) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, region(index)).refused('EINVAL'),
  );
});

clause('device/region-size', () => {
  test('BAR0 is 1 MiB', (s) =>
    void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, region(0)).shows(16, u64(0x100000n)));
});

clause('device/region-offset', () => {
  test('config space', (s) =>
    void edu(s).device.ioctl(uapi.VFIO_DEVICE_GET_REGION_INFO, region(7)).shows(24, u64(CONFIG)));
});

const GET_INFO = uapi.VFIO_DEVICE_GET_INFO;
const GET_REGION_INFO = uapi.VFIO_DEVICE_GET_REGION_INFO;

/** An argument in memory that can be read but not written. */
const readOnly = (s: Scenario, argsz: number) => {
  const memory = s.main.memory(0x1000);
  memory.write(u32(argsz)).succeeds();
  memory.protect('r').succeeds();
  return pointerTo(memory.at());
};

clause('device/unreadable-info', () => {
  test('null', (s) => void edu(s).device.ioctl(GET_INFO, NULL).refused('EFAULT'));
});

clause('device/unwritable-info', () => {
  test('read-only', (s) => void edu(s).device.ioctl(GET_INFO, readOnly(s, 20)).refused('EFAULT'));
});

clause('device/unreadable-region-info', () => {
  test('null', (s) => void edu(s).device.ioctl(GET_REGION_INFO, NULL).refused('EFAULT'));
});

clause('device/unwritable-region-info', () => {
  test('read-only', (s) => void edu(s).device.ioctl(GET_REGION_INFO, readOnly(s, 32)).refused('EFAULT'));
});

clause('device/info-flags', () => {
  test('PCI, no reset, no capabilities', (s) => void edu(s).device.ioctl(GET_INFO, info(20)).shows(4, u32(2)));
});

clause('device/info-cap-offset', () => {
  test('no capabilities', (s) => void edu(s).device.ioctl(GET_INFO, info(20)).shows(16, u32(0)));
});

clause('device/reset', () => {
  test('of a device that says it can be reset', (s) => {
    s.needs({
      reason: 'edu cannot be reset',
      met: ({ groups }) => groups[0]?.devices[0]?.kind === 'opaque',
    });
    edu(s).device.ioctl(uapi.VFIO_DEVICE_RESET, NULL).succeeds();
  });
});

clause('device/reset-unsupported', () => {
  test('edu', (s) => void edu(s).device.ioctl(uapi.VFIO_DEVICE_RESET, NULL).refused('EINVAL'));
});

clause('device/region-flags', () => {
  each(
    { 'BAR0: read, write, mmap': [0, 7], 'BAR1: not there': [1, 0], 'config space: read, write': [7, 3] } as const,
    (s, [index, flags]) => {
      edu(s).device.ioctl(GET_REGION_INFO, region(index)).shows(4, u32(flags));
    },
  );
});

clause('device/region-cap-offset', () => {
  each({ BAR0: 0, 'config space': 7 }, (s, index) => {
    edu(s).device.ioctl(GET_REGION_INFO, region(index)).succeeds();
  });
});

clause('device/config-identity', () => {
  test('edu', (s) => {
    const { device } = edu(s);
    s.main
      .does({ op: 'pread', fd: device.fd, offset: CONFIG, size: 4n })
      .shows(0, Uint8Array.of(0x34, 0x12, 0xe8, 0x11));
  });
});

/** Whether a transfer to memory arrives: the device's buffer is loaded before. */
const transfers = (s: Scenario, before: (command: (value: number) => void) => void, arrives: boolean): void => {
  const { c, command, reads, writes } = edu(s);
  c.memory.fill(0x11);
  c.map(A).succeeds();
  reads(A.iova);
  c.memory.fill(0x22);
  before(command);
  writes(A.iova);
  c.memory.read(0n, 16n).shows(0, u64(arrives ? 0x1111111111111111n : 0x2222222222222222n));
};

clause('device/bus-master', () => {
  test('stops', (s) => transfers(s, (command) => command(2), false));
  test('stops and begins again', (s) =>
    transfers(
      s,
      (command) => {
        command(2);
        command(6);
      },
      true,
    ));
});

clause('device/opens-quiet', () => {
  /** Loads the device's buffer, lets it go, opens it again, and says whether a transfer arrives. */
  const reopened = (s: Scenario, leaves: boolean, begin: boolean, arrives: boolean): void => {
    const { c, device, registers, reads } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    reads(A.iova);
    c.memory.fill(0x22);
    if (leaves) registers.hole(0n, registers.size).succeeds();
    device.close().succeeds();
    const again = eduOf(s, c, { master: begin });
    again.writes(A.iova);
    c.memory.read(0n, 16n).shows(0, u64(arrives ? 0x1111111111111111n : 0x2222222222222222n));
  };
  test('closed and opened again', (s) => reopened(s, true, false, false));
  test('closed, opened again and enabled', (s) => reopened(s, true, true, true));
  test('its registers mapped all the time: it is not opened first again', (s) => reopened(s, false, false, true));
});

clause('device/maps-registers', () => {
  each({ 'all of BAR0': 0x100000, 'its first page': 0x1000 }, (s, size) => {
    const { device } = edu(s);
    const registers = s.main.maps(device.fd, size);
    s.main.does({ op: 'peek', name: registers.name, offset: 0n, width: 4n }).returns(0x010000ed);
  });
  const refusedAt = (s: Scenario, start: bigint, size: bigint, share: 'shared' | 'private') => {
    const { device } = edu(s);
    s.main.does({ op: 'map', name: 'refused', fd: device.fd, start, size, share }).refused('EINVAL');
  };
  test('not private', (s) => refusedAt(s, 0n, 0x1000n, 'private'));
  test('not beyond its end', (s) => refusedAt(s, 0n, 0x101000n, 'shared'));
  test('not config space', (s) => refusedAt(s, CONFIG, 0x1000n, 'shared'));
});

clause('device/keeps-pages', () => {
  test('vaddr is unmapped in the process', (s) => {
    const { c, reads, writes } = edu(s);
    const other = { iova: 0x20000n, size: 0x1000n };
    c.memory.fill(0x11);
    c.map(A).succeeds();
    c.map({ ...other, vaddr: c.memory.at(0x2000n) }).succeeds();
    c.memory.hole(0n, 0x1000n).succeeds();
    reads(A.iova);
    c.memory.fill(0x22, 0x2000n, 0x1000n);
    writes(other.iova);
    c.memory.read(0x2000n, 16n).shows(0, u64(0x1111111111111111n));
  });
});

clause('device/sees-later-writes', () => {
  const kinds = { 'nobody had written': {}, 'is shared': { share: 'shared' } } as const;
  for (const [kind, options] of Object.entries(kinds)) {
    for (const [access, flags] of Object.entries({ 'to be read': READ, 'for both': READ | WRITE })) {
      test(`memory that ${kind}, ${access}`, (s) => {
        const { c, reads, writes } = edu(s);
        const memory = s.main.memory(0x1000, options);
        c.map({ ...A, vaddr: memory.at(), flags }).succeeds();
        c.map({ iova: 0x20000n, size: 0x1000n }).succeeds();
        memory.fill(0x33);
        reads(A.iova);
        writes(0x20000n);
        c.memory.read(0n, 16n).shows(0, u64(0x3333333333333333n));
      });
    }
  }
  test('written after the mapping was made', (s) => {
    const { c, reads, writes } = edu(s);
    c.memory.fill(0x11);
    c.map({ iova: A.iova, size: 0x2000n }).succeeds();
    c.memory.write(u64(0x3333333333333333n), 0x40n);
    reads(A.iova + 0x40n);
    writes(A.iova + 0x1000n);
    c.memory.read(0x1000n, 8n).shows(0, u64(0x3333333333333333n));
  });
});
