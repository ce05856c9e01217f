/** Exit codes of the command line tool. 2 and 3 are avoided: kselftest reads them as XFAIL and XPASS. */
export const EXIT = {
  conforms: 0,
  diverges: 1,
  nothingRan: 4,
  usage: 64,
  hostTrouble: 75,
  timeLimit: 124,
  interrupted: 130,
} as const;

/** What came from outside may stand in a message: what a terminal would take for more than text is shown as `\u{N}`. */
const harmless = (message: string): string =>
  message.replace(/[\p{Cc}\p{Cf}]/gu, (one) => (one === '\n' ? one : `\\u{${one.codePointAt(0)?.toString(16)}}`));

/**
 * Trouble that is expected in normal life: one clear line for the user, with what was expected, what was found and
 * what to do, and the exit code that says who is to blame. Never thrown for a kernel's odd answer: that is a verdict.
 */
export class Trouble extends Error {
  readonly exitCode: number;
  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(harmless(message), options);
    this.name = new.target.name;
    this.exitCode = exitCode;
  }
}

/** What the user asked for cannot be asked for (exit 64). */
export class UsageTrouble extends Trouble {
  constructor(message: string, options?: ErrorOptions) {
    super(EXIT.usage, message, options);
  }
}

/** A host or the infrastructure failed us: refused, timed out, died, wrong kernel, no disk (exit 75). */
export class HostTrouble extends Trouble {
  constructor(message: string, options?: ErrorOptions) {
    super(EXIT.hostTrouble, message, options);
  }
}
