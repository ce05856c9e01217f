import { UsageTrouble } from '../trouble.ts';

/** One part of several, counted from 1. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

const MOST = 100_000;

/** The environment as a process has it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A system that divides a job, by the variables that it sets. */
interface System {
  readonly name: string;
  readonly index: string;
  readonly of: string;
  /** What the first part is called. */
  readonly first: 0 | 1;
}

/** From the systems' own documentation. */
const SYSTEMS: readonly System[] = [
  { name: 'GitLab', index: 'CI_NODE_INDEX', of: 'CI_NODE_TOTAL', first: 1 },
  { name: 'CircleCI', index: 'CIRCLE_NODE_INDEX', of: 'CIRCLE_NODE_TOTAL', first: 0 },
  { name: 'Buildkite', index: 'BUILDKITE_PARALLEL_JOB', of: 'BUILDKITE_PARALLEL_JOB_COUNT', first: 0 },
  { name: 'Semaphore', index: 'SEMAPHORE_JOB_INDEX', of: 'SEMAPHORE_JOB_COUNT', first: 1 },
  { name: 'Azure', index: 'SYSTEM_JOBPOSITIONINPHASE', of: 'SYSTEM_TOTALJOBSINPHASE', first: 1 },
  { name: 'Bazel', index: 'TEST_SHARD_INDEX', of: 'TEST_TOTAL_SHARDS', first: 0 },
];

/** `2/5`, or `auto`: what the CI system's variables say. Throws UsageTrouble, in one line. */
export const shardFrom = (text: string, environment: Environment): Shard =>
  text === 'auto' ? shardOfEnvironment(environment) : shardOfText(text);

const shardOfText = (text: string): Shard => {
  const [, index, of] = /^(\d{1,6})\/(\d{1,6})$/.exec(text) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (isShard(shard)) return shard;
  throw new UsageTrouble(`--shard takes a part such as 2/5, counted from 1, or auto, not "${text}"`);
};

const isShard = ({ index, of }: Shard): boolean =>
  Number.isInteger(index) && Number.isInteger(of) && index >= 1 && index <= of && of <= MOST;

const shardOfEnvironment = (environment: Environment): Shard => {
  const found = [...SYSTEMS.flatMap((system) => ofSystem(system, environment)), ...ofSlurm(environment)];
  const [first, second] = found;
  if (first === undefined) {
    const names = SYSTEMS.map(({ index, of }) => `${index} and ${of}`).join(', ');
    throw new UsageTrouble(
      `--shard auto found none of the variables of CI systems: expected ${names}, or SLURM_ARRAY_TASK_ID; give --shard 2/5`,
    );
  }
  if (second !== undefined) {
    throw new UsageTrouble(
      `--shard auto found the variables of two systems, ${first.name} and ${second.name}: give --shard 2/5`,
    );
  }
  return first.shard;
};

interface Found {
  readonly name: string;
  readonly shard: Shard;
}

/** A system whose job is not divided may set one variable without the other, and GitLab sets CI_NODE_TOTAL always. */
const ofSystem = ({ name, index, of, first }: System, environment: Environment): readonly Found[] => {
  const [at, total] = [environment[index] ?? '', environment[of] ?? ''];
  if (at === '' || total === '') return [];
  const shard = { index: wholeOf(index, at) + 1 - first, of: wholeOf(of, total) };
  if (isShard(shard)) return [{ name, shard }];
  throw new UsageTrouble(
    `--shard auto cannot use ${index}=${shown(at)} of ${of}=${shown(total)}: that is no such part`,
  );
};

/** The tasks of a Slurm array that has no gaps but those of its step: `1-9`, `0-8:2`. */
const ofSlurm = (environment: Environment): readonly Found[] => {
  const values = ['ID', 'MIN', 'MAX', 'COUNT'].map((name) => `SLURM_ARRAY_TASK_${name}`);
  if ((environment[values[0] ?? ''] ?? '') === '') return [];
  const [id = 0, min = 0, max = 0, count = 0] = values.map((name) => wholeOf(name, environment[name] ?? ''));
  const step = count > 1 ? (max - min) / (count - 1) : 1;
  const shard = { index: (id - min) / step + 1, of: count };
  if (isShard(shard)) return [{ name: 'Slurm', shard }];
  throw new UsageTrouble(
    `--shard auto cannot tell which part task ${id} of a Slurm array with gaps (${count} tasks from ${min} to ${max}) is: use --array=1-N`,
  );
};

const wholeOf = (name: string, text: string): number => {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageTrouble(`--shard auto cannot use ${name}: expected a whole number, found ${shown(text)}`);
};

const shown = (text: string): string => JSON.stringify(text.slice(0, 40));

/** The part of a list that is a shard's: every `of`-th item, so that neighbours, which take alike long, are spread. */
export const ofShard = <Item>(items: readonly Item[], { index, of }: Shard): readonly Item[] =>
  items.filter((_, at) => at % of === index - 1);
