import type { Request } from '../model/clauses.ts';
import type { Clause } from '../spec/clause.ts';
import { inForce, type Revision, takenNumbers } from '../spec/revision.ts';
import * as vfio from '../uapi/vfio.ts';
import type { NumberChange, NumberFacts } from './spec-diff.ts';

/** `_IO(';', 100)`: where VFIO's numbers begin. */
const BASE = vfio.VFIO_GET_API_VERSION;
const LAST = 0xffn - (BASE & 0xffn);

/**
 * Requests by the file that takes them and their number, and ids by their kind: what each side says that the number is, where
 * the two do not say the same.
 */
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

type Numbers = ReadonlyMap<string, Numbered>;

const numbersOf = (revision: Revision): Numbers => new Map([...requestsOf(revision), ...idsOf(revision)]);

/** Ids of capabilities, features and extensions; requests are compared by their clauses. */
const idsOf = (revision: Revision): Numbers => {
  const names = new Map<string, { readonly space: string; readonly number: number; readonly names: string[] }>();
  for (const { space, number, name } of takenNumbers(revision)) {
    if (!/ |^extension$/.test(space)) continue;
    const one = names.get(`${space} ${number}`) ?? { space, number, names: [] };
    names.set(`${space} ${number}`, { ...one, names: [...one.names, name] });
  }
  return new Map(
    [...names].map(([key, one]) => {
      const facts = { id: one.names.join(' and '), clashes: one.names.length > 1, number: `${one.number}`, name: key };
      return [key, { on: one.space, facts }];
    }),
  );
};

const requestsOf = (revision: Revision): Numbers =>
  new Map(
    [...inForce(revision).values()].filter(isRequest).map(({ id, on, request }) => {
      const number = `0x${request.toString(16)}`;
      const isOfVfio = on !== 'iommufd' && request >= BASE && request <= BASE + LAST;
      const name = isOfVfio ? `VFIO_BASE + ${request - BASE}` : number;
      return [`${on} ${number}`, { on: `${on} files`, facts: { id, clashes: false, number, name } }];
    }),
  );

const isRequest = (clause: Clause): clause is Request<unknown, unknown> =>
  'kind' in clause && clause.kind === 'request';
