/** Where faults of devices go, until user space has read and answered them. */
export interface FaultQueue {
  readonly kind: 'fault queue';
  /** Its open file, and the page tables whose faults go there. */
  users: number;
  /** Groups of faults that were not read yet, oldest first. */
  waiting: Fault[];
  /** What was read and not answered, by cookie. */
  readonly unanswered: Map<number, Fault>;
  /** Cookies that were answered: when they were free again. */
  readonly spent: Map<number, number>;
  /** Counts what happens to cookies. */
  time: number;
  /** Why nothing can be said of it any more. */
  unclear: string | undefined;
}

/** A group of faults; those of the mock device are groups of one. */
export interface Fault {
  /** Where it came from: the device as an object, and its id. */
  readonly device: object;
  readonly deviceId: number;
  /** The attachment that it is of: that of a PASID, or 0 for the device's own. */
  readonly attachment: number;
  readonly pasid: number;
  readonly group: number;
  readonly perm: number;
  readonly addr: bigint;
  /** When its cookie was given. */
  readAt: number;
}

export const newFaultQueue = (): FaultQueue => ({
  kind: 'fault queue',
  users: 1,
  waiting: [],
  unanswered: new Map(),
  spent: new Map(),
  time: 0,
  unclear: undefined,
});

/** A cookie stands for nothing any more. */
export const spend = (queue: FaultQueue, cookie: number): void => {
  queue.unanswered.delete(cookie);
  queue.spent.set(cookie, queue.time++);
};
