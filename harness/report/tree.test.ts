import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import { aDifference, aRecord, aRun, inFolder } from './testing.ts';
import { caseFolder, slug, writeCase } from './tree.ts';

const SLUGS: Readonly<Record<string, RegExp>> = {
  identical: /^identical$/,
  'whole mapping rule': /^whole-mapping-rule$/,
  'a-b': /^a-b-[0-9a-f]{8}$/,
  'Size: 2^64 - 1': /^size-2-64-1-[0-9a-f]{8}$/,
  '../../etc/passwd': /^etc-passwd-[0-9a-f]{8}$/,
  '..': /^case-[0-9a-f]{8}$/,
  '': /^case-[0-9a-f]{8}$/,
  '\0\u001b/': /^case-[0-9a-f]{8}$/,
};

describe('result tree', () => {
  for (const [text, pattern] of Object.entries(SLUGS)) {
    it(`names a folder for ${JSON.stringify(text)}`, () => {
      expect(slug(text)).to.match(pattern);
    });
  }

  it('never leaves its folder, never makes a long name, and keeps two titles apart', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), (area, clause, title) => {
        const folder = caseFolder({ id: '', area, clause: `${area}/${clause}`, title });
        expect(normalize(folder)).to.equal(folder);
        expect(folder).to.match(/^cases(\/[a-z0-9][a-z0-9-]{0,71}){3}$/);
      }),
    );
    expect(slug('a b')).not.to.equal(slug('a-b'));
    expect(slug('A b')).not.to.equal(slug('a b'));
    expect(slug('x'.repeat(4000))).not.to.equal(slug('x'.repeat(4001)));
  });

  it('holds program, observation, kernel log, verdict, and how to run the case again', () =>
    inFolder(async (folder) => {
      const record = aDifference('identical', { kernelLog: ['one', 'two'] });
      writeCase(folder, record, aRun([], { arguments: ['--kernel', '6.12'] }));
      const at = join(folder, 'cases/type1/map-overlap/identical');
      const read = (name: string): string => readFileSync(join(at, name), 'utf8');
      expect(readdirSync(at).sort()).to.deep.equal([
        'how-to-run.txt',
        'kernel-log.txt',
        'observed.txt',
        'program.txt',
        'verdict.json',
      ]);
      expect(read('program.txt')).to.equal(record.program);
      expect(read('observed.txt')).to.equal(record.observed);
      expect(read('kernel-log.txt')).to.equal('one\ntwo\n');
      expect(read('how-to-run.txt')).to.include("run --kernel 6.12 --grep 'type1/map-overlap: identical'");
      expect(JSON.parse(read('verdict.json'))).to.deep.include({ verdict: 'diverges', broken: record.broken });
    }));

  it('has no kernel log when there was nothing in it', () =>
    inFolder(async (folder) => {
      writeCase(folder, aRecord('identical', { kernelLog: [] }), aRun([]));
      expect(readdirSync(join(folder, 'cases/type1/map-overlap/identical'))).not.to.include('kernel-log.txt');
    }));

  it('says when a host does not show its kernel log', () =>
    inFolder(async (folder) => {
      writeCase(folder, aRecord('identical'), aRun([]));
      const log = join(folder, 'cases/type1/map-overlap/identical/kernel-log.txt');
      expect(existsSync(log)).to.equal(true);
      expect(readFileSync(log, 'utf8')).to.include('does not let its kernel log be read');
    }));
});
