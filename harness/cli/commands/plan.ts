import { kernelNamed } from '../../kernels/choice.ts';
import { writeWhole } from '../../report/files.ts';
import { revisionNamed } from '../../revisions/index.ts';
import { classNamed, readClasses } from '../../scale/classes.ts';
import { makePlan, planLines } from '../../scale/plan.ts';
import { inForce } from '../../spec/revision.ts';
import { EXIT, UsageTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';
import { duration } from '../options.ts';
import { clausesBySuite } from '../suites.ts';
import { versionOfProject } from '../version.ts';

export const plan: Command = {
  name: 'plan',
  summary: 'Cuts a campaign into cells: each kernel on each class of hosts, suite by suite, as lines of JSON.',
  usage: '[OPTIONS]',
  about: [
    'The cells know nothing of each other: any machine runs any of them (vfio-conform cell), in any order, and',
    'vfio-conform merge makes one report of all. The same options make the same plan.',
    'Suites without a case for a revision get no cell.',
  ].join('\n'),
  options: [
    {
      name: 'kernel',
      value: 'NAME',
      repeatable: true,
      says: 'kernel (default 6.1; see list kernels), several (6.1,7.2), or NAME@REVISION',
    },
    { name: 'class', value: 'NAME', repeatable: true, says: 'class of hosts: vm (default), none, or one of --classes' },
    { name: 'classes', value: 'FILE', says: 'the classes of hosts of a lab, as YAML (docs/ci.md)' },
    {
      name: 'suite',
      value: 'AREA',
      repeatable: true,
      says: "only the cases of this area (see list cases); 'pin*': of all areas that begin so",
    },
    { name: 'grep', value: 'TEXT', repeatable: true, says: 'only cases whose id contains this text' },
    { name: 'timeout', value: 'TIME', says: 'ends a cell after this time: 90s, 15m, 2h (default 1h)' },
    { name: 'out', value: 'FILE', says: 'writes to this file instead of standard output' },
  ],
  examples: [
    ['vfio-conform plan --kernel 6.1,6.12,7.2 --out plan.jsonl', 'all suites on three kernels'],
    ['vfio-conform plan --kernel nesting-cap/posted@nesting-cap/reviewed', 'a patch against its review'],
    ['vfio-conform plan --kernel 6.1 --classes lab.yaml --class vtd --class amdvi', 'machines of a lab'],
  ],
  run: async (given) => {
    const timeout = given.text('timeout');
    if (timeout !== undefined) duration('timeout', timeout);
    const classes = readClasses(given.text('classes'));
    const wanted = given.texts('class').length === 0 ? ['vm'] : given.texts('class');
    once('class', wanted);
    const clauses = await clausesBySuite({ areas: given.texts('suite'), texts: given.texts('grep') });
    const made = makePlan({
      version: versionOfProject(),
      kernels: await kernelsOf(given.texts('kernel')),
      classes: wanted.map((name) => classNamed(classes, name)),
      suitesOf: (revision) => {
        const law: ReadonlyMap<string, unknown> = inForce(revisionNamed(revision));
        return [...clauses].filter(([, named]) => [...named].some((one) => law.has(one))).map(([suite]) => suite);
      },
      options: [
        ...given.texts('grep').flatMap((text) => ['--grep', text]),
        ...(timeout === undefined ? [] : ['--timeout', timeout]),
      ],
    });
    const out = given.text('out');
    if (out !== undefined) writeWhole(out, planLines(made));
    else for (const line of planLines(made)) process.stdout.write(line);
    return EXIT.conforms;
  },
};

/** `NAME`, held against its own revision, or `NAME@REVISION`. */
const kernelsOf = async (texts: readonly string[]): Promise<{ kernel: string; revision: string }[]> => {
  const words = (texts.length === 0 ? ['6.1'] : texts).flatMap((text) => text.split(','));
  once('kernel', words);
  return Promise.all(
    words.map(async (word) => {
      const [name = '', revision] = word.split('@', 2);
      const kernel = await kernelNamed(name);
      return { kernel: kernel.name, revision: revisionNamed(revision ?? kernel.revision).id };
    }),
  );
};

const once = (option: string, names: readonly string[]): void => {
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new UsageTrouble(`--${option} names ${twice} twice`);
};
