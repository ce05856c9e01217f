import { expect } from 'chai';
import type { Clause } from '../../spec/clause.ts';
import type { Resolution } from './address-space.ts';
import type { Content } from './area.ts';
import { EDU } from './clauses.ts';
import { MemoryObject } from './memory-object.ts';
import { Mm } from './mm.ts';

const PAGE = 4096;
const BASE = 0x1000_0000n;

const pages = (count: number): bigint => BigInt(count * PAGE);

/** Maps pages at BASE (or a number of pages behind it). */
const mapped = (
  space: Mm,
  count: number,
  content: Content,
  { skip = 0, prot = 'rw' }: { skip?: number; prot?: 'rw' | 'r' | 'w' | 'none' } = {},
): void => {
  const start = BASE + pages(skip);
  space.map({
    start,
    end: start + pages(count),
    prot,
    content,
    mayWrite: true,
    granule: BigInt(PAGE),
    file: undefined,
  });
};

const anonymous = (): Content => ({ kind: 'private', copies: new MemoryObject(PAGE), file: undefined, first: 0 });
const shared = (object: MemoryObject, first = 0): Content => ({ kind: 'shared', object, first });
const copyOf = (file: MemoryObject): Content => ({ kind: 'private', copies: new MemoryObject(PAGE), file, first: 0 });

const shapeOf = ({ runs, pages: count }: Resolution): string =>
  `${count}: ${runs.map((run) => `${run.kind}${run.shared ? '*' : ''} ${run.first}+${run.count}`).join(', ')}`;

describe('pinning', () => {
  type Row = {
    readonly map: (space: Mm) => void;
    readonly write?: boolean;
    readonly from?: number;
    readonly gets: string;
  };
  const rows: Readonly<Record<string, Row>> = {
    'what is not mapped': { map: () => undefined, gets: '0: ' },
    'private memory for writing': { map: (s) => mapped(s, 4, anonymous()), write: true, gets: '4: memory 0+4' },
    'private memory that nobody wrote, for reading': { map: (s) => mapped(s, 4, anonymous()), gets: '4: zero 0+4' },
    'private memory that was written in part, for reading': {
      map: (s) => {
        mapped(s, 4, anonymous());
        s.write(BASE + pages(1), Uint8Array.of(1));
        s.fill(BASE + pages(2), pages(1), 0);
      },
      gets: '4: zero 0+1, memory 1+2, zero 3+1',
    },
    'shared memory for reading': {
      map: (s) => mapped(s, 4, shared(new MemoryObject(PAGE, 4 * PAGE))),
      gets: '4: memory* 0+4',
    },
    'a file that ends early': {
      map: (s) => mapped(s, 8, shared(new MemoryObject(PAGE, 2 * PAGE + 1))),
      write: true,
      gets: '3: memory* 0+3',
    },
    'a private mapping of a file that ends early': {
      map: (s) => mapped(s, 8, copyOf(new MemoryObject(PAGE, PAGE))),
      write: true,
      gets: '1: memory 0+1',
    },
    'from behind the end of a file': {
      map: (s) => mapped(s, 8, shared(new MemoryObject(PAGE, PAGE))),
      from: 2,
      gets: '0: ',
    },
    'up to a hole': {
      map: (s) => {
        mapped(s, 8, anonymous());
        s.unmap(BASE + pages(3), BASE + pages(4));
      },
      write: true,
      gets: '3: memory 0+3',
    },
    'up to a page that cannot be touched': {
      map: (s) => {
        mapped(s, 8, anonymous());
        s.protect(BASE + pages(2), BASE + pages(3), 'none');
      },
      write: true,
      gets: '2: memory 0+2',
    },
    'memory of one object that is protected in parts': {
      map: (s) => {
        mapped(s, 8, shared(new MemoryObject(PAGE, 8 * PAGE)));
        s.protect(BASE + pages(2), BASE + pages(4), 'r');
      },
      gets: '8: memory* 0+8',
    },
    'read-only memory for writing': { map: (s) => mapped(s, 4, anonymous(), { prot: 'r' }), write: true, gets: '0: ' },
    'write-only memory for reading': { map: (s) => mapped(s, 4, anonymous(), { prot: 'w' }), gets: '0: ' },
    'write-only memory for writing': {
      map: (s) => mapped(s, 4, anonymous(), { prot: 'w' }),
      write: true,
      gets: '4: memory 0+4',
    },
    'memory and registers': {
      map: (s) => {
        mapped(s, 2, shared(new MemoryObject(PAGE, 2 * PAGE)));
        mapped(
          s,
          2,
          { kind: 'device', device: { load: () => undefined, store: () => undefined }, offset: 0n },
          { skip: 2 },
        );
      },
      write: true,
      gets: '4: memory* 0+2, device* 0+2',
    },
    'two objects side by side': {
      map: (s) => {
        mapped(s, 2, shared(new MemoryObject(PAGE, 8 * PAGE), 4));
        mapped(s, 2, anonymous(), { skip: 2 });
      },
      write: true,
      gets: '4: memory* 4+2, memory 0+2',
    },
  };
  for (const [title, { map, write = false, from = 0, gets }] of Object.entries(rows)) {
    it(`${title} gets ${gets}`, () => {
      const space = new Mm(PAGE);
      map(space);
      const asked = gets === '0: ' ? 4 : 8;
      const resolved = space.resolve(BASE + pages(from), asked, { write });
      expect(shapeOf(resolved)).to.equal(gets);
      expect(space.pin(BASE + pages(from), asked, { write })).to.deep.equal(resolved);
    });
  }

  it('asks, and gets, by runs and areas, not by pages', () => {
    const space = new Mm(PAGE);
    const object = new MemoryObject(PAGE, 2 ** 29);
    const count = 2 ** 29 / PAGE;
    for (let n = 0; n < 128; n++) mapped(space, count, shared(object), { skip: n * count });
    const { runs, pages: got } = space.pin(BASE, 128 * count, { write: true });
    expect(got).to.equal(2 ** 24);
    expect(runs).to.have.length(128);
    expect(object.storeAt(0).store.chunkCount).to.equal(0);

    const own = new Mm(PAGE);
    mapped(own, 2 ** 24, copyOf(new MemoryObject(PAGE, 2 ** 36)));
    expect(own.pin(BASE, 2 ** 24, { write: true }).runs).to.have.length(1);
    expect(own.resolve(BASE, 2 ** 24, { write: false }).runs).to.have.length(1);
  });
});

describe('pinned pages', () => {
  /** A page that is pinned at BASE: what the device reads there and writes there. */
  const pinned = (space: Mm, write = true) => {
    const [run] = space.pin(BASE, 1, { write }).runs;
    if (run === undefined) throw new Error('nothing was pinned');
    return {
      kind: run.kind,
      reads: () => run.pages.read(run.first * PAGE, 1)[0],
      writes: (byte: number) => run.pages.write(run.first * PAGE, Uint8Array.of(byte), EDU),
    };
  };
  const put = (space: Mm, byte: number): void => void space.write(BASE, Uint8Array.of(byte));
  const get = (space: Mm): number | undefined => space.read(BASE, 1)?.[0];

  const contents: Readonly<Record<string, () => Content>> = {
    'private memory': anonymous,
    'shared memory': () => shared(new MemoryObject(PAGE, PAGE)),
    'a private mapping of a file': () => copyOf(new MemoryObject(PAGE, PAGE)),
  };
  for (const [title, content] of Object.entries(contents)) {
    it(`of ${title} are what the process sees`, () => {
      const space = new Mm(PAGE);
      mapped(space, 1, content());
      const device = pinned(space);
      put(space, 1);
      expect(device.reads()).to.equal(1);
      device.writes(2);
      expect(get(space)).to.equal(2);
    });

    it(`of ${title} stay what they are when they are unmapped`, () => {
      const space = new Mm(PAGE);
      mapped(space, 1, content());
      put(space, 1);
      const device = pinned(space);
      space.unmap(BASE, BASE + pages(1));
      mapped(space, 1, anonymous());
      put(space, 2);
      device.writes(device.reads() === 1 ? 3 : 4);
      expect([get(space), device.reads()]).to.deep.equal([2, 3]);
    });

    it(`of ${title} outlive the process`, () => {
      const space = new Mm(PAGE);
      mapped(space, 1, content());
      put(space, 1);
      const device = pinned(space);
      space.die();
      expect([space.alive, get(space), device.reads()]).to.deep.equal([false, undefined, 1]);
    });
  }

  it('stay with the parent when it forks, unless they are shared', () => {
    for (const [title, content] of Object.entries(contents)) {
      const parent = new Mm(PAGE);
      mapped(parent, 1, content());
      put(parent, 1);
      const device = pinned(parent);
      const child = parent.fork();
      put(child, 5);
      device.writes(6);
      const sharedWithChild = title === 'shared memory';
      expect([get(parent), get(child)], title).to.deep.equal(sharedWithChild ? [6, 6] : [6, 5]);
      put(parent, 7);
      expect(device.reads(), title).to.equal(7);
    }
  });

  it('of private memory that nobody wrote are the page of zeros when they are pinned for reading', () => {
    const space = new Mm(PAGE);
    mapped(space, 1, anonymous());
    const device = pinned(space, false);
    put(space, 1);
    expect([device.kind, device.reads()]).to.deep.equal(['zero', 0]);
  });

  it('of a file that is mapped private and not written are the file when they are pinned for reading', () => {
    const space = new Mm(PAGE);
    const file = new MemoryObject(PAGE, PAGE);
    mapped(space, 1, copyOf(file));
    const device = pinned(space, false);
    put(space, 1);
    file.storeAt(0).store.write(0, Uint8Array.of(2));
    expect([get(space), device.reads()]).to.deep.equal([1, 2]);
  });

  it('leave the file when it is cut short, and do not come back with it', () => {
    const space = new Mm(PAGE);
    const file = new MemoryObject(PAGE, PAGE);
    mapped(space, 1, shared(file));
    put(space, 1);
    const device = pinned(space);
    file.resize(0);
    expect(get(space)).to.equal(undefined);
    file.resize(PAGE);
    device.writes(2);
    expect([get(space), device.reads()]).to.deep.equal([0, 2]);
  });
});

describe('an address space', () => {
  it('counts locked pages, and gives a child of fork none', () => {
    const space = new Mm(PAGE);
    const RULE: Clause = { id: 'a/rule', level: 'must', says: 'It counts.', source: 'here' };
    space.charge(7, RULE);
    space.uncharge(3, RULE);
    expect([space.lockedPages, space.fork().lockedPages]).to.deep.equal([4, 0]);
    expect([...space.chargedBy]).to.deep.equal([RULE]);
    expect(() => space.uncharge(5, RULE)).to.throw(RangeError);
  });

  it('says how far an access gets', () => {
    const space = new Mm(PAGE);
    mapped(space, 2, anonymous());
    space.protect(BASE + pages(1), BASE + pages(2), 'r');
    const from = BASE + pages(1) - 4n;
    expect(space.reach(from, 8n, 'read')).to.equal(8n);
    expect(space.reach(from, 8n, 'write')).to.equal(4n);
    expect(space.write(from, new Uint8Array(8).fill(1))).to.equal(4);
    expect(space.read(from, 8)).to.deep.equal(Uint8Array.of(1, 1, 1, 1, 0, 0, 0, 0));
    expect(space.read(from, PAGE + 8)).to.equal(undefined);
    expect(space.reach(0n, 1n, 'read')).to.equal(0n);
    expect(space.reach((1n << 64n) - 1n, 1n, 'write')).to.equal(0n);
  });

  it('holds the files of its mappings as long as any part of them is mapped', () => {
    let holders = 0;
    const file = { hold: () => void holders++, drop: () => void holders-- };
    const space = new Mm(PAGE);
    const area = {
      start: BASE,
      end: BASE + pages(4),
      prot: 'rw',
      content: anonymous(),
      mayWrite: true,
      granule: BigInt(PAGE),
      file,
    } as const;
    space.map(area);
    space.unmap(BASE + pages(1), BASE + pages(2));
    space.protect(BASE + pages(2), BASE + pages(3), 'r');
    const child = space.fork();
    space.unmap(BASE, BASE + pages(4));
    expect(holders > 0).to.equal(true);
    child.die();
    expect(holders).to.equal(0);
  });

  it('finds places of its own, aligned, apart from one another and always the same', () => {
    const place = (): readonly (bigint | undefined)[] => {
      const space = new Mm(PAGE);
      return [pages(1), pages(1 << 18), pages(3)].map((size, index) => {
        const align = 1n << BigInt(12 + index * 9);
        const start = space.freePlace(size, align);
        if (start === undefined) return undefined;
        expect(start % align).to.equal(0n);
        expect(space.isFree(start - pages(1), start + size + pages(1))).to.equal(true);
        space.map({
          start,
          end: start + size,
          prot: 'rw',
          content: anonymous(),
          mayWrite: true,
          granule: align,
          file: undefined,
        });
        return start;
      });
    };
    expect(place()).to.deep.equal(place());
    expect(new Mm(PAGE).freePlace(1n << 47n, pages(1))).to.equal(undefined);
  });
});
