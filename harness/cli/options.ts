import { parseArgs } from 'node:util';
import { UsageTrouble } from '../trouble.ts';
import type { Command, Given } from './command.ts';

/** Reads a command's options; an unknown or incomplete one is a UsageTrouble in one line. */
export const parseOptions = (command: Command, argv: readonly string[]): Given => {
  const options = Object.fromEntries(
    command.options.map((option) => [
      option.name,
      { type: option.value === undefined ? ('boolean' as const) : ('string' as const), multiple: true },
    ]),
  );
  const parsed = parse(command, argv, options);
  const texts = (name: string): readonly string[] => {
    const found = parsed.values[name];
    return Array.isArray(found) ? found.filter((value) => typeof value === 'string') : [];
  };
  for (const option of command.options) {
    if (option.repeatable !== true && texts(option.name).length > 1) {
      throw new UsageTrouble(`--${option.name} was given more than once`);
    }
  }
  return {
    words: parsed.positionals,
    texts,
    text: (name) => texts(name).at(-1),
    on: (name) => parsed.values[name] !== undefined,
  };
};

const parse = (
  command: Command,
  argv: readonly string[],
  options: Record<string, { type: 'boolean' | 'string'; multiple: boolean }>,
) => {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (cause) {
    const [message] = (cause instanceof Error ? cause.message : String(cause)).split('\n');
    throw new UsageTrouble(`${command.name}: ${message} (see vfio-conform ${command.name} --help)`, { cause });
  }
};

/** A whole number within bounds, or a UsageTrouble. */
export const wholeNumber = (name: string, text: string, min: number, max: number): number => {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageTrouble(`--${name} takes a whole number from ${min} to ${max}, not "${text}"`);
};

/** A duration in milliseconds: `90`, `90s`, `15m`, `2h` (a bare number is seconds). */
export const duration = (name: string, text: string, least = 1): number => {
  const match = /^(\d{1,6})([smh]?)$/.exec(text);
  if (match === null || Number(match[1]) < least) {
    throw new UsageTrouble(`--${name} takes a duration such as 90s, 15m or 2h, not "${text}"`);
  }
  const unit = { '': 1000, s: 1000, m: 60_000, h: 3_600_000 }[match[2] ?? ''] ?? 1000;
  return Number(match[1]) * unit;
};

/** The text of `vfio-conform COMMAND --help`. */
export const helpOf = (command: Command): string => {
  const left = command.options.map((o) => `--${o.name}${o.value === undefined ? '' : ` ${o.value}`}`);
  const width = Math.max(0, ...left.map((text) => text.length));
  return [
    `usage: vfio-conform ${command.name} ${command.usage}`.trimEnd(),
    '',
    command.summary,
    ...(command.about === undefined ? [] : ['', command.about]),
    ...(command.options.length === 0 ? [] : ['', 'options:']),
    ...command.options.map((option, index) => `  ${(left[index] ?? '').padEnd(width)}  ${option.says}`),
    '',
    'examples:',
    ...command.examples.flatMap(([line, what]) => [`  ${line}`, `      ${what}`]),
  ].join('\n');
};
