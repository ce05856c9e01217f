import { connect, createServer, Socket, type Server as TcpServer } from 'node:net';
import { expect } from 'chai';
import ssh2, { type Connection, type ServerChannel } from 'ssh2';
import { createClientKey } from '../kernels/keys.ts';
import { connectSsh, SilentHost, type SshTarget, type SshTimes } from './ssh.ts';
import { troubleOf } from './testing.ts';

const HOST_KEY = createClientKey();
const CLIENT_KEY = createClientKey();
const TIMES: SshTimes = { connectMs: 5000, commandMs: 5000, keepaliveMs: 0, keepaliveCount: 3 };

/** What the server of a test does with a command; `undefined` refuses to start it. */
type Command = ((channel: ServerChannel, connection: Connection) => void) | undefined;

describe('hosts/ssh', () => {
  const servers: { close(): void }[] = [];
  const connections = new Set<Connection>();
  afterEach(() => {
    for (const connection of connections) connection.end();
    connections.clear();
    for (const server of servers.splice(0)) server.close();
  });

  const portOf = (server: Pick<TcpServer, 'address'>): number => {
    const address = server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  };

  /** An SSH server on this machine that lets one key in and carries out one command. */
  const serve = async (command: Command, allowed = CLIENT_KEY.authorizedKey, inOnePacket = false): Promise<number> => {
    const key = ssh2.utils.parseKey(allowed);
    if (key instanceof Error) throw key;
    const server = new ssh2.Server({ hostKeys: [HOST_KEY.privateKey] }, (connection) => {
      connections.add(connection);
      connection.on('error', () => undefined);
      connection.on('authentication', (request) => {
        if (request.method === 'publickey' && request.key.data.equals(key.getPublicSSH())) request.accept();
        else request.reject(['publickey']);
      });
      connection.on('session', (accept) => {
        accept().on('exec', (take, refuse) => {
          const socket: unknown = Reflect.get(connection, '_sock');
          if (inOnePacket && socket instanceof Socket) {
            socket.cork();
            setImmediate(() => socket.uncork());
          }
          if (command === undefined) refuse();
          else command(take(), connection);
        });
      });
    });
    servers.push(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return portOf(server);
  };

  /** A TCP server that treats connections in its own way. */
  const serveTcp = async (onConnection: (socket: Socket) => void): Promise<number> => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      servers.push({ close: () => socket.destroy() });
      onConnection(socket);
    });
    servers.push(server);
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
    return portOf(server);
  };

  const target = (port: number, changes: Partial<SshTarget> = {}): SshTarget => ({
    name: 'lab1',
    host: '127.0.0.1',
    port,
    user: 'root',
    keys: [CLIENT_KEY.privateKey],
    objection: () => undefined,
    ...changes,
  });

  const answer =
    (stdout: string, status: number): Command =>
    (channel) => {
      channel.stderr.write('a warning');
      channel.write(stdout);
      channel.exit(status);
      channel.end();
    };

  it('runs a command and gives what it printed and how it ended', async () => {
    const connection = await connectSsh(target(await serve(answer('hello', 3))), TIMES);
    expect(await connection.run('x')).to.deep.equal({ stdout: 'hello', stderr: 'a warning', status: 3 });
    expect(connection.over).to.equal(undefined);
    connection.close();
    expect(connection.over).to.equal('the connection to lab1 was closed by us');
  });

  it('knows how a command ended that was over at once', async () => {
    const port = await serve(answer('', 3), CLIENT_KEY.authorizedKey, true);
    const connection = await connectSsh(target(port), TIMES);
    expect(await connection.run('x')).to.deep.equal({ stdout: '', stderr: 'a warning', status: 3 });
    connection.close();
  });

  it('gives a command its input', async () => {
    const echo: Command = (channel) => {
      const parts: Buffer[] = [];
      channel.on('data', (part: Buffer) => parts.push(part));
      channel.on('end', () => {
        channel.write(`${Buffer.concat(parts).length}`);
        channel.exit(0);
        channel.end();
      });
    };
    const connection = await connectSsh(target(await serve(echo)), TIMES);
    expect((await connection.run('x', Buffer.alloc(3_000_000))).stdout).to.equal('3000000');
  });

  it('says that a command was ended by a signal', async () => {
    const killed: Command = (channel) => {
      channel.exit('SEGV', true, '');
      channel.end();
    };
    const connection = await connectSsh(target(await serve(killed)), TIMES);
    expect((await connection.run('x')).status).to.equal(undefined);
  });

  const commands: readonly [what: string, command: Command, message: RegExp][] = [
    ['is refused', undefined, /^lab1 refuses to start a command: /],
    [
      'is cut off with its connection',
      (_, connection) => connection.end(),
      /^the connection to lab1 was (cut|closed)$/,
    ],
    ['ends without a status', (channel) => channel.close(), /^the connection to lab1 was cut$/],
    [
      'prints without end',
      (channel) => void channel.write('x'.repeat(2 << 20)),
      /^a command on lab1 printed more than 1048576 bytes$/,
    ],
  ];
  for (const [what, command, message] of commands) {
    it(`says that a command ${what}`, async () => {
      const connection = await connectSsh(target(await serve(command)), TIMES);
      expect(await troubleOf(connection.run('x'))).to.match(message);
    });
  }

  it('waits for no command for ever', async () => {
    const connection = await connectSsh(target(await serve(() => undefined)), { ...TIMES, commandMs: 30 });
    expect(await troubleOf(connection.run('x'))).to.equal('a command on lab1 did not end within 0.03 s');
  });

  it('starts nothing on a connection that is over', async () => {
    const connection = await connectSsh(target(await serve(answer('', 0))), TIMES);
    connection.close();
    expect(await troubleOf(connection.run('x'))).to.equal('the connection to lab1 was closed by us');
  });

  it('notices that a machine is gone without a word', async () => {
    const port = await serve(() => undefined);
    // Passes everything on until it is told to swallow everything: what a dead machine or a pulled cable does.
    let swallows = false;
    const between = await serveTcp((socket) => {
      const onward = connect(port, '127.0.0.1');
      servers.push({ close: () => onward.destroy() });
      onward.on('error', () => undefined);
      socket.on('data', (bytes) => swallows || onward.write(bytes));
      onward.on('data', (bytes) => swallows || socket.write(bytes));
    });
    const connection = await connectSsh(target(between), {
      ...TIMES,
      commandMs: 60_000,
      keepaliveMs: 20,
      keepaliveCount: 2,
    });
    swallows = true;
    expect(await troubleOf(connection.run('x'))).to.match(/^lab1 \(127.0.0.1 port \d+\) does not answer any more$/);
  });

  const refusals: readonly [what: string, port: () => Promise<number>, changes: Partial<SshTarget>, message: RegExp][] =
    [
      [
        'our key is refused',
        () => serve(undefined, HOST_KEY.authorizedKey),
        {},
        /^lab1 refuses our SSH key as root: add it to root's authorized_keys on 127.0.0.1$/,
      ],
      ['there is no key', () => serve(undefined), { keys: [] }, /^there is no key to log in to lab1 with: /],
      [
        'it shows another host key',
        () => serve(undefined),
        { objection: () => 'the host key of lab1 has changed' },
        /^the host key of lab1 has changed$/,
      ],
      ['nothing listens', async () => 1, {}, /^cannot reach lab1 \(127.0.0.1 port 1\): nothing listens there: /],
      [
        'it is no SSH server',
        () => serveTcp((socket) => void socket.end('HTTP/1.0 400 Bad Request\r\n\r\n')),
        {},
        /^lab1 closed the connection|^the SSH connection to lab1 .* failed: /,
      ],
      [
        'it hangs up',
        () => serveTcp((socket) => socket.destroy()),
        {},
        /lab1.*(closed the connection before it let us in|hung up)/,
      ],
      [
        'its name is not known',
        async () => 22,
        { host: 'no-such-host.invalid' },
        /^cannot reach lab1 \(no-such-host.invalid port 22\): /,
      ],
    ];
  for (const [what, port, changes, message] of refusals) {
    it(`says why it cannot connect when ${what}`, async () => {
      expect(await troubleOf(connectSsh(target(await port(), changes), TIMES))).to.match(message);
    });
  }

  it('waits for no answer for ever, and tells silence from a refusal', async () => {
    const port = await serveTcp(() => undefined);
    const silent = connectSsh(target(port), { ...TIMES, connectMs: 30 });
    expect(await troubleOf(silent)).to.equal('lab1 did not answer SSH within 0.03 s: is it up?');
    expect(await silent.catch((cause: unknown) => cause)).to.be.instanceOf(SilentHost);
    expect(await connectSsh(target(1), TIMES).catch((cause: unknown) => cause)).not.to.be.instanceOf(SilentHost);
  });

  it('shows the key that the server has', async () => {
    const port = await serve(answer('', 0));
    let shown: Uint8Array = Buffer.alloc(0);
    const connection = await connectSsh(
      target(port, {
        objection: (key) => {
          shown = key;
          return undefined;
        },
      }),
      TIMES,
    );
    connection.close();
    expect(HOST_KEY.authorizedKey).to.contain(`ssh-ed25519 ${Buffer.from(shown).toString('base64')}`);
  });
});
