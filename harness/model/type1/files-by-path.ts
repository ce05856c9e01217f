import type { Objection } from '../clauses.ts';
import type { Files, OpenAnswer } from '../world/kernel-file.ts';
import { OPENS_CONTAINER } from './container.ts';
import { containerFile } from './container-file.ts';
import { OPEN_ONCE, OPENS } from './group.ts';
import { groupFile } from './group-file.ts';
import { PARAMETER_SETS, PARAMETER_SHOWS } from './limits.ts';
import { parameterFile } from './parameter-file.ts';
import type { Group, Vfio } from './state.ts';

const CONTAINER_PATH = '/dev/vfio/vfio';
const PARAMETER_PATH = '/sys/module/vfio_iommu_type1/parameters/dma_entry_limit';

/** The files that VFIO puts into the file system. What others than root may open is for the system to say, not for VFIO. */
export const vfioFiles = (vfio: Vfio): Files => {
  const groups = new Map(vfio.groups.map((group) => [group.platform.path, group]));
  return (path) => {
    if (path === CONTAINER_PATH) return () => openContainer(vfio);
    if (path === PARAMETER_PATH) return ({ uid }) => (uid === 0 ? openParameter(vfio) : PERMISSIONS);
    const group = groups.get(path);
    return group && (({ uid }) => (uid === 0 ? openGroup(vfio, group) : PERMISSIONS));
  };
};

const PERMISSIONS: OpenAnswer = { unspecified: 'who may open this file is for the system to say' };

const openContainer = (vfio: Vfio): OpenAnswer => {
  const clause = vfio.law.of(OPENS_CONTAINER);
  return { opens: () => containerFile(vfio, clause.rule()), clauses: [clause] };
};

const openGroup = (vfio: Vfio, group: Group): OpenAnswer => {
  const busy = vfio.law
    .all<Objection<Group>>('objection')
    .find(({ to, stage, when }) => to === OPENS.id && stage === OPEN_ONCE.stage && when(group) !== false);
  if (busy !== undefined) return { refused: busy.errnos[0], clauses: [busy] };
  const clause = vfio.law.of(OPENS);
  return {
    opens: () => {
      clause.rule(group);
      return groupFile(vfio, group);
    },
    clauses: [clause],
  };
};

const openParameter = (vfio: Vfio): OpenAnswer => ({
  opens: () => parameterFile(vfio),
  clauses: [vfio.law.of(PARAMETER_SHOWS), vfio.law.of(PARAMETER_SETS)],
});
