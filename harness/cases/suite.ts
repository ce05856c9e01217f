import { attachRecord, CaseFailure, CaseTrouble, skipWith } from '../report/attach.ts';
import type { CaseRecord } from '../report/record.ts';
import type { ClauseId } from '../spec/clause.ts';
import type { Case } from './case.ts';
import { type Scenario, scenario } from './scenario.ts';
import type { Session } from './session.ts';

/** What the suites are loaded for: the session that runs them, and which cases were selected. */
interface Loading {
  readonly session: Session;
  readonly selected: (caseId: string) => boolean;
}

let loading: Loading | undefined;
let currentClause: ClauseId | undefined;

/** Suites that are loaded from now on belong to this session. */
export const loadFor = (next: Loading): void => {
  loading = next;
};

/** The cases of one clause. */
export const clause = (id: ClauseId, cases: () => void): void => {
  describe(id, () => {
    currentClause = id;
    cases();
    currentClause = undefined;
  });
};

/** One case: what is done, and what must follow. The writing happens when the suite is loaded; the running when Mocha comes to it. */
export const test = (title: string, write: (s: Scenario) => void): void =>
  register(title, () => {
    const written = scenario();
    write(written);
    return written.build();
  });

/** A case without a program: the clause, an inspection, is held against the modules that were built for the kernel. */
export const inspect = (title: string): void =>
  register(title, () => ({ steps: [], expectations: [], needs: [], inspects: true }));

const register = (title: string, make: () => Omit<Case, 'id' | 'clause' | 'title'>): void => {
  if (currentClause === undefined) throw new Error(`the case "${title}" stands outside a clause`);
  if (loading === undefined) throw new Error('suites are loaded by vfio-conform run, not by mocha alone');
  const { session, selected } = loading;
  const id = `${currentClause}: ${title}`;
  if (!selected(id) || !session.inForce(currentClause)) return;
  const one = { id, clause: currentClause, title, ...make() };
  if (!session.add(one)) return;
  it(title, async function () {
    settle(this, await session.run(one));
  });
};

/** A case for each row of a table: the key is the title. */
export const each = <Row>(rows: Readonly<Record<string, Row>>, write: (s: Scenario, row: Row) => void): void => {
  for (const [title, row] of Object.entries(rows)) test(title, (s) => write(s, row));
};

/** Tells Mocha how a case ended; known differences pass. */
export const settle = (context: Mocha.Context, record: CaseRecord): void => {
  attachRecord(context.runnable(), record);
  switch (record.verdict) {
    case 'conforms':
      return;
    case 'diverges':
    case 'damaged':
      if (record.known === undefined) throw new CaseFailure(record);
      return;
    case 'unsupported':
      skipWith(context, record.reason ?? 'unsupported');
      return;
    case 'host-lost':
    case 'harness-error':
      throw new CaseTrouble(record);
  }
};
