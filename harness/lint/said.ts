import type { Comment } from './lexer.ts';

/** What a comment says of a request: `NAME - _IOW(TYPE, NUMBER, struct TAG)`. */
export interface Said {
  readonly macro: string;
  readonly line: number;
  /** The struct's tag. */
  readonly argument?: string;
}

/** How far before its macro a name may begin, and how long what the macro takes may be: no text takes long to read. */
const NEAR = 200;

/** What comments say of requests, by their names; what is said first counts. */
export const saidIn = (comments: readonly Comment[]): ReadonlyMap<string, Said> => {
  const said = new Map<string, Said>();
  for (const { text, line } of comments) {
    let [row, from] = [line, 0];
    for (const { 0: macro, index } of text.matchAll(/_IO(?:WR|W|R)?(?=\()/g)) {
      row += text.slice(from, index).split('\n').length - 1;
      from = index;
      const [whole, name] = /(\w+)[\s*]{0,50}-?[\s*]{0,50}$/.exec(text.slice(Math.max(0, index - NEAR), index)) ?? [];
      if (whole === undefined || name === undefined || said.has(name)) continue;
      const argument = structOf(text.slice(index + macro.length, index + macro.length + NEAR));
      const above = whole.split('\n').length - 1;
      said.set(name, { macro, line: row - above, ...(argument === undefined ? {} : { argument }) });
    }
  }
  return said;
};

/** The struct within the brackets that come next; lines begin with stars. */
const structOf = (text: string): string | undefined =>
  /\bstruct (\w+)/.exec((/^\(([^)]*)/.exec(text)?.[1] ?? '').replace(/[\s*]+/g, ' '))?.[1];
