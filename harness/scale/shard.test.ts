import { expect } from 'chai';
import fc from 'fast-check';
import { UsageTrouble } from '../trouble.ts';
import { type Environment, ofShard, shardFrom } from './shard.ts';

const slurm = (id: number, min: number, max: number, count: number): Environment => ({
  SLURM_ARRAY_TASK_ID: `${id}`,
  SLURM_ARRAY_TASK_MIN: `${min}`,
  SLURM_ARRAY_TASK_MAX: `${max}`,
  SLURM_ARRAY_TASK_COUNT: `${count}`,
});

const READ: Readonly<Record<string, readonly [text: string, environment: Environment, index: number, of: number]>> = {
  'a part': ['2/5', {}, 2, 5],
  'the only part': ['1/1', {}, 1, 1],
  'a part, whatever the system says': ['2/5', { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '9' }, 2, 5],
  'GitLab, from 1': ['auto', { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '4' }, 1, 4],
  'GitLab, the last': ['auto', { CI_NODE_INDEX: '4', CI_NODE_TOTAL: '4' }, 4, 4],
  'CircleCI, from 0': ['auto', { CIRCLE_NODE_INDEX: '0', CIRCLE_NODE_TOTAL: '4' }, 1, 4],
  Buildkite: ['auto', { BUILDKITE_PARALLEL_JOB: '3', BUILDKITE_PARALLEL_JOB_COUNT: '4' }, 4, 4],
  Semaphore: ['auto', { SEMAPHORE_JOB_INDEX: '2', SEMAPHORE_JOB_COUNT: '4' }, 2, 4],
  Azure: ['auto', { SYSTEM_JOBPOSITIONINPHASE: '2', SYSTEM_TOTALJOBSINPHASE: '4' }, 2, 4],
  Bazel: ['auto', { TEST_SHARD_INDEX: '0', TEST_TOTAL_SHARDS: '1' }, 1, 1],
  'a Slurm array from 1': ['auto', slurm(9, 1, 9, 9), 9, 9],
  'a Slurm array from 0': ['auto', slurm(0, 0, 8, 9), 1, 9],
  'a Slurm array in steps': ['auto', slurm(4, 0, 8, 5), 3, 5],
  'a Slurm array of one': ['auto', slurm(7, 7, 7, 1), 1, 1],
  'the one that divides, beside one that does not': [
    'auto',
    { CI_NODE_TOTAL: '1', CIRCLE_NODE_INDEX: '1', CIRCLE_NODE_TOTAL: '2' },
    2,
    2,
  ],
};

const REFUSED: Readonly<Record<string, readonly [text: string, environment: Environment, message: RegExp]>> = {
  'part 0': ['0/5', {}, /counted from 1/],
  'a part beyond the last': ['6/5', {}, /not "6\/5"/],
  'no part': ['two', {}, /takes a part such as 2\/5/],
  'a negative one': ['-1/5', {}, /takes a part/],
  'no system': ['auto', {}, /found none of the variables.*CI_NODE_INDEX and CI_NODE_TOTAL.*SLURM_ARRAY_TASK_ID/],
  'two systems': [
    'auto',
    { CI_NODE_INDEX: '1', CI_NODE_TOTAL: '4', ...slurm(1, 1, 2, 2) },
    /two systems, GitLab and Slurm/,
  ],
  'an index that is none': ['auto', { CI_NODE_INDEX: 'x', CI_NODE_TOTAL: '4' }, /CI_NODE_INDEX: expected.*found "x"/],
  'an index beyond the last': ['auto', { CIRCLE_NODE_INDEX: '4', CIRCLE_NODE_TOTAL: '4' }, /is no such part/],
  'GitLab from 0': ['auto', { CI_NODE_INDEX: '0', CI_NODE_TOTAL: '4' }, /is no such part/],
  'a Slurm array with gaps': ['auto', slurm(2, 1, 9, 3), /with gaps/],
  'half of the variables of Slurm': ['auto', { SLURM_ARRAY_TASK_ID: '1' }, /SLURM_ARRAY_TASK_MIN: expected/],
};

describe('--shard', () => {
  for (const [name, [text, environment, index, of]] of Object.entries(READ)) {
    it(`reads ${name}`, () => {
      expect(shardFrom(text, environment)).to.deep.equal({ index, of });
    });
  }

  for (const [name, [text, environment, message]] of Object.entries(REFUSED)) {
    it(`refuses ${name}, in one line`, () => {
      expect(() => shardFrom(text, environment))
        .to.throw(UsageTrouble, message)
        .with.property('message')
        .that.not.matches(/\n/);
    });
  }

  it('divides a list so that each item is in one part, and parts differ by one item at most', () => {
    fc.assert(
      fc.property(fc.nat({ max: 60 }), fc.integer({ min: 1, max: 70 }), (count, of) => {
        const items = Array.from({ length: count }, (_, item) => item);
        const parts = Array.from({ length: of }, (_, at) => ofShard(items, { index: at + 1, of }));
        expect(parts.flat().sort((a, b) => a - b)).to.deep.equal(items);
        const sizes = parts.map(({ length }) => length);
        expect(Math.max(...sizes) - Math.min(...sizes)).to.be.at.most(1);
      }),
    );
  });
});
