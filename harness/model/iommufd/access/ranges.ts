import type { Clause } from '../../../spec/clause.ts';
import { MOCK_FLAGS_ACCESS_SYZ, MOST_BYTES_OF_ACCESS } from '../../../uapi/iommufd-test.ts';
import { type Objection, refusing } from '../../clauses.ts';
import { overflows } from '../areas.ts';
import { type AccessCall, whyVague } from './file.ts';

/* Ranges of IOVAs that an access pins, reads or writes: what is asked of them whatever is done with them. */

interface Asking {
  readonly asked: { readonly iova: bigint; readonly length: bigint };
}

/** What refuses a range, in the stage `range`, whoever asks; the ids begin with the call's. */
export const rangeObjections = <S extends Asking>(call: Clause, source: string): readonly Objection<S>[] => {
  const refuses = refusing<S>(call);
  return [
    refuses({
      id: `${call.id}-empty`,
      says: 'A length of 0 is refused with EINVAL.',
      source,
      stage: 'range',
      errnos: ['EINVAL'],
      when: ({ asked }) => asked.length === 0n,
    }),
    refuses({
      id: `${call.id}-overflow`,
      says: 'A range that goes beyond 2^64 is refused with EOVERFLOW.',
      source,
      stage: 'range',
      errnos: ['EOVERFLOW'],
      when: ({ asked }) => overflows(asked.iova, asked.length),
    }),
  ];
};

/** What refuses more than the mock device takes at once, in the stage `length`. */
export const tooLong = <S extends Asking>(call: Clause, source: string): Objection<S> =>
  refusing<S>(call)({
    id: `${call.id}-too-long`,
    says: 'More than 16 MiB at once are refused with ENOMEM.',
    source,
    stage: 'length',
    errnos: ['ENOMEM'],
    when: ({ asked }) => asked.length > MOST_BYTES_OF_ACCESS,
  });

/** Why nothing can be said of a call of the mock device about a range, if that is so. */
export const whyOpen = (call: AccessCall & { readonly asked: { readonly flags: number } }): string | undefined =>
  (call.asked.flags & MOCK_FLAGS_ACCESS_SYZ) !== 0 ? 'IOVAs by number of mapping are not stated' : whyVague(call);
