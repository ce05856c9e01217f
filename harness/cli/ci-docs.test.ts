import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { parse, parseDocument } from 'yaml';
import { labNamed, readHostsFile } from '../hosts/hosts-file.ts';
import { POWER_VERBS, powerCommands } from '../hosts/power.ts';
import { hostsOf, readClasses } from '../scale/classes.ts';
import { nodeLines } from '../scale/slurm.ts';
import { COMMANDS } from './main.ts';
import { parseOptions } from './options.ts';

const DOCS = fileURLToPath(new URL('../../docs/', import.meta.url));
const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

const files = ['ci.md', ...readdirSync(`${DOCS}ci`, { recursive: true }).map((name) => `ci/${name}`)].filter((name) =>
  /\.(md|ya?ml|fmf|sh|conf)$|Jenkinsfile$/.test(name),
);
const textOf = (name: string): string => readFileSync(DOCS + name, 'utf8');

/** The words of each vfio-conform command in a text, up to where the shell takes over. */
const commandsIn = (text: string): readonly (readonly string[])[] =>
  [...text.matchAll(/(?:npx vfio-conform|\$conform) ([a-z]+\b[^\n]*)/g)].map(([, line = '']) => {
    const [own = ''] = line
      .replaceAll(/\$\{\{[^}]*\}\}|\$\{?\w+\}?/g, '1')
      .split(/ (?:\|\||&&|\||2?>|#)|['"`]?\)|`|'$|';|'\)/);
    return (own.match(/'[^']*'|"[^"]*"|\S+/g) ?? []).map((word) => word.replace(/^(['"])(.*)\1$/, '$2'));
  });

describe('the page and the examples for CI systems', () => {
  for (const file of files) {
    it(`name only commands and options that there are: ${file}`, () => {
      for (const [name = '', ...words] of commandsIn(textOf(file))) {
        const command = COMMANDS.find((one) => one.name === name);
        if (command === undefined) throw new Error(`there is no command ${name}`);
        expect(() => parseOptions(command, words), [name, ...words].join(' ')).not.to.throw();
      }
    });
  }

  it('show commands at all', () => {
    expect(files.flatMap((name) => commandsIn(textOf(name))).length).to.be.greaterThan(30);
  });

  for (const name of files.filter((one) => /\.(ya?ml|fmf)$/.test(one))) {
    it(`are YAML: ${name}`, () => {
      expect(parseDocument(textOf(name)).errors).to.deep.equal([]);
      expect(parse(textOf(name))).to.be.an('object');
    });
  }

  it('show the nodes of the lab that they show', () => {
    const nodes = nodeLines(readClasses(`${DOCS}ci/lab.yaml`), 'ctl', 17_001);
    expect(textOf('ci/slurm.conf').split('\n')).to.include.members([...nodes]);
    expect(nodes).to.have.length(5);
  });

  for (const recipe of readdirSync(`${DOCS}ci/hosts`).filter((name) => name.endsWith('.yaml'))) {
    it(`are hosts files that say how to switch power, read the console and deploy: ${recipe}`, async () => {
      for (const lab of await readHostsFile(`${DOCS}ci/hosts/${recipe}`)) {
        expect(lab).to.include.keys('power', 'console', 'deploy');
        for (const verb of POWER_VERBS) expect(powerCommands(lab, verb), verb).to.have.length(1);
      }
    });
  }

  it('name machines of those files', async () => {
    const named = readClasses(`${DOCS}ci/lab.yaml`)
      .flatMap(hostsOf)
      .flatMap((host) => ('hosts' in host ? [host] : []));
    expect(named).to.have.length(1);
    for (const { name, hosts } of named) expect(labNamed(await readHostsFile(hosts), name).deploy).to.be.an('object');
  });
});

const KSELFTEST = `${DOCS}ci/kselftest/vfio-conform.sh`;

describe('the kselftest', () => {
  const run = (env: Readonly<Record<string, string>>, ...args: readonly string[]) =>
    execa('sh', [KSELFTEST, ...args], {
      reject: false,
      env: { VFIO_CONFORM: `node ${BIN}`, VFIO_SELFTESTS_BDF: '', ...env },
    });

  it('tells a run as KTAP, and ends as the run does', async () => {
    const { exitCode, stdout } = await run({ VFIO_CONFORM_HOST: 'none' }, '--suite', 'iova');
    expect(exitCode).to.equal(0);
    expect(stdout).to.match(/^KTAP version 1\n1\.\.(\d+)\n[\s\S]*\nok \1 [^\n]+\n# Totals: pass:\1 fail:0 /);
  });

  it('is skipped where no device may be used', async () => {
    const { exitCode, stdout } = await run({});
    expect([exitCode, stdout]).to.deep.equal([4, '1..0 # SKIP VFIO_SELFTESTS_BDF names no device']);
  });

  it('ends with trouble when there is a device that cannot be used', async () => {
    const { exitCode, stdout } = await run({ VFIO_SELFTESTS_BDF: 'ffff:00:00.0' });
    expect(exitCode).to.equal(75);
    expect(stdout).to.match(/^Bail out! there is no report:\n# \| vfio-conform: there is no PCI device ffff:00:00\.0/);
  });
});
