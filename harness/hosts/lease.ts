/**
 * The lease of a machine: one run at a time, whichever controller it comes from. It is a file on the machine itself, with
 * its owner and the times from and until which it is held, by the machine's own clock. A heartbeat refreshes it. Nobody
 * takes a lease over before its time is out; and who cannot refresh it until then touches the machine no more.
 */
import { randomUUID } from 'node:crypto';
import { hostname, userInfo } from 'node:os';
import { HostTrouble } from '../trouble.ts';
import { createHeartbeat } from './heartbeat.ts';
import type { SshConnection } from './ssh.ts';

/** Who has a machine, in the machine's own seconds since the epoch. */
export interface Holder {
  readonly owner: string;
  readonly since: number;
  readonly until: number;
  /** What the machine's clock says now. */
  readonly now: number;
}

/**
 * Reads `VERB TOKEN SECONDS FOLDER` and the owner, a line each, and does that under a lock (a folder, where there is no
 * flock; one that was left over is told of). The folder stays over boots: a
 * machine that panics under a run is that run's all the same. Answers `ours|held|free|gone NOW SINCE UNTIL BOOT` and the owner;
 * BOOT tells this boot of the machine from others.
 */
const SCRIPT = `exec sh -c '
umask 077
read -r verb token seconds folder
read -r owner
if [ "$folder" = - ]; then
  if [ "$(id -u)" = 0 ]; then folder=/var/lib/vfio-conform; else folder=$HOME/.vfio-conform; fi
  { mkdir -p "$folder" && [ -w "$folder" ]; } 2> /dev/null || [ "$(id -u)" != 0 ] || folder=/run/vfio-conform-lease
fi
mkdir -p "$folder" || exit 1
if command -v flock > /dev/null; then exec 9> "$folder/mutex" && flock 9 || exit 1
else
  mutex=$folder/mutex.d; tries=0
  until mkdir "$mutex" 2> /dev/null; do
    tries=$((tries + 1))
    if [ $tries -gt 15 ]; then echo "$mutex stays: remove it" >&2; exit 1; fi
    sleep 1
  done
  trap "rmdir \\"$mutex\\"" EXIT
fi
boot=-; [ -r /proc/sys/kernel/random/boot_id ] && read -r boot < /proc/sys/kernel/random/boot_id
now=$(date +%s); held=; since=0; until=0; who=
[ -f "$folder/lease" ] && { read -r held since until; read -r who; } < "$folder/lease"
[ "$until" -gt "$now" ] || [ "$held" = "$token" ] || held=
keep() {
  printf "%s %s %s\\n%s\\n" "$token" "$1" $((now + seconds)) "$owner" > "$folder/lease.new" &&
  mv "$folder/lease.new" "$folder/lease" || exit 1
  echo ours $now $1 $((now + seconds)) $boot; echo "$owner"
}
say() { echo $1 $now $since $until $boot; echo "\${who:--}"; }
case $verb in
take) if [ -z "$held" ]; then keep $now; elif [ "$held" = "$token" ]; then keep $since; else say held; fi ;;
refresh) if [ "$held" = "$token" ]; then keep $since; else say gone; fi ;;
leave) [ "$held" = "$token" ] && rm -f "$folder/lease"; say free ;;
who) if [ -z "$held" ]; then say free; else say held; fi ;;
esac'`;

/** Where a lease is kept, and for how long it is taken at a time. */
export interface LeaseTerms {
  /** Folder on the machine; absent: for root /var/lib/vfio-conform (/run/vfio-conform-lease where that is read-only), else one in the user's home. */
  readonly folder?: string | undefined;
  /** Longer than a program may take, so that what a lost controller left running has ended before another comes. */
  readonly seconds?: number;
  readonly owner?: string;
  /** How long another may have it before that is trouble, in milliseconds; default: not at all. */
  readonly waitMs?: number;
  /** Told once that it is waited for. */
  readonly say?: (line: string) => void;
}

const SECONDS = 300;

/** What is needed of a connection: commands on the machine. */
export type Shell = Pick<SshConnection, 'over' | 'run' | 'close'>;

/** A connection to the machine, made anew when it is needed: a lease outlives connections. */
export type Connect = () => Promise<Shell>;

/** Between two tries to take a machine that another has, in milliseconds. */
const WAIT_MS = 2000;

export interface Lease {
  /** Returns when the machine is known to be ours still. Throws HostTrouble when it is not, from then on always. */
  confirm(): Promise<void>;
  /** The same, and refreshes it now: after a boot, which a machine without a disk forgets its lease over. */
  renew(): Promise<void>;
  /** Resolves when another has it, or nobody could be asked until its time was out; never for one that was given back. */
  readonly lost: Promise<string>;
  /** Has `listener` called whenever that happens from now on. */
  onLost(listener: () => void): void;
  /** Gives it back. Never throws. */
  leave(): Promise<void>;
}

/** `USER@MACHINE, process 123`: who we are to others. */
const ourselves = (): string => `${userInfo().username}@${hostname()}, process ${process.pid}`;

/** Takes a machine, called `name` in messages. Throws HostTrouble that says who has it, and until when. */
export const takeLease = async (name: string, connect: Connect, terms: LeaseTerms = {}): Promise<Lease> => {
  const { seconds = SECONDS, owner = ourselves() } = terms;
  const line = createLine(connect);
  const token = randomUUID();
  let boot = '';
  const ask = async (verb: string): Promise<Answer> => {
    const answer = await tell(await line.get(), name, { verb, token, seconds, owner }, terms);
    if (answer.kind === 'ours') boot = answer.boot;
    return answer;
  };
  /** What the machine forgot with a boot, and nobody took since, is ours still. */
  const refresh = async (): Promise<Answer> => {
    const answer = await ask('refresh');
    return answer.kind === 'gone' && answer.until === 0 && answer.boot !== boot ? ask('take') : answer;
  };
  try {
    const until = performance.now() + (terms.waitMs ?? 0);
    for (let told = false; ; told = true) {
      const { kind, ...holder } = await ask('take');
      if (kind === 'ours') break;
      const taken = `${name} is taken: ${holderText(holder)}`;
      if (performance.now() >= until) throw new HostTrouble(`${taken}; wait, or ask them`);
      if (!told) terms.say?.(`${taken}; waiting`);
      await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    }
  } catch (cause) {
    line.close();
    throw cause;
  }
  const beat = createHeartbeat(seconds * 1000, async () => {
    const { kind, ...holder } = await refresh().catch(async () => {
      // The connection may have ended without a word, as with a boot.
      line.close();
      return refresh();
    });
    return kind === 'ours' ? undefined : `the lease of ${name} is lost: ${lostText(holder)}`;
  });
  return {
    confirm: beat.confirm,
    renew: beat.renew,
    lost: beat.lost,
    onLost: beat.onLost,
    leave: async () => {
      beat.end();
      await ask('leave').catch(() => undefined);
      line.close();
    },
  };
};

/** Who has a machine; `undefined` when nobody does. Throws HostTrouble. */
export const holderOf = async (
  name: string,
  connection: Shell,
  { folder }: LeaseTerms = {},
): Promise<Holder | undefined> => {
  const words = { verb: 'who', token: '-', seconds: 0, owner: '-' };
  const { kind, ...holder } = await tell(connection, name, words, { folder });
  return kind === 'held' ? holder : undefined;
};

/** `root@ctl, process 7, since 2026-01-01 10:00:00 UTC, for another 240 s unless it is refreshed`. */
export const holderText = ({ owner, since, until, now }: Holder): string =>
  `${owner}, since ${new Date(since * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC, for another ${until - now} s unless it is refreshed`;

const lostText = (holder: Holder): string =>
  holder.until > holder.now ? `taken over by ${holderText(holder)}` : 'another took it over, and left';

interface Answer extends Holder {
  readonly kind: 'ours' | 'held' | 'free' | 'gone';
  readonly boot: string;
}

const ANSWER = /^(ours|held|free|gone) (\d{1,12}) (\d{1,12}) (\d{1,12}) ([0-9a-f-]{1,36})\n([^\n]*)$/;

const tell = async (
  connection: Shell,
  name: string,
  asked: { readonly verb: string; readonly token: string; readonly seconds: number; readonly owner: string },
  { folder = '-' }: LeaseTerms,
): Promise<Answer> => {
  const owner = printable(asked.owner);
  const input = `${asked.verb} ${asked.token} ${asked.seconds} ${folder}\n${owner}\n`;
  const { stdout, stderr } = await connection.run(SCRIPT, Buffer.from(input));
  // A login shell may print text of its own first.
  const [, kind, now, since, until, boot = '', who = ''] =
    ANSWER.exec(stdout.trimEnd().split('\n').slice(-2).join('\n')) ?? [];
  if (kind === undefined) {
    throw new HostTrouble(
      `the lease of ${name} cannot be kept: ${printable(stderr.split('\n')[0] ?? '') || 'no answer'}`,
    );
  }
  return {
    kind: kind as Answer['kind'],
    boot,
    ...{ now: Number(now), since: Number(since), until: Number(until), owner: printable(who) },
  };
};

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);

/** One connection, kept while it lasts. */
const createLine = (connect: Connect): { get(): Promise<Shell>; close(): void } => {
  let connection: Shell | undefined;
  return {
    get: async () => {
      if (connection === undefined || connection.over !== undefined) connection = await connect();
      return connection;
    },
    close: () => {
      connection?.close();
      connection = undefined;
    },
  };
};
