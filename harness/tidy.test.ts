import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { type Reach, ROOMS, type Room } from './rooms.ts';
import type { Clause } from './spec/clause.ts';
import { skipBecause } from './testing.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** One import of a file of the project; paths are relative to the root. */
interface Import {
  readonly from: string;
  readonly to: string;
  readonly reach: Reach;
}

const GROUND = 'ground';
const STATIC = /^(?:import|export)\s+(type\s)?[^;'"`]*?from\s*'(\.[^']*)'/gm;
const BARE = /^import\s*'(\.[^']*)'/gm;
const DYNAMIC = /\bimport\(\s*'(\.[^']*)'/g;

/** The room of a file: the folder in `harness/`, `suites`, or the ground below them all. */
const roomOf = (path: string): string => {
  const [first, second, third] = path.split('/');
  if (first === 'suites') return 'suites';
  return third === undefined || second === undefined ? GROUND : second;
};

const isTest = (path: string): boolean => /(\.test|\/testing(-[a-z]+)?|\/testbed|\/arbitrary)\.ts$/.test(path);

/** The imports of project files that a text has. A mixed import counts whole: it is loaded at run time. */
const importsOf = (from: string, text: string): readonly Import[] => {
  const found = (specifier: string | undefined, reach: Reach): Import => ({
    from,
    to: normalize(join(dirname(from), specifier ?? '')),
    reach,
  });
  return [
    ...[...text.matchAll(STATIC)].map(([, type, path]) => found(path, type === undefined ? 'all' : 'types')),
    ...[...text.matchAll(BARE), ...text.matchAll(DYNAMIC)].map(([, path]) => found(path, 'all')),
  ];
};

const grants = (granted: Reach | undefined, reach: Reach): boolean => granted === 'all' || granted === reach;

const allowed = (room: Room, { from, to, reach }: Import): boolean =>
  grants(room.imports[roomOf(to)], reach) || (isTest(from) && grants(room.tests?.[roomOf(to)], reach));

/** Imports that the table does not allow, as sentences. */
const trespasses = (rooms: readonly Room[], imports: readonly Import[]): readonly string[] =>
  imports
    .filter(({ from, to }) => roomOf(from) !== roomOf(to) && roomOf(from) !== GROUND && roomOf(to) !== GROUND)
    .filter((one) => !rooms.some((room) => room.name === roomOf(one.from) && allowed(room, one)))
    .map(({ from, to, reach }) => `${from} imports ${reach === 'types' ? 'types of ' : ''}${to}`);

/** Permissions wider than any import needs; what the room itself needs is not asked of its tests again. */
const stale = (rooms: readonly Room[], imports: readonly Import[]): readonly string[] =>
  rooms.flatMap((room) => {
    const uses = (tests: boolean, name: string, reach: Reach) =>
      imports.some(
        ({ from, to, reach: taken }) =>
          isTest(from) === tests && roomOf(from) === room.name && roomOf(to) === name && taken === reach,
      );
    const unused = (given: Room['imports'] = {}, tests: boolean) =>
      Object.entries(given)
        .filter(([name, reach]) => !uses(tests, name, reach))
        .map(([name, reach]) => `${room.name}${tests ? ' (tests)' : ''} never imports ${reach} of ${name}`);
    return [...unused(room.imports, false), ...unused(room.tests, true)];
  });

const sources = async (): Promise<readonly { readonly path: string; readonly text: string }[]> => {
  const lists = await Promise.all(
    ['harness', 'suites'].map(async (folder) =>
      (await readdir(join(ROOT, folder), { recursive: true })).map((path) => `${folder}/${path}`),
    ),
  );
  const paths = lists.flat().filter((path) => path.endsWith('.ts'));
  return Promise.all(paths.sort().map(async (path) => ({ path, text: await readFile(join(ROOT, path), 'utf8') })));
};

describe('the rooms', () => {
  let imports: readonly Import[] = [];
  let paths: readonly string[] = [];

  before(async () => {
    const files = await sources();
    paths = files.map(({ path }) => path);
    imports = files.flatMap(({ path, text }) => importsOf(path, text));
  });

  it('have a row each, in the table and in ARCHITECTURE.md', async () => {
    const names = ROOMS.map(({ name }) => name).sort();
    expect([...new Set(paths.map(roomOf))].filter((room) => room !== GROUND).sort()).to.deep.equal(names);
    const page = await readFile(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
    const rows = [...page.matchAll(/^\| `(?:harness\/)?([a-z]+)` \|/gm)].map(([, name]) => name);
    expect(rows.sort()).to.deep.equal(names);
  });

  it('build only on rooms below them', () => {
    for (const [index, { name, imports: given }] of ROOMS.entries()) {
      const below = ROOMS.slice(0, index).map((room) => room.name);
      expect(below, name).to.include.members(Object.keys(given));
    }
  });

  it('import only what the table allows', () => {
    expect(trespasses(ROOMS, imports)).to.deep.equal([]);
  });

  it('are allowed nothing that they never use', () => {
    expect(stale(ROOMS, imports)).to.deep.equal([]);
  });

  it('ship nothing that is built on tests', () => {
    const mixed = imports.filter(({ from, to }) => !isTest(from) && isTest(to));
    expect(mixed.map(({ from, to }) => `${from} imports ${to}`)).to.deep.equal([]);
  });

  it('stand on a ground that imports no room', () => {
    const upwards = imports.filter(({ from, to }) => !isTest(from) && roomOf(from) === GROUND && roomOf(to) !== GROUND);
    expect(upwards).to.deep.equal([]);
  });
});

describe('the reading of imports', () => {
  const rooms: readonly Room[] = [{ name: 'hosts', imports: { wire: 'all', kernels: 'types' } }];
  const read = (text: string) => trespasses(rooms, importsOf('harness/hosts/one.ts', text));

  for (const [text, found] of [
    ["import { a } from '../wire/a.ts';", []],
    ["import type { A } from '../kernels/a.ts';", []],
    ["import { type A, b } from '../kernels/a.ts';", ['harness/hosts/one.ts imports harness/kernels/a.ts']],
    ["import {\n  a,\n  b,\n} from '../model/a.ts';", ['harness/hosts/one.ts imports harness/model/a.ts']],
    ["import type { A } from '../model/a.ts';", ['harness/hosts/one.ts imports types of harness/model/a.ts']],
    ["export * from '../model/a.ts';", ['harness/hosts/one.ts imports harness/model/a.ts']],
    ["import '../model/a.ts';", ['harness/hosts/one.ts imports harness/model/a.ts']],
    ["const a = await import('../model/a.ts');", ['harness/hosts/one.ts imports harness/model/a.ts']],
  ] as const) {
    it(`judges ${JSON.stringify(text)}`, () => {
      expect(read(text)).to.deep.equal(found);
    });
  }

  it('reports what is granted and not used', () => {
    const used = importsOf('harness/hosts/one.ts', "import type { A } from '../wire/a.ts';");
    expect(stale(rooms, used)).to.deep.equal([
      'hosts never imports all of wire',
      'hosts never imports types of kernels',
    ]);
  });
});

const isClause = (value: unknown): value is Clause =>
  typeof value === 'object' && value !== null && 'id' in value && 'says' in value && 'source' in value;

/** Files that state the same clauses for rival revisions, which never hold together. */
const RIVALS = ['posted', 'landed', 'later'] as const;

/** The clauses that modules of the model export, singly or in lists, each object once; `rival` leaves out the other rivals. */
const exportedClauses = async (rival: (typeof RIVALS)[number]): Promise<readonly Clause[]> => {
  const others = RIVALS.filter((one) => one !== rival).map((one) => `/${one}.ts`);
  const files = (await sources()).filter(
    ({ path }) => roomOf(path) === 'model' && !isTest(path) && !others.some((other) => path.endsWith(other)),
  );
  const modules = await Promise.all(
    files.map(({ path }): Promise<Readonly<Record<string, unknown>>> => import(pathToFileURL(join(ROOT, path)).href)),
  );
  return [...new Set(modules.flatMap((exported) => Object.values(exported).flat()).filter(isClause))];
};

describe('clauses', () => {
  for (const rival of RIVALS) {
    it(`are stated once under an id, with a sentence and a source, beside what was ${rival}`, async () => {
      const clauses = await exportedClauses(rival);
      const ids = clauses.map(({ id }) => id);
      expect(ids).not.to.deep.equal([]);
      expect(ids.filter((id, index) => ids.indexOf(id) !== index)).to.deep.equal([]);
      for (const { id, says, source } of clauses) {
        expect(says, id).to.match(/^[A-Z].*\.$/s);
        expect(source, id).to.match(/\S/);
      }
    });
  }
});

/** Paths of somebody's machine; the home folder of a virtual machine's only user and an example's `me` are nobody's. */
const MACHINE_PATH = /(?<![\w.@$}-])\/(?:work|home|root)\/(?!\.ssh\b|me\/)/;

/** What Biome lets pass, or would be told to: ways round the type checker, tests that silence the others, and tests that are skipped without a word. */
const BACK_DOORS = [
  /@ts-(?:ignore|nocheck|expect-error)/,
  /\.only\(/,
  /\w!:/,
  /biome-ignore/,
  /(?:\)|=>) this\.skip\(\)/,
] as const;

describe('the text of the project', () => {
  it('names no path of the machine that it was written on', async function () {
    const listed = await execa('git', ['ls-files', '-z'], { cwd: ROOT, reject: false });
    if (listed.exitCode !== 0) skipBecause(this, 'this is no git checkout');
    const marked = await Promise.all(
      listed.stdout
        .split('\0')
        .filter((path) => path !== '')
        .map(async (path) => {
          const text = await readFile(join(ROOT, path), 'utf8').catch(() => '');
          const line = text.includes('\0') ? -1 : text.split('\n').findIndex((one) => MACHINE_PATH.test(one));
          return line < 0 ? [] : [`${path}:${line + 1}`];
        }),
    );
    expect(marked.flat()).to.deep.equal([]);
  });

  it('goes round neither the type checker nor the linter', async () => {
    const found = (await sources()).flatMap(({ path, text }) =>
      BACK_DOORS.filter((door) => door.test(text)).map((door) => `${path}: ${door.source}`),
    );
    expect(found.filter((one) => !one.startsWith('harness/tidy.test.ts'))).to.deep.equal([]);
  });

  it('would be caught', () => {
    const somebodys = ['work', 'home', 'root'].map((folder) => `see /${folder}/somebody/file`);
    for (const text of somebodys) expect(text).to.match(MACHINE_PATH);
    for (const text of ['/home/me/.ssh', '/root/.ssh', 'rooms/home/x']) expect(text).not.to.match(MACHINE_PATH);
  });
});
