#!/usr/bin/env node
// The command line tool is TypeScript, run through tsx; this file only registers the loader.
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./main.ts');
// A reader that leaves early (head) has what it wanted.
process.stdout.on('error', () => undefined);
const exitCode = await main(process.argv.slice(2));
// A pipe takes long output in parts.
await new Promise((taken) => process.stdout.write('', taken));
// What was started may still be on its way up (a guest that boots): it ends with the process.
process.exit(exitCode);
