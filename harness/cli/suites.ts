import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import Mocha from 'mocha';
import type { Case } from '../cases/case.ts';
import { GIVEN } from '../cases/given-program.ts';
import type { Session } from '../cases/session.ts';
import { loadFor, settle } from '../cases/suite.ts';
import { UsageTrouble } from '../trouble.ts';

const FOLDER = fileURLToPath(new URL('../../suites', import.meta.url));

/** The areas that there are suites for: one file each. */
export const areas = (): readonly string[] =>
  readdirSync(FOLDER)
    .filter((name) => name.endsWith('.ts'))
    .map((name) => name.slice(0, -'.ts'.length))
    .sort();

/** The areas of a name, or of all names that begin so where it ends in `*`. Throws UsageTrouble where there is none. */
const areasNamed = (name: string): readonly string[] => {
  const found = areas().filter((area) => (name.endsWith('*') ? area.startsWith(name.slice(0, -1)) : area === name));
  if (found.length > 0) return found;
  throw new UsageTrouble(`there is no suite "${name}"; there are: ${areas().join(', ')}`);
};

/** Which cases are meant. */
export interface Selection {
  /** Areas, as areasNamed() takes them; all when empty. */
  readonly areas: readonly string[];
  /** Texts of which a case's id must contain one; all when empty. */
  readonly texts: readonly string[];
  /** Cases that stand in no suite; where there are some, only the areas that are named are run beside them. */
  readonly given?: readonly Case[];
}

/** Loads the suites' files into Mocha for a session, told of each before. Cases that are not selected are not even registered. */
export const loadSuites = async (
  session: Session,
  selection: Selection,
  reporter?: Mocha.ReporterConstructor,
  begins: (suite: string) => void = () => undefined,
): Promise<Mocha> => {
  const named = [...new Set(selection.areas.flatMap(areasNamed))];
  const { texts, given = [] } = selection;
  const selected = (id: string): boolean => texts.length === 0 || texts.some((text) => id.includes(text));
  loadFor({ session, selected });
  const mocha = new Mocha({ ui: 'bdd', timeout: 0, forbidOnly: true, ...(reporter === undefined ? {} : { reporter }) });
  const meant = selection.areas.length === 0 && given.length === 0 ? areas() : named;
  const files = meant.map((area) => join(FOLDER, `${area}.ts`));
  for (const file of files) mocha.addFile(file);
  mocha.suite.on('pre-require', (_context: unknown, file: string) => begins(basename(file, '.ts')));
  await mocha.loadFilesAsync().catch(async (cause: unknown) => {
    // Mocha tries a file that threw in other ways too, and tells of those; the file itself goes on telling what it threw.
    for (const file of files) await import(pathToFileURL(file).href);
    throw cause;
  });
  const theirs = given.filter(({ id }) => selected(id));
  if (theirs.length > 0) addGiven(mocha, session, theirs);
  return mocha;
};

const addGiven = (mocha: Mocha, session: Session, cases: readonly Case[]): void => {
  const suite = Mocha.Suite.create(mocha.suite, GIVEN);
  for (const one of cases) {
    session.add(one);
    suite.addTest(
      new Mocha.Test(one.title, async function (this: Mocha.Context) {
        settle(this, await session.run(one));
      }),
    );
  }
};

/** For what only looks at cases; without it none is kept. */
const LISTING: Session = {
  inForce: () => true,
  add: () => false,
  run: async () => {
    throw new Error('cases are only listed here');
  },
  disappeared: () => [],
};

/** The clauses that the selected cases of each suite are named by, suites in the order in which they run. */
export const clausesBySuite = async (selection: Selection): Promise<ReadonlyMap<string, ReadonlySet<string>>> => {
  const suites = new Map<string, Set<string>>();
  let current = new Set<string>();
  const collecting: Session = {
    ...LISTING,
    add: ({ clause }) => {
      current.add(clause);
      return false;
    },
  };
  await loadSuites(collecting, selection, undefined, (suite) => {
    current = new Set();
    suites.set(suite, current);
  });
  return suites;
};

/** The cases that a selection has, without running any. A process can load the suites only once. */
export const collectCases = async (selection: Selection): Promise<readonly Case[]> => {
  const cases: Case[] = [];
  await loadSuites({ ...LISTING, add: (one) => cases.push(one) > 0 }, selection);
  return cases;
};
