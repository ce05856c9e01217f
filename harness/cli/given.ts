import type { Repeating } from '../cases/repeat.ts';
import { labNamed, readHostsFile } from '../hosts/hosts-file.ts';
import { UsageTrouble } from '../trouble.ts';
import type { Given } from './command.ts';
import type { HostRequest } from './open-host.ts';
import { wholeNumber } from './options.ts';

/** What `--repeat` and `--until-fail` ask for. */
export const repeatingOf = (given: Given): Repeating => {
  const untilFail = given.on('until-fail');
  const times = wholeNumber('repeat', given.text('repeat') ?? (untilFail ? '100' : '1'), 1, 100_000);
  if (times > 1 && given.text('host') === 'none') throw new UsageTrouble('--repeat is for hosts: a model never varies');
  return { times, untilFail };
};

/** The machine that `--host` names in the hosts file of `--hosts`. */
export const labGiven = async (given: Given): Promise<Pick<HostRequest, 'lab'>> => {
  const [file, host] = [given.text('hosts'), given.text('host')];
  if (file === undefined) return {};
  if (host === undefined) throw new UsageTrouble('--hosts goes with --host: the name of one of its machines');
  return { lab: labNamed(await readHostsFile(file), host) };
};
