import type { Clause } from '../../spec/clause.ts';
import { errnoName } from '../../uapi/errno.ts';
import { COUNTER, HOOK, SETTING } from '../../uapi/mediator-test.ts';
import { VFIO_PCI_NUM_REGIONS } from '../../uapi/vfio.ts';
import { rule } from '../clauses.ts';
import type { Answer, ByteRule, Outcome } from '../outcome.ts';
import { locate } from '../type1/device-regions.ts';
import type { DeviceFile } from '../type1/files.ts';
import { type Access, interposer } from '../type1/interposer.ts';
import type { FileBacking, MapRequest } from '../world/kernel-file.ts';
import { fails, succeeds } from '../world/replies.ts';
import { OPENS_ONCE, POSTED, REVIEWED } from './clauses.ts';
import { hookFor } from './hook.ts';
import { release } from './opening.ts';
import { hasRegion, type Mediator, slotOf, wordOf } from './state.ts';

/* What mediators do when a device's file is read, written and mapped. */

const PAGE = 4096n;

/** The answer, with something that happens first when it comes to be. */
const after = (answer: Answer, before: () => void): Answer => {
  const both = (commit: (() => void) | undefined) => () => {
    before();
    commit?.();
  };
  if ('unspecified' in answer) return { ...answer, commit: both(answer.commit) };
  const [first, ...others] = answer.allowed.map((outcome) => ({ ...outcome, commit: both(outcome.commit) }));
  return first === undefined ? answer : { allowed: [first, ...others] };
};

const sizeOf = (access: Access): number => ('size' in access ? access.size : access.data.length);

/** The answer, for a clause of ours where one is given: that it is the device's. */
const attributed = (answer: Answer, clause: Clause | undefined): Answer => {
  if ('unspecified' in answer || clause === undefined) return answer;
  const [first, ...others] = answer.allowed.map(
    (outcome): Outcome => ({
      ...outcome,
      clauses: [clause],
      ...(Array.isArray(outcome.out) ? { out: outcome.out.map((rule: ByteRule) => ({ ...rule, clause })) } : {}),
    }),
  );
  return first === undefined ? answer : { allowed: [first, ...others] };
};

/** Reads and writes. */
export const READS_AND_WRITES = interposer({
  id: 'mediate-ops/rw',
  level: 'must',
  says: 'A read or a write that the mediator keeps for itself is answered by it and does not touch the device; with pass-through it goes on to the device.',
  source: `${POSTED}: "if pt=true is rteturned, vfio_pci_rw()/vfio_pci_mmap() will further passthrough this read/write/mmap to physical device, otherwise it just returns without touch physical device"`,
  rw: ({ vfio: { law }, device }, access, through): Answer => {
    const region = locate(access.offset).index;
    const size = sizeOf(access);
    if (region >= VFIO_PCI_NUM_REGIONS || size === 0) return through();
    const words = 'size' in access ? COUNTER.reads : COUNTER.writes;
    const call = hookFor(law, device.mediated, HOOK.rw, words, region);
    if ('passed' in call) return after(attributed(through(), call.by), call.passed);
    const { mediator, called } = call;
    if (!hasRegion(mediator, SETTING.rwKeeps, region)) return after(through(), called);
    return keptAccess(law.of(READS_AND_WRITES), mediator, access, called);
  },
});

const keptAccess = (clause: Clause, mediator: Mediator, access: Access, called: () => void): Answer => {
  const errno = wordOf(mediator, SETTING.rwErrno);
  if (errno !== 0n) return fails(errnoName(Number(errno)), clause, called);
  const size = sizeOf(access);
  const bytes = new Uint8Array(size).fill(Number(wordOf(mediator, SETTING.fill)));
  const out = 'size' in access ? { out: [{ at: 0, bytes, clause }] } : {};
  return succeeds(clause, { ret: BigInt(size), effect: called, ...out });
};

/** Whether a mapping is looked at before the mediator is asked: then only of a region that is there, and shared. */
export const MAPPING_CHECKED = rule<(region: number, share: MapRequest['share']) => boolean>({
  id: 'mediate-ops/mapping-checked',
  level: 'must',
  says: 'A private mapping, or one of no region, is refused with EINVAL before a mediator is asked.',
  source: `${REVIEWED}, of the hook in front of all checks: "Do we really want to call into ops for every rw or mmap, have the vendor code decode a region"`,
  rule: (region, share) => region < VFIO_PCI_NUM_REGIONS && share === 'shared',
});

/** Mappings; and the end of it all, when the device is closed. */
export const MAPPINGS = interposer({
  id: 'mediate-ops/mmap',
  level: 'must',
  says: 'A mapping that the mediator keeps for itself shows what it puts there, or fails with its errno; with pass-through the device is mapped.',
  source: `${POSTED}: "if pt=true is rteturned, vfio_pci_rw()/vfio_pci_mmap() will further passthrough this read/write/mmap to physical device"`,
  maps: ({ vfio: { law }, device }, request, through): FileBacking => {
    const region = locate(request.offset).index;
    const call = hookFor(law, device.mediated, HOOK.mmap, COUNTER.mmaps, region);
    if ('passed' in call) return { ...through(), done: call.passed };
    const { mediator, called } = call;
    const checked = law.of(MAPPING_CHECKED);
    if (!checked.rule(region, request.share)) {
      const word = COUNTER.mmaps + slotOf(region);
      return { kind: 'refused', errno: 'EINVAL', clauses: [checked], done: () => mediator.by.set(word, checked) };
    }
    return hasRegion(mediator, SETTING.mmapKeeps, region)
      ? keptMapping(law.of(MAPPINGS), mediator, request, called)
      : { ...through(), done: called };
  },
});

const keptMapping = (clause: Clause, mediator: Mediator, { size }: MapRequest, called: () => void): FileBacking => {
  const errno = wordOf(mediator, SETTING.mmapErrno);
  if (errno !== 0n) return { kind: 'refused', errno: errnoName(Number(errno)), clauses: [clause], done: called };
  const done = (): void => {
    called();
    const fill = Number(wordOf(mediator, SETTING.fill));
    mediator.page.storeAt(0).store.fill(0, Number(PAGE), fill, clause);
  };
  if (size > PAGE) return { kind: 'unspecified', why: 'one page, shown several times, is not modelled', done };
  return { kind: 'memory', object: mediator.page, from: 0n, done };
};

/** The end of a mediation, with the device's last file. */
export const RELEASES = interposer({
  id: 'mediate-ops/release-once',
  level: 'must',
  source: OPENS_ONCE.source,
  says: 'When the last file of a device is closed its mediator is released, once.',
  closed: (file: DeviceFile) => release(file),
});

/** What is said of a device's file. */
export const HOOK_CLAUSES = [READS_AND_WRITES, MAPPING_CHECKED, MAPPINGS, RELEASES];
