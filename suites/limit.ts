import { type Actor, clause, each, readyContainer, type Scenario, test, u32 } from '../harness/cases/index.ts';

const PATH = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';
const PAGE = 0x1000n;
/** The number of entries that are left, in GET_INFO's second capability. */
const AVAILABLE_AT = 24 + 32 + 8;
const ROOM = 160;

const text = (words: string): Uint8Array => new TextEncoder().encode(words);

/** Writes the parameter, does something, and sets it back: the next case finds what this one found. */
const withLimit = (s: Scenario, words: string, then: (set: (words: string) => void) => void): void => {
  const fd = s.main.opens(PATH, 'limit');
  const set = (to: string): void => {
    s.main.does({ op: 'pwrite', fd, offset: 0n, data: text(to) }).succeeds();
  };
  set(words);
  then(set);
  set('65535\n');
};

const shows = (actor: Actor, words: string): void => {
  actor.does({ op: 'cat', path: PATH }).shows(0, text(words));
};

clause('limit/parameter-shows', () => {
  test('the default', (s) => shows(s.main, '65535\n'));
});

clause('limit/parameter-sets', () => {
  each({ 'with a newline': '64\n', 'without one': '64' }, (s, words) => {
    withLimit(s, words, () => shows(s.main, '64\n'));
    shows(s.main, '65535\n');
  });
});

clause('limit/taken-at-set-iommu', () => {
  test('three entries', (s) => {
    withLimit(s, '3\n', () => {
      const c = readyContainer(s);
      c.info(ROOM).shows(AVAILABLE_AT, u32(3));
      for (const page of [0n, 2n, 4n]) c.map({ iova: page * PAGE, size: PAGE }).succeeds();
      c.map({ iova: 6n * PAGE, size: PAGE }).refused('ENOSPC');
      c.info(ROOM).shows(AVAILABLE_AT, u32(0));
      c.unmap({ iova: 0n, size: PAGE }).succeeds();
      c.map({ iova: 6n * PAGE, size: PAGE }).succeeds();
    });
  });
  test('none', (s) => {
    withLimit(s, '0\n', () => readyContainer(s).map({ iova: 0n, size: PAGE }).refused('ENOSPC'));
  });
  test('changed later', (s) => {
    withLimit(s, '2\n', (set) => {
      const c = readyContainer(s);
      set('1\n');
      for (const page of [0n, 2n]) c.map({ iova: page * PAGE, size: PAGE }).succeeds();
      c.map({ iova: 4n * PAGE, size: PAGE }).refused('ENOSPC');
    });
  });
  test('an overlap is told before a full container', (s) => {
    withLimit(s, '1\n', () => {
      const c = readyContainer(s);
      c.map({ iova: 0n, size: PAGE }).succeeds();
      c.map({ iova: 0n, size: PAGE }).refused('EEXIST', 'ENOSPC');
    });
  });
});

clause('limit/counts-entries', () => {
  test('by one, whatever the size', (s) => {
    const c = readyContainer(s);
    c.map({ iova: 0n, size: 16n * PAGE }).succeeds();
    c.info(ROOM).shows(AVAILABLE_AT, u32(65_534));
    c.map({ iova: 0x100000n, size: PAGE }).succeeds();
    c.info(ROOM).shows(AVAILABLE_AT, u32(65_533));
    c.unmap({ iova: 0n, size: 0x200000n }).succeeds();
    c.info(ROOM).shows(AVAILABLE_AT, u32(65_535));
  });
});
