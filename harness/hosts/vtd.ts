/**
 * What an Intel IOMMU can translate, from its capability registers as sysfs shows them. Register fields are those of the
 * VT-d specification (Capability Register, Extended Capability Register); what Linux makes of them is what
 * drivers/iommu/intel/iommu.c of 6.1 does for the domains that VFIO asks for, which use second-stage tables.
 */

/** The two registers of one IOMMU: /sys/class/iommu/dmar0/intel-iommu/{cap,ecap}, hex without 0x. */
export interface VtdRegisters {
  readonly cap: bigint;
  readonly ecap: bigint;
}

const field = (register: bigint, shift: bigint, bits: bigint): bigint => (register >> shift) & ((1n << bits) - 1n);

/**
 * Bits of an address that it translates. CAP.SAGAW (bits 12:8) has one bit for each number of table levels, bit n for
 * 30 + 9n bits (39, 48, 57); the widest is taken, but no more than CAP.MGAW (bits 21:16, one less than the width).
 */
export const addressBits = ({ cap }: VtdRegisters): number => {
  const sagaw = field(cap, 8n, 5n);
  const mgaw = Number(field(cap, 16n, 6n)) + 1;
  for (let levels = 3; levels >= 0; levels--) {
    if ((sagaw >> BigInt(levels)) & 1n) return Math.min(30 + 9 * levels, mgaw);
  }
  return 0;
};

/**
 * Page sizes that it maps, one bit each. CAP.SLLPS (bits 37:34) has bit 0 for 2 MiB and bit 1 for 1 GiB; Linux takes the
 * largest that all IOMMUs of the machine have for the number of large sizes there are, so 1 GiB brings 2 MiB with it.
 */
export const pageSizes = (all: readonly VtdRegisters[]): bigint => {
  const large = all.reduce((common, { cap }) => common & field(cap, 34n, 4n), 0b11n);
  const base = 0x1000n;
  if (large >= 0b10n) return base | 0x200000n | 0x40000000n;
  return large === 0b01n ? base | 0x200000n : base;
};

/** ECAP.SC (bit 7): it can force accesses to be snooped, so that a device's no-snoop has no effect. */
export const controlsSnooping = ({ ecap }: VtdRegisters): boolean => field(ecap, 7n, 1n) === 1n;

/** ECAP.IR (bit 3): it can remap interrupts. */
export const remapsInterrupts = ({ ecap }: VtdRegisters): boolean => field(ecap, 3n, 1n) === 1n;

/** ECAP.SMTS, FLTS and SLTS (bits 43, 47, 46): scalable mode without second-stage tables, where other limits hold. */
export const hasFirstStageOnly = ({ ecap }: VtdRegisters): boolean =>
  field(ecap, 43n, 1n) === 1n && field(ecap, 47n, 1n) === 1n && field(ecap, 46n, 1n) === 0n;
