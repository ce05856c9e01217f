import { clause, each, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openIommufd } from '../harness/cases/iommufd.ts';
import { allocViommu, dataOf, withParent, withViommu } from '../harness/cases/viommus.ts';

/* Memory that a virtual IOMMU shares with the program. */

const PAGE = 0x1000n;
/** What `withViommu` makes, and what comes next. */
const [VIOMMU, NEXT] = [6, 7];

/** A virtual IOMMU with memory that begins with a number. */
const withMemory = (s: Scenario, in_data = 0x1122_3344): Context => {
  const c = withParent(s);
  allocViommu(c, { data_len: 24 }, dataOf(s, in_data).at()).returns(0);
  return c;
};

clause('viommu/mmap', () => {
  test('what is written there is there for all', (s) => {
    const c = withMemory(s);
    const [one, other] = [s.main.maps(c.fd, 2n * PAGE, { start: PAGE }), s.main.maps(c.fd, 2n * PAGE, { start: PAGE })];
    one.read(0n, 8n).shows(0, u32(0x1122_3344, 0));
    other.write(u32(5, 6), PAGE);
    one.read(PAGE, 8n).shows(0, u32(5, 6));
    const child = s.main.forks();
    one.of(child).write(u32(7), 2n * PAGE - 4n);
    other.read(2n * PAGE - 4n, 4n).shows(0, u32(7));
  });
  test('to be read only', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE, prot: 'r' });
    memory.read(0n, 4n).shows(0, u32(0x1122_3344));
    memory.write(u32(1)).refused('EFAULT');
  });
  test('is in use as long as it is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(0n, 2n * PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as a part of it is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    memory.hole(PAGE, PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(0n, PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as one of its parts is mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    memory.protect('r', PAGE, PAGE);
    memory.hole(0n, PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    memory.hole(PAGE, PAGE);
    c.destroy(VIOMMU).returns(0);
  });
  test('is in use as long as a child has it mapped', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    const child = s.main.forks();
    memory.hole(0n, 2n * PAGE);
    c.destroy(VIOMMU).refused('EBUSY');
    child.exits();
    c.destroy(VIOMMU).returns(0);
  });
  test('outlives the descriptor', (s) => {
    const c = withMemory(s);
    const memory = s.main.maps(c.fd, 2n * PAGE, { start: PAGE });
    c.close().succeeds();
    memory.read(0n, 4n).shows(0, u32(0x1122_3344));
    memory.write(u32(1));
    memory.read(0n, 4n).shows(0, u32(1));
  });
  test('is its own for each', (s) => {
    const c = withMemory(s, 1);
    allocViommu(c, { data_len: 24 }, dataOf(s, 2).at()).returns(0);
    const [one, other] = [
      s.main.maps(c.fd, 2n * PAGE, { start: PAGE }),
      s.main.maps(c.fd, 2n * PAGE, { start: 3n * PAGE }),
    ];
    one.read(0n, 4n).shows(0, u32(1));
    other.read(0n, 4n).shows(0, u32(2));
    c.destroy(NEXT).refused('EBUSY');
    other.hole(0n, 2n * PAGE);
    c.destroy(NEXT).returns(0);
    c.destroy(VIOMMU).refused('EBUSY');
  });
});

clause('viommu/mmap-offset', () => {
  test('the lowest with room', (s) => {
    const c = withMemory(s, 1);
    const offsetOfNext = (offset: bigint): void => {
      const data = dataOf(s);
      allocViommu(c, { data_len: 24 }, data.at()).returns(0);
      data.read(8n, 8n).shows(0, new Uint8Array(BigUint64Array.of(offset).buffer));
    };
    offsetOfNext(3n * PAGE);
    offsetOfNext(5n * PAGE);
    c.destroy(NEXT).returns(0);
    offsetOfNext(3n * PAGE);
  });
});

clause('viommu/mmap-private', () => {
  each({ 'to be written': 'rw', 'to be read': 'r' } as const, (s, prot) => {
    const c = withMemory(s);
    s.main
      .does({ op: 'map', name: 'own', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'private', prot })
      .refused('EINVAL');
    c.destroy(VIOMMU).returns(0);
  });
});

clause('viommu/mmap-nothing', () => {
  each(
    {
      'before it': [0n, 2n],
      'less of it': [1n, 1n],
      'more than it': [1n, 3n],
      'the second half': [2n, 1n],
      'from its second half on': [2n, 2n],
      'behind it': [3n, 2n],
      'far behind it': [1n << 40n, 2n],
    } as const,
    (s, [start, size]) => {
      const c = withMemory(s);
      s.main
        .does({ op: 'map', name: 'none', fd: c.fd, start: start * PAGE, size: size * PAGE, share: 'shared' })
        .refused('ENXIO');
      c.destroy(VIOMMU).returns(0);
    },
  );
  test('without memory', (s) => {
    const c = withViommu(s);
    s.main.does({ op: 'map', name: 'none', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
  test('after its end', (s) => {
    const c = withMemory(s);
    c.destroy(VIOMMU).returns(0);
    s.main.does({ op: 'map', name: 'none', fd: c.fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
  test('of another opening', (s) => {
    withMemory(s);
    const { fd } = openIommufd(s);
    s.main.does({ op: 'map', name: 'none', fd, start: PAGE, size: 2n * PAGE, share: 'shared' }).refused('ENXIO');
  });
});
