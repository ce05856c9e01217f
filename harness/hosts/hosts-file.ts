/** The hosts file: the machines that may be tested on, and what may be done to them. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { UsageTrouble } from '../trouble.ts';
import { parseWholeYaml } from '../yaml.ts';

/** A program and its arguments, run on this machine without a shell: `[ipmitool, -H, bmc7, power, cycle]`. */
const Words = z.array(z.string().min(1)).min(1);

/** What stands in a deployment's words for what is deployed; what each is: deploy.ts. */
export const PLACEHOLDERS = ['host', 'kernel', 'image', 'release'] as const;

const knowsPlaceholders = (text: string): boolean =>
  [...text.matchAll(/\{([^{}]*)\}/g)].every(([, name]) => PLACEHOLDERS.some((known) => known === name));

/** A text in which placeholders may stand: `/srv/initrd-{release}`. */
const Template = z
  .string()
  .min(1)
  .max(4000)
  .refine(knowsPlaceholders, {
    error: `expected no placeholders but ${PLACEHOLDERS.map((one) => `{${one}}`).join(', ')}`,
  });

/** How a machine is brought to run another kernel. */
const Deploy = z.union(
  [
    z.strictObject({
      /** The kernel that runs boots the other one: its image, and what is said here, is copied to the machine. */
      kexec: z.strictObject({
        /** File on this machine; absent: none. */
        initrd: Template.optional(),
        /** Absent: that of the kernel that runs is kept. */
        commandLine: Template.optional(),
      }),
    }),
    /** A program that is run here, and has the machine boot the kernel. */
    z.strictObject({ command: z.array(Template).min(1) }),
  ],
  'expected kexec (with initrd and commandLine, or {}) or command (a list of words)',
);
export type Deploy = z.infer<typeof Deploy>;

/** As `ssh` takes it; nothing that it could take for an option. */
const SshName = z.string().regex(/^(?:\w[\w.-]{0,31}@)?[A-Za-z0-9_[][\w.:%[\]-]{0,252}$/, {
  error: 'expected a host as ssh takes it (NAME or USER@NAME)',
});

const isExpression = (text: string): boolean => {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
};

const Lab = z
  .strictObject({
    /** What `--host` takes, and reports show. */
    name: z.string().regex(/^(?!(?:vm|local|none)$)[a-z0-9][a-z0-9.-]{0,62}$/, {
      error: 'expected a name in small letters, digits, dots and dashes, but vm, local or none',
    }),
    /** A name that the SSH configuration knows; `ssh -G` says what it means. */
    ssh: SshName.optional(),
    /** In its place: a name or an address of the network. */
    address: z
      .string()
      .regex(/^[A-Za-z0-9_[][\w.:%[\]-]{0,252}$/, { error: 'expected a name or an address of the network' })
      .optional(),
    port: z.int().min(1).max(65_535).optional(),
    user: z
      .string()
      .regex(/^\w[\w.-]{0,31}$/, { error: 'expected the name of a user' })
      .optional(),
    /** File of a secret key; absent: what the SSH configuration says, or an agent. */
    key: z.string().min(1).optional(),
    /** Socket of an agent, or `none`. */
    agent: z.string().min(1).optional(),
    /** Machines to go through, comma-separated. */
    jump: z
      .string()
      .regex(/^[A-Za-z0-9_[][\w.:@,%[\]-]{0,511}$/, { error: 'expected machines as ssh -J takes them' })
      .optional(),
    /** `ssh2` is built in; `system` runs this machine's ssh, which knows more kinds of keys and proxies. */
    transport: z.enum(['ssh2', 'system']).default('ssh2'),
    /** What `uname -r` must say: a regular expression. */
    kernel: z.string().refine(isExpression, { error: 'expected a regular expression' }).optional(),
    iommu: z.enum(['vtd', 'amdvi', 'smmuv3', 'virtio']).optional(),
    /** Width of an IOVA in bits. */
    addressBits: z.int().min(32).max(64).optional(),
    /** PCI devices that may be used; no other is ever touched. */
    devices: z
      .array(
        z.string().regex(/^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/, {
          error: 'expected a PCI address such as 0000:3b:00.0',
        }),
      )
      .min(1)
      .refine((list) => new Set(list).size === list.length, { error: 'expected each device once' }),
    /** Whether devices that are not bound to vfio-pci may be bound to it; they are given back as they were found. */
    bind: z.boolean().default(false),
    /** Each is a command; cycle is off and on where it is not given. */
    power: z.strictObject({ off: Words.optional(), on: Words.optional(), cycle: Words.optional() }).optional(),
    /** How the kernel that `--kernel` names comes to run there; absent: it is not deployed. */
    deploy: Deploy.optional(),
    /** Prints the console until it is killed. Its input is a pipe that stays open and empty; when it ends, it is started again a second later. */
    console: Words.optional(),
    /** Folder on the machine that its lease is kept in; absent: /var/lib/vfio-conform (root), or one in the user's home. */
    lock: z
      .string()
      .regex(/^\/[\w./-]{1,200}$/, { error: 'expected the path of a folder, from the root, of plain characters' })
      .optional(),
    /** How long a machine may take to be back after it went down, in seconds. */
    bootSeconds: z.int().min(1).max(3600).default(300),
  })
  .refine((lab) => (lab.ssh === undefined) !== (lab.address === undefined), {
    error: 'expected either ssh or address',
  });
/** One machine of the hosts file. */
export type Lab = z.infer<typeof Lab>;

const HostsFile = z.strictObject({
  hosts: z
    .array(Lab)
    .min(1)
    .superRefine((labs, context) => {
      for (const [index, { name }] of labs.entries()) {
        if (labs.findIndex((one) => one.name === name) < index) {
          context.addIssue({ code: 'custom', path: [index, 'name'], message: `there is a host ${name} already` });
        }
      }
    }),
});

/** Reads a hosts file. Throws UsageTrouble that tells every mistake, a line each, with its line and column. */
export const readHostsFile = async (path: string): Promise<readonly Lab[]> => {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new UsageTrouble(`cannot read the hosts file ${path}: ${cause instanceof Error ? cause.message : cause}`);
  });
  return parseHostsFile(text, path);
};

/** The same from a text; `path` is for messages only. */
export const parseHostsFile = (text: string, path: string): readonly Lab[] =>
  parseWholeYaml(HostsFile, text, path).hosts;

/** The machine of this name, or a UsageTrouble that says which there are. */
export const labNamed = (labs: readonly Lab[], name: string): Lab => {
  const lab = labs.find((one) => one.name === name);
  if (lab !== undefined) return lab;
  throw new UsageTrouble(
    `the hosts file has no host "${name}"; expected one of: ${labs.map((one) => one.name).join(', ')}`,
  );
};
