#!/usr/bin/env node
// The command line tool is TypeScript, run through tsx; this file only registers the loader.
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./main.ts');
// What was started may still be on its way up (a guest that boots): it ends with the process.
process.exit(await main(process.argv.slice(2)));
