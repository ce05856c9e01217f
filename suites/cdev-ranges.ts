import { boundCdev, type Cdev, openCdev } from '../harness/cases/cdev.ts';
import { clause, each, type Memory, type Scenario, test, u32, u64 } from '../harness/cases/index.ts';
import type { Context } from '../harness/cases/iommufd.ts';
import * as uapi from '../harness/uapi/iommufd.ts';
import { encode, offsetOf } from '../harness/uapi/struct.ts';

/* Which IOVAs can be mapped while a device of the machine is attached: not the window through which it would send MSIs. */

const PAGE = 0x1000n;
const TOP = (1n << 64n) - 1n;
const MSI = 0xfee0_0000n;
const MSI_END = 0xfef0_0000n;
const COUNT_AT = offsetOf(uapi.iommuIoasIovaRanges, 'num_iovas');
const ALIGNMENT_AT = offsetOf(uapi.iommuIoasIovaRanges, 'out_iova_alignment');
const IOVA_AT = offsetOf(uapi.iommuIoasMap, 'iova');

const range = (start: bigint, last: bigint): Uint8Array => encode(uapi.iommuIovaRange, { start, last });

interface Ready {
  readonly c: Context;
  readonly cdev: Cdev;
  /** Where ranges are written. */
  readonly ranges: Memory;
  readonly memory: Memory;
}

/** Device 1, attached to IO address space 2 by page table 3, unless a case says otherwise. */
const ready = (s: Scenario, { attached = true } = {}): Ready => {
  const { c, cdev } = boundCdev(s);
  if (attached) cdev.attach(2, 3);
  return { c, cdev, ranges: s.main.memory(PAGE), memory: s.main.memory(0x10000n) };
};

/** That everything can be mapped, or all but the window and what the IOMMU does not translate. */
const tells = ({ c, ranges }: Ready, what: 'everything' | 'less', ioas = 2): void => {
  const count = what === 'everything' ? 1 : 2;
  const alignment = what === 'everything' ? 1n : PAGE;
  c.ranges({ ioas_id: ioas, num_iovas: 8 }, ranges.at())
    .returns(0)
    .shows(COUNT_AT, u32(count))
    .shows(ALIGNMENT_AT, u64(alignment));
  if (what === 'everything') ranges.read(0n, 16n).shows(0, range(0n, TOP));
  // Where the second one ends depends on the IOMMU; that is held against the model.
  else
    ranges
      .read(0n, 32n)
      .shows(0, range(0n, MSI - 1n))
      .shows(16, u64(MSI_END));
};

clause('ioas/ranges-without-device', () => {
  test('as a device is bound, attached, moved, detached', (s) => {
    const r = ready(s, { attached: false });
    tells(r, 'everything');
    r.cdev.attach(2, 3);
    tells(r, 'less');
    r.c.alloc(4);
    tells(r, 'everything', 4);
    r.cdev.attach(4, 5);
    tells(r, 'everything');
    tells(r, 'less', 4);
    r.cdev.detach().returns(0);
    tells(r, 'everything', 4);
  });
  test('after a device was closed', (s) => {
    const r = ready(s);
    r.cdev.close().succeeds();
    tells(r, 'everything');
  });
  test('of two devices, until the last is detached', (s) => {
    const r = ready(s);
    const other = openCdev(s, s.main, 'device1');
    other.bind(r.c, 4);
    other.attach(2, 3);
    tells(r, 'less');
    r.cdev.detach().returns(0);
    tells(r, 'less');
    other.detach().returns(0);
    tells(r, 'everything');
  });
  test('after an attaching that was refused', (s) => {
    const r = ready(s, { attached: false });
    r.c.map({ ioas: 2, iova: MSI, length: PAGE, vaddr: r.memory.at() }).returns(0);
    r.cdev.asksToAttach({ target: 2 }).refused('EADDRINUSE');
    r.c.unmap(MSI, PAGE, 2).returns(0);
    tells(r, 'everything');
  });
});

clause('ioas/ranges-too-few', () => {
  test('room for one of two', (s) => {
    const { c, ranges } = ready(s);
    ranges.fill(0xee);
    c.ranges({ ioas_id: 2, num_iovas: 1 }, ranges.at()).refused('EMSGSIZE');
    ranges
      .read(0n, 24n)
      .shows(0, range(0n, MSI - 1n))
      .shows(16, u64(0xeeee_eeee_eeee_eeeen));
  });
});

const inWindow = {
  'all of it': { iova: MSI, length: MSI_END - MSI },
  'its first page': { iova: MSI - PAGE, length: 2n * PAGE },
  'its last page': { iova: MSI_END - PAGE, length: 2n * PAGE },
  'round it': { iova: MSI - PAGE, length: MSI_END - MSI + 2n * PAGE },
} as const;

clause('ioas/map-beyond-aperture', () => {
  each(inWindow, (s, { iova, length }) => {
    const { c, cdev } = ready(s);
    const memory = s.main.memory(0x102000n);
    c.map({ ioas: 2, iova, length, vaddr: memory.at() }).refused('EINVAL');
    cdev.detach().returns(0);
    c.map({ ioas: 2, iova, length, vaddr: memory.at() }).returns(0);
  });
  test('not its neighbours', (s) => {
    const { c, memory } = ready(s);
    c.map({ ioas: 2, iova: MSI - PAGE, length: PAGE, vaddr: memory.at() }).returns(0);
    c.map({ ioas: 2, iova: MSI_END, length: PAGE, vaddr: memory.at() }).returns(0);
  });
  test('what no IOMMU translates', (s) => {
    const { c, memory } = ready(s);
    c.map({ ioas: 2, iova: 1n << 62n, length: PAGE, vaddr: memory.at() }).refused('EINVAL');
  });
});

clause('ioas/copy-beyond-aperture', () => {
  each(inWindow, (s, { iova, length }) => {
    const { c } = ready(s);
    c.alloc(4);
    c.map({ ioas: 4, iova: 0n, length, vaddr: s.main.memory(0x102000n).at() }).returns(0);
    c.copy({ from: 4, to: 2, source: 0n, target: iova, length }).refused('EINVAL');
    c.alloc(5);
    c.copy({ from: 4, to: 5, source: 0n, target: iova, length }).returns(0);
  });
});

clause('ioas/map-unaligned', () => {
  each(
    { length: [0n, 100n, 0n], iova: [2048n, PAGE, 0n], memory: [0n, PAGE, 8n] } as const,
    (s, [iova, length, from]) => {
      const { c, cdev, memory } = ready(s);
      c.map({ ioas: 2, iova, length, vaddr: memory.at(from) }).refused('EINVAL');
      cdev.detach().returns(0);
      c.map({ ioas: 2, iova, length, vaddr: memory.at(from) }).returns(0);
    },
  );
});

clause('ioas/allow-beyond-ranges', () => {
  each(inWindow, (s, { iova, length }) => {
    const { c, cdev, ranges } = ready(s);
    ranges.write(range(iova, iova + length - 1n));
    c.allow({ ioas_id: 2, num_iovas: 1 }, ranges.at()).refused('EADDRINUSE');
    cdev.detach().returns(0);
    c.allow({ ioas_id: 2, num_iovas: 1 }, ranges.at()).returns(0);
  });
});

clause('ioas/chosen-iova', () => {
  test('below the window, and above it', (s) => {
    const { c, ranges, memory } = ready(s);
    ranges.write(range(MSI - 2n * PAGE, MSI - 1n));
    ranges.write(range(MSI_END, MSI_END + 2n * PAGE - 1n), 16n);
    c.allow({ ioas_id: 2, num_iovas: 2 }, ranges.at()).returns(0);
    for (const iova of [MSI - 2n * PAGE, MSI - PAGE, MSI_END, MSI_END + PAGE]) {
      c.map({ ioas: 2, length: PAGE, vaddr: memory.at(PAGE) })
        .returns(0)
        .shows(IOVA_AT, u64(iova));
    }
    c.map({ ioas: 2, length: PAGE, vaddr: memory.at(PAGE) }).refused('ENOSPC');
  });
});
