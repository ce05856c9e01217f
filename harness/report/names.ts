import { cleanLine } from './clean.ts';
import type { CaseName } from './record.ts';

const CLAUSE = /^[a-z0-9-]+(?:\/[a-z0-9-]+)+$/;

/** Stands for the clause of a test that is written outside every clause. */
const NO_CLAUSE = 'harness/no-clause';

/** The area of a clause: the part before its slash. */
const areaOf = (clause: string): string => clause.slice(0, clause.indexOf('/'));

/**
 * What a test or a hook is called, from its place in the suites: the innermost `describe` whose title is a clause's id
 * names the clause; what stands below it is the title.
 */
const nameOf = (runnable: Mocha.Runnable): CaseName => {
  const path = runnable.titlePath().map(cleanLine);
  const at = path.slice(0, -1).findLastIndex((title) => CLAUSE.test(title));
  const clause = path[at] ?? NO_CLAUSE;
  const title = path.slice(at + 1).join(' ') || 'no title';
  return { id: `${clause}: ${title}`, clause, area: areaOf(clause), title };
};

/** Gives out names so that no two are the same: CI servers drop or merge cases of one name. */
export const createNamer = (): ((runnable: Mocha.Runnable) => CaseName) => {
  const taken = new Set<string>();
  return (runnable) => {
    const name = nameOf(runnable);
    let title = name.title;
    for (let copy = 2; taken.has(`${name.clause}: ${title}`); copy++) title = `${name.title} (${copy})`;
    const id = `${name.clause}: ${title}`;
    taken.add(id);
    return { ...name, id, title };
  };
};
