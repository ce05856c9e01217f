import { readFileSync } from 'node:fs';

/** The version of vfio-conform: package.json's. */
export const versionOfProject = (): string => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  return version;
};
