/** A network that can be cut: connections to one port of 127.0.0.1 are handed on to another. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TestProxy {
  readonly port: number;
  /** Ends all connections at once. New ones are taken. */
  cut(): void;
  end(): Promise<void>;
}

export const openProxy = (to: number): Promise<TestProxy> => {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => void sockets.delete(socket));
  };
  const server = createServer((from) => {
    const onward = connect(to, '127.0.0.1');
    for (const socket of [from, onward]) keep(socket);
    from.pipe(onward);
    onward.pipe(from);
    from.once('close', () => onward.destroy());
    onward.once('close', () => from.destroy());
  });
  const cut = (): void => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const end = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve());
      cut();
    });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ port: (server.address() as AddressInfo).port, cut, end }));
  });
};
