import { expect } from 'chai';
import fc from 'fast-check';
import { REVISIONS } from '../revisions/index.ts';
import { structsOf } from '../spec/revision.ts';
import { ABIS, I386, X86_64 } from './abis.ts';
import { getDirtyBitmapPosted, getDirtyBitmapReviewed } from './get-dirty-bitmap.ts';
import { type Abi, type CRecord, type CType, holesOn, layoutOn } from './layout.ts';
import { capNestingPosted, capNestingReviewed } from './nesting-cap.ts';
import { array, flexible, pointer, struct, u8, u16, u32, u64 } from './struct.ts';
import { COMPILERS, complaints, layoutChecksInC, whyNot } from './testing.ts';
import { vfioIommuType1Info, vfioIommuType1InfoCapMigration } from './vfio.ts';

describe('holes', () => {
  const tailed = struct('tailed', { a: u64, b: u32, tail: flexible(u8) });
  const cases: readonly [what: string, type: CRecord, abi: Abi, holes: ReturnType<typeof holesOn>][] = [
    [
      'before a 64-bit number',
      vfioIommuType1InfoCapMigration,
      X86_64,
      [{ offset: 12, size: 4, before: 'pgsize_bitmap' }],
    ],
    ['none there on i386', vfioIommuType1InfoCapMigration, I386, []],
    ['at the end', vfioIommuType1Info, X86_64, [{ offset: 20, size: 4 }]],
    ['none at the end on i386', vfioIommuType1Info, I386, []],
    ['none behind the start of a flexible tail', tailed, X86_64, []],
    ['none in what is packed', { ...struct('s', { a: u8, b: u64 }), packed: true }, X86_64, []],
    [
      'at the end of a union',
      { kind: 'union', name: 'u', fields: { a: array(u8, 5), b: u32 } },
      X86_64,
      [{ offset: 5, size: 3 }],
    ],
  ];
  for (const [what, type, abi, holes] of cases) {
    it(what, () => expect(holesOn(abi, type)).to.deep.equal(holes));
  }

  it('where the nesting capability starts its information, posted and reviewed', () => {
    const start = (type: CRecord) => ABIS.map((abi) => layoutOn(abi, type).fields.at(-1)?.offset);
    expect(new Set(start(capNestingPosted))).to.deep.equal(new Set([12]));
    expect(new Set(start(capNestingReviewed))).to.deep.equal(new Set([16]));
  });
});

const scalars: readonly CType[] = [u8, u16, u32, u64, pointer, { kind: 'scalar', scalar: 'long' }];
const alignedU64: CType = { kind: 'scalar', scalar: 'u64', aligned: 8 };

/** Records of all that layouts know: nested, in arrays, packed, aligned, unions. */
const records = fc.letrec<{ readonly field: CType; readonly record: CRecord }>((tie) => ({
  field: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'record' },
    fc.constantFrom(...scalars, alignedU64),
    fc.record({ kind: fc.constant('array' as const), element: tie('field'), count: fc.integer({ min: 1, max: 5 }) }),
    tie('record'),
  ),
  record: fc
    .record({
      kind: fc.constantFrom('struct' as const, 'struct' as const, 'union' as const),
      fields: fc.array(tie('field'), { minLength: 1, maxLength: 6, depthIdentifier: 'record' }),
      packed: fc.boolean(),
      aligned: fc.constantFrom(undefined, undefined, 2, 8, 16),
      alignedFirst: fc.constantFrom(undefined, undefined, 4, 16),
    })
    .map(({ kind, fields, packed, aligned, alignedFirst }) => ({
      kind,
      name: '',
      fields: Object.fromEntries(fields.map((field, index) => [`f${index}`, field])),
      ...(packed ? { packed } : {}),
      ...(aligned === undefined ? {} : { aligned }),
      ...(alignedFirst === undefined ? {} : { alignedFields: { f0: alignedFirst } }),
    })),
}));

let tags = 0;

/** The same with a tag of its own for each record, as C wants it. */
const tagged = <T extends CType>(type: T): T => {
  if (type.kind === 'scalar') return type;
  if (type.kind === 'array') return { ...type, element: tagged(type.element) };
  const fields = Object.fromEntries(Object.entries(type.fields).map(([name, field]) => [name, tagged(field)]));
  tags++;
  return { ...type, name: `r${tags}`, fields };
};

describe('layouts on eight architectures', () => {
  it('are told for the architectures that compilers are asked about', () => {
    expect(ABIS.map(({ name }) => name)).to.have.members([...new Set(COMPILERS.map(([name]) => name))]);
  });

  for (const compiler of COMPILERS) {
    const [name, command, ...options] = compiler;
    const abi = ABIS.find((one) => one.name === name);

    describe(`${command} ${options.join(' ')} (${name})`, () => {
      before(async function () {
        const missing = await whyNot(compiler);
        if (missing === undefined) return;
        console.log(`      skipped: ${missing}`);
        this.skip();
      });

      for (const revision of REVISIONS) {
        it(`agrees on the structs of ${revision.id}`, async () => {
          if (abi === undefined) throw new Error(`no ABI ${name}`);
          expect(await complaints(compiler, layoutChecksInC(structsOf(revision), abi))).to.equal('');
        });
      }

      it('agrees on both forms of the dirty bitmap', async () => {
        if (abi === undefined) throw new Error(`no ABI ${name}`);
        for (const type of [getDirtyBitmapPosted, getDirtyBitmapReviewed]) {
          expect(await complaints(compiler, layoutChecksInC([type], abi))).to.equal('');
        }
      });

      it('agrees on records of any form', async () => {
        if (abi === undefined) throw new Error(`no ABI ${name}`);
        const many = fc.array(records.record, { minLength: 20, maxLength: 40 });
        await fc.assert(
          fc.asyncProperty(many, async (all) => {
            expect(await complaints(compiler, layoutChecksInC(all.map(tagged), abi))).to.equal('');
          }),
          { numRuns: 5 },
        );
      });

      it('would disagree on a struct that lies otherwise', async () => {
        if (abi === undefined) throw new Error(`no ABI ${name}`);
        const told = layoutChecksInC([struct('s', { a: u32, b: u16 })], abi);
        expect(told).to.include('b) == 4');
        expect(await complaints(compiler, told.replace('b) == 4', 'b) == 6'))).to.match(/static.assert(ion)? failed/);
      });
    });
  }
});
