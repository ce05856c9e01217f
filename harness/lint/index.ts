import { type Revision, structsOf, takenNumbers } from '../spec/revision.ts';
import { UsageTrouble } from '../trouble.ts';
import { Refusal } from './cursor.ts';
import type { Declarations, Unread } from './declarations.ts';
import { evaluate, lookupIn } from './evaluate.ts';
import type { Finding } from './finding.ts';
import { layoutFindings } from './layout-rules.ts';
import { type Comment, type Line, lex } from './lexer.ts';
import { type Part, partsOf } from './patch.ts';
import { readHeader } from './read-header.ts';
import { idFindings, type RequestFacts, requestFindings, unnumbered } from './request-rules.ts';
import { createResolver, type Resolved } from './resolve.ts';
import { saidIn } from './said.ts';

/** What there is to say of a file. */
export interface LintResult {
  /** In the order of their lines. */
  readonly findings: readonly Finding[];
  /** What could not be read, and so was not judged, in the order of its lines. */
  readonly unread: readonly Unread[];
  /** How many structs and requests were judged. */
  readonly judged: { readonly structs: number; readonly requests: number };
}

/** More than any header has, and few enough to be compared with each other. */
const MOST_DECLARED = 2000;

/** Constants of <linux/vfio.h> and <linux/iommufd.h> that requests are made of. */
const KNOWN: Readonly<Record<string, bigint>> = {
  VFIO_TYPE: 59n,
  VFIO_BASE: 100n,
  IOMMUFD_TYPE: 59n,
  IOMMUFD_CMD_BASE: 128n,
};

/**
 * Holds what a C header declares, or what a patch adds to headers of the user interface or changes in them, against the
 * clauses of lint. Numbers that the revision has taken are not free; structs that it has may be named. Pure. Throws
 * UsageTrouble for a text that is neither a header nor a patch, or is too large.
 */
export const lint = (text: string, name: string, revision: Revision): LintResult => {
  const { declarations, comments } = gather(partsOf(text, name));
  const { records, requests, constants } = declarations;
  if (Math.max(requests.length, records.length) > MOST_DECLARED) {
    throw new UsageTrouble(`${name} declares more than ${MOST_DECLARED} structs or requests: expected a header`);
  }
  const taken = takenNumbers(revision);
  const numbers = new Map(taken.map((one) => [one.name, BigInt(one.number)]));
  const lookup = lookupIn(constants, (word) => (Object.hasOwn(KNOWN, word) ? KNOWN[word] : numbers.get(word)));
  const base = new Map(structsOf(revision).map((one) => [one.name, one]));
  const resolver = createResolver({ declarations, lookup, elsewhere: (tag) => base.get(tag) });

  const { resolved, refused } = resolveAll(declarations, resolver.record);
  const byTag = new Map(resolved.map((one) => [one.type.name, one.type]));
  const facts: RequestFacts = {
    requests,
    constants,
    said: saidIn(comments),
    taken,
    lookup,
    evaluate: (expression) => evaluate(expression, lookup),
    fieldsOf: (tag) => {
      const type = byTag.get(tag) ?? base.get(tag);
      return type === undefined ? undefined : Object.entries(type.fields);
    },
  };
  const changed = resolved.filter(({ declaration }) => declaration.changed);
  const findings = [...changed.flatMap(layoutFindings), ...requestFindings(facts), ...idFindings(facts)];
  return {
    findings: findings.sort((a, b) => a.line - b.line),
    unread: [...declarations.unread, ...refused, ...unnumbered(facts)].sort((a, b) => a.line - b.line),
    judged: { structs: changed.length, requests: requests.filter((one) => one.changed).length },
  };
};

const gather = (parts: readonly Part[]) => {
  const declarations: Declarations[] = [];
  const comments: Comment[] = [];
  for (const { kind, lines } of parts) {
    const { text, cut } = kind === 'hunk' ? withoutHalfComment(lines) : { text: lines, cut: [] };
    const lexed = lex(text);
    comments.push(...cut, ...lexed.comments);
    declarations.push(readHeader(lexed.tokens, kind === 'hunk'));
  }
  return {
    declarations: {
      records: declarations.flatMap((one) => one.records),
      requests: declarations.flatMap((one) => one.requests),
      constants: declarations.flatMap((one) => one.constants),
      typedefs: declarations.flatMap((one) => one.typedefs),
      unread: declarations.flatMap((one) => one.unread),
    },
    comments,
  };
};

/** A hunk that begins within a comment: its first lines begin with stars. They are blanked, and told as a comment. */
const withoutHalfComment = (
  lines: readonly Line[],
): { readonly text: readonly Line[]; readonly cut: readonly Comment[] } => {
  const code = lines.findIndex(({ text }) => !/^\s*\*(?:[\s/]|$)/.test(text));
  const length = code < 0 ? lines.length : code;
  const [first] = lines;
  if (length === 0 || first === undefined) return { text: lines, cut: [] };
  const blanked = lines.map((line, index) => (index < length ? { ...line, text: '' } : line));
  const text = lines.slice(0, length).map((line) => line.text);
  return { text: blanked, cut: [{ text: text.join('\n'), line: first.line }] };
};

/** Those whose layout can be told; of those that matter and cannot be resolved, why. */
const resolveAll = (
  declarations: Declarations,
  resolve: (declaration: Declarations['records'][number]) => Resolved,
) => {
  const resolved: Resolved[] = [];
  const refused: Unread[] = [];
  for (const declaration of declarations.records) {
    try {
      resolved.push(resolve(declaration));
    } catch (refusal) {
      if (!(refusal instanceof Refusal)) throw refusal;
      if (declaration.changed) refused.push({ line: refusal.line, text: `${declaration.label}: ${refusal.message}` });
    }
  }
  return { resolved, refused };
};
