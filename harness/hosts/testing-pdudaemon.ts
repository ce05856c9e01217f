/** PDUDaemon's recipe: its outlet is a command that switches a guest, and ser2net has the guest's serial line. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort } from './port.ts';
import { startDaemon } from './testing-daemon.ts';
import { type LabMachine, openLabMachine } from './testing-lab.ts';
import type { Kernels, Recipe } from './testing-recipes.ts';

/** A machine whose power PDUDaemon has, as outlet 7 of pdu1, and whose serial line ser2net. */
export interface Outlet {
  readonly machine: LabMachine;
  /** TCP ports of 127.0.0.1: PDUDaemon's for HTTP, and ser2net's. */
  readonly power: number;
  readonly console: number;
  end(): Promise<void>;
}

export const OUTLET_PROGRAMS = ['pdudaemon', 'ser2net', 'nc'] as const;

/** `accepter` is how ser2net speaks with its clients, in its own words: plainly, or as telnet. */
export const openOutlet = async (kernels: Kernels, accepter = ''): Promise<Outlet> => {
  const [line, console, power] = [await freePort(), await freePort(), await freePort()];
  const machine = await openLabMachine(kernels, { consolePort: line, off: true });
  const at = (name: string): string => join(machine.folder, name);
  // The number of the outlet is put where %s is.
  const command = (verb: string): string => `PATH=${machine.bin}:$PATH sh ${machine.words(verb).join(' ')} # outlet %s`;
  const outlets = { driver: 'localcmdline', cmd_on: command('on'), cmd_off: command('off') };
  const daemon = { hostname: '127.0.0.1', port: power, logging_level: 'DEBUG', listener: 'http' };
  await writeFile(at('pdudaemon.conf'), JSON.stringify({ daemon, pdus: { pdu1: outlets } }));
  const connection = [`accepter: ${accepter}tcp,127.0.0.1,${console}`, `connector: tcp,127.0.0.1,${line}`];
  await writeFile(at('ser2net.yaml'), `connection: &line\n${connection.map((text) => `  ${text}\n`).join('')}`);
  const listens = async (port: number): Promise<boolean> =>
    (await execa('nc', ['-z', '127.0.0.1', `${port}`], { reject: false })).exitCode === 0;
  const pdu = await startDaemon({
    words: ['pdudaemon', '--conf', at('pdudaemon.conf')],
    log: at('pdudaemon.log'),
    serves: () => listens(power),
  });
  const serial = await startDaemon({
    words: ['ser2net', '-n', '-c', at('ser2net.yaml')],
    log: at('ser2net.log'),
    serves: () => listens(console),
  });
  return {
    ...{ machine, power, console },
    end: async () => {
      await serial.end();
      await pdu.end();
      await machine.end();
    },
  };
};

export const pdudaemon: Recipe = {
  file: 'pdudaemon.yaml',
  programs: [...OUTLET_PROGRAMS, 'curl'],
  open: async (kernels) => {
    const outlet = await openOutlet(kernels);
    return {
      machine: outlet.machine,
      filling: [
        ['address: 10.0.0.31', `address: 127.0.0.1\n    port: ${outlet.machine.port}`],
        ['pdu.lab:16421', `127.0.0.1:${outlet.power}`],
        // A guest has no root file system but its initrd.
        ['kexec: {}', "kexec: { initrd: '/srv/lab/initrd-{release}' }"],
        ['console.lab 2007', `127.0.0.1 ${outlet.console}`],
      ],
      end: outlet.end,
    };
  },
};
