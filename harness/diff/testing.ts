import type { Case } from '../cases/case.ts';
import { cleanup } from '../cases/cleanup.ts';
import { type Scenario, scenario } from '../cases/scenario.ts';
import { readyContainer } from '../cases/vfio.ts';
import { type Field, field, type Objection, objection, type Request, type Rule, request } from '../model/clauses.ts';
import type { IommuFile } from '../model/type1/files.ts';
import type { IoctlCall } from '../model/world/kernel-file.ts';
import { printProgram } from '../program/text.ts';
import type { RunRecord } from '../report/record.ts';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import type { Clause, ClauseId } from '../spec/clause.ts';
import { byId, inForce, type Revision } from '../spec/revision.ts';
import { type AnyStruct, array, flexible, struct, u8, u16, u32, u64 } from '../uapi/struct.ts';
import * as uapi from '../uapi/vfio.ts';
import { type DiffOptions, specDiff } from './index.ts';
import type { Side, SpecDiff } from './spec-diff.ts';

/* A small patch, made up for the tests of this room, and programs that show it. */

/** A clause of Linux 6.1 as what it is known to be. */
const stated = <C>(id: ClauseId): C => inForce(LINUX_6_1).get(id) as C;

/** The same, stated anew with something changed. */
const anew = <C extends Clause>(id: ClauseId, changed: Partial<C>): C => ({ ...stated<C>(id), ...changed });

const PING = request<IommuFile, undefined>({
  id: 'ping/answers',
  level: 'must',
  says: 'PING returns 7.',
  source: 'A. Author, first version of the patch',
  on: 'iommu',
  request: uapi.VFIO_IOMMU_DIRTY_PAGES + 30n,
  situation: () => undefined,
  stages: ['arguments'],
  returns: () => ({ exactly: 7n }),
});

const NO_PING = objection(PING, {
  id: 'ping/never',
  level: 'must',
  says: 'PING is refused with EPERM.',
  source: 'R. Reviewer, mail of the next day: nobody may ping',
  stage: 'arguments',
  errnos: ['EPERM'],
  when: () => true,
});

/**
 * Adds PING, withdraws the check for unknown flags, answers EBUSY where EEXIST stood, reports one page size less, and
 * charges each mapping one page more.
 */
export const POSTED: Revision = {
  id: 'ping/posted',
  base: LINUX_6_1,
  summary: 'adds PING, and changes a few things beside',
  clauses: {
    ...byId(
      PING,
      anew<Objection<unknown>>('map/overlap', { errnos: ['EBUSY'], says: 'An overlap is refused with EBUSY.' }),
      anew<Field<unknown>>('info/page-sizes', { bytes: () => new Uint8Array([0, 0x10, 0x20, 0, 0, 0, 0, 0]) }),
      anew<Rule<(runs: readonly { readonly count: number }[]) => number>>('accounting/charged-pages', {
        rule: (runs) => runs.reduce((pages, { count }) => pages + count, 1),
      }),
    ),
    'map/unknown-flags': null,
  },
};

/** The same, with PING refused, as a reviewer had it. */
export const REVIEWED: Revision = {
  id: 'ping/reviewed',
  base: POSTED,
  summary: 'the same, and nobody may ping',
  clauses: byId(NO_PING),
};

/** States MAP_DMA anew so that it maps nothing: what a later UNMAP_DMA returns differs, and no clause says so. */
export const CARELESS: Revision = {
  id: 'careless/posted',
  base: LINUX_6_1,
  summary: 'maps nothing and says that it did',
  clauses: byId(anew<Request<unknown, unknown>>('map/maps', { effect: () => undefined })),
};

/** A patch whose PING stores a byte where its argument points, and names no clause for what it stores. */
export const storing = (byte: number): Revision => ({
  id: `storing/${byte}`,
  base: LINUX_6_1,
  summary: 'PING stores a byte',
  clauses: byId(
    request<IommuFile, IoctlCall>({
      id: 'ping/answers',
      level: 'must',
      says: `PING stores ${byte}.`,
      source: 'A. Author, another version of the patch',
      on: 'iommu',
      request: PING.request,
      situation: (_, call) => call,
      stages: ['arguments'],
      effect: ({ caller, argument }) => void caller.space.write(argument.value, Uint8Array.of(byte)),
    }),
  ),
});

/** One more field in the reply of GET_INFO, where bytes were promised to stay what they were. */
export const PADDED: Revision = {
  id: 'padded/posted',
  base: LINUX_6_1,
  summary: 'writes the padding of GET_INFO',
  clauses: byId(
    field(stated<Request<unknown, unknown>>('info/get-info'), {
      id: 'padded/zero',
      level: 'must',
      says: 'The padding is zeroed.',
      source: 'A. Author',
      at: () => 20,
      bytes: () => new Uint8Array(4),
    }),
  ),
};

/** A revision as a side. */
export const side = (revision: Revision, run?: RunRecord): Side => ({
  name: run === undefined ? revision.id : 'reports/a-run',
  revision,
  ...(run === undefined ? {} : { run }),
});

/** What differs between two of them on the programs below. */
export const diffOf = (a: Side, b: Side, options: Partial<DiffOptions> = {}): SpecDiff =>
  specDiff(a, b, { version: '0.1.0', cases: CASES, ...options });

const aCase = (id: ClauseId, title: string, write: (s: Scenario) => void): Case => {
  const written = scenario();
  write(written);
  return { id: `${id}: ${title}`, clause: id, title, ...written.build() };
};

const PAGE = 0x1000n;

/** Programs that meet what the revisions above change, in the order of the suites (not of their size). */
export const CASES: readonly Case[] = [
  aCase('map/overlap', 'after another', (s) => {
    const c = readyContainer(s);
    c.map({ iova: 0n, size: PAGE });
    c.map({ iova: 8n * PAGE, size: PAGE });
    c.map({ iova: 0n, size: PAGE }).refused('EEXIST');
  }),
  aCase('map/overlap', 'identical', (s) => {
    const c = readyContainer(s);
    c.map({ iova: 0n, size: PAGE });
    c.map({ iova: 0n, size: PAGE }).refused('EEXIST');
  }),
  aCase('map/unknown-flags', 'bit 3', (s) => {
    readyContainer(s).map({ iova: 0n, size: PAGE, flags: 0xb }).refused('EINVAL');
  }),
  aCase('info/page-sizes', 'all', (s) => void readyContainer(s).info(160)),
  aCase('accounting/charged-pages', 'one', (s) => {
    readyContainer(s).map({ iova: 0n, size: PAGE });
    s.main.lockedKb();
  }),
  aCase('ping/answers', 'any time', (s) => {
    const c = readyContainer(s);
    c.ioctl(PING.request, { kind: 'value', value: 0n });
  }),
  aCase('ping/answers', 'stores', (s) => {
    const c = readyContainer(s);
    c.ioctl(PING.request, { kind: 'place', place: c.memory.at() });
    c.memory.read(0n, 1n);
  }),
  aCase('unmap/size', 'what was mapped', (s) => {
    const c = readyContainer(s);
    c.map({ iova: 0n, size: PAGE }).succeeds();
    c.unmap({ iova: 0n, size: PAGE }).succeeds();
  }),
  aCase('container/api-version', 'zero', (s) => {
    const fd = s.main.opens('/dev/vfio/vfio', 'container');
    s.main.does({ op: 'ioctl', fd, request: uapi.VFIO_GET_API_VERSION, arg: { kind: 'value', value: 0n } });
  }),
];

/** The program of a case as a run keeps it, but for the values of its host. */
export const programText = (one: Case): string =>
  printProgram({ lets: {}, steps: [...one.steps, ...cleanup(one.steps)] });

/** Layouts that differ from one revision to another in every way that the pictures show. */
export const layoutsOf = (revision: Revision): readonly AnyStruct[] =>
  revision === LINUX_6_1
    ? [
        struct('capability', { flags: u32, info: flexible(u8) }),
        struct('gone', { start: u64, length: u32 }),
        struct('table', { head: u8, entries: array(u64, 20) }),
      ]
    : [
        struct('capability', { flags: u32, reserved: u32, info: flexible(u8) }),
        struct('holes', { id: u8, a_name_that_is_too_long: u16, value: u64 }),
        struct('table', { entries: array(u64, 20), head: u8 }),
      ];
