import { cacheFolder } from '../../kernels/cache.ts';
import { kernelNamed, kernelWithPatches, prepareKernel } from '../../kernels/choice.ts';
import { UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';

export const kernel: Command = {
  name: 'kernel',
  summary: 'Gets or builds a kernel, its patched VFIO modules and test modules, as a run would.',
  usage: 'build [NAME...] [OPTIONS]',
  about:
    "For a kernel of the archive, only Linux's drivers/vfio is built, against the headers package; one that is built from\nsource is built whole, with the patches. Both are kept in the cache. A patch's makefiles run on this machine: build only\nwhat you would run.",
  options: [
    { name: 'patches', value: 'PATH', says: 'your own series: a folder of patches, a mailbox or one file' },
    { name: 'base', value: 'NAME', says: 'kernel that --patches are for (default 6.1)' },
  ],
  examples: [
    ['vfio-conform kernel build nesting-cap/posted nesting-cap/reviewed', 'both forms of a series'],
    ['vfio-conform kernel build --patches v3.mbox --base 6.1', 'does my series apply and compile?'],
  ],
  run: async (given) => {
    for (const choice of await choices(given)) {
      const { kernel, patchesApplied, modules, notes } = await prepareKernel(choice, cacheFolder());
      console.log(`${choice.name}: Linux ${kernel.release}`);
      for (const name of patchesApplied) console.log(`  applied  ${name}`);
      for (const path of modules) console.log(`  module   ${path}`);
      for (const note of notes) console.log(`  note     ${note}`);
    }
    return 0;
  },
};

const choices = async (given: Given) => {
  const [verb, ...names] = given.words;
  if (verb !== 'build') throw new UsageTrouble('kernel takes one verb: build');
  const patches = given.text('patches');
  if ((patches === undefined) === (names.length === 0)) {
    throw new UsageTrouble('kernel build takes names of kernels (see list kernels), or --patches');
  }
  return patches === undefined
    ? Promise.all(names.map(kernelNamed))
    : [await kernelWithPatches(patches, given.text('base') ?? '6.1')];
};
