import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { modelCallsPerSecond } from '../../bench/model.ts';
import { checkedCallsPerSecond, pairsProgram } from '../../bench/pairs.ts';
import { measureWholeRun } from '../../bench/whole-run.ts';
import { buildHelper } from '../../helper/build.ts';
import { openVmHost, type VmHost } from '../../hosts/vm.ts';
import { cacheFolder } from '../../kernels/cache.ts';
import { fetchKernel } from '../../kernels/fetch.ts';
import { readManifest } from '../../kernels/manifest.ts';
import { HostTrouble } from '../../trouble.ts';
import type { Command } from '../command.ts';

const LOOP = fileURLToPath(new URL('../../bench/loop.c', import.meta.url));
const PAIRS = 20_000;
const LINES = 5_000;

export const bench: Command = {
  name: 'bench',
  summary: 'Measures the harness in a VM on Linux 6.1; figures are ratios within one run.',
  usage: '',
  options: [],
  examples: [['vfio-conform bench', 'all measurements (some minutes)']],
  run: async () => {
    const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-bench-'));
    try {
      await throughput(folder);
      model();
      await wholeRun(join(folder, 'report'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return 0;
  },
};

const rate = (perSecond: number): string => `${Math.round(perSecond).toLocaleString('en')}/s`;

/** Checked calls against a C loop in the same guest, one after the other. */
const throughput = async (folder: string): Promise<void> => {
  const cache = cacheFolder();
  const kernel = await fetchKernel(await readManifest('6.1'), { cache });
  const host = await openVmHost({ kernel, helper: await buildHelper(cache), cache });
  try {
    const loop = await loopCallsPerSecond(host, folder);
    console.log(`C loop in the guest, MAP_DMA and UNMAP_DMA of one page: ${rate(loop)}`);
    for (const [form, pairs] of [
      ['repeat', PAIRS],
      ['lines', LINES],
    ] as const) {
      const steps = pairsProgram(pairs, form);
      for (const when of ['cold', 'warm', 'warm'] as const) {
        const checked = await checkedCallsPerSecond(host, steps, 2 * pairs);
        console.log(`  checked end to end, ${form}, ${when}: ${rate(checked)}, ratio ${(checked / loop).toFixed(2)}`);
      }
    }
  } finally {
    await host.close();
  }
};

const loopCallsPerSecond = async (host: VmHost, folder: string): Promise<number> => {
  const binary = join(folder, 'loop');
  await execa('cc', ['-O2', '-static', '-o', binary, LOOP]);
  await host.command('cat > /tmp/loop && chmod 700 /tmp/loop', await readFile(binary));
  const [group] = host.facts.platform.groups;
  if (group === undefined) throw new HostTrouble('the guest has no usable IOMMU group');
  const { stdout, stderr, status } = await host.command(`/tmp/loop ${group.path} ${PAIRS}`);
  if (status !== 0) throw new HostTrouble(`the C loop failed in the guest: ${stderr.trim()}`);
  return Number(stdout.trim());
};

const model = (): void => {
  const sizes = [10, 1000, 65_535];
  const rates = sizes.map((mappings) => modelCallsPerSecond(mappings, 20_000));
  for (const [index, mappings] of sizes.entries()) {
    const perSecond = rates[index] ?? 0;
    const ratio = (perSecond / (rates[0] ?? perSecond)).toFixed(2);
    console.log(`model alone at ${mappings.toLocaleString('en')} mappings: ${rate(perSecond)}, ratio ${ratio}`);
  }
};

const wholeRun = async (report: string): Promise<void> => {
  const { totalMs, bootMs, harnessPeakMiB, guestPeakMiB } = await measureWholeRun(report);
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  console.log(
    `all suites, warm: ${seconds(totalMs)} in all, boot ${seconds(bootMs)}, ratio ${(totalMs / bootMs).toFixed(2)}`,
  );
  console.log(`peak memory: harness ${harnessPeakMiB.toFixed(0)} MiB, QEMU with guest ${guestPeakMiB.toFixed(0)} MiB`);
};
