import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import type { Case } from '../cases/case.ts';
import { specDiff } from '../diff/index.ts';
import { diffMarkdown } from '../diff/markdown.ts';
import { diffPage } from '../diff/page/index.ts';
import { diffText } from '../diff/text.ts';
import { aDifference, aRecord, aRun } from '../report/testing.ts';
import { REVISIONS } from '../revisions/index.ts';
import type { Revision } from '../spec/revision.ts';
import { EXIT } from '../trouble.ts';
import { collectCases } from './suites.ts';
import { expectRefusal } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

describe('cli diff', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-diff-'));
    const save = (name: string, run: unknown) => writeFile(join(folder, name), JSON.stringify(run));
    await save('yesterday.json', aRun([aRecord('one')]));
    await save('today.json', aRun([aDifference('one')]));
    await save('foreign.json', aRun([aRecord('one')], { revision: 'linux-2.4' }));
    await writeFile(join(folder, 'half.json'), '{"schema":');
    await writeFile(join(folder, 'results.jsonl'), '');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** The command, among the files above. */
  const diff = (...args: readonly string[]) =>
    execa('node', [BIN, 'diff', ...args], { reject: false, stdin: 'ignore', cwd: folder });

  const REFUSED: Readonly<Record<string, readonly [args: readonly string[], message: RegExp]>> = {
    'one side alone': [['linux-6.1'], /takes two revisions or runs, found 1/],
    'three sides': [['linux-6.1', 'linux-6.1', 'linux-6.1'], /found 3/],
    'an unknown revision': [
      ['linux-6.1', 'linux-2.4'],
      /no revision and no report "linux-2\.4"; revisions are: linux-6\.1/,
    ],
    'a run of an unknown revision': [['linux-6.1', 'foreign.json'], /there is no revision linux-2\.4/],
    'a half-written file': [['half.json', 'linux-6.1'], /half\.json cannot be read as JSON/],
    'a half-written folder': [['.', 'linux-6.1'], /\. is half-written/],
    'an unknown format': [['linux-6.1', 'linux-6.1', '--format', 'pdf'], /--format takes one of text, html, md, json/],
    'a format that every object has': [['linux-6.1', 'linux-6.1', '--format', 'constructor'], /--format takes one of/],
    'an unknown suite': [['linux-6.1', 'linux-6.1', '--suite', 'nothing'], /no suite "nothing"/],
    'a tester without an address': [
      ['linux-6.1', 'linux-6.1', '--tested-by', 'me'],
      /--tested-by takes "NAME <ADDRESS>"/,
    ],
  };
  for (const [title, [args, message]] of Object.entries(REFUSED)) {
    it(`refuses ${title} in one line`, async () => {
      expectRefusal(await diff(...args), message);
    });
  }

  it('ends with 0 when nothing differs, and 1 when something does', async () => {
    const [same, other] = await Promise.all([
      diff('yesterday.json', 'yesterday.json', '--suite', 'info'),
      diff('yesterday.json', 'today.json', '--suite', 'info', '--tested-by', 'T. Ester <t@example.org>'),
    ]);
    expect([same.exitCode, other.exitCode]).to.deep.equal([EXIT.conforms, EXIT.diverges]);
    expect(other.stdout)
      .to.match(/newly broken: type1\/map-overlap: one/)
      .and.include('Tested-by: T. Ester');
    expect(same.stderr + other.stderr).to.equal('');
  });

  it('writes every form into a file', async () => {
    for (const [format, beginning] of [
      ['html', '<!doctype html>'],
      ['md', '# yesterday'],
      ['json', '{\n  "schema": "vfio-conform/diff/1"'],
      ['text', 'yesterday.json and today.json'],
    ] as const) {
      const { exitCode, stdout, stderr } = await diff(
        ...['yesterday.json', 'today.json', '--suite', 'info', '--format', format, '--out', `diff.${format}`],
      );
      expect([exitCode, stdout]).to.deep.equal([EXIT.diverges, '']);
      expect(stderr).to.match(new RegExp(`^diff\\.${format}: clauses: [^\\n]+$`));
      expect((await readFile(join(folder, `diff.${format}`), 'utf8')).startsWith(beginning), format).to.equal(true);
    }
  });

  it('writes all of it into a pipe, however long', async () => {
    const { stdout, exitCode } = await diff('linux-6.1', 'linux-7.2', '--format', 'json');
    expect(stdout.length).to.be.greaterThan(1 << 17);
    expect(JSON.parse(stdout)).to.have.nested.property('sides.b.revision', 'linux-7.2');
    expect(exitCode).to.equal(EXIT.diverges);
  });

  it('says so when a file cannot be written, and touches nothing', async () => {
    const { exitCode, stderr } = await diff('linux-6.1', 'linux-6.1', '--suite', 'info', '--out', 'nowhere/diff.txt');
    expect(exitCode).to.equal(EXIT.hostTrouble);
    expect(stderr).to.match(/^vfio-conform: cannot write nowhere\/diff\.txt[^\n]+$/);
    expect(await stat(join(folder, 'nowhere')).catch(() => undefined)).to.equal(undefined);
  });

  it('shows options and examples', async () => {
    const { exitCode, stdout } = await diff('--help');
    expect(exitCode).to.equal(0);
    expect(stdout).to.include('usage: vfio-conform diff A B').and.include('examples:').and.include('reports/latest');
  });
});

describe('cli diff of every revision', () => {
  let cases: readonly Case[] = [];
  before(async () => {
    cases = await collectCases({ areas: [], texts: [] });
  });

  /** A revision and its base; what was posted and what was reviewed. */
  const PAIRS: readonly (readonly [Revision, Revision])[] = REVISIONS.flatMap((one) => [
    ...(one.base === undefined ? [] : [[one.base, one] as const]),
    ...REVISIONS.filter(({ id }) => one.id.endsWith('/posted') && id === one.id.replace(/posted$/, 'reviewed')).map(
      (other) => [one, other] as const,
    ),
  ]);
  for (const [a, b] of PAIRS) {
    it(`compares ${a.id} with ${b.id}: what changed shows in programs, in every form`, () => {
      const found = specDiff({ name: a.id, revision: a }, { name: b.id, revision: b }, { version: '0', cases });
      expect(found.behaviour.compared).to.be.greaterThan(600);
      // What landed is what a review asked for: then nothing changes, and no program shows a change.
      const changes = found.clauses.changes.length > 0;
      expect(changes || Object.keys(b.clauses).length === 0, 'clauses').to.equal(true);
      expect(found.behaviour.changes.length > 0, 'programs').to.equal(changes);
      const text = [...diffText(found)].join('');
      // A link, and the name of a case in a command, stay whole where they are longer than a line.
      const isWhole = (line: string): boolean => /^ *('[^']*'|\S+)$/.test(line);
      const broken = text.split('\n').filter((line) => line.length > 78 && !isWhole(line));
      expect(broken).to.deep.equal([]);
      expect([...diffPage(found)].join('')).to.include('</html>');
      expect([...diffMarkdown(found)].join('').includes('## Clauses')).to.equal(changes);
    });
  }
});
