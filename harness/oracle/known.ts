import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import type { Platform } from '../program/platform.ts';
import { UsageTrouble } from '../trouble.ts';
import { parseYaml } from '../yaml.ts';
import type { Damage, Divergence, Verdict } from './verdict.ts';

/**
 * A known difference: where a kernel is known to depart from the documented behaviour. It does not bend the model; it says
 * that this finding is not new, and why it stands.
 */
const KnownDifference = z
  .strictObject({
    /** Stable words, for reports and for `disappeared`. */
    id: z.string().regex(/^[a-z0-9-]+$/),
    clause: z.string().regex(/^[a-z0-9-]+\/[a-z0-9-]+$/),
    /** Other clauses that the same observation breaks, where several say what must follow. */
    alongside: z.array(z.string().regex(/^[a-z0-9-]+\/[a-z0-9-]+$/)).default([]),
    /** The only cases it may explain: a regular expression on their ids; absent: any. */
    cases: z.string().optional(),
    /** Cases that must show it: a regular expression on their ids. When one of them ran and none showed it, it has disappeared. */
    shownBy: z.string(),
    /** Kernels by release (a regular expression on `uname -r`). */
    kernel: z.string(),
    /** Hosts by name (a regular expression on `vm`, `local`, `ssh:NAME`); absent: any. */
    host: z.string().optional(),
    /** The only IOMMUs behind which it shows; absent: any. */
    iommu: z.array(z.enum(['intel', 'amd', 'virtio', 'smmuv3', 'none'])).optional(),
    /** What the kernel is known to do: a regular expression on the observation's one-line text. */
    observed: z.string().optional(),
    /** In its place: a regular expression on the first line of what its log is known to show. */
    damage: z.string().optional(),
    /** `more`: no bit that is expected may be missing in what is observed; it is known for bits too many only. */
    bits: z.literal('more').optional(),
    reason: z.string().min(20),
    link: z.string().optional(),
    /** The last day on which it explains anything. */
    expires: z.iso.date().optional(),
  })
  .refine((known) => (known.observed === undefined) !== (known.damage === undefined), {
    error: 'expected either observed or damage',
  });
export type KnownDifference = z.infer<typeof KnownDifference>;

const File = z.strictObject({ differences: z.array(KnownDifference) });

/** Reads a known-differences file; errors name the line, what was expected and what was found. */
export const readKnownDifferences = async (path: string): Promise<readonly KnownDifference[]> => {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageTrouble(`cannot read known differences ${path}: ${cause instanceof Error ? cause.message : cause}`);
  });
  return parseKnownDifferences(text, path);
};

/** The same from a text; `path` is for messages only. */
export const parseKnownDifferences = (text: string, path: string): readonly KnownDifference[] => {
  const { differences } = parseYaml(File, text, path);
  for (const known of differences) compile(known, path);
  return differences;
};

const compile = (known: KnownDifference, path: string): void => {
  for (const field of ['cases', 'shownBy', 'kernel', 'host', 'observed', 'damage'] as const) {
    try {
      new RegExp(known[field] ?? '');
    } catch {
      throw new UsageTrouble(`${path}: ${known.id}: ${field} is not a regular expression: ${known[field]}`);
    }
  }
};

/** Where a case ran: a host by its name, the kernel there, and its IOMMU. */
export interface Place {
  readonly name: string;
  readonly kernel: string;
  readonly platform: { readonly iommu: Pick<Platform['iommu'], 'kind'> };
}

const isAt = (known: KnownDifference, { name, kernel, platform: { iommu } }: Place): boolean =>
  new RegExp(known.kernel).test(kernel) &&
  new RegExp(known.host ?? '').test(name) &&
  known.iommu?.includes(iommu.kind) !== false;

/** The entries that still explain something on a day (`2026-01-31`), and those that have expired. */
export const byExpiry = (
  differences: readonly KnownDifference[],
  today: string,
): { readonly known: readonly KnownDifference[]; readonly expired: readonly KnownDifference[] } => {
  const isOver = ({ expires }: KnownDifference): boolean => expires !== undefined && expires < today;
  return { known: differences.filter((one) => !isOver(one)), expired: differences.filter(isOver) };
};

/** Whether an entry explains one divergence. */
const explains = (known: KnownDifference, divergence: Divergence): boolean =>
  known.observed !== undefined &&
  divergence.clauses.some(({ id }) => id === known.clause) &&
  divergence.clauses.every(({ id }) => id === known.clause || known.alongside.includes(id)) &&
  new RegExp(known.observed).test(divergence.observed) &&
  (known.bits === undefined || hasMoreBits(divergence));

/** Whether an entry explains what a kernel's log shows; panics, hangs and leaks are always news. */
const explainsDamage = (known: KnownDifference, damage: Damage): boolean =>
  known.damage !== undefined && damage.kind === 'kernel-log' && new RegExp(known.damage).test(damage.lines[0] ?? '');

const hasMoreBits = ({ bytes = [] }: Divergence): boolean =>
  bytes.length > 0 &&
  bytes.every(
    ({ expected, observed }) =>
      expected.length === observed.length && expected.every((byte, index) => (byte & (observed[index] ?? 0)) === byte),
  );

/** The entries that together explain a verdict; empty when a part of it is not known (then all of it is new). */
export const explainedBy = (
  differences: readonly KnownDifference[],
  caseId: string,
  place: Place,
  verdict: Verdict,
): readonly KnownDifference[] => {
  if (verdict.kind !== 'diverges' && verdict.kind !== 'damaged') return [];
  const candidates = differences.filter((known) => isAt(known, place) && new RegExp(known.cases ?? '').test(caseId));
  const found = verdict.divergences.map((divergence) => candidates.find((known) => explains(known, divergence)));
  if (verdict.kind === 'damaged') found.push(candidates.find((known) => explainsDamage(known, verdict.damage)));
  return found.every((known) => known !== undefined) ? [...new Set(found)] : [];
};

/** The entries for a host and its kernel that cases were run for, and that no case showed: the kernel, or the harness, has changed. */
export const disappeared = (
  differences: readonly KnownDifference[],
  place: Place,
  judged: readonly string[],
  shown: ReadonlySet<string>,
): readonly string[] =>
  differences
    .filter((known) => isAt(known, place) && !shown.has(known.id))
    .filter((known) => judged.some((caseId) => new RegExp(known.shownBy).test(caseId)))
    .map((known) => known.id);
