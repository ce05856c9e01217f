/** Switching the power of a machine of the hosts file: the programs that it names for that, run here without a shell. */
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { Lab } from './hosts-file.ts';

export const POWER_VERBS = ['off', 'on', 'cycle'] as const;
export type PowerVerb = (typeof POWER_VERBS)[number];

type Words = readonly string[];

/** How long one switch may take, in milliseconds. */
const POWER_MS = 120_000;

/** The commands that do this to a machine, one after the other; `undefined` where the file does not say how. */
export const powerCommands = ({ power }: Pick<Lab, 'power'>, verb: PowerVerb): readonly Words[] | undefined => {
  const own = power?.[verb];
  if (own !== undefined) return [own];
  const { off, on } = power ?? {};
  return verb === 'cycle' && off !== undefined && on !== undefined ? [off, on] : undefined;
};

/** Does this to a machine. Throws HostTrouble when the file does not say how, or a command fails. */
export const switchPower = async (lab: Pick<Lab, 'name' | 'power'>, verb: PowerVerb): Promise<void> => {
  const commands = powerCommands(lab, verb);
  if (commands === undefined)
    throw new HostTrouble(`the hosts file does not say how to switch ${lab.name}: power.${verb}`);
  for (const words of commands) await runWords(`the power of ${lab.name} cannot be switched`, words, POWER_MS);
};

/** How a machine is booted by force, where the file says so. */
export const reviveWith = (lab: Lab): (() => Promise<void>) | undefined =>
  powerCommands(lab, 'cycle') === undefined ? undefined : () => switchPower(lab, 'cycle');

/** Runs a program of the hosts file to its end. Throws HostTrouble that begins with `what` when it fails, or takes longer. */
export const runWords = async (what: string, [program = '', ...args]: Words, ms: number): Promise<void> => {
  const result = await execa(program, args, { reject: false, stdin: 'ignore', timeout: ms, cleanup: true });
  if (result.exitCode === 0) return;
  const said = (result.stderr || result.originalMessage || '').split('\n')[0] ?? '';
  const how = result.timedOut ? `did not end within ${ms / 1000} s` : `ended with ${result.exitCode ?? result.signal}`;
  throw new HostTrouble(`${what}: ${program} ${how}: ${said}`);
};
