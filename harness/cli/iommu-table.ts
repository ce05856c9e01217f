/** Which IOMMUs guests of which kernels can have: from what is known of them, or by booting them one after the other. */
import { buildHelper } from '../helper/build.ts';
import { askQemu, factsOf, type KernelFacts, whyUnfit } from '../hosts/iommu-fitness.ts';
import { DEFAULT_IOMMU, type IommuProfile } from '../hosts/iommu-profiles.ts';
import { openVmHost } from '../hosts/vm.ts';
import { cacheFolder } from '../kernels/cache.ts';
import { configurationOf } from '../kernels/compile.ts';
import { symbolsOf } from '../kernels/config.ts';
import { fetchKernel, isCached, type Kernel } from '../kernels/fetch.ts';
import { type KernelManifest, readManifest } from '../kernels/manifest.ts';
import { HostTrouble } from '../trouble.ts';

/** What is known of one kernel with one IOMMU: `works` only where it was booted. */
export interface Pair {
  readonly profile: string;
  readonly kernel: string;
  readonly answer: 'can' | 'cannot' | 'unknown' | 'works' | 'fails';
  readonly why?: string;
}

/** From what is known without booting: QEMU's devices, the kernel's configuration and modules. */
export const pairsOf = async (
  profiles: readonly IommuProfile[],
  kernels: readonly string[],
): Promise<readonly Pair[]> => {
  const cache = cacheFolder();
  const facts = await Promise.all(
    kernels.map(async (name) => [name, await knownOf(await readManifest(name), cache)] as const),
  );
  const devices = new Map<string, ReturnType<typeof askQemu>>();
  const ask: typeof askQemu = (device) => {
    const asked = devices.get(device) ?? askQemu(device);
    devices.set(device, asked);
    return asked;
  };
  return Promise.all(
    facts.flatMap(([kernel, known]) => profiles.map((profile) => pairOf(profile, kernel, known, ask))),
  );
};

const pairOf = async (
  profile: IommuProfile,
  kernel: string,
  known: KernelFacts,
  ask: typeof askQemu,
): Promise<Pair> => {
  const pair = { profile: profile.name, kernel };
  const why = await whyUnfit(profile, known, ask);
  if (why !== undefined) return { ...pair, answer: 'cannot', why };
  if (known.config !== undefined || profile.kernel.config === undefined) return { ...pair, answer: 'can' };
  return { ...pair, answer: 'unknown', why: 'the kernel is not in the cache yet' };
};

/** What is known of a kernel: of one that is to be built, what its configuration asks for. */
const knownOf = async (manifest: KernelManifest, cache: string): Promise<KernelFacts> => {
  if (await isCached(manifest, cache)) return factsOf(await fetchKernel(manifest, { cache }));
  return {
    config: manifest.config === undefined ? undefined : symbolsOf(await configurationOf(manifest)),
    modules: [...manifest.modules, ...manifest.further],
  };
};

/** Boots every pair that nothing is known against and whose kernel is in the cache, one after the other; `tell` is told of each. */
export const probePairs = async (
  profiles: readonly IommuProfile[],
  pairs: readonly Pair[],
  tell: (pair: Pair) => void,
): Promise<readonly Pair[]> => {
  const cache = cacheFolder();
  const found: Pair[] = [];
  for (const pair of pairs) {
    const profile = profiles.find(({ name }) => name === pair.profile);
    const probed =
      pair.answer === 'can' && profile !== undefined
        ? await probe(profile, pair, await readManifest(pair.kernel), cache)
        : pair;
    tell(probed);
    found.push(probed);
  }
  return found;
};

const probe = async (profile: IommuProfile, pair: Pair, manifest: KernelManifest, cache: string): Promise<Pair> => {
  if (!(await isCached(manifest, cache)))
    return { ...pair, answer: 'unknown', why: 'the kernel is not in the cache yet' };
  try {
    const why = await bootedWith(profile, await fetchKernel(manifest, { cache }), cache);
    return why === undefined ? { ...pair, answer: 'works' } : { ...pair, answer: 'fails', why };
  } catch (cause) {
    if (!(cause instanceof HostTrouble)) throw cause;
    return { ...pair, answer: 'fails', why: cause.message };
  }
};

/** Why the guest has not what the profile says, if so. */
const bootedWith = async (profile: IommuProfile, kernel: Kernel, cache: string): Promise<string | undefined> => {
  const host = await openVmHost({ kernel, cache, helper: await buildHelper(cache), iommu: profile });
  try {
    const { absent, kind } = host.facts.platform.iommu;
    if (kind === profile.expected.kind) return undefined;
    return absent ?? `the guest has an IOMMU of the kind ${kind}, not ${profile.expected.kind}`;
  } finally {
    await host.close();
  }
};

/** A line for each profile, a column for each kernel, then the reasons. */
export const tableOf = (profiles: readonly IommuProfile[], pairs: readonly Pair[]): readonly string[] => {
  const kernels = [...new Set(pairs.map(({ kernel }) => kernel))];
  const first = Math.max(...profiles.map(({ name }) => name.length), 'IOMMU'.length);
  const line = (name: string, cells: readonly string[]): string =>
    [name.padEnd(first), ...cells.map((cell, index) => cell.padEnd(Math.max(kernels[index]?.length ?? 0, 7)))]
      .join('  ')
      .trimEnd();
  const answers = (profile: string): readonly string[] =>
    kernels.map((kernel) => pairs.find((one) => one.profile === profile && one.kernel === kernel)?.answer ?? '');
  return [
    line('IOMMU', kernels),
    ...profiles.map(({ name }) => line(name, answers(name))),
    '',
    ...profiles.map(
      (profile) => `${profile.name.padEnd(first)}  ${profile.says}${profile === DEFAULT_IOMMU ? ' (default)' : ''}`,
    ),
    ...reasons(pairs),
  ];
};

/** Each reason once, with the pairs that it holds for. */
const reasons = (pairs: readonly Pair[]): readonly string[] => {
  const told = pairs.filter(({ why }) => why !== undefined);
  const lines = [...new Set(told.map(({ profile, answer, why }) => `${profile}\n${answer}\n${why}`))].map((key) => {
    const [profile, answer, why] = key.split('\n');
    const on = told
      .filter((one) => one.profile === profile && one.answer === answer && one.why === why)
      .map(({ kernel }) => kernel);
    return `${profile} ${answer} on ${on.join(', ')}: ${why}`;
  });
  return lines.length === 0 ? [] : ['', ...lines];
};
