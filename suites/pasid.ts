import {
  allocFaultQueue,
  FAULT,
  FAULT_BYTES,
  fault,
  type QueueFile,
  readToAnswer,
} from '../harness/cases/fault-queues.ts';
import { clause, each, pointerTo, type Said, type Scenario, test, u32 } from '../harness/cases/index.ts';
import { type Context, openWithMock } from '../harness/cases/iommufd.ts';
import { allocTable, attachMockAs, DIRTY, PARENT, replaceMock } from '../harness/cases/page-tables.ts';
import { attachPasid, checkPasid, detachPasid, FOR_PASIDS, replacePasid } from '../harness/cases/pasids.ts';
import { allocNested, allocViommu } from '../harness/cases/viommus.ts';
import * as commands from '../harness/uapi/iommufd-commands.ts';
import * as mock from '../harness/uapi/iommufd-test.ts';
import { encode, offsetOf, sizeOf } from '../harness/uapi/struct.ts';

/*
 * PASIDs of a mock device, each attached to a page table of its own. The mock device's driver leaves it to the program to
 * detach them all before the device ends, or the context: each case does.
 */

const PAGE = 0x1000n;
const BASE = mock.MOCK_APERTURE.start;
/** Mock device 2 is bound as device 3; page tables 5 and 6 are for PASIDs, and the device is attached to 5. */
const [IOAS, MOCK, DEVICE, OWN, OTHER, NEXT] = [1, 2, 3, 5, 6, 4];
const [PASID, HIGHEST] = [7, (1 << mock.MOCK_PASID_WIDTH) - 1];
const RESERVED = mock.IOMMU_TEST_PASID_RESERVED;
const TABLE_AT = offsetOf(commands.iommuHwptAlloc, 'out_hwpt_id');

const PT_AT = offsetOf(mock.iommuTestPasid, 'pt_id');

const ready = (s: Scenario): Context => {
  const c = openWithMock(s);
  c.alloc(IOAS);
  attachMockAs(c, IOAS, mock.MOCK_FLAGS_DEVICE_PASID)
    .returns(0)
    .shows(16, u32(MOCK, 4, DEVICE));
  for (const table of [OWN, OTHER])
    allocTable(c, { dev_id: DEVICE, flags: FOR_PASIDS }).returns(0).shows(TABLE_AT, u32(table));
  replaceMock(c, MOCK, OWN).returns(0);
  return c;
};

/** The same with PASID 7 attached to page table 6. */
const attached = (s: Scenario): Context => {
  const c = ready(s);
  attachPasid(c, PASID, OTHER).returns(0);
  return c;
};

const CALLS = { 'pasid/attach': attachPasid, 'pasid/replace': replacePasid } as const;

clause('pasid/attach', () => {
  each({ lowest: 1, some: 100, reserved: RESERVED, highest: HIGHEST }, (s, pasid) => {
    const c = ready(s);
    checkPasid(c, pasid, 0).returns(0);
    attachPasid(c, pasid, OTHER).returns(0);
    checkPasid(c, pasid, OTHER).returns(0);
    checkPasid(c, pasid, 0).refused('EINVAL');
    checkPasid(c, 0, OWN).returns(0);
    c.destroy(OTHER).refused('EBUSY');
    detachPasid(c, pasid).returns(0);
    c.destroy(OTHER).returns(0);
  });
  test('several, of which some have one page table', (s) => {
    const c = ready(s);
    for (const [pasid, table] of [
      [1, OWN],
      [2, OTHER],
      [3, OTHER],
    ] as const)
      attachPasid(c, pasid, table).returns(0);
    checkPasid(c, 1, OWN).returns(0);
    checkPasid(c, 3, OTHER).returns(0);
    detachPasid(c, 2).returns(0);
    c.destroy(OTHER).refused('EBUSY');
    detachPasid(c, 3).returns(0);
    c.destroy(OTHER).returns(0);
    detachPasid(c, 1).returns(0);
  });
  test('of two devices, with one number', (s) => {
    const c = ready(s);
    attachMockAs(c, OTHER, mock.MOCK_FLAGS_DEVICE_PASID)
      .returns(0)
      .shows(16, u32(NEXT, OTHER, 7));
    attachPasid(c, PASID, OTHER).returns(0);
    attachPasid(c, PASID, OWN, NEXT).returns(0);
    checkPasid(c, PASID, OTHER).returns(0);
    checkPasid(c, PASID, OWN, NEXT).returns(0);
    detachPasid(c, PASID).returns(0);
    checkPasid(c, PASID, OWN, NEXT).returns(0);
    detachPasid(c, PASID, NEXT).returns(0);
    c.destroy(NEXT).returns(0);
  });
  test('the number whose second page table is refused, anew each time', (s) => {
    const c = ready(s);
    for (const table of [OTHER, OWN]) {
      attachPasid(c, RESERVED, table).returns(0);
      detachPasid(c, RESERVED).returns(0);
    }
  });
  test('while the device itself is attached to nothing', (s) => {
    const c = ready(s);
    detachPasid(c, 0).returns(0);
    attachPasid(c, PASID, OTHER).returns(0);
    attachPasid(c, 0, OWN).returns(0);
    checkPasid(c, 0, OWN).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  test('the device itself, as PASID 0, by an IO address space', (s) => {
    const c = ready(s);
    detachPasid(c, 0).returns(0);
    checkPasid(c, 0, 0).returns(0);
    c.destroy(OWN).returns(0);
    attachPasid(c, 0, IOAS).returns(0).shows(PT_AT, u32(NEXT));
    checkPasid(c, 0, NEXT).returns(0);
    c.destroy(MOCK).returns(0);
    c.alloc(MOCK);
    c.alloc(DEVICE);
    c.alloc(NEXT);
  });
  test('what is mapped stays pinned as long as there is the page table', (s) => {
    const c = ready(s);
    c.map({ iova: BASE, length: PAGE, vaddr: s.main.memory(PAGE).at() }).returns(0);
    attachPasid(c, PASID, OTHER).returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(4);
    detachPasid(c, PASID).returns(0);
    c.destroy(OTHER).returns(0);
    s.main.does({ op: 'status', field: 'VmPin' }).returns(4);
  });
  test('to a page table for dirty tracking', (s) => {
    const c = ready(s);
    allocTable(c, { dev_id: DEVICE, flags: FOR_PASIDS | DIRTY }).returns(0);
    attachPasid(c, PASID, NEXT).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  each({ 'to a page table nested in another': false, 'to one nested in a virtual IOMMU': true }, (s, virtual) => {
    const c = ready(s);
    allocTable(c, { dev_id: DEVICE, flags: PARENT }).returns(0).shows(TABLE_AT, u32(NEXT));
    if (virtual) allocViommu(c, { hwpt_id: NEXT }).returns(0);
    const [parent, nested] = virtual ? [7, 8] : [NEXT, 7];
    allocNested(s, c, { pt_id: parent, flags: FOR_PASIDS }).returns(0).shows(TABLE_AT, u32(nested));
    attachPasid(c, PASID, nested).returns(0);
    checkPasid(c, PASID, nested).returns(0);
    c.destroy(nested).refused('EBUSY');
    c.destroy(parent).refused('EBUSY');
    replacePasid(c, PASID, OTHER).returns(0);
    c.destroy(nested).returns(0);
    c.destroy(parent).returns(0);
    detachPasid(c, PASID).returns(0);
  });
});

clause('pasid/attach-id', () => {
  test('of the page table that an IO address space gives', (s) => {
    const c = ready(s);
    detachPasid(c, 0).returns(0);
    attachPasid(c, 0, IOAS).returns(0).shows(PT_AT, u32(NEXT));
  });
  test('of the page table that was named', (s) => {
    const c = ready(s);
    attachPasid(c, PASID, OTHER).returns(0).shows(PT_AT, u32(OTHER));
    detachPasid(c, PASID).returns(0);
  });
});

clause('pasid/replace-id', () => {
  test('of the page table that an IO address space gives', (s) => {
    replacePasid(ready(s), 0, IOAS).returns(0).shows(PT_AT, u32(NEXT));
  });
  test('of the page table that was named', (s) => {
    const c = attached(s);
    replacePasid(c, PASID, OWN).returns(0).shows(PT_AT, u32(OWN));
    detachPasid(c, PASID).returns(0);
  });
});

clause('pasid/attach-twice', () => {
  each(
    { 'the same page table': OTHER, 'another one': OWN, 'an IO address space': IOAS, 'one that is not for PASIDs': 4 },
    (s, target) => {
      const c = attached(s);
      allocTable(c, { dev_id: DEVICE }).returns(0);
      attachPasid(c, PASID, target).refused('EBUSY');
      checkPasid(c, PASID, OTHER).returns(0);
      detachPasid(c, PASID).returns(0);
      c.destroy(OTHER).returns(0);
    },
  );
  test('the device itself, as PASID 0', (s) => {
    const c = ready(s);
    attachPasid(c, 0, OWN).refused('EBUSY');
    attachPasid(c, 0, OTHER).refused('EBUSY');
  });
});

for (const [name, call] of Object.entries(CALLS)) {
  const before = (s: Scenario): Context => (name === 'pasid/replace' ? attached(s) : ready(s));
  const now = (c: Context): Said => checkPasid(c, PASID, name === 'pasid/replace' ? OTHER : 0).returns(0);
  const change = call;

  clause(`${name as 'pasid/attach'}-unknown`, () => {
    each({ none: 0, 'never given': 99 }, (s, target) => {
      const c = before(s);
      change(c, PASID, target).refused('ENOENT');
      now(c);
      detachPasid(c, PASID).returns(0);
    });
  });

  clause(`${name as 'pasid/attach'}-to-device`, () => {
    each({ 'a mock device': MOCK, 'a device': DEVICE }, (s, target) => {
      const c = before(s);
      change(c, PASID, target).refused('EINVAL');
      now(c);
      detachPasid(c, PASID).returns(0);
    });
  });

  clause(`${name as 'pasid/attach'}-no-device`, () => {
    each({ none: 0, 'an IO address space': IOAS, 'a device': DEVICE, 'a page table': OWN }, (s, device) => {
      const c = before(s);
      change(c, PASID, OTHER, device).refused('ENOENT');
      now(c);
      detachPasid(c, PASID).returns(0);
    });
  });

  clause(`${name as 'pasid/attach'}-unfit`, () => {
    test('a page table that is not for PASIDs', (s) => {
      const c = before(s);
      allocTable(c, { dev_id: DEVICE }).returns(0);
      change(c, PASID, NEXT).refused('EINVAL');
      now(c);
      c.destroy(NEXT).returns(0);
      detachPasid(c, PASID).returns(0);
    });
    test('an IO address space', (s) => {
      const c = before(s);
      change(c, PASID, IOAS).refused('EINVAL');
      now(c);
      c.alloc(NEXT);
      detachPasid(c, PASID).returns(0);
    });
    test('an IO address space with a page table that it gave before', (s) => {
      const c = before(s);
      attachMockAs(c, IOAS, 0)
        .returns(0)
        .shows(16, u32(NEXT, 8, 7));
      change(c, PASID, IOAS).refused('EINVAL');
      now(c);
      c.alloc(9);
      detachPasid(c, PASID).returns(0);
    });
  });

  clause(`${name as 'pasid/attach'}-unwritable`, () => {
    test('read-only memory', (s) => {
      const c = before(s);
      const type = mock.iommuTestPasid;
      const memory = s.main.memory(PAGE);
      const op = name === 'pasid/attach' ? mock.IOMMU_TEST_OP_PASID_ATTACH : mock.IOMMU_TEST_OP_PASID_REPLACE;
      memory.write(encode(type, { size: sizeOf(type), op, id: MOCK, pasid: PASID, pt_id: OWN }));
      memory.protect('r');
      c.command(mock.IOMMU_TEST_CMD, pointerTo(memory.at())).refused('EFAULT');
      checkPasid(c, PASID, name === 'pasid/attach' ? 0 : OWN).returns(0);
      c.destroy(OTHER).returns(0);
      detachPasid(c, PASID).returns(0);
    });
  });
}

clause('pasid/attach-number', () => {
  each({ 'the first beyond its bits': HIGHEST + 1, 'the highest number': 0xffff_ffff }, (s, pasid) => {
    const c = ready(s);
    attachPasid(c, pasid, OTHER).refused('EINVAL');
    checkPasid(c, pasid, 0).returns(0);
    c.destroy(OTHER).returns(0);
  });
  each({ 'the lowest of a device without': 1, 'the highest of a device without': HIGHEST }, (s, pasid) => {
    const c = openWithMock(s);
    c.alloc(IOAS);
    c.attachMock(IOAS).returns(0);
    allocTable(c, { dev_id: DEVICE, flags: FOR_PASIDS }).returns(0);
    replaceMock(c, MOCK, OWN).returns(0);
    attachPasid(c, pasid, OWN).refused('EINVAL');
    checkPasid(c, pasid, 0).returns(0);
  });
});

clause('pasid/attach-unfit', () => {
  test('while the device is attached to a page table that is not for PASIDs', (s) => {
    const c = ready(s);
    replaceMock(c, MOCK, IOAS).returns(0);
    attachPasid(c, PASID, OTHER).refused('EINVAL');
    checkPasid(c, PASID, 0).returns(0);
    replaceMock(c, MOCK, OWN).returns(0);
    attachPasid(c, PASID, OTHER).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  each(
    { 'the device itself, while a PASID is attached': 4, 'the device to an IO address space': IOAS },
    (s, target) => {
      const c = attached(s);
      allocTable(c, { dev_id: DEVICE }).returns(0);
      detachPasid(c, 0).returns(0);
      attachPasid(c, 0, target).refused('EINVAL');
      checkPasid(c, 0, 0).returns(0);
      c.alloc(7);
      detachPasid(c, PASID).returns(0);
      attachPasid(c, 0, target).returns(0);
    },
  );
});

clause('mock/replace-not-for-pasids', () => {
  each({ 'a page table of its own': 4, 'an IO address space': IOAS }, (s, target) => {
    const c = attached(s);
    allocTable(c, { dev_id: DEVICE }).returns(0);
    replaceMock(c, MOCK, target).refused('EINVAL');
    checkPasid(c, 0, OWN).returns(0);
    replaceMock(c, MOCK, OTHER).returns(0);
    detachPasid(c, PASID).returns(0);
    replaceMock(c, MOCK, target).returns(0);
  });
});

clause('pasid/replace', () => {
  test('to another, the same, and back', (s) => {
    const c = attached(s);
    for (const table of [OWN, OWN, OTHER]) {
      replacePasid(c, PASID, table).returns(0);
      checkPasid(c, PASID, table).returns(0);
    }
    detachPasid(c, PASID).returns(0);
    c.destroy(OTHER).returns(0);
  });
  test('what it had before is not in use any more', (s) => {
    const c = attached(s);
    replacePasid(c, PASID, OWN).returns(0);
    c.destroy(OTHER).returns(0);
    replaceMock(c, MOCK, OWN).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  test('the device itself, as PASID 0', (s) => {
    const c = ready(s);
    replacePasid(c, 0, OTHER).returns(0);
    checkPasid(c, 0, OTHER).returns(0);
    c.destroy(OWN).returns(0);
    replacePasid(c, 0, IOAS).returns(0).shows(PT_AT, u32(NEXT));
    checkPasid(c, 0, NEXT).returns(0);
  });
});

clause('pasid/replace-unattached', () => {
  each({ 'a page table': OTHER, 'an IO address space': IOAS }, (s, target) => {
    const c = ready(s);
    replacePasid(c, PASID, target).refused('EINVAL');
    checkPasid(c, PASID, 0).returns(0);
    c.alloc(NEXT);
  });
  test('detached before', (s) => {
    const c = attached(s);
    detachPasid(c, PASID).returns(0);
    replacePasid(c, PASID, OTHER).refused('EINVAL');
  });
  test('the device itself', (s) => {
    const c = ready(s);
    detachPasid(c, 0).returns(0);
    replacePasid(c, 0, OTHER).refused('EINVAL');
  });
});

clause('mock/replace-unattached', () => {
  each({ 'a page table': OTHER, 'an IO address space': IOAS }, (s, target) => {
    const c = ready(s);
    detachPasid(c, 0).returns(0);
    replaceMock(c, MOCK, target).refused('EINVAL');
    c.destroy(OTHER).returns(0);
    c.alloc(NEXT);
  });
});

clause('pasid/replace-refused', () => {
  test('by the IOMMU', (s) => {
    const c = ready(s);
    attachPasid(c, RESERVED, OTHER).returns(0);
    replacePasid(c, RESERVED, OWN).refused('ENOMEM');
    checkPasid(c, RESERVED, OTHER).returns(0);
    c.destroy(OTHER).refused('EBUSY');
    replacePasid(c, RESERVED, OWN).returns(0);
    checkPasid(c, RESERVED, OWN).returns(0);
    c.destroy(OTHER).returns(0);
    detachPasid(c, RESERVED).returns(0);
  });
  test('the same page table is not refused', (s) => {
    const c = ready(s);
    attachPasid(c, RESERVED, OTHER).returns(0);
    replacePasid(c, RESERVED, OTHER).returns(0);
    replacePasid(c, RESERVED, OWN).refused('ENOMEM');
    detachPasid(c, RESERVED).returns(0);
  });
});

clause('pasid/detach', () => {
  test('twice, and what was never attached', (s) => {
    const c = attached(s);
    detachPasid(c, PASID + 1).returns(0);
    checkPasid(c, PASID, OTHER).returns(0);
    detachPasid(c, PASID).returns(0);
    detachPasid(c, PASID).returns(0);
    checkPasid(c, PASID, 0).returns(0);
    c.destroy(MOCK).returns(0);
  });
});

clause('pasid/detach-no-device', () => {
  each({ none: 0, 'a device': DEVICE, 'a page table': OWN }, (s, device) => {
    detachPasid(ready(s), PASID, device).refused('ENOENT');
  });
});

clause('pasid/check', () => {
  test('before and after', (s) => {
    const c = ready(s);
    checkPasid(c, PASID, 0).returns(0);
    attachPasid(c, PASID, OTHER).returns(0);
    checkPasid(c, PASID, OTHER).returns(0);
    detachPasid(c, PASID).returns(0);
    checkPasid(c, PASID, 0).returns(0);
  });
});

clause('pasid/check-no-device', () => {
  each({ none: 0, 'a device': DEVICE }, (s, device) => {
    checkPasid(ready(s), PASID, 0, device).refused('ENOENT');
  });
});

clause('pasid/check-unknown', () => {
  test('never given', (s) => {
    checkPasid(ready(s), PASID, 99).refused('ENOENT');
  });
});

clause('pasid/check-other', () => {
  each({ 'another page table': OWN, none: 0, 'an IO address space': IOAS, 'a device': DEVICE }, (s, target) => {
    const c = attached(s);
    checkPasid(c, PASID, target).refused('EINVAL');
    detachPasid(c, PASID).returns(0);
  });
});

/** Fault queue 7, and page table 8 for PASIDs whose faults go there, to which PASID 7 is attached. */
const withFaults = (s: Scenario): { readonly c: Context; readonly queue: QueueFile } => {
  const c = ready(s);
  c.alloc(NEXT);
  const queue = allocFaultQueue(s, c);
  queue.said.returns(0);
  allocTable(c, { dev_id: DEVICE, flags: FOR_PASIDS | FAULT, fault_id: 7 })
    .returns(0)
    .shows(TABLE_AT, u32(8));
  attachPasid(c, PASID, 8).returns(0);
  return { c, queue };
};

const shown = (pasid: number): Uint8Array =>
  encode(commands.iommuHwptPgfault, { flags: pasid === 0 ? 2 : 3, dev_id: DEVICE, pasid }).subarray(0, 36);

clause('fault-queue/delivers', () => {
  test('of a PASID, and not of others', (s) => {
    const { c, queue } = withFaults(s);
    for (const pasid of [PASID, 0, PASID + 1]) fault(c, { pasid }).returns(0);
    queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(PASID));
    queue.read(FAULT_BYTES).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  test('of a PASID and of the device, to one queue', (s) => {
    const { c, queue } = withFaults(s);
    replaceMock(c, MOCK, 8).returns(0);
    for (const pasid of [0, PASID]) fault(c, { pasid }).returns(0);
    for (const pasid of [0, PASID]) queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(pasid));
    detachPasid(c, PASID).returns(0);
  });
});

clause('fault-queue/ends-with-attachment', () => {
  each(
    {
      'of a PASID that is detached': detachPasid,
      'of a PASID that gets another page table': (c: Context) => replacePasid(c, PASID, OTHER),
    },
    (s, end) => {
      const { c, queue } = withFaults(s);
      replaceMock(c, MOCK, 8).returns(0);
      for (const pasid of [PASID, 0, PASID, 0]) fault(c, { pasid }).returns(0);
      const answers = readToAnswer(queue, s.main.memory(PAGE), 2);
      end(c, PASID).returns(0);
      answers.send(1, 1).refused('EINVAL');
      answers.send(0, 1).returns(8);
      queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(0));
      queue.read(FAULT_BYTES).returns(0);
      detachPasid(c, PASID).returns(0);
    },
  );
  test('of a device whose PASID goes on', (s) => {
    const { c, queue } = withFaults(s);
    replaceMock(c, MOCK, 8).returns(0);
    for (const pasid of [0, PASID]) fault(c, { pasid }).returns(0);
    replaceMock(c, MOCK, OWN).returns(0);
    queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(PASID));
    queue.read(FAULT_BYTES).returns(0);
    detachPasid(c, PASID).returns(0);
  });
  test('a PASID that the IOMMU refuses another page table', (s) => {
    const { c, queue } = withFaults(s);
    attachPasid(c, RESERVED, 8).returns(0);
    fault(c, { pasid: RESERVED }).returns(0);
    replacePasid(c, RESERVED, OTHER).refused('ENOMEM');
    queue.read(FAULT_BYTES).returns(FAULT_BYTES).shows(0, shown(RESERVED));
    for (const pasid of [RESERVED, PASID]) detachPasid(c, pasid).returns(0);
  });
});

clause('hw-info/pasid-bits', () => {
  each({ 'of a mock device with PASIDs': mock.MOCK_FLAGS_DEVICE_PASID, 'of one without': 0 }, (s, flags) => {
    const c = openWithMock(s);
    c.alloc(IOAS);
    attachMockAs(c, IOAS, flags).returns(0);
    const bits = flags === 0 ? 0 : mock.MOCK_PASID_WIDTH;
    c.hwInfo({ dev_id: DEVICE })
      .returns(0)
      .shows(offsetOf(commands.iommuHwInfo, 'out_max_pasid_log2'), Uint8Array.of(bits));
  });
});
