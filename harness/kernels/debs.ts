/** Debian packages, unpacked into a folder without installing anything. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { type AptView, type ArchivedPackage, choosePackage, download, viewOfSuites } from './apt.ts';
import type { KernelManifest, WantedPackage } from './manifest.ts';
import { needProgram } from './requirements.ts';

export interface FetchOptions {
  readonly cache: string;
  /** Further options for every apt command. */
  readonly apt?: AptView;
}

/** The packages that are taken as long as the archive has them. */
export const pinned = (packages: readonly WantedPackage[]): readonly ArchivedPackage[] =>
  packages.map(({ pin }) => ({ name: pin.package, version: pin.version, sha256: pin.sha256 }));

/**
 * The packages to take for a manifest. The machine's own package sources are asked first; those of the manifest's suites
 * when they do not have all of it.
 */
export const choosePackages = async (
  { name, suites }: KernelManifest,
  wanted: readonly WantedPackage[],
  { cache, apt = [] }: FetchOptions,
): Promise<{ readonly view: AptView; readonly packages: readonly ArchivedPackage[] }> => {
  const chooseFrom = async (view: AptView): Promise<readonly ArchivedPackage[] | undefined> => {
    const packages: ArchivedPackage[] = [];
    for (const one of wanted) {
      const found = await choosePackage(view, one);
      if (found === undefined) return undefined;
      packages.push(found);
    }
    return packages;
  };
  const own = await chooseFrom(apt);
  if (own !== undefined) return { view: apt, packages: own };
  const view = await viewOfSuites(apt, suites, join(cache, 'apt', name));
  const other = await chooseFrom(view);
  if (other !== undefined) return { view, packages: other };
  const forms = wanted.map(({ form }) => form).join(' and ');
  throw new HostTrouble(
    `no package source has a package of the form ${forms}: correct fixtures/kernels/${name}.yaml (suites: ${suites.join(', ')})`,
  );
};

/** Downloads packages, holds them against their checksums and unpacks them, one over the other, to `root`. */
export const unpackPackages = async (
  view: AptView,
  packages: readonly ArchivedPackage[],
  root: string,
): Promise<void> => {
  const debs = `${root}.debs`;
  await mkdir(debs);
  for (const wanted of packages) {
    await download(view, wanted, debs);
    const [deb] = await readdir(debs);
    if (deb === undefined) throw new HostTrouble(`apt-get download left no file of ${wanted.name}: try again`);
    await checkDeb(join(debs, deb), wanted);
    await unpackDeb(join(debs, deb), root);
    await rm(join(debs, deb));
  }
  await rm(debs, { recursive: true });
};

const checkDeb = async (deb: string, wanted: ArchivedPackage): Promise<void> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(deb), hash);
  const found = hash.digest('hex');
  if (found === wanted.sha256) return;
  throw new HostTrouble(
    `${wanted.name} ${wanted.version} came with SHA-256 ${found}, expected ${wanted.sha256}: try again, or another mirror`,
  );
};

const unpackDeb = async (deb: string, root: string): Promise<void> => {
  const result = await execa(await needProgram('dpkg-deb'), ['-x', deb, root], { reject: false, timeout: 600_000 });
  if (result.exitCode === 0) return;
  const [reason] = (result.stderr || result.shortMessage || '').split('\n');
  throw new HostTrouble(`cannot unpack a kernel package: ${reason} (is there space left for 500 MB?)`);
};
