import { expect } from 'chai';
import { parseProgram } from '../../../program/text.ts';
import { createMachine } from '../../machine.ts';
import type { ByteRule } from '../../outcome.ts';
import { EDU, MEMORY_CONTENT } from '../clauses.ts';
import type { Files, UserArgument } from '../kernel-file.ts';
import { allow, success } from '../replies.ts';
import { answerText, BARE_PLATFORM } from '../testing.ts';

/** Takes a program through the model; its file `/probe` shows the argument of each ioctl to `probe`, and copies back what that returns. */
const take = (
  text: string,
  probe: (argument: UserArgument, iteration: number) => readonly ByteRule[] | undefined,
): readonly string[] => {
  let taken = 0;
  const files: Files = () => () => ({
    opens: () => ({
      kind: 'probe',
      ioctl: ({ argument }) => {
        const out = probe(argument, taken++);
        return allow(success(MEMORY_CONTENT, out === undefined ? {} : { out }));
      },
    }),
    clauses: [MEMORY_CONTENT],
  });
  const { lets, steps } = parseProgram(text);
  const machine = createMachine({ platform: BARE_PLATFORM, lets, files });
  return steps.flatMap((step) => {
    const [count, body] = step.op === 'repeat' ? [step.count, step.body] : [1, [step]];
    return Array.from({ length: count }, (_, iteration) => iteration).flatMap((iteration) =>
      body.map((call) => {
        const answer = machine.answer(call, iteration);
        if ('allowed' in answer) answer.allowed[0].commit();
        return answerText(answer);
      }),
    );
  });
};

const hex = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? 'EFAULT' : Buffer.from(bytes).toString('hex');

describe('the argument of an ioctl', () => {
  type Row = { readonly program: string; readonly sees: (argument: UserArgument) => unknown; readonly is: unknown };
  const rows: Readonly<Record<string, Row>> = {
    'that is inline is its bytes': {
      program: 'main ioctl fd 1 [0102*2,$name]',
      sees: (a) => hex(a.read(1, 5)),
      is: '0201026869',
    },
    'that is too short goes on with guard bytes': {
      program: 'main ioctl fd 1 [01]',
      sees: (a) => [hex(a.read(0, 3)), a.writable(0, 64), hex(a.read(263, 1)), hex(a.read(263, 2))],
      is: ['01a5a5', true, 'a5', 'EFAULT'],
    },
    'that is empty is guard bytes': { program: 'main ioctl fd 1 [-]', sees: (a) => hex(a.read(0, 2)), is: 'a5a5' },
    'that is null cannot be read': {
      program: 'main ioctl fd 1 =0',
      sees: (a) => [hex(a.read(0, 1)), a.writable(0, 1), a.value],
      is: ['EFAULT', false, 0n],
    },
    'that is a number is that number': {
      program: 'main ioctl fd 1 =0xffffffffffffffff',
      sees: (a) => [a.value, hex(a.read(0, 1))],
      is: [0xffff_ffff_ffff_ffffn, 'EFAULT'],
    },
    'that lies in memory is what is there': {
      program: 'main mem ram 0x1000\nmain write ram 0xffe 0102\nmain ioctl fd 1 &ram+0xffe',
      sees: (a) => [hex(a.read(0, 2)), hex(a.read(0, 3)), a.writable(0, 2), a.writable(0, 3)],
      is: ['0102', 'EFAULT', true, false],
    },
    'that lies before guard bytes runs into them': {
      program: 'main mem ram 4 offset=8\nmain ioctl fd 1 &ram+0x2',
      sees: (a) => hex(a.read(0, 4)),
      is: '0000a5a5',
    },
    'that lies in read-only memory can be read': {
      program: 'main mem ram 0x1000 prot=r\nmain ioctl fd 1 &ram+0x0',
      sees: (a) => [hex(a.read(0, 1)), a.writable(0, 1)],
      is: ['00', false],
    },
    'that lies in memory nobody may touch cannot be read': {
      program: 'main mem ram 0x2000\nmain protect ram 0x1000 0x1000 none\nmain ioctl fd 1 &ram+0xfff',
      sees: (a) => [hex(a.read(0, 1)), hex(a.read(0, 2))],
      is: ['00', 'EFAULT'],
    },
    'that crosses a hole cannot be read': {
      program: 'main mem ram 0x3000\nmain unmap ram 0x1000 0x1000\nmain ioctl fd 1 &ram+0xffc',
      sees: (a) => [hex(a.read(0, 4)), hex(a.read(0, 8)), hex(a.read(0x1004, 1))],
      is: ['00000000', 'EFAULT', '00'],
    },
    'names open files': {
      program: 'main memfd m 0\nmain ioctl fd 1 [00*8 @4=fd:m]',
      sees: (a) => [a.fileAt(4)?.file.kind, a.fileAt(0)],
      is: ['memfd', undefined],
    },
  };
  for (const [title, { program, sees, is }] of Object.entries(rows)) {
    it(title, () => {
      let seen: unknown;
      take(`let name hi\nmain open fd /probe\n${program}`, (argument) => {
        seen = sees(argument);
        return undefined;
      });
      expect(seen).to.deep.equal(is);
    });
  }

  it('holds pointers that lead to the memory they name, and move with their strides', () => {
    const pointers: bigint[] = [];
    const numbers: bigint[] = [];
    take(
      `main open fd /probe
    main mem ram 0x3000
      repeat 3
        main ioctl fd 1 [00*8,ff*8 @0=&ram+0x8 +0=0x1000 +8=2]
      end`,
      (argument) => {
        const bytes = Buffer.from(argument.read(0, 16) ?? []);
        pointers.push(bytes.readBigUInt64LE(0));
        numbers.push(bytes.readBigUInt64LE(8));
        return undefined;
      },
    );
    const [first = 0n] = pointers;
    expect(pointers).to.deep.equal([first, first + 0x1000n, first + 0x2000n]);
    expect(first % 0x1000n).to.equal(8n);
    expect(numbers).to.deep.equal([0xffff_ffff_ffff_ffffn, 1n, 3n]);
  });

  it('is shown by the step when it is inline, and found in memory when it lies there', () => {
    const reply = [
      { at: 1, bytes: Uint8Array.of(7, 8), clause: EDU },
      { at: 4, bytes: 2, clause: EDU },
    ];
    expect(
      take(
        `main open fd /probe
        main mem ram 0x1000
        main fill ram 0 16 1
        main ioctl fd 1 [00*8]
        main ioctl fd 1 &ram+0x1
        main read ram 0 8`,
        () => reply,
      ),
    ).to.deep.equal(['any', '0', '0', '0 0708????', '0', '0 01010708' + '01????01']);
  });

  it('may hold a descriptor that the call made, and not when it lies in memory', () => {
    expect(
      take(
        `main open fd /probe
        main mem ram 0x1000
        main ioctl fd 1 [00*8] to=made at=4
        main ioctl made 1 =0
        main ioctl fd 1 &ram+0x0 to=other at=4`,
        () => [{ at: 4, bytes: 4, clause: EDU }],
      ).slice(2),
    ).to.deep.equal(['0 ????????', 'open', 'open']);
  });

  it('must name what is there', () => {
    expect(
      take(
        `main open fd /probe
        main memfd m 0
        main close m
        main mem ram 0x1000
        main ioctl fd 1 [00*8 @0=fd:m]
        main ioctl m 1 =0
        main exec
        main ioctl fd 1 [00*8 @0=&ram+0x0]
        main ioctl fd 1 &ram+0x0`,
        () => undefined,
      ).slice(4),
    ).to.deep.equal(['EBADF', 'EBADF', '0', 'EFAULT', 'EFAULT']);
  });
});

describe('bytes that a device wrote', () => {
  it('are read by the clause that says what they are', () => {
    const { lets, steps } = parseProgram(
      'main open fd /probe\nmain mem ram 0x2000\nmain ioctl fd 1 &ram+0x1000\nmain read ram 0xffe 4\nmain hash ram 0 0x2000\nmain peek ram 0x1000 1',
    );
    const files: Files = () => () => ({
      opens: () => ({
        kind: 'probe',
        ioctl: () => allow(success(MEMORY_CONTENT, { out: [{ at: 0, bytes: Uint8Array.of(7), clause: EDU }] })),
      }),
      clauses: [MEMORY_CONTENT],
    });
    const machine = createMachine({ platform: BARE_PLATFORM, lets, files });
    const clauses = steps.map((step) => {
      if (step.op === 'repeat') return undefined;
      const answer = machine.answer(step, 0);
      if (!('allowed' in answer)) return undefined;
      const [outcome] = answer.allowed;
      outcome.commit();
      return [
        outcome.clauses.map(({ id }) => id),
        typeof outcome.out === 'object' ? outcome.out.map(({ at, clause }) => [at, clause.id]) : [],
      ];
    });
    expect(clauses.slice(3)).to.deep.equal([
      [
        ['world/memory-content'],
        [
          [0, 'world/memory-content'],
          [2, 'world/edu'],
        ],
      ],
      [['world/edu'], [[0, 'world/edu']]],
      [['world/edu'], []],
    ]);
  });
});
