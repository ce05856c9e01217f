import type { Objection } from '../../model/clauses.ts';
import { CHANGE_FILES_ONLY, CHANGE_PROCESS, CHANGE_RESERVED } from '../../model/iommufd/change-process.ts';
import { FRAMING, type Framed } from '../../model/iommufd/framing.ts';
import { sketchedChangeProcess } from '../../uapi/change-process.ts';
import { sizeOf } from '../../uapi/struct.ts';

/* What the sketch of the command and the sketch with two errors righted have in common. */

export const SKETCH = 'Jason Gunthorpe, 7 December 2022, in reply to [PATCH V1 7/8] vfio: change dma owner';

/** The command, with the structure that the sketch gives it. */
const asSketched = (call: Framed): Framed =>
  call.command?.request === CHANGE_PROCESS.request
    ? { ...call, command: { ...call.command, type: sketchedChangeProcess, least: sizeOf(sketchedChangeProcess) } }
    : call;

const FRAMED_BY_SIZE = ['iommufd/short-struct', 'iommufd/unknown-tail', 'iommufd/unreadable-struct'];

const framing: readonly Objection<Framed>[] = FRAMING.flat()
  .filter(({ id }) => FRAMED_BY_SIZE.includes(id))
  .map((clause) => ({
    ...clause,
    says: `${clause.says} The structure of IOAS_CHANGE_PROCESS is its size alone, 4 bytes.`,
    source: `${clause.source}; ${SKETCH}: struct iommu_ioas_change_process`,
    when: (call) => clause.when(asSketched(call)),
  }));

/** What the structure is like, and what is moved: nothing is reserved, and any memory is taken. */
export const SKETCHED = {
  clauses: {
    [CHANGE_RESERVED.id]: null,
    [CHANGE_FILES_ONLY.id]: null,
    ...Object.fromEntries(framing.map((clause) => [clause.id, clause])),
  },
  structs: [sketchedChangeProcess],
} as const;

/** The request as the sketch states it: its argument is not looked at. */
export const SKETCHED_REQUEST: typeof CHANGE_PROCESS = {
  ...CHANGE_PROCESS,
  source: `${SKETCH}: iommufd_ioas_change_process()`,
  situation: (context, { caller }) => ({ context, caller, asked: { size: 0, __reserved: 0, readable: true } }),
};
