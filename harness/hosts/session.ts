import type { Readable, Writable } from 'node:stream';
import type { Ending, Observation, Program, Run } from '../program/step.ts';
import { printProgram } from '../program/text.ts';
import { HostTrouble } from '../trouble.ts';
import { BYE, createDecoder, frame, type Greeting, type Reply } from '../wire/protocol.ts';
import type { Deadlines } from './host.ts';

/** The two directions of a connection to a helper; for an ssh2 channel both are the channel. */
export interface HelperStreams {
  readonly toHelper: Writable;
  readonly fromHelper: Readable;
}

export interface SessionOptions {
  /** How long the greeting may take, in milliseconds. */
  readonly handshakeMs?: number;
  /** How long nothing may come beyond a program's own deadline before the host counts as lost, in milliseconds. */
  readonly marginMs?: number;
  /** How many programs, and how many bytes of them, may be sent ahead of the answers. One program always may. */
  readonly programsAhead?: number;
  readonly bytesAhead?: number;
  /**
   * Asked when the connection ended in mid-program: how did that program end? The host looks whether its machine
   * panicked, hangs or is only out of reach. Without it the ending is `lost`.
   */
  readonly onLost?: (reason: string) => Promise<Ending>;
}

const DEFAULTS = { handshakeMs: 15_000, marginMs: 15_000, programsAhead: 8, bytesAhead: 4 << 20 };
/** How long a helper that was told to leave may take until its connection is cut. */
const FAREWELL_MS = 2000;

/** A conversation with one helper that has greeted. */
export interface HelperSession {
  readonly greeting: Greeting;
  /** Why the session is over, once it is. */
  readonly lost: string | undefined;
  /**
   * Runs one program; programs given while one runs are queued and sent ahead, and their runs come back in order. When
   * the connection ends, the program that was running ends as `onLost` says, and those behind it are `lost`.
   * Throws HostTrouble when the session is over, UsageTrouble for a program that cannot be written as text,
   * or deadlines beyond the bounds.
   */
  run(program: Program, deadlines: Deadlines): Promise<Run>;
  /** Takes leave of the helper and closes the streams. Never throws; may be called twice. */
  close(): Promise<void>;
}

/** A program that was given to `run` and has not ended. */
interface Pending {
  readonly id: number;
  readonly frame: string;
  readonly programMs: number;
  /** How often each call is taken. */
  readonly counts: readonly number[];
  readonly observations: Observation[];
  log: string[] | undefined;
  readonly resolve: (run: Run) => void;
}

/** Waits for the helper's greeting on these streams. Throws HostTrouble if it does not come, or is not the one expected. */
export const openSession = async (streams: HelperStreams, options: SessionOptions = {}): Promise<HelperSession> => {
  const { handshakeMs } = { ...DEFAULTS, ...options };
  const conversation = createConversation(streams, options);
  const timer = setTimeout(() => conversation.lose(`no greeting within ${handshakeMs} ms`), handshakeMs);
  try {
    return conversation.session(await conversation.greeted);
  } finally {
    clearTimeout(timer);
  }
};

const createConversation = ({ toHelper, fromHelper }: HelperStreams, options: SessionOptions) => {
  const { marginMs, programsAhead, bytesAhead, onLost } = { ...DEFAULTS, ...options };
  const queue: Pending[] = [];
  const sent: Pending[] = [];
  let nextId = 1;
  let blocked = false;
  let lost: string | undefined;
  let leaving = false;
  let watch: NodeJS.Timeout | undefined;
  let greet: (greeting: Greeting) => void;
  let refuse: (trouble: HostTrouble) => void;
  const greeted = new Promise<Greeting>((resolve, reject) => {
    greet = resolve;
    refuse = reject;
  });

  /** The helper keeps the deadlines itself; this one is for a helper, or a connection, that is no more. */
  const watchHead = (): void => {
    clearTimeout(watch);
    const [head] = sent;
    if (head === undefined) return;
    const patience = head.programMs + marginMs;
    watch = setTimeout(() => lose(`nothing came from the helper for ${patience} ms`), patience);
  };

  const mayGoAhead = (next: Pending): boolean => {
    if (blocked || lost !== undefined) return false;
    const bytes = sent.reduce((sum, pending) => sum + pending.frame.length, next.frame.length);
    return sent.length === 0 || (sent.length < programsAhead && bytes <= bytesAhead);
  };

  const sendAhead = (): void => {
    for (let [next] = queue; next !== undefined && mayGoAhead(next); [next] = queue) {
      queue.shift();
      sent.push(next);
      blocked = !toHelper.write(next.frame, 'latin1');
      if (sent.length === 1) watchHead();
    }
  };

  const finish = (durationUs: number, ending: Ending): void => {
    const head = sent.shift();
    head?.resolve({ observations: head.observations, kernelLog: head.log, durationUs, ending });
    watchHead();
    sendAhead();
  };

  /** The end of the conversation; what happens to the streams after that is nobody's concern. */
  const lose = (reason: string): void => {
    if (lost !== undefined) return;
    lost = reason;
    clearTimeout(watch);
    toHelper.destroy();
    fromHelper.destroy();
    refuse(new HostTrouble(`the helper did not answer: ${reason}`));
    void settle(reason, [...sent.splice(0), ...queue.splice(0)]);
  };

  const settle = async (reason: string, [head, ...others]: readonly Pending[]): Promise<void> => {
    if (head === undefined) return;
    const unknown: Ending = { kind: 'lost', reason };
    const ending = leaving ? unknown : ((await onLost?.(reason).catch(() => unknown)) ?? unknown);
    const { observations, log } = head;
    head.resolve({ observations, kernelLog: log?.length === 0 ? undefined : log, durationUs: 0, ending });
    const notRun: Ending = { kind: 'lost', reason: `not run: an earlier program ended the session (${reason})` };
    for (const other of others)
      other.resolve({ observations: [], kernelLog: undefined, durationUs: 0, ending: notRun });
  };

  const take = (reply: Reply): void => {
    if (lost !== undefined) return;
    if (reply.kind === 'greeting') {
      greet(reply.greeting);
      return;
    }
    if (reply.kind === 'error' && reply.id === undefined) {
      throw new HostTrouble(`the helper did not understand what it was sent: ${reply.text}`);
    }
    const [head] = sent;
    if (head === undefined) throw new HostTrouble(`the helper sent ${reply.kind} without being asked`);
    if ('id' in reply && reply.id !== head.id) {
      throw new HostTrouble(`the helper sent ${reply.kind} ${reply.id} where ${head.id} was expected`);
    }
    switch (reply.kind) {
      case 'begin':
        return;
      case 'observation':
        checkPlace(head, reply.observation);
        head.observations.push(reply.observation);
        return;
      case 'log':
        head.log?.push(reply.text);
        return;
      case 'nolog':
        head.log = undefined;
        return;
      case 'end':
        finish(reply.durationUs, { kind: reply.status });
        return;
      case 'error':
        head.observations.push(refusal(head, reply.line, reply.text));
        head.log = undefined;
        finish(0, { kind: 'done' });
        return;
    }
  };

  const decoder = createDecoder(take);
  fromHelper.on('data', (chunk: Uint8Array) => {
    watch?.refresh();
    try {
      decoder.push(chunk);
    } catch (cause) {
      if (!(cause instanceof HostTrouble)) throw cause;
      refuse(cause);
      lose(cause.message);
    }
  });
  fromHelper.on('end', () => lose('the helper closed the connection'));
  fromHelper.on('close', () => lose('the connection was closed'));
  fromHelper.on('error', (error) => lose(error.message));
  toHelper.on('error', (error) => lose(error.message));
  toHelper.on('drain', () => {
    blocked = false;
    watch?.refresh();
    sendAhead();
  });

  const session = (greeting: Greeting): HelperSession => ({
    greeting,
    get lost() {
      return lost;
    },
    run: async (program, deadlines) => {
      if (lost !== undefined) throw new HostTrouble(`the session with the helper is over: ${lost}`);
      const id = nextId++;
      const text = frame(id, printProgram(program), deadlines);
      return new Promise<Run>((resolve) => {
        const counts = countsOf(program);
        queue.push({ id, frame: text, programMs: deadlines.programMs, counts, observations: [], log: [], resolve });
        sendAhead();
      });
    },
    close: () => {
      leaving = true;
      return farewell({ toHelper, fromHelper }, lose);
    },
  });

  return { greeted, lose, session };
};

const farewell = ({ toHelper, fromHelper }: HelperStreams, lose: (reason: string) => void): Promise<void> =>
  new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      lose('the session was closed');
      resolve();
    };
    const timer = setTimeout(over, FAREWELL_MS);
    if (fromHelper.destroyed || toHelper.destroyed) {
      over();
      return;
    }
    fromHelper.once('end', over);
    fromHelper.once('close', over);
    toHelper.end(BYE);
  });

/** How often each call of a program is taken, in the order that calls are numbered. */
const countsOf = (program: Program): readonly number[] =>
  program.steps.flatMap((step) => (step.op === 'repeat' ? step.body.map(() => step.count) : [1]));

const checkPlace = ({ counts }: Pending, { step, last }: Observation): void => {
  if (last >= (counts[step] ?? 0))
    throw new HostTrouble(`the helper reports call ${step}, iteration ${last}, which the program does not have`);
};

/** A program that the helper refused is our fault, and nothing of it ran: the first call says so. */
const refusal = ({ frame: text }: Pending, line: number, reason: string): Observation => ({
  step: 0,
  iteration: 0,
  last: 0,
  mishap: 'bad',
  // The frame's own line comes before the program's.
  detail: `the helper refused the program at line ${line} (${text.split('\n', line + 1)[line]?.trim() ?? ''}): ${reason}`,
});
