import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type Mocha from 'mocha';
import type { Case } from '../../cases/case.ts';
import type { MakeModel } from '../../cases/check-case.ts';
import { givenCase } from '../../cases/given-program.ts';
import { modelPlatform } from '../../cases/model-platform.ts';
import { createSession, type Session } from '../../cases/session.ts';
import type { Host, HostFacts } from '../../hosts/host.ts';
import { DEFAULT_IOMMU, type IommuProfile, iommuProfileNamed } from '../../hosts/iommu-profiles.ts';
import { type KernelChoice, kernelNamed, kernelOfOnesOwn, kernelWithPatches } from '../../kernels/choice.ts';
import { createModel } from '../../model/create-model.ts';
import { byExpiry } from '../../oracle/known.ts';
import { openReport, type Report } from '../../report/index.ts';
import { checkIsFree } from '../../report/live.ts';
import { revisionNamed } from '../../revisions/index.ts';
import type { Clause } from '../../spec/clause.ts';
import type { Revision } from '../../spec/revision.ts';
import { inForce, lineOf, retakenSince } from '../../spec/revision.ts';
import { HostTrouble, UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { endings } from '../endings.ts';
import { labGiven, repeatingOf } from '../given.ts';
import { inspectBuild } from '../inspect-build.ts';
import { createKernelCounts } from '../kernel-code.ts';
import { knownDifferences } from '../known-differences.ts';
import { runMatrix } from '../matrix.ts';
import { checkHostRequest, type HostRequest, openHosts } from '../open-host.ts';
import { duration, wholeNumber } from '../options.ts';
import { readProgram } from '../read-text.ts';
import { askedOf, checkIsSameRun, type Resumption, readResumption } from '../resume.ts';
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
      says: 'kernel that the vm boots (default 6.1; see list kernels), several (6.1,6.12), or the path of an image; it is deployed to a machine of --hosts that says how',
    },
    { name: 'modules', value: 'DIR', says: 'modules of an image of your own: its lib/modules/RELEASE' },
    {
      name: 'patches',
      value: 'PATH',
      says: 'your own series on top of --base: a folder of patches, a mailbox or one file',
    },
    { name: 'base', value: 'NAME', says: 'kernel that --patches are for (default 6.1)' },
    { name: 'revision', value: 'ID', says: "model it is held against (default: the kernel's own; see list revisions)" },
    {
      name: 'host',
      value: 'HOST',
      says: 'vm (default), local, ssh:NAME, a name of --hosts, or none (cases against the model alone)',
    },
    { name: 'hosts', value: 'FILE', says: 'hosts file that --host names a machine of (see hosts --help)' },
    { name: 'iommu', value: 'PROFILE', says: 'IOMMU of the vm (default intel-39; see list hosts)' },
    { name: 'device', value: 'ADDRESS', repeatable: true, says: 'PCI device that may be used on local and ssh hosts' },
    {
      name: 'suite',
      value: 'AREA',
      repeatable: true,
      says: "only the cases of this area (see list cases); 'pin*': of all areas that begin so",
    },
    {
      name: 'program',
      value: 'FILE',
      repeatable: true,
      says: 'a program of your own (docs/program-format.md), in place of the suites that are not named',
    },
    { name: 'grep', value: 'TEXT', repeatable: true, says: 'only cases whose id contains this text' },
    {
      name: 'report',
      value: 'DIR',
      says: 'folder of the report (default: a new one in reports/, linked as reports/latest)',
    },
    {
      name: 'resume',
      value: 'DIR',
      says: 'goes on with the run whose report is in this folder, as it was asked for: what has a result is not run again',
    },
    { name: 'known', value: 'FILE', says: "known differences (default: the revision's own file)" },
    {
      name: 'jobs',
      value: 'N',
      says: 'guests that run side by side (default 1); of several kernels, how many at once',
    },
    {
      name: 'repeat',
      value: 'N',
      says: 'runs each case so often; what shows in some repeats only is unstable, and fails',
    },
    { name: 'until-fail', says: 'runs each case until it does not conform, at most --repeat times (default 100)' },
    {
      name: 'retries',
      value: 'N',
      says: 'how often a case is tried again whose host was lost (default 1); a finding never is',
    },
    {
      name: 'wait',
      value: 'TIME',
      says: 'how long it waits for a machine that another run has (default 0s; 6m with --resume, for its own lease)',
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
    ['vfio-conform run --program reproducer.txt --kernel 6.1,7.2', 'a program of your own on two kernels'],
    ['vfio-conform run --resume reports/latest', 'the last run, which was cut off, to its end'],
    ['vfio-conform run --host ssh:lab1 --device 0000:3b:00.0', 'a lab machine, with the one device that may be used'],
  ],
  run: async (given) => {
    const resume = given.text('resume');
    if (resume !== undefined) {
      const resumption = await readResumption(run, given, resume);
      return typeof resumption === 'number' ? resumption : runSuites(resumption.given, resumption);
    }
    const kernels = given.text('kernel')?.split(',') ?? [];
    return kernels.length > 1 ? runOnEach(kernels, given) : runSuites(given);
  },
};

/** The options that a run on several kernels hands on. */
const SHARED = ['iommu', 'suite', 'program', 'grep', 'known', 'timeout', 'repeat', 'retries'] as const;

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
  const args = [
    ...SHARED.flatMap((name) => given.texts(name).flatMap((text) => [`--${name}`, text])),
    ...(given.on('until-fail') ? ['--until-fail'] : []),
  ];
  return runMatrix(kernels, given.text('report') ?? newReportFolder(), args, jobs);
};

/** A run from options to exit code; one that goes on has a folder already. */
const runSuites = async (given: Given, resumption?: Resumption): Promise<number> => {
  const request: HostRequest = {
    host: given.text('host') ?? 'vm',
    kernel: await kernelGiven(given),
    isKernelAsked: given.on('kernel') || given.on('patches'),
    ...(await labGiven(given)),
    devices: given.texts('device'),
    ...(given.text('iommu') === undefined ? {} : { iommu: iommuProfileNamed(given.text('iommu') ?? '') }),
    jobs: wholeNumber('jobs', given.text('jobs') ?? '1', 1, 8),
    // What was cut off may have a lease yet, for five minutes at most.
    waitMs: duration('wait', given.text('wait') ?? (resumption === undefined ? '0s' : '6m'), 0),
    counts: createKernelCounts(),
    say: (line) => console.error(line),
  };
  const revision = revisionNamed(given.text('revision') ?? request.kernel.revision);
  const selection: Selection = {
    areas: given.texts('suite'),
    texts: given.texts('grep'),
    given: await programsGiven(given),
  };
  const timeoutMs = duration('timeout', given.text('timeout') ?? '1h');
  checkHostRequest(request);
  const retries = wholeNumber('retries', given.text('retries') ?? '1', 0, 10);
  const repeat = repeatingOf(given);
  const listed = await knownDifferences(given.text('known'), revision);
  const folder = resumption?.folder ?? given.text('report') ?? newReportFolder();
  if (resumption === undefined) checkIsFree(folder);

  let hosts: readonly Host[] = [];
  let unfit: string | undefined;
  let report: Report | undefined;
  const clauses: ReadonlyMap<string, Clause> = inForce(revision);
  const session = createSession({
    inForce: (clause) => clauses.has(clause),
    retakenSince: (clause) => retakenSince(revision, clause),
    makeModel: modelOf(revision),
    makeBaseModels: lineOf(revision).slice(0, -1).reverse().map(modelOf),
    platform: modelPlatform(request.iommu),
    hosts: () => hosts,
    unfit: () => unfit,
    deadlines: DEADLINES,
    ...byExpiry(listed, new Date().toISOString().slice(0, 10)),
    retries,
    repeat,
    intend: (ids, host, boot) => report?.sent(ids, host, boot),
    panicked: (id, host, console) => report?.panicked(id, host, console),
    ...(resumption === undefined ? {} : { before: resumption.unfinished }),
    ...(request.host === 'vm' ? { inspect: inspectBuild(request.kernel, revision) } : {}),
  });
  const end = endings(timeoutMs);
  try {
    ({ hosts, unfit } = await end.unless(openHosts(request)));
    const meta = metaOf(hosts[0] ?? unfit, revision, request.iommu, given);
    if (resumption !== undefined) checkIsSameRun(resumption.unfinished, meta);
    report = openReport(folder, meta, {
      terminal: process.stderr,
      latest: resumption === undefined && given.text('report') === undefined,
      asked: askedOf(run, given),
      ...(resumption === undefined ? {} : { unfinished: resumption.unfinished }),
    });
    end.tell(report);
    const mocha = await loadSuites(session, selection, report.reporter);
    await Promise.race([runMocha(mocha), end.reached]);
    return await finish(report, session, hosts, () => request.counts.write(folder));
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

/** The programs that `--program` names, each once. */
const programsGiven = (given: Given): Promise<readonly Case[]> =>
  Promise.all([...new Set(given.texts('program'))].map(async (file) => givenCase(file, await readProgram(file))));

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

const finish = async (
  report: Report,
  session: Session,
  hosts: readonly Host[],
  writeCounts: () => Promise<void>,
): Promise<number> => {
  const closing = Promise.all(hosts.map((host) => host.close()));
  const { exitCode, summary } = await report.finish({ disappeared: session.disappeared() });
  await closing;
  // What the kernel was found to do stands, whatever becomes of this.
  await writeCounts().catch((cause: unknown) => {
    if (!(cause instanceof HostTrouble)) throw cause;
    console.error(cause.message);
  });
  console.log(summary);
  return exitCode;
};

const runMocha = (mocha: Mocha): Promise<void> => new Promise((resolve) => void mocha.run(() => resolve()));

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
    arguments: [
      'kernel',
      'modules',
      'patches',
      'base',
      'revision',
      'hosts',
      'host',
      'iommu',
      'device',
      'known',
      'program',
    ].flatMap((name) => given.texts(name).flatMap((text) => [`--${name}`, text])),
  };
};

const iommuText = ({ kind, aperture }: HostFacts['platform']['iommu']): string =>
  kind === 'none' ? 'none' : `${kind}, IOVA 0x${aperture.start.toString(16)}-0x${aperture.end.toString(16)}`;
