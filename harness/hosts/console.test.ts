import { expect } from 'chai';
import { createConsole, type SignKind } from './console.ts';

const consoleOf = (...chunks: readonly (string | Uint8Array)[]) => {
  const console = createConsole();
  for (const chunk of chunks) console.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  return console;
};

describe('hosts/console', () => {
  it('cuts lines, in whatever pieces they come', () => {
    expect(consoleOf('on', 'e\r', '\ntwo\n', 'thr').lines()).to.deep.equal(['one', 'two']);
  });

  it('shows nothing that a terminal would obey', () => {
    const [line] = consoleOf(Buffer.from('\x1b[2J\x00\x9b\xff\ttab\n', 'latin1')).lines();
    expect(line).to.equal('\\x1b[2J\\x00\\x9b\\xff tab');
  });

  it('keeps the last 2,000 lines, of 1,000 characters at most', () => {
    const lines = consoleOf(
      ...Array.from({ length: 9000 }, (_, index) => `${index}\n`),
      `${'x'.repeat(5000)}\n`,
    ).lines();
    expect(lines).to.have.length(2000);
    expect(lines[0]).to.equal('7001');
    expect(lines.at(-1)).to.have.length(1000);
  });

  it('keeps a line that never ends within bounds', () => {
    const console = consoleOf(...Array.from({ length: 100 }, () => 'x'.repeat(10_000)), '\n');
    expect(console.lines()).to.deep.equal(['x'.repeat(1000)]);
  });

  it('tells who listens, until they stop', () => {
    const console = createConsole();
    const heard: string[] = [];
    const stop = console.onLine((line) => heard.push(line));
    console.push(Buffer.from('one\ntwo\n'));
    stop();
    console.push(Buffer.from('three\n'));
    expect(heard).to.deep.equal(['one', 'two']);
  });

  const signs: readonly [kind: SignKind, line: string][] = [
    ['panic', '[    3.1] Kernel panic - not syncing: Fatal exception'],
    ['oops', '[    3.1] Oops: 0002 [#1] PREEMPT SMP NOPTI'],
    ['oops', '[    3.1] BUG: kernel NULL pointer dereference, address: 0000000000000008'],
    ['oops', '[    3.1] general protection fault, probably for non-canonical address 0xdead: 0000 [#1]'],
    ['oops', '[    3.1] kernel BUG at drivers/vfio/vfio_iommu_type1.c:700!'],
    ['lockup', '[   30.1] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [actor:71]'],
    ['lockup', '[   30.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:'],
    ['hung-task', '[  240.1] INFO: task actor:71 blocked for more than 120 seconds.'],
    ['bug', '[    3.1] BUG: sleeping function called from invalid context'],
  ];
  for (const [kind, line] of signs) {
    it(`knows the sign of ${kind}: ${line.replace(/^.*?\] /, '')}`, () => {
      const console = consoleOf('before\n', `${line}\n`, 'after\n', 'much later\n');
      expect(console.since(kind, 2)).to.deep.equal([line, 'after']);
      expect(console.since('bug', 1)).to.deep.equal([line]);
    });
  }

  it('takes ordinary lines for no sign', () => {
    const console = consoleOf('vfio-conform: ready\n', '[    1.0] debug: oopsie\n', '[    1.0] DMAR: IOMMU enabled\n');
    expect(console.since('bug', 10)).to.equal(undefined);
  });

  it('takes milder signs for no panic', () => {
    expect(consoleOf('Oops: 0002\n').since('panic', 10)).to.equal(undefined);
  });

  it('finds a sign after lines were dropped, and what is left of one that was dropped itself', () => {
    const noise = Array.from({ length: 5000 }, (_, index) => `noise ${index}\n`);
    expect(consoleOf(...noise, 'Oops: 1\n', 'end\n').since('oops', 9)).to.deep.equal(['Oops: 1', 'end']);
    expect(consoleOf('Oops: 1\n', ...noise).since('oops', 1)).to.have.length(1);
  });
});
