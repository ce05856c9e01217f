import type { IommuProfile } from '../hosts/iommu-profiles.ts';
import type { Platform } from '../program/platform.ts';

/**
 * The platform that the model assumes where no host is asked and no IOMMU is named: that of the VM host (two edu devices, each in a group of
 * its own, behind an emulated VT-d of 39 bits).
 */
export const MODEL_PLATFORM: Platform = {
  pageSizeBytes: 4096,
  iommu: {
    kind: 'intel',
    aperture: { start: 0n, end: 0x7fffffffffn },
    pageSizes: 0x40201000n,
    enforcesCacheCoherency: false,
    isolatesMsi: true,
    registers: { cap: 0xd2008c22260286n, ecap: 0xf00f4an },
  },
  groups: [
    ...[0, 1].map((index) => ({
      name: `group${index}`,
      path: `/dev/vfio/${index}`,
      devices: [
        {
          name: `device${index}`,
          address: `0000:00:0${index + 4}.0`,
          kind: 'edu' as const,
          cdev: `/dev/vfio/devices/vfio${index}`,
          dmaMask: 0xffff_ffff_ffff_ffffn,
        },
      ],
      reserved: [{ start: 0xfee00000n, end: 0xfeefffffn }],
    })),
    ...[0, 1].map((index) => ({
      name: `emulated${index}`,
      path: `/dev/vfio/${index + 2}`,
      devices: [
        {
          name: `emulated${index}-device`,
          address: `vfio-emulated.${index}`,
          kind: 'emulated' as const,
          ...(index === 0 ? { logging: 'reported' as const } : {}),
          cdev: `/dev/vfio/devices/vfio${index + 2}`,
        },
      ],
      reserved: [],
      emulated: true as const,
    })),
  ],
  dmaEntryLimit: 65535,
  iommufd: true,
  testModules: ['vfio_emulated', 'iova_bitmap_test', 'mediator_test', 'iommufd_mock', 'failslab'],
};

/** The same with the IOMMU that guests of a profile are expected to have. */
export const modelPlatform = (profile: IommuProfile | undefined): Platform => {
  if (profile === undefined) return MODEL_PLATFORM;
  const { reserved, ...iommu } = profile.expected;
  const emulated = MODEL_PLATFORM.groups.filter((group) => group.emulated === true);
  if (profile.device === undefined) {
    const absent = `the guest has no IOMMU (--iommu ${profile.name})`;
    return { ...MODEL_PLATFORM, iommu: { ...iommu, absent }, groups: emulated };
  }
  const others = MODEL_PLATFORM.groups.filter((group) => group.emulated !== true);
  return { ...MODEL_PLATFORM, iommu, groups: [...others.map((group) => ({ ...group, reserved })), ...emulated] };
};
