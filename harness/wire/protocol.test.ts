import { expect } from 'chai';
import fc from 'fast-check';
import { OPS_HASH } from '../program/ops.ts';
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import { createDecoder, frame, LIMITS, type Limits, parseGreeting, type Reply } from './protocol.ts';

const GREETING = `vfio-conform-helper 1 ${OPS_HASH} 6.1.0-56-amd64 4096 77`;
const CONVERSATION = [
  GREETING,
  'begin 3',
  '0 0 0',
  '1.0-1048575 -1 17',
  '2 0 0 out=20000000,00*8 trampled=-1,32',
  '3 !died signal 11',
  'log 4,1234,5;a\\x5cb',
  'end 3 1500 done',
  'error 4 12 no such\\x0aoperation',
  'begin 5',
  'log! permission denied',
  'end 5 7 unfinished',
  'error - 0 what?',
  '',
].join('\n');

const REPLIES: readonly Reply[] = [
  { kind: 'greeting', greeting: { kernelRelease: '6.1.0-56-amd64', pageSizeBytes: 4096, pid: 77 } },
  { kind: 'begin', id: 3 },
  { kind: 'observation', observation: { step: 0, iteration: 0, last: 0, ret: 0n, errno: 0 } },
  { kind: 'observation', observation: { step: 1, iteration: 0, last: 1048575, ret: -1n, errno: 'EEXIST' } },
  {
    kind: 'observation',
    observation: {
      step: 2,
      iteration: 0,
      last: 0,
      ret: 0n,
      errno: 0,
      out: Uint8Array.from([0x20, ...new Array<number>(11).fill(0)]),
      trampled: [-1, 32],
    },
  },
  { kind: 'observation', observation: { step: 3, iteration: 0, last: 0, mishap: 'died', detail: 'signal 11' } },
  { kind: 'log', text: '4,1234,5;a\\b' },
  { kind: 'end', id: 3, durationUs: 1500, status: 'done' },
  { kind: 'error', id: 4, line: 12, text: 'no such\noperation' },
  { kind: 'begin', id: 5 },
  { kind: 'nolog', reason: 'permission denied' },
  { kind: 'end', id: 5, durationUs: 7, status: 'unfinished' },
  { kind: 'error', id: undefined, line: 0, text: 'what?' },
];

/** The replies that a decoder makes of these chunks. */
const decode = (chunks: readonly (string | Uint8Array)[], limits: Limits = LIMITS): readonly Reply[] => {
  const replies: Reply[] = [];
  const decoder = createDecoder((reply) => replies.push(reply), limits);
  for (const chunk of chunks) decoder.push(typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : chunk);
  return replies;
};

describe('wire/protocol', () => {
  it('frames a program by its length in bytes', () => {
    expect(frame(7, 'main exec\n', { stepMs: 2000, programMs: 9000 })).to.equal('run 7 10 2000 9000\nmain exec\n');
  });

  for (const deadlines of [
    { stepMs: 0, programMs: 1 },
    { stepMs: 600_001, programMs: 1 },
    { stepMs: 1, programMs: 3_600_001 },
    { stepMs: 1.5, programMs: 1 },
  ]) {
    it(`asks for no deadlines of ${deadlines.stepMs} and ${deadlines.programMs} ms`, () => {
      expect(() => frame(1, '', deadlines)).to.throw(UsageTrouble, 'the deadline of a');
    });
  }

  it('reads a whole conversation', () => expect(decode([CONVERSATION])).to.deep.equal(REPLIES));

  it('reads it in any pieces', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (sizes) => {
        const chunks: string[] = [];
        for (let at = 0, turn = 0; at < CONVERSATION.length; turn++) {
          const size = sizes[turn % sizes.length] ?? 1;
          chunks.push(CONVERSATION.slice(at, at + size));
          at += size;
        }
        expect(decode(chunks)).to.deep.equal(REPLIES);
      }),
    );
  });

  it('keeps a repeat of a million as one observation', () => {
    expect(decode([`${GREETING}\nbegin 1\n0.0-1048575 0 0\n`])).to.have.length(3);
  });

  const strangers: readonly [what: string, line: string, message: string | RegExp][] = [
    ['another program', 'Welcome to Debian', 'something else answers'],
    [
      'another protocol',
      GREETING.replace('helper 1', 'helper 2'),
      'speaks protocol 2, this harness speaks 1: build the helper',
    ],
    [
      'another table of operations',
      GREETING.replace(OPS_HASH, '0123456789abcdef'),
      'built from other operations (0123456789abcdef',
    ],
    ['a greeting without a pid', GREETING.replace(' 77', ''), 'kernel release, page size and pid'],
    ['a greeting with more', `${GREETING} x`, 'kernel release, page size and pid'],
    ['a page size that is no number', GREETING.replace('4096', '4k'), 'kernel release, page size and pid'],
  ];
  for (const [what, line, message] of strangers) {
    it(`refuses ${what}`, () => expect(() => parseGreeting(line)).to.throw(HostTrouble, message));
  }

  const small: Limits = { lineBytes: 200, totalBytes: 300, outBytes: 100, observations: 3, logLines: 2 };
  const malformed: readonly [what: string, text: string, message: string][] = [
    ['an empty line', '\n', 'expected begin, an observation, log, end or error, found nothing'],
    ['an unknown word', 'hello\n', 'expected begin'],
    ['a byte that is not ASCII', 'begin 1\n0 0 0\xff\n', 'printable ASCII'],
    ['an escape sequence', '\x1b[2J\n', 'printable ASCII'],
    ['a carriage return', 'begin 1\r\n', 'printable ASCII'],
    ['begin without an id', 'begin\n', 'a number'],
    ['begin in a program', 'begin 1\nbegin 2\n', 'expected end 1'],
    ['an observation before begin', '0 0 0\n', 'begin or error'],
    ['a log line before begin', 'log x\n', 'begin or error'],
    ['an end before begin', 'end 1 2 done\n', 'begin or error'],
    ['the end of another program', 'begin 1\nend 2 0 done\n', 'expected end 1'],
    ['an unknown status', 'begin 1\nend 1 0 fine\n', 'done or unfinished'],
    ['a negative time', 'begin 1\nend 1 -1 done\n', 'a number'],
    ['an error in a program', 'begin 1\nerror 1 1 x\n', 'expected end 1'],
    ['an error without a text', 'error 1 1\n', 'error ID LINE TEXT'],
    ['a broken observation', 'begin 1\n0 0\n', 'a number'],
    ['a line that is too long', `begin 1\nlog ${'x'.repeat(197)}\n`, 'lines of at most 200 bytes'],
    ['a line that is too long and never ends', `begin 1\nlog ${'x'.repeat(197)}`, 'lines of at most 200 bytes'],
    ['too many bytes', `begin 1\n${`log! ${'x'.repeat(100)}\n`.repeat(3)}`, 'at most 300 bytes'],
    ['too many observations', `begin 1\n${'0 0 0\n'.repeat(4)}`, 'at most 3 observations'],
    ['too many log lines', `begin 1\n${'log x\n'.repeat(3)}`, 'at most 2 lines of kernel log'],
    ['too much data in one observation', 'begin 1\n0 0 0 out=00*101\n', 'at most 100 bytes'],
    ['too much data in all observations', 'begin 1\n0 0 0 out=00*60\n1 0 0 out=00*41\n', 'at most 40 bytes'],
  ];
  for (const [what, text, message] of malformed) {
    it(`refuses ${what}`, () => {
      expect(() => decode([`${GREETING}\n`, text], small)).to.throw(HostTrouble, message);
    });
  }

  it('counts every program anew', () => {
    const program = (id: number) => `begin ${id}\n${'0 0 0 out=00*30\n'.repeat(3)}end ${id} 0 done\n`;
    expect(decode([`${GREETING}\n`, program(1), program(2)], small)).to.have.length(1 + 2 * 5);
  });

  it('does not wait long for a greeting', () => {
    expect(() => decode(['x'.repeat(1025)])).to.throw(HostTrouble, 'lines of at most 1024 bytes');
  });

  it('gives what came before a malformed line', () => {
    const replies: Reply[] = [];
    const decoder = createDecoder((reply) => replies.push(reply));
    expect(() => decoder.push(Buffer.from(`${GREETING}\nbegin 1\n0 0 0\nwhat\n`))).to.throw(HostTrouble);
    expect(replies.map(({ kind }) => kind)).to.deep.equal(['greeting', 'begin', 'observation']);
  });

  /** A conversation with something wrong in it: bytes changed, taken away, put in, or the rest cut off. */
  const damaged = fc
    .array(
      fc.record({
        at: fc.nat(CONVERSATION.length),
        take: fc.nat(20),
        put: fc.string({ unit: 'binary-ascii', maxLength: 10 }),
      }),
      {
        minLength: 1,
        maxLength: 4,
      },
    )
    .map((edits) =>
      edits.reduce((text, { at, take, put }) => text.slice(0, at) + put + text.slice(at + take), CONVERSATION),
    );
  it('answers a damaged conversation with replies or HostTrouble, nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 300 })), (input) => {
        try {
          for (const reply of decode([input])) expect(reply.kind).to.be.a('string');
        } catch (error) {
          expect(error).to.be.instanceOf(HostTrouble);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
