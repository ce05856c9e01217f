#!/usr/bin/env node
// `npm start`: from a fresh clone to a report. Plain JavaScript without dependencies, because nothing is installed yet.
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));
const args = process.argv.slice(2);
const mayInstall = !args.includes('--no-install');

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`vfio-conform: needs Node 20.19 or newer, this is ${process.versions.node}`);
  process.exit(64);
}

const modified = (path) => (existsSync(`${root}${path}`) ? statSync(`${root}${path}`).mtimeMs : 0);
if (modified('node_modules/.package-lock.json') < modified('package-lock.json')) {
  if (!mayInstall) {
    console.error('vfio-conform: the npm packages of package-lock.json are not installed; run: npm install --no-save');
    process.exit(75);
  }
  console.log('Installing the npm packages of package-lock.json: npm install --no-save');
  // Not npm ci: it refuses the lock file where a registry lacks packages of other platforms, which are optional.
  const npm = spawnSync('npm', ['install', '--no-save', '--no-fund', '--no-audit'], { cwd: root, stdio: 'inherit' });
  if (npm.status !== 0) {
    console.error('vfio-conform: npm install failed (its message stands above)');
    process.exit(75);
  }
}

const { register } = await import('tsx/esm/api');
register();
const { start } = await import('./start.ts');
process.exit(await start(args));
