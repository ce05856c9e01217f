import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { parseCounts } from './counts.ts';

const letters = (text: string): string => gzipSync(text).toString('base64');
const WHOLE = `/sys/kernel/debug/gcov/build/drivers/vfio/a.gcda\n${letters('one')}\n`;

describe('hosts/counts', () => {
  for (const [title, text, found] of [
    [
      'two files',
      `${WHOLE}/sys/kernel/debug/gcov/b.gcda\n${letters('two')}\n`,
      { '/build/drivers/vfio/a': 'one', '/b': 'two' },
    ],
    ['nothing', '', {}],
    [
      'a file that cannot be unpacked',
      `${WHOLE}/sys/kernel/debug/gcov/b.gcda\nAAAA\n`,
      { '/build/drivers/vfio/a': 'one' },
    ],
    ['a file that could not be read', `/sys/kernel/debug/gcov/b.gcda\n\n${WHOLE}`, { '/build/drivers/vfio/a': 'one' }],
    ['a file that came cut', WHOLE.slice(0, -4), {}],
    ['another file', `/etc/passwd.gcda\n${letters('one')}\n`, {}],
  ] as const) {
    it(`reads ${title}`, () => {
      const files = parseCounts(text).map(({ path, bytes }) => [path, Buffer.from(bytes).toString()]);
      expect(Object.fromEntries(files)).to.deep.equal(found);
    });
  }
});
