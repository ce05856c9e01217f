import type { HostClass } from './classes.ts';
import { type Matrix, makePlan, type Plan } from './plan.ts';

/** Made-up plans for the tests of this room and of the commands. */

export const LAB: HostClass = {
  name: 'vtd',
  features: ['vtd', 'sriov'],
  hosts: [
    { name: 'spr1', host: 'ssh:spr1', devices: ['0000:3b:00.0', '0000:3b:00.1'] },
    { name: 'spr2', host: 'ssh:root@spr2', devices: ['0000:17:00.0'] },
  ],
};
export const VM: HostClass = { name: 'vm', features: [], host: 'vm' };

/** Two kernels on two classes; `map` and `vaddr` everywhere, `nesting-cap` for one of the revisions alone. */
export const MATRIX: Matrix = {
  version: '0.1.0',
  kernels: [
    { kernel: '6.1', revision: 'linux-6.1' },
    { kernel: 'nesting-cap/posted', revision: 'nesting-cap/reviewed' },
  ],
  classes: [VM, LAB],
  suitesOf: (revision) => (revision === 'linux-6.1' ? ['map', 'vaddr'] : ['map', 'nesting-cap', 'vaddr']),
  options: ['--grep', 'a b', '--timeout', '10m'],
};

export const aPlan = (differs: Partial<Matrix> = {}): Plan => makePlan({ ...MATRIX, ...differs });
