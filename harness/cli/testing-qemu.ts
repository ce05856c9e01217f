/** A QEMU that is found first, and is QEMU: its guests can be hit, and their consoles are kept beside. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { needProgram } from '../kernels/requirements.ts';

/** What QEMU is told; the guest panics of an NMI, and QEMU ends with its guest (-no-reboot). */
const QMP = { panic: 'inject-nmi', hang: 'stop', reset: 'system_reset' } as const;

/** A guest whose kernel panicked. */
export interface Panicked {
  /** Its boot, as a journal calls it. */
  readonly boot: string;
  /** The line that says so, with its time. */
  readonly line: string;
}

export interface HijackedQemu {
  /** A PATH on which it is. */
  readonly path: string;
  /** Hits the guest that runs now, and returns QEMU's process; `undefined` when none runs, in between two boots. */
  hit(how: keyof typeof QMP): Promise<string | undefined>;
  /** The guests that panicked since this was asked last, as their own consoles tell. All of them have ended. */
  panicked(): readonly Panicked[];
}

export const hijackQemu = async (folder: string): Promise<HijackedQemu> => {
  const bin = join(folder, 'bin');
  mkdirSync(bin, { recursive: true });
  const script = `#!/bin/sh
left=$# before=
while [ "$left" -gt 0 ]; do
  word=$1; shift; left=$((left - 1))
  case $before in
    -append) set -- "$@" "$word unknown_nmi_panic=1" ;;
    -serial) set -- "$@" chardev:console ;;
    *) set -- "$@" "$word" ;;
  esac
  before=$word
done
exec ${await needProgram('qemu-system-x86_64')} -chardev "stdio,id=console,logfile=${folder}/console.$$" "$@" \\
  -qmp "unix:${folder}/qmp.$$,server=on,wait=off"
`;
  writeFileSync(join(bin, 'qemu-system-x86_64'), script);
  chmodSync(join(bin, 'qemu-system-x86_64'), 0o755);
  /** The processes of which there is a file of that kind. */
  const pids = (kind: string): readonly string[] =>
    readdirSync(folder).flatMap((name) => (name.startsWith(`${kind}.`) ? [name.slice(kind.length + 1)] : []));
  return {
    path: `${bin}:${process.env['PATH']}`,
    hit: async (how) => {
      for (const pid of pids('qmp').filter((one) => existsSync(`/proc/${one}`))) {
        if (await tell(join(folder, `qmp.${pid}`), QMP[how])) return pid;
      }
      return undefined;
    },
    panicked: () =>
      pids('console').flatMap((pid) => {
        const console = join(folder, `console.${pid}`);
        const line = /^.*Kernel panic - not syncing.*$/m.exec(readFileSync(console, 'latin1'))?.[0].trimEnd();
        rmSync(console);
        return line === undefined ? [] : [{ boot: `QEMU ${pid}`, line }];
      }),
  };
};

const tell = (socket: string, command: string): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connect(socket);
    let said = '';
    connection.on('error', () => resolve(false));
    // It may be gone with its guest before it answers.
    connection.on('close', () => resolve(said.includes(command === QMP.reset ? '"id": 1' : '"id": 2')));
    connection.on('data', (chunk) => {
      const before = said;
      said += chunk.toString();
      if (!before.includes('QMP') && said.includes('QMP')) connection.write('{"execute":"qmp_capabilities","id":1}\n');
      if (!before.includes('"id": 1') && said.includes('"id": 1'))
        connection.write(`{"execute":"${command}","id":2}\n`);
      if (said.includes('"id": 2')) connection.end();
    });
  });
