import type { Platform } from '../program/platform.ts';
import type { Program } from '../program/step.ts';
import type { ClauseId } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';

/**
 * What the writer of a case says a call must do: the clause's own expectation, stated apart from the model, so that each
 * can find the other wrong.
 */
export interface Expectation {
  /** Index of the call among the program's calls. */
  readonly step: number;
  /** The iterations of a repeat it speaks of, both inclusive; absent: all of them. */
  readonly iterations?: { readonly first: number; readonly last: number };
  /** Any of these errnos; or success. */
  readonly result: { readonly refused: readonly Errno[] } | { readonly succeeds: true } | { readonly returns: bigint };
  /** Bytes that the output must hold. */
  readonly out?: readonly { readonly at: number; readonly bytes: Uint8Array }[];
}

/** What a case asks of a host beyond one group; a host without it makes the case unsupported, with this as the reason. */
export interface Need {
  readonly reason: string;
  readonly met: (platform: Platform) => boolean;
}

/** The call of a case that answers a question of a table, and what the table has for it. */
export interface Asked {
  /** Index of the call among the program's calls. */
  readonly step: number;
  /** The question, and which column of the table answers it. */
  readonly asks: string;
  readonly mode: string;
  readonly column: number;
  readonly expected: string;
  readonly source: string;
  /** What was answered, as the table would have it. */
  readonly tell: (answer: {
    readonly ret: bigint;
    readonly errno: Errno | 0;
    readonly out?: Uint8Array | undefined;
  }) => string;
}

/** One case: a clause, a title, a program and what it must show. Pure data; made when its suite is loaded. */
export interface Case {
  /** `type1/map-overlap: identical` */
  readonly id: string;
  readonly clause: ClauseId;
  readonly title: string;
  /** The program without its `let`s, which are the host's. */
  readonly steps: Program['steps'];
  readonly expectations: readonly Expectation[];
  readonly needs: readonly Need[];
  /** It answers a question of a table. */
  readonly asked?: Asked;
  /** It has no program: its clause is held against what was built instead. */
  readonly inspects?: true;
}

/** Whether the program of a case makes one of some requests. */
export const makes = ({ steps }: Pick<Case, 'steps'>, requests: ReadonlySet<bigint>): boolean =>
  requests.size > 0 &&
  steps
    .flatMap((step) => (step.op === 'repeat' ? step.body : [step]))
    .some((call) => call.op === 'ioctl' && requests.has(call.request));
