import { expect } from 'chai';
import fc from 'fast-check';
import { EDU, EMULATED, MEMORY_CONTENT, TEST_DEVICES } from './clauses.ts';
import { contentRules, countOther, hashOf } from './content.ts';
import { PageStore } from './page-store.ts';

const PAGE = 16;
const SIZE = PAGE * 12;

/** The same memory as an array of bytes; `undefined` is unknown. */
type Plain = (number | undefined)[];

const seen = (store: PageStore, at: number, size: number): Plain =>
  contentRules(size, (see) => store.visit(at, size, see)).flatMap(({ bytes }) =>
    typeof bytes === 'number' ? Array<undefined>(bytes).fill(undefined) : [...bytes],
  );

describe('PageStore', () => {
  it('holds what an array of bytes would hold', () => {
    const range = fc.tuple(fc.nat(SIZE), fc.nat(SIZE)).map(([a, b]) => ({ at: Math.min(a, b), size: Math.abs(a - b) }));
    const act = fc.record({
      kind: fc.constantFrom('write', 'fill', 'forget', 'conceal', 'copy', 'swap'),
      range,
      byte: fc.nat(255),
      to: fc.nat(SIZE),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 40 }), (acts) => {
        let stores: [PageStore, PageStore] = [new PageStore(PAGE), new PageStore(PAGE)];
        let plains: [Plain, Plain] = [Array(SIZE).fill(0), Array(SIZE).fill(0)];
        for (const {
          kind,
          range: { at, size },
          byte,
          to,
        } of acts) {
          const [store, other] = stores;
          const [plain, otherPlain] = plains;
          switch (kind) {
            case 'write':
              store.write(
                at,
                new Uint8Array(size).map((_, index) => byte + index),
              );
              for (let i = 0; i < size; i++) plain[at + i] = (byte + i) & 0xff;
              break;
            case 'fill':
              store.fill(at, size, byte);
              plain.fill(byte, at, at + size);
              break;
            case 'forget':
              store.fill(at, size, undefined);
              plain.fill(undefined, at, at + size);
              break;
            case 'conceal':
              store.conceal(at, size);
              plain.fill(undefined, at, at + size);
              break;
            case 'copy': {
              const length = Math.min(size, SIZE - to);
              store.copyBytes(to, other, at, length);
              plain.splice(to, length, ...otherPlain.slice(at, at + length));
              break;
            }
            default: {
              // The second store becomes a copy of the first one, and they change places.
              const copy = new PageStore(PAGE);
              copy.copyFrom(store, 0, SIZE / PAGE);
              stores = [copy, store];
              plains = [[...plain], plain];
            }
          }
          expect(seen(stores[0], 0, SIZE)).to.deep.equal(plains[0]);
          expect(seen(stores[1], 0, SIZE)).to.deep.equal(plains[1]);
        }
      }),
      { numRuns: 300, seed: 3 },
    );
  });

  it('takes entries for what was written, not for what there is', () => {
    const store = new PageStore(4096);
    store.fill(100, 2 ** 40, 7);
    store.write(2 ** 39, Uint8Array.of(1));
    // Two ends that are parts of a page, two halves of the fill, and the page that was written.
    expect(store.chunkCount).to.equal(5);
    const copy = new PageStore(4096);
    copy.makePresent(0, 2 ** 29, store);
    expect(copy.chunkCount).to.be.at.most(7);
    expect(copy.read(2 ** 39 - 1, 3)).to.deep.equal(Uint8Array.of(7, 1, 7));
    let pieces = 0;
    copy.visit(0, 2 ** 40, () => {
      pieces++;
    });
    expect(pieces).to.be.at.most(5);
  });

  it('gives zeros to pages that were never made, and tells them from made ones', () => {
    const store = new PageStore(PAGE);
    store.makePresent(2, 4);
    store.write(4 * PAGE + 3, Uint8Array.of(1));
    store.fill(6 * PAGE, PAGE, 0);
    const presence: unknown[] = [];
    store.visitPresence(1, 8, (...range) => presence.push(range));
    expect(presence).to.deep.equal([
      [false, 1, 2],
      [true, 2, 5],
      [false, 5, 6],
      [true, 6, 7],
      [false, 7, 8],
    ]);
    expect([...store.read(0, 8 * PAGE)].filter((byte) => byte !== 0)).to.deep.equal([1]);
  });

  it('remembers by page which clause says what its bytes are', () => {
    const store = new PageStore(PAGE);
    store.fill(0, 4 * PAGE, 1);
    store.write(PAGE + 2, Uint8Array.of(9), EDU);
    store.write(3 * PAGE, Uint8Array.of(9), EDU);
    store.write(3 * PAGE + 1, Uint8Array.of(9));
    const rules = contentRules(4 * PAGE, (see) => store.visit(0, 4 * PAGE, see));
    expect(rules.map(({ at, bytes, clause }) => [at, (bytes as Uint8Array).length, clause])).to.deep.equal([
      [0, PAGE, MEMORY_CONTENT],
      [PAGE, PAGE, EDU],
      [2 * PAGE, 2 * PAGE, MEMORY_CONTENT],
    ]);
  });

  it('tells bytes apart that another clause explains, until their page is written again', () => {
    const store = new PageStore(PAGE);
    const seen = () =>
      contentRules(8, (see) => store.visit(0, 8, see)).map(({ at, bytes, clause }) => [
        at,
        (bytes as Uint8Array).length,
        clause,
      ]);
    store.write(0, new Uint8Array(8).fill(1), EDU);
    store.explain(1, 5, TEST_DEVICES);
    store.explain(2, 2, EMULATED);
    expect(seen()).to.deep.equal([
      [0, 1, EDU],
      [1, 1, TEST_DEVICES],
      [2, 2, EMULATED],
      [4, 2, TEST_DEVICES],
      [6, 2, EDU],
    ]);
    store.write(7, Uint8Array.of(1), EDU);
    expect(seen()).to.deep.equal([[0, 8, EDU]]);
  });

  it('hashes and counts a fill like the bytes it stands for', () => {
    for (const byte of [0, 1, 0xa5]) {
      const filled = new PageStore(PAGE);
      const written = new PageStore(PAGE);
      filled.fill(0, 20 * PAGE, byte);
      written.write(0, new Uint8Array(20 * PAGE).fill(byte));
      for (const size of [0, 1, PAGE + 1, 20 * PAGE]) {
        const of = (store: PageStore) => (see: Parameters<PageStore['visit']>[2]) => store.visit(3, size - 3, see);
        if (size > 3) expect(hashOf(of(filled))).to.deep.equal(hashOf(of(written)));
        if (size > 3) expect(countOther(of(filled), 1)).to.equal(byte === 1 ? 0 : size - 3);
      }
    }
  });
});
