import type { CaseRecord, RunRecord } from '../report/record.ts';
import { aDifference, aRecord, aRun, BROKEN, KNOWN } from '../report/testing.ts';
import { type ExportOptions, exported, FORMATS } from './index.ts';

/** Made-up records for the tests of every format: each way in which a case ends, and what hosts and titles may hold. */

/** What a host or a title may hold that a format has another use for. */
export const NASTY: Readonly<Record<string, string>> = {
  'a hash': 'a # b #c',
  'a directive': 'x # SKIP not yet',
  'line ends': 'one\nok 1 two\r\nthree\rfour\u2028five',
  'control characters': Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join(''),
  'terminal commands': '\u001b[2J\u001b]0;owned\u0007 \u001b[31mred\u001b[0m \u009b2J',
  'a writing direction': '\u202eevil',
  'half a surrogate pair': 'a\ud800b\udc00c',
  'a signal of LAVA': '<LAVA_SIGNAL_TESTCASE TEST_CASE_ID=x RESULT=pass>',
  'a line of KTAP': 'ok 1 everything\nnot ok 2 nothing\n1..9\nBail out! now',
  YAML: '- name: /\n  result: pass\n--- !!js/function "x" &a *a %TAG',
  'a way out of the folder': '../../../../etc/passwd',
  'a name that is nothing': '///',
  'nothing but blanks': ' \t ',
  'a very long text': 'é🙂x'.repeat(700_000),
};

/** A case in which every text that comes from elsewhere is this one. */
export const nasty = (text: string, differs: Partial<CaseRecord> = {}): CaseRecord =>
  aRecord(text, {
    id: `type1/map-overlap: ${text}`,
    verdict: 'diverges',
    reason: text,
    broken: [{ ...BROKEN, says: text, source: text, call: text, expected: text, observed: text }],
    program: text,
    observed: text,
    kernelLog: [text],
    ...differs,
  });

/** One case for each way to end. */
export const ENDINGS = {
  conforms: aRecord('conforms'),
  known: aDifference('known', { known: KNOWN }),
  'damage that is known': aRecord('damage that is known', {
    verdict: 'damaged',
    reason: 'the kernel log shows damage: WARNING: CPU: 0',
    known: KNOWN,
    kernelLog: ['WARNING: CPU: 0'],
  }),
  differs: aDifference('differs'),
  damaged: aRecord('damaged', {
    verdict: 'damaged',
    reason: 'the kernel log shows damage: WARNING: CPU: 0',
    kernelLog: ['WARNING: CPU: 0 PID: 1', 'Call Trace:'],
  }),
  unsupported: aRecord('unsupported', { verdict: 'unsupported', reason: 'the host has no huge pages' }),
  'host lost': aRecord('host lost', { verdict: 'host-lost', reason: 'the connection broke', observed: '' }),
  'our fault': aRecord('our fault', { verdict: 'harness-error', reason: 'the model disagrees with the case' }),
} as const satisfies Readonly<Record<string, CaseRecord>>;

export const NOT_RUN: RunRecord['notRun'][number] = {
  id: 'group/status: later',
  clause: 'group/status',
  area: 'group',
  title: 'later',
  reason: 'interrupted by SIGINT',
};

/** A run with all of it: every ending, a case that did not run, a known difference that is gone, cut short. */
export const everything = aRun(Object.values(ENDINGS), {
  notRun: [NOT_RUN],
  interrupted: { why: 'signal', reason: 'interrupted by SIGINT' },
  disappeared: ['quirk-that-is-gone'],
  arguments: ['--kernel', 'nesting-cap/posted'],
});

/** A run in which everything that comes from elsewhere is this text. */
export const nastyRun = (text: string): RunRecord =>
  aRun([nasty(text), nasty(text, { ...ENDINGS.unsupported, title: `2${text}`, reason: text })], {
    kernel: text,
    host: { name: text, description: text, iommu: text },
    arguments: ['--host', text],
    disappeared: [text],
    notRun: [{ ...NOT_RUN, title: text, reason: text }],
    interrupted: { why: 'trouble', reason: text },
  });

/** What no text of ours holds: control and format characters but line ends, half surrogate pairs. */
export const UNSAFE = /[^\P{Cc}\n]|\p{Cf}|\p{Cs}|\p{Zl}|\p{Zp}/u;

/** A run in a format, as the command writes it. */
export const inFormat = (name: keyof typeof FORMATS, run: RunRecord, options: Partial<ExportOptions> = {}): string =>
  exported(FORMATS[name], run, { kcidb: { origin: 'a_lab' }, folder: '', ...options });
