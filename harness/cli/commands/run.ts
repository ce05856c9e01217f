import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type Mocha from 'mocha';
import { modelPlatform } from '../../cases/model-platform.ts';
import { createSession, type MakeModel, type Session } from '../../cases/session.ts';
import type { Host, HostFacts } from '../../hosts/host.ts';
import { DEFAULT_IOMMU, type IommuProfile, iommuProfileNamed } from '../../hosts/iommu-profiles.ts';
import { type KernelChoice, kernelNamed, kernelOfOnesOwn, kernelWithPatches } from '../../kernels/choice.ts';
import { createModel } from '../../model/create-model.ts';
import { type KnownDifference, readKnownDifferences } from '../../oracle/known.ts';
import { openReport, type Report } from '../../report/index.ts';
import { checkIsFree } from '../../report/live.ts';
import { revisionNamed } from '../../revisions/index.ts';
import type { Clause } from '../../spec/clause.ts';
import type { Revision } from '../../spec/revision.ts';
import { inForce, retakenSince } from '../../spec/revision.ts';
import { EXIT, Trouble, UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { inspectBuild } from '../inspect-build.ts';
import { runMatrix } from '../matrix.ts';
import { checkHostRequest, type HostRequest, openHosts } from '../open-host.ts';
import { duration, wholeNumber } from '../options.ts';
import { loadSuites, type Selection } from '../suites.ts';
import { versionOfProject } from '../version.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const DEADLINES = { stepMs: 30_000, programMs: 180_000 };

export const run: Command = {
  name: 'run',
  summary: 'Runs the suites on a kernel and holds it against a revision of the interface.',
  usage: '[OPTIONS]',
  options: [
    {
      name: 'kernel',
      value: 'NAME',
      says: 'kernel that the vm boots (default 6.1; see list kernels), several (6.1,6.12), or the path of an image',
    },
    { name: 'modules', value: 'DIR', says: 'modules of an image of your own: its lib/modules/RELEASE' },
    {
      name: 'patches',
      value: 'PATH',
      says: 'your own series on top of --base: a folder of patches, a mailbox or one file',
    },
    { name: 'base', value: 'NAME', says: 'kernel that --patches are for (default 6.1)' },
    { name: 'revision', value: 'ID', says: "model it is held against (default: the kernel's own; see list revisions)" },
    { name: 'host', value: 'HOST', says: 'vm (default), local, ssh:NAME, or none (cases against the model alone)' },
    { name: 'iommu', value: 'PROFILE', says: 'IOMMU of the vm (default intel-39; see list hosts)' },
    { name: 'device', value: 'ADDRESS', repeatable: true, says: 'PCI device that may be used on local and ssh hosts' },
    { name: 'suite', value: 'AREA', repeatable: true, says: 'only the cases of this area (see list cases)' },
    { name: 'grep', value: 'TEXT', repeatable: true, says: 'only cases whose id contains this text' },
    {
      name: 'report',
      value: 'DIR',
      says: 'folder of the report (default: a new one in reports/, linked as reports/latest)',
    },
    { name: 'known', value: 'FILE', says: "known differences (default: the revision's own file)" },
    {
      name: 'jobs',
      value: 'N',
      says: 'guests that run side by side (default 1); of several kernels, how many at once',
    },
    { name: 'timeout', value: 'TIME', says: 'ends the run after this time: 90s, 15m, 2h (default 1h)' },
  ],
  examples: [
    ['vfio-conform run', 'all suites on Linux 6.1 in a VM'],
    ['vfio-conform run --kernel 6.1,6.12,7.2', 'three kernels, each on its own model, and a table of all'],
    ['vfio-conform run --kernel nesting-cap/posted --revision nesting-cap/reviewed', 'a patch against its review'],
    ['vfio-conform run --patches v3.mbox --base 6.1', 'your own series, built and booted'],
    ["vfio-conform run --grep 'map/overlap: identical'", 'one case'],
    ['vfio-conform run --suite map --suite unmap --report /tmp/report', 'two areas, report elsewhere'],
    ['vfio-conform run --host ssh:lab1 --device 0000:3b:00.0', 'a lab machine, with the one device that may be used'],
  ],
  run: async (given) => {
    const kernels = given.text('kernel')?.split(',') ?? [];
    return kernels.length > 1 ? runOnEach(kernels, given) : runSuites(given);
  },
};

/** The options that a run on several kernels hands on. */
const SHARED = ['iommu', 'suite', 'grep', 'known', 'timeout'] as const;

/** Several kernels: everything is checked before the first one boots. */
const runOnEach = async (kernels: readonly string[], given: Given): Promise<number> => {
  for (const name of ['revision', 'patches', 'base', 'device']) {
    if (given.text(name) !== undefined) throw new UsageTrouble(`--${name} goes with one kernel, not with several`);
  }
  if ((given.text('host') ?? 'vm') !== 'vm') throw new UsageTrouble('several kernels need --host vm');
  if (new Set(kernels).size < kernels.length) throw new UsageTrouble('--kernel names a kernel twice');
  for (const name of kernels) await kernelNamed(name);
  iommuProfileNamed(given.text('iommu') ?? DEFAULT_IOMMU.name);
  const jobs = wholeNumber('jobs', given.text('jobs') ?? '1', 1, 8);
  const args = SHARED.flatMap((name) => given.texts(name).flatMap((text) => [`--${name}`, text]));
  return runMatrix(kernels, given.text('report') ?? newReportFolder(), args, jobs);
};

/** A run from options to exit code. */
const runSuites = async (given: Given): Promise<number> => {
  const request: HostRequest = {
    host: given.text('host') ?? 'vm',
    kernel: await kernelGiven(given),
    devices: given.texts('device'),
    ...(given.text('iommu') === undefined ? {} : { iommu: iommuProfileNamed(given.text('iommu') ?? '') }),
    jobs: wholeNumber('jobs', given.text('jobs') ?? '1', 1, 8),
    say: (line) => console.error(line),
  };
  const revision = revisionNamed(given.text('revision') ?? request.kernel.revision);
  const selection: Selection = { areas: given.texts('suite'), texts: given.texts('grep') };
  const timeoutMs = duration('timeout', given.text('timeout') ?? '1h');
  checkHostRequest(request);
  const known = await knownDifferences(given.text('known'), revision);

  const folder = given.text('report') ?? newReportFolder();
  checkIsFree(folder);

  let hosts: readonly Host[] = [];
  let unfit: string | undefined;
  const clauses: ReadonlyMap<string, Clause> = inForce(revision);
  const session = createSession({
    inForce: (clause) => clauses.has(clause),
    retakenSince: (clause) => retakenSince(revision, clause),
    makeModel: modelOf(revision),
    ...(revision.base === undefined ? {} : { makeBaseModel: modelOf(revision.base) }),
    platform: modelPlatform(request.iommu),
    hosts: () => hosts,
    unfit: () => unfit,
    deadlines: DEADLINES,
    known,
    ...(request.host === 'vm' ? { inspect: inspectBuild(request.kernel, revision) } : {}),
  });
  const end = endings(timeoutMs);
  try {
    ({ hosts, unfit } = await end.unless(openHosts(request)));
    const report = openReport(folder, metaOf(hosts[0] ?? unfit, revision, request.iommu, given), {
      terminal: process.stderr,
      latest: given.text('report') === undefined,
    });
    end.tell(report);
    const mocha = await loadSuites(session, selection, report.reporter);
    await Promise.race([runMocha(mocha), end.reached]);
    return await finish(report, session, hosts);
  } finally {
    end.clear();
    await Promise.all(hosts.map((host) => host.close()));
  }
};

/** Names of series have a slash too, but do not begin like a path. */
const isPath = (kernel: string | undefined): kernel is string => kernel !== undefined && /^\.{0,2}\//.test(kernel);

const modelOf =
  (revision: Revision): MakeModel =>
  (platform, lets) =>
    createModel(revision, platform, lets);

/** What `--kernel`, or `--patches` and `--base`, name. */
const kernelGiven = async (given: Given): Promise<KernelChoice> => {
  const [kernel, patches, base] = [given.text('kernel'), given.text('patches'), given.text('base')];
  const modules = given.text('modules');
  if (isPath(kernel)) {
    if (patches !== undefined) throw new UsageTrouble('--patches goes with --base, not with --kernel');
    return kernelOfOnesOwn({ image: kernel, ...(modules === undefined ? {} : { modules }) });
  }
  if (modules !== undefined) throw new UsageTrouble('--modules goes with the path of a kernel image in --kernel');
  if (patches === undefined) {
    if (base !== undefined) throw new UsageTrouble('--base is for --patches: expected both');
    return kernelNamed(kernel ?? '6.1');
  }
  if (kernel !== undefined) throw new UsageTrouble('--patches goes with --base, not with --kernel');
  return kernelWithPatches(patches, base ?? '6.1');
};

const finish = async (report: Report, session: Session, hosts: readonly Host[]): Promise<number> => {
  const closing = Promise.all(hosts.map((host) => host.close()));
  const { exitCode, summary } = await report.finish({ disappeared: session.disappeared() });
  await closing;
  console.log(summary);
  return exitCode;
};

const runMocha = (mocha: Mocha): Promise<void> => new Promise((resolve) => void mocha.run(() => resolve()));

const EXIT_OF = { signal: EXIT.interrupted, 'time-limit': EXIT.timeLimit } as const;

/** What ends a run early: Ctrl-C, a kill, the time limit. */
const endings = (timeoutMs: number) => {
  let report: Report | undefined;
  let resolveReached = (): void => undefined;
  let early: Trouble | undefined;
  const reached = new Promise<void>((resolve) => {
    resolveReached = resolve;
  });
  const endNow = (why: 'signal' | 'time-limit', reason: string): void => {
    early = new Trouble(EXIT_OF[why], `${reason} before the host was up`);
    report?.interrupt({ why, reason });
    resolveReached();
  };
  const onSignal = (signal: NodeJS.Signals): void => endNow('signal', `interrupted by ${signal}`);
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  const timer = setTimeout(() => endNow('time-limit', 'the time limit of the run passed (--timeout)'), timeoutMs);
  return {
    reached,
    /** From now on the report is told. */
    tell: (opened: Report): void => {
      report = opened;
    },
    /** Waits for something, but not beyond the end. */
    unless: async <T>(work: Promise<T>): Promise<T> => {
      const done = await Promise.race([work.then((value) => ({ value })), reached.then(() => undefined)]);
      if (done === undefined) throw early ?? new Trouble(EXIT.interrupted, 'interrupted');
      return done.value;
    },
    clear: (): void => {
      clearTimeout(timer);
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
};

/** The differences of a file that was named; otherwise of the revision's own file and of those of its bases, where they have one. */
const knownDifferences = async (
  path: string | undefined,
  revision: Revision | undefined,
): Promise<readonly KnownDifference[]> => {
  if (path !== undefined) return readKnownDifferences(path);
  if (revision === undefined) return [];
  const file = join(ROOT, 'fixtures', 'known-differences', `${revision.id.replaceAll('/', '-')}.yaml`);
  const own = existsSync(file) ? await readKnownDifferences(file) : [];
  // What is known of a clause of the base says nothing about another that stands in its place.
  const inherited = await knownDifferences(undefined, revision.base);
  return [...own, ...inherited.filter(({ clause }) => !(clause in revision.clauses))];
};

const newReportFolder = (): string =>
  join(ROOT, 'reports', new Date().toISOString().replace(/[:.]/g, '-').replace('Z', ''));

const metaOf = (
  found: Host | string | undefined,
  revision: Revision,
  profile: IommuProfile | undefined,
  given: Given,
): Parameters<typeof openReport>[1] => {
  const facts = typeof found === 'object' ? found.facts : undefined;
  const without = typeof found === 'string' ? found : 'no host: cases held against the model alone';
  return {
    version: versionOfProject(),
    revision: revision.id,
    kernel: facts?.kernel ?? 'none',
    host: {
      name: facts?.name ?? 'none',
      description: facts?.description ?? without,
      iommu: iommuText((facts?.platform ?? modelPlatform(profile)).iommu),
    },
    arguments: ['kernel', 'modules', 'patches', 'base', 'revision', 'host', 'iommu', 'device', 'known'].flatMap(
      (name) => given.texts(name).flatMap((text) => [`--${name}`, text]),
    ),
  };
};

const iommuText = ({ kind, aperture }: HostFacts['platform']['iommu']): string =>
  kind === 'none' ? 'none' : `${kind}, IOVA 0x${aperture.start.toString(16)}-0x${aperture.end.toString(16)}`;
