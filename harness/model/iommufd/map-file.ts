import { IOMMU_IOAS_MAP_FILE, iommuIoasMapFile } from '../../uapi/iommufd.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { field, refusing, request } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import type { MemoryObject } from '../world/memory-object.ts';
import type { OpenFile } from '../world/process.ts';
import { EXACTLY, overflows } from './areas.ts';
import { ERRNOS } from './framing.ts';
import { newPages } from './pinned.ts';
import { carryOut, elsewhere, KNOWN_FLAGS, type Placing, placesOf, placingObjections, writes } from './placing.ts';
import type { Context } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h: IOMMU_IOAS_MAP_FILE';
const SOURCE = 'iommufd_ioas_map_file(), drivers/iommu/iommufd/ioas.c';
const FILE_PAGES = 'iopt_map_file_pages(), drivers/iommu/iommufd/io_pagetable.c';
const FD_AT = offsetOf(iommuIoasMapFile, 'fd');

interface MapFileCall extends Placing {
  readonly asked: Found<typeof iommuIoasMapFile.fields>;
  readonly file: OpenFile | undefined;
}

/** What a memfd consists of. */
const objectOf = (file: OpenFile | undefined): MemoryObject | undefined => {
  const backing = file?.file.backing?.({ opened: file, offset: 0n, size: 0n, share: 'shared', write: false });
  return backing?.kind === 'memory' ? backing.object : undefined;
};

/** In bytes; 0 for what is no memfd. */
const sizeOfFile = (file: OpenFile | undefined): bigint => BigInt(objectOf(file)?.sizeBytes ?? 0);

const MAP_FILE = request<Context, MapFileCall>({
  id: 'ioas/map-file',
  level: 'must',
  says: 'IOAS_MAP_FILE maps a part of a memfd at an IOVA and returns 0; the mapping needs neither the descriptor any more nor a mapping of the file. While no device is attached nothing is pinned, and the size of the file is not looked at.',
  source: `${HEADER}: Set an IOVA mapping from a memfd file; ${FILE_PAGES}`,
  on: 'iommufd',
  request: IOMMU_IOAS_MAP_FILE,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuIoasMapFile);
    const file = argument.fileAt(FD_AT);
    return {
      context,
      asked,
      ioas: context.objects.get(asked.ioas_id),
      writable: argument.writable(0, sizeOf(iommuIoasMapFile)),
      file,
      from: { vaddr: asked.start, known: EXACTLY },
      pages: () => {
        const object = objectOf(file);
        return newPages(context, caller, {
          kind: 'file',
          vaddr: asked.start,
          writable: writes(asked.flags),
          fileSize: () => sizeOfFile(file),
          ...(object === undefined ? {} : { object }),
        });
      },
      places() {
        return placesOf(this);
      },
    };
  },
  leavesOpen: ({ file, asked }) => {
    if (file === undefined) return asked.fd === -1 ? undefined : 'which file has that number is not known';
    return file.file.kind === 'memfd' ? undefined : 'only memfds are stated as files that can be mapped';
  },
  stages: ['arguments', 'memory', 'place', 'pins', 'reply'],
  others: elsewhere,
  effect: carryOut,
});

const IOVA_RETURNED = field(MAP_FILE, {
  id: 'ioas/map-file-returns-iova',
  level: 'must',
  says: 'The field iova returns where the mapping is, as with IOAS_MAP; nothing else of the argument changes.',
  source: `${HEADER}: iova: same as for iommu_ioas_map`,
  at: () => offsetOf(iommuIoasMapFile, 'iova'),
  bytes: (call) => u64Bytes(call.places()[0] ?? 0n),
});

const refuses = refusing(MAP_FILE);

const OBJECTIONS = [
  refuses({
    id: 'ioas/map-file-flags',
    says: 'Flags other than FIXED_IOVA, WRITEABLE and READABLE are refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; ${SOURCE}`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: ({ asked }) => (asked.flags & ~KNOWN_FLAGS) !== 0,
  }),
  refuses({
    id: 'ioas/map-file-bad-descriptor',
    says: 'A descriptor that the process does not have is refused with EBADF.',
    source: `${FILE_PAGES}: fget()`,
    stage: 'memory',
    errnos: ['EBADF'],
    when: ({ file }) => file === undefined,
  }),
  refuses({
    id: 'ioas/map-file-start-overflow',
    says: 'A part of the file that goes beyond 2^64 is refused with EOVERFLOW.',
    source: `${FILE_PAGES}: check_add_overflow()`,
    stage: 'memory',
    errnos: ['EOVERFLOW'],
    when: ({ asked: { start, length } }) => overflows(start, length),
  }),
  ...placingObjections(MAP_FILE, 'ioas/map-file', SOURCE),
];

export const IOAS_MAP_FILE_CLAUSES = [MAP_FILE, IOVA_RETURNED, ...OBJECTIONS];
