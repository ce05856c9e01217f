/** For tests that need programs of the machine. */
import { skipBecause } from '../testing.ts';
import { findProgram, REQUIREMENTS } from './requirements.ts';

/** Skips the test, or its suite, where one of these programs or files of the table of requirements is missing. */
export const skipWithout = async (context: Mocha.Context, ...programs: readonly string[]): Promise<void> => {
  for (const program of programs) {
    if ((await findProgram(program)) !== undefined) continue;
    const debianPackage = REQUIREMENTS.find((one) => one.program === program)?.debianPackage;
    skipBecause(context, `${program} is not here${debianPackage === undefined ? '' : ` (Debian: ${debianPackage})`}`);
  }
};

/** What kernels with patches are built from. */
export const KERNEL_SOURCES = [
  '/usr/src/linux-source-6.1.tar.xz',
  '/usr/src/linux-headers-6.1.0-56-amd64/Makefile',
] as const;
