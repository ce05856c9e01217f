/** labgrid's recipe: a coordinator, and an exporter of a place whose power PDUDaemon has and whose serial line ser2net. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort } from './port.ts';
import { startDaemon } from './testing-daemon.ts';
import { OUTLET_PROGRAMS, type Outlet, openOutlet } from './testing-pdudaemon.ts';
import type { Recipe } from './testing-recipes.ts';

const resources = ({ power, console }: Outlet): string => `altra1:
  PDUDaemonPort: { host: 'http://127.0.0.1:${power}', pdu: pdu1, index: 7 }
  NetworkSerialPort: { host: 127.0.0.1, port: ${console}, speed: 115200, protocol: rfc2217 }
`;

export const labgrid: Recipe = {
  file: 'labgrid.yaml',
  programs: ['labgrid-coordinator', 'labgrid-exporter', 'labgrid-client', 'microcom', ...OUTLET_PROGRAMS],
  elsewhere: "labgrid's own project has it, from 25.0 on (Debian's package is older, and has none of these)",
  open: async (kernels) => {
    const outlet = await openOutlet(kernels, 'telnet(rfc2217),');
    const at = (name: string): string => join(outlet.machine.folder, name);
    const address = `127.0.0.1:${await freePort()}`;
    const env = { LG_COORDINATOR: address };
    const client = async (...words: readonly string[]) => execa('labgrid-client', words, { env, reject: false });
    await writeFile(at('exporter.yaml'), resources(outlet));
    const boot = `PATH=${outlet.machine.bin}:$PATH exec sh ${outlet.machine.words('boot').join(' ')} "$@"`;
    await writeFile(at('boot-altra1'), `#!/bin/sh\n${boot}\n`, { mode: 0o755 });
    const coordinator = await startDaemon({
      words: ['labgrid-coordinator', '-l', address],
      cwd: outlet.machine.folder,
      log: at('coordinator.log'),
      serves: async () => (await client('resources')).exitCode === 0,
    });
    const exporter = await startDaemon({
      words: ['labgrid-exporter', '-c', address, '-n', 'lab', at('exporter.yaml')],
      cwd: outlet.machine.folder,
      log: at('exporter.log'),
      serves: async () => (await client('resources')).stdout.includes('lab/altra1/NetworkSerialPort'),
    });
    for (const words of ['create', 'add-match lab/altra1/*', 'acquire']) {
      const { exitCode, stderr } = await client('-p', 'altra1', ...words.split(' '));
      if (exitCode !== 0) throw new Error(`labgrid-client ${words}: ${stderr}`);
    }
    return {
      ...{ machine: outlet.machine, filling: [], env },
      end: async () => {
        await exporter.end();
        await coordinator.end();
        await outlet.end();
      },
    };
  },
};
