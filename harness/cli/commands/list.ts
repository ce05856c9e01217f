import { IOMMU_PROFILES, iommuProfileNamed } from '../../hosts/iommu-profiles.ts';
import { cacheFolder } from '../../kernels/cache.ts';
import { kernelNamed, seriesNames } from '../../kernels/choice.ts';
import { isCached } from '../../kernels/fetch.ts';
import { type KernelManifest, kernelNames, readManifest } from '../../kernels/manifest.ts';
import { LINT_CLAUSES } from '../../lint/clauses.ts';
import { WORLD_CLAUSES } from '../../model/world/clauses.ts';
import { WITHIN_ARGUMENT } from '../../oracle/judge.ts';
import { REVISIONS, revisionNamed } from '../../revisions/index.ts';
import type { Clause } from '../../spec/clause.ts';
import { inForce, type Revision } from '../../spec/revision.ts';
import { UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';
import { type Pair, pairsOf, probePairs, tableOf } from '../iommu-table.ts';
import { collectCases } from '../suites.ts';

export const list: Command = {
  name: 'list',
  summary: 'Lists clauses, cases, revisions, kernels or hosts.',
  usage: 'clauses|cases|revisions|kernels|hosts [OPTIONS]',
  options: [
    { name: 'revision', value: 'ID', says: 'clauses of this revision (default linux-6.1)' },
    { name: 'uncovered', says: 'only clauses that no case is named by' },
    { name: 'long', says: 'clauses with their sentence and source' },
    { name: 'probe', says: 'hosts: boot the kernels that are in the cache with each IOMMU, one after the other' },
    { name: 'kernel', value: 'NAME', repeatable: true, says: 'hosts: only this kernel (see list kernels)' },
    { name: 'iommu', value: 'PROFILE', repeatable: true, says: 'hosts: only this IOMMU' },
    { name: 'suite', value: 'AREA', repeatable: true, says: 'only cases of this area' },
    { name: 'grep', value: 'TEXT', repeatable: true, says: 'only cases or clauses whose id contains this text' },
  ],
  examples: [
    ['vfio-conform list clauses --long --grep map/', 'what the specification says of MAP_DMA'],
    ['vfio-conform list clauses --uncovered', 'clauses without a case'],
    ['vfio-conform list cases --suite map', 'the cases of one area'],
    ['vfio-conform list hosts --probe --kernel 6.1', 'which IOMMUs guests of one kernel really have'],
  ],
  run: async (given) => {
    const [subject, ...more] = given.words;
    const lines = subject === undefined ? undefined : SUBJECTS[subject];
    if (lines === undefined || more.length > 0) {
      throw new UsageTrouble(`list takes one of: ${Object.keys(SUBJECTS).join(', ')}`);
    }
    for (const line of await lines(given)) console.log(line);
    return 0;
  },
};

const matches = (given: Given, id: string): boolean => {
  const texts = given.texts('grep');
  return texts.length === 0 || texts.some((text) => id.includes(text));
};

const SUBJECTS: Readonly<Record<string, (given: Given) => Promise<readonly string[]>>> = {
  clauses: async (given) => {
    const revision = revisionNamed(given.text('revision') ?? 'linux-6.1');
    const clauses = [...inForce(revision).values(), ...WORLD_CLAUSES, WITHIN_ARGUMENT, ...LINT_CLAUSES];
    const covered = given.on('uncovered') ? await coveredClauses() : new Set<string>();
    return clauses
      .filter((clause) => !covered.has(clause.id) && matches(given, clause.id))
      .flatMap((clause) => (given.on('long') ? longText(clause) : [clause.id]));
  },
  cases: async (given) =>
    (await collectCases({ areas: given.texts('suite'), texts: given.texts('grep') })).map((one) => one.id),
  revisions: async () => REVISIONS.map(revisionLine),
  kernels: async () => [
    ...(await Promise.all(
      (
        await kernelNames()
      ).map(async (name) => {
        const manifest = await readManifest(name);
        const packages = manifest.packages.map(({ pin }) => `${pin.package} ${pin.version}`).join(', ');
        return `${name.padEnd(26)} ${manifest.config === undefined ? packages : await builtFrom(manifest, packages)}`;
      }),
    )),
    ...(await Promise.all((await seriesNames()).map(kernelNamed))).map(
      ({ name, base }) => `${name.padEnd(26)} ${base} with the patches of fixtures/patches/${name}`,
    ),
  ],
  hosts: async (given) => [
    'vm         a kernel of `list kernels` in QEMU on this machine: an IOMMU (--iommu), two edu devices',
    'local      this machine, with the devices that --device names',
    'ssh:NAME   a machine that your SSH configuration knows, with the devices that --device names',
    'none       no host: the cases are held against the model alone',
    '',
    ...(await iommuLines(given)),
  ],
};

/** Which IOMMUs guests can have. */
const iommuLines = async (given: Given): Promise<readonly string[]> => {
  const wanted = given.texts('iommu').map(iommuProfileNamed);
  const profiles = wanted.length === 0 ? IOMMU_PROFILES : wanted;
  const kernels = given.texts('kernel').length === 0 ? await kernelNames() : given.texts('kernel');
  const pairs = await pairsOf(profiles, kernels);
  const told = ({ profile, kernel, answer }: Pair): void => console.error(`${profile} on ${kernel}: ${answer}`);
  return tableOf(profiles, given.on('probe') ? await probePairs(profiles, pairs, told) : pairs);
};

const builtFrom = async (manifest: KernelManifest, packages: string): Promise<string> =>
  `built from ${packages} with ${manifest.config?.join(', ')} (${(await isCached(manifest, cacheFolder())) ? 'in the cache' : 'not built yet: kernel build'})`;

/** Clauses of the world are everybody's ground: every program exercises them, so no case is named by one; those of lint speak of headers. */
const coveredClauses = async (): Promise<ReadonlySet<string>> => {
  const cases = await collectCases({ areas: [], texts: [] });
  const others = [...WORLD_CLAUSES, WITHIN_ARGUMENT, ...LINT_CLAUSES];
  return new Set([...cases.map((one) => one.clause), ...others.map((one) => one.id)]);
};

const longText = ({ id, level, says, source }: Clause): readonly string[] => [
  id,
  `    ${level}: ${says}`,
  `    source: ${source}`,
];

const revisionLine = (revision: Revision): string =>
  `${revision.id.padEnd(24)} ${revision.summary}${revision.base === undefined ? '' : ` (on ${revision.base.id})`}`;
