import {
  clause,
  each,
  inline,
  READ,
  readyContainer,
  type Scenario,
  test,
  u32,
  u64,
  WRITE,
} from '../harness/cases/index.ts';
import { encode } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const A = { iova: 0x10000n, size: 0x1000n };
const CONFIG = 7n << 40n;
const BUFFER = 0x40000n;
const TO_DEVICE = 1n;
const TO_MEMORY = 3n;

/** The edu device of group0, its registers mapped, a bus master. */
const edu = (s: Scenario) => {
  const c = readyContainer(s);
  const device = c.groups[0]?.device();
  if (device === undefined) throw new Error('a ready container has a group');
  device.opened.succeeds();
  s.main.does({ op: 'pwrite', fd: device.fd, offset: CONFIG + 4n, data: new Uint8Array([6, 0]) }).succeeds();
  const registers = s.main.maps(device.fd, 0x100000);
  const poke = (offset: bigint, width: bigint, number: bigint) =>
    s.main.does({ op: 'poke', name: registers.name, offset, width, value: number });
  /** One transfer of 16 bytes between the device's buffer and an IOVA. */
  const dma = (command: bigint, iova: bigint) => {
    poke(0x80n, 8n, command === TO_DEVICE ? iova : BUFFER);
    poke(0x88n, 8n, command === TO_DEVICE ? BUFFER : iova);
    poke(0x90n, 8n, 16n);
    poke(0x98n, 8n, command);
    s.main
      .does({ op: 'await', name: registers.name, offset: 0x98n, width: 8n, mask: 1n, value: 0n, timeout_ms: 5000n })
      .succeeds();
  };
  return { c, device, dma };
};

clause('device/reaches-mappings', () => {
  test('reads and writes bring the right bytes', (s) => {
    const { c, dma } = edu(s);
    c.memory.fill(0x11);
    c.memory.write(u64(0x1122334455667788n), 0x100n);
    c.map({ iova: 0x10000n, size: 0x2000n }).succeeds();
    dma(TO_DEVICE, 0x10100n);
    dma(TO_MEMORY, 0x11200n);
    c.memory.read(0x1200n, 8n).shows(0, u64(0x1122334455667788n));
    c.memory.read(0x1210n, 8n).shows(0, u64(0x1111111111111111n));
  });
  test('nothing after unmap', (s) => {
    const { c, dma } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    dma(TO_DEVICE, A.iova);
    c.unmap(A).succeeds();
    c.memory.fill(0x22);
    dma(TO_MEMORY, A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x2222222222222222n));
  });
  test('nothing outside any mapping', (s) => {
    const { c, dma } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    dma(TO_DEVICE, A.iova);
    dma(TO_MEMORY, 0x20000n);
    c.memory.read(0n, 16n).shows(0, u64(0x1111111111111111n));
  });
});

clause('device/write-needs-write', () => {
  test('a mapping to be read only', (s) => {
    const { c, dma } = edu(s);
    c.memory.fill(0x11);
    c.map({ ...A, flags: READ }).succeeds();
    dma(TO_DEVICE, A.iova);
    c.memory.fill(0x22);
    dma(TO_MEMORY, A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x2222222222222222n));
  });
});

clause('device/read-needs-read', () => {
  test('a mapping to be written only takes writes', (s) => {
    const { c, dma } = edu(s);
    c.memory.fill(0x11);
    c.map(A).succeeds();
    dma(TO_DEVICE, A.iova);
    c.unmap(A).succeeds();
    c.memory.fill(0x22);
    c.map({ ...A, flags: WRITE }).succeeds();
    dma(TO_MEMORY, A.iova);
    c.memory.read(0n, 16n).shows(0, u64(0x1111111111111111n));
  });
  test('a mapping to be written only shows nothing', (s) => {
    s.needs({ reason: 'with VT-d every mapping can be read', met: ({ iommu }) => iommu.kind !== 'intel' });
    const { c, dma } = edu(s);
    const other = { iova: 0x20000n, size: 0x1000n };
    c.memory.fill(0x11);
    c.map({ ...A, flags: WRITE }).succeeds();
    c.map({ ...other, vaddr: c.memory.at(0x1000n) }).succeeds();
    dma(TO_DEVICE, A.iova);
    dma(TO_MEMORY, other.iova);
    c.memory.read(0x1000n, 16n).shows(0, u64(0n));
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
