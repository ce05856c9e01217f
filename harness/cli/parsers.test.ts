import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseCounts } from '../hosts/counts.ts';
import { parseKnownKeys } from '../hosts/host-key.ts';
import { parseHostsFile } from '../hosts/hosts-file.ts';
import { parseSettings } from '../hosts/ssh-config.ts';
import { parseManifest } from '../kernels/manifest.ts';
import { readPatches } from '../kernels/patches.ts';
import { Refusal } from '../lint/cursor.ts';
import { lint } from '../lint/index.ts';
import { splats } from '../oracle/kernel-log.ts';
import { parseKnownDifferences } from '../oracle/known.ts';
import { Malformed } from '../program/malformed.ts';
import { parseObservation } from '../program/observation-text.ts';
import { parseProgram } from '../program/text.ts';
import { parseJournal } from '../report/journal.ts';
import { readResults } from '../report/read-results.ts';
import { revisionNamed } from '../revisions/index.ts';
import { readPlan } from '../scale/plan.ts';
import { Trouble } from '../trouble.ts';
import { readAnswers } from '../wire/answers.ts';
import { parseGreeting } from '../wire/protocol.ts';

/* Whatever comes from outside is read, or refused in plain words: nothing else may happen. */

const at = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** Numbers that look random and are the same each time (mulberry32). */
const numbersFrom = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
};

const ODD = [
  '\0',
  '\u001b[2J',
  '\ufffe',
  '\ud800',
  '\n',
  '\r\n',
  '\t',
  '"',
  '{',
  ']',
  '&a',
  '*a',
  '!!js',
  '<<',
  '%',
  '-1',
  '0x',
  '9'.repeat(40),
  'é',
  '../',
];

/** A text that was damaged in a few places: something taken out, put in, doubled or cut off. */
const damaged = (text: string, next: (below: number) => number): string => {
  let found = text;
  for (let changes = 1 + next(4); changes > 0; changes--) {
    const from = next(found.length + 1);
    const to = Math.min(found.length, from + next(24));
    const kinds = [
      () => found.slice(0, from) + found.slice(to),
      () => found.slice(0, from) + (ODD[next(ODD.length)] ?? '') + found.slice(from),
      () => found.slice(0, to) + found.slice(from),
      () => found.slice(0, from),
      () => found.slice(0, from) + String.fromCharCode(next(0x10000)) + found.slice(from + 1),
    ];
    found = kinds[next(kinds.length)]?.() ?? found;
  }
  return found;
};

const HOSTS = `hosts:
  - name: spr1
    ssh: root@spr1
    kernel: '^6\\.12\\.'
    iommu: vtd
    devices: ['0000:3b:00.0']
    power:
      cycle: [ipmitool, -H, bmc1, power, cycle]
`;
const PROGRAM =
  'main mem ram 0x200000 huge=0x200000\nmain open /dev/vfio/vfio container\nmain ioctl container 0x3b64 [] => 0\nmain fork child\n';
const LOG = [
  '[    1.0] BUG: KASAN: use-after-free in vfio_dma_do_map+0x1/0x2',
  '[    1.1] CPU: 0',
  '[    1.2] Kernel panic - not syncing',
].join('\n');
const PATCH = at('fixtures/patches/nesting-cap/posted/0001-vfio-type1-the-nesting-capability-as-posted.patch');
const SMALL = {
  record: '{"schema":1,"cases":[]}',
  plan: '{"plan":{"schema":1,"id":"a","version":"0","cells":0,"classes":[],"options":[]}}\n',
};

/** Reads a text as a file. */
const asFile = async (text: string, read: (path: string) => unknown): Promise<void> => {
  const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-parsers-'));
  try {
    const path = join(folder, 'file');
    await writeFile(path, text);
    await read(path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

interface Reader {
  readonly sample: string;
  readonly read: (text: string) => unknown;
  /** How often it is tried; what runs programs or writes files less often. */
  readonly times?: number;
}

const READERS: Readonly<Record<string, Reader>> = {
  'a hosts file': { sample: HOSTS, read: (text) => parseHostsFile(text, 'hosts.yaml') },
  'known differences': {
    sample: at('fixtures/known-differences/linux-7.2.yaml').slice(0, 3000),
    read: (text) => parseKnownDifferences(text, 'known.yaml'),
  },
  'a kernel manifest': { sample: at('fixtures/kernels/6.1.yaml'), read: (text) => parseManifest(text, '6.1.yaml') },
  'a program': { sample: PROGRAM, read: (text) => parseProgram(text) },
  'a greeting': { sample: 'vfio-conform-helper 1 abc 6.1.0 4096 7', read: parseGreeting },
  'an observation': { sample: '3 0 12 - 00*8,0011223344556677', read: (text) => parseObservation(text, 4096) },
  'what was answered to a program': {
    sample: 'begin 0\n0 3 0\n1.0-9 -1 22 out=00*8 trampled=-1,32\n2 !died signal 9\nlog 4,1,2,-;x\nend 0 77 done\n',
    read: (text) => readAnswers(text, 'answers.txt'),
  },
  'a kernel log': { sample: LOG, read: (text) => splats(text.split('\n')) },
  'a list of host keys': {
    sample:
      'lab1,192.0.2.7 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE0 x\n@revoked * ssh-rsa AAAA\n|1|aaaa|bbbb= ssh-rsa AAAA\n',
    read: (text) => parseKnownKeys(text, 'known_hosts'),
  },
  'what ssh says of a host': {
    sample: 'host lab1\nuser tester\nhostname 192.0.2.7\nport 22\nidentityfile ~/.ssh/id\nproxyjump none\n',
    read: (text) => parseSettings(text, undefined),
  },
  'counts of a kernel': { sample: 'a.gcda 4\n00112233\n', read: parseCounts },
  'a patch, to be checked': { sample: PATCH, read: (text) => lint(text, 'a.patch', revisionNamed('linux-6.1')) },
  'a patch, to be built': { sample: PATCH, read: (text) => asFile(text, readPatches), times: 12 },
  'a journal': { sample: '{"kind":"case"}\n{"kind":"end"}\n', read: (text) => parseJournal(text, 'results.jsonl') },
  'a report': { sample: SMALL.record, read: (text) => asFile(text, readResults), times: 60 },
  'a plan': { sample: SMALL.plan, read: (text) => asFile(text, readPlan), times: 60 },
};

const isExpected = (cause: unknown): cause is Error =>
  cause instanceof Trouble || cause instanceof Malformed || cause instanceof Refusal;

/** Whether a text has characters that a terminal would take for more than text; some messages have a line for each mistake. */
const isUnsafe = (text: string): boolean =>
  [...text].some((one) => one !== '\n' && (one < ' ' || (one >= '\u007f' && one <= '\u009f')));

describe('what is read from outside', () => {
  for (const [name, { sample, read, times = 400 }] of Object.entries(READERS)) {
    it(`${name}, damaged: is read, or refused harmlessly`, async () => {
      const next = numbersFrom(name.length);
      for (let round = 0; round < times; round++) {
        const text = damaged(sample, next);
        try {
          await read(text);
        } catch (cause) {
          if (!isExpected(cause)) expect.fail(`${String(cause)} for ${JSON.stringify(text)}`);
          expect(isUnsafe(cause.message), JSON.stringify([cause.message, text])).to.equal(false);
          expect(cause.message.length, JSON.stringify(text)).to.be.lessThan(1500);
        }
      }
    }).timeout(300_000);
  }
});
