import { EMULATED_PIN_READ, EMULATED_PIN_WRITE, EMULATED_WRITE, emulatedCommand } from '../../uapi/emulated-test.ts';
import { sizeOf } from '../../uapi/struct.ts';
import { answerInStages, stagesInForce } from '../answer.ts';
import type { Answer, Outcome } from '../outcome.ts';
import { EMULATED } from '../world/clauses.ts';
import { RW_NOTHING, refusedPart, TRANSFERS } from './dma-rw.ts';
import type { Emulated, Memory } from './emulated-state.ts';
import type { DeviceFile } from './files.ts';
import { PIN_OBJECTIONS, PINS, pinCall } from './pin.ts';
import type { Iommu } from './state.ts';

/* Where devices of the test module have memory from. */

/** A command, or an access, that was carried out: it returns how many bytes it took. */
export const done = (size: number, commit: () => void, rest: Partial<Outcome> = {}): Outcome => ({
  ret: { exactly: BigInt(size) },
  errno: 0,
  clauses: [EMULATED],
  commit,
  ...rest,
});

/** Memory of a container. */
export const memoryOf = (
  { vfio: { law, platform } }: DeviceFile,
  iommu: Iommu,
  { window }: Emulated,
): Omit<Memory, 'unpin'> => ({
  pin: (_, { flags, iova, count }, taken) => {
    const write = (flags & EMULATED_PIN_WRITE) !== 0;
    const read = (flags & EMULATED_PIN_READ) !== 0;
    const call = pinCall({ law, iommu, pageSize: platform.pageSizeBytes, iova, count: Number(count), read, write });
    const pins = law.of(PINS);
    const commit = (): void => taken(pins.rule(call, call.pages()));
    return answerInStages(stagesInForce(law, PIN_OBJECTIONS), call, () => [
      done(sizeOf(emulatedCommand), commit, { clauses: [pins] }),
    ]);
  },
  readOrWrite: (caller, { op, flags, iova, count }) => {
    const call = {
      law,
      iommu,
      pageSize: platform.pageSizeBytes,
      caller,
      byKernelThread: flags !== 0,
      write: op === EMULATED_WRITE,
      iova,
      size: Number(count),
      buffer: window,
    };
    const transfers = law.of(TRANSFERS);
    const succeed = (): readonly [Outcome] => [
      done(sizeOf(emulatedCommand), () => transfers.rule(call), { clauses: [transfers] }),
    ];
    const refused = refusedPart(call);
    return refused === undefined
      ? answerInStages([[law.of(RW_NOTHING)]], call, succeed)
      : withLeave(answerInStages([refused.objections], refused.part, succeed), refused.leave);
  },
});

/** Does something before whatever an answer commits. */
const withLeave = (answer: Answer, leave: () => void): Answer => {
  if ('unspecified' in answer) return answer;
  const [first, ...others] = answer.allowed.map(
    (outcome): Outcome => ({
      ...outcome,
      commit: () => {
        leave();
        outcome.commit();
      },
    }),
  );
  return first === undefined ? answer : { allowed: [first, ...others] };
};
