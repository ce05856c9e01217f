import { expect } from 'chai';
import fc from 'fast-check';
import { type Interval, IntervalMap } from './interval-map.ts';

/** The same map as an array that is searched from end to end: too plain to be wrong. */
const naive = () => {
  let entries: Interval[] = [];
  const overlapping = (start: bigint, end: bigint) =>
    start < end ? entries.filter((entry) => entry.start < end && start < entry.end) : [];
  return {
    entries: () => entries,
    overlapping,
    insert: (entry: Interval) => {
      if (entry.end <= entry.start || overlapping(entry.start, entry.end).length > 0) throw new RangeError('no');
      entries = [...entries, entry].sort((a, b) => (a.start < b.start ? -1 : 1));
    },
    delete: (start: bigint) => {
      const found = entries.find((entry) => entry.start === start);
      entries = entries.filter((entry) => entry !== found);
      return found;
    },
    atOrBefore: (point: bigint) => entries.filter((entry) => entry.start <= point).at(-1),
    atOrAfter: (point: bigint) => entries.find((entry) => entry.start >= point),
  };
};

const visited = (map: IntervalMap<Interval>, start: bigint, end: bigint): Interval[] => {
  const seen: Interval[] = [];
  map.visit(start, end, (entry) => {
    seen.push(entry);
    return true;
  });
  return seen;
};

/** Both throw or neither does, with the same result. */
const outcomeOf = <T>(act: () => T): T | 'refused' => {
  try {
    return act();
  } catch (error) {
    expect(error).to.be.instanceOf(RangeError);
    return 'refused';
  }
};

describe('IntervalMap', () => {
  it('does what an array searched from end to end does', () => {
    const point = fc.bigInt({ min: 0n, max: 600n });
    const act = fc.record({
      kind: fc.constantFrom('insert', 'insert', 'insert', 'delete', 'find', 'range'),
      a: point,
      length: fc.bigInt({ min: 0n, max: 5n }),
    });
    fc.assert(
      fc.property(fc.array(act, { maxLength: 900, size: 'max' }), (acts) => {
        const map = new IntervalMap<Interval>();
        const model = naive();
        for (const { kind, a, length } of acts) {
          const entry = { start: a, end: a + length };
          switch (kind) {
            case 'insert':
              expect(outcomeOf(() => map.insert(entry))).to.equal(outcomeOf(() => model.insert(entry)));
              break;
            case 'delete':
              expect(map.delete(a)).to.equal(model.delete(a));
              break;
            case 'find':
              expect(map.atOrBefore(a)).to.equal(model.atOrBefore(a));
              expect(map.atOrAfter(a)).to.equal(model.atOrAfter(a));
              expect(map.containing(a)).to.equal(model.overlapping(a, a + 1n)[0]);
              expect(map.get(a)).to.equal(model.entries().find(({ start }) => start === a));
              break;
            default:
              expect(map.overlapping(a, a + length)).to.equal(model.overlapping(a, a + length)[0]);
              expect(visited(map, a, a + length * 40n)).to.deep.equal(model.overlapping(a, a + length * 40n));
          }
          expect(map.size).to.equal(model.entries().length);
        }
        expect([...map]).to.deep.equal(model.entries());
      }),
      { numRuns: 60, seed: 6 },
    );
  });

  /** Orders of insertion and deletion that make leaves split, shrink and vanish in every place. */
  const orders: Readonly<Record<string, (index: number, count: number) => number>> = {
    ascending: (index) => index,
    descending: (index, count) => count - 1 - index,
    'from both ends': (index, count) => (index % 2 === 0 ? index / 2 : count - 1 - (index - 1) / 2),
    scattered: (index, count) => (index * 7919) % count,
  };

  for (const [inserting, insertAt] of Object.entries(orders)) {
    for (const [deleting, deleteAt] of Object.entries(orders)) {
      it(`keeps its order when filled ${inserting} and emptied ${deleting}`, () => {
        const count = 1000;
        const map = new IntervalMap<Interval>();
        const left = new Set(Array.from({ length: count }, (_, n) => n));
        const entryAt = (n: number) => ({ start: BigInt(n) * 16n, end: BigInt(n) * 16n + 16n });
        for (let i = 0; i < count; i++) map.insert(entryAt(insertAt(i, count)));
        expect([...map].map(({ start }) => start)).to.deep.equal(
          Array.from({ length: count }, (_, n) => BigInt(n) * 16n),
        );
        for (let i = 0; i < count; i++) {
          const n = deleteAt(i, count);
          const start = BigInt(n) * 16n;
          expect(map.containing(start + 15n)?.start).to.equal(start);
          expect(map.delete(start)?.start).to.equal(start);
          left.delete(n);
          let [before, after] = [n, n];
          while (before >= 0 && !left.has(before)) before--;
          while (after < count && !left.has(after)) after++;
          expect(map.atOrBefore(start + 8n)?.start).to.equal(before < 0 ? undefined : BigInt(before) * 16n);
          expect(map.atOrAfter(start)?.start).to.equal(after === count ? undefined : BigInt(after) * 16n);
          expect(map.overlapping(start, start + 16n)).to.equal(undefined);
        }
        expect(map.size).to.equal(0);
        expect([...map]).to.deep.equal([]);
      });
    }
  }

  it('reaches the whole of the 64-bit space', () => {
    const top = 1n << 64n;
    const map = new IntervalMap<Interval>();
    map.insert({ start: top - 4096n, end: top });
    map.insert({ start: 0n, end: 1n });
    expect(map.containing(top - 1n)?.start).to.equal(top - 4096n);
    expect(map.overlapping(1n, top - 4096n)).to.equal(undefined);
    expect(visited(map, 0n, top)).to.have.length(2);
  });

  it('stops a visit when it is told to', () => {
    const map = new IntervalMap<Interval>();
    for (let n = 0n; n < 1000n; n++) map.insert({ start: n, end: n + 1n });
    const seen: bigint[] = [];
    map.visit(10n, 900n, ({ start }) => {
      seen.push(start);
      return start < 12n;
    });
    expect(seen).to.deep.equal([10n, 11n, 12n]);
  });

  it('is empty after clear', () => {
    const map = new IntervalMap<Interval>();
    for (let n = 0n; n < 1000n; n++) map.insert({ start: n, end: n + 1n });
    map.clear();
    expect(map.size).to.equal(0);
    expect(map.containing(5n)).to.equal(undefined);
    map.insert({ start: 5n, end: 6n });
    expect([...map]).to.have.length(1);
  });

  it('searches a number of entries that grows with the logarithm of the size', () => {
    let reads = 0;
    const entryAt = (start: bigint): Interval => ({
      get start() {
        reads++;
        return start;
      },
      end: start + 1n,
    });
    const readsAt = (count: number): number => {
      const map = new IntervalMap<Interval>();
      for (let n = 0; n < count; n++) map.insert(entryAt(BigInt((n * 7919) % count) * 2n));
      reads = 0;
      for (let n = 0; n < 100; n++) {
        const start = BigInt(n * 2 + 1);
        map.containing(start);
        map.insert(entryAt(start));
        map.overlapping(start, start + 1n);
        map.delete(start);
      }
      return reads;
    };
    expect(readsAt(65_535)).to.be.at.most(readsAt(10) * 2);
  });
});
