import type { Call, Program } from '../program/step.ts';

/** The names of a host's groups and devices that a program uses: `group0`, `device0`. */
export const namesUsed = (steps: Program['steps']): readonly string[] => {
  const calls = steps.flatMap((step) => (step.op === 'repeat' ? step.body : [step]));
  return [...new Set(calls.flatMap(namesIn))];
};

const namesIn = (call: Call): readonly string[] => {
  if (call.op === 'open' || call.op === 'cat') return call.path.startsWith('$') ? [call.path.slice(1)] : [];
  if (call.op !== 'ioctl' || call.arg.kind !== 'inline') return [];
  return call.arg.segments.flatMap((segment) => ('text' in segment ? [segment.text] : []));
};
