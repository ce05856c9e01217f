import {
  askForAccess,
  BASE,
  checkMap,
  checkPins,
  limitMemory,
  mapped,
  SIZE,
  SLOW,
  scattered,
  USUAL_MEMORY,
  withAccess,
} from '../harness/cases/accesses.ts';
import { openEmulated } from '../harness/cases/cdev.ts';
import { failingAllocations } from '../harness/cases/failing.ts';
import { type Actor, clause, each, test } from '../harness/cases/index.ts';
import { openIommufd } from '../harness/cases/iommufd.ts';
import { allocTable } from '../harness/cases/page-tables.ts';

/*
 * Allocations of the kernel that fail while it makes accesses, and pins, reads and lets go for them; and, in a kernel with
 * the mock device, what else can fail there. What was pinned before stays pinned, and nothing else is.
 */

const PAGE = 0x1000n;

/** Much memory for collecting pages, and little: then it is asked for more often. */
const LIMITS = { 'with enough memory': USUAL_MEMORY, 'with memory for five pages': 60 } as const;

/** What an actor has pinned and locked: as the model has it. */
const looksAt = (actor: Actor): void => {
  actor.does({ op: 'status', field: 'VmPin' });
  actor.lockedKb();
};

clause('access/create', () => {
  test('while an allocation fails', (s) => {
    const { c, access } = mapped(s);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 20; nth++)
      failing.each(nth, nth, () => {
        askForAccess(s, c).access.close();
      });
    access.close().returns(0);
    c.destroy(1).returns(0);
  });
});

clause('cdev/bind', () => {
  test('a device without an iommu, while an allocation fails', (s) => {
    const c = openIommufd(s);
    c.alloc(1);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 12; nth++) {
      const { cdev } = openEmulated(s);
      failing.each(nth, nth, () => void cdev.asksToBind({ iommufd: c }));
      cdev.close().returns(0);
    }
    const { cdev } = openEmulated(s);
    cdev.bind(c, 2);
  });
});

clause('emulated/attach', () => {
  test('while an allocation fails', (s) => {
    const c = openIommufd(s);
    c.alloc(1);
    const { cdev } = openEmulated(s);
    cdev.bind(c, 2);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 6; nth++) {
      failing.each(nth, nth, () => void cdev.asksToAttach({ target: 1 }));
      cdev.detach().returns(0);
    }
    cdev.close().returns(0);
    c.destroy(1).returns(0);
  });
});

clause('access/pin', () => {
  for (const [limit, bytes] of Object.entries(LIMITS))
    each(
      {
        [`while an allocation fails, ${limit}`]: { device: false, part: false },
        [`of what is partly pinned, while an allocation fails, ${limit}`]: { device: false, part: true },
        [`of what a device has, while an allocation fails, ${limit}`]: { device: true, part: true },
      },
      (s, { device, part }) => {
        const { c, memory, access } = mapped(s);
        memory.fill(1);
        if (device) c.attachMock(1).returns(0);
        if (part) access.pins(BASE + 5n * PAGE, 3n * PAGE).returns(0);
        limitMemory(c, bytes).returns(0);
        const failing = failingAllocations(s);
        for (let nth = 1; nth <= 16; nth++) {
          const other = withAccess(s, c);
          failing.each(nth, nth, () => void other.pins(BASE, SIZE, memory.at()));
          looksAt(s.main);
          checkPins(c, memory.at(), SIZE, 1);
          other.close().returns(0);
          looksAt(s.main);
          checkPins(c, memory.at(), 5n * PAGE, device ? 1 : 0).returns(0);
          if (part) checkPins(c, memory.at(5n * PAGE), 3n * PAGE, 1).returns(0);
        }
        limitMemory(c, USUAL_MEMORY).returns(0);
      },
    );
  test('over two mappings, while an allocation fails', (s) => {
    const { c, memory, access } = mapped(s);
    memory.fill(1);
    c.copy({ to: 1, source: BASE, target: BASE + SIZE, length: SIZE }).returns(0);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 20; nth++) {
      failing.each(nth, nth, () => void access.pins(BASE + PAGE, SIZE));
      looksAt(s.main);
      checkPins(c, memory.at(), SIZE, 0);
    }
    access.close().returns(0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
});

clause('access/unpin', () => {
  test('while an allocation fails', (s) => {
    const { c, memory, access } = mapped(s);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 6; nth++) {
      access.pins(BASE, SIZE).returns(0);
      failing.each(nth, nth, () => void access.unpins(nth - 1));
      looksAt(s.main);
    }
    access.close().returns(0);
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
});

clause('access/rw', () => {
  each(
    {
      'as the process, while an allocation fails': [SIZE, 0],
      'one page not as the process, while an allocation fails': [PAGE, SLOW],
      'not as the process, while an allocation fails': [SIZE, SLOW],
    } as const,
    (s, [length, flags]) => {
      const { c, memory, access } = mapped(s);
      const buffer = s.main.memory(SIZE);
      memory.fill(1);
      buffer.fill(2);
      access.pins(BASE + 2n * PAGE, PAGE).returns(0);
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 10; nth++) {
        failing.each(nth, nth, () => void access.reads(BASE, length, buffer.at(), flags));
        failing.each(nth, nth, () => void access.writes(BASE, length, buffer.at(), flags));
        looksAt(s.main);
      }
      checkPins(c, memory.at(), 2n * PAGE, 0).returns(0);
      checkPins(c, memory.at(2n * PAGE), PAGE, 1).returns(0);
    },
  );
});

clause('access/replace', () => {
  test('while an allocation fails', (s) => {
    const { c, access } = mapped(s);
    c.alloc(3);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 8; nth++) {
      access.pins(BASE, PAGE);
      failing.each(nth, nth, () => void access.replaces(3));
      looksAt(s.main);
      access.replaces(1).returns(0);
    }
  });
});

clause('access/unmap-lets-go', () => {
  test('while an allocation fails', (s) => {
    const { c, memory, access } = mapped(s);
    const failing = failingAllocations(s);
    for (let nth = 1; nth <= 8; nth++) {
      access.pins(BASE, SIZE);
      failing.each(nth, nth, () => void c.unmap(BASE, SIZE));
      looksAt(s.main);
      c.unmap(BASE, SIZE);
      c.map({ iova: BASE, length: SIZE, vaddr: memory.at() }).returns(0);
    }
    checkPins(c, memory.at(), SIZE, 0).returns(0);
  });
});

for (const [limit, bytes] of Object.entries(LIMITS)) {
  clause('mock/attach', () => {
    test(`to what an access has a part of, while an allocation fails, ${limit}`, (s) => {
      const { c, memory, access } = mapped(s, scattered);
      access.pins(BASE + 5n * PAGE, 3n * PAGE).returns(0);
      limitMemory(c, bytes).returns(0);
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 70; nth++) {
        failing.each(nth, nth, () => void c.attachMock(1));
        looksAt(s.main);
        checkMap(c, 5, BASE, SIZE, memory.at());
        c.destroy(3);
        checkPins(c, memory.at(), 5n * PAGE, 0).returns(0);
        checkPins(c, memory.at(5n * PAGE), 3n * PAGE, 1).returns(0);
        checkPins(c, memory.at(8n * PAGE), 8n * PAGE, 0).returns(0);
      }
      limitMemory(c, USUAL_MEMORY).returns(0);
    });
  });

  clause('hwpt/alloc', () => {
    test(`beside another, while an allocation fails, ${limit}`, (s) => {
      const { c, memory, access } = mapped(s, scattered);
      access.pins(BASE + 5n * PAGE, 3n * PAGE).returns(0);
      c.attachMock(1).returns(0);
      limitMemory(c, bytes).returns(0);
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 30; nth++) {
        failing.each(nth, nth, () => void allocTable(c, { dev_id: 4 }));
        checkMap(c, 6, BASE, SIZE, memory.at());
        c.destroy(6);
        checkMap(c, 5, BASE, SIZE, memory.at()).returns(0);
        checkPins(c, memory.at(), SIZE, 1).returns(0);
      }
      limitMemory(c, USUAL_MEMORY).returns(0);
    });
  });

  clause('ioas/copy', () => {
    test(`to where two page tables are, of what an access has a part of, while an allocation fails, ${limit}`, (s) => {
      const { c, memory, access } = mapped(s, scattered);
      c.alloc(3);
      c.attachMock(3).returns(0);
      allocTable(c, { dev_id: 5, pt_id: 3 }).returns(0);
      access.pins(BASE + 5n * PAGE, 3n * PAGE).returns(0);
      limitMemory(c, bytes).returns(0);
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 40; nth++) {
        failing.each(nth, nth, () => void c.copy({ to: 3, source: BASE, target: BASE, length: SIZE }));
        looksAt(s.main);
        checkMap(c, 6, BASE, SIZE, memory.at());
        checkMap(c, 7, BASE, SIZE, memory.at());
        c.unmap(BASE, SIZE, 3);
        looksAt(s.main);
        checkPins(c, memory.at(), 5n * PAGE, 0).returns(0);
        checkPins(c, memory.at(5n * PAGE), 3n * PAGE, 1).returns(0);
      }
      limitMemory(c, USUAL_MEMORY).returns(0);
    });
    test(`of a file to where a page table is, while an allocation fails, ${limit}`, (s) => {
      const { c, memory } = mapped(s);
      memory.fill(1);
      const fd = s.main.memfd(SIZE);
      const file = s.main.maps(fd, SIZE);
      file.fill(2);
      c.alloc(3);
      c.attachMock(3).returns(0);
      limitMemory(c, bytes).returns(0);
      const failing = failingAllocations(s);
      for (let nth = 1; nth <= 30; nth++) {
        c.mapFile({ fd, iova: BASE + SIZE, length: SIZE }).returns(0);
        failing.each(nth, nth, () => void c.copy({ to: 3, source: BASE + SIZE, target: BASE, length: SIZE }));
        looksAt(s.main);
        c.unmap(BASE, SIZE, 3);
        c.unmap(BASE + SIZE, SIZE).returns(0);
        looksAt(s.main);
        checkPins(c, file.at(), SIZE, 0).returns(0);
      }
      limitMemory(c, USUAL_MEMORY).returns(0);
    });
  });
}
