import type { Machine } from '../model/machine.ts';
import type { ByteRule, Outcome } from '../model/outcome.ts';
import type { Call, Program } from '../program/step.ts';
import type { Clause } from '../spec/clause.ts';
import { outcomeText } from './compare.ts';
import { expectedPath } from './expected-path.ts';

/** What the specification says of one call: the outcomes that it allows, the most expected first, or why it says nothing. */
export interface Allowed {
  readonly step: number;
  readonly call: Call;
  readonly says:
    | { readonly unspecified: string }
    | { readonly outcomes: readonly { readonly text: string; readonly clauses: readonly Clause[] }[] };
}

/** What is allowed of each call of a program, in the first iteration of a repeat, where every call before it did what is most expected. */
export function* allowedOf(machine: Machine, program: Program): Generator<Allowed> {
  for (const { step, call, iteration, answer } of expectedPath(machine, program)) {
    if (iteration > 0) continue;
    if ('unspecified' in answer) yield { step, call, says: { unspecified: answer.unspecified } };
    else {
      const conforming = answer.allowed.filter(({ breaks }) => breaks === undefined);
      yield { step, call, says: { outcomes: conforming.map(asText) } };
    }
  }
}

/** What a reader needs of a clause; the model keeps more with it. */
const plain = ({ id, level, says, source }: Clause): Clause => ({ id, level, says, source });

const asText = (outcome: Outcome): { readonly text: string; readonly clauses: readonly Clause[] } => {
  const { out } = outcome;
  if (out === 'anything')
    return { text: `${outcomeText(outcome)}, with any output`, clauses: outcome.clauses.map(plain) };
  const rules = [...(out ?? [])].sort((a, b) => a.at - b.at);
  const clauses = new Map(
    [...outcome.clauses, ...rules.map(({ clause }) => clause)].map((one) => [one.id, plain(one)]),
  );
  return { text: [outcomeText(outcome), ...rules.map(ruleText)].join('; '), clauses: [...clauses.values()] };
};

/** Of more bytes than these only the number is told. */
const MOST_SHOWN = 32;

const ruleText = ({ at, bytes }: ByteRule): string => {
  if (typeof bytes === 'number') return `byte ${at}: ${bytes} bytes, whatever they are`;
  const hex = Buffer.from(bytes.subarray(0, MOST_SHOWN)).toString('hex');
  return `byte ${at}: ${hex}${bytes.length > MOST_SHOWN ? `... (${bytes.length} bytes)` : ''}`;
};
