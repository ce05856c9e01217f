import type { Program, Step } from '../program/step.ts';

/**
 * What is run after every case: each actor that the case made (and did not end) closes what it opened, and its locked memory is read. The model knows
 * what must be seen; what differs there is a leak.
 */
export const cleanup = (steps: Program['steps']): readonly Step[] =>
  actorsLeft(steps).flatMap((actor): Step[] => [
    { actor, op: 'shut' },
    { actor, op: 'fds' },
    { actor, op: 'status', field: 'VmLck' },
  ]);

/** The actors that a program leaves alive, the youngest first, so that those who were forked off close before their parents. */
const actorsLeft = (steps: Program['steps']): readonly string[] => {
  const alive = new Set(['main']);
  for (const step of steps) {
    if (step.op === 'spawn') alive.add(step.child);
    if (step.op === 'kill') alive.delete(step.victim);
    if (step.op === 'exit') alive.delete(step.actor);
  }
  return [...alive].reverse();
};
