/**
 * What is spoken with the helper (docs/program-format.md), as pure functions. Frames go out; lines come back and are
 * untrusted: everything in them is bounded, and what is not in the form is a HostTrouble, never a crash.
 */
import { Malformed } from '../program/malformed.ts';
import { parseObservation, unescapeText } from '../program/observation-text.ts';
import { OPS_HASH } from '../program/ops.ts';
import type { Observation } from '../program/step.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';

const PROTOCOL_VERSION = 1;

/** What the helper says of itself and its machine when it starts. */
export interface Greeting {
  /** `uname -r`. */
  readonly kernelRelease: string;
  readonly pageSizeBytes: number;
  /** The helper's process. */
  readonly pid: number;
}

/** One line of the helper's, understood. */
export type Reply =
  | { readonly kind: 'greeting'; readonly greeting: Greeting }
  | { readonly kind: 'begin'; readonly id: number }
  | { readonly kind: 'observation'; readonly observation: Observation }
  | { readonly kind: 'log'; readonly text: string }
  /** The kernel log cannot be read. */
  | { readonly kind: 'nolog'; readonly reason: string }
  | { readonly kind: 'end'; readonly id: number; readonly durationUs: number; readonly status: 'done' | 'unfinished' }
  /** The program was refused and nothing of it ran; `line` is of its text, from 1. Without an id the frame was not understood. */
  | { readonly kind: 'error'; readonly id: number | undefined; readonly line: number; readonly text: string };

/** How much may come back. All but the line are for one program. */
export interface Limits {
  readonly lineBytes: number;
  readonly totalBytes: number;
  /** Bytes of `out=`, after runs were expanded. */
  readonly outBytes: number;
  readonly observations: number;
  readonly logLines: number;
}

/** A read of 64 MiB of noise, which the format allows, is a line of nearly 150 MiB. */
export const LIMITS: Limits = {
  lineBytes: 160 << 20,
  totalBytes: 256 << 20,
  outBytes: 128 << 20,
  observations: 1 << 21,
  logLines: 200,
};

/** Bounds of a frame's deadlines, in milliseconds. */
const MAX_STEP_MS = 600_000;
const MAX_PROGRAM_MS = 3_600_000;

/**
 * The frame that asks for a program; `text` is what printProgram made. Throws UsageTrouble for deadlines, in milliseconds,
 * that the helper would not take.
 */
export const frame = (
  id: number,
  text: string,
  { stepMs, programMs }: { readonly stepMs: number; readonly programMs: number },
): string => {
  const step = deadline('a step', stepMs, MAX_STEP_MS);
  const program = deadline('a program', programMs, MAX_PROGRAM_MS);
  return `run ${id} ${Buffer.byteLength(text)} ${step} ${program}\n${text}`;
};

const deadline = (what: string, ms: number, max: number): number => {
  if (Number.isInteger(ms) && ms >= 1 && ms <= max) return ms;
  throw new UsageTrouble(`the deadline of ${what} is 1 to ${max} ms, not ${ms}`);
};

/** The frame that ends the conversation. */
export const BYE = 'bye\n';

/** Whoever answers in the helper's place shall not be listened to for long. */
const MAX_GREETING_BYTES = 1024;

const MAX_COUNTER = Number.MAX_SAFE_INTEGER;

const counter = (text: string, max = MAX_COUNTER): number => {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : -1;
  if (value < 0 || value > max) throw new Malformed(`a number up to ${max}`, text);
  return value;
};

/** Reads the first line. Throws HostTrouble, which says what to do, for another program, protocol or table of operations. */
export const parseGreeting = (line: string, opsHash = OPS_HASH): Greeting => {
  const [program, version, hash, kernelRelease = '', pageSize = '', pid = '', ...rest] = line.split(' ');
  if (program !== 'vfio-conform-helper') {
    throw new HostTrouble(
      `expected the greeting of vfio-conform-helper, found ${JSON.stringify(line.slice(0, 80))}: something else answers, or the login shell of the host prints text`,
    );
  }
  const advice = 'build the helper from this checkout and install it on the host again';
  if (version !== `${PROTOCOL_VERSION}`) {
    throw new HostTrouble(`the helper speaks protocol ${version}, this harness speaks ${PROTOCOL_VERSION}: ${advice}`);
  }
  if (hash !== opsHash) {
    throw new HostTrouble(`the helper was built from other operations (${hash}, expected ${opsHash}): ${advice}`);
  }
  const greeting = { kernelRelease, pageSizeBytes: Number(pageSize), pid: Number(pid) };
  const whole = /^[0-9]{1,10}$/;
  if (kernelRelease === '' || !whole.test(pageSize) || !whole.test(pid) || rest.length > 0) {
    throw new HostTrouble(
      `expected kernel release, page size and pid in the helper's greeting, found ${JSON.stringify(line.slice(0, 80))}`,
    );
  }
  return greeting;
};

/** Reads any later line; throws Malformed. `maxBytes` bounds an observation's `out`. */
export const parseReply = (line: string, maxBytes: number): Reply => {
  const code = line.charCodeAt(0);
  // Nearly all lines are observations, and only those begin with a digit.
  if (code >= 0x30 && code <= 0x39) return { kind: 'observation', observation: parseObservation(line, maxBytes) };
  const blank = line.indexOf(' ');
  const word = blank < 0 ? line : line.slice(0, blank);
  const rest = blank < 0 ? '' : line.slice(blank + 1);
  switch (word) {
    case 'begin':
      return { kind: 'begin', id: counter(rest) };
    case 'log':
      return { kind: 'log', text: copyOf(unescapeText(rest)) };
    case 'log!':
      return { kind: 'nolog', reason: unescapeText(rest) };
    case 'end':
      return parseEnd(rest);
    case 'error':
      return parseError(rest);
    default:
      throw new Malformed('begin, an observation, log, end or error', line);
  }
};

/** A slice of a string keeps all of it alive; what is kept for long is copied out. */
const copyOf = (text: string): string => Buffer.from(text).toString();

const parseEnd = (rest: string): Reply => {
  const [id = '', durationUs = '', status, ...more] = rest.split(' ');
  if ((status !== 'done' && status !== 'unfinished') || more.length > 0) {
    throw new Malformed('end ID MICROSECONDS done or unfinished', rest);
  }
  return { kind: 'end', id: counter(id), durationUs: counter(durationUs), status };
};

const parseError = (rest: string): Reply => {
  const match = /^(-|[0-9]{1,16}) ([0-9]{1,9}) (.*)$/.exec(rest);
  if (match === null) throw new Malformed('error ID LINE TEXT', rest);
  const [, id = '', line = '', text = ''] = match;
  return { kind: 'error', id: id === '-' ? undefined : counter(id), line: counter(line), text: unescapeText(text) };
};

/** Turns what comes from the helper into replies, in whatever pieces it comes. */
export interface Decoder {
  /** Throws HostTrouble for what is not in the form or beyond a limit; the decoder is of no use after that. */
  push(chunk: Uint8Array): void;
}

/**
 * A decoder at the start of a conversation. It emits one greeting first, then replies of which it has checked that each
 * observation and log line stands between a `begin` and the `end` of the same id.
 */
export const createDecoder = (emit: (reply: Reply) => void, limits: Limits = LIMITS, opsHash = OPS_HASH): Decoder => {
  let greeted = false;
  let open:
    | { readonly id: number; bytes: number; outBytes: number; observations: number; logLines: number }
    | undefined;

  const within = (count: number, limit: number, what: string): void => {
    if (count > limit) throw new Malformed(`at most ${limit} ${what} from one program`, `${count}`);
  };

  const account = (line: string, reply: Reply): void => {
    if (reply.kind === 'begin') {
      if (open !== undefined) throw new Malformed(`end ${open.id}`, line);
      open = { id: reply.id, bytes: 0, outBytes: 0, observations: 0, logLines: 0 };
      return;
    }
    if (reply.kind === 'error') {
      if (open !== undefined) throw new Malformed(`end ${open.id}`, line);
      return;
    }
    if (open === undefined) throw new Malformed('begin or error', line);
    open.bytes += line.length + 1;
    within(open.bytes, limits.totalBytes, 'bytes');
    if (reply.kind === 'observation') {
      within(++open.observations, limits.observations, 'observations');
      if ('out' in reply.observation) open.outBytes += reply.observation.out?.length ?? 0;
    } else if (reply.kind === 'log') {
      within(++open.logLines, limits.logLines, 'lines of kernel log');
    } else if (reply.kind === 'end') {
      if (reply.id !== open.id) throw new Malformed(`end ${open.id}`, line);
      open = undefined;
    }
  };

  const take = (line: string): void => {
    if (!greeted) {
      greeted = true;
      emit({ kind: 'greeting', greeting: parseGreeting(line, opsHash) });
      return;
    }
    const reply = parseReply(line, limits.outBytes - (open?.outBytes ?? 0));
    account(line, reply);
    emit(reply);
  };

  const lines = createLineReader(() => (greeted ? limits.lineBytes : MAX_GREETING_BYTES), take);
  return {
    push: (chunk) => {
      try {
        lines.push(chunk);
      } catch (cause) {
        if (!(cause instanceof Malformed)) throw cause;
        throw new HostTrouble(`the helper's answer is malformed: ${cause.message}`, { cause });
      }
    },
  };
};

const FOREIGN = /[^\n\x20-\x7e]/;

/** Cuts a stream of bytes into lines of printable ASCII; throws Malformed for a longer line or another byte. */
const createLineReader = (maxBytes: () => number, take: (line: string) => void): Decoder => {
  let parts: string[] = [];
  let held = 0;
  const hold = (text: string): void => {
    held += text.length;
    if (held > maxBytes()) throw new Malformed(`lines of at most ${maxBytes()} bytes`, `${held}`);
    parts.push(text);
    if (parts.length > 1000) parts = [parts.join('')];
  };
  const finish = (text: string): string => {
    if (held + text.length > maxBytes()) hold(text);
    if (parts.length === 0) return text;
    const line = parts.join('') + text;
    parts = [];
    held = 0;
    return line;
  };
  return {
    push: (chunk) => {
      const text = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
      const foreign = FOREIGN.exec(text);
      if (foreign !== null) throw new Malformed('printable ASCII', foreign[0]);
      let from = 0;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
        take(finish(text.slice(from, end)));
        from = end + 1;
      }
      if (from < text.length) hold(text.slice(from));
    },
  };
};
