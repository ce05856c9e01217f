import {
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommuHwptPageResponse,
} from '../../../uapi/iommufd-commands.ts';
import { decode, sizeOf } from '../../../uapi/struct.ts';
import { answerInStages, stagesInForce } from '../../answer.ts';
import { type Objection, type Refusal, refusing, rule } from '../../clauses.ts';
import type { Answer } from '../../outcome.ts';
import type { WriteCall } from '../../world/kernel-file.ts';
import { success } from '../../world/replies.ts';
import type { Context } from '../state.ts';
import { type FaultQueue, spend } from './state.ts';

/* Answers to faults, one after the other until one cannot be taken. */

const HEADER = 'include/uapi/linux/iommufd.h: struct iommu_hwpt_page_response';
const SOURCE = 'iommufd_fault_fops_write(), drivers/iommu/iommufd/eventq.c';
const SIZE = sizeOf(iommuHwptPageResponse);

/** Why an answer is not taken. */
type Trouble = 'unreadable' | 'code' | 'cookie';

interface Responding {
  readonly call: WriteCall;
  /** The cookies that are answered, in order. */
  readonly answered: readonly number[];
  /** Why the one behind them is not. */
  readonly trouble: Trouble | undefined;
}

const RESPOND = rule<(responding: Responding) => readonly number[]>({
  id: 'fault-queue/respond',
  level: 'must',
  says: 'Writing answers to a fault queue answers the groups of faults whose cookies they have, each once, and returns the size of those that were taken: those before the first that cannot be.',
  source: `Documentation/userspace-api/iommufd.rst: IOMMUFD_OBJ_FAULT; ${HEADER}; ${SOURCE}`,
  rule: ({ answered }) => answered,
});

const refuses = (stated: Omit<Refusal<Responding>, 'stage'>): Objection<Responding> =>
  refusing<Responding>(RESPOND)({ stage: 'write', ...stated });

/** Whether the first answer is not taken for that reason. */
const first =
  (trouble: Trouble) =>
  (one: Responding): boolean =>
    one.answered.length === 0 && one.trouble === trouble;

const ODD_SIZE = refuses({
  id: 'fault-queue/respond-odd-size',
  says: 'Writing a number of bytes that is no multiple of the size of an answer is refused with ESPIPE, and answers nothing.',
  source: SOURCE,
  errnos: ['ESPIPE'],
  when: ({ call }) => call.size % SIZE !== 0,
});

const UNREADABLE = refuses({
  id: 'fault-queue/respond-unreadable',
  says: 'A first answer that cannot be read is refused with EFAULT.',
  source: SOURCE,
  errnos: ['EFAULT'],
  when: first('unreadable'),
});

const CODE = refuses({
  id: 'fault-queue/respond-code',
  says: 'A first answer with a code other than IOMMUFD_PAGE_RESP_SUCCESS and _INVALID is refused with EINVAL, and its faults stay unanswered.',
  source: `${HEADER}: One of response code in enum iommufd_page_response_code`,
  errnos: ['EINVAL'],
  when: first('code'),
});

const UNKNOWN_COOKIE = refuses({
  id: 'fault-queue/respond-cookie',
  says: 'A first answer with a cookie that no unanswered group has (never given, answered already, or answered by the kernel) is refused with EINVAL.',
  source: `${HEADER}: cookie: The kernel-managed cookie reported in the fault message; ${SOURCE}`,
  errnos: ['EINVAL'],
  when: first('cookie'),
});

const STAGES = [[ODD_SIZE], [UNREADABLE, CODE, UNKNOWN_COOKIE]];

/** What writing answers to a fault queue allows. */
export const respond = ({ law }: Context, queue: FaultQueue, call: WriteCall): Answer => {
  const taken = takenOf(queue, call);
  if (taken === 'chance') {
    const why = 'whether the kernel gave this number to another group is for it to choose';
    return {
      unspecified: why,
      commit: () => {
        queue.unclear = why;
      },
    };
  }
  return answerInStages(stagesInForce(law, STAGES), { call, ...taken }, () => {
    const clause = law.of(RESPOND);
    const answered = clause.rule({ call, ...taken });
    const effect = (): void => {
      for (const cookie of answered) spend(queue, cookie);
    };
    return [success(clause, { ret: BigInt(answered.length * SIZE), effect })];
  });
};

const CODES: readonly number[] = [IOMMUFD_PAGE_RESP_SUCCESS, IOMMUFD_PAGE_RESP_INVALID];

const takenOf = (queue: FaultQueue, { size, data }: WriteCall): Pick<Responding, 'answered' | 'trouble'> | 'chance' => {
  const answered: number[] = [];
  for (let at = 0; at < size; at += SIZE) {
    if (at + SIZE > data.length) return { answered, trouble: 'unreadable' };
    const { cookie, code } = decode(iommuHwptPageResponse, data.subarray(at, at + SIZE));
    if (!CODES.includes(code)) return { answered, trouble: 'code' };
    if (queue.unanswered.has(cookie) && !answered.includes(cookie)) {
      answered.push(cookie);
      continue;
    }
    return mayBeAnothers(queue, cookie, answered) ? 'chance' : { answered, trouble: 'cookie' };
  }
  return { answered, trouble: undefined };
};

/** Whether a number that is no group's cookie as the model counts them may be one's as the kernel does: one that was read before it was free again is another. */
const mayBeAnothers = (queue: FaultQueue, cookie: number, answered: readonly number[]): boolean => {
  const freeSince = answered.includes(cookie) ? queue.time : queue.spent.get(cookie);
  return [...queue.unanswered].some(
    ([other, { readAt }]) => !answered.includes(other) && (freeSince === undefined || readAt >= freeSince),
  );
};

export const FAULT_RESPOND_CLAUSES = [RESPOND, ODD_SIZE, UNREADABLE, CODE, UNKNOWN_COOKIE];
