import { access, constants } from 'node:fs/promises';
import { buildHelper } from '../../helper/build.ts';
import { cacheFolder } from '../../kernels/cache.ts';
import { ALL_NEEDS, missingRequirements, type Need, REQUIREMENTS } from '../../kernels/requirements.ts';
import { EXIT } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';

/** Without the modules a run skips some cases. */
const FOR_RUNS: readonly Need[] = ['run', 'modules'];
const FOR_SERIES: readonly Need[] = [...FOR_RUNS, 'series'];
const FOR_KERNELS: readonly Need[] = [...FOR_SERIES, 'kernels'];

export const doctor: Command = {
  name: 'doctor',
  summary: 'Says what is missing on this machine, and how to get it.',
  usage: '[OPTIONS]',
  options: [
    { name: 'for-series', says: 'also what kernels with patches need' },
    { name: 'for-kernels', says: 'also what building whole kernels needs' },
    { name: 'for-tests', says: "also what only the project's own tests need" },
    {
      name: 'helper',
      says: 'builds the helper and prints where it is: for VFIO_CONFORM_HELPER on machines without a compiler',
    },
    { name: 'missing-packages', says: 'prints the names of the missing Debian packages and nothing else' },
  ],
  examples: [
    ['vfio-conform doctor', 'is everything here that npm start needs?'],
    ['apt-get install $(vfio-conform doctor --missing-packages --for-tests)', 'gets it'],
  ],
  run: async (given) => {
    if (given.on('helper')) {
      console.log((await buildHelper(cacheFolder())).path);
      return 0;
    }
    const needs = needsOf(given);
    const missing = await missingRequirements(needs);
    const packages = [...new Set(missing.map((one) => one.debianPackage))];
    if (given.on('missing-packages')) {
      if (packages.length > 0) console.log(packages.join(' '));
      return 0;
    }
    for (const one of REQUIREMENTS.filter(({ need }) => needs.includes(need))) {
      const state = missing.includes(one) ? 'MISSING' : 'ok';
      console.log(`${state.padEnd(8)} ${one.program.padEnd(54)} ${one.why} (${one.debianPackage})`);
    }
    console.log(await kvmLine());
    if (packages.length === 0) {
      console.log('Nothing is missing.');
      return 0;
    }
    console.log(`To get what is missing: apt-get install ${packages.join(' ')}`);
    return EXIT.hostTrouble;
  },
};

const needsOf = (given: Given): readonly Need[] => {
  if (given.on('for-tests')) return ALL_NEEDS;
  if (given.on('for-kernels')) return FOR_KERNELS;
  return given.on('for-series') ? FOR_SERIES : FOR_RUNS;
};

/** KVM is not needed; a device that opens may still not boot a guest, which the first run finds out. */
const kvmLine = async (): Promise<string> => {
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  return usable
    ? 'ok       /dev/kvm                                               can be opened; the first run probes whether it boots a guest'
    : 'note     /dev/kvm                                               cannot be opened: guests are emulated, which is slower';
};
