/**
 * Text or bytes that are not in the form they must be in. Whoever knows where the text came from catches it and says so: a
 * line of a program is a UsageTrouble, a line from a helper a HostTrouble.
 */
export class Malformed extends Error {
  constructor(expected: string, found: string) {
    super(`expected ${expected}, found ${quote(found)}`);
    this.name = new.target.name;
  }
}

/** Foreign text for an error message: on one line, and no more of it than is needed to recognise it. */
const quote = (text: string): string => {
  if (text === '') return 'nothing';
  const shown = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return JSON.stringify(shown);
};
