import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { UsageTrouble } from '../trouble.ts';
import { parseYaml } from '../yaml.ts';

/** Host classes: hosts of one kind, of which any may run a cell of the class. */

const name = z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'expected small letters, digits and dashes');
/** What a scheduler takes as the name of a node, or of a feature. */
const word = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,60}$/, 'expected letters, digits, dots, dashes and _');
const features = z.array(word).max(20).default([]);

/** A machine that is used as it is found, with the devices that may be used. */
const FoundHost = z.strictObject({
  name: word,
  /** As `--host` takes it. */
  host: z.string().regex(/^(local|ssh:[^\s-]\S{0,200})$/, 'expected local or ssh:NAME'),
  devices: z.array(z.string().regex(/^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/, 'expected a PCI address')).min(1),
});

/** A machine of a hosts file, which says all else of it. */
const NamedHost = z.strictObject({
  name: word,
  /** That file; in a file of classes relative to that one, in a plan absolute: the same on every controller. */
  hosts: z.string().min(1).max(4096),
});

const LabHost = z.union([FoundHost, NamedHost], 'expected a name, and either host and devices or hosts (a hosts file)');

/** A class: a guest on whatever machine runs the cell (or no host), or machines of a lab with the devices that may be used. */
export const HostClass = z.union(
  [
    z.strictObject({ name, features, host: z.enum(['vm', 'none']) }),
    z.strictObject({ name, features, hosts: z.array(LabHost).min(1).max(1000) }),
  ],
  'expected a name, features, and either host (vm or none) or hosts, each with a name and either host and devices or hosts (a hosts file)',
);
export type HostClass = z.infer<typeof HostClass>;

const File = z.strictObject({ classes: z.array(HostClass).min(1).max(1000) });

/** What there is without a file. */
const BUILT_IN: readonly HostClass[] = [
  { name: 'vm', features: [], host: 'vm' },
  { name: 'none', features: [], host: 'none' },
];

/**
 * The classes of a file, and the built-in ones that it does not name otherwise. Throws UsageTrouble, in one line, for what is
 * wrong in the file, and when a class or a host is named twice: a host in two classes could be given to two cells at once.
 */
export const readClasses = (path: string | undefined): readonly HostClass[] => {
  if (path === undefined) return BUILT_IN;
  const { classes } = parseYaml(File, textOf(path), path);
  const names = [...classes.map((one) => one.name), ...classes.flatMap((one) => hostsOf(one).map((host) => host.name))];
  const twice = names.find((one, at) => names.indexOf(one) !== at);
  if (twice !== undefined) throw new UsageTrouble(`${path}: ${JSON.stringify(twice)} is named twice`);
  const found = classes.map((one) =>
    'hosts' in one ? { ...one, hosts: one.hosts.map((host) => placed(host, path)) } : one,
  );
  return [...found, ...BUILT_IN.filter((one) => !names.includes(one.name))];
};

/** A host with the place of its hosts file as this machine has it. */
const placed = (host: z.infer<typeof LabHost>, beside: string): z.infer<typeof LabHost> =>
  'hosts' in host ? { ...host, hosts: resolve(dirname(beside), host.hosts) } : host;

const textOf = (path: string): string => {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new UsageTrouble(`cannot read the host classes ${path}: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }
};

/** The machines of a class; none of one that brings its own guest. */
export const hostsOf = (one: HostClass): readonly z.infer<typeof LabHost>[] => ('hosts' in one ? one.hosts : []);

/** The class of that name. Throws UsageTrouble. */
export const classNamed = (classes: readonly HostClass[], wanted: string): HostClass => {
  const found = classes.find((one) => one.name === wanted);
  if (found !== undefined) return found;
  throw new UsageTrouble(
    `there is no host class ${JSON.stringify(wanted)}; there are: ${classes.map((one) => one.name).join(', ')}`,
  );
};

/**
 * The options that have a run use a host of a class: the one called `on`, or the only one. Throws UsageTrouble when that
 * leaves a choice, or there is no such host.
 */
export const hostOptions = (one: HostClass, on: string | undefined): readonly string[] => {
  if ('host' in one) return ['--host', one.host];
  const names = one.hosts.map((host) => host.name).join(', ');
  if (on === undefined && one.hosts.length > 1) {
    throw new UsageTrouble(`the class ${one.name} has several hosts: say which with --on; there are: ${names}`);
  }
  const host = on === undefined ? one.hosts[0] : one.hosts.find((each) => each.name === on);
  if (host === undefined) {
    throw new UsageTrouble(`the class ${one.name} has no host ${JSON.stringify(on)}; there are: ${names}`);
  }
  if ('hosts' in host) return ['--hosts', host.hosts, '--host', host.name];
  return ['--host', host.host, ...host.devices.flatMap((address) => ['--device', address])];
};
