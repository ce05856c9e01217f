import { boundCdev, openCdev } from '../harness/cases/cdev.ts';
import { type Actor, clause, each, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { allocTable, DIRTY, PARENT } from '../harness/cases/page-tables.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import { offsetOf } from '../harness/uapi/struct.ts';

/* Page tables that user space has made for a device of the machine, and attaches it to. */

const PAGE = 0x1000n;
const ID_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');

const pins = (actor: Actor, pages: number): void =>
  void actor.does({ op: 'status', field: 'VmPin' }).returns(pages * 4);

/** Device 1, bound; IO address space 2 with 4 pages mapped at 0, and page table 3 of it. */
const ready = (s: Scenario) => {
  const { c, cdev } = boundCdev(s);
  c.map({ ioas: 2, iova: 0n, length: 4n * PAGE, vaddr: s.main.memory(4n * PAGE).at() }).returns(0);
  allocTable(c, { dev_id: 1, pt_id: 2 }).returns(0).shows(ID_AT, u32(3));
  return { c, cdev };
};

clause('hwpt/alloc', () => {
  test('of a device that is not attached, which pins', (s) => {
    const { c, cdev } = ready(s);
    pins(s.main, 4);
    c.destroy(2).refused('EBUSY');
    cdev.close().succeeds();
    pins(s.main, 4);
    c.destroy(3).returns(0);
    pins(s.main, 0);
    c.destroy(2).returns(0);
  });
  test('where a mapping lies in a region that is reserved for the device: that counts once it is attached', (s) => {
    const { c, cdev } = boundCdev(s);
    c.map({ ioas: 2, iova: 0xfee0_0000n, length: PAGE, vaddr: s.main.memory(PAGE).at() }).returns(0);
    allocTable(c, { dev_id: 1, pt_id: 2 }).returns(0).shows(ID_AT, u32(3));
    cdev.asksToAttach({ target: 3 }).refused('EADDRINUSE');
    c.destroy(3).returns(0);
  });
});

clause('cdev/attach', () => {
  test('to a page table that user space made, which stays when it is detached', (s) => {
    const { c, cdev } = ready(s);
    cdev.attach(3, 3);
    c.destroy(3).refused('EBUSY');
    cdev.attach(3, 3);
    cdev.detach().returns(0);
    pins(s.main, 4);
    c.destroy(3).returns(0);
    c.destroy(2).returns(0);
  });
  test('to its IO address space: such a page table is not chosen', (s) => {
    const { c, cdev } = ready(s);
    cdev.attach(2, 4);
    pins(s.main, 4);
    cdev.attach(3, 3);
    c.destroy(4).refused('ENOENT');
    pins(s.main, 4);
    cdev.attach(2, 4);
    c.destroy(3).returns(0);
    pins(s.main, 4);
  });
  test('two devices, one in each of two page tables of an IO address space', (s) => {
    const { c, cdev } = ready(s);
    const other = openCdev(s, s.main, 'device1');
    other.bind(c, 4);
    cdev.attach(3, 3);
    other.attach(2, 5);
    other.attach(3, 3);
    c.destroy(5).refused('ENOENT');
    cdev.close().succeeds();
    c.destroy(3).refused('EBUSY');
    other.close().succeeds();
    c.destroy(3).returns(0);
  });
});

clause('hwpt/alloc-no-dirty-tracking', () => {
  test('of hardware', (s) => {
    const { c } = ready(s);
    allocTable(c, { dev_id: 1, pt_id: 2, flags: DIRTY }).refused('EOPNOTSUPP');
    c.alloc(4);
  });
});

clause('hwpt/alloc-no-nesting', () => {
  test('of hardware', (s) => {
    const { c } = ready(s);
    allocTable(c, { dev_id: 1, pt_id: 2, flags: PARENT }).refused('EOPNOTSUPP');
    c.alloc(4);
  });
});

clause('hwpt/alloc-data-type', () => {
  each({ "VT-d's": 1, "the mock device's": 0xdead }, (s, data_type) => {
    const { c } = ready(s);
    const data = s.main.memory(PAGE);
    allocTable(c, { dev_id: 1, pt_id: 2, data_type, data_len: 24 }, data.at()).refused('EOPNOTSUPP');
    c.alloc(4);
  });
});
