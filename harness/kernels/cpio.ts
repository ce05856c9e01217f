/** Writes archives in the form that the kernel unpacks as its first root file system: cpio "newc". */

/** One entry. Paths are absolute; folders that lead to it are made without being asked for. `mode` is permissions only. */
export type Entry =
  | { readonly kind: 'file'; readonly path: string; readonly mode: number; readonly bytes: Uint8Array }
  | { readonly kind: 'link'; readonly path: string; readonly target: string }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number }
  | {
      readonly kind: 'device';
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

/** File types as in st_mode. */
const TYPE = { file: 0o100000, link: 0o120000, folder: 0o040000, device: 0o020000 } as const;

/**
 * The archive of these entries. The same entries make the same bytes, in whatever order they come: names are sorted,
 * everything belongs to root, nothing has a time. The kernel unpacks several archives that follow each other, and a
 * file of a later one replaces that of an earlier one.
 */
export const cpioArchive = (entries: readonly Entry[]): Uint8Array => {
  const all = new Map<string, Entry>();
  for (const entry of entries) {
    for (const path of parents(entry.path)) if (!all.has(path)) all.set(path, { kind: 'folder', path, mode: 0o755 });
  }
  for (const entry of entries) all.set(entry.path, entry);
  const sorted = [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
  const parts = sorted.flatMap((entry, index) => record(entry, index + 1));
  const archive = Buffer.concat([...parts, ...record(END, 0)]);
  // A following archive has to begin at a multiple of four; 512 is what cpio itself pads to.
  return Buffer.concat([archive, Buffer.alloc(-archive.length & 511)]);
};

const END: Entry = { kind: 'file', path: '/TRAILER!!!', mode: 0, bytes: new Uint8Array() };

/** `/a/b/c` leads through `/a` and `/a/b`. */
const parents = (path: string): readonly string[] => {
  const names = path.split('/').slice(1, -1);
  return names.map((_, index) => `/${names.slice(0, index + 1).join('/')}`);
};

const record = (entry: Entry, inode: number): readonly Uint8Array[] => {
  const name = Buffer.from(`${entry.path.slice(1)}\0`);
  const data = entry.kind === 'file' ? entry.bytes : Buffer.from(entry.kind === 'link' ? entry.target : '');
  const [major, minor] = entry.kind === 'device' ? [entry.major, entry.minor] : [0, 0];
  const mode = entry === END ? 0 : TYPE[entry.kind] | (entry.kind === 'link' ? 0o777 : entry.mode);
  const links = entry.kind === 'folder' ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`);
  return [padded(Buffer.concat([header, name])), padded(data)];
};

/** Both the name and the data end at a multiple of four bytes, counted from the start of the archive. */
const padded = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
