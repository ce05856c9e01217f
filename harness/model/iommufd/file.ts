import type { Platform } from '../../program/platform.ts';
import { answerRequest, refusalOf, stagesInForce } from '../answer.ts';
import type { Law } from '../law.ts';
import type { Answer } from '../outcome.ts';
import type { Files, IoctlCall, KernelFile } from '../world/kernel-file.ts';
import { markContext } from './cdev/state.ts';
import { closeIommufd } from './compat/membership.ts';
import { UNKNOWN_REQUEST } from './compat/requests.ts';
import { FRAMING, framed, OPENS, requestOf } from './framing.ts';
import type { Context } from './state.ts';
import { backingOf } from './viommu/memory.ts';

const PATH = '/dev/iommu';
/** Requests below are those of a VFIO container, which /dev/iommu takes as well. */
const FIRST_COMMAND = 0x3b80n;

/** The file of IOMMUFD, on a platform that has it. */
export const iommufdFiles = (law: Law, platform: Platform): Files => {
  const clause = law.of(OPENS);
  const users = new Map<number, number>();
  return (path) => {
    if (path !== PATH) return undefined;
    return ({ uid }) =>
      uid === 0
        ? { opens: () => iommufdFile(clause.rule(law, platform, users)), clauses: [clause] }
        : { unspecified: 'who may open this file is for the system to say' };
  };
};

const iommufdFile = (context: Context): KernelFile => {
  const { law } = context;
  const framing = stagesInForce(law, FRAMING);
  const file: KernelFile = {
    kind: 'iommufd',
    release: () => closeIommufd(context),
    backing: (request) =>
      context.unclear === undefined ? backingOf(context, request) : { kind: 'unspecified', why: context.unclear },
    ioctl: (call): Answer => {
      if (call.request < FIRST_COMMAND) return answerContainer(context, call);
      const frame = framed(context, call);
      for (const stage of framing) {
        const refusal = refusalOf(stage, frame);
        if (refusal !== undefined) return refusal;
      }
      if (context.unclear !== undefined) return { unspecified: context.unclear };
      const provision = law.provision('iommufd', requestOf(context, call));
      return provision === undefined
        ? notStated(context, 'nothing defines this command')
        : answerRequest(provision, context, call);
    },
  };
  markContext(file, context);
  return file;
};

/** A request of a VFIO container. */
const answerContainer = (context: Context, call: IoctlCall): Answer => {
  const { law } = context;
  const provision = law.provision('iommufd', call.request);
  if (provision !== undefined) return answerRequest(provision, context, call);
  const refusal = refusalOf([law.of(UNKNOWN_REQUEST)], { context, request: call.request });
  return refusal ?? { unspecified: 'nothing defines this request' };
};

/** A command that may have made objects that the model does not know: from then on it cannot say what has which id. */
const notStated = (context: Context, unspecified: string): Answer => ({
  unspecified,
  commit() {
    context.unclear = 'a command before it may have made objects that are not stated';
  },
});
