import { randomBytes } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { HostTrouble } from '../trouble.ts';

/** A file that grows by whole texts: one that cannot be written whole is taken back, so what stands is always valid. */
export interface Appender {
  /** Throws HostTrouble (disk full, file system gone). */
  append(text: string): void;
  /** Returns when everything is on disk. Throws HostTrouble. */
  sync(): void;
  close(): void;
}

/**
 * Opens a new file, or `after` so many bytes of one that stands; what is behind those is cut off. Throws HostTrouble when it
 * cannot be made.
 */
export const openAppender = (path: string, after?: number): Appender => {
  const file = onDisk(path, () => openSync(path, after === undefined ? 'w' : 'a'));
  let size = after ?? 0;
  onDisk(path, () => {
    if (after !== undefined) ftruncateSync(file, after);
    syncFolder(dirname(path));
  });
  return {
    append: (text) =>
      onDisk(path, () => {
        try {
          size += writeAll(file, text);
        } catch (cause) {
          ftruncateSync(file, size);
          throw cause;
        }
      }),
    sync: () => onDisk(path, () => fdatasyncSync(file)),
    close: () => closeSync(file),
  };
};

/** A new file's name is on disk only when its folder is. */
const syncFolder = (path: string): void => {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
};

/** `writeSync` may write less than it was given, when a disk is nearly full. */
const writeAll = (file: number, text: string): number => {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done);
  return bytes.length;
};

/** Writes a file so that readers see the old one or the whole new one. Throws HostTrouble. */
export const writeWhole = (path: string, texts: Iterable<string>): void => {
  const aside = join(dirname(path), `.${basename(path)}.${randomBytes(4).toString('hex')}`);
  onDisk(path, () => {
    try {
      const file = openSync(aside, 'wx');
      try {
        for (const text of texts) writeAll(file, text);
      } finally {
        closeSync(file);
      }
      renameSync(aside, path);
    } catch (cause) {
      rmSync(aside, { force: true });
      throw cause;
    }
  });
};

/**
 * Makes a folder and those above it, one by one: Node's own way of making them all never ends where the file system
 * refuses, as /proc does. Throws HostTrouble.
 */
export const makeFolder = (path: string): void =>
  onDisk(path, () => {
    const missing: string[] = [];
    for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at);
    for (const folder of missing.reverse()) {
      // Another run may have been faster.
      if (!existsSync(folder)) mkdirSync(folder);
    }
  });

/** Lets `latest` beside a folder point to it; whoever follows the link sees the old one or the new one, never none. */
export const linkLatest = (folder: string): void => {
  const link = join(dirname(folder), 'latest');
  const aside = `${link}.${randomBytes(4).toString('hex')}`;
  onDisk(link, () => {
    if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() === false) {
      throw new HostTrouble(`${link} is not a link: it would be the link to the latest report; rename or remove it`);
    }
    symlinkSync(basename(folder), aside);
    renameSync(aside, link);
  });
};

const WORDS: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the disk',
  EDQUOT: 'the disk quota is used up',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'something else stands there',
};

/** What the file system refuses is trouble of this machine's, in one line. */
const onDisk = <Result>(path: string, act: () => Result): Result => {
  try {
    return act();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const why = WORDS[cause.code] ?? cause.message;
    throw new HostTrouble(
      `cannot write ${path}: ${why} (${cause.code}); what was written before stays valid; make room or choose another place`,
      { cause },
    );
  }
};

const isSystemError = (cause: unknown): cause is Error & { code: string } =>
  cause instanceof Error && 'code' in cause && typeof cause.code === 'string';
