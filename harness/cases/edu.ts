import type { Memory, Said, Scenario } from './scenario.ts';
import { type Device, type Ready, type ReadyOptions, readyContainer } from './vfio.ts';

/** Where a device's config space begins among its regions. */
export const CONFIG = 7n << 40n;
/** The device's own buffer, as its DMA registers name it. */
const BUFFER = 0x40000n;
const TO_DEVICE = 1n;
const TO_MEMORY = 3n;
/** Bytes that are transferred unless a case asks for more. */
const TRANSFER = 16n;

/** QEMU's educational device as cases speak to it: registers mapped, a bus master. */
interface Driven {
  /** Registers that are mapped keep the device open, whatever becomes of its descriptor. */
  readonly registers: Memory;
  /** A transfer from memory at an IOVA into the device's buffer. */
  reads(iova: bigint, bytes?: bigint): Said;
  /** A transfer of what the buffer holds to memory at an IOVA. */
  writes(iova: bigint, bytes?: bigint): Said;
  /** Sets the command register of config space. */
  command(value: number): Said;
}

interface Edu extends Driven {
  readonly device: Device;
}

/** An edu device of which a file can be used, made ready for DMA unless a case says otherwise. */
export const drive = (s: Scenario, { fd }: { readonly fd: string }, { master = true } = {}): Driven => {
  const command = (value: number): Said =>
    s.main.does({ op: 'pwrite', fd, offset: CONFIG + 4n, data: Uint8Array.of(value, 0) }).succeeds();
  if (master) command(6);
  const registers = s.main.maps(fd, 0x100000);
  const { name } = registers;
  const poke = (offset: bigint, value: bigint): void =>
    void s.main.does({ op: 'poke', name, offset, width: 8n, value });
  const transfer = (order: bigint, from: bigint, to: bigint, bytes: bigint): Said => {
    poke(0x80n, from);
    poke(0x88n, to);
    poke(0x90n, bytes);
    poke(0x98n, order);
    const done = { offset: 0x98n, width: 8n, mask: 1n, value: 0n, timeout_ms: 5000n };
    return s.main.does({ op: 'await', name, ...done }).succeeds();
  };
  return {
    registers,
    command,
    reads: (iova, bytes = TRANSFER) => transfer(TO_DEVICE, iova, BUFFER, bytes),
    writes: (iova, bytes = TRANSFER) => transfer(TO_MEMORY, BUFFER, iova, bytes),
  };
};

/** The edu device of one of a container's groups, opened and, unless a case says otherwise, made ready for DMA. */
export const eduOf = (s: Scenario, c: Ready, { index = 0, master = true } = {}): Edu => {
  const device = c.groups[index]?.device(`device${index}`);
  if (device === undefined) throw new Error(`the container has no group ${index}`);
  device.opened.succeeds();
  return { device, ...drive(s, device, { master }) };
};

/** A ready container and the edu device of its first group. */
export const edu = (s: Scenario, options?: ReadyOptions): Edu & { readonly c: Ready } => {
  const c = readyContainer(s, options);
  return { c, ...eduOf(s, c) };
};
