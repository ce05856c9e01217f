import type { Clause } from '../spec/clause.ts';

/** A call whose observation no outcome of the model allows. */
export interface Divergence {
  /** Index of the call among the program's calls, and the iteration of its repeat. */
  readonly step: number;
  readonly iteration: number;
  /** The call as program text. */
  readonly call: string;
  /** The clauses that the observation breaks; at least one. */
  readonly clauses: readonly Clause[];
  /** One line each, for a reader: `EEXIST`, `0, out 20:8 = 0x1000`. */
  readonly expected: string;
  readonly observed: string;
  /** The bytes that differ, if that is what diverges. */
  readonly bytes?: readonly { readonly expected: Uint8Array; readonly observed: Uint8Array }[];
}

/** What was found broken beside the answers themselves. */
export type Damage =
  | { readonly kind: 'kernel-log'; readonly lines: readonly string[] }
  | { readonly kind: 'panic'; readonly console: readonly string[] }
  | { readonly kind: 'hang'; readonly detail: string }
  /** Its machine was booted while the case ran, which nobody saw. */
  | { readonly kind: 'reboot'; readonly detail: string }
  | { readonly kind: 'leak'; readonly detail: string };

/**
 * The six verdicts. A kernel is only ever blamed by `diverges` and `damaged`; `host-lost` and `harness-error` say
 * nothing about it.
 */
export type Verdict =
  | { readonly kind: 'conforms' }
  | { readonly kind: 'diverges'; readonly divergences: readonly [Divergence, ...Divergence[]] }
  | { readonly kind: 'damaged'; readonly damage: Damage; readonly divergences: readonly Divergence[] }
  | { readonly kind: 'unsupported'; readonly reason: string }
  | { readonly kind: 'host-lost'; readonly reason: string }
  | { readonly kind: 'harness-error'; readonly reason: string };
