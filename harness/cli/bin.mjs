#!/usr/bin/env node
// The command line tool is TypeScript, run through tsx; this file only registers the loader.
import { register } from 'tsx/esm/api';

register();
const { main } = await import('./main.ts');
process.exitCode = await main(process.argv.slice(2));
