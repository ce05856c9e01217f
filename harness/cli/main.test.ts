import { expect } from 'chai';
import { EXIT, HostTrouble } from '../trouble.ts';
import type { Command } from './command.ts';
import { main } from './main.ts';

const failing = (error: unknown): Command => ({
  name: 'fail',
  summary: 'Fails.',
  usage: '',
  options: [],
  examples: [],
  run: async () => {
    throw error;
  },
});

describe('a command that fails', () => {
  const cases: Readonly<Record<string, readonly [error: unknown, exitCode: number, said: RegExp]>> = {
    'as can be expected': [new HostTrouble('no disk'), EXIT.hostTrouble, /^vfio-conform: no disk$/],
    'by a fault of ours': [
      new TypeError('x is undefined'),
      EXIT.hostTrouble,
      /says nothing of a kernel[\s\S]*x is undefined/,
    ],
    'by something that is no error': ['oops', EXIT.hostTrouble, /says nothing of a kernel[\s\S]*oops$/],
  };
  for (const [how, [error, exitCode, said]] of Object.entries(cases)) {
    it(`${how} never ends like a kernel that differs`, async () => {
      const lines: string[] = [];
      const { error: show } = console;
      console.error = (line: string) => void lines.push(line);
      const code = await main(['fail'], [failing(error)]).finally(() => {
        console.error = show;
      });
      expect(code).to.equal(exitCode);
      expect(lines.join('\n')).to.match(said);
    });
  }
});
