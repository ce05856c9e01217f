import { groupBy } from './group.ts';
import { durationText, rerunCommand } from './layout.ts';
import { code, fenced, inline } from './markdown.ts';
import type { CaseRecord, RunRecord } from './record.ts';
import { type Ended, endedAs, exitCodeOf, exitMeaning, judged, tallyOf } from './tally.ts';

const SECTIONS: readonly (readonly [heading: string, ended: Ended])[] = [
  ['New differences', 'diverges'],
  ['Damaged', 'damaged'],
  ['Host lost', 'host-lost'],
  ['Harness errors', 'harness-error'],
  ['Known differences', 'known'],
];

/** report.md: for a comment on a change, or a wiki. In pieces, in order. */
export function* reportMarkdown(run: RunRecord): Generator<string> {
  const tally = tallyOf(run);
  const exitCode = exitCodeOf(run);
  yield `# ${inline(run.revision)} held against Linux ${inline(run.kernel)}\n\n`;
  yield `vfio-conform ${inline(run.version)} on ${inline(run.host.name)} (${inline(run.host.description)}; `;
  yield `IOMMU: ${inline(run.host.iommu)}), ${inline(run.startedAt)}, ${durationText(run.durationMs)}.\n`;
  yield `Exit code ${exitCode}: ${exitMeaning(exitCode)}.\n\n`;
  if (run.interrupted !== undefined)
    yield `**Interrupted, this report is partial:** ${inline(run.interrupted.reason)}\n\n`;
  yield '| judged | conform | known | new | damaged | host lost | harness error | not run |\n|--|--|--|--|--|--|--|--|\n';
  yield `| ${[
    judged(tally),
    tally.conforms,
    tally.known,
    tally.diverges,
    tally.damaged,
    tally['host-lost'],
    tally['harness-error'],
    tally.unsupported + tally.notRun,
  ].join(' | ')} |\n`;
  const byEnd = groupBy(run.cases, endedAs);
  for (const [heading, ended] of SECTIONS) {
    const records = byEnd.get(ended) ?? [];
    if (records.length > 0) yield `\n## ${heading}\n`;
    for (const record of records) yield* caseSection(run, record);
  }
  if (run.disappeared.length > 0) yield '\n## Known differences that did not show\n\n';
  for (const id of run.disappeared) yield `- ${inline(id)}\n`;
  yield* notRun(run, byEnd.get('unsupported') ?? []);
}

function* caseSection(run: RunRecord, record: CaseRecord): Generator<string> {
  yield `\n### ${inline(record.id)}\n\n${record.known === undefined ? code(record.reason ?? '') : inline(record.known.reason)}\n`;
  for (const { clause, says, source, call, expected, observed } of record.broken) {
    yield `\n- ${inline(clause)}: ${inline(says)} (${inline(source)})\n`;
    yield `  - call: ${code(call)}\n  - expected: ${code(expected)}\n  - observed: ${code(observed)}\n`;
  }
  yield `\nRun just this case: ${code(rerunCommand(record.id, run.arguments))}\n`;
  if (endedAs(record) === 'known') return;
  for (const [heading, text] of [
    ['Program', record.program],
    ['Observed', record.observed],
    ['Kernel log', (record.kernelLog ?? []).join('\n')],
  ] as const) {
    if (text !== '') yield `\n${heading}:\n\n${fenced(text)}`;
  }
}

function* notRun(run: RunRecord, unsupported: readonly CaseRecord[]): Generator<string> {
  const all = [...unsupported.map(({ id, reason }) => ({ id, reason: reason ?? 'unsupported' })), ...run.notRun];
  if (all.length > 0) yield '\n## Not run\n';
  for (const [reason, cases] of groupBy(all, (one) => one.reason)) {
    yield `\n${inline(reason)}:\n\n${cases.map(({ id }) => `- ${inline(id)}\n`).join('')}`;
  }
}
