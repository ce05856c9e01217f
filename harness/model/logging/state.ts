import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Answer, Outcome } from '../outcome.ts';
import { greatest, least } from '../world/big.ts';

/* What a device without an IOMMU logs of its own writes: fixtures/modules/emulated/README.md, Log. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_FEATURE_DMA_LOGGING_START';

/** IOVAs, both ends inclusive. */
export interface LoggedRange {
  readonly start: bigint;
  readonly last: bigint;
}

/** A log while it is kept. */
export interface DmaLog {
  /** Bytes that the device tells apart: a power of two from 4096 on. */
  readonly pageSize: bigint;
  /** What is logged, ascending. */
  readonly ranges: readonly LoggedRange[];
  /** Written and not reported since: pages of IOVA, of 4096 bytes. */
  readonly written: Set<bigint>;
  /** A report failed: what is in the log is not known any more. */
  corrupt: boolean;
}

/** What a device has for logs. */
export interface Logger {
  log: DmaLog | undefined;
  /** Why nothing can be said of it any more, where that is so. */
  unclear: string | undefined;
}

/** The pages of the log, in bytes. */
export const LOG_PAGE = 4096n;
const LAST_IOVA = (1n << 64n) - 1n;

const LOGS = rule<(log: DmaLog, written: LoggedRange) => readonly LoggedRange[]>({
  id: 'logging/logs-writes',
  level: 'must',
  says: 'Between START and STOP every write by DMA that a device makes in the ranges is logged, as all pages of the granularity that it touches there; what it reads, and what it writes elsewhere, is not.',
  source: `${HEADER}: Only DMA WRITEs are logged; Each DMA that the device initiates inside the range will be logged`,
  rule: ({ pageSize, ranges }, { start, last }) =>
    ranges
      .filter((range) => start <= range.last && last >= range.start)
      .map((range) => ({
        start: greatest(start, range.start),
        last: least(last, range.last),
      }))
      .map((part) => ({ start: part.start - (part.start % pageSize), last: part.last | (pageSize - 1n) })),
});

const CLOSING_ENDS = rule<(opened: number) => boolean>({
  id: 'logging/close',
  level: 'must',
  says: 'Logging belongs to the device, whoever of those who have it open asked for it, and ends when the last of its files is closed.',
  source: 'vfio_device_last_close(): close_device(), drivers/vfio/vfio_main.c; fixtures/modules/emulated/README.md',
  rule: (opened) => opened === 0,
});

/** A device is told to write: what becomes of the log whatever becomes of the write. */
export const logsWrite = (law: Law, logger: Logger, iova: bigint, count: bigint, answer: Answer): Answer => {
  const act = (): void => {
    const { log } = logger;
    if (log === undefined || count === 0n) return;
    const last = iova + count - 1n;
    for (const part of law.of(LOGS).rule(log, { start: iova, last: least(last, LAST_IOVA) })) {
      for (let page = part.start / LOG_PAGE; page <= part.last / LOG_PAGE; page++) log.written.add(page);
    }
  };
  const also = <T extends { readonly commit?: () => void }>(outcome: T): T => ({
    ...outcome,
    commit: () => {
      outcome.commit?.();
      act();
    },
  });
  if ('unspecified' in answer) return also(answer);
  const [first, ...others] = answer.allowed;
  return { allowed: [also<Outcome>(first), ...others.map((one) => also(one))] };
};

/** A file of the device was closed; so many are left. */
export const closeLog = (law: Law, logger: Logger, opened: number): void => {
  if (!law.of(CLOSING_ENDS).rule(opened)) return;
  logger.log = undefined;
  logger.unclear = undefined;
};

export const LOG_CLAUSES = [LOGS, CLOSING_ENDS];
