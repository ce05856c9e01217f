import { expect } from 'chai';
import ssh2 from 'ssh2';
import { createClientKey, createHostKey } from './keys.ts';

describe('kernels/keys', () => {
  // A generator that fails once in 300 times was in use once.
  it('makes client keys that sign what their public half verifies, every time', () => {
    const message = Buffer.from('a message');
    for (let count = 0; count < 3000; count++) {
      const { privateKey, authorizedKey } = createClientKey();
      const secret = ssh2.utils.parseKey(privateKey);
      const shown = ssh2.utils.parseKey(authorizedKey);
      if (secret instanceof Error || shown instanceof Error) throw new Error(`malformed: ${authorizedKey}`);
      expect(shown.verify(message, secret.sign(message))).to.equal(true);
    }
  });

  it('makes a host key whose file ends with the public half', () => {
    const { file, publicBlob } = createHostKey();
    expect(Buffer.from(file).subarray(-32)).to.deep.equal(Buffer.from(publicBlob).subarray(-32));
  });
});
