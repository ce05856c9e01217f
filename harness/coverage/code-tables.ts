import type { Coverage, FileCoverage, Gap, Share } from './coverage.ts';
import { letterOf } from './letters.ts';
import type { Table } from './tables.ts';

/** What of the kernels' own code ran: shares by file, then what did not, by function. None where no kernel counts. */
export const codeTables = ({ code }: Coverage): readonly Table[] =>
  code.flatMap((one, index) => {
    if (one === null) return [];
    const letter = letterOf(index);
    const lost = one.bootsLost === 0 ? '' : `; the counts of ${one.bootsLost} more went with their guest`;
    return [
      {
        part: 'code' as const,
        title: `Lines and branches of kernel ${letter}`,
        notes: [
          `Counted by the kernel since it booted, ${one.boots} boots together${lost}. explained: lines that did not run, for a reason that is written down.`,
        ],
        head: ['file', 'lines', '', 'branches', '', 'functions', 'explained', 'other'],
        rows: one.files.map(shareRow),
      },
      {
        part: 'code' as const,
        title: `What did not run of kernel ${letter}`,
        notes: ['By function: never, where nothing of it ran; else the lines.'],
        head: ['file', 'function', 'lines', 'where', 'why'],
        rows: one.files.flatMap(({ path, gaps }) =>
          gaps.map((gap) => [
            path,
            gap.function,
            `${gap.lines.length}`,
            gap.entered ? rangesText(gap.lines) : 'never',
            gap.why ?? '',
          ]),
        ),
      },
    ];
  });

const shareRow = ({ path, lines, branches, functions, gaps }: FileCoverage): readonly string[] => {
  const explained = linesIn(gaps.filter(({ why }) => why !== undefined));
  return [
    path,
    ...shareText(lines),
    ...shareText(branches),
    `${functions.reached}/${functions.all}`,
    `${explained}`,
    `${lines.all - lines.reached - explained}`,
  ];
};

const linesIn = (gaps: readonly Gap[]): number => gaps.reduce((sum, { lines }) => sum + lines.length, 0);

const shareText = ({ reached, all }: Share): readonly [string, string] => [
  all === 0 ? '-' : `${((100 * reached) / all).toFixed(1)} %`,
  `${reached}/${all}`,
];

/** `256 303-306`: lines that hold code and stand close together are one range. */
const rangesText = (lines: readonly number[]): string => {
  const ranges: [number, number][] = [];
  for (const line of lines) {
    const last = ranges.at(-1);
    if (last !== undefined && line - last[1] <= 2) last[1] = line;
    else ranges.push([line, line]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(' ');
};
