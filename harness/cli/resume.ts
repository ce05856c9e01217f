import { finishAgain, type ReportMeta } from '../report/index.ts';
import { readUnfinished, type Unfinished } from '../report/resume.ts';
import { UsageTrouble } from '../trouble.ts';
import type { Command, Given } from './command.ts';
import { parseOptions } from './options.ts';

/** A run that is to go on: its folder, what it was asked for, and what its journal holds. */
export interface Resumption {
  readonly folder: string;
  readonly given: Given;
  readonly unfinished: Unfinished;
}

/** What may be said anew when a run goes on; all else is as it was. */
const ANEW = ['timeout', 'jobs', 'wait'];

/** Options that say where a report is, not what is run. */
const PLACES = ['report', 'resume'];

/**
 * Reads what `--resume` names. A run that had come to its end is only told again: its exit code, then. Throws UsageTrouble
 * for a folder that holds no run, and for options beside it.
 */
export const readResumption = async (command: Command, given: Given, folder: string): Promise<Resumption | number> => {
  const beside = command.options.map(({ name }) => name).filter((name) => name !== 'resume' && given.on(name));
  const surplus = beside.find((name) => !ANEW.includes(name));
  if (surplus !== undefined) {
    throw new UsageTrouble(`--${surplus} does not go with --resume: the run goes on as it was asked for`);
  }
  const unfinished = readUnfinished(folder);
  if (unfinished.isWhole) {
    const { exitCode, summary } = await finishAgain(folder);
    console.log(summary);
    return exitCode;
  }
  const before = parseOptions(command, unfinished.asked);
  const anew = (name: string): Given => (given.on(name) ? given : before);
  return {
    folder,
    unfinished,
    given: {
      words: before.words,
      text: (name) => anew(name).text(name),
      texts: (name) => anew(name).texts(name),
      on: (name) => anew(name).on(name),
    },
  };
};

/** The options of a run, as `--resume` reads them again. */
export const askedOf = (command: Command, given: Given): readonly string[] =>
  command.options
    .filter(({ name }) => !PLACES.includes(name) && given.on(name))
    .flatMap(({ name, value }) =>
      value === undefined ? [`--${name}`] : given.texts(name).map((text) => `--${name}=${text}`),
    );

/** Throws UsageTrouble when a host, kernel or model is not the one that a run began with: its halves would not be one run. */
export const checkIsSameRun = ({ meta }: Unfinished, now: ReportMeta): void => {
  const parts: readonly (readonly [what: string, before: string, now: string])[] = [
    ['vfio-conform', meta.version, now.version],
    ['revision', meta.revision, now.revision],
    ['host', meta.host.name, now.host.name],
    ['kernel', meta.kernel, now.kernel],
    ['IOMMU', meta.host.iommu, now.host.iommu],
  ];
  for (const [what, before, after] of parts) {
    if (before !== after) {
      throw new UsageTrouble(`the run cannot go on: its ${what} was ${before}, and is ${after} now; run anew`);
    }
  }
};
