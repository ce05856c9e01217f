import type { Clause } from '../spec/clause.ts';
import type { Errno } from '../uapi/errno.ts';
import type { Field, Objection } from './clauses.ts';
import type { Law, Provision } from './law.ts';
import type { Answer, ByteRule, Outcome } from './outcome.ts';
import type { IoctlCall } from './world/kernel-file.ts';

/**
 * What a request allows, in the four parts that every call has: arguments, objections stage by stage, effect, reply. The
 * first stage in which an objection surely holds ends it; objections that hold perhaps leave success beside them.
 */
export const answerRequest = <F, S>(provision: Provision<F, S>, file: F, call: IoctlCall): Answer => {
  const { request, objections } = provision;
  const situation = request.situation(file, call);
  const unspecified = request.leavesOpen?.(situation);
  if (unspecified !== undefined) return { unspecified, commit: () => request.forgets?.(situation) };
  const answers = [situation, ...(request.others?.(situation) ?? [])].map((one) =>
    answerInStages(objections, one, () => successes(provision, one), request.untouched),
  );
  return answers.reduce(either);
};

type Allowing = Extract<Answer, { allowed: unknown }>;

const either = (one: Allowing, other: Allowing): Allowing => ({ allowed: [...one.allowed, ...other.allowed] });

/** The same for something that is no ioctl: what it allows when no objection surely holds is told by `succeed`. */
export const answerInStages = <S>(
  stages: readonly (readonly Objection<S>[])[],
  situation: S,
  succeed: () => readonly [Outcome, ...Outcome[]],
  untouched?: Clause,
): Allowing => {
  const refusals = new Refusals(untouched);
  for (const stage of stages) {
    for (const one of stage) refusals.weigh(one, situation);
    if (refusals.certain) return refusals.answer();
  }
  const [done, ...others] = succeed();
  return { allowed: [done, ...others, ...refusals.outcomes] };
};

/** The same for objections that stand on their own, in front of any request; `undefined` when none surely holds. */
export const refusalOf = <S>(objections: readonly Objection<S>[], situation: S): Answer | undefined => {
  const refusals = new Refusals();
  for (const one of objections) refusals.weigh(one, situation);
  return refusals.certain ? refusals.answer() : undefined;
};

/** Objections by stage, as they are in force. */
export const stagesInForce = <S>(
  law: Law,
  stages: readonly (readonly Objection<S>[])[],
): readonly (readonly Objection<S>[])[] => stages.map((stage) => stage.map((one) => law.of(one)));

/** Collects objections that hold, by errno: one outcome for each, with all the clauses that lead to it. */
class Refusals {
  certain = false;
  /** The clause that is broken when a refused call writes. */
  readonly #untouched: Clause | undefined;
  readonly #byErrno = new Map<
    Errno,
    { clauses: [Clause, ...Clause[]]; out: readonly ByteRule[] | undefined; commit: () => void }
  >();

  constructor(untouched?: Clause) {
    this.#untouched = untouched;
  }

  weigh<S>(one: Objection<S>, situation: S): void {
    const holds = one.when(situation);
    if (holds === false) return;
    if (holds === true) this.certain = true;
    const named = one.errno?.(situation);
    for (const errno of named === undefined ? one.errnos : [named]) {
      const known = this.#byErrno.get(errno);
      if (known !== undefined) known.clauses.push(one);
      else
        this.#byErrno.set(errno, {
          clauses: [one],
          out: one.out?.(situation),
          commit() {
            one.leaves?.(situation);
          },
        });
    }
  }

  get outcomes(): readonly Outcome[] {
    return [...this.#byErrno].map(([errno, { clauses, out, commit }]) => ({
      ret: { exactly: -1n },
      errno,
      ...(out === undefined ? {} : { out }),
      ...(this.#untouched === undefined ? {} : { untouched: this.#untouched }),
      clauses,
      commit,
    }));
  }

  answer(): Allowing {
    const [first, ...others] = this.outcomes;
    if (first === undefined) throw new RangeError('nothing refuses this call');
    return { allowed: [first, ...others] };
  }
}

const successes = <F, S>(provision: Provision<F, S>, situation: S): [Outcome, ...Outcome[]] => {
  const deviations = provision.request.deviations?.(situation) ?? [];
  return [
    success(provision, situation),
    ...deviations.map((deviation) => ({ ...success(provision, deviation.situation), breaks: deviation.breaks })),
  ];
};

const success = <F, S>({ request, fields }: Provision<F, S>, situation: S): Outcome => ({
  ret: request.returns?.(situation) ?? { exactly: 0n },
  errno: 0,
  out: [...byteRules(fields, situation), ...(request.reply?.(situation) ?? [])],
  ...(request.untouched === undefined ? {} : { untouched: request.untouched }),
  clauses: [request.returnedBy?.(situation) ?? request],
  commit() {
    request.effect?.(situation);
  },
});

const byteRules = <S>(fields: readonly Field<S>[], situation: S): readonly ByteRule[] => {
  const rules: ByteRule[] = [];
  for (const one of fields) {
    const bytes = one.bytes(situation);
    if (bytes !== undefined) rules.push({ at: one.at(situation), bytes, clause: one });
  }
  return rules;
};
