import { type Objection, type Refusal, type Request, refusing, rule } from '../../model/clauses.ts';
import type { Law } from '../../model/law.ts';
import { CHARGES_CALLER, exceedsLimit } from '../../model/type1/accounting.ts';
import type { IommuFile } from '../../model/type1/files.ts';
import type { Iommu, Mapping, Owner } from '../../model/type1/state.ts';
import type { Process } from '../../model/world/process.ts';
import { BASE, numbers } from '../numbers.ts';
import { compareMemory, type Mismatch } from './memory.ts';

/* What both forms of the series state: VFIO_CHANGE_DMA_OWNER, posted on 6 December 2022. */

export const POSTED = 'Steve Sistare, [PATCH V1 7/8] vfio: change dma owner, 6 December 2022';
const GUNTHORPE = 'Jason Gunthorpe, re [PATCH V1 7/8], 7 December 2022';
export const SISTARE = 'Steve Sistare, re [PATCH V1 7/8], in answer to Jason Gunthorpe of 7 December 2022';

/** The number that both forms take. */
export const NUMBERS = numbers('container', BASE, { VFIO_CHANGE_DMA_OWNER: 22 });

/** What a mapping is to become: where its memory is in the caller. */
interface Change {
  readonly mapping: Mapping;
  readonly vaddr: bigint;
}

/** What a CHANGE_DMA_OWNER is about. */
export interface ChangeCall {
  readonly law: Law;
  readonly iommu: Iommu;
  readonly caller: Process;
  /** The processor's page in bytes: what is charged. */
  readonly pageSize: number;
  /** All mappings, ascending. */
  readonly changes: readonly Change[];
}

export const CALL = 'change-dma-owner/changes';
/** In the order of both forms; `arguments` to `pairs` are the reviewed form's. */
export const STAGES = ['read', 'arguments', 'mappings', 'pairs', 'owners', 'memory'] as const;

/** Who owns a mapping after the change; `undefined` when that is who owned it before. */
const CHARGES_NEW = rule<(call: ChangeCall, mapping: Mapping) => number>({
  id: 'change-dma-owner/charges-caller',
  level: 'must',
  says: 'After a change the caller is charged for the locked pages of every mapping that it did not own before, once, and for nothing else.',
  source: `${POSTED}: including count of locked pages subject to RLIMIT_MEMLOCK`,
  rule: ({ caller }, { owner, charged }) => (owner.space === caller.space ? 0 : charged),
});

const GIVES_BACK = rule<(mapping: Mapping) => number>({
  id: 'change-dma-owner/gives-back',
  level: 'must',
  says: 'After a change the owner before gets back exactly what was charged for the mappings that it lost, so that it can lock as much again.',
  source: `${POSTED}: Change ownership of all dma mappings to the calling task, including count of locked pages`,
  rule: ({ charged }) => charged,
});

/** In whose memory, and where in it, a mapping is found after a change. */
const TRANSLATES = rule<(call: ChangeCall, change: Change) => { readonly owner: Owner; readonly vaddr: bigint }>({
  id: 'change-dma-owner/translates',
  level: 'must',
  says: 'After a change devices without an IOMMU have pages pinned, read and written in the memory of the caller, at the vaddr that the mapping has there; the memory and the life of the owner before do not matter any more.',
  source: `${POSTED}: Change ownership of all dma mappings to the calling task; the vaddr can be changed in the new address space`,
  rule: ({ law, caller }, { vaddr }) => ({ owner: law.of(CHARGES_CALLER).rule(caller), vaddr }),
});

/** Makes the caller the owner of mappings. */
export const takeOver = (call: ChangeCall, changes = call.changes): void => {
  const [charges, givesBack] = [call.law.of(CHARGES_NEW), call.law.of(GIVES_BACK)];
  for (const change of changes) {
    const { mapping } = change;
    const { owner } = mapping;
    const charged = charges.rule(call, mapping);
    const next = call.law.of(TRANSLATES).rule(call, change);
    mapping.vaddr = next.vaddr;
    if (owner.space === call.caller.space) continue;
    call.caller.space.charge(charged, charges);
    if (owner.space.alive) owner.space.uncharge(givesBack.rule(mapping), givesBack);
    mapping.owner = next.owner;
  }
};

/** What a call that was refused changes all the same. */
const ALL_OR_NOTHING = rule<(changes: readonly Change[]) => readonly Change[]>({
  id: 'change-dma-owner/all-or-nothing',
  level: 'must',
  says: 'A call that is refused changes nothing: every mapping keeps its owner, its vaddr and who is charged for it.',
  source: `${GUNTHORPE}: making the whole thing atomic; ${SISTARE}: all are changed, or none are changed`,
  rule: () => [],
});

const failed = (call: ChangeCall): void => takeOver(call, call.law.of(ALL_OR_NOTHING).rule(call.changes));

const mismatches = ({ caller, changes }: ChangeCall): readonly (Mismatch | undefined)[] =>
  changes
    .filter(({ mapping }) => mapping.owner.space.alive)
    .map(({ mapping: { owner, vaddr: old, start, end }, vaddr }) =>
      compareMemory({ space: owner.space, vaddr: old }, { space: caller.space, vaddr }, end - start),
    );

const charge = (call: ChangeCall): number =>
  call.changes.reduce((pages, { mapping }) => pages + call.law.of(CHARGES_NEW).rule(call, mapping), 0);

/** What both forms refuse. `leaves` is what a form's refused call leaves beside nothing. */
const objectionsOf = <S extends ChangeCall>(
  to: Request<IommuFile, S>,
  leaves: (call: S) => void = () => undefined,
): readonly Objection<S>[] => {
  const refuses = (stated: Omit<Refusal<S>, 'leaves'>): Objection<S> =>
    refusing(to)({
      ...stated,
      leaves: (call) => {
        failed(call);
        leaves(call);
      },
    });
  return [
    refuses({
      id: 'change-dma-owner/vaddr-invalidated',
      says: 'While a mapping is without a valid vaddr, which UNMAP_DMA with VADDR took away, the owner cannot be changed: EINVAL.',
      source: `${POSTED}: EINVAL: a new vaddr was provided for some but not all mappings; what has no vaddr cannot be compared`,
      stage: 'mappings',
      errnos: ['EINVAL'],
      when: ({ iommu }) => iommu.invalidated > 0,
    }),
    refuses({
      id: 'change-dma-owner/owner-gone',
      says: 'The call is refused with ESRCH when the owner of a mapping is dead, or has exec-ed: its address space is gone.',
      source: `${POSTED}: ESRCH: owning task is dead`,
      stage: 'owners',
      errnos: ['ESRCH'],
      when: ({ changes }) => changes.some(({ mapping }) => !mapping.owner.space.alive),
    }),
    refuses({
      id: 'change-dma-owner/object-differs',
      says: 'The call is refused with ENXIO when what is at the vaddr of a mapping is not the same object in both processes, at the same place in it and with the same access.',
      source: `${POSTED}: ENXIO: Memory object does not match; Length and access permissions cannot be changed`,
      stage: 'owners',
      errnos: ['ENXIO'],
      when: (call) => mismatches(call).includes('differs'),
    }),
    refuses({
      id: 'change-dma-owner/not-shared',
      says: 'The call is refused with ENXIO when the memory of a mapping is not mapped shared in both processes, be it the same process or because nothing is mapped there.',
      source: `${POSTED}: ENXIO: or is not shared; the object must be mapped shared`,
      stage: 'owners',
      errnos: ['ENXIO'],
      when: (call) => mismatches(call).includes('not-shared'),
    }),
    refuses({
      id: 'change-dma-owner/limit',
      says: 'The call is refused with ENOMEM when all that the caller would be charged takes it beyond its RLIMIT_MEMLOCK, unless it has CAP_IPC_LOCK; what it owns already counts once.',
      source: `${POSTED}: ENOMEM: Out of memory, or RLIMIT_MEMLOCK is too low`,
      stage: 'memory',
      errnos: ['ENOMEM'],
      when: (call) => exceedsLimit(call.law, call.caller, charge(call), call.pageSize),
    }),
  ];
};

/** The clauses of a form: its call, what both forms say of it, and what is left of a call that was refused. */
export const clausesOf = <S extends ChangeCall>(to: Request<IommuFile, S>, leaves?: (call: S) => void) => [
  to,
  CHARGES_NEW,
  GIVES_BACK,
  TRANSLATES,
  ALL_OR_NOTHING,
  ...objectionsOf(to, leaves),
];
