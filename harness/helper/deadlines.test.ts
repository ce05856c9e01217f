import { expect } from 'chai';
import { helperOrSkip, observe } from './testing.ts';

/** Waits for a value that never comes. */
const HANGS = 'await m 0 4 0xff 1 3600000';

describe('helper: deadlines', () => {
  let path = '';
  before(async function () {
    path = await helperOrSkip(this);
  });

  it('ends a step that hangs, and goes on with the others', async () => {
    const program = ['main mem m 16', 'main spawn kid', `kid ${HANGS}`, 'kid fds', 'main fds'];
    expect(await observe(path, program.join('\n'), { stepMs: 400 })).to.deep.equal([
      '0 0 0',
      '1 0 0',
      '2 !timeout step deadline of 400 ms',
      '3 !gone actor kid is gone',
      '4 0 0',
    ]);
  });

  it('ends a step that sleeps in the kernel', async () => {
    // Nobody ever types at the other side of a new terminal.
    const observed = await observe(path, 'main cat /dev/ptmx\nmain fds', { stepMs: 400 });
    expect(observed).to.deep.equal(['0 !timeout step deadline of 400 ms', '1 !gone actor main is gone']);
  });

  it('says of every call of a repeat what became of it', async () => {
    const program = ['main mem m 16', 'repeat 10', 'main fds', `main ${HANGS}`, 'main limits as', 'end'];
    expect(await observe(path, program.join('\n'), { stepMs: 400 })).to.deep.equal([
      '0 0 0',
      '1.0 0 0',
      '2.0 !timeout step deadline of 400 ms',
      '1.1-9 !gone actor main is gone',
      '2.1-9 !gone actor main is gone',
      '3.0-9 !gone actor main is gone',
    ]);
  });

  it('ends the call that the deadline of the program interrupts', async () => {
    const program = ['main mem m 16', `main ${HANGS}`, 'main fds'];
    expect(await observe(path, program.join('\n'), { programMs: 400 })).to.deep.equal([
      '0 0 0',
      '1 !timeout program deadline of 400 ms',
      'unfinished',
    ]);
  });

  it('ends a program between two calls: what was taken is observed, what was not is absent', async () => {
    const program = [
      'main mem m 16',
      'repeat 1048576',
      'main await m 0 4 0xff 1 1',
      'main peek m 0 4',
      'end',
      'main fds',
    ];
    const observed = await observe(path, program.join('\n'), { programMs: 200 });
    expect(observed.at(-1)).to.equal('unfinished');
    const lasts = [1, 2].map((step) => {
      const ranges = observed.filter((line) => line.startsWith(`${step}.`)).map((line) => line.split(' '));
      let next = 0;
      for (const [place = '', ret] of ranges) {
        const [first, last = first] = place.slice(2).split('-').map(Number);
        expect([first, ret]).to.deep.equal([next, step === 1 ? '-1' : '0']);
        next = (last ?? 0) + 1;
      }
      return next;
    });
    expect(lasts[0]).to.be.greaterThan(1).and.lessThan(1_048_576);
    // It stops before any call: the last iteration may have taken its first call only.
    expect((lasts[0] ?? 0) - (lasts[1] ?? 0)).to.be.within(0, 1);
    expect(observed.some((line) => /!|^3/.test(line))).to.equal(false);
  });

  it('measures each call of a repeat for itself', async () => {
    const program = ['main mem m 16', 'repeat 40', 'main await m 0 4 0xff 1 20', 'end'];
    const observed = await observe(path, program.join('\n'), { stepMs: 600 });
    expect(observed.slice(1).every((line) => line.endsWith(' -1 110'))).to.equal(true);
  });
});
