import { expect } from 'chai';
import { splats } from './kernel-log.ts';

const DAMAGE: Readonly<Record<string, string>> = {
  WARN: 'WARNING: CPU: 1 PID: 77 at drivers/vfio/vfio_iommu_type1.c:921 vfio_wait+0x1/0x2 [vfio_iommu_type1]',
  BUG: 'BUG: unable to handle page fault for address: ffffffffc0000000',
  'kernel BUG': 'kernel BUG at mm/slub.c:400!',
  Oops: 'Oops: 0000 [#1] PREEMPT SMP NOPTI',
  UBSAN: 'UBSAN: shift-out-of-bounds in drivers/vfio/vfio_iommu_type1.c:2971:12',
  KASAN: 'BUG: KASAN: slab-use-after-free in vfio_iommu_type1_get_info+0x1/0x2',
  lockdep: 'WARNING: possible circular locking dependency detected',
  GPF: 'general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]',
  'hung task': 'INFO: task helper:99 blocked for more than 120 seconds.',
  refcount: 'refcount_t: underflow; use-after-free.',
  'allocation failure': 'helper: page allocation failure: order:10, mode:0xdc0(GFP_KERNEL|__GFP_ZERO)',
  'slab poison': 'BUG kmalloc-64 (Tainted: G           O      ): Poison overwritten',
};

const EVIDENCE: Readonly<Record<string, string>> = {
  'a blocked DMA':
    'DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x10000 [fault reason 0x05] PTE Write access is not set',
  taint: 'vfio_iommu_type1: loading out-of-tree module taints kernel.',
  'a device coming and going': 'vfio-pci 0000:00:03.0: vfio_bar_restore: reset recovery - restoring BARs',
  'a user limit': 'vfio_pin_pages_remote: Task helper (99) RLIMIT_MEMLOCK (65536) exceeded',
};

describe('kernel log', () => {
  for (const [name, line] of Object.entries(DAMAGE)) {
    it(`takes ${name} for damage and keeps what follows`, () => {
      expect(splats(['nothing', line, 'Call Trace:'])).to.deep.equal([line, 'Call Trace:']);
    });
  }
  for (const [name, line] of Object.entries(EVIDENCE)) {
    it(`does not take ${name} for damage`, () => {
      expect(splats([line])).to.deep.equal([]);
    });
  }
});
