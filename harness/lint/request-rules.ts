/** What is held against new requests and ids: their numbers, their arguments, what their comments say. */
import type { TakenNumber } from '../spec/revision.ts';
import type { CType } from '../uapi/layout.ts';
import { ARGSZ_FLAGS, ID_FREE, NUMBER_FREE, ROOM_TO_GROW, SAME_MACRO } from './clauses.ts';
import type { ConstantDeclaration, RequestDeclaration, Unread } from './declarations.ts';
import type { Lookup } from './evaluate.ts';
import type { Finding } from './finding.ts';
import type { Said } from './said.ts';

/** `;`, which VFIO and IOMMUFD share; VFIO has the numbers below. */
const OUR_TYPE = 59n;
const IOMMUFD_BASE = 0x80n;

/** The file that a request is for, by the beginning of its name; the first that fits. */
const FILES: readonly (readonly [prefix: RegExp, space: TakenNumber['space']])[] = [
  [/^VFIO_GROUP_/, 'group'],
  [/^VFIO_DEVICE_/, 'device'],
  // On the file that a device's migration data goes through.
  [/^VFIO_MIG_/, 'migration'],
  [/^VFIO_(?:IOMMU_SPAPR|EEH)_/, 'spapr'],
  [/^VFIO_IOMMU_/, 'type1'],
  [/^VFIO_/, 'container'],
  [/^IOMMU/, 'iommufd'],
];

/** Which spaces a number is looked for in. The container hands on to the IOMMU driver what it does not know itself. */
const MEETS: Readonly<Partial<Record<TakenNumber['space'], readonly TakenNumber['space'][]>>> = {
  container: ['container', 'type1', 'spapr'],
  type1: ['container', 'type1'],
  spapr: ['container', 'spapr'],
};

/** Ids of one kind, by their names. Flags and masks are no ids. */
const IDS: readonly (readonly [name: RegExp, space: TakenNumber['space']])[] = [
  [/^VFIO_IOMMU_TYPE1_INFO_/, 'type1-info capability'],
  [/^VFIO_REGION_INFO_CAP_/, 'region-info capability'],
  [/^VFIO_DEVICE_INFO_CAP_/, 'device-info capability'],
  [/^VFIO_DEVICE_FEATURE_/, 'device feature'],
  [/^VFIO_\w+_IOMMU$/, 'extension'],
];
const NO_ID = /FLAG|MASK|SIZE|LEN/;

interface Numbered {
  readonly name: string;
  readonly space: TakenNumber['space'];
  readonly number: number;
}

/** What the rules ask of the file and the revision. */
export interface RequestFacts {
  readonly requests: readonly RequestDeclaration[];
  readonly constants: readonly ConstantDeclaration[];
  /** What comments say of requests, by their names. */
  readonly said: ReadonlyMap<string, Said>;
  readonly taken: readonly TakenNumber[];
  readonly lookup: Lookup;
  readonly evaluate: (expression: RequestDeclaration['number']) => bigint | undefined;
  /** The fields of a struct, by its tag; `undefined` when it is not known. */
  readonly fieldsOf: (tag: string) => readonly (readonly [name: string, type: CType])[] | undefined;
}

/** Findings of all requests that the revision does not have. */
export const requestFindings = (facts: RequestFacts): readonly Finding[] =>
  facts.requests
    .filter((request) => request.changed && !isKnown(facts, request))
    .flatMap((request) => [...numberFree(facts, request), ...argument(facts, request), ...comment(facts, request)]);

const isKnown = (facts: RequestFacts, request: RequestDeclaration): boolean => {
  const numbered = numberOf(facts, request);
  return facts.taken.some(({ name, number }) => name === request.name && number === numbered?.number);
};

/** The file and the number of one of our requests; `undefined` for others', or when the number is not known. */
const numberOf = (facts: RequestFacts, request: RequestDeclaration): Numbered | undefined => {
  const space = FILES.find(([prefix]) => prefix.test(request.name))?.[1];
  const [type, number] = [facts.evaluate(request.type), facts.evaluate(request.number)];
  if (space === undefined || type !== OUR_TYPE || number === undefined || number < 0n || number > 255n)
    return undefined;
  return { name: request.name, space, number: Number(number) };
};

/**
 * New requests whose number cannot be told, so that nobody knows whether it is free. IOMMUFD's are enumerators, of which a
 * patch shows the last ones only, and no two are the same.
 */
export const unnumbered = (facts: RequestFacts): readonly Unread[] =>
  facts.requests
    .filter(({ name, changed, type }) => changed && /^VFIO_/.test(name) && facts.evaluate(type) === OUR_TYPE)
    .filter((request) => facts.evaluate(request.number) === undefined)
    .map(({ name, line }) => ({ line, text: `${name}: its number is not known` }));

const meets = (one: Numbered, other: Numbered): boolean =>
  one.name !== other.name && one.number === other.number && (MEETS[one.space] ?? [one.space]).includes(other.space);

const numberFree = (facts: RequestFacts, request: RequestDeclaration): readonly Finding[] => {
  const own = numberOf(facts, request);
  if (own === undefined) return [];
  const others = [...facts.taken, ...facts.requests.flatMap((one) => numberOf(facts, one) ?? [])];
  const names = new Set(others.filter((other) => meets(own, other)).map(({ name }) => name));
  if (names.size === 0) return [];
  const text = `${request.name}: the number ${numberText(own)} is taken by ${[...names].join(', ')}`;
  return [{ line: request.line, clause: NUMBER_FREE, text }];
};

const VFIO_BASE = 100;

const numberText = ({ space, number }: Numbered): string =>
  space === 'iommufd' ? `0x${number.toString(16)}` : `VFIO_BASE + ${number - VFIO_BASE}`;

/** The struct that a request takes: the one that its macro or its comment names, else the one that ends right before it. */
const argumentOf = (facts: RequestFacts, request: RequestDeclaration): string | undefined => {
  if (request.argument !== undefined) return request.argument;
  return facts.said.get(request.name)?.argument ?? request.behind;
};

const argument = (facts: RequestFacts, request: RequestDeclaration): readonly Finding[] => {
  const tag = argumentOf(facts, request);
  const fields = tag === undefined ? undefined : facts.fieldsOf(tag);
  if (tag === undefined || fields === undefined) return [];
  const found: Finding[] = [];
  const add = (clause: Finding['clause'], text: string): void => {
    found.push({ line: request.line, clause, text: `${request.name}: ${text}` });
  };
  const begins = fields.slice(0, 2).map(([name]) => name);
  const asked = beginningOf(facts, request);
  if (asked.some((name, index) => fields[index]?.[0] !== name || !isU32(fields[index]?.[1]))) {
    add(ARGSZ_FLAGS, `struct ${tag} begins with ${begins.join(' and ') || 'nothing'}, not with ${asked.join(' and ')}`);
  }
  if (!fields.some(([name, type]) => grows(name, type))) {
    add(ROOM_TO_GROW, `struct ${tag} has no size, flags, version or reserved field`);
  }
  return found;
};

/** Names of the 32-bit fields that an argument begins with; none for what is neither VFIO's nor IOMMUFD's. */
const beginningOf = (facts: RequestFacts, request: RequestDeclaration): readonly string[] => {
  if (facts.evaluate(request.type) !== OUR_TYPE) return [];
  const number = facts.evaluate(request.number);
  const isIommufd = number === undefined ? request.name.startsWith('IOMMU') : number >= IOMMUFD_BASE;
  return isIommufd ? ['size'] : ['argsz', 'flags'];
};

const isU32 = (type: CType | undefined): boolean => type?.kind === 'scalar' && type.scalar === 'u32';

const GROWS = /^_*(?:argsz|size|flags?|version|reserved|resv|rsvd|pad|padding)(?:_|\d|$)|reserved/;

const grows = (name: string, type: CType): boolean =>
  GROWS.test(name) || (type.kind === 'struct' && type.name === 'vfio_info_cap_header');

const comment = (facts: RequestFacts, request: RequestDeclaration): readonly Finding[] => {
  const said = facts.said.get(request.name);
  if (said === undefined || said.macro === request.macro) return [];
  const text = `${request.name}: ${said.macro} in the comment, ${request.macro} in the code (line ${request.line})`;
  return [{ line: said.line, clause: SAME_MACRO, text }];
};

/** Findings of ids that are new and not free. */
export const idFindings = (facts: RequestFacts): readonly Finding[] => {
  const declared = facts.constants.flatMap((one) => idOf(facts, one));
  return declared
    .filter(
      ({ constant, id }) =>
        constant.changed && !facts.taken.some((one) => one.name === id.name && one.number === id.number),
    )
    .flatMap(({ constant, id }): readonly Finding[] => {
      const others = [...facts.taken, ...declared.map((one) => one.id)];
      const names = new Set(others.filter((other) => meets(id, other)).map(({ name }) => name));
      if (names.size === 0) return [];
      const text = `${id.name}: the ${id.space} ${id.number} is taken by ${[...names].join(', ')}`;
      return [{ line: constant.line, clause: ID_FREE, text }];
    });
};

/** Only plain numbers are ids: `(1 << 3)` is a flag; and what is defined among the fields of a struct is a value of one. */
const idOf = (
  facts: RequestFacts,
  constant: ConstantDeclaration,
): readonly { constant: ConstantDeclaration; id: Numbered }[] => {
  const space = NO_ID.test(constant.name) ? undefined : IDS.find(([name]) => name.test(constant.name))?.[1];
  const plain = constant.value.filter(({ text }) => text !== '(' && text !== ')');
  if (constant.amongFields || space === undefined || plain.length !== 1 || plain[0]?.kind !== 'number') return [];
  const number = facts.lookup(constant.name);
  return number === undefined ? [] : [{ constant, id: { name: constant.name, space, number: Number(number) } }];
};
