import { LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import { UsageTrouble } from './trouble.ts';

/**
 * Reads a YAML text into a checked value. The first mistake is a UsageTrouble in one line, with file, line and column, what was
 * expected and what was found.
 */
export const parseYaml = <Schema extends z.ZodType>(schema: Schema, text: string, path: string): z.infer<Schema> => {
  const read = readYaml(schema, text, path);
  if ('value' in read) return read.value;
  throw new UsageTrouble(read.mistakes[0]);
};

/** The same, with all mistakes: a line for each, in the order of the file. */
export const parseWholeYaml = <Schema extends z.ZodType>(
  schema: Schema,
  text: string,
  path: string,
): z.infer<Schema> => {
  const read = readYaml(schema, text, path);
  if ('value' in read) return read.value;
  throw new UsageTrouble(read.mistakes.join('\n'));
};

type Read<Value> = { readonly value: Value } | { readonly mistakes: readonly [string, ...string[]] };

const readYaml = <Schema extends z.ZodType>(schema: Schema, text: string, path: string): Read<z.infer<Schema>> => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const where = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  const [syntax] = document.errors;
  if (syntax !== undefined) return { mistakes: [`${where(syntax.pos[0])}: ${syntax.message}`] };
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return { value: parsed.data };
  const found = parsed.error.issues.map((issue) => {
    const keys = issue.path.filter((key) => typeof key !== 'symbol');
    const surplus = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const offset = surplus === undefined ? offsetOf(document, keys) : offsetOf(document, [...keys, surplus]);
    return { offset, text: `${where(offset)}: ${keys.join('.') || 'the file'}: ${issue.message}` };
  });
  const [first = `${path}: not as expected`, ...others] = found
    .sort((one, other) => one.offset - other.offset)
    .map((mistake) => mistake.text);
  return { mistakes: [first, ...others] };
};

/** Where the value at a path stands; for one that is missing, where its nearest parent stands. */
const offsetOf = (document: ReturnType<typeof parseDocument>, keys: readonly (string | number)[]): number => {
  for (let length = keys.length; length >= 0; length--) {
    const node: unknown = length === 0 ? document.contents : document.getIn(keys.slice(0, length), true);
    if (typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)) {
      const [start] = node.range;
      if (typeof start === 'number') return start;
    }
  }
  return 0;
};
