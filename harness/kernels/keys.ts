/** Keys of one boot: made for it, known to nobody else, forgotten with it. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import ssh2 from 'ssh2';

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

export const createClientKey = (): ClientKey => {
  const pair = ssh2.utils.generateKeyPairSync('ed25519');
  return { privateKey: pair.private, authorizedKey: `${pair.public} vfio-conform` };
};
