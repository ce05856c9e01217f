/** Whether a machine that answers is the one that is known: its host key against known_hosts. */
import { createHash } from 'node:crypto';
import { execa } from 'execa';
import { exists } from '../kernels/cache.ts';
import { needProgram } from '../kernels/requirements.ts';
import { HOST_KEY_KINDS, type HostKeyKind } from './ssh.ts';

/** A key that known_hosts has for a machine. */
export interface KnownKey {
  /** `ssh-ed25519`, `ssh-rsa`... */
  readonly kind: string;
  readonly blob: Buffer;
  readonly revoked: boolean;
  readonly file: string;
}

/** The keys that these files have for a name (`host`, or `[host]:port`); names in them may be hashed. */
export const knownKeys = async (name: string, files: readonly string[]): Promise<readonly KnownKey[]> => {
  const keys: KnownKey[] = [];
  for (const file of files) {
    if (!(await exists(file))) continue;
    const { stdout } = await execa(await needProgram('ssh-keygen'), ['-F', name, '-f', file], {
      reject: false,
      stdin: 'ignore',
      timeout: 20_000,
    });
    keys.push(...parseKnownKeys(stdout, file));
  }
  return keys;
};

/** Lines `[@MARKER] NAMES KIND BASE64`; keys that sign others (`@cert-authority`) are of no use to us. */
export const parseKnownKeys = (text: string, file: string): readonly KnownKey[] =>
  text.split('\n').flatMap((line) => {
    const [, marker, kind, base64] = /^(?:@(\S+) )?[^#@\s]\S* (\S+) ([A-Za-z0-9+/=]+)/.exec(line) ?? [];
    if (kind === undefined || base64 === undefined || marker === 'cert-authority') return [];
    return [{ kind, blob: Buffer.from(base64, 'base64'), revoked: marker === 'revoked', file }];
  });

/** Why the machine with this key is not the one that is known, with what to do; `undefined` if it is. */
export const hostKeyObjection = (
  publicKey: Uint8Array,
  known: readonly KnownKey[],
  { name, knownAs }: { readonly name: string; readonly knownAs: string },
): string | undefined => {
  const shown = Buffer.from(publicKey);
  const matches = known.filter(({ blob }) => blob.equals(shown));
  if (matches.some(({ revoked }) => revoked))
    return `the host key of ${name} (${fingerprint(shown)}) is revoked in known_hosts`;
  if (matches.length > 0) return undefined;
  const [other] = known.filter(({ revoked }) => !revoked);
  if (other === undefined) {
    return `the host key of ${name} is not known (${fingerprint(shown)}): connect once with ssh, compare the fingerprint and accept it`;
  }
  return `the host key of ${name} has changed: it shows ${fingerprint(shown)}, ${other.file} has ${fingerprint(other.blob)} (either another machine answers, or it was installed again: then ssh-keygen -R '${knownAs}', and connect once with ssh)`;
};

/** As OpenSSH prints it. */
export const fingerprint = (publicKey: Uint8Array): string =>
  `SHA256:${createHash('sha256').update(publicKey).digest('base64').replace(/=+$/, '')}`;

/** The kinds of keys to ask for: those that are known first, or a server with several may show one that is not. */
export const kindsToAskFor = (known: readonly KnownKey[]): readonly HostKeyKind[] => {
  const isKnown = (kind: HostKeyKind): boolean =>
    known.some((key) => !key.revoked && (key.kind === kind || (key.kind === 'ssh-rsa' && kind.startsWith('rsa-'))));
  return [...HOST_KEY_KINDS.filter(isKnown), ...HOST_KEY_KINDS.filter((kind) => !isKnown(kind))];
};
