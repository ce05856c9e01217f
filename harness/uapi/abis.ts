/** The ABIs of Linux that layouts are told for. */
import type { Abi } from './layout.ts';

export const X86_64: Abi = { name: 'x86-64', pointerBytes: 8, maxAlignment: 8, byteOrder: 'little' };
export const I386: Abi = { name: 'i386', pointerBytes: 4, maxAlignment: 4, byteOrder: 'little' };
const X32: Abi = { name: 'x32', pointerBytes: 4, maxAlignment: 8, byteOrder: 'little' };
const ARM64: Abi = { name: 'arm64', pointerBytes: 8, maxAlignment: 8, byteOrder: 'little' };
const ARMV7: Abi = { name: 'armv7', pointerBytes: 4, maxAlignment: 8, byteOrder: 'little' };
const RISCV64: Abi = { name: 'riscv64', pointerBytes: 8, maxAlignment: 8, byteOrder: 'little' };
const PPC64LE: Abi = { name: 'ppc64le', pointerBytes: 8, maxAlignment: 8, byteOrder: 'little' };
const S390X: Abi = { name: 's390x', pointerBytes: 8, maxAlignment: 8, byteOrder: 'big' };

/** The reference first: the machine that most of the project's facts were seen on. */
export const ABIS: readonly Abi[] = [X86_64, I386, X32, ARM64, ARMV7, RISCV64, PPC64LE, S390X];
