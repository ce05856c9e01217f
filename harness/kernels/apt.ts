/** Asks the machine's package manager for kernel packages, without root and without installing anything. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { WantedPackage } from './manifest.ts';
import { needProgram } from './requirements.ts';

/** A package of an archive. */
export interface ArchivedPackage {
  readonly name: string;
  readonly version: string;
  /** Of the .deb file, as the archive's signed index says; hex. */
  readonly sha256: string;
}

/** Options that every apt command is given: none for the machine's own view, or those of folders of our own. */
export type AptView = readonly string[];

/** What does not wait for ever, and does not complain that a folder of ours is not readable for apt's own user. */
const PATIENCE = ['-o', 'Acquire::Retries=2', '-o', 'Acquire::http::Timeout=30', '-o', 'APT::Sandbox::User=root'];

const ask = async (program: 'apt-get' | 'apt-cache', view: AptView, words: readonly string[], cwd?: string) =>
  execa(await needProgram(program), ['-q', ...PATIENCE, ...view, ...words], {
    reject: false,
    all: true,
    timeout: 900_000,
    env: { LC_ALL: 'C' },
    ...(cwd === undefined ? {} : { cwd }),
  });

/** The one line of what apt printed that says why it failed. */
const complaint = (printed: string, otherwise: string): string => {
  const lines = printed.split('\n').map((line) => line.trim());
  const said = lines.find((line) => line.startsWith('E:')) ?? lines.find((line) => /^(Err|W):/.test(line));
  return (said ?? otherwise).slice(0, 300);
};

/**
 * The package to take: the pinned one, or the newest of its form when the archive does not have that any more, or
 * `undefined` when this view knows none.
 */
export const choosePackage = async (view: AptView, wanted: WantedPackage): Promise<ArchivedPackage | undefined> => {
  const { pin } = wanted;
  const pinned = await show(view, `${pin.package}=${pin.version}`);
  if (pinned !== undefined) {
    if (pinned.sha256 === pin.sha256) return pinned;
    throw new HostTrouble(
      `the archive's ${pin.package} ${pin.version} has SHA-256 ${pinned.sha256}, expected ${pin.sha256}: check where this machine gets its packages from`,
    );
  }
  const { stdout } = await ask('apt-cache', view, ['pkgnames', /^[a-z0-9]*/.exec(wanted.form)?.[0] ?? '']);
  const form = new RegExp(`^(?:${wanted.form})$`, 'v');
  const names = stdout.split('\n').filter((name) => form.test(name));
  for (const name of names.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))) {
    const found = await show(view, name);
    if (found !== undefined) return found;
  }
  return undefined;
};

/** What the archive's index says of a package (`NAME` or `NAME=VERSION`); `undefined` if it cannot be downloaded. */
const show = async (view: AptView, name: string): Promise<ArchivedPackage | undefined> => {
  const { stdout, exitCode } = await ask('apt-cache', view, ['show', '--no-all-versions', name]);
  const field = (key: string): string | undefined => new RegExp(`^${key}: (\\S+)$`, 'm').exec(stdout)?.[1];
  const [found, version, sha256] = [field('Package'), field('Version'), field('SHA256')];
  if (exitCode !== 0 || found === undefined || version === undefined || sha256 === undefined) return undefined;
  return { name: found, version, sha256 };
};

/** Downloads a package into a folder. Throws HostTrouble with apt's own reason. */
export const download = async (view: AptView, wanted: ArchivedPackage, folder: string): Promise<void> => {
  const result = await ask('apt-get', view, ['download', `${wanted.name}=${wanted.version}`], folder);
  if (result.exitCode === 0) return;
  throw new HostTrouble(
    `cannot download ${wanted.name} ${wanted.version}: ${complaint(result.all, result.shortMessage ?? 'apt-get failed')} (check the network and the package sources, run apt-get update, try again)`,
  );
};

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * A view of other Debian suites than the machine's own, kept in folders of ours: from the same mirrors that the machine
 * uses. Nothing of the machine's own package state is touched. Throws HostTrouble with apt's own reason.
 */
export const viewOfSuites = async (base: AptView, suites: readonly string[], folder: string): Promise<AptView> => {
  const mirrors = await machineMirrors(base);
  const lines = suites.map((suite) => {
    const mirror = suite.endsWith('-security') ? mirrors.security : mirrors.debian;
    return `deb [signed-by=${KEYRING}] ${mirror} ${suite} main\n`;
  });
  const inside = (name: string): string => join(folder, name);
  for (const name of ['sources', 'lists/partial', 'cache/archives/partial'])
    await mkdir(inside(name), { recursive: true });
  await writeFile(inside('sources/suites.list'), lines.join(''));
  const view = [
    ...base,
    ...['-o', 'Dir::Etc::SourceList=/dev/null', '-o', `Dir::Etc::SourceParts=${inside('sources')}`],
    ...['-o', `Dir::State::Lists=${inside('lists')}`, '-o', `Dir::Cache=${inside('cache')}`],
  ];
  const result = await ask('apt-get', view, ['update', '--error-on=any']);
  if (result.exitCode === 0) return view;
  throw new HostTrouble(
    `cannot read the package lists of ${suites.join(', ')}: ${complaint(result.all, 'apt-get update failed')} (check the network and the package sources, try again)`,
  );
};

/** Where the machine gets Debian packages from; Debian's own address where it says nothing. */
const machineMirrors = async (base: AptView): Promise<{ readonly debian: string; readonly security: string }> => {
  const { stdout } = await ask('apt-get', base, ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  const uris = stdout.split('\n').filter((uri) => /^https?:\/\/[!-~]+$/.test(uri));
  return {
    debian: uris.find((uri) => /\/debian\/?$/.test(uri)) ?? 'http://deb.debian.org/debian',
    security: uris.find((uri) => /\/debian-security\/?$/.test(uri)) ?? 'http://deb.debian.org/debian-security',
  };
};
