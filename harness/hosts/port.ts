import { createServer } from 'node:net';
import { HostTrouble } from '../trouble.ts';

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new HostTrouble(`no free TCP port of 127.0.0.1: ${cause.message}`, { cause })),
    );
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => {
        if (typeof address === 'object' && address !== null) resolve(address.port);
        else reject(new HostTrouble('no free TCP port of 127.0.0.1'));
      });
    });
  });
