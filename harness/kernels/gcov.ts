/** Reads what a kernel counted of its own code, with the compiler's gcov and the notes that were kept when it was built. */
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { HostTrouble } from '../trouble.ts';
import type { CountedSources } from './fetch.ts';
import { needProgram } from './requirements.ts';

/** The counts of one object file since a boot, as the kernel gives them. */
export interface RawCounts {
  /** What was compiled, where it was compiled: `/.../output/drivers/vfio/container`. */
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** How often what of a source file ran. */
export interface CountedFile {
  /** In the kernel's tree: `drivers/vfio/container.c`. */
  readonly path: string;
  readonly functions: readonly CountedFunction[];
  /** Lines that hold code, ascending. */
  readonly lines: readonly CountedLine[];
}

export interface CountedFunction {
  readonly name: string;
  readonly firstLine: number;
  readonly lastLine: number;
  readonly count: number;
}

export interface CountedLine {
  readonly line: number;
  readonly count: number;
  /** How often each way was gone that the code may go on from here; empty where there is only one. */
  readonly branches: readonly number[];
}

/** Of gcov's JSON, what is used here (gcov(1), --json-format). */
const gcovSchema = z.object({
  files: z.array(
    z.object({
      file: z.string(),
      functions: z.array(
        z.object({
          name: z.string(),
          start_line: z.number(),
          end_line: z.number(),
          execution_count: z.number(),
        }),
      ),
      lines: z.array(
        z.object({
          line_number: z.number(),
          count: z.number(),
          branches: z.array(z.object({ count: z.number() })),
        }),
      ),
    }),
  ),
});

type GcovFile = z.infer<typeof gcovSchema>['files'][number];

/** No report of one object file comes near. */
const MOST_BYTES = 64 << 20;

/**
 * What ran in all boots together: every C file of the counted folders, also those of which nothing ran. Throws HostTrouble
 * when gcov is missing or cannot read what the kernel gave.
 */
export const countedFiles = async (
  counted: CountedSources,
  boots: readonly (readonly RawCounts[])[],
): Promise<readonly CountedFile[]> => {
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-gcov-'));
  try {
    const files = new Map<string, CountedFile>();
    for (const counts of [[], ...boots]) {
      for (const file of await readBoot(folder, counted, counts)) {
        const before = files.get(file.path);
        files.set(file.path, before === undefined ? file : summed(before, file));
      }
    }
    return [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** One boot's counts; notes without counts tell of code that did not run. */
const readBoot = async (
  scratch: string,
  { folder, folders }: CountedSources,
  counts: readonly RawCounts[],
): Promise<readonly CountedFile[]> => {
  const files: CountedFile[] = [];
  for (const name of folders) {
    for (const note of (await readdir(join(folder, name))).filter((one) => one.endsWith('.gcno'))) {
      const object = join(name, basename(note, '.gcno'));
      const own = counts.find(({ path }) => path.endsWith(`/${object}`));
      if (counts.length > 0 && own === undefined) continue;
      files.push(...(await readObject(scratch, join(folder, name, note), object, own?.bytes)));
    }
  }
  return files;
};

/** The C file that an object file was made from. Headers are left out: they are counted in every object file that has them. */
const readObject = async (
  scratch: string,
  note: string,
  object: string,
  bytes: Uint8Array | undefined,
): Promise<readonly CountedFile[]> => {
  const base = join(scratch, object);
  await mkdir(dirname(base), { recursive: true });
  await copyFile(note, `${base}.gcno`);
  if (bytes === undefined) await rm(`${base}.gcda`, { force: true });
  else await writeFile(`${base}.gcda`, bytes);
  const words = ['--json-format', '--stdout', '--branch-probabilities', `${basename(object)}.gcno`];
  const options = { cwd: dirname(base), reject: false, timeout: 120_000, maxBuffer: MOST_BYTES } as const;
  const { exitCode, stdout, stderr } = await execa(await needProgram('gcov'), words, options);
  const parsed = gcovSchema.safeParse(jsonOf(stdout));
  // It says that counts do not fit its notes, and goes on without them.
  const objection = /version|stamp|mismatch|cannot merge/i.exec(stderr) === null ? undefined : stderr;
  if (exitCode !== 0 || !parsed.success || objection !== undefined) {
    throw new HostTrouble(
      `gcov cannot read the counts of ${object}: ${stderr.slice(0, 200) || 'its answer is no JSON'}`,
    );
  }
  const source = `${object}.c`;
  const text = await readFile(note.replace(/\.gcno$/, '.c'), 'utf8');
  return parsed.data.files
    .filter(({ file }) => file === source || file.endsWith(`/${source}`))
    .map((file) => withInlined({ path: source, ...ofGcov(file) }, text));
};

/** A function that is inlined wherever it is called has no record of its own: its lines do. */
const withInlined = (file: CountedFile, text: string): CountedFile => {
  const inlined = functionsIn(text)
    .filter((one) => !file.functions.some(({ name, firstLine }) => name === one.name || firstLine === one.firstLine))
    .flatMap((one): readonly CountedFunction[] => {
      const own = file.lines.filter(({ line }) => line >= one.firstLine && line <= one.lastLine);
      return own.length === 0 ? [] : [{ ...one, count: Math.max(...own.map(({ count }) => count)) }];
    });
  return { ...file, functions: [...file.functions, ...inlined].sort((a, b) => a.firstLine - b.firstLine) };
};

/** Functions as the kernel's style writes them: the name at the left margin's line, the braces in the first column. */
const functionsIn = (text: string): readonly Omit<CountedFunction, 'count'>[] => {
  const found: Omit<CountedFunction, 'count'>[] = [];
  let head: { readonly name: string; readonly firstLine: number } | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    const name = /^[a-z_][\w *]*?\b(\w+)\(/.exec(line)?.[1];
    if (name !== undefined && !line.endsWith(';')) head = { name, firstLine: index + 1 };
    if (line === '}' && head !== undefined) {
      found.push({ ...head, lastLine: index + 1 });
      head = undefined;
    }
  }
  return found;
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** A line that stands in several functions (inlined ones, variants of one) is one line, with the branches of all. */
const ofGcov = ({ functions, lines }: GcovFile): Omit<CountedFile, 'path'> => {
  const byLine = new Map<number, CountedLine>();
  for (const { line_number: line, count, branches } of lines) {
    const before = byLine.get(line);
    const ways = branches.map((one) => one.count);
    byLine.set(line, {
      line,
      count: (before?.count ?? 0) + count,
      branches: [...(before?.branches ?? []), ...ways],
    });
  }
  return {
    functions: functions.map((one) => ({
      name: one.name,
      firstLine: one.start_line,
      lastLine: one.end_line,
      count: one.execution_count,
    })),
    lines: [...byLine.values()].sort((a, b) => a.line - b.line),
  };
};

/** Two boots of one kernel: the same notes, so the same lines and branches. */
const summed = (a: CountedFile, b: CountedFile): CountedFile => ({
  path: a.path,
  functions: a.functions.map((one, index) => ({ ...one, count: one.count + (b.functions[index]?.count ?? 0) })),
  lines: a.lines.map((one, index) => ({
    line: one.line,
    count: one.count + (b.lines[index]?.count ?? 0),
    branches: one.branches.map((count, way) => count + (b.lines[index]?.branches[way] ?? 0)),
  })),
});
