/** Reads a series of patches: a folder of files, a mailbox, or one file. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { UsageTrouble } from '../trouble.ts';
import { git } from './git.ts';

export interface Patch {
  /** What messages call it: the name of its file, or of its mailbox and its subject. */
  readonly name: string;
  /** The difference, as `git apply` takes it; what stands before it in a mail is left out. */
  readonly text: string;
}

const MOST_PATCHES = 200;
const MOST_BYTES = 32 * 1024 * 1024;

/**
 * The patches of a folder (`*.patch`, `*.diff`, `*.eml`, by name), of a mailbox (by the numbers in their subjects), or of
 * one file, in the order in which they are applied. Mails without a patch, such as a cover letter or a reply, are passed
 * over. Throws UsageTrouble when there is no patch, when there are more than 200 or 32 MiB of them, or when their order
 * cannot be told.
 */
export const readPatches = async (path: string): Promise<readonly Patch[]> => {
  const found = await stat(path).catch((cause: unknown) => {
    throw new UsageTrouble(`cannot read the patches ${path}: ${cause instanceof Error ? cause.message : cause}`);
  });
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-patches-'));
  try {
    const patches = found.isDirectory() ? await readFolder(path, folder) : await readOne(path, folder);
    if (patches.length === 0) throw new UsageTrouble(`${path} holds no patch: expected *.patch files or a mailbox`);
    return patches;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** The files that `readPatches` finds a patch in: those of a folder, or the one file that it is. Throws UsageTrouble. */
export const patchFiles = async (path: string): Promise<readonly string[]> => {
  const patches = await readPatches(path);
  return (await stat(path)).isDirectory() ? patches.map(({ name }) => join(path, name)) : [path];
};

const readFolder = async (path: string, scratch: string): Promise<readonly Patch[]> => {
  const names = (await readdir(path))
    .filter((name) => /\.(patch|diff|eml)$/.test(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  checkCount(path, names.length);
  const patches: Patch[] = [];
  for (const name of names) {
    const file = join(path, name);
    await checkSize(file);
    const patch = await readMail(file, name, scratch);
    if (patch !== undefined) patches.push({ name, text: patch.text });
  }
  return patches;
};

const checkCount = (path: string, count: number): void => {
  if (count > MOST_PATCHES) throw new UsageTrouble(`${path} holds ${count} patches, expected at most ${MOST_PATCHES}`);
};

const checkSize = async (file: string): Promise<void> => {
  const { size } = await stat(file);
  if (size > MOST_BYTES) throw new UsageTrouble(`${file} has ${size} bytes, expected at most ${MOST_BYTES}`);
};

const readOne = async (path: string, scratch: string): Promise<readonly Patch[]> => {
  await checkSize(path);
  const start = (await readFile(path)).subarray(0, 'From '.length).toString('latin1');
  if (start !== 'From ') {
    const patch = await readMail(path, basename(path), scratch);
    return patch === undefined ? [] : [{ name: basename(path), text: patch.text }];
  }
  const split = await git(scratch, ['mailsplit', `-o${scratch}`, '--', path]);
  if (split.exitCode !== 0) throw new UsageTrouble(`${path} is not a mailbox: ${firstLine(split.stderr)}`);
  const mails = (await readdir(scratch)).sort();
  checkCount(path, mails.length);
  const patches: (Mail & { readonly name: string })[] = [];
  for (const mail of mails) {
    const patch = await readMail(join(scratch, mail), `${basename(path)}: mail ${Number(mail)}`, scratch);
    if (patch !== undefined) patches.push({ ...patch, name: `${basename(path)}: ${patch.subject}` });
  }
  return inOrder(path, patches).map(({ name, text }) => ({ name, text }));
};

/** A mail that holds a patch. */
interface Mail {
  /** Without what stands in brackets. */
  readonly subject: string;
  /** `2/5` in the subject's brackets. */
  readonly number?: { readonly index: number; readonly of: number };
  readonly text: string;
}

/** A mail's patch; also of a file that is a difference only. `undefined` if there is none in it. */
const readMail = async (file: string, name: string, scratch: string): Promise<Mail | undefined> => {
  const whole = await readFile(file, 'utf8');
  if (!/^(From |[A-Za-z-]+: )/.test(whole)) return holdsPatch(whole) ? { subject: name, text: whole } : undefined;
  const [message, patch] = [join(scratch, 'message'), join(scratch, 'patch')];
  const info = await git(scratch, ['mailinfo', '-k', '--encoding=UTF-8', message, patch], file);
  if (info.exitCode !== 0) throw new UsageTrouble(`${name} is not a mail: ${firstLine(info.stderr)}`);
  const text = await readFile(patch, 'utf8');
  await Promise.all([rm(message), rm(patch)]);
  if (!holdsPatch(text)) return undefined;
  const [, brackets = '', subject = name] =
    /^Subject: *((?:\[[^\]]*\] *)*)(.*)$/m.exec(info.stdout) ?? ([] as readonly string[]);
  const [, index, of] = /(\d{1,4})\/(\d{1,4})/.exec(brackets) ?? [];
  const number = index === undefined ? {} : { number: { index: Number(index), of: Number(of) } };
  return { subject: subject.slice(0, 120), ...number, text };
};

/** A quoted difference, as in a reply, is none. */
const holdsPatch = (text: string): boolean => /^diff --git /m.test(text) || /^--- .*\n\+\+\+ /m.test(text);

/** Mails come in any order; the numbers of their subjects tell which, if all have one. */
const inOrder = <Numbered extends Mail & { readonly name: string }>(
  path: string,
  mails: readonly Numbered[],
): readonly Numbered[] => {
  if (mails.some(({ number }) => number === undefined)) return mails;
  const sorted = [...mails].sort((a, b) => (a.number?.index ?? 0) - (b.number?.index ?? 0));
  for (const [at, mail] of sorted.entries()) {
    const next = sorted[at + 1];
    if (next?.number === undefined || next.number.index !== mail.number?.index) continue;
    throw new UsageTrouble(
      `${path}: two patches are number ${next.number.index}: expected one version of one series, found ${JSON.stringify(mail.subject)} and ${JSON.stringify(next.subject)}`,
    );
  }
  return sorted;
};

const firstLine = (text: string): string => (text.split('\n').find((line) => line.trim() !== '') ?? '').slice(0, 300);

/** The files that a patch changes or makes, as paths in the kernel's sources. Throws UsageTrouble when it cannot be read. */
export const touchedFiles = async (patch: Patch): Promise<readonly string[]> =>
  inScratch(patch, async (folder, file) => {
    const { exitCode, stdout, stderr } = await git(folder, ['apply', '--numstat', '-z', file]);
    if (exitCode !== 0) throw new UsageTrouble(`${patch.name} is not a patch: ${complaint(stderr)}`);
    return stdout
      .split('\0')
      .map((line) => line.split('\t')[2] ?? '')
      .filter((name) => name !== '');
  });

/** Parts of a series that concern no module: they are passed over. */
const PASSED_OVER = ['Documentation/*', 'tools/*', 'samples/*', 'MAINTAINERS'];

/** Whether `applyPatch` leaves a file alone. */
export const isPassedOver = (file: string): boolean =>
  PASSED_OVER.some((one) => (one.endsWith('*') ? file.startsWith(one.slice(0, -1)) : file === one));

/** Applies a patch to a tree. Throws UsageTrouble with its name and the first hunk that does not fit. */
export const applyPatch = async (tree: string, patch: Patch, base: string): Promise<void> => {
  // A link could lead what is applied after it out of the tree.
  if (/^(new file|new|old) mode (120000|160000)$/m.test(patch.text)) {
    throw new UsageTrouble(`${patch.name} makes a link or a submodule: expected changes of files only`);
  }
  await inScratch(patch, async (_folder, file) => {
    const exclude = PASSED_OVER.map((pattern) => `--exclude=${pattern}`);
    const { exitCode, stderr } = await git(tree, ['apply', '--whitespace=nowarn', ...exclude, file]);
    if (exitCode === 0) return;
    throw new UsageTrouble(`${patch.name} does not apply to Linux ${base}: ${complaint(stderr)}`);
  });
};

const complaint = (stderr: string): string => {
  const lines = stderr.split('\n');
  const said = lines.find((line) => line.startsWith('error: ')) ?? lines.find((line) => line.startsWith('fatal: '));
  return (said ?? firstLine(stderr)).replace(/^(error|fatal): /, '').slice(0, 300);
};

const inScratch = async <Result>(patch: Patch, work: (folder: string, file: string) => Promise<Result>) => {
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-patch-'));
  try {
    const file = join(folder, 'patch');
    await writeFile(file, patch.text);
    return await work(folder, file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};
