/** For tests: none is skipped without a word. */

/** Skips the test, or its suite, and says why. */
export const skipBecause = (context: Mocha.Context, reason: string): never => {
  console.log(`      skipped: ${reason}`);
  return context.skip();
};
