/** One option of a command. `value` names what it takes (`FILE`); without it the option is a switch. */
export interface OptionSpec {
  readonly name: string;
  readonly value?: string;
  readonly repeatable?: boolean;
  readonly says: string;
}

/** What was given on the command line, checked for spelling only; what values mean is the command's business. */
export interface Given {
  readonly words: readonly string[];
  /** The value of an option (the last one given), or `undefined`. */
  text(name: string): string | undefined;
  /** All values of a repeatable option. */
  texts(name: string): readonly string[];
  on(name: string): boolean;
}

export interface Command {
  readonly name: string;
  readonly summary: string;
  /** What stands behind the command's name in the usage line. */
  readonly usage: string;
  /** Longer words for --help, if the options do not say it all. */
  readonly about?: string;
  readonly options: readonly OptionSpec[];
  readonly examples: readonly (readonly [command: string, what: string])[];
  /** Returns the exit code. Throws a Trouble for what can be expected to go wrong. */
  readonly run: (given: Given) => Promise<number>;
}
