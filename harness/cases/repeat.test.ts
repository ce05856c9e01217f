import { expect } from 'chai';
import type { CaseRecord } from '../report/record.ts';
import { type Repeating, runRepeated } from './repeat.ts';

const BROKEN = { clause: 'map/overlap', says: '.', source: '.', call: 'main ioctl', expected: 'EEXIST' };
const conforms: CaseRecord = {
  ...{ id: 'map/overlap: x', clause: 'map/overlap', area: 'map', title: 'x', verdict: 'conforms' },
  ...{ broken: [], durationMs: 2, program: '', observed: '' },
};
const differs = (observed: string): CaseRecord => ({
  ...conforms,
  verdict: 'diverges',
  reason: `observed ${observed}`,
  broken: [{ ...BROKEN, observed }],
});
const known: CaseRecord = { ...differs('0'), known: { id: 'quirk', reason: 'It always has.' } };
const lost: CaseRecord = { ...conforms, verdict: 'host-lost', reason: 'gone' };
const damaged: CaseRecord = { ...conforms, verdict: 'damaged', reason: 'panicked' };
const THREE = { times: 3, untilFail: false };

interface Row {
  readonly records: readonly CaseRecord[];
  readonly how?: Repeating;
  readonly verdict: string;
  readonly reason?: string;
  readonly known?: string;
  readonly repeats?: CaseRecord['repeats'];
}

describe('repeats', () => {
  const rows: Readonly<Record<string, Row>> = {
    'say how often a case conformed': {
      records: [conforms, conforms, conforms],
      verdict: 'conforms',
      repeats: { times: 3, shownBy: 3, unstable: false },
    },
    'tell nothing of a case that ran once': {
      records: [conforms],
      how: { times: 1, untilFail: false },
      verdict: 'conforms',
    },
    'show a difference that shows always as what it is': {
      records: [differs('0'), differs('0'), differs('0')],
      verdict: 'diverges',
      reason: 'observed 0',
      repeats: { times: 3, shownBy: 3, unstable: false },
    },
    'call a difference that shows once unstable': {
      records: [conforms, differs('0'), conforms],
      verdict: 'diverges',
      reason: 'unstable, shown 1 of 3 times: observed 0',
      repeats: { times: 3, shownBy: 1, unstable: true },
    },
    'call two differences unstable': {
      records: [differs('0'), differs('EBUSY'), differs('0')],
      verdict: 'diverges',
      reason: 'unstable, shown 2 of 3 times: observed 0',
      repeats: { times: 3, shownBy: 2, unstable: true },
    },
    'let a known difference pass that shows always': {
      records: [known, known, known],
      verdict: 'diverges',
      reason: 'observed 0',
      known: 'quirk',
      repeats: { times: 3, shownBy: 3, unstable: false },
    },
    'let no known difference pass that does not': {
      records: [known, conforms, known],
      verdict: 'diverges',
      reason: 'unstable, shown 2 of 3 times (the known difference quirk): observed 0',
      repeats: { times: 3, shownBy: 2, unstable: true },
    },
    'prefer what is new to what is known': {
      records: [known, { ...damaged }, conforms],
      verdict: 'damaged',
      reason: 'unstable, shown 1 of 2 times: panicked',
      repeats: { times: 2, shownBy: 1, unstable: true },
    },
    'end where the host was lost, which is no difference': {
      records: [conforms, lost, conforms],
      verdict: 'host-lost',
      reason: 'gone',
      repeats: { times: 2, shownBy: 1, unstable: false },
    },
    'end with the first failure when that is asked for': {
      records: [known, known, differs('1'), conforms],
      how: { times: 9, untilFail: true },
      verdict: 'diverges',
      reason: 'unstable, shown 1 of 3 times: observed 1',
      repeats: { times: 3, shownBy: 1, unstable: true },
    },
  };
  for (const [title, { records, how = THREE, verdict, reason, known: id, repeats }] of Object.entries(rows)) {
    it(title, async () => {
      const record = await runRepeated(how, async (time) => records[time] ?? lost);
      expect([record.verdict, record.reason, record.known?.id]).to.deep.equal([verdict, reason, id]);
      expect(record.repeats).to.deep.equal(repeats);
    });
  }
});
