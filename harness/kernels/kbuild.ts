/** Runs the kernel's own build on modules outside its tree. */
import { availableParallelism } from 'node:os';
import { execa } from 'execa';
import { HostTrouble } from '../trouble.ts';
import { needProgram } from './requirements.ts';
import type { Toolchain } from './toolchain.ts';

/** Why a build failed, in one line. */
export interface Complaint {
  /** The file that the compiler names, as it names it; absent when it names none. */
  readonly file?: string;
  /** `FILE:LINE:COLUMN: text`, or what make or modpost said. */
  readonly text: string;
}

/** Makes the modules of a folder; `undefined` when all went well. `variables` are make's, `NAME=VALUE`. */
export const makeModules = async (
  toolchain: Toolchain,
  folder: string,
  variables: readonly string[],
): Promise<Complaint | undefined> => {
  // Make splits its variables at blanks, and Kbuild refuses colons.
  if (!/^[\w./+@~-]+$/.test(folder)) {
    throw new HostTrouble(
      `the kernel's build cannot work in ${folder}: expected letters, digits and ./+@~_- only; set VFIO_CONFORM_CACHE`,
    );
  }
  const jobs = `-j${Math.min(availableParallelism(), 8)}`;
  const words = ['-s', jobs, '-C', toolchain.headers, `M=${folder}`, ...variables, 'modules'];
  const result = await execa(await needProgram('make'), words, {
    reject: false,
    all: true,
    timeout: 600_000,
    extendEnv: false,
    env: { PATH: process.env['PATH'] ?? '', LC_ALL: 'C' },
  });
  return result.exitCode === 0 ? undefined : findComplaint(result.all, result.shortMessage ?? 'make failed');
};

/** The first error in what make printed. */
export const findComplaint = (printed: string, otherwise: string): Complaint => {
  const error = /^(\/?[^\s:]+):(\d+(?::\d+)?): (?:fatal )?error: (.*)$/m.exec(printed);
  const [, file, place, text] = error ?? [];
  if (file !== undefined) return { file, text: `${file}:${place}: ${text}`.slice(0, 400) };
  const other = /^ERROR: (?:modpost: )?(.*)$/m.exec(printed) ?? /^make.*\*\*\* (.*)$/m.exec(printed);
  return { text: (other?.[1] ?? otherwise.split('\n')[0] ?? '').slice(0, 400) };
};
