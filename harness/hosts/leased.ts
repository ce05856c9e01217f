import type { Host } from './host.ts';
import type { Lease } from './lease.ts';

/**
 * A host that is only touched while its lease is held. When that is lost, the host's session is broken off at once; and
 * nothing is given to it, nor is it recovered, until the lease is confirmed.
 */
export const leased = (host: Host, lease: Lease): Host => {
  // Not what was before: a machine that boots for longer than its lease lasts has been confirmed since.
  lease.onLost(() => host.abandon?.());
  return {
    facts: host.facts,
    boot: () => host.boot(),
    livesOn: host.livesOn,
    run: async (program, deadlines) => {
      await lease.confirm();
      return host.run(program, deadlines);
    },
    recover: async () => {
      await lease.confirm();
      await host.recover();
      await lease.renew().catch((cause: unknown) => {
        // Nothing is given back there that another may have by now.
        host.abandon?.();
        throw cause;
      });
    },
    close: async () => {
      await host.close();
      await lease.leave();
    },
  };
};

/** Takes a lease, opens the host under it, and gives it back when there is no host. Throws what either throws. */
export const openLeased = async (take: Promise<Lease>, open: (lease: Lease) => Promise<Host>): Promise<Host> => {
  const lease = await take;
  try {
    return leased(await open(lease), lease);
  } catch (cause) {
    await lease.leave();
    throw cause;
  }
};
