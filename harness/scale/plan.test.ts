import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { inFolder } from '../report/testing.ts';
import { UsageTrouble } from '../trouble.ts';
import { hostOptions, readClasses } from './classes.ts';
import { cellOf, type Matrix, makePlan, planLines, readPlan } from './plan.ts';
import { aPlan, LAB, MATRIX, VM } from './testing.ts';

const textOf = (differs: Partial<Matrix> = {}): string => [...planLines(aPlan(differs))].join('');

/** Writes a text and reads it as a plan. */
const read = (text: string) =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'plan.jsonl'), text);
    return readPlan(join(folder, 'plan.jsonl'));
  });

const lines = (...change: readonly ((all: string[]) => string[])[]): string =>
  change
    .reduce((all, act) => act(all), textOf().trimEnd().split('\n'))
    .join('\n')
    .concat('\n');

describe('a plan', () => {
  it('has a cell for each kernel on each class, for each suite that has cases', () => {
    const cells = aPlan().list.map((one) => [one.cell, one.kernel, one.revision, one.class, one.suite].join(' '));
    expect(cells).to.deep.equal([
      '1 6.1 linux-6.1 vm map',
      '2 6.1 linux-6.1 vm vaddr',
      '3 6.1 linux-6.1 vtd map',
      '4 6.1 linux-6.1 vtd vaddr',
      '5 nesting-cap/posted nesting-cap/reviewed vm map',
      '6 nesting-cap/posted nesting-cap/reviewed vm nesting-cap',
      '7 nesting-cap/posted nesting-cap/reviewed vm vaddr',
      '8 nesting-cap/posted nesting-cap/reviewed vtd map',
      '9 nesting-cap/posted nesting-cap/reviewed vtd nesting-cap',
      '10 nesting-cap/posted nesting-cap/reviewed vtd vaddr',
    ]);
  });

  it('is read back as it was made, a line for each cell', async () => {
    expect(await read(textOf())).to.deep.equal(aPlan());
    expect(textOf().split('\n')[3]).to.equal(
      '{"cell":3,"kernel":"6.1","revision":"linux-6.1","class":"vtd","suite":"map"}',
    );
  });

  it('is the same when it is made again, and another when anything differs', () => {
    expect(textOf()).to.equal(textOf());
    const ids = [
      {},
      { version: '0.2.0' },
      { options: [] },
      { classes: [VM] },
      { classes: [LAB, VM] },
      { classes: [VM, { ...LAB, features: ['vtd'] }] },
      { kernels: MATRIX.kernels.slice(0, 1) },
      { suitesOf: () => ['map'] },
    ].map((differs) => aPlan(differs).id);
    expect(new Set(ids).size).to.equal(ids.length);
  });

  for (const [name, text, message] of [
    ['nothing', '', /no whole plan/],
    ['something else', '{"a":1}\n', /:1: no line of a plan/],
    ['half a line', textOf().slice(0, -5), /its last line was cut/],
    ['cells left out', lines((all) => all.slice(0, -2)), /expected 10 cells, found 8/],
    ['cells in another order', lines((all) => [...all.slice(0, 1), ...all.slice(1).reverse()]), /:2: expected cell 1/],
    ['another cell', textOf().replace('"suite":"vaddr"', '"suite":"info"'), /was changed/],
    ['other options', textOf().replace('10m', '20m'), /was changed/],
    ['a cell with more to it', textOf().replace('"suite":"map"', '"suite":"map","x":1'), /:2: no line of a plan/],
  ] as const) {
    it(`is not taken from a file with ${name}`, async () => {
      const refused = await read(text).catch((cause: unknown) => cause);
      expect(refused)
        .to.be.instanceOf(UsageTrouble)
        .with.property('message')
        .that.matches(message)
        .and.not.matches(/\n/);
    });
  }

  it('is refused when there is nothing to run', () => {
    expect(() => aPlan({ suitesOf: () => [] })).to.throw(UsageTrouble, 'would be empty');
  });

  it('is refused when it is beyond all measure', () => {
    const kernels = Array.from({ length: 1001 }, (_, at) => ({ kernel: `${at}`, revision: 'linux-6.1' }));
    const suites = Array.from({ length: 1000 }, (_, at) => `${at}`);
    expect(() => makePlan({ ...MATRIX, kernels, classes: [VM], suitesOf: () => suites })).to.throw(
      UsageTrouble,
      /1001000/,
    );
  });

  it('knows its cells by number', () => {
    expect(cellOf(aPlan(), 10).suite).to.equal('vaddr');
    for (const number of [0, 11]) expect(() => cellOf(aPlan(), number)).to.throw(UsageTrouble, `no cell ${number}`);
  });
});

const classesFrom = (text: string) =>
  inFolder(async (folder) => {
    writeFileSync(join(folder, 'lab.yaml'), text);
    return readClasses(join(folder, 'lab.yaml'));
  });

const HOST = "{ name: spr1, host: 'ssh:spr1', devices: ['0000:3b:00.0'] }";

describe('host classes', () => {
  it('have machines of hosts files, which stand beside their own file', async () => {
    const [one = VM] = await classesFrom('classes: [{ name: smmu, hosts: [{ name: altra1, hosts: lab/hosts.yaml }] }]');
    const [option, file = '', ...host] = hostOptions(one, undefined);
    expect([option, ...host]).to.deep.equal(['--hosts', '--host', 'altra1']);
    expect(file).to.match(/^\/.*\/lab\/hosts\.yaml$/);
  });

  it('are guests, or machines of a lab with their devices', async () => {
    const classes = await classesFrom(`classes: [{ name: vtd, features: [vtd], hosts: [${HOST}] }]`);
    expect(classes.map(({ name }) => name)).to.deep.equal(['vtd', 'vm', 'none']);
    expect(hostOptions(classes[0] ?? VM, undefined)).to.deep.equal(['--host', 'ssh:spr1', '--device', '0000:3b:00.0']);
  });

  it('that are built in may be given features', async () => {
    const classes = await classesFrom('classes: [{ name: vm, features: [kvm], host: vm }]');
    expect(classes.filter(({ name }) => name === 'vm')).to.deep.equal([{ name: 'vm', features: ['kvm'], host: 'vm' }]);
  });

  for (const [name, text, message] of [
    [
      'neither guest nor hosts',
      'classes: [{ name: x }]',
      /lab\.yaml:1:\d+: classes\.0: expected a name, features, and/,
    ],
    ['a class twice', 'classes: [{ name: x, host: vm }, { name: x, host: vm }]', /"x" is named twice/],
    [
      'a host in two classes',
      `classes: [{ name: x, hosts: [${HOST}] }, { name: y, hosts: [${HOST}] }]`,
      /"spr1" is named twice/,
    ],
    [
      'a host without devices',
      "classes: [{ name: x, hosts: [{ name: a, host: 'ssh:a', devices: [] }] }]",
      /lab\.yaml:1/,
    ],
    [
      'an option for a host',
      "classes: [{ name: x, hosts: [{ name: a, host: 'ssh:-o', devices: ['0000:00:01.0'] }] }]",
      /1:/,
    ],
    ['words for a scheduler', "classes: [{ name: x, host: vm, features: ['a&b'] }]", /lab\.yaml:1/],
    ['no YAML', 'classes: [', /lab\.yaml:1/],
  ] as const) {
    it(`are not taken from a file with ${name}`, async () => {
      const refused = await classesFrom(text).catch((cause: unknown) => cause);
      expect(refused)
        .to.be.instanceOf(UsageTrouble)
        .with.property('message')
        .that.matches(message)
        .and.not.matches(/\n/);
    });
  }

  it('choose a host by its name, and refuse to choose by themselves', () => {
    expect(hostOptions(LAB, 'spr2')).to.deep.equal(['--host', 'ssh:root@spr2', '--device', '0000:17:00.0']);
    expect(() => hostOptions(LAB, undefined)).to.throw(UsageTrouble, /say which with --on; there are: spr1, spr2/);
    expect(() => hostOptions(LAB, 'spr3')).to.throw(UsageTrouble, /no host "spr3"/);
    expect(hostOptions(VM, 'anywhere')).to.deep.equal(['--host', 'vm']);
  });
});
