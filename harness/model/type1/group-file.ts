import { answerRequest, refusalOf } from '../answer.ts';
import type { Answer } from '../outcome.ts';
import type { KernelFile } from '../world/kernel-file.ts';
import { UNKNOWN_REQUEST } from './group.ts';
import { closeGroup } from './membership.ts';
import type { Group, Vfio } from './state.ts';

/** The file of a group that was just opened. */
export const groupFile = (vfio: Vfio, group: Group): KernelFile => ({
  kind: 'group',
  ioctl: (call): Answer => {
    const provision = vfio.law.provision('group', call.request);
    if (provision !== undefined) return answerRequest(provision, { vfio, group }, call);
    const refusal = refusalOf([vfio.law.of(UNKNOWN_REQUEST)], { vfio, group, request: call.request });
    return refusal ?? { unspecified: 'nothing defines this request' };
  },
  release: () => closeGroup(vfio, group),
});
