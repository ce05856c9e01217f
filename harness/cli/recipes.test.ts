import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { execa } from 'execa';
import { parseHostsFile } from '../hosts/hosts-file.ts';
import { connectToLab } from '../hosts/lab.ts';
import { UnreachableHost } from '../hosts/ssh.ts';
import { ipmitool } from '../hosts/testing-bmc.ts';
import { labgrid } from '../hosts/testing-labgrid.ts';
import { libvirt } from '../hosts/testing-libvirt.ts';
import { pdudaemon } from '../hosts/testing-pdudaemon.ts';
import { filledIn, labKernels, type Recipe, type Stand, whyNot } from '../hosts/testing-recipes.ts';
import { readResults } from '../report/read-results.ts';
import { skipBecause } from '../testing.ts';
import { EXIT } from '../trouble.ts';

const BIN = fileURLToPath(new URL('bin.mjs', import.meta.url));

const RECIPES: readonly Recipe[] = [ipmitool, libvirt, pdudaemon, labgrid];

/** A panic that leaves the machine there, dead; one that ends it, as if it were switched off; and what one that is well answers. */
const PROGRAMS = {
  'hang.txt':
    'main open panic /proc/sys/kernel/panic flags=w\nmain pwrite panic 0 30\nmain open trigger /proc/sysrq-trigger flags=w\nmain pwrite trigger 0 63\n',
  'crash.txt': 'main open trigger /proc/sysrq-trigger flags=w\nmain pwrite trigger 0 63\n',
  'after.txt': 'main open container /dev/vfio/vfio flags=rw\nmain ioctl container 0x3b64 =0\n',
};

for (const recipe of RECIPES) {
  describe(`the recipe ${recipe.file}, against the program that it is for`, () => {
    let stand: Stand;
    let name: string;
    before(async function () {
      if (process.env['VFIO_CONFORM_RECIPES'] !== '1') skipBecause(this, 'it takes minutes: VFIO_CONFORM_RECIPES=1');
      const why = await whyNot(recipe);
      if (why !== undefined) skipBecause(this, why);
      stand = await recipe.open(await labKernels());
      const text = await filledIn(recipe, stand);
      name = parseHostsFile(text, recipe.file)[0]?.name ?? '';
      await writeFile(at('hosts.yaml'), text);
      for (const [file, program] of Object.entries(PROGRAMS)) await writeFile(at(file), program);
    });
    after(() => stand?.end());

    const at = (file: string): string => join(stand.machine.folder, file);
    const cli = async (...args: readonly string[]) => {
      const env = { ...stand.env, PATH: `${stand.machine.bin}:${process.env['PATH']}` };
      const result = await execa('node', [BIN, ...args, '--hosts', 'hosts.yaml'], {
        ...{ cwd: stand.machine.folder, reject: false, stdin: 'ignore', env },
      });
      return { ...result, said: `${result.stdout}\n${result.stderr}` };
    };
    const power = async (verb: string): Promise<void> => {
      const { exitCode, stdout, said } = await cli('hosts', 'power', name, verb);
      expect([exitCode, stdout], said).to.deep.equal([EXIT.conforms, `${name}: power ${verb}`]);
    };
    /** Which boot of the machine this is; `undefined` while it cannot be reached. */
    const boot = async (): Promise<string | undefined> => {
      const found = await connectToLab(stand.machine.lab([]), stand.machine.sshConfig).catch((cause: unknown) => cause);
      if (found instanceof UnreachableHost) return undefined;
      if (found instanceof Error) throw found;
      const connection = found as Awaited<ReturnType<typeof connectToLab>>;
      try {
        return (await connection.run('cat /proc/sys/kernel/random/boot_id')).stdout.trim();
      } catch {
        // It went down meanwhile.
        return undefined;
      } finally {
        connection.close();
      }
    };
    let tests = 0;
    afterEach(() => void tests++);
    const bootAfter = async (last?: string): Promise<string> => {
      for (const mine = tests; mine === tests; ) {
        const now = await boot();
        if (now !== undefined && now !== last) return now;
      }
      throw new Error('it did not boot in time');
    };

    it('switches the machine on, and boots it by force', async () => {
      expect(await boot()).to.equal(undefined);
      await power('on');
      const first = await bootAfter();
      await power('cycle');
      expect(await bootAfter(first)).to.not.equal(first);
    });

    it('is of a machine that can be tested on', async () => {
      const { exitCode, said } = await cli('hosts', 'check');
      expect(exitCode, said).to.equal(EXIT.conforms);
    });

    it('deploys a kernel, tells what it said when it died, and brings the machine back, be it dead or off', async () => {
      const programs = Object.keys(PROGRAMS).flatMap((file) => ['--program', file]);
      const asked = ['--host', name, '--kernel', '6.12', ...programs];
      const { exitCode, said } = await cli('run', ...asked, '--report', 'report');
      const { cases, kernel } = readResults(at('report'));
      expect(kernel).to.match(/^6\.12\./);
      // It was off twice, and booted its own kernel.
      expect(said.match(/deploying 6\.12/g), said).to.have.length(3);
      const seen = cases.map(({ title, verdict, reason }) => [title, verdict, reason?.replace(/\[.*?\] /, '')]);
      const panicked = 'the kernel panicked: Kernel panic - not syncing: sysrq triggered crash';
      expect(seen, said).to.deep.equal([
        ['hang.txt', 'damaged', panicked],
        ['crash.txt', 'damaged', panicked],
        ['after.txt', 'conforms', undefined],
      ]);
      for (const { kernelLog } of cases.slice(0, 2)) expect(kernelLog?.join('\n')).to.contain('sysrq_handle_crash');
      expect(exitCode).to.equal(EXIT.diverges);
    });

    it('switches the machine off, and on by a cycle', async () => {
      await power('off');
      expect(await boot()).to.equal(undefined);
      await power('cycle');
      await bootAfter();
    });
  }).timeout(600_000);
}
