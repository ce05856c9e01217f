import type { Deadlines, Host } from '../hosts/host.ts';
import type { Program, Run } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';

/** How many programs a host is given at a time: enough to hide a round trip. */
const AHEAD = 6;

/**
 * A machine that lives on when this process does not is given one program at a time: if both go down at once, that is the one
 * that it was at.
 */
const aheadOn = ({ livesOn }: Host): number => (livesOn ? 1 : AHEAD);

/**
 * Runs a fixed list of programs on one or more hosts, in order, sending some ahead so that no host waits for a round
 * trip. When a program leaves its host unfit (bad ending, damage), everything that was sent ahead to that host is
 * forgotten and run again after it was recovered: a case is never judged on a damaged host.
 */
export interface Executor {
  /** The run of program `index`; programs must be asked for in ascending order. Throws HostTrouble when its host is gone for good. */
  run(index: number): Promise<Run>;
  /** The host that program `index` runs on, and the program as that host is given it. */
  hostOf(index: number): Host;
  programOf(index: number): Program;
  /** Says that program `index` left its host unfit; it is recovered before anything else runs there. */
  distrust(index: number): void;
  /** Recovers the host of program `index` now, if it is unfit. Throws HostTrouble when it is gone for good. */
  recover(index: number): Promise<void>;
}

/** The programs, each made for its host when it is needed; an array is one. */
export interface Programs {
  readonly length: number;
  at(index: number): ((host: Host) => Program) | undefined;
}

/** What somebody may be told of while programs run. */
export interface Told {
  /** These programs go to a host next. */
  readonly intend?: (indices: readonly number[], host: Host) => void;
  /** The kernel of the host that this program is at panics; the run that this ends is not over yet. */
  readonly panicked?: (index: number, host: Host, console: readonly string[]) => void;
}

/** One host and what may be thought of it. */
interface Station {
  readonly host: Host;
  state: 'fit' | 'unfit' | HostTrouble;
  /** Runs that were started and not yet asked for, by program index. */
  readonly started: Map<number, Promise<Run>>;
  /** Programs that the host has not done with, by their runs, in order. */
  readonly open: Map<Promise<Run>, number>;
}

export const createExecutor = (
  hosts: readonly [Host, ...Host[]],
  programs: Programs,
  deadlines: Deadlines,
  told: Told = {},
): Executor => {
  const [first, ...others] = hosts.map(
    (host): Station => ({ host, state: 'fit', started: new Map(), open: new Map() }),
  );
  if (first === undefined) throw new RangeError('an executor needs a host');
  const stations = [first, ...others];
  for (const station of stations) {
    station.host.onPanic?.((console) => {
      const [index] = station.open.values();
      // What runs on a host that is unfit already will run again, and is told of then.
      if (index !== undefined && station.state === 'fit') told.panicked?.(index, station.host, console);
    });
  }
  const stationOf = (index: number): Station => stations[index % stations.length] ?? first;

  const made = new Map<number, Program>();
  const programOf = (index: number): Program => {
    const make = programs.at(index);
    if (make === undefined) throw new RangeError(`no program ${index}`);
    const program = made.get(index) ?? make(stationOf(index).host);
    made.set(index, program);
    return program;
  };

  const start = (station: Station, indices: readonly number[]): void => {
    told.intend?.(indices, station.host);
    for (const index of indices) {
      const run = station.host.run(programOf(index), deadlines);
      station.open.set(run, index);
      const close = (): void => void station.open.delete(run);
      // A run that was sent ahead may fail before anybody awaits it; whoever asks for it still sees the failure.
      run.then(close, close);
      station.started.set(index, run);
    }
  };

  const sendAhead = (from: number): void => {
    for (const [nth, station] of stations.entries()) {
      if (station.state !== 'fit') continue;
      const last = Math.min(programs.length, from + aheadOn(station.host) * stations.length);
      const next: number[] = [];
      for (let index = from; index < last; index++) {
        if (index % stations.length === nth && !station.started.has(index)) next.push(index);
      }
      if (next.length > 0) start(station, next);
    }
  };

  const ready = async (station: Station): Promise<void> => {
    if (station.state === 'unfit') await recover(station);
    if (station.state instanceof HostTrouble) throw station.state;
  };

  return {
    distrust: (index) => {
      const station = stationOf(index);
      station.started.clear();
      if (station.state === 'fit') station.state = 'unfit';
    },
    recover: (index) => ready(stationOf(index)),
    run: async (index) => {
      const station = stationOf(index);
      await ready(station);
      sendAhead(index);
      const run = await station.started.get(index);
      if (run === undefined) throw new RangeError(`program ${index} was not started`);
      station.started.delete(index);
      made.delete(index);
      return run;
    },
    hostOf: (index) => stationOf(index).host,
    programOf,
  };
};

/** A host that cannot be recovered is not tried again: every later case of it ends with the same trouble. */
const recover = async (station: Station): Promise<void> => {
  try {
    await station.host.recover();
    station.state = 'fit';
  } catch (cause) {
    station.state =
      cause instanceof HostTrouble ? cause : new HostTrouble(`the host cannot be recovered: ${cause}`, { cause });
  }
};
