import type { Ending } from '../program/step.ts';
import { HostTrouble } from '../trouble.ts';
import type { Guest } from './qemu.ts';
import { connectSsh, SSH_TIMES, type SshTarget } from './ssh.ts';

/** How long a dying guest may take to say so and be gone, and a living one to answer, in milliseconds. */
const DYING_MS = 3000;
const ANSWER_MS = 8000;
/** How much of a console is kept with a run. */
const TAIL_LINES = 120;

/**
 * What became of a guest whose helper is not heard any more: its console and QEMU are looked at, and if both seem well the
 * guest is asked to let us in again. `panicked` and `hung` are the guest's kernel's doing; anything else is `lost`.
 */
export const howItEnded = async (guest: Guest, target: SshTarget, reason: string): Promise<Ending> => {
  const answers = await asks(guest, target);
  const panic = guest.console.since('panic', TAIL_LINES);
  if (panic !== undefined) return { kind: 'panicked', console: guest.console.since('bug', TAIL_LINES) ?? panic };
  const ended = guest.ended();
  if (ended !== undefined) return { kind: 'lost', reason: `${reason}; ${ended}` };
  if (answers) return { kind: 'lost', reason: `${reason}; the guest itself still answers` };
  return { kind: 'hung', console: guest.console.lines().slice(-TAIL_LINES) };
};

/** Whether the guest lets us in; decided early when it panics or ends. */
const asks = async (guest: Guest, target: SshTarget): Promise<boolean> => {
  const alive = connectSsh(target, { ...SSH_TIMES, connectMs: ANSWER_MS }).then(
    (connection) => {
      connection.close();
      return true;
    },
    (cause: unknown) => {
      if (cause instanceof HostTrouble) return false;
      throw cause;
    },
  );
  // A connection is refused at once when QEMU is gone, before its last words have arrived; so its end is waited for too.
  const answered = await Promise.race([alive, guest.end.then(() => false)]);
  if (!answered) await Promise.race([guest.end, later(DYING_MS)]);
  return answered;
};

const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
