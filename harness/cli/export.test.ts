import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { parse } from 'yaml';
import { makeFolder } from '../report/files.ts';
import { writeReports } from '../report/results.ts';
import { aDifference, aRecord, aRun } from '../report/testing.ts';
import { EXIT } from '../trouble.ts';
import { expectRefusal } from './testing.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));
const SERIES = fileURLToPath(new URL('../../fixtures/patches/nesting-cap/posted', import.meta.url));

const cli = (...args: readonly string[]) => execa('node', [BIN, ...args], { reject: false, stdin: 'ignore' });

describe('vfio-conform export', () => {
  let folder: string;
  let report: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vfio-conform-export-'));
    report = join(folder, 'report');
    const run = aRun([aRecord('conforms'), aDifference('differs')], { arguments: ['--kernel', 'nesting-cap/posted'] });
    makeFolder(report);
    await writeReports(report, run);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const [words, message] of [
    [[], /takes a format and a report's folder, found 0 words/],
    [['ktap'], /found 1 words/],
    [['html', 'REPORT'], /there is no format "html"; there are: ktap, kcidb, lava, tmt/],
    [['ktap', '/nowhere'], /there is no report \/nowhere/],
    [['ktap', 'REPORT', '--origin', 'x'], /--origin is for kcidb/],
    [['kcidb', 'REPORT', '--origin', 'My CI'], /--origin takes small letters, digits and _, not "My CI"/],
    [['kcidb', 'REPORT', '--url', 'ftp://x'], /--url takes a URL/],
    [['kcidb', 'REPORT', '--commit', 'HEAD'], /--commit takes 40 hex digits/],
  ] as const) {
    it(`refuses ${words.join(' ') || 'nothing'}, in one line`, async () => {
      expectRefusal(await cli('export', ...words.map((word) => (word === 'REPORT' ? report : word))), message);
    });
  }

  it('writes to standard output, and nothing into the report', async () => {
    const before = await readdir(report);
    const { exitCode, stdout } = await cli('export', 'ktap', report);
    expect(exitCode).to.equal(0);
    expect(stdout.split('\n').at(-1)).to.equal('# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0');
    expect(await readdir(report)).to.deep.equal(before);
  });

  it('writes a file that names the files of the report as they are seen from there', async () => {
    const out = join(folder, 'results.yaml');
    expect((await cli('export', 'tmt', report, '--out', out)).exitCode).to.equal(0);
    const [, one] = parse(await readFile(out, 'utf8')) as { log: string[] }[];
    const logs = await Promise.all((one?.log ?? []).map((path) => readFile(join(folder, path), 'utf8')));
    expect(logs).to.have.length(3);
  });

  it('says so when the file cannot be written', async () => {
    const { exitCode, stderr } = await cli('export', 'ktap', report, '--out', '/dev/null/x');
    expect([exitCode, stderr.split('\n').length]).to.deep.equal([EXIT.hostTrouble, 1]);
  });

  it('hashes the series that the kernel was built with as KCIDB does', async () => {
    const { stdout } = await cli('export', 'kcidb', report);
    const { checkouts } = JSON.parse(stdout) as { checkouts: { patchset_hash: string }[] };
    const names = (await readdir(SERIES)).filter((name) => name.endsWith('.patch')).sort();
    const sums = await Promise.all(names.map(async (name) => sha256(await readFile(join(SERIES, name)))));
    expect(checkouts[0]?.patchset_hash).to.equal(sha256(sums.map((sum) => `${sum}\n`).join('')));
  });
});

const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex');
