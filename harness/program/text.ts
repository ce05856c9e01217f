/** Programs as text (docs/program-format.md): the form that is sent, kept, logged and mailed. */
import { UsageTrouble } from '../trouble.ts';
import { Malformed } from './malformed.ts';
import { OPS, type Operation } from './ops.ts';
import { createScope } from './scope.ts';
import type { Call, Program, Repeat, Step } from './step.ts';
import { checkName, FORMS, parseNumber } from './values.ts';

/** Bounds of the format (docs/program-format.md). */
const MAX_TEXT_BYTES = 8 << 20;
const MAX_LINE_BYTES = 128 << 10;
const MAX_CALLS = 65_536;
const MAX_ITERATIONS = 1_048_576;

const LET_TEXT = /^[\x21-\x7e]{1,4095}$/;

/**
 * Reads a program. Throws UsageTrouble for text that is none, with the line, what was expected there and what was found;
 * `source` names the text in it.
 */
export const parseProgram = (text: string, source = 'program'): Program => {
  const reader = createReader();
  let number = 0;
  try {
    if (text.length > MAX_TEXT_BYTES) throw new Malformed(`at most ${MAX_TEXT_BYTES} bytes of text`, `${text.length}`);
    for (let from = 0; from < text.length; ) {
      number++;
      const newline = text.indexOf('\n', from);
      const end = newline < 0 ? text.length : newline;
      if (end - from > MAX_LINE_BYTES) throw new Malformed(`at most ${MAX_LINE_BYTES} bytes a line`, `${end - from}`);
      reader.line(tokensOf(text.slice(from, end)));
      from = end + 1;
    }
    number++;
    return reader.finish();
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new UsageTrouble(`${source}:${number}: ${cause.message}`, { cause });
  }
};

/** A token is what stands between blanks; one that begins with `[` goes on to the `]`, blanks included. */
const TOKEN = /\[[^\]]*\][^ \t]*|[^ \t]+/g;
const SKIPPED = /^[ \t]*(?:#|$)/;
const FOREIGN = /[^\t\x20-\x7e]/;

const tokensOf = (line: string): readonly string[] => {
  if (SKIPPED.test(line)) return [];
  const foreign = FOREIGN.exec(line);
  if (foreign !== null) throw new Malformed('printable ASCII', foreign[0]);
  return line.match(TOKEN) ?? [];
};

/** Takes lines, as tokens, and becomes the program they are. Throws Malformed. */
const createReader = () => {
  const lets: Record<string, string> = {};
  const steps: Step[] = [];
  const scope = createScope();
  let calls = 0;
  let block: { readonly count: number; readonly body: Call[] } | undefined;

  const addLet = (tokens: readonly string[]): void => {
    const [, name = '', text = '', ...rest] = tokens;
    if (calls > 0 || block !== undefined) throw new Malformed('let lines before all others', `let ${name}`);
    checkName(name);
    if (Object.hasOwn(lets, name)) throw new Malformed('each let once', name);
    if (!LET_TEXT.test(text) || rest.length > 0) throw new Malformed('let NAME TEXT', tokens.join(' '));
    lets[name] = text;
  };

  const beginRepeat = (tokens: readonly string[]): void => {
    if (block !== undefined) throw new Malformed('end: repeats do not nest', 'repeat');
    const count = tokens.length === 2 ? parseNumber(tokens[1] ?? '') : 0n;
    if (count < 1n || count > BigInt(MAX_ITERATIONS)) {
      throw new Malformed(`repeat and a count of 1 to ${MAX_ITERATIONS}`, tokens.join(' '));
    }
    block = { count: Number(count), body: [] };
  };

  const endRepeat = (tokens: readonly string[]): void => {
    if (block === undefined || tokens.length > 1) throw new Malformed('end only after repeat', tokens.join(' '));
    if (block.body.length === 0) throw new Malformed('a call within repeat', 'end');
    steps.push({ op: 'repeat', ...block });
    block = undefined;
  };

  const addCall = (tokens: readonly string[]): void => {
    const call = parseCall(tokens);
    scope.add(call);
    if (++calls > MAX_CALLS) throw new Malformed(`at most ${MAX_CALLS} calls`, tokens.join(' '));
    const actor = block?.body[0]?.actor ?? call.actor;
    if (call.actor !== actor) throw new Malformed(`the same actor in all of a repeat, ${actor}`, call.actor);
    if (block === undefined) steps.push(call);
    else block.body.push(call);
  };

  return {
    line: (tokens: readonly string[]): void => {
      switch (tokens[0]) {
        case undefined:
          return;
        case 'let':
          addLet(tokens);
          return;
        case 'repeat':
          beginRepeat(tokens);
          return;
        case 'end':
          endRepeat(tokens);
          return;
        default:
          addCall(tokens);
      }
    },
    finish: (): Program => {
      if (block !== undefined) throw new Malformed('end of a repeat', '');
      return { lets, steps };
    },
  };
};

const parseCall = (tokens: readonly string[]): Call => {
  const [actor = '', op = ''] = tokens;
  const operation = OPS.get(op);
  if (operation === undefined)
    throw new Malformed('ACTOR OPERATION PARAMETERS, with an operation of ops.def', tokens.join(' '));
  const call: Record<string, unknown> = { actor: checkName(actor), op };
  let at = 2;
  for (const parameter of operation.required) {
    const token = tokens[at++];
    if (token === undefined) throw new Malformed(usageOf(operation), tokens.join(' '));
    call[parameter.name] = FORMS[parameter.kind].parse(token, parameter);
  }
  for (; at < tokens.length; at++) parseOption(operation, tokens[at] ?? '', call);
  // The table says which parameters an operation has, and step.ts which types they have: text.test.ts holds the two together.
  return call as unknown as Call;
};

const parseOption = (operation: Operation, token: string, call: Record<string, unknown>): void => {
  const equals = token.indexOf('=');
  const name = token.slice(0, Math.max(0, equals));
  const parameter = operation.options.find((option) => option.name === name);
  if (parameter === undefined) throw new Malformed(usageOf(operation), token);
  if (name in call) throw new Malformed(`${name} once`, token);
  call[name] = FORMS[parameter.kind].parse(token.slice(equals + 1), parameter);
};

/** `mem NAME SIZE [offset=NUM]`: an operation as an error message shows it. */
const usageOf = ({ name, required, options }: Operation): string =>
  [
    name,
    ...required.map((parameter) => parameter.name.toUpperCase()),
    ...options.map((option) => `[${option.name}=${option.kind.toUpperCase()}]`),
  ].join(' ');

/** One call as a line of text. Throws UsageTrouble for a call that cannot be written. */
export const printCall = (call: Call): string => {
  try {
    const text = callText(call);
    if (text.length > MAX_LINE_BYTES) throw new Malformed(`at most ${MAX_LINE_BYTES} bytes a line`, text);
    return text;
  } catch (cause) {
    if (!(cause instanceof Malformed)) throw cause;
    throw new UsageTrouble(`a call of ${call.actor}, ${call.op}: ${cause.message}`, { cause });
  }
};

const callText = (call: Call): string => {
  const operation = OPS.get(call.op);
  if (operation === undefined) throw new Malformed('an operation of ops.def', call.op);
  // Read by the table's names; see parseCall.
  const values = call as unknown as Readonly<Record<string, never>>;
  let text = `${checkName(call.actor)} ${call.op}`;
  for (const parameter of operation.required) {
    text += ` ${FORMS[parameter.kind].print(values[parameter.name] as never, parameter)}`;
  }
  for (const option of operation.options) {
    const value = values[option.name];
    if (value !== undefined) text += ` ${option.name}=${FORMS[option.kind].print(value, option)}`;
  }
  return text;
};

/** A program as text; it parses back to the same program. Throws UsageTrouble for a step that cannot be written. */
export const printProgram = (program: Program): string => {
  const lines = Object.entries(program.lets).map(([name, text]) => printLet(name, text));
  for (const step of program.steps) {
    if (step.op === 'repeat') lines.push(...printRepeat(step));
    else lines.push(printCall(step));
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
};

const printLet = (name: string, text: string): string => {
  if (LET_TEXT.test(text)) return `let ${name} ${text}`;
  throw new UsageTrouble(`let ${name}: expected text without blanks, found ${JSON.stringify(text)}`);
};

const printRepeat = ({ count, body }: Repeat): readonly string[] => [
  `repeat ${count}`,
  ...body.map((call) => `  ${printCall(call)}`),
  'end',
];
