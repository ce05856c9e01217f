import { buildHelper } from '../../helper/build.ts';
import { checkLab } from '../../hosts/check.ts';
import { type Lab, labNamed, readHostsFile } from '../../hosts/hosts-file.ts';
import { connectToLab } from '../../hosts/lab.ts';
import { holderOf, holderText } from '../../hosts/lease.ts';
import { POWER_VERBS, switchPower } from '../../hosts/power.ts';
import { SSH_TIMES } from '../../hosts/ssh.ts';
import { cacheFolder } from '../../kernels/cache.ts';
import { EXIT, HostTrouble, UsageTrouble } from '../../trouble.ts';
import type { Command, Given } from '../command.ts';

export const hosts: Command = {
  name: 'hosts',
  summary:
    'Lists the machines of a hosts file, proves that they can be tested on, says who has them, switches their power.',
  usage: 'VERB [NAME...] --hosts FILE | power NAME off|on|cycle --hosts FILE',
  about:
    'Verbs, for all machines or those that are named: list; check, which changes nothing: devices that it binds are given\nback as they were found; who, which says who has a machine. Exit code 75 when one cannot be tested on, or asked.',
  options: [{ name: 'hosts', value: 'FILE', says: 'the hosts file (YAML; its form: harness/hosts/hosts-file.ts)' }],
  examples: [
    ['vfio-conform hosts check --hosts lab.yaml', 'all machines'],
    ['vfio-conform hosts who --hosts lab.yaml', 'who runs what where'],
    ['vfio-conform hosts power spr1 cycle --hosts lab.yaml', 'boot one of them by force'],
    ['vfio-conform hosts check spr1 --hosts lab.yaml', 'one of them'],
  ],
  run: async (given) => {
    const [verb, ...names] = given.words;
    if (verb === 'power') return power(names, await readHostsFile(fileOf(given)));
    const act = VERBS[verb ?? ''];
    if (act === undefined) throw new UsageTrouble(`hosts takes one verb: ${Object.keys(VERBS).join(', ')}, power`);
    const labs = await readHostsFile(fileOf(given));
    return act(names.length === 0 ? labs : names.map((name) => labNamed(labs, name)));
  },
};

const fileOf = (given: Given): string => {
  const file = given.text('hosts');
  if (file === undefined) throw new UsageTrouble('hosts needs --hosts FILE');
  return file;
};

const list = async (labs: readonly Lab[]): Promise<number> => {
  for (const { name, ssh, address, devices } of labs) {
    console.log(`${name.padEnd(16)} ${(ssh ?? address ?? '').padEnd(24)} ${devices.join(' ')}`);
  }
  return EXIT.conforms;
};

const check = async (labs: readonly Lab[]): Promise<number> => {
  const helper = await buildHelper(cacheFolder());
  let allFit = true;
  for (const lab of labs) {
    for (const { what, ok, says } of await checkLab(lab, { helper })) {
      allFit &&= ok;
      console.log(`${lab.name.padEnd(16)} ${ok ? 'ok  ' : 'FAIL'} ${what.padEnd(8)} ${says}`);
    }
  }
  return allFit ? EXIT.conforms : EXIT.hostTrouble;
};

const who = async (labs: readonly Lab[]): Promise<number> => {
  let allAnswered = true;
  for (const lab of labs) {
    const text = await whoHas(lab).catch((cause: unknown) => {
      if (!(cause instanceof HostTrouble)) throw cause;
      allAnswered = false;
      return cause.message;
    });
    console.log(`${lab.name.padEnd(16)} ${text}`);
  }
  return allAnswered ? EXIT.conforms : EXIT.hostTrouble;
};

const whoHas = async (lab: Lab): Promise<string> => {
  const connection = await connectToLab(lab, undefined);
  try {
    const holder = await holderOf(lab.name, connection, { folder: lab.lock });
    return holder === undefined ? 'free' : holderText(holder);
  } finally {
    connection.close();
  }
};

const power = async ([name, wanted, ...more]: readonly string[], labs: readonly Lab[]): Promise<number> => {
  const verb = POWER_VERBS.find((one) => one === wanted);
  if (name === undefined || verb === undefined || more.length > 0) {
    throw new UsageTrouble(`hosts power takes the name of a machine and one of: ${POWER_VERBS.join(', ')}`);
  }
  const lab = labNamed(labs, name);
  const holder = await connectToLab(lab, undefined, LOOK_TIMES).then(
    (connection) =>
      holderOf(lab.name, connection, { folder: lab.lock })
        .catch(() => undefined)
        .finally(() => connection.close()),
    () => undefined,
  );
  if (holder !== undefined) throw new HostTrouble(`${name} is taken: ${holderText(holder)}; its power is not switched`);
  await switchPower(lab, verb);
  console.log(`${name}: power ${verb}`);
  return EXIT.conforms;
};

/** A machine that is off says nothing, and need not be waited for. */
const LOOK_TIMES = { ...SSH_TIMES, connectMs: 5000, commandMs: 5000 };

const VERBS: Readonly<Record<string, (labs: readonly Lab[]) => Promise<number>>> = { list, check, who };
