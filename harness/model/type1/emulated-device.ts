import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import { type Emulated, timesHeld } from './emulated-state.ts';
import { unpin } from './pin.ts';
import type { Container, Mapping } from './state.ts';

/* What a device of the test module does with the pages that it holds; the kernel tells it when mappings end. */

/** Whether devices are told that a mapping ends. */
const TELLS_DEVICES = rule<(mapping: Mapping) => boolean>({
  id: 'pin/unmap-tells-devices',
  level: 'must',
  says: 'Before a mapping ends of which pages are pinned every open device of the container without an IOMMU is told its IOVA and size, once, and has to let go of what it pinned there; only then the call returns. Of a mapping without pinned pages nobody is told.',
  source:
    'vfio_notify_dma_unmap() and the comment on it, drivers/vfio/vfio_iommu_type1.c; include/linux/vfio.h: dma_unmap',
  rule: ({ pins }) => pins.size > 0,
});

/** Lets go of a page as often as it says. `page` is the page of IOVA. */
export const letGo = (
  law: Law,
  emulated: Emulated,
  container: Container | undefined,
  page: bigint,
  times: number,
): void => {
  const held = emulated.held.get(page);
  if (held === undefined) return;
  held.times -= times;
  if (held.times === 0) emulated.held.delete(page);
  const pageSize = BigInt(emulated.window.pageSize);
  const mapping = container?.iommu?.mappings.containing(page * pageSize);
  if (mapping !== undefined) unpin(law, mapping, Number(page - mapping.start / pageSize), times);
};

/** Lets go of everything: the device was told to, or closed. */
export const letGoOfAll = (law: Law, emulated: Emulated, container: Container | undefined): void => {
  for (const [page, { times }] of [...emulated.held]) letGo(law, emulated, container, page, times);
};

/** Tells the devices of a container that a mapping is about to end; they let go of its pages. */
export const tellDevices = (law: Law, container: Container, mapping: Mapping): void => {
  if (!law.of(TELLS_DEVICES).rule(mapping)) return;
  for (const { devices } of container.groups) {
    for (const { emulated, opened } of devices) {
      if (emulated !== undefined && opened > 0) unmapped(law, emulated, container, mapping);
    }
  }
};

const unmapped = (law: Law, emulated: Emulated, container: Container, { start, end }: Mapping): void => {
  const before = timesHeld(emulated);
  const pageSize = BigInt(emulated.window.pageSize);
  for (const [page, { times }] of [...emulated.held]) {
    if (page * pageSize >= start && page * pageSize < end) letGo(law, emulated, container, page, times);
  }
  const { count, pins } = emulated.unmaps;
  emulated.unmaps = {
    count: count + 1n,
    iova: start,
    size: end - start,
    pins: pins + BigInt(before - timesHeld(emulated)),
  };
};

export const EMULATED_DEVICE_CLAUSES = [TELLS_DEVICES];
