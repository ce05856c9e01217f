#!/usr/bin/env node
// The command line tool is TypeScript, run through tsx; this file only registers the loader.
import { register } from 'tsx/esm/api';

register();
const { faultText, main } = await import('./main.ts');
process.on('uncaughtException', (error) => {
  // While cases run, Mocha listens too, and lays it to the one that runs.
  if (process.listenerCount('uncaughtException') > 1) return;
  console.error(faultText(error));
  process.exit(75);
});
// A reader that leaves early (head) has what it wanted.
process.stdout.on('error', () => undefined);
const exitCode = await main(process.argv.slice(2));
// A pipe takes long output in parts.
await new Promise((taken) => process.stdout.write('', taken));
// What was started may still be on its way up (a guest that boots): it ends with the process.
process.exit(exitCode);
