import type { Clause } from '../../spec/clause.ts';
import type { DeviceMemory, Loaded } from './device-memory.ts';
import { PageStore } from './page-store.ts';

/*
 * QEMU's educational device (docs/specs/edu): registers in BAR 0, a buffer of 4096 bytes, and DMA between that buffer and
 * memory. What it promises is modelled where programs can rely on it: registers that were never written in the program
 * are unknown, because nothing resets the device.
 */

/** Where one byte of IOVA space leads: a page, and the clause that lets the device reach it (what it writes there is judged by it). */
export interface Translated {
  readonly pages: PageStore;
  readonly page: number;
  readonly clause: Clause;
}

export interface EduOptions {
  readonly pageSizeBytes: number;
  /** Address bits that the device drives: 28 unless QEMU's property `dma_mask` widens it. */
  readonly dmaMask: bigint;
  /** The IOMMU as the device meets it: where an access to that address goes, or `undefined` when it is blocked. */
  readonly translate: (iova: bigint, access: 'read' | 'write') => Translated | undefined;
}

/** QEMU's educational device. It lives as long as the machine: opening and closing it does not reset its registers. */
export interface EduDevice {
  /** BAR 0 (1 MiB). */
  readonly registers: DeviceMemory;
  /** Bit 2 of the command register in config space: without it the device does no DMA. */
  busMaster: boolean;
}

/** Address bits of the device as QEMU makes it when nobody says otherwise. */
export const DEFAULT_DMA_MASK = (1n << 28n) - 1n;

const IDENTIFICATION = 0x010000edn;
const BUFFER_START = 0x40000n;
const BUFFER_SIZE = 4096;
/** A transfer of the whole buffer is one that QEMU 7.2 takes for an overrun, and aborts. */
const LARGEST_TRANSFER = BUFFER_SIZE - 1;

const REGISTER = {
  identification: 0x00n,
  liveness: 0x04n,
  factorial: 0x08n,
  status: 0x20n,
  irqStatus: 0x24n,
  irqRaise: 0x60n,
  irqAcknowledge: 0x64n,
  source: 0x80n,
  destination: 0x88n,
  count: 0x90n,
  command: 0x98n,
} as const;

/** From here on registers take accesses of 8 bytes beside those of 4. */
const WIDE_REGISTERS = 0x80n;

const STATUS_COMPUTING = 0x01n;
const STATUS_IRQ_WHEN_DONE = 0x80n;
const IRQ_FACTORIAL = 0x1n;
const IRQ_DMA = 0x100n;
const COMMAND_START = 0x1n;
const COMMAND_TO_MEMORY = 0x2n;
const COMMAND_IRQ = 0x4n;

/** A register's value, or `undefined` while nobody can know it. */
type Value = bigint | undefined;

/** The registers that mean nothing but themselves until a DMA starts. */
type DmaRegister = 'source' | 'destination' | 'count';

interface State extends Record<DmaRegister, Value> {
  liveness: Value;
  factorial: Value;
  /** A factorial is being computed; `factorial` is the result. The number it began with is shown until then. */
  computing: Value;
  irqWhenDone: boolean | undefined;
  irqStatus: Value;
  /** Without the start bit, which is `running`. */
  command: Value;
  running: boolean;
}

/** The device; its buffer is unknown until something was transferred into it. */
export const createEdu = (options: EduOptions): EduDevice => {
  const buffer = new PageStore(BUFFER_SIZE);
  buffer.fill(0, BUFFER_SIZE, undefined);
  const state: State = {
    liveness: undefined,
    factorial: undefined,
    computing: undefined,
    irqWhenDone: undefined,
    irqStatus: undefined,
    source: undefined,
    destination: undefined,
    count: undefined,
    command: undefined,
    running: false,
  };
  const device: EduDevice = {
    busMaster: false,
    registers: {
      load: (offset, width) => (accepts(offset, width) ? load(state, offset, width, finish) : undefined),
      store: (offset, width, value) => {
        if (accepts(offset, width)) store(state, offset, value);
      },
    },
  };
  const finish = (): void => {
    state.running = false;
    const { command } = state;
    if (command === undefined) return;
    transfer(
      state,
      command,
      buffer,
      (iova, access) => (device.busMaster ? options.translate(iova, access) : undefined),
      options,
    );
    if ((command & COMMAND_IRQ) !== 0n) raise(state, IRQ_DMA);
  };
  return device;
};

const accepts = (offset: bigint, width: number): boolean => width === 4 || (width === 8 && offset >= WIDE_REGISTERS);

/** What a load sees; `finish` carries out the DMA that was seen to be over. */
const load = (state: State, offset: bigint, width: number, finish: () => void): ReturnType<DeviceMemory['load']> => {
  const ones = (1n << BigInt(width * 8)) - 1n;
  const one = (value: Value): readonly [Loaded] | undefined =>
    value === undefined ? undefined : [{ value: value & ones }];
  switch (offset) {
    case REGISTER.identification:
      return one(IDENTIFICATION);
    case REGISTER.liveness:
      return one(state.liveness);
    case REGISTER.factorial: {
      if (state.computing === undefined || state.factorial === undefined) return one(state.factorial);
      const done = { value: state.factorial, commit: () => endComputing(state) };
      return state.computing === state.factorial ? one(state.factorial) : [done, { value: state.computing }];
    }
    case REGISTER.status:
      return loadStatus(state);
    case REGISTER.irqStatus:
      return state.computing !== undefined || state.running ? undefined : one(state.irqStatus);
    case REGISTER.source:
      return one(state.source);
    case REGISTER.destination:
      return one(state.destination);
    case REGISTER.count:
      return one(state.count);
    case REGISTER.command:
      if (state.command === undefined || !state.running) return one(state.command);
      return [{ value: state.command, commit: finish }, { value: state.command | COMMAND_START }];
    default:
      return one(ones);
  }
};

/** The status tells of a computation that is over, or still going on, and of a flag that an earlier program may have left. */
const loadStatus = (state: State): readonly [Loaded, ...Loaded[]] => {
  const flags = state.irqWhenDone === undefined ? [false, true] : [state.irqWhenDone];
  const seen = (computing: boolean): Loaded[] =>
    flags.map((flag) => ({
      value: (flag ? STATUS_IRQ_WHEN_DONE : 0n) | (computing ? STATUS_COMPUTING : 0n),
      commit: () => {
        state.irqWhenDone = flag;
        if (!computing) endComputing(state);
      },
    }));
  const [first, ...others] = seen(false);
  if (first === undefined) throw new RangeError('a status has a value');
  return [first, ...others, ...(state.computing === undefined ? [] : seen(true))];
};

const store = (state: State, offset: bigint, value: bigint): void => {
  switch (offset) {
    case REGISTER.liveness:
      state.liveness = ~value & 0xffff_ffffn;
      return;
    case REGISTER.factorial:
      // A number written during a computation counts only if that was over already.
      state.factorial = state.computing === undefined ? factorial(value) : undefined;
      state.computing = value;
      return;
    case REGISTER.status:
      state.irqWhenDone = (value & STATUS_IRQ_WHEN_DONE) !== 0n;
      return;
    case REGISTER.irqRaise:
      raise(state, value);
      return;
    case REGISTER.irqAcknowledge:
      state.irqStatus = value === 0xffff_ffffn ? 0n : state.irqStatus && state.irqStatus & ~value;
      return;
    case REGISTER.source:
      storeDma(state, 'source', value);
      return;
    case REGISTER.destination:
      storeDma(state, 'destination', value);
      return;
    case REGISTER.count:
      storeDma(state, 'count', value);
      return;
    case REGISTER.command:
      if ((value & COMMAND_START) === 0n) return;
      // A second start counts only if the first transfer was over already.
      state.command = state.running ? undefined : value & ~COMMAND_START;
      state.running = true;
      return;
    default:
  }
};

/** A register that is written while a transfer runs keeps what it has; whether one still ran, nobody can tell. */
const storeDma = (state: State, register: DmaRegister, value: bigint): void => {
  state[register] = state.running ? undefined : value;
};

const endComputing = (state: State): void => {
  if (state.computing !== undefined && state.irqWhenDone === true) raise(state, IRQ_FACTORIAL);
  state.computing = undefined;
};

const raise = (state: State, bits: bigint): void => {
  if (state.irqStatus !== undefined) state.irqStatus |= bits;
};

/** In 32 bits; from 34! on all of them are zero. */
const factorial = (number: bigint): bigint => {
  if (number >= 34n) return 0n;
  let product = 1n;
  for (let factor = 2n; factor <= number; factor++) product *= factor;
  return product & 0xffff_ffffn;
};

/** Moves bytes between the buffer and memory; blocked reads give zeros, blocked writes change nothing. */
const transfer = (
  { source, destination, count }: State,
  command: bigint,
  buffer: PageStore,
  translate: EduOptions['translate'],
  { dmaMask, pageSizeBytes }: EduOptions,
): void => {
  const toMemory = (command & COMMAND_TO_MEMORY) !== 0n;
  const [inBuffer, inMemory] = toMemory ? [source, destination] : [destination, source];
  if (inBuffer === undefined || inMemory === undefined || count === undefined || !fitsBuffer(inBuffer, count)) {
    // QEMU gives up on a transfer beyond the buffer; nothing can be said of what follows.
    if (!toMemory) buffer.fill(0, BUFFER_SIZE, undefined);
    return;
  }
  const size = Number(count);
  const bufferAt = Number(inBuffer - BUFFER_START);
  const page = BigInt(pageSizeBytes);
  for (let done = 0; done < size; ) {
    const iova = (inMemory & dmaMask) + BigInt(done);
    const inPage = Number(iova % page);
    const length = Math.min(size - done, pageSizeBytes - inPage);
    const target = translate(iova, toMemory ? 'write' : 'read');
    const at = (target?.page ?? 0) * pageSizeBytes + inPage;
    if (toMemory) target?.pages.copyBytes(at, buffer, bufferAt + done, length, target.clause);
    else if (target === undefined) buffer.fill(bufferAt + done, length, 0);
    else buffer.copyBytes(bufferAt + done, target.pages, at, length);
    done += length;
  }
};

const fitsBuffer = (address: bigint, count: bigint): boolean =>
  count > 0n && address >= BUFFER_START && address + count <= BUFFER_START + BigInt(LARGEST_TRANSFER);
