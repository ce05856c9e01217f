/** Takes the kernel proper out of the file that boot loaders start, so that QEMU can start it without unpacking. */
import { gunzipSync } from 'node:zlib';
import { unpackXz } from './modules.ts';

/** Fields of the header of a bzImage (Documentation/x86/boot.rst): byte offsets. */
const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

/**
 * The ELF image in a bzImage that QEMU can enter directly (PVH), or `undefined` when there is none, or it is packed in a
 * way that is not known here: then the bzImage itself is booted, which takes some seconds longer.
 */
export const extractVmlinux = async (bzImage: Uint8Array): Promise<Uint8Array | undefined> => {
  const file = Buffer.from(bzImage.buffer, bzImage.byteOffset, bzImage.byteLength);
  if (file.length < 0x250 || file.toString('latin1', MAGIC, MAGIC + 4) !== 'HdrS') return undefined;
  const sectors = file.readUInt8(SETUP_SECTORS) || 4;
  const start = (sectors + 1) * 512 + file.readUInt32LE(PAYLOAD_OFFSET);
  const payload = file.subarray(start, start + file.readUInt32LE(PAYLOAD_LENGTH));
  const image = await unpack(payload);
  return image !== undefined && hasPvhEntry(image) ? image : undefined;
};

/** The last four bytes are the unpacked size, which the boot code reads: gzip ends with it, to other streams it is added. */
const unpack = async (payload: Buffer): Promise<Uint8Array | undefined> => {
  if (payload.subarray(0, 4).equals(Buffer.from('fd377a58', 'hex'))) return unpackXz(payload.subarray(0, -4));
  if (payload.subarray(0, 2).equals(Buffer.from('1f8b', 'hex'))) return gunzipSync(payload);
  return undefined;
};

const ELF64 = Buffer.from('7f454c460201', 'hex');
const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY of include/xen/interface/elfnote.h: where a PVH loader enters, in 32-bit mode. */
const PHYS32_ENTRY = 18;

/** Whether an ELF image of the kernel says where a PVH loader may enter it. */
export const hasPvhEntry = (image: Uint8Array): boolean => {
  const file = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (file.length < 64 || !file.subarray(0, ELF64.length).equals(ELF64)) return false;
  const table = Number(file.readBigUInt64LE(32));
  const size = file.readUInt16LE(54);
  for (let index = 0; index < file.readUInt16LE(56); index++) {
    const header = file.subarray(table + index * size);
    if (header.length < 56 || header.readUInt32LE(0) !== PT_NOTE) continue;
    const start = Number(header.readBigUInt64LE(8));
    if (hasEntryNote(file.subarray(start, start + Number(header.readBigUInt64LE(32))))) return true;
  }
  return false;
};

const hasEntryNote = (notes: Buffer): boolean => {
  const aligned = (bytes: number): number => (bytes + 3) & ~3;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameBytes = notes.readUInt32LE(at);
    const name = notes.toString('latin1', at + 12, at + 12 + nameBytes);
    if (name === 'Xen\0' && notes.readUInt32LE(at + 8) === PHYS32_ENTRY) return true;
    at += 12 + aligned(nameBytes) + aligned(notes.readUInt32LE(at + 4));
  }
  return false;
};
