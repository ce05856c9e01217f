import { type Holds, rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import type { Run } from '../world/address-space.ts';
import type { Process } from '../world/process.ts';
import type { Mapping, Owner } from './state.ts';

const SOURCE = 'drivers/vfio/vfio_iommu_type1.c';

/** How many pages of what was pinned are charged. */
export const CHARGED_PAGES = rule<(runs: readonly Run[]) => number>({
  id: 'accounting/charged-pages',
  level: 'must',
  says: 'Every page of a mapping counts as locked memory of the process that mapped it, once for each mapping it is in; device registers and the page of zeros count for nobody.',
  source: `vfio_pin_pages_remote(), ${SOURCE}`,
  rule: (runs) => runs.reduce((pages, run) => (run.kind === 'memory' ? pages + run.count : pages), 0),
});

/** Who is charged for what a process maps: the address space that it has then. */
export const CHARGES_CALLER = rule<(caller: Process) => Owner>({
  id: 'accounting/charges-caller',
  level: 'must',
  says: 'A mapping is charged to the process that makes it, whoever opened the container.',
  source: `vfio_dma_do_map(), ${SOURCE}: task, mm and lock_cap are those of the caller`,
  rule: (caller) => ({ process: caller, space: caller.space, exempt: caller.capable('ipc_lock') }),
});

/** Whether a process may lock as much as it likes. */
const EXEMPT = rule<(process: Process) => boolean>({
  id: 'accounting/ipc-lock-exempt',
  level: 'must',
  says: 'A process with CAP_IPC_LOCK may lock more than RLIMIT_MEMLOCK; it is charged all the same.',
  source: `vfio_pin_pages_remote(), vfio_lock_acct(), ${SOURCE}`,
  rule: (process) => process.capable('ipc_lock'),
});

/** Whether so many more locked pages are too many for a limit in pages. */
const LIMIT = rule<(locked: number, more: number, limit: bigint) => boolean>({
  id: 'accounting/limit',
  level: 'must',
  says: 'RLIMIT_MEMLOCK bounds the locked pages of a process, those it had included: exactly the limit fits, one page more does not.',
  source: `vfio_pin_pages_remote(), ${SOURCE}: locked_vm + lock_acct + 1 > limit`,
  rule: (locked, more, limit) => more > 0 && BigInt(locked + more) > limit,
});

/** How many pages the owner of a mapping gets back when it ends. */
const REFUND = rule<(mapping: Mapping) => number>({
  id: 'accounting/refund',
  level: 'must',
  says: 'When a mapping ends (unmapped, its container reset or closed) its owner gets back exactly what was charged for it.',
  source: `vfio_unmap_unpin(), vfio_lock_acct(), ${SOURCE}`,
  rule: ({ charged }) => charged,
});

/** Whether an address space can still be charged and refunded. */
const DEAD_OWNER = rule<(owner: Owner) => boolean>({
  id: 'accounting/dead-owner',
  level: 'must',
  says: 'A mapping outlives the process that made it; when it ends nobody is refunded, and nobody else was charged meanwhile.',
  source: `vfio_lock_acct(), ${SOURCE}: mmget_not_zero()`,
  rule: ({ space }) => space.alive,
});

/** Whether a process would exceed its limit with so many more locked pages; `perhaps` when its limit is not known. */
export const exceedsLimit = (law: Law, process: Process, more: number, pageSize: number): Holds =>
  law.of(EXEMPT).rule(process) ? false : passesLimit(law, process, more, pageSize);

/** The same for the owner of a mapping, whose capability counts that it had when it became so. */
export const ownerExceedsLimit = (law: Law, { process, exempt }: Owner, more: number, pageSize: number): Holds =>
  exempt ? false : passesLimit(law, process, more, pageSize);

const passesLimit = (law: Law, process: Process, more: number, pageSize: number): Holds => {
  if (more === 0) return false;
  const limit = process.limitBytes('memlock');
  if (limit === undefined) return 'perhaps';
  return law.of(LIMIT).rule(process.space.lockedPages, more, limit / BigInt(pageSize));
};

/** Gives the owner of a mapping back what it was charged, if it is still there. */
export const refund = (law: Law, mapping: Mapping): void => {
  const clause = law.of(REFUND);
  if (law.of(DEAD_OWNER).rule(mapping.owner)) mapping.owner.space.uncharge(clause.rule(mapping), clause);
};

export const ACCOUNTING_CLAUSES = [CHARGED_PAGES, CHARGES_CALLER, EXEMPT, LIMIT, REFUND, DEAD_OWNER];
