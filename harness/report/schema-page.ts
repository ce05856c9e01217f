import { z } from 'zod';
import { EXIT } from '../trouble.ts';
import { CodeRecord } from './code.ts';
import { JournalLine } from './journal.ts';
import { CaseName, CaseRecord, Interruption, NotRun, RunMeta, RunRecord } from './record.ts';
import { exitMeaning } from './tally.ts';

/**
 * docs/results-schema.md, made from the schemas themselves; a test holds the file against this text, and
 * `UPDATE_DOCS=1 npm test` writes it.
 */
export const schemaPage = (): string => `\
# Results: the form of a report's folder

This page is made from \`harness/report/record.ts\`, \`journal.ts\` and \`code.ts\`; a test keeps it so.

| file | what it is |
|---|---|
| \`results.jsonl\` | what happened, line by line, each line on disk before the next case starts; everything else can be made from it |
| \`results.json\` | the whole run as one value, described below |
| \`code.json\` | what of the kernel's own code ran; only of kernels that count it |
| \`run.tap\` | TAP 14: grows while the run goes on, one point a case |
| \`junit.xml\` | JUnit, as tap-junit made it of \`run.tap\`, completed; valid against \`fixtures/junit/junit.xsd\` |
| \`report.txt\`, \`report.md\` | the same for people, 78 columns wide; for a comment or a wiki |
| \`five-modes.md\` | the table of five modes, where such cases ran: \`answer\` of each case |
| \`cases/AREA/CLAUSE/CASE/\` | \`verdict.json\`, \`program.txt\`, \`observed.txt\`, \`how-to-run.txt\`, and \`kernel-log.txt\` unless nothing was in it |

Text that came from a host is kept harmless: control and format characters are shown as \`\\xNN\` or \`\\uNNNN\`, half a
surrogate pair as U+FFFD, terminal colours are taken out; a longer text than 1 MiB loses its middle and says so.
64-bit values are strings. New fields may be added; what is here keeps its meaning as long as \`schema\` says so.

Verdicts, and how TAP and JUnit show them:

| verdict | says | TAP | JUnit |
|---|---|---|---|
| \`conforms\` | the host did what the model allows | \`ok\` | passed |
| \`diverges\` | it did something else | \`not ok\` | \`failure\` |
| \`diverges\`, with \`known\` | it did, as this kernel is known to | \`ok\`, and \`severity: "known"\` | passed, told in \`system-out\` |
| \`damaged\` | the kernel log, a leak, a hang or a panic shows damage | \`not ok\` | \`failure\` |
| \`unsupported\` | the host cannot run the case | \`ok # SKIP\` | \`skipped\` |
| \`host-lost\` | the host or the way to it failed | \`not ok\` | \`error\` |
| \`harness-error\` | we failed | \`not ok\` | \`error\` |
| (in \`notRun\`) | the case was selected and did not run | \`ok # SKIP not run: ...\` | \`skipped\` |

A run that was interrupted ends with one more point, \`harness/run: reached its end\`, which is an \`error\`.

The run as a whole ends with one of these exit codes; what was found against the kernel wins over everything else:

| code | says |
|---|---|
${exits()}
## results.json

${table(RunRecord)}
### host

${table(RunMeta.shape.host)}
### interrupted

${table(Interruption)}
### Each of cases

${table(CaseRecord)}
### Each of broken

${table(CaseRecord.shape.broken.element)}
### known

${table(CaseRecord.shape.known.unwrap())}
### answer

${table(CaseRecord.shape.answer.unwrap())}
### Each of notRun

${table(NotRun)}
## results.jsonl

One JSON object a line, with one key, which says what it is.

${lines()}
A planned case has these fields:

${table(CaseName)}
## code.json

Counted by gcov since the guest booted, all boots of the run together.

${table(CodeRecord)}
### Each of files

${table(CodeRecord.shape.files.element)}
### Each of lines

${table(CodeRecord.shape.files.element.shape.lines.element)}
## As JSON Schema

Of \`results.json\`:

\`\`\`json
${JSON.stringify(z.toJSONSchema(RunRecord, { io: 'input' }), null, 2)}
\`\`\`
`;

/** The fields of an object, one row each. */
const table = (schema: z.ZodObject): string => {
  const rows = Object.entries(schema.shape).map(([name, field]) => {
    const optional = z.safeParse(field, undefined).success ? ' (may be absent)' : '';
    return `| \`${name}\`${optional} | ${typeOf(field)} | ${(descriptionOf(field) ?? '').replaceAll('|', '\\|')} |\n`;
  });
  return `| field | type | what it is |\n|---|---|---|\n${rows.join('')}`;
};

const exits = (): string =>
  Object.values(EXIT)
    .filter((code) => code !== EXIT.usage)
    .map((code) => `| ${code} | ${exitMeaning(code)} |\n`)
    .join('');

const lines = (): string =>
  `| key | value | what it is |\n|---|---|---|\n${JournalLine.options
    .flatMap((option) =>
      Object.entries(option.shape).map(
        ([key, value]) => `| \`${key}\` | ${typeOf(value)} | ${descriptionOf(option) ?? ''} |\n`,
      ),
    )
    .join('')}`;

interface JsonSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly items?: JsonSchema;
  readonly description?: string;
}

const jsonSchemaOf = (field: z.core.$ZodType): JsonSchema => z.toJSONSchema(field) as JsonSchema;

const descriptionOf = (field: z.core.$ZodType): string | undefined => jsonSchemaOf(field).description;

const typeOf = (field: z.core.$ZodType): string => wordsFor(jsonSchemaOf(field));

const wordsFor = ({ type, const: constant, enum: values, items }: JsonSchema): string => {
  if (constant !== undefined) return `\`${JSON.stringify(constant)}\``;
  if (values !== undefined) return values.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  if (items !== undefined) return `list of ${wordsFor(items)}s`;
  return type ?? 'anything';
};
