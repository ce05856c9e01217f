import type { CodeRecord } from '../report/code.ts';
import type { Column } from './columns.ts';
import type { CodeCoverage, FileCoverage, Gap, Share } from './coverage.ts';
import { type Explanation, isAbout } from './rest.ts';

type CodeFile = CodeRecord['files'][number];
type CodeFunction = CodeFile['functions'][number];

/** What ran of each kernel that counts, all of its reports together; `null` for kernels that do not. */
export const codeCoverage = (
  columns: readonly Column[],
  restOf: (kernel: string) => readonly Explanation[],
): readonly (CodeCoverage | null)[] =>
  columns.map(({ code }) => {
    const [first, ...others] = code;
    if (first === undefined) return null;
    const all = others.filter((one) => isSameBuild(one, first)).reduce(added, first);
    const rest = restOf(all.kernel);
    return {
      boots: all.boots,
      bootsLost: all.bootsLost,
      files: all.files.map((file) =>
        fileCoverage(
          file,
          rest.filter((one) => one.file === file.path),
        ),
      ),
    };
  });

/** Another build of a kernel has other lines: its counts cannot be added, and are left out. */
const isSameBuild = (a: CodeRecord, b: CodeRecord): boolean => shapeOf(a) === shapeOf(b);

const shapeOf = ({ files }: CodeRecord): string =>
  JSON.stringify(
    files.map(({ path, lines, functions }) => [
      path,
      functions.map(({ name }) => name),
      lines.map(({ line, branches }) => [line, branches.length]),
    ]),
  );

const added = (a: CodeRecord, b: CodeRecord): CodeRecord => ({
  ...a,
  boots: a.boots + b.boots,
  bootsLost: a.bootsLost + b.bootsLost,
  files: a.files.map((file, index) => sumOf(file, b.files[index])),
});

const sumOf = (a: CodeFile, b: CodeFile | undefined): CodeFile => ({
  path: a.path,
  functions: a.functions.map((one, at) => ({ ...one, count: one.count + (b?.functions[at]?.count ?? 0) })),
  lines: a.lines.map((one, at) => ({
    line: one.line,
    count: one.count + (b?.lines[at]?.count ?? 0),
    branches: one.branches.map((count, way) => count + (b?.lines[at]?.branches[way] ?? 0)),
  })),
});

const fileCoverage = ({ path, functions: counted, lines }: CodeFile, rest: readonly Explanation[]): FileCoverage => {
  // One that is inlined here and called there is counted where it is called only; its lines tell of both.
  const functions = counted.map((one) => ({
    ...one,
    count: Math.max(one.count, ...within(lines, one).map(({ count }) => count)),
  }));
  const entered = functions.filter(({ count }) => count > 0).length;
  return {
    path,
    lines: shareOf(lines.map(({ count }) => count)),
    branches: shareOf(lines.flatMap(({ branches }) => branches)),
    functions: { reached: entered, all: functions.length },
    gaps: [...functions]
      .sort((a, b) => a.firstLine - b.firstLine)
      .flatMap((one) =>
        gapsOf(
          one,
          lines,
          rest.filter((each) => each.function === one.name),
        ),
      ),
  };
};

const within = (lines: CodeFile['lines'], { firstLine, lastLine }: CodeFunction): CodeFile['lines'] =>
  lines.filter(({ line }) => line >= firstLine && line <= lastLine);

const shareOf = (counts: readonly number[]): Share => ({
  reached: counts.filter((count) => count > 0).length,
  all: counts.length,
});

/** The lines of a function that did not run: those of each reason that is known, then the others. */
const gapsOf = (one: CodeFunction, lines: CodeFile['lines'], reasons: readonly Explanation[]): readonly Gap[] => {
  const missed = within(lines, one).flatMap(({ line, count }) => (count === 0 ? [line] : []));
  const reasonOf = (line: number): Explanation | undefined => reasons.find((reason) => isAbout(reason, line));
  const tell = (of: readonly number[], why?: string): readonly Gap[] =>
    of.length === 0
      ? []
      : [{ function: one.name, entered: one.count > 0, lines: of, ...(why === undefined ? {} : { why }) }];
  return [
    ...reasons.flatMap((reason) =>
      tell(
        missed.filter((line) => reasonOf(line) === reason),
        reason.why,
      ),
    ),
    ...tell(missed.filter((line) => reasonOf(line) === undefined)),
  ];
};
