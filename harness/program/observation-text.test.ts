import { expect } from 'chai';
import fc from 'fast-check';
import { ERRNO, type Errno } from '../uapi/errno.ts';
import { Malformed } from './malformed.ts';
import { escapeText, parseObservation, printObservation, printObservations, unescapeText } from './observation-text.ts';
import type { Observation } from './step.ts';

const MAX = 1 << 20;
const once = { iteration: 0, last: 0 };

const anyObservation: fc.Arbitrary<Observation> = fc
  .record({ step: fc.nat(65_535), iteration: fc.nat(1_048_575), more: fc.nat(100) })
  .chain(({ step, iteration, more }) => {
    const place = { step, iteration, last: Math.min(1_048_575, iteration + more) };
    const result = fc.record(
      {
        ret: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
        errno: fc.constantFrom<Errno | 0>(0, ...(Object.keys(ERRNO) as Errno[]), 'E4000'),
        out: fc.uint8Array({ maxLength: 50 }),
        trampled: fc.array(fc.integer({ min: -4096, max: 5000 }), { minLength: 1, maxLength: 5 }),
      },
      { requiredKeys: ['ret', 'errno'], noNullPrototype: true },
    );
    const mishap = fc.record(
      {
        mishap: fc.constantFrom('timeout', 'stuck', 'died', 'gone', 'bad'),
        detail: fc.stringMatching(/^([^ ]( ?[^ ])*)?$/),
      },
      { noNullPrototype: true },
    );
    return fc.oneof(result, mishap).map((rest) => ({ ...place, ...rest }) as Observation);
  });

describe('program/observation-text', () => {
  const documented: readonly [line: string, observation: Observation][] = [
    ['0 0 0', { step: 0, ...once, ret: 0n, errno: 0 }],
    [
      '6 -1 17 out=20000000 trampled=-1,32',
      { step: 6, ...once, ret: -1n, errno: 'EEXIST', out: Uint8Array.of(32, 0, 0, 0), trampled: [-1, 32] },
    ],
    ['6 0 0 trampled=4', { step: 6, ...once, ret: 0n, errno: 0, trampled: [4] }],
    ['6 0 0 out=-', { step: 6, ...once, ret: 0n, errno: 0, out: new Uint8Array(0) }],
    ['7.0-999 0 0', { step: 7, iteration: 0, last: 999, ret: 0n, errno: 0 }],
    ['7.5 -1 12', { step: 7, iteration: 5, last: 5, ret: -1n, errno: 'ENOMEM' }],
    ['1 9223372036854775807 0', { step: 1, ...once, ret: 9223372036854775807n, errno: 0 }],
    ['2 -1 3333', { step: 2, ...once, ret: -1n, errno: 'E3333' }],
    [
      '9 !timeout step deadline of 2000 ms',
      { step: 9, ...once, mishap: 'timeout', detail: 'step deadline of 2000 ms' },
    ],
    ['9 !gone', { step: 9, ...once, mishap: 'gone', detail: '' }],
  ];
  for (const [line, observation] of documented) {
    it(`reads and writes ${line}`, () => {
      expect(parseObservation(line, MAX)).to.deep.equal(observation);
      expect(printObservation(observation)).to.equal(line);
    });
  }

  it('writes one line each', () => {
    expect(printObservations(documented.slice(0, 2).map(([, observation]) => observation))).to.equal(
      '0 0 0\n6 -1 17 out=20000000 trampled=-1,32\n',
    );
    expect(printObservations([])).to.equal('');
  });

  it('escapes what is not printable, and the backslash', () => {
    expect(escapeText('a\\b\n\x1b[31m\x7f')).to.equal('a\\x5cb\\x0a\\x1b[31m\\x7f');
    expect(unescapeText('a\\x5cb\\x0a')).to.equal('a\\b\n');
    expect(unescapeText('C:\\new \\xzz')).to.equal('C:\\new \\xzz');
  });

  it('reads back whatever it writes', () => {
    fc.assert(
      fc.property(anyObservation, (observation) => {
        expect(parseObservation(printObservation(observation), MAX)).to.deep.equal(observation);
      }),
    );
  });

  const refused: readonly [what: string, line: string][] = [
    ['nothing', ''],
    ['a step alone', '1'],
    ['no errno', '1 0'],
    ['a step beyond the bound', '65536 0 0'],
    ['a step that is no number', 'x 0 0'],
    ['a long step', '00000000000000000001 0 0'],
    ['an iteration beyond the bound', '1.1048576 0 0'],
    ['a range backwards', '1.5-4 0 0'],
    ['a range without an end', '1.5- 0 0'],
    ['a value of 65 bits', '1 9223372036854775808 0'],
    ['a value in hex', '1 0x10 0'],
    ['two signs', '1 --1 0'],
    ['a negative errno', '1 -1 -17'],
    ['an errno beyond the bound', '1 -1 4096'],
    ['two blanks', '1  0 0'],
    ['an unknown field', '1 0 0 in=00'],
    ['fields in another order', '1 0 0 trampled=1 out=00'],
    ['a field too many', '1 0 0 out=00 trampled=1 x'],
    ['out= that is not bytes', '1 0 0 out=0'],
    ['out= beyond the bound', '1 0 0 out=00*1048577'],
    ['trampled= that is no number', '1 0 0 trampled=x'],
    ['trampled= of nothing', '1 0 0 trampled='],
    ['an unknown mishap', '1 !lost'],
  ];
  for (const [what, line] of refused) {
    it(`refuses ${what}`, () => expect(() => parseObservation(line, MAX)).to.throw(Malformed));
  }
});
