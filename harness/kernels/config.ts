/** Kernel configurations: fragments laid over each other, and whether what they ask for really holds in the end. */

/** A symbol and its value as a fragment or .config says it: `y`, `m`, `n`, a number, a quoted text. */
export type Symbols = ReadonlyMap<string, string>;

const SET = /^(CONFIG_[A-Za-z0-9_]+)=(.*)$/;
const UNSET = /^# (CONFIG_[A-Za-z0-9_]+) is not set$/;

/** The symbols that a text sets; of two lines about one symbol the later one counts. */
export const symbolsOf = (text: string): Symbols => {
  const symbols = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, name, value] = SET.exec(line.trim()) ?? [];
    const [, unset] = UNSET.exec(line.trim()) ?? [];
    if (name !== undefined) symbols.set(name, value ?? '');
    else if (unset !== undefined) symbols.set(unset, 'n');
  }
  return symbols;
};

/** Fragments as one: what later ones say of a symbol counts. */
export const merged = (fragments: readonly string[]): string =>
  [...symbolsOf(fragments.join('\n'))].map(([name, value]) => `${name}=${value}\n`).join('');

/** Symbols that are not as they were asked for: Kconfig drops in silence what its dependencies do not allow. */
export const fallenAway = (
  asked: Symbols,
  found: Symbols,
): readonly { readonly name: string; readonly asked: string; readonly found: string }[] =>
  [...asked].flatMap(([name, value]) => {
    const is = found.get(name) ?? 'n';
    return is === value ? [] : [{ name, asked: value, found: is }];
  });
