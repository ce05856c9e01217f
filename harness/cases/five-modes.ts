import {
  type Cell,
  cellText,
  MODES,
  type Mode,
  type Question,
  type ValueAt,
  withValue,
} from '../spec/five-modes/index.ts';
import * as iommufd from '../uapi/iommufd.ts';
import * as vfio from '../uapi/vfio.ts';
import { type Context, openIommufd } from './iommufd.ts';
import type { Actor, Memory, Said, Scenario } from './scenario.ts';
import { clause, test } from './suite.ts';
import {
  type Container,
  containerOf,
  type Device,
  type Group,
  type MapRequest,
  openContainer,
  openGroup,
} from './vfio.ts';

/* One program in five modes. */

/** What the programs of all modes are written in; words that a mode does not have throw. */
export interface Ground {
  readonly mode: Mode;
  readonly main: Actor;
  readonly memory: Memory;
  readonly group: Group;
  /** The container's requests; of /dev/iommu in the modes of its compatibility. */
  readonly container: Container;
  /** The native commands; only for `iommufd`. */
  readonly context: Context;
  /** Whether it is one of /dev/iommu. */
  readonly onIommufd: boolean;
  map(request: MapRequest): Said;
  unmap(iova: bigint, size: bigint): Said;
  unmapAll(): Said;
  /** Opens the group's device. */
  open(): Device;
  /** The same, spoken by another actor, who inherited the descriptors. */
  of(actor: Actor): Ground;
}

/** How far a ground is prepared: opened; with the group in it; with SET_IOMMU called; with the device open, so that all that is mapped is pinned. */
export type Prepared = 'bare' | 'group' | 'iommu' | 'device';

const TYPE: Readonly<Record<Mode, bigint>> = {
  'type1-v1': vfio.VFIO_TYPE1_IOMMU,
  'type1-v2': vfio.VFIO_TYPE1v2_IOMMU,
  'compat-v1': vfio.VFIO_TYPE1_IOMMU,
  'compat-v2': vfio.VFIO_TYPE1v2_IOMMU,
  iommufd: 0n,
};

const openedIn = (s: Scenario, mode: Mode) => {
  if (mode === 'type1-v1' || mode === 'type1-v2') return { container: openContainer(s.main), context: undefined };
  const context = openIommufd(s);
  return { container: containerOf(context.fd, s.main), context };
};

/** The ground of a mode. `Native` devices come to their IO address space, which has id 1, by their group. */
export const groundIn = (s: Scenario, mode: Mode, prepared: Prepared = 'device'): Ground => {
  const { container, context } = openedIn(s, mode);
  const native = mode === 'iommufd' ? context : undefined;
  if (native !== undefined) {
    native.alloc(1);
    native.vfioIoas(iommufd.IOMMU_VFIO_IOAS_SET, 1).returns(0);
  }
  const group = openGroup(s.main);
  const ground = groundOf({ s, mode, container, native, group, main: s.main, memory: s.main.memory(0x10000n) });
  if (prepared === 'bare') return ground;
  group.setContainer(container).returns(0);
  if (prepared === 'group') return ground;
  if (native === undefined) container.setIommu(TYPE[mode]).returns(0);
  if (prepared === 'device') ground.open().opened.succeeds();
  return ground;
};

interface Parts extends Pick<Ground, 'mode' | 'main' | 'memory' | 'group' | 'container'> {
  readonly s: Scenario;
  readonly native: Context | undefined;
}

const flagsOf = (flags: number): number =>
  iommufd.IOMMU_IOAS_MAP_FIXED_IOVA |
  ((flags & vfio.VFIO_DMA_MAP_FLAG_READ) === 0 ? 0 : iommufd.IOMMU_IOAS_MAP_READABLE) |
  ((flags & vfio.VFIO_DMA_MAP_FLAG_WRITE) === 0 ? 0 : iommufd.IOMMU_IOAS_MAP_WRITEABLE);

const groundOf = (parts: Parts): Ground => {
  const { mode, main, memory, group, container, native } = parts;
  return {
    mode,
    main,
    memory,
    group,
    container,
    get context(): Context {
      if (native === undefined) throw new Error(`${mode} has no commands of /dev/iommu`);
      return native;
    },
    onIommufd: mode === 'iommufd' || mode.startsWith('compat'),
    map: (request) => {
      const vaddr = request.vaddr ?? memory.at();
      if (native === undefined) return container.map({ ...request, vaddr });
      const { iova, size, flags = vfio.VFIO_DMA_MAP_FLAG_READ | vfio.VFIO_DMA_MAP_FLAG_WRITE } = request;
      return native.map({ iova, length: size, vaddr, flags: flagsOf(flags) });
    },
    unmap: (iova, size) => (native === undefined ? container.unmap({ iova, size }) : native.unmap(iova, size)),
    unmapAll: () => (native === undefined ? container.unmapAll() : native.unmap(0n, (1n << 64n) - 1n)),
    open: () => group.device(),
    of: (actor) =>
      groundOf({
        ...parts,
        main: actor,
        memory: memory.of(actor),
        group: group.of(actor),
        container: container.of(actor),
        native: native?.of(actor),
      }),
  };
};

/** What a case says last is what is asked. */
type Write = (s: Scenario, mode: Mode) => Said;

/** The cases of a row: one for each mode in which it makes sense. */
export const inModes = (row: Question, write: Write): void =>
  clause(row.id, () => {
    for (const mode of MODES) if (!('none' in row.cells[mode])) test(mode, (s) => answerIn(s, row, mode, write));
  });

/** Writes the case of one cell, which must be one in which the question makes sense. */
export const answerIn = (s: Scenario, row: Question, mode: Mode, write: Write): void => {
  const cell = row.cells[mode];
  if ('none' in cell) throw new RangeError(`${row.id} is not asked in ${mode}`);
  expectCell(write(s, mode), cell, placeOf(row, cell));
  s.asks(askedOf(row, mode, cell));
};

type Answered = Exclude<Cell, { none: string }>;

/** Where the number stands that an answer holds. */
const placeOf = ({ valueAt }: Question, cell: Answered): ValueAt | undefined =>
  ('valueAt' in cell ? cell.valueAt : undefined) ?? valueAt;

const expectCell = (said: Said, cell: Answered, at: ValueAt | undefined): void => {
  if ('refused' in cell) said.refused(...cell.refused);
  else if (cell.returns === 'anything') said.succeeds();
  else said.returns(cell.returns);
  if (cell.value === undefined || at === undefined) return;
  const bytes = new Uint8Array(at.width);
  for (let index = 0; index < at.width; index++) bytes[index] = Number((cell.value >> BigInt(8 * index)) & 0xffn);
  said.shows(at.at, bytes);
};

/** What is told of a question in one mode. */
const askedOf = (row: Question, mode: Mode, cell: Answered): Parameters<Scenario['asks']>[0] => ({
  asks: row.asks,
  mode,
  column: MODES.indexOf(mode),
  expected: cellText(row, cell),
  source: cell.source,
  tell: ({ ret, errno, out }) => {
    const at = placeOf(row, cell);
    const told =
      errno === 0 ? ('returns' in cell && cell.returns === 'anything' ? 'succeeds' : withUnit(row, ret)) : errno;
    const tells = errno === 0 || cell.value !== undefined;
    const value = at === undefined || !tells ? undefined : numberAt(out, at);
    return value === undefined || at === undefined ? told : withValue(told, at, value);
  },
});

const withUnit = ({ unit }: Question, number: bigint): string =>
  unit === undefined ? `${number}` : `${number} ${unit}`;

const numberAt = (out: Uint8Array | undefined, { at, width }: ValueAt): bigint | undefined => {
  if (out === undefined || out.length < at + width) return undefined;
  return out.subarray(at, at + width).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
};

export type { Mode } from '../spec/five-modes/index.ts';
export * as table from '../spec/five-modes/index.ts';
