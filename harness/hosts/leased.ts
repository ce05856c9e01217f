import type { Host } from './host.ts';
import type { Lease } from './lease.ts';

/**
 * A host that is only touched while its lease is held. When that is lost, the host's session is broken off at once; and
 * nothing is given to it, nor is it recovered, until the lease is confirmed.
 */
export const leased = (host: Host, lease: Lease): Host => {
  void lease.lost.then(() => host.abandon?.());
  return {
    facts: host.facts,
    ...(host.boot === undefined ? {} : { boot: host.boot }),
    run: async (program, deadlines) => {
      await lease.confirm();
      return host.run(program, deadlines);
    },
    recover: async () => {
      await lease.confirm();
      await host.recover();
    },
    close: async () => {
      await host.close();
      await lease.leave();
    },
  };
};
