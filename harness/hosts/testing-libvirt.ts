/** libvirt's recipe: a domain with an emulated IOMMU, of a libvirtd that sees nothing of this machine's own domains. */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { needProgram } from '../kernels/requirements.ts';
import { endWithProcess } from './lifetime.ts';
import { startDaemon } from './testing-daemon.ts';
import { openLabMachine } from './testing-lab.ts';
import type { Recipe } from './testing-recipes.ts';

/** What libvirt keeps things in: for this one, folders of its own lie over them. */
const FOLDERS = ['/etc/libvirt', '/var/lib/libvirt', '/var/cache/libvirt', '/var/log/libvirt', '/run/libvirt'] as const;

/** QEMU is root's here, whose temporary folder holds the kernel; no daemon of logs, cgroups or security is asked for. */
const QEMU_CONF = `stdio_handler = "file"
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
namespaces = []
cgroup_controllers = []
`;

/** No guest of a test uses more processor time, in seconds, whatever becomes of the test. */
const MOST_SECONDS = 1800;

const text = (plain: string): string => plain.replace(/[<>&']/g, (char) => `&#${char.charCodeAt(0)};`);

/** The domain: its devices are QEMU's own, which libvirt has no words for. A panic ends it. */
const domain = (folder: string, line: string, words: readonly string[]): string => `
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>guest1</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${folder}/kernel</kernel>
    <initrd>${folder}/initrd</initrd>
    <cmdline>${text(line)}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <on_reboot>destroy</on_reboot>
  <devices>
    <emulator>${folder}/qemu</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='pty'/>
  </devices>
  <qemu:commandline>${words.map((word) => `<qemu:arg value='${text(word)}'/>`).join('')}</qemu:commandline>
</domain>
`;

/** Of QEMU's options those that make devices: the rest is libvirt's. */
const deviceWords = (words: readonly string[]): readonly string[] =>
  words.flatMap((word, index) => (word === '-device' || word === '-netdev' ? [word, words[index + 1] ?? ''] : []));

export const libvirt: Recipe = {
  file: 'libvirt.yaml',
  programs: ['virsh', 'libvirtd', 'unshare', 'script'],
  why: () => (userInfo().uid === 0 ? undefined : 'qemu:///system is run as root'),
  open: async (kernels) => {
    const machine = await openLabMachine(kernels, { off: true });
    const at = (name: string): string => join(machine.folder, name);
    const own = (folder: string): string => at(`libvirt${folder}`);
    for (const folder of [...FOLDERS.map(own), at('sockets')]) await mkdir(folder, { recursive: true });
    await writeFile(own('/etc/libvirt/qemu.conf'), QEMU_CONF);
    await writeFile(own('/etc/libvirt/libvirtd.conf'), `unix_sock_dir = "${at('sockets')}"\nauth_unix_rw = "none"\n`);
    const qemu = await needProgram('qemu-system-x86_64');
    await writeFile(at('qemu'), `#!/bin/sh\nulimit -t ${MOST_SECONDS}\nexec ${qemu} "$@"\n`, { mode: 0o755 });
    const words = (await readFile(at('words'), 'utf8')).trim().split('\n');
    await writeFile(at('domain.xml'), domain(machine.folder, await readFile(at('line'), 'utf8'), deviceWords(words)));

    const mounts = FOLDERS.map((folder) => `mkdir -p ${folder} && mount --bind ${own(folder)} ${folder}`).join(' && ');
    const uri = `qemu:///system?socket=${at('sockets')}/libvirt-sock`;
    const virsh = (...rest: readonly string[]) => execa('virsh', ['-c', uri, ...rest], { reject: false });
    const daemon = await startDaemon({
      words: [
        ...['unshare', '--mount', 'sh', '-c'],
        `${mounts} && exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file ${at('libvirtd.pid')}`,
      ],
      log: at('libvirtd.log'),
      serves: async () => (await virsh('define', at('domain.xml'))).exitCode === 0,
    });
    const destroy = (): void => {
      execFileSync('virsh', ['-c', uri, 'destroy', 'guest1'], { stdio: 'ignore' });
    };
    const forget = endWithProcess(destroy);
    return {
      machine,
      filling: [['qemu:///system', uri]],
      end: async () => {
        forget();
        await virsh('destroy', 'guest1');
        await daemon.end();
        await machine.end();
      },
    };
  },
};
