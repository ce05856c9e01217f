import { expect } from 'chai';
import type { Platform } from '../program/platform.ts';
import { parseProgram } from '../program/text.ts';
import type { Case } from './case.ts';
import { MODEL_PLATFORM } from './model-platform.ts';
import { createSession } from './session.ts';

const caseOf = (text: string): Case => ({
  id: 'container/open: it',
  clause: 'container/open',
  title: 'it',
  steps: parseProgram(`let group0 a\nlet group1 a\nlet emulated0 a\nlet device0 a\n${text}`).steps,
  expectations: [],
  needs: [],
});

const without = (leave: (name: string) => boolean, absent?: string): Platform => ({
  ...MODEL_PLATFORM,
  iommu: { ...MODEL_PLATFORM.iommu, ...(absent === undefined ? {} : { absent }) },
  groups: MODEL_PLATFORM.groups.filter(({ name }) => !leave(name)),
});

/** The record of a case that must not come to a model. */
const recordOf = async (text: string, platform: Platform, unfit?: string) => {
  const one = caseOf(text);
  const session = createSession({
    inForce: () => true,
    retakenSince: () => new Set(),
    makeModel: () => expect.fail('the case was tried'),
    platform,
    hosts: () => [],
    unfit: () => unfit,
    deadlines: { stepMs: 1, programMs: 1 },
    known: [],
  });
  session.add(one);
  return session.run(one);
};

const hardware = (name: string): boolean => name.startsWith('group');
const GROUP = 'main open group $group0';
const rows: readonly [what: string, text: string, platform: Platform, unfit: string | undefined, reason: string][] = [
  ['no group', GROUP, without(hardware), undefined, 'the host has no usable IOMMU group'],
  ['no group, and it is known why', GROUP, without(hardware, 'it has no IOMMU'), undefined, 'it has no IOMMU'],
  [
    'no device',
    'main open group /dev/vfio/2\nmain ioctl group 0x3b6a [$device0,00] to=device',
    without(hardware),
    undefined,
    'the host has no usable IOMMU group',
  ],
  [
    'one group in place of two',
    `${GROUP}\nmain open other $group1`,
    without((name) => name === 'group1'),
    undefined,
    'the host has only one usable IOMMU group',
  ],
  [
    'no emulated group',
    'main open group $emulated0',
    without((name) => name.startsWith('emulated')),
    undefined,
    'the host has no emulated device (test module vfio-emulated)',
  ],
  [
    'nothing that isolates interrupts',
    GROUP,
    { ...MODEL_PLATFORM, iommu: { ...MODEL_PLATFORM.iommu, isolatesMsi: false } },
    undefined,
    'VFIO refuses groups here: nothing isolates interrupts (vfio_iommu_type1.allow_unsafe_interrupts=1 lets it do without)',
  ],
  ['a kernel that cannot be given the IOMMU', 'main fds', MODEL_PLATFORM, 'it has no driver', 'it has no driver'],
];

describe('what a case needs of a host', () => {
  for (const [what, text, platform, unfit, reason] of rows) {
    it(`does not try a case where there is ${what}`, async () => {
      const { verdict, reason: found } = await recordOf(text, platform, unfit);
      expect([verdict, found]).to.deep.equal(['unsupported', reason]);
    });
  }
});
