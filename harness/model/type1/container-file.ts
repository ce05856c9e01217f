import { answerRequest, refusalOf } from '../answer.ts';
import type { Answer } from '../outcome.ts';
import type { KernelFile } from '../world/kernel-file.ts';
import { DISPATCH_OBJECTIONS } from './container.ts';
import { markContainer } from './group-container.ts';
import { closeContainer } from './membership.ts';
import type { Container, Vfio } from './state.ts';

/** The file of a container. */
export const containerFile = (vfio: Vfio, container: Container): KernelFile => {
  const { law } = vfio;
  const objections = DISPATCH_OBJECTIONS.map((one) => law.of(one));
  const file: KernelFile = {
    kind: 'container',
    ioctl: (call): Answer => {
      const own = law.provision('container', call.request);
      if (own !== undefined) return answerRequest(own, { vfio, container }, call);
      const refusal = refusalOf(objections, { vfio, container, request: call.request });
      if (refusal !== undefined) return refusal;
      const { iommu } = container;
      const passed = law.provision('iommu', call.request);
      if (iommu === undefined || passed === undefined) return { unspecified: 'nothing defines this request' };
      return answerRequest(passed, { vfio, container, iommu }, call);
    },
    release: () => closeContainer(vfio, container),
  };
  markContainer(file, container);
  return file;
};
