import { readFileSync, writeFileSync } from 'node:fs';
import { expect } from 'chai';
import { z } from 'zod';
import { JournalLine } from './journal.ts';
import { CaseRecord, RunRecord } from './record.ts';
import { schemaPage } from './schema-page.ts';

const PAGE = new URL('../../docs/results-schema.md', import.meta.url);

describe('docs/results-schema.md', () => {
  it('says what the schemas say', () => {
    const { UPDATE_DOCS } = process.env;
    if (UPDATE_DOCS === '1') writeFileSync(PAGE, schemaPage());
    expect(readFileSync(PAGE, 'utf8')).to.equal(schemaPage());
  });

  it('leaves no field without a word about it', () => {
    const silent = [RunRecord, CaseRecord, ...JournalLine.options].flatMap((schema) =>
      Object.entries(schema.shape)
        .filter(([, field]) => (z.toJSONSchema(field).description ?? z.toJSONSchema(schema).description) === undefined)
        .map(([name]) => name),
    );
    expect(silent).to.deep.equal([]);
  });
});
