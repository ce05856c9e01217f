import { objection } from '../../model/clauses.ts';
import { MEDIATOR_CLAUSES, POSTED } from '../../model/mediate-ops/clauses.ts';
import { HOOK_CLAUSES } from '../../model/mediate-ops/hooks.ts';
import { isOffered, lastDecline, offer } from '../../model/mediate-ops/opening.ts';
import { GET_DEVICE } from '../../model/type1/device-open.ts';
import { MEDIATED_REGION_CLAUSES } from './region-info.ts';

/** The call that opens a device, with the mediators asked before its descriptor is made. */
const GET_MEDIATED_DEVICE: typeof GET_DEVICE = {
  ...GET_DEVICE,
  stages: [...GET_DEVICE.stages, 'mediation'],
  // Where every mediator declines it is for this clause to say what comes of it.
  returnedBy: (call) => (lastDecline(call) === undefined ? GET_MEDIATED_DEVICE : call.vfio.law.of(DECLINED)),
  effect: (call) => {
    const { vfio, device } = call;
    const offered = isOffered(vfio.law, device);
    GET_DEVICE.effect?.(call);
    if (offered) offer(vfio, device);
  },
};

/** A device that every mediator declines. */
export const DECLINED = objection(GET_MEDIATED_DEVICE, {
  id: 'mediate-ops/declined',
  level: 'must',
  says: 'A device that no mediator takes is opened without one.',
  source: `${POSTED}: mediate_ops->open() is called "to check whether a vendor driver supports mediating this device"`,
  stage: 'mediation',
  errnos: ['ENODEV'],
  when: () => false,
});

/** What both forms are about; the posted one states some of it otherwise. */
export const MEDIATE_OPS_CLAUSES = [
  ...MEDIATOR_CLAUSES,
  GET_MEDIATED_DEVICE,
  DECLINED,
  ...MEDIATED_REGION_CLAUSES,
  ...HOOK_CLAUSES,
];
