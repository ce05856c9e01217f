import type { Token } from './lexer.ts';

/** Thrown within a declaration that cannot be read; the reader of the file catches it and goes on behind. */
export class Refusal extends Error {
  readonly line: number;
  constructor(line: number, message: string) {
    super(message);
    this.line = line;
  }
}

const CLOSING: Readonly<Record<string, string>> = { '(': ')', '{': '}', '[': ']' };

/** A place in a list of tokens. */
export class Cursor {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  /** The next token, or one further ahead; `undefined` at the end. */
  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#at + ahead];
  }

  /** Whether the next token is this text; a string or character is never. */
  is(text: string): boolean {
    const token = this.peek();
    return token?.text === text && (token.kind === 'word' || token.kind === 'punct');
  }

  next(): Token | undefined {
    const token = this.#tokens[this.#at];
    if (token !== undefined) this.#at++;
    return token;
  }

  /** Takes the next token if it is this text. */
  accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.#at++;
    return true;
  }

  /** Takes the next token, which must be this text. Throws Refusal. */
  expect(text: string): void {
    if (!this.accept(text)) throw this.refusal(`expected "${text}"`);
  }

  /** Takes a word. Throws Refusal. */
  word(what: string): Token {
    const token = this.peek();
    if (token?.kind !== 'word') throw this.refusal(`expected ${what}`);
    this.#at++;
    return token;
  }

  /** The tokens between a bracket, which comes next, and the one that closes it; both are taken. Throws Refusal. */
  bracketed(): readonly Token[] {
    const start = this.#at;
    this.skipBracketed();
    return this.#tokens.slice(start + 1, this.#at - 1);
  }

  /** Goes behind the bracket that closes the one which comes next. Throws Refusal. */
  skipBracketed(): void {
    const first = this.peek();
    const waiting: string[] = [];
    do {
      const token = this.next();
      if (token === undefined) throw new Refusal(first?.line ?? 0, `"${first?.text}" is never closed`);
      const closing = token.kind === 'punct' ? CLOSING[token.text] : undefined;
      if (closing !== undefined) waiting.push(closing);
      else if (token.kind === 'punct' && token.text === waiting.at(-1)) waiting.pop();
    } while (waiting.length > 0);
  }

  /** What is to be said of the next token. */
  refusal(message: string): Refusal {
    const token = this.peek() ?? this.#tokens.at(-1);
    const found = this.peek() === undefined ? 'the end' : JSON.stringify(token?.text.slice(0, 40));
    return new Refusal(token?.line ?? 0, `${message}, found ${found}`);
  }

  get position(): number {
    return this.#at;
  }

  back(position: number): void {
    this.#at = position;
  }

  get ended(): boolean {
    return this.#at >= this.#tokens.length;
  }

  /** The last token that was taken. */
  get last(): Token | undefined {
    return this.#tokens[this.#at - 1];
  }

  /** The tokens from one place up to the next. */
  since(position: number): readonly Token[] {
    return this.#tokens.slice(position, this.#at);
  }
}
