import { execa } from 'execa';
import { needProgram } from './requirements.ts';

/** What git said: all it printed, and how it ended. */
export interface GitAnswer {
  readonly exitCode: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs git in a folder as if no repository were around it, whatever the user's own settings are: the cache may lie inside
 * a repository, where `git apply` would silently skip what lies outside the folder.
 */
export const git = async (folder: string, words: readonly string[], inputFile?: string): Promise<GitAnswer> => {
  const result = await execa(await needProgram('git'), words, {
    cwd: folder,
    reject: false,
    timeout: 120_000,
    extendEnv: false,
    env: {
      PATH: process.env['PATH'] ?? '',
      LC_ALL: 'C',
      GIT_CEILING_DIRECTORIES: parentsOf(folder),
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
    },
    ...(inputFile === undefined ? { stdin: 'ignore' as const } : { inputFile }),
  });
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
};

/** Git does not look for a repository in these, nor above them; the folder itself is not a repository. */
const parentsOf = (folder: string): string => {
  const names = folder.split('/').slice(1, -1);
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`).join(':');
};
