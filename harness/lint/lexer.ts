/** Cuts C text into tokens, comments and directives. Every text can be cut: what is no C becomes tokens all the same. */

/** A line of the text, where it stands in the file, and whether a patch added it or took something away before it. */
export interface Line {
  readonly text: string;
  readonly line: number;
  readonly changed: boolean;
}

interface Place {
  /** In the file that was given, from 1 on. */
  readonly line: number;
  readonly changed: boolean;
}

export interface Token extends Place {
  readonly kind: 'word' | 'number' | 'char' | 'string' | 'punct' | 'directive';
  readonly text: string;
  /** Of a directive: what follows its name. */
  readonly body: readonly Token[];
}

export interface Comment {
  readonly text: string;
  /** Where it begins. */
  readonly line: number;
}

export interface Lexed {
  readonly tokens: readonly Token[];
  readonly comments: readonly Comment[];
}

/** Each takes one thing from where the last one ended, and none can take long: they never look back. */
const FORMS = {
  space: /(?:[^\S\n]|\\\r?\n)+/y,
  newline: /\n/y,
  comment: /\/\/[^\n]*|\/\*/y,
  word: /[A-Za-z_]\w*/y,
  number: /\d[\w.]*/y,
  string: /"(?:[^"\\\n]|\\.)*"?/y,
  char: /'(?:[^'\\\n]|\\.)*'?/y,
  punct: /<<|>>|[\s\S]/y,
} as const;
type Form = keyof typeof FORMS;
const ORDER = Object.keys(FORMS) as readonly Form[];

const NO_BODY: readonly Token[] = [];

export const lex = (lines: readonly Line[]): Lexed => {
  const text = lines.map((one) => one.text).join('\n');
  const tokens: Token[] = [];
  const comments: Comment[] = [];
  let [position, row] = [0, 0];
  let fresh = true;
  let directive: { readonly place: Place; readonly words: Token[] } | undefined;

  const place = (): Place => ({ line: lines[row]?.line ?? 0, changed: lines[row]?.changed ?? false });
  const endDirective = (): void => {
    if (directive === undefined) return;
    const [name, ...body] = directive.words;
    tokens.push({ kind: 'directive', text: name?.text ?? '', ...directive.place, body });
    directive = undefined;
  };

  while (position < text.length) {
    const { form, taken } = take(text, position);
    if (form === 'newline') {
      endDirective();
      fresh = true;
    } else if (form === 'comment') comments.push({ text: taken, line: place().line });
    else if (form !== 'space') {
      if (taken === '#' && fresh && directive === undefined) directive = { place: place(), words: [] };
      else (directive?.words ?? tokens).push({ kind: form, text: taken, ...place(), body: NO_BODY });
      fresh = false;
    }
    position += taken.length;
    row += newlines(taken);
  }
  endDirective();
  return { tokens, comments };
};

const take = (text: string, position: number): { readonly form: Form; readonly taken: string } => {
  for (const form of ORDER) {
    FORMS[form].lastIndex = position;
    const [taken] = FORMS[form].exec(text) ?? [];
    if (taken === undefined) continue;
    if (taken !== '/*') return { form, taken };
    const end = text.indexOf('*/', position + 2);
    return { form, taken: text.slice(position, end < 0 ? text.length : end + 2) };
  }
  return { form: 'punct', taken: text.charAt(position) };
};

const newlines = (text: string): number => {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
};
