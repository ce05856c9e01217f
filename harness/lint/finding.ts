import type { Clause } from '../spec/clause.ts';

/** What a header does against a clause. */
export interface Finding {
  /** In the file that was given. */
  readonly line: number;
  readonly clause: Clause;
  readonly text: string;
}
