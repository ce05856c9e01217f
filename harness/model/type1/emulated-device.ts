import { rule } from '../clauses.ts';
import type { Law } from '../law.ts';
import { type Emulated, timesHeld, type Unpin } from './emulated-state.ts';
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

/** Gives pages back that a device has from a container. */
export const unpinFrom =
  (law: Law, container: () => Container | undefined, pageSize: bigint): Unpin =>
  (page, times) => {
    const mapping = container()?.iommu?.mappings.containing(page * pageSize);
    if (mapping !== undefined) unpin(law, mapping, Number(page - mapping.start / pageSize), times);
  };

/** Lets go of a page as often as it says. `page` is the page of IOVA. */
export const letGo = ({ held }: Emulated, back: Unpin, page: bigint, times: number): void => {
  const one = held.get(page);
  if (one === undefined) return;
  one.times -= times;
  if (one.times === 0) held.delete(page);
  back(page, times);
};

/** Lets go of everything: the device was told to, or closed. */
export const letGoOfAll = (emulated: Emulated, back: Unpin): void => {
  for (const [page, { times }] of [...emulated.held]) letGo(emulated, back, page, times);
};

/** Tells the devices of a container that a mapping is about to end; they let go of its pages. */
export const tellDevices = (law: Law, container: Container, mapping: Mapping): void => {
  if (!law.of(TELLS_DEVICES).rule(mapping)) return;
  for (const { devices } of container.groups) {
    for (const { emulated, opened } of devices) {
      if (emulated === undefined || opened === 0) continue;
      const pageSize = BigInt(emulated.window.pageSize);
      unmapped(
        emulated,
        unpinFrom(law, () => container, pageSize),
        mapping,
      );
    }
  }
};

/** A device is told that [start, end) ends. */
export const unmapped = (
  emulated: Emulated,
  back: Unpin,
  { start, end }: { readonly start: bigint; readonly end: bigint },
): void => {
  const before = timesHeld(emulated);
  const pageSize = BigInt(emulated.window.pageSize);
  for (const [page, { times }] of [...emulated.held]) {
    if (page * pageSize >= start && page * pageSize < end) letGo(emulated, back, page, times);
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
