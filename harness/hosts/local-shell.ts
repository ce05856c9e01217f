/** Commands on this machine, as a connection to another one runs them there. */
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import type { Shell } from './lease.ts';

const COMMAND_MS = 20_000;
const MAX_OUTPUT_BYTES = 1 << 20;

/** They are constant texts of ours, as over SSH. */
export const localShell: Shell = {
  over: undefined,
  run: async (command, input) => {
    const result = await execa('sh', ['-c', command], {
      ...{ reject: false, timeout: COMMAND_MS, maxBuffer: MAX_OUTPUT_BYTES, encoding: 'latin1' },
      ...(input === undefined ? { stdin: 'ignore' } : { input }),
    });
    if (result.timedOut) throw new HostTrouble(`a command on this machine did not end within ${COMMAND_MS / 1000} s`);
    return { stdout: result.stdout, stderr: result.stderr, status: result.exitCode };
  },
  close: () => undefined,
};
