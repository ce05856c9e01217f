import { FILES } from './clauses.ts';
import { contentRules } from './content.ts';
import type { KernelFile } from './kernel-file.ts';
import type { MemoryObject } from './memory-object.ts';
import { allow, fails, succeeds, success, unspecified } from './replies.ts';

/** Sizes that the model can count in; real file systems give up at different points beyond it. */
const MAX_SIZE = 1n << 52n;

/**
 * A memfd or a file in a temporary folder: bytes that can be read, written, mapped and cut. `hugePages`: a memfd of huge pages
 * can only be mapped, read and cut in whole pages of that many bytes.
 */
export const plainFile = (kind: 'memfd' | 'file', object: MemoryObject, hugePages?: bigint): KernelFile => ({
  kind,
  backing: () => ({ kind: 'memory', object }),
  pread: (_caller, offset, size) => {
    if (offset >= 1n << 63n) return fails('EINVAL', FILES);
    const count = Math.max(0, Math.min(size, object.sizeBytes - Number(offset)));
    const out = contentRules(count, (see) => visitObject(object, Number(offset), count, see));
    return succeeds(FILES, { ret: BigInt(count), out });
  },
  pwrite: (_caller, offset, data) => {
    if (offset >= 1n << 63n || hugePages !== undefined) return fails('EINVAL', FILES);
    if (data.length === 0) return succeeds(FILES);
    const end = offset + BigInt(data.length);
    if (end > MAX_SIZE) return unspecified('how large a file can become depends on the file system');
    return succeeds(FILES, {
      ret: BigInt(data.length),
      effect: () => {
        if (Number(end) > object.sizeBytes) object.resize(Number(end));
        writeObject(object, Number(offset), data);
      },
    });
  },
  truncate: (size) => {
    if (size >= 1n << 63n) return fails('EINVAL', FILES);
    if (hugePages !== undefined && size % hugePages !== 0n) return fails('EINVAL', FILES);
    if (size > MAX_SIZE) return unspecified('how large a file can become depends on the file system');
    return allow(success(FILES, { effect: () => object.resize(Number(size)) }));
  },
});

const visitObject = (
  object: MemoryObject,
  at: number,
  size: number,
  see: Parameters<Parameters<typeof contentRules>[1]>[0],
): void => {
  const { pageSize } = object;
  object.visitStores(Math.floor(at / pageSize), Math.ceil((at + size) / pageSize), (store, from, to) => {
    const low = Math.max(at, from * pageSize);
    store.visit(low, Math.min(at + size, to * pageSize) - low, see);
  });
};

const writeObject = (object: MemoryObject, at: number, data: Uint8Array): void => {
  const { pageSize } = object;
  object.visitStores(Math.floor(at / pageSize), Math.ceil((at + data.length) / pageSize), (store, from, to) => {
    const low = Math.max(at, from * pageSize);
    const high = Math.min(at + data.length, to * pageSize);
    store.write(low, data.subarray(low - at, high - at));
  });
};
