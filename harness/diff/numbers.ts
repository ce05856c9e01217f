import type { Request } from '../model/clauses.ts';
import type { Clause } from '../spec/clause.ts';
import { inForce, type Revision } from '../spec/revision.ts';
import * as vfio from '../uapi/vfio.ts';
import type { NumberChange, NumberFacts } from './spec-diff.ts';

/** `_IO(';', 100)`: where VFIO's numbers begin. */
const BASE = vfio.VFIO_GET_API_VERSION;
const LAST = 0xffn - (BASE & 0xffn);

/** Requests by the file that takes them and their number: what each side says that the number is, where the two do not say the same. */
export const compareNumbers = (a: Revision, b: Revision): readonly NumberChange[] => {
  const [before, after] = [numbersOf(a), numbersOf(b)];
  const changes: NumberChange[] = [];
  for (const key of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const [was, is] = [before.get(key), after.get(key)];
    const one = is ?? was;
    if (one === undefined || was?.facts.id === is?.facts.id) continue;
    changes.push({
      on: one.on,
      number: one.facts.number,
      change: was === undefined ? 'added' : is === undefined ? 'removed' : 'changed',
      ...(was === undefined ? {} : { a: was.facts }),
      ...(is === undefined ? {} : { b: is.facts }),
    });
  }
  return changes;
};

interface Numbered {
  readonly on: string;
  readonly facts: NumberFacts;
}

const numbersOf = (revision: Revision): ReadonlyMap<string, Numbered> =>
  new Map(
    [...inForce(revision).values()].filter(isRequest).map(({ id, on, request }) => {
      const number = `0x${request.toString(16)}`;
      const name = request >= BASE && request <= BASE + LAST ? `VFIO_BASE + ${request - BASE}` : number;
      return [`${on} ${number}`, { on, facts: { id, number, name } }];
    }),
  );

const isRequest = (clause: Clause): clause is Request<unknown, unknown> =>
  'kind' in clause && clause.kind === 'request';
