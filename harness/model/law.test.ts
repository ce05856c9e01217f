import { expect } from 'chai';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { byId, inForce, type Revision } from '../spec/revision.ts';
import { EMULATED_PIN, EMULATED_UNPIN, EMULATED_WRITE } from '../uapi/emulated-test.ts';
import { encode } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import * as logging from '../uapi/vfio-logging.ts';
import { objection, request } from './clauses.ts';
import { objectionsTo } from './iova-bitmap/arguments.ts';
import { type InForce, walkBitmap } from './iova-bitmap/walk.ts';
import { lawOf } from './law.ts';
import type { Capability } from './type1/capabilities.ts';
import type { IommuFile } from './type1/files.ts';
import { MAP_DMA } from './type1/map.ts';
import { inline, number, outBytes, outcomesOf, PAGE, ready, testbed } from './type1/testbed.ts';

const CLAUSES = [...inForce(LINUX_6_1).values()];

/** The rows of the table of five modes state no rule of their own: what they say follows from the clauses of each mode. */
const RULES = CLAUSES.filter((clause) => !('cells' in clause));

const revise = (...clauses: readonly Clause[]): Revision => ({
  id: 'revised',
  base: LINUX_6_1,
  summary: 'for a test',
  clauses: byId(...clauses),
});

const stated = (id: ClauseId): Clause => {
  const clause = inForce(LINUX_6_1).get(id);
  if (clause === undefined) throw new Error(`${id} is not in force`);
  return clause;
};

describe('clauses of linux-6.1', () => {
  for (const clause of CLAUSES) {
    it(`${clause.id} is well stated`, () => {
      expect(clause.id).to.match(/^[a-z]+(-[a-z]+)*\/[a-z][a-z0-9]*(-[a-z0-9]+)*$/);
      expect(clause.says).to.match(/^[A-Z].*\.$/s);
      expect(clause.source).to.match(/\S+(\.[chs]|\.rst|Specification|edu)/);
    });
  }

  it('are all consulted by the model', () => {
    const consulted = new Set<string>();
    const watched = CLAUSES.map((clause) => watch(clause, () => consulted.add(clause.id)));
    tour({ id: 'watched', summary: 'for a test', clauses: byId(...watched) }, (clause) => consulted.add(clause.id));
    expect(RULES.map(({ id }) => id).filter((id) => !consulted.has(id))).to.deep.equal([]);
  });
});

/** The clause with each of its functions telling that it was called. */
const watch = (clause: Clause, consulted: () => void): Clause =>
  Object.fromEntries(
    Object.entries(clause).map(([name, part]: [string, unknown]) => {
      if (typeof part !== 'function') return [name, part];
      const telling = (...given: readonly unknown[]): unknown => {
        consulted();
        return Reflect.apply(part, undefined, given);
      };
      return [name, telling];
    }),
  ) as unknown as Clause;

/** A program that comes by everything that is modelled; `cited` sees the clauses that outcomes name. */
const tour = (revision: Revision, cited: (clause: Clause) => void): void => {
  const walk = { iova: 0n, length: PAGE, pageSize: PAGE, offset: 0, marks: [{ iova: 0n, length: PAGE }] };
  const inForce: InForce = (stated) => {
    cited(lawOf(revision).of(stated));
    return lawOf(revision).of(stated);
  };
  walkBitmap(inForce, { ...walk, writable: () => true, fails: { window: 0, errno: 'EAGAIN' } });
  walkBitmap(inForce, { ...walk, writable: () => true });
  walkBitmap(inForce, { ...walk, writable: () => false });
  objectionsTo(inForce, { ...walk, writable: () => true });
  const v1 = ready({ revision, type: uapi.VFIO_TYPE1_IOMMU });
  v1.map({ iova: 0n, size: PAGE });
  v1.unmap({ iova: 0n, size: PAGE });
  v1.dirty(1);

  const bed = ready({ revision });
  for (const id of [0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n, 9n, 10n]) {
    bed.ioctl('container', uapi.VFIO_CHECK_EXTENSION, number(id));
  }
  bed.ioctl('container', uapi.VFIO_GET_API_VERSION, number(0));
  bed.ioctl('container', 0x3b99n, number(0));
  bed.ioctl('group', uapi.VFIO_GROUP_GET_STATUS, inline(encode(uapi.vfioGroupStatus, { argsz: 8 })));
  bed.ioctl('group', 0x3b99n, number(0));
  bed.openGroup('busy');
  bed.take({ op: 'limit', resource: 'memlock', soft: 1n << 40n });
  bed.take({ op: 'drop', capability: 'ipc_lock' });

  bed.map({ iova: 0n, size: 4n * PAGE });
  bed.map({ iova: 8n * PAGE, size: 100n * PAGE });
  bed.map({ iova: 0x4000n * PAGE, size: PAGE, flags: uapi.VFIO_DMA_MAP_FLAG_READ });
  const info = inline(encode(uapi.vfioIommuType1Info, { argsz: 4096 }));
  for (const { clauses, out, untouched } of outcomesOf(
    bed.ask({ op: 'ioctl', fd: 'container', request: uapi.VFIO_IOMMU_GET_INFO, arg: info }),
  )) {
    for (const clause of clauses) cited(clause);
    if (out !== 'anything') for (const rule of out ?? []) cited(rule.clause);
    if (untouched !== undefined) cited(untouched);
  }

  bed.openDevice();
  bed.ioctl('device', uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 20 })));
  bed.ioctl('device', uapi.VFIO_DEVICE_GET_REGION_INFO, inline(encode(uapi.vfioRegionInfo, { argsz: 32 })));
  bed.ioctl('device', uapi.VFIO_DEVICE_RESET, number(0));
  bed.take({ op: 'map', name: 'bar', fd: 'device', start: 0n, size: 0x10_0000n, share: 'shared' });
  bed.take({ op: 'pread', fd: 'device', offset: 7n << 40n, size: 4n });
  bed.take({ op: 'pwrite', fd: 'device', offset: (7n << 40n) + 4n, data: Uint8Array.of(6, 0) });
  for (const command of [1n, 3n]) {
    const registers = {
      128: command === 1n ? 0n : 0x40000n,
      136: command === 1n ? 0x40000n : 0n,
      144: 8n,
      152: command,
    };
    for (const [offset, value] of Object.entries(registers)) {
      bed.take({ op: 'poke', name: 'bar', offset: BigInt(offset), width: 8n, value });
    }
    bed.take({ op: 'await', name: 'bar', offset: 0x98n, width: 8n, mask: 1n, value: 0n, timeout_ms: 1000n });
  }
  bed.take({ op: 'unmap', name: 'bar', offset: 0n, size: 0x10_0000n });
  bed.take({ op: 'close', fd: 'device' });

  bed.dirty(1);
  bed.take({ op: 'mem', name: 'bits', size: PAGE });
  const bitmap = { data: { memory: 'bits' }, size: 8n };
  for (let reading = 0; reading < 2; reading++) bed.getDirty({ iova: 0n, size: 8n * PAGE, bitmap });
  bed.unmap({ iova: 16n * PAGE, size: PAGE, bitmap });
  bed.dirty(2);

  bed.unmap({ iova: 0n, size: 4n * PAGE, flags: 4 });
  bed.unmap({ iova: 0n, size: 4n * PAGE, flags: 4 });
  bed.take({ op: 'spawn', child: 'child' });
  bed.map({ iova: 0n, size: 4n * PAGE, flags: 4 }, 'child');
  bed.unmap({ iova: 0n, size: 4n * PAGE });
  bed.map({ iova: 0n, size: 4n * PAGE }, 'child');
  bed.unmap({ iova: 0n, size: 0n, flags: 2 });

  bed.openGroup('other', '/dev/vfio/3');
  bed.setContainer('other');
  bed.unsetContainer('other');
  bed.take({ op: 'open', fd: 'limit', path: '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit' });
  bed.take({ op: 'pread', fd: 'limit', offset: 0n, size: 16n });
  bed.take({ op: 'pwrite', fd: 'limit', offset: 0n, data: Buffer.from('7\n') });
  for (const actor of ['child', 'main']) bed.take({ op: 'shut' }, actor);

  tourWithoutIommu(revision);
  tourOfLogs(revision);

  const bare = testbed({ revision });
  bare.openContainer();
  bare.setIommu(77n);
  bare.ioctl('container', uapi.VFIO_CHECK_EXTENSION, number(77));
};

/** The same where a device has no IOMMU behind it. */
const tourWithoutIommu = (revision: Revision): void => {
  const bed = testbed({ revision });
  bed.openContainer();
  bed.openGroup('group', '/dev/vfio/4');
  bed.setContainer();
  bed.setIommu();
  bed.take({ op: 'mem', name: 'ram', size: 64n * PAGE });
  bed.map({ iova: 0n, size: 4n * PAGE });
  bed.openDevice('emulated', 'vfio-emulated.0');
  bed.take({ op: 'limit', resource: 'memlock', soft: 1n << 40n });
  bed.take({ op: 'drop', capability: 'ipc_lock' });
  bed.map({ iova: 4n * PAGE, size: 4n * PAGE, vaddr: { memory: 'ram', offset: 8n * PAGE } });
  bed.dirty(1);
  bed.take({ op: 'mem', name: 'bits', size: PAGE });
  bed.take({ op: 'unload', module: 'vfio_emulated' });
  bed.tell(EMULATED_PIN, 4n * PAGE, 2, 3);
  bed.tell(EMULATED_PIN, 6n * PAGE, 8, 3);
  bed.tell(EMULATED_WRITE, 0n, 8);
  bed.getDirty({ iova: 0n, size: 8n * PAGE, bitmap: { data: { memory: 'bits' }, size: 8n } });
  bed.getDirty({ iova: 0n, size: 8n * PAGE, bitmap: { data: 0n, size: 8n } });
  bed.take({ op: 'unmap', name: 'ram', offset: PAGE, size: PAGE });
  bed.tell(EMULATED_WRITE, PAGE - 4n, 8);
  bed.unmap({ iova: 0n, size: 4n * PAGE });
  bed.openGroup('hardware');
  bed.setContainer('hardware');
  bed.unsetContainer('hardware');
  bed.tell(EMULATED_UNPIN, 4n * PAGE, 2);
};

/** A device that logs what it writes, from START to its closing. */
const tourOfLogs = (revision: Revision): void => {
  const bed = testbed({ revision });
  bed.openContainer();
  bed.openGroup('group', '/dev/vfio/4');
  bed.setContainer();
  bed.setIommu();
  bed.take({ op: 'mem', name: 'ram', size: 4n * PAGE });
  bed.map({ iova: 0n, size: 4n * PAGE });
  bed.openDevice('emulated', 'vfio-emulated.0');
  const { VFIO_DEVICE_FEATURE_GET: get, VFIO_DEVICE_FEATURE_SET: set } = logging;
  const feature = (flags: number, data: Uint8Array = new Uint8Array(0), pointerAt = 0): string => {
    const pointer = { kind: 'pointer', at: 8 + pointerAt, place: { memory: 'ram', offset: 0n } } as const;
    const bytes = encode(logging.vfioDeviceFeature, { argsz: 8 + data.length, flags, data });
    const arg = inline(bytes, ...(pointerAt === 0 ? [] : [pointer]));
    return bed.ioctl('emulated', logging.VFIO_DEVICE_FEATURE, arg);
  };
  bed.take({ op: 'write', name: 'ram', offset: 8n, data: Uint8Array.of(0, 0x40) });
  const control = encode(logging.vfioDeviceFeatureDmaLoggingControl, { page_size: PAGE, num_ranges: 1 });
  const report = encode(logging.vfioDeviceFeatureDmaLoggingReport, { length: PAGE, page_size: PAGE });
  for (const from of [16, 0]) feature(logging.VFIO_DEVICE_FEATURE_DMA_LOGGING_START | set, control, from);
  bed.tell(EMULATED_WRITE, 0n, 8);
  feature(logging.VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT | get, report, 24);
  feature(logging.VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP | set);
  bed.take({ op: 'close', fd: 'emulated' });
};

describe('law', () => {
  it('lets a revision change an errno', () => {
    const revised = { ...stated('map/overlap'), errnos: ['EADDRINUSE'] };
    const bed = ready({ revision: revise(revised) });
    bed.map({ iova: 0n, size: PAGE });
    expect(bed.map({ iova: 0n, size: PAGE })).to.equal('EADDRINUSE');
  });

  it('lets a revision change a rule', () => {
    const revised = { ...stated('accounting/charged-pages'), rule: () => 1 };
    const bed = ready({ revision: revise(revised) });
    bed.map({ iova: 0n, size: 8n * PAGE });
    expect(bed.locked()).to.equal(1);
  });

  it('lets a revision withdraw an objection', () => {
    const revision: Revision = { ...revise(), clauses: { 'map/needs-access': null } };
    expect(ready({ revision }).map({ iova: 0n, size: PAGE, flags: 0 })).to.equal('0');
  });

  it('lets a revision add an objection', () => {
    const added = objection(MAP_DMA, {
      id: 'map/not-there',
      level: 'must',
      says: 'Page 7 is never mapped.',
      source: 'this test',
      stage: 'mappings',
      errnos: ['ENXIO'],
      when: ({ asked }) => asked.iova === 7n * PAGE,
    });
    const bed = ready({ revision: revise(added) });
    expect(bed.map({ iova: 7n * PAGE, size: PAGE })).to.equal('ENXIO');
    expect(bed.map({ iova: 8n * PAGE, size: PAGE })).to.equal('0');
  });

  it('lets a revision add a capability', () => {
    const added: Capability = {
      kind: 'capability',
      id: 'info/new-capability',
      level: 'must',
      says: 'There is one more capability.',
      source: 'this test',
      structure: () => encode(uapi.vfioIommuType1InfoDmaAvail, { header: { id: 77, version: 1 }, avail: 5 }),
    };
    const bed = ready({ revision: revise(added) });
    const arg = inline(encode(uapi.vfioIommuType1Info, { argsz: 4096 }));
    const [outcome] = outcomesOf(bed.ask({ op: 'ioctl', fd: 'container', request: uapi.VFIO_IOMMU_GET_INFO, arg }));
    const bytes = Buffer.from(outBytes(outcome, 256));
    expect([bytes.readUInt32LE(72 + 4), bytes.readUInt16LE(120), bytes.readUInt32LE(128)]).to.deep.equal([120, 77, 5]);
  });

  it('lets a revision add a request', () => {
    const added = request<IommuFile, { mappings: number }>({
      id: 'count/mappings',
      level: 'must',
      says: 'It counts mappings.',
      source: 'this test',
      on: 'iommu',
      request: 0x3b79n,
      situation: ({ iommu }) => ({ mappings: iommu.mappings.size }),
      stages: [],
      returns: ({ mappings }) => ({ exactly: BigInt(mappings) }),
    });
    const bed = ready({ revision: revise(added) });
    bed.map({ iova: 0n, size: PAGE });
    expect(bed.ioctl('container', 0x3b79n, number(0))).to.equal('1');
    expect(ready().ioctl('container', 0x3b79n, number(0))).to.equal('ENOTTY');
  });

  const faults: Record<string, [clause: Clause, message: string]> = {
    'a clause of no kind': [{ id: 'a/plain', level: 'must', says: 'x', source: 'x' }, 'a/plain is of no kind'],
    'an objection in a stage that is not there': [
      { ...stated('map/argsz'), stage: 'never' } as Clause,
      'has no stage never',
    ],
    'an objection to nothing': [{ ...stated('map/argsz'), to: 'a/b' } as Clause, 'a/b, which is not in force'],
  };
  for (const [title, [clause, message]] of Object.entries(faults)) {
    it(`refuses ${title}`, () => {
      expect(() => lawOf(revise(clause))).to.throw(RangeError, message);
    });
  }

  it('arranges a revision once', () => {
    expect(lawOf(LINUX_6_1)).to.equal(lawOf(LINUX_6_1));
  });
});
