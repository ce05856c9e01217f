import type { Platform } from '../../program/platform.ts';
import { answerRequest, refusalOf } from '../answer.ts';
import type { Law } from '../law.ts';
import type { Answer } from '../outcome.ts';
import type { Files, KernelFile } from '../world/kernel-file.ts';
import { markContext } from './cdev/state.ts';
import { FRAMING, framed, OPENS, requestOf } from './framing.ts';
import { settle } from './pinned.ts';
import type { Context } from './state.ts';

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
  const framing = FRAMING.map((stage) => stage.map((one) => law.of(one)));
  const file: KernelFile = {
    kind: 'iommufd',
    release: () => {
      context.objects.clear();
      settle(context);
    },
    ioctl: (call): Answer => {
      if (call.request < FIRST_COMMAND)
        return { unspecified: 'what a VFIO container takes is not stated for /dev/iommu yet' };
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

/** A command that may have made objects that the model does not know: from then on it cannot say what has which id. */
const notStated = (context: Context, unspecified: string): Answer => ({
  unspecified,
  commit() {
    context.unclear = 'a command before it may have made objects that are not stated';
  },
});
