import { expect } from 'chai';
import { EDU, MEMORY_CONTENT } from './clauses.ts';
import { createEdu, DEFAULT_DMA_MASK, type EduDevice, type EduOptions } from './edu.ts';
import type { Files } from './kernel-file.ts';
import { PageStore } from './page-store.ts';
import { describeTranscripts } from './testing.ts';

const PAGE = 4096;

/** Maps IOVA 0x10000 to 0x12fff to pages 0 to 2 of a store: page 1 cannot be written, page 2 not read. */
const iommu =
  (pages: PageStore): EduOptions['translate'] =>
  (iova, access) => {
    const page = Number(iova) / PAGE - 16;
    const index = Math.floor(page);
    if (index < 0 || index > 2 || (index === 1 && access === 'write') || (index === 2 && access === 'read'))
      return undefined;
    return { pages, page: index, clause: EDU };
  };

const device = (dmaMask = DEFAULT_DMA_MASK): { edu: EduDevice; memory: PageStore } => {
  const memory = new PageStore(PAGE);
  const edu = createEdu({ pageSizeBytes: PAGE, dmaMask, translate: iommu(memory) });
  edu.busMaster = true;
  return { edu, memory };
};

/** A device whose registers are what opening `/edu` and mapping it shows. */
const files =
  (edu: EduDevice): Files =>
  (path) =>
    path === '/edu'
      ? () => ({
          opens: () => ({ kind: 'edu', backing: ({ offset }) => ({ kind: 'device', device: edu.registers, offset }) }),
          clauses: [MEMORY_CONTENT],
        })
      : undefined;

const transfer = (
  edu: EduDevice,
  registers: { source: bigint; destination: bigint; count: bigint; command: bigint },
): void => {
  const { load, store } = edu.registers;
  store(0x80n, 8, registers.source);
  store(0x88n, 8, registers.destination);
  store(0x90n, 8, registers.count);
  store(0x98n, 8, registers.command);
  load(0x98n, 4)?.[0].commit?.();
};

/** Loads `size` bytes from an IOVA into the device's buffer at `at`. */
const pull = (edu: EduDevice, iova: bigint, size: number, at = 0n): void =>
  transfer(edu, { source: iova, destination: 0x40000n + at, count: BigInt(size), command: 1n });

/** Stores `size` bytes of the device's buffer at an IOVA. */
const push = (edu: EduDevice, iova: bigint, size: number, at = 0n): void =>
  transfer(edu, { source: 0x40000n + at, destination: iova, count: BigInt(size), command: 3n });

describe('edu', () => {
  describeTranscripts(
    'registers',
    {
      'identify the device, and are unknown until they are written': `
      main open fd /edu            => any
      main map bar fd 0 0x1000 share=shared => 0
      main peek bar 0 4            => 16777453
      main peek bar 4 4            => open
      main poke bar 4 4 0x12345678 => 0
      main peek bar 4 4            => 3989547399
      main peek bar 0x84 4         => 4294967295
      main peek bar 0 8            => open
      main peek bar 0 2            => open
      main peek bar 2 4            => open
      main read bar 0 4            => open
      main poke bar 0x80 8 0x1122334455667788 => 0
      main peek bar 0x80 4         => 1432778632
      main peek bar 0x80 8         => 1234605616436508552
      main poke bar 0x80 4 7       => 0
      main peek bar 0x80 8         => 7`,
      'compute factorials': `
      main open fd /edu            => any
      main map bar fd 0 0x1000 share=shared => 0
      main poke bar 0x20 4 0       => 0
      main poke bar 8 4 10         => 0
      main peek bar 0x20 4         => 0|1
      main await bar 0x20 4 1 0 100 => 0
      main peek bar 8 4            => 3628800
      main poke bar 8 4 40         => 0
      main peek bar 8 4            => 0|40`,
      'raise and acknowledge interrupts': `
      main open fd /edu            => any
      main map bar fd 0 0x1000 share=shared => 0
      main peek bar 0x24 4         => open
      main poke bar 0x64 4 0xffffffff => 0
      main poke bar 0x60 4 6       => 0
      main poke bar 0x64 4 2       => 0
      main peek bar 0x24 4         => 4`,
      'show a transfer until it is over': `
      main open fd /edu            => any
      main map bar fd 0 0x1000 share=shared => 0
      main poke bar 0x80 8 0x10000 => 0
      main poke bar 0x88 8 0x40000 => 0
      main poke bar 0x90 8 4       => 0
      main poke bar 0x98 8 4       => 0
      main peek bar 0x98 4         => open
      main poke bar 0x98 8 1       => 0
      main peek bar 0x98 4         => 0|1
      main await bar 0x98 4 1 0 2000 => 0
      main await bar 0x98 4 1 1 10 => ETIMEDOUT`,
    },
    files(device().edu),
  );

  it('moves bytes from memory to memory through its buffer', () => {
    const { edu, memory } = device();
    memory.write(PAGE - 2, Uint8Array.of(1, 2, 3, 4));
    pull(edu, 0x10ffen, 4, 8n);
    push(edu, 0x10100n, 4, 8n);
    expect(memory.read(0x100, 4)).to.deep.equal(Uint8Array.of(1, 2, 3, 4));
  });

  it('reads zeros where it is blocked', () => {
    const { edu, memory } = device();
    memory.fill(0, 3 * PAGE, 9);
    pull(edu, 0x10000n, 8);
    pull(edu, 0x11ffen, 4, 2n);
    push(edu, 0x10100n, 8);
    expect(memory.read(0x100, 8)).to.deep.equal(Uint8Array.of(9, 9, 9, 9, 0, 0, 9, 9));
  });

  it('writes nothing where it is blocked', () => {
    const { edu, memory } = device();
    memory.fill(0, PAGE, 7);
    pull(edu, 0x10000n, 4);
    push(edu, 0x10ffen, 4);
    push(edu, 0x20000n, 4);
    expect(memory.read(PAGE - 2, 4)).to.deep.equal(Uint8Array.of(7, 7, 0, 0));
  });

  it('does nothing without the bus master bit', () => {
    const { edu, memory } = device();
    memory.fill(0, PAGE, 7);
    pull(edu, 0x10000n, 4);
    edu.busMaster = false;
    push(edu, 0x12000n, 4);
    expect(memory.read(2 * PAGE, 4)).to.deep.equal(new Uint8Array(4));
  });

  it('drives as many address bits as it has', () => {
    for (const [mask, expected] of [
      [DEFAULT_DMA_MASK, 7],
      [(1n << 64n) - 1n, 0],
    ] as const) {
      const { edu, memory } = device(mask);
      memory.fill(0, PAGE, 7);
      pull(edu, 0x5_1001_0000n, 4);
      push(edu, 0x12000n, 1);
      expect(memory.read(2 * PAGE, 1)[0]).to.equal(expected);
    }
  });

  it('writes bytes that nobody can know when its buffer was never filled, and says which clause they come by', () => {
    const { edu, memory } = device();
    memory.fill(0, PAGE, 7);
    pull(edu, 0x10000n, 1, 1n);
    push(edu, 0x10010n, 3);
    const seen: unknown[] = [];
    memory.visit(0xf, 5, (piece) =>
      seen.push('bytes' in piece ? [[...piece.bytes], [...(piece.unknown ?? [])], piece.by] : piece),
    );
    expect(seen).to.deep.equal([[[7, 0, 7, 0, 7], [0, 1, 0, 1, 0], EDU]]);
  });

  for (const [title, size, at] of [
    ['more than its buffer holds', 4096, 0n],
    ['nothing at all', 0, 0n],
    ['beyond its buffer', 2, 0xfffn],
  ] as const) {
    it(`is not asked for a transfer of ${title}`, () => {
      const { edu, memory } = device();
      pull(edu, 0x10000n, 16);
      memory.fill(0, PAGE, 7);
      push(edu, 0x10000n, size, at);
      expect(memory.read(0, 4)).to.deep.equal(new Uint8Array(4).fill(7));

      pull(edu, 0x10000n, size, at);
      push(edu, 0x10000n, 4);
      memory.visit(0, 4, (piece) =>
        expect('unknown' in piece && piece.unknown).to.deep.equal(new Uint8Array(4).fill(1)),
      );
    });
  }
});
