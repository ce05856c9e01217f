import type { Ending } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import { within } from './patience.ts';
import type { Guest } from './qemu.ts';
import { connectSsh, SilentHost, SSH_TIMES, type SshTarget } from './ssh.ts';

/** How long a dying guest may take to be gone, and a living one to answer, in milliseconds. */
const PATIENCE = { dyingMs: 3000, answerMs: 8000 };
/** How much of a console is kept with a run. */
const TAIL_LINES = 120;

/**
 * What became of a guest whose helper is not heard any more: its console and QEMU are looked at, and if both seem well the
 * guest is asked to let us in again. `panicked` and `hung` are the guest's kernel's doing; anything else is `lost`.
 */
export const howItEnded = async (
  guest: Guest,
  target: SshTarget,
  reason: string,
  patience = PATIENCE,
): Promise<Ending> => {
  const answer = await askAgain(guest, target, patience);
  const panic = lastWords(guest);
  if (panic !== undefined) return { kind: 'panicked', console: panic };
  const ended = guest.ended();
  if (ended !== undefined) return { kind: 'lost', reason: `${reason}; ${ended}` };
  const lockup = guest.console.since('hung-task', TAIL_LINES);
  if (lockup !== undefined) return { kind: 'hung', console: lockup };
  if (answer === 'silence') return { kind: 'hung', console: guest.console.lines().slice(-TAIL_LINES) };
  return { kind: 'lost', reason: `${reason}; ${answer}` };
};

/** What a kernel that panicked said of it, from its first complaint on; `undefined` of one that did not. */
export const lastWords = ({ console }: Pick<Guest, 'console'>): readonly string[] | undefined =>
  console.since('panic', TAIL_LINES) && console.since('bug', TAIL_LINES);

/** What the guest says to another connection; its end is waited for when it may be dying. */
const askAgain = async (guest: Guest, target: SshTarget, { dyingMs, answerMs }: typeof PATIENCE): Promise<string> => {
  const answer = connectSsh(target, { ...SSH_TIMES, connectMs: answerMs }).then(
    (connection) => {
      connection.close();
      return 'the guest itself still answers';
    },
    (cause: unknown) => {
      if (cause instanceof SilentHost) return 'silence';
      if (cause instanceof HostTrouble) return cause.message;
      throw cause;
    },
  );
  const first = await Promise.race([answer, guest.end.then(() => 'it ended')]);
  // QEMU that ends refuses connections before its last words have arrived.
  if (first !== 'the guest itself still answers' && first !== 'silence') await within(dyingMs, guest.end);
  return first;
};
