import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { execaSync } from 'execa';
import { extractVmlinux, hasPvhEntry } from './vmlinux.ts';

/** One ELF note: lengths and type, then name and description, each filled up to four bytes. */
const note = (name: string, type: number, bytes: number): Buffer => {
  const pad = (part: Buffer): Buffer => Buffer.concat([part, Buffer.alloc(-part.length & 3)]);
  const head = Buffer.alloc(12);
  head.writeUInt32LE(name.length, 0);
  head.writeUInt32LE(bytes, 4);
  head.writeUInt32LE(type, 8);
  return Buffer.concat([head, pad(Buffer.from(name)), pad(Buffer.alloc(bytes, 1))]);
};

const LINUX_NOTE = note('Linux\0', 257, 3);
const PVH_NOTE = note('Xen\0', 18, 4);

/** A 64-bit ELF file with one segment of notes behind one that is none. */
const elf = (notes: Buffer): Buffer => {
  const file = Buffer.alloc(64 + 2 * 56);
  file.write('7f454c460201', 'hex');
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(2, 56);
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(4, 64 + 56);
  file.writeBigUInt64LE(BigInt(file.length), 64 + 56 + 8);
  file.writeBigUInt64LE(BigInt(notes.length), 64 + 56 + 32);
  return Buffer.concat([file, notes]);
};

/** The unpacked size, which the kernel's build adds to every stream but gzip's, whose own end it is. */
const sized = (payload: Uint8Array): Uint8Array => Buffer.concat([payload, Buffer.from('aaaaaaaa', 'hex')]);

/** A bzImage: one boot sector, one of setup, 64 bytes of code, then the payload. */
const bzImage = (payload: Uint8Array): Buffer => {
  const setup = Buffer.alloc(1024 + 64);
  setup.writeUInt8(1, 0x1f1);
  setup.write('HdrS', 0x202);
  setup.writeUInt32LE(64, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, payload, Buffer.alloc(100)]);
};

const xz = (bytes: Uint8Array): Uint8Array =>
  sized(execaSync('xz', ['--stdout'], { input: bytes, encoding: 'buffer' }).stdout);

describe('kernels/vmlinux', () => {
  const kernel = elf(Buffer.concat([LINUX_NOTE, PVH_NOTE]));

  it('finds the entry among other notes', () => {
    expect(hasPvhEntry(kernel)).to.equal(true);
    expect(hasPvhEntry(elf(LINUX_NOTE))).to.equal(false);
    expect(hasPvhEntry(elf(note('Xen\0', 17, 4)))).to.equal(false);
    expect(hasPvhEntry(elf(note('Nex\0', 18, 4)))).to.equal(false);
  });

  it('finds no entry in what is no ELF image, or a part of one', () => {
    expect(hasPvhEntry(Buffer.from('MZ'))).to.equal(false);
    for (let length = 0; length < kernel.length - 12; length++) {
      expect(hasPvhEntry(kernel.subarray(0, length)), `${length} bytes`).to.equal(false);
    }
  });

  for (const [how, pack] of [
    ['gzip', gzipSync],
    ['xz', xz],
  ] as const) {
    it(`unpacks a kernel that ${how} packed`, async () => {
      const found = await extractVmlinux(bzImage(pack(kernel)));
      expect(found === undefined ? 'none' : Buffer.from(found).toString('hex')).to.equal(kernel.toString('hex'));
    });
  }

  it('leaves a kernel alone that cannot be entered that way, is packed in another way, or is none', async () => {
    expect(await extractVmlinux(bzImage(gzipSync(elf(LINUX_NOTE))))).to.equal(undefined);
    expect(await extractVmlinux(bzImage(sized(Buffer.from('28b52ffd00', 'hex'))))).to.equal(undefined);
    expect(await extractVmlinux(Buffer.alloc(4096))).to.equal(undefined);
    expect(await extractVmlinux(Buffer.alloc(10))).to.equal(undefined);
  });
});
