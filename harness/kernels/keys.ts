/** Keys of one boot: made for it, known to nobody else, forgotten with it. */
import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';

/** The guest's key as dropbear reads it, and what the client must see. */
export interface HostKey {
  /** Content of a dropbear key file. */
  readonly file: Uint8Array;
  /** The public key as it stands in SSH's own messages. */
  readonly publicBlob: Uint8Array;
}

/** The client's key. */
export interface ClientKey {
  /** In OpenSSH's form; never written to a file. */
  readonly privateKey: string;
  /** A line of authorized_keys. */
  readonly authorizedKey: string;
}

const NAME = 'ssh-ed25519';

/** SSH's string: length in 4 bytes, then the bytes (RFC 4251, 5). */
const sshString = (bytes: Uint8Array | string): Uint8Array => {
  const content = Buffer.from(bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  return Buffer.concat([length, content]);
};

/** The 32 bytes of a key's secret or public half. */
const half = (key: KeyObject, which: 'd' | 'x'): Uint8Array =>
  Buffer.from(key.export({ format: 'jwk' })[which] ?? '', 'base64url');

/** Dropbear keeps an ed25519 key as its name and one string: secret half, public half. */
export const createHostKey = (): HostKey => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const publicHalf = half(privateKey, 'x');
  return {
    file: Buffer.concat([sshString(NAME), sshString(Buffer.concat([half(privateKey, 'd'), publicHalf]))]),
    publicBlob: Buffer.concat([sshString(NAME), sshString(publicHalf)]),
  };
};

/**
 * Written by hand (PROTOCOL.key of OpenSSH, no passphrase): the generator of ssh2 makes a malformed key, without saying
 * so, about once in 300 times.
 */
export const createClientKey = (): ClientKey => {
  const { privateKey } = generateKeyPairSync('ed25519');
  const publicHalf = half(privateKey, 'x');
  const publicBlob = Buffer.concat([sshString(NAME), sshString(publicHalf)]);
  const check = randomBytes(4);
  const secrets = Buffer.concat([
    ...[check, check, sshString(NAME), sshString(publicHalf)],
    ...[sshString(Buffer.concat([half(privateKey, 'd'), publicHalf])), sshString('')],
  ]);
  const padding = Uint8Array.from({ length: -secrets.length & 7 }, (_, index) => index + 1);
  const file = Buffer.concat([
    ...[
      Buffer.from('openssh-key-v1\0'),
      sshString('none'),
      sshString('none'),
      sshString(''),
      Buffer.from([0, 0, 0, 1]),
    ],
    ...[sshString(publicBlob), sshString(Buffer.concat([secrets, padding]))],
  ]);
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${file.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`,
    authorizedKey: `${NAME} ${publicBlob.toString('base64')} vfio-conform`,
  };
};
