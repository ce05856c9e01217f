/** ipmitool's recipe: OpenIPMI's simulator is the BMC of a guest, whose serial line it has over the network (SOL). */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { freePort } from './port.ts';
import { startDaemon } from './testing-daemon.ts';
import { openLabMachine } from './testing-lab.ts';
import type { Recipe } from './testing-recipes.ts';

/** What the simulator runs to switch the machine: `get power`, `set power 0`, `set power 1`, `set reset 1`. */
const chassis = (bin: string, folder: string, script: readonly string[]): string => `#!/bin/sh
PATH=${bin}:$PATH
case "$1 $2 $3" in
"get power ") kill -s 0 -- "-$(cat ${folder}/pid)" 2> /dev/null && echo power:1 || echo power:0 ;;
"set power 0") sh ${script.join(' ')} off ;;
"set power 1") sh ${script.join(' ')} on ;;
"set reset 1") sh ${script.join(' ')} cycle ;;
*) echo "no $*" && exit 1 ;;
esac
`;

const configuration = (port: number, program: string, console: number): string => `name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 ${port}
    priv_limit admin
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "${program}"
  sol "tcp:127.0.0.1:${console}" 115200
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "lab" "secret" admin 10 none md2 md5 straight
`;

const CONTROLLER = `mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
`;

export const ipmitool: Recipe = {
  file: 'ipmitool.yaml',
  programs: ['ipmitool', 'ipmi_sim'],
  open: async (kernels) => {
    const consolePort = await freePort();
    const machine = await openLabMachine(kernels, { consolePort, off: true });
    const at = (name: string): string => join(machine.folder, name);
    const port = await freePort();
    await mkdir(at('bmc'));
    await writeFile(at('chassis'), chassis(machine.bin, machine.folder, machine.words()), { mode: 0o755 });
    await writeFile(at('lan.conf'), configuration(port, at('chassis'), consolePort));
    await writeFile(at('bmc.emu'), CONTROLLER);
    await writeFile(at('bmc-spr1'), 'secret', { mode: 0o600 });
    // The simulator does not tell which cipher suites it has, so it is named the one that it has.
    const way = ['-H', '127.0.0.1', '-p', `${port}`, '-C', '3'];
    const ask = ['-I', 'lanplus', ...way, '-U', 'lab', '-f', at('bmc-spr1'), '-N', '1', 'chassis', 'power', 'status'];
    const daemon = await startDaemon({
      words: ['ipmi_sim', '-n', '-p', '-c', at('lan.conf'), '-f', at('bmc.emu'), '-s', at('bmc')],
      log: at('bmc.log'),
      serves: async () => (await execa('ipmitool', ask, { reject: false })).exitCode === 0,
    });
    return {
      machine,
      filling: [['-H, bmc-spr1', way.map((word) => `'${word}'`).join(', ')]],
      end: async () => {
        await daemon.end();
        await machine.end();
      },
    };
  },
};
