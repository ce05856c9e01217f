import { readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { UsageTrouble } from '../trouble.ts';
import { writeWhole } from './files.ts';

/** Version of the form of code.json; it changes when a reader of the old form would go wrong. */
const CODE_SCHEMA = 'vfio-conform/code/1';
const CODE = 'code.json';

/** What of a kernel's own code ran while its cases did: code.json, of kernels that count it (gcov). */
export const CodeRecord = z.object({
  schema: z.literal(CODE_SCHEMA).describe('Form and version of this file'),
  kernel: z.string().describe('What the host ran (`uname -r`)'),
  boots: z.number().describe('Boots of the guest whose counts are in here'),
  bootsLost: z.number().describe('Boots whose counts went with the guest: it hung, or was gone'),
  files: z
    .array(
      z.object({
        path: z.string().describe("In the kernel's tree: `drivers/vfio/container.c`"),
        functions: z
          .array(z.object({ name: z.string(), firstLine: z.number(), lastLine: z.number(), count: z.number() }))
          .describe('Where each stands, and how often it was called'),
        lines: z
          .array(
            z.object({
              line: z.number().describe('Its number in the file'),
              count: z.number().describe('How often it ran'),
              branches: z.array(z.number()).describe('How often each way was gone that the code may go on from here'),
            }),
          )
          .describe('Lines that hold code, ascending'),
      }),
    )
    .describe('Files that are counted, by path'),
});
export type CodeRecord = z.infer<typeof CodeRecord>;

/** Writes it into a report's folder. Throws HostTrouble. */
export const writeCode = (folder: string, record: Omit<CodeRecord, 'schema'>): void =>
  writeWhole(join(folder, CODE), [`${JSON.stringify({ schema: CODE_SCHEMA, ...record })}\n`]);

/** No kernel of ours comes near. */
const MOST_BYTES = 64 << 20;

/** What a report's folder (or the folder of its results.json) has of it; `undefined` when its kernel did not count. Throws UsageTrouble. */
export const readCode = (path: string): CodeRecord | undefined => {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const file = join(isFolder ? path : dirname(path), CODE);
  const size = statSync(file, { throwIfNoEntry: false })?.size;
  if (size === undefined) return undefined;
  const parsed = size > MOST_BYTES ? undefined : CodeRecord.safeParse(jsonOf(file));
  if (parsed?.success === true) return parsed.data;
  throw new UsageTrouble(`${file} is not what run wrote: expected ${CODE_SCHEMA}`);
};

const jsonOf = (file: string): unknown => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
};
