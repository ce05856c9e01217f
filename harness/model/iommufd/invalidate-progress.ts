/** What becomes of the entries of an invalidation: how many are done, and why the next one is not. */
export interface Progress {
  readonly done: number;
  readonly trouble: 'EFAULT' | 'EINVAL' | 'EOPNOTSUPP' | 'E2BIG' | undefined;
  /** Makes go what those name that are done. */
  readonly carryOut: () => void;
}
