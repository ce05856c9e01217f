import { expect } from 'chai';
import fc from 'fast-check';
import { UsageTrouble } from '../trouble.ts';
import { anyProgram } from './arbitrary.ts';
import { OPS } from './ops.ts';
import type { Call, Op, OpName } from './step.ts';
import { parseProgram, printCall, printProgram } from './text.ts';

/** The example of docs/program-format.md. */
const EXAMPLE = `# comment
let group0 /dev/vfio/2

main open container /dev/vfio/vfio
main open group $group0
  # more
main ioctl group 0x3b68 [00*4 @0=fd:container]
main  ioctl\tcontainer 0x3b66 =3
main mem ram 0x10000 prot=r offset=16
main ioctl container 0x3b71 [20000000,03000000,00*8,0000010000000000,0000010000000000 @8=&ram+0x0]
repeat 1000
  main ioctl container 0x3b71 [20*1,00*3,03*1,00*3,00*8,00*8,0010*1,00*6 @8=&ram+0x0 +16=0x1000]
end
main ioctl group 0x3b6a [$device0,00] to=device
`;

const PRINTED = `let group0 /dev/vfio/2
main open container /dev/vfio/vfio
main open group $group0
main ioctl group 0x3b68 [00000000 @0=fd:container]
main ioctl container 0x3b66 =3
main mem ram 0x10000 offset=16 prot=r
main ioctl container 0x3b71 [2000000003000000,00*8,0000010000000000*2 @8=&ram+0x0]
repeat 1000
  main ioctl container 0x3b71 [2000000003000000,00*16,0010000000000000 @8=&ram+0x0 +16=0x1000]
end
main ioctl group 0x3b6a [$device0,00] to=device
`;

const PRELUDE = 'main spawn child\nmain mem ram 4096\nmain memfd fd 4096\n';

/** One call of each operation with all its options: typed by step.ts, written and read by ops.def. */
const EVERY: { readonly [Name in OpName]: readonly [op: Required<Extract<Op, { op: Name }>>, text: string] } = {
  spawn: [{ op: 'spawn', child: 'kid' }, 'spawn kid'],
  exec: [{ op: 'exec' }, 'exec'],
  kill: [{ op: 'kill', victim: 'child' }, 'kill child'],
  exit: [{ op: 'exit', status: 3n }, 'exit 3'],
  user: [{ op: 'user', uid: 1000n }, 'user 1000'],
  drop: [{ op: 'drop', capability: 'ipc_lock' }, 'drop ipc_lock'],
  limit: [{ op: 'limit', resource: 'memlock', soft: 4096n }, 'limit memlock 0x1000'],
  mem: [
    {
      op: 'mem',
      name: 'm',
      size: 1n,
      offset: 2n,
      share: 'shared',
      prot: 'rw',
      huge: 8n,
      align: 4n,
      guard: 1n,
      at: { literal: 5n },
    },
    'mem m 1 offset=2 share=shared prot=rw huge=8 align=4 guard=1 at=5',
  ],
  map: [
    {
      op: 'map',
      name: 'm',
      fd: 'fd',
      start: 1n,
      size: 2n,
      share: 'private',
      prot: 'none',
      align: 16n,
      at: { memory: 'ram', offset: 4096n },
    },
    'map m fd 1 2 share=private prot=none align=16 at=&ram+0x1000',
  ],
  protect: [{ op: 'protect', name: 'ram', offset: 0n, size: 1n, prot: 'w' }, 'protect ram 0 1 w'],
  unmap: [{ op: 'unmap', name: 'ram', offset: 0n, size: 1n }, 'unmap ram 0 1'],
  write: [{ op: 'write', name: 'ram', offset: 0n, data: Uint8Array.of(1, 2) }, 'write ram 0 0102'],
  link: [{ op: 'link', name: 'ram', offset: 0n, target: { memory: 'ram', offset: 8n } }, 'link ram 0 &ram+0x8'],
  fill: [{ op: 'fill', name: 'ram', offset: 0n, size: 1n, byte: 2n }, 'fill ram 0 1 2'],
  read: [{ op: 'read', name: 'ram', offset: 0n, size: 1n }, 'read ram 0 1'],
  hash: [{ op: 'hash', name: 'ram', offset: 0n, size: 1n }, 'hash ram 0 1'],
  guards: [{ op: 'guards', name: 'ram' }, 'guards ram'],
  peek: [{ op: 'peek', name: 'ram', offset: 0n, width: 4n }, 'peek ram 0 4'],
  poke: [{ op: 'poke', name: 'ram', offset: 0n, width: 4n, value: 5n }, 'poke ram 0 4 5'],
  await: [
    { op: 'await', name: 'ram', offset: 0n, width: 4n, mask: 1n, value: 2n, timeout_ms: 3n },
    'await ram 0 4 1 2 3',
  ],
  open: [{ op: 'open', fd: 'f', path: '/dev/x', flags: 'r' }, 'open f /dev/x flags=r'],
  memfd: [{ op: 'memfd', fd: 'f', size: 1n, huge: 2n }, 'memfd f 1 huge=2'],
  file: [{ op: 'file', fd: 'f', size: 1n }, 'file f 1'],
  truncate: [{ op: 'truncate', fd: 'fd', size: 1n }, 'truncate fd 1'],
  close: [{ op: 'close', fd: 'fd' }, 'close fd'],
  shut: [{ op: 'shut' }, 'shut'],
  dup: [{ op: 'dup', fd: 'f', from: 'fd' }, 'dup f fd'],
  send: [{ op: 'send', fd: 'fd', to: 'child' }, 'send fd child'],
  pread: [{ op: 'pread', fd: 'fd', offset: 1n, size: 2n }, 'pread fd 1 2'],
  pwrite: [{ op: 'pwrite', fd: 'fd', offset: 1n, data: Uint8Array.of(255) }, 'pwrite fd 1 ff'],
  readfd: [{ op: 'readfd', fd: 'fd', size: 1n, into: { memory: 'ram', offset: 2n } }, 'readfd fd 1 into=&ram+0x2'],
  writefd: [{ op: 'writefd', fd: 'fd', from: { memory: 'ram', offset: 2n }, size: 1n }, 'writefd fd &ram+0x2 1'],
  poll: [{ op: 'poll', fd: 'fd', events: 5n }, 'poll fd 5'],
  ioctl: [
    {
      op: 'ioctl',
      fd: 'fd',
      request: 0x3b64n,
      arg: { kind: 'place', place: { memory: 'ram', offset: 0n } },
      to: 'f',
      at: 16n,
    },
    'ioctl fd 0x3b64 &ram+0x0 to=f at=16',
  ],
  unload: [{ op: 'unload', module: 'mediator_test' }, 'unload mediator_test'],
  status: [{ op: 'status', field: 'VmLck' }, 'status VmLck'],
  limits: [{ op: 'limits', resource: 'data' }, 'limits data'],
  fds: [{ op: 'fds' }, 'fds'],
  cat: [{ op: 'cat', path: '/sys/x/$device0/y' }, 'cat /sys/x/$device0/y'],
};

describe('program/text', () => {
  for (const [op, text] of Object.values(EVERY)) {
    it(`writes and reads ${op.op}`, () => {
      const call: Call = { actor: 'main', ...op };
      expect(printCall(call)).to.equal(`main ${text}`);
      expect(parseProgram(`${PRELUDE}main ${text}`).steps.at(-1)).to.deep.equal(call);
    });
  }

  it('knows exactly the operations of ops.def', () => {
    expect([...OPS.keys()]).to.have.members(Object.keys(EVERY));
    for (const [op] of Object.values(EVERY)) {
      const { required = [], options = [] } = OPS.get(op.op) ?? {};
      expect(['op', ...required, ...options].map((one) => (typeof one === 'string' ? one : one.name))).to.have.members(
        Object.keys(op),
      );
    }
  });

  it('reads the documented form and writes it back', () => {
    expect(printProgram(parseProgram(EXAMPLE))).to.equal(PRINTED);
  });

  it('reads a call with all its parts', () => {
    const [, , call] = parseProgram(
      'main open c /dev/vfio/vfio\nmain mem ram 8192\nmain ioctl c 15217 [00*16,$x,ff @8=&ram+0x10 +0=5] to=d',
    ).steps;
    expect(call).to.deep.equal({
      actor: 'main',
      op: 'ioctl',
      fd: 'c',
      request: 15217n,
      arg: {
        kind: 'inline',
        segments: [{ bytes: new Uint8Array(16) }, { text: 'x' }, { bytes: Uint8Array.of(255) }],
        patches: [
          { kind: 'pointer', at: 8, place: { memory: 'ram', offset: 16n } },
          { kind: 'stride', at: 0, stride: 5n },
        ],
      },
      to: 'd',
    });
  });

  it('takes a text without a newline at its end, and an empty one', () => {
    expect(parseProgram('main exec').steps).to.deep.equal([{ actor: 'main', op: 'exec' }]);
    expect(parseProgram('')).to.deep.equal({ lets: {}, steps: [] });
    expect(printProgram({ lets: {}, steps: [] })).to.equal('');
  });

  it('parses any printed program back to the same value', () => {
    fc.assert(
      fc.property(anyProgram, (program) => {
        expect(parseProgram(printProgram(program))).to.deep.equal(program);
      }),
      { numRuns: 300 },
    );
  });

  it('writes numbers in decimal below 4096 and in hex from there', () => {
    const limit = (soft: bigint) => printCall({ actor: 'main', op: 'limit', resource: 'memlock', soft });
    expect(limit(4095n)).to.equal('main limit memlock 4095');
    expect(limit(4096n)).to.equal('main limit memlock 0x1000');
    expect(limit((1n << 64n) - 1n)).to.equal('main limit memlock 0xffffffffffffffff');
  });

  it('joins neighbouring bytes, and leaves empty ones out', () => {
    const segments = [{ bytes: Uint8Array.of(1) }, { bytes: new Uint8Array(0) }, { bytes: Uint8Array.of(2) }];
    const call: Call = {
      actor: 'main',
      op: 'ioctl',
      fd: 'f',
      request: 1n,
      arg: { kind: 'inline', segments, patches: [] },
    };
    expect(printCall(call)).to.equal('main ioctl f 1 [01,02]');
  });

  const refused: readonly [what: string, line: string, message: string | RegExp][] = [
    ['an unknown operation', 'main frobnicate', 'an operation of ops.def'],
    ['an operation of another table', 'main constructor', 'an operation of ops.def'],
    ['a line of one word', 'main', 'ACTOR OPERATION PARAMETERS'],
    ['a name in capitals', 'Main exec', 'a name'],
    ['a name of 32 letters', `main memfd ${'a'.repeat(32)} 1`, 'a name'],
    ['a missing parameter', 'main memfd f', 'expected memfd FD SIZE [huge=NUM], found "main memfd f"'],
    ['a parameter too many', 'main exec now', 'expected exec, found "now"'],
    ['an option of another operation', 'main memfd f 1 prot=r', 'found "prot=r"'],
    ['an option given twice', 'main memfd f 1 huge=1 huge=2', 'huge once'],
    ['an unknown word', 'main protect ram 0 1 x', 'one of none r w rw'],
    ['a number that is none', 'main memfd f 12a', 'a number'],
    ['a number with a sign', 'main memfd f -1', 'a number'],
    ['a number of 65 bits', 'main memfd f 0x10000000000000000', 'a number'],
    ['a decimal number of 65 bits', 'main memfd f 18446744073709551616', 'a number'],
    ['a number beyond its bound', 'main exit 256', 'expected a status of at most 255, found "256"'],
    ['a width of three bytes', 'main peek ram 0 3', 'a width that is a power of two'],
    ['a width of nothing', 'main peek ram 0 0', 'a width that is a power of two'],
    ['a relative path', 'main open f etc', 'an absolute path'],
    ['a memory that nothing made', 'main read rom 0 1', 'a memory that an earlier line makes'],
    [
      'a memory made by a later line',
      'main link ram 0 &late+0x0\nmain mem late 1',
      'a memory that an earlier line makes, found "late"',
    ],
    ['a descriptor that nothing made', 'main close f', 'a descriptor that an earlier line makes'],
    [
      'a descriptor in a patch that nothing made',
      'main ioctl fd 1 [00*4 @0=fd:f]',
      'a descriptor that an earlier line makes',
    ],
    [
      'a pointer to a memory that nothing made',
      'main ioctl fd 1 [00*8 @0=&rom+0x0]',
      'a memory that an earlier line makes',
    ],
    ['a descriptor made of itself', 'main dup f f', 'a descriptor that an earlier line makes'],
    ['a memory placed in itself', 'main mem m 1 at=&m+0x0', 'a memory that an earlier line makes'],
    ['an actor that nothing made', 'nobody exec', 'an actor that an earlier line makes'],
    ['an actor named like a keyword', 'main spawn end', 'no keyword'],
    ['a place without an offset', 'main link ram 0 &ram', '&MEMORY+0xOFFSET'],
    ['an argument that is not closed', 'main ioctl fd 1 [00', '] at the end'],
    ['an empty argument', 'main ioctl fd 1 []', 'an even number of hex digits'],
    ['half a byte', 'main ioctl fd 1 [000]', 'an even number of hex digits'],
    ['text after an argument', 'main ioctl fd 1 [00]to=x', '] at the end'],
    ['a patch that is none', 'main ioctl fd 1 [00*8 8=1]', '@OFFSET=PLACE'],
    ['a pointer beyond the argument', 'main ioctl fd 1 [00*8 @1=0]', 'within the 8 bytes'],
    ['a stride beyond the argument', 'main ioctl fd 1 [00*8 +1=0]', 'within the 8 bytes'],
    ['a descriptor beyond the argument', 'main ioctl fd 1 [00*8 @5=fd:fd]', 'within the 8 bytes'],
    ['an argument of more than 1 MiB', 'main ioctl fd 1 [00*1048577]', 'at most 1048576 bytes'],
    ['an argument of more than 1 MiB in parts', 'main ioctl fd 1 [00*1048576,$x,00]', 'at most 1048576 bytes'],
    ['data of more than 64 MiB', 'main write ram 0 00*67108865', 'at most 67108864 bytes'],
    ['a let after a call', 'let x y', 'let lines before all others'],
    ['repeat without a count', 'repeat', 'a count'],
    ['repeat of nothing', 'repeat 0', 'a count'],
    ['repeat beyond the bound', 'repeat 1048577', 'a count'],
    ['repeat in repeat', 'repeat 2\nrepeat 2', 'do not nest'],
    ['an empty repeat', 'repeat 2\nend', 'a call within repeat'],
    ['two actors in a repeat', 'repeat 2\nmain exec\nchild exec', 'the same actor'],
    ['a repeat without end', 'repeat 2\nmain exec', 'end of a repeat'],
    ['end without a repeat', 'end', 'end only after repeat'],
    ['a carriage return', 'main exec\r', 'printable ASCII'],
    ['a letter that is not ASCII', 'main open f /dev/é', 'printable ASCII'],
    ['a line of more than 128 KiB', `main write ram 0 ${'00'.repeat(70_000)}`, 'bytes a line'],
    ['more than 16 actors', Array.from({ length: 15 }, (_, n) => `main spawn a${n}`).join('\n'), 'at most 16 actors'],
    ['more than 65,536 calls', 'main exec\n'.repeat(65_534), 'at most 65536 calls'],
    ['more than 8 MiB', '# 345678\n'.repeat(932_068), 'bytes of text'],
  ];
  for (const [what, line, message] of refused) {
    it(`refuses ${what}`, () => {
      expect(() => parseProgram(PRELUDE + line, 'x.program')).to.throw(UsageTrouble, message);
    });
  }

  const refusedLets: readonly [what: string, text: string][] = [
    ['twice the same let', 'let a 1\nlet a 2'],
    ['a let without text', 'let a'],
    ['a let with two words', 'let a b c'],
  ];
  for (const [what, text] of refusedLets) {
    it(`refuses ${what}`, () => expect(() => parseProgram(text)).to.throw(UsageTrouble, /^program:\d: expected/));
  }

  it('names the source and the line', () => {
    expect(() => parseProgram('main exec\n\nmain memfd f x\nmain exec', 'x.program')).to.throw(
      UsageTrouble,
      /^x\.program:3: expected a number, .*, found "x"$/,
    );
  });

  const unprintable: readonly [what: string, call: Call][] = [
    ['a name with a newline', { actor: 'main', op: 'close', fd: 'a\nmain exec' }],
    ['a path with a blank', { actor: 'main', op: 'cat', path: '/etc/pass wd' }],
    ['a word that is none', { actor: 'main', op: 'drop', capability: 'all\n' }],
    ['a negative number', { actor: 'main', op: 'user', uid: -1n }],
    ['a number of 65 bits', { actor: 'main', op: 'memfd', fd: 'f', size: 1n << 64n }],
    ['a number beyond its bound', { actor: 'main', op: 'user', uid: 1n << 32n }],
    [
      'a line that would be too long',
      { actor: 'main', op: 'write', name: 'm', offset: 0n, data: Uint8Array.from({ length: 70_000 }, (_, n) => n * n) },
    ],
  ];
  for (const [what, call] of unprintable) {
    it(`does not write ${what}`, () => expect(() => printCall(call)).to.throw(UsageTrouble, 'expected'));
  }

  it('never answers text with anything but a program or UsageTrouble', () => {
    const words = fc.constantFrom(
      'main',
      'ioctl',
      'mem',
      'let',
      'repeat',
      'end',
      '[',
      ']',
      '[00*8',
      '@0=',
      '+0=1]',
      '&m+0x0',
      '$x',
      '=1',
      '3',
      'm',
      '\n',
      '#',
      '',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 20 }), (parts) => {
        try {
          parseProgram(parts.join(' '));
        } catch (error) {
          expect(error).to.be.instanceOf(UsageTrouble);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
