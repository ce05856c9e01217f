import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type KnownDifference, readKnownDifferences } from '../oracle/known.ts';
import type { Revision } from '../spec/revision.ts';

const FOLDER = fileURLToPath(new URL('../../fixtures/known-differences', import.meta.url));

/** The differences of a file that was named; otherwise of the revision's own file and of those of its bases, where they have one. */
export const knownDifferences = async (
  path: string | undefined,
  revision: Revision | undefined,
): Promise<readonly KnownDifference[]> => {
  if (path !== undefined) return readKnownDifferences(path);
  if (revision === undefined) return [];
  const file = join(FOLDER, `${revision.id.replaceAll('/', '-')}.yaml`);
  const own = existsSync(file) ? await readKnownDifferences(file) : [];
  // What is known of a clause of the base says nothing about another that stands in its place.
  const inherited = await knownDifferences(undefined, revision.base);
  return [...own, ...inherited.filter(({ clause }) => !(clause in revision.clauses))];
};
