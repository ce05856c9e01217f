/** Reads from the debug information of a built module how the compiler laid a structure out. */
import { execa } from 'execa';
import { z } from 'zod';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { needProgram } from './requirements.ts';

/** A structure as it is in memory; everything in bytes. */
export interface StructLayout {
  readonly size: number;
  /** In the order of their offsets. Bit fields that share bytes are one member, under all of their names. */
  readonly members: readonly { readonly name: string; readonly offset: number; readonly size: number }[];
}

const layoutSchema = z.strictObject({
  size: z.number().int().nonnegative(),
  members: z
    .array(
      z.strictObject({ name: z.string(), bit: z.number().int().nonnegative(), bits: z.number().int().nonnegative() }),
    )
    .max(4096),
});

/** Runs inside gdb, on one line; prints what `layoutSchema` describes. A bit field's `bitsize` is not 0. */
const SCRIPT = (name: string): string =>
  [
    'python import json',
    `t = gdb.lookup_type("struct ${name}")`,
    'm = [{"name": f.name or "", "bit": f.bitpos, "bits": f.bitsize or 8 * f.type.sizeof} for f in t.fields()]',
    'print(json.dumps({"size": t.sizeof, "members": m}))',
  ].join('; ');

/**
 * The layout of `struct NAME` in a module (or any other object file) with debug information. Throws UsageTrouble for what is
 * no name of a structure, or when the file describes none of that name; HostTrouble when gdb is missing or fails otherwise.
 */
export const readStructLayout = async (path: string, name: string): Promise<StructLayout> => {
  if (!/^[A-Za-z_]\w{0,99}$/.test(name)) throw new UsageTrouble(`${JSON.stringify(name)} is no name of a structure`);
  // Nothing that lies beside the file is run: neither scripts of gdb's own, nor those that a file of debug information names.
  const options = ['-nx', '-batch', '-iex', 'set auto-load off', '-iex', 'set debuginfod enabled off'];
  const { exitCode, stdout, stderr } = await execa(await needProgram('gdb'), [...options, '-ex', SCRIPT(name), path], {
    reject: false,
    timeout: 60_000,
    stdin: 'ignore',
    maxBuffer: 1 << 20,
  });
  if (/No struct type named/.test(stderr)) {
    throw new UsageTrouble(`${path} tells of no struct ${name}: expected its name, and a file with debug information`);
  }
  const found = layoutSchema.safeParse(parsed(stdout));
  if (exitCode !== 0 || !found.success) {
    const [line = ''] = stderr.split('\n').filter((text) => !/^warning:/.test(text));
    throw new HostTrouble(`gdb cannot read struct ${name} of ${path}: ${line.slice(0, 200)}`);
  }
  return layoutOf(found.data);
};

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text.trim().split('\n').at(-1) ?? '');
  } catch {
    return undefined;
  }
};

/** Whole bytes: a member that begins within a byte of the one before it becomes a part of that. */
const layoutOf = ({ size, members }: z.infer<typeof layoutSchema>): StructLayout => {
  const whole: { name: string; offset: number; size: number }[] = [];
  for (const { name, bit, bits } of members.toSorted((a, b) => a.bit - b.bit)) {
    const [offset, end] = [Math.floor(bit / 8), Math.ceil((bit + bits) / 8)];
    const last = whole.at(-1);
    if (last !== undefined && offset < last.offset + last.size) {
      last.name += `, ${name}`;
      last.size = Math.max(end, last.offset + last.size) - last.offset;
    } else whole.push({ name, offset, size: end - offset });
  }
  return { size, members: whole };
};
