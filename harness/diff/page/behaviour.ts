import { count } from '../../report/layout.ts';
import type { BehaviourChange, SpecDiff } from '../spec-diff.ts';
import {
  type Alike,
  alike,
  clausesOf,
  reproduce,
  requestName,
  sameWords,
  seenSentence,
  type ToldClause,
} from '../telling.ts';
import { anchor, html, type Markup } from './markup.ts';
import { wordDiff } from './words.ts';

/** Kinds of difference that are shown, and lines of a program. */
const MOST_KINDS = 60;
const LINES_BEFORE = 12;

/** The differences that were meant, or those that were not. */
export const behaviourSection = (diff: SpecDiff, intended: boolean): Markup => {
  const changes = diff.behaviour.changes.filter((one) => one.intended === intended);
  const kinds = alike(changes);
  const [title, lead] = intended
    ? ['Intended differences', 'Programs that the two sides answer otherwise under clauses that were stated anew.']
    : [
        'Unintended differences',
        'Programs that the two sides answer otherwise though no clause that was stated anew says so.',
      ];
  if (kinds.length === 0) {
    return html`<section id="${intended ? 'intended' : 'unintended'}"><h2>${title}</h2>
<p class="nothing">None in ${count(diff.behaviour.compared, 'program')}.</p></section>`;
  }
  const more = kinds.length - MOST_KINDS;
  return html`<section id="${intended ? 'intended' : 'unintended'}"><h2>${title}</h2>
<p class="lead">${lead} ${count(changes.length, 'program')} of ${diff.behaviour.compared}, in ${count(kinds.length, 'kind')}; the smallest first.</p>
${kinds.slice(0, MOST_KINDS).map((one) => changeCard(diff, one))}
${more > 0 ? html`<p class="nothing">And ${count(more, 'more kind')}; the JSON form has all.</p>` : ''}</section>`;
};

const changeCard = (diff: SpecDiff, { change, others }: Alike): Markup => html`
<article class="${change.intended ? 'intended' : 'unintended'}">
<div class="head"><h3>${change.id}</h3><span class="soft small">${count(change.calls, 'call')}</span>
${change.intended ? '' : html`<span class="badge bad">unintended</span>`}</div>
<div class="versus">${allowed(diff, change, 'a')}${allowed(diff, change, 'b')}</div>
<div class="body">${clausesOf(diff, change).map((clause) => rule(diff, clause))}
<p class="small soft">${change.intended ? 'Intended' : 'Unintended'}: ${change.why}</p>
${program(diff, change)}
<details><summary>How to see it again${others.length > 0 ? html`, and ${count(others.length, 'program')} like it` : ''}</summary>
<pre class="run">${reproduce(diff, change).join('\n')}</pre>
${others.length > 0 ? html`<ul>${others.map((id) => html`<li>${id}</li>`)}</ul>` : ''}</details></div></article>`;

const allowed = (diff: SpecDiff, change: BehaviourChange, side: 'a' | 'b'): Markup => {
  const seen = change.seen[side];
  const { revision, run } = diff.sides[side];
  return html`<div class="${side}"><div class="who"><span class="in-${side}">${side.toUpperCase()}</span> ${revision}: the call</div>
<div class="what">${change.allowed[side].words}</div>
${seen === undefined || run === undefined ? '' : html`<p class="small"><span class="badge ${seen.agreesWith}">kernel</span> ${run.kernel} ${seenSentence(diff, seen)}</p>`}</div>`;
};

const rule = (diff: SpecDiff, clause: ToldClause): Markup => {
  const { id, a, b } = clause;
  const one = b ?? a;
  if (one === undefined) return html``;
  const changed = diff.clauses.changes.find((change) => change.id === id);
  const name =
    changed === undefined ? html`<code>${id}</code>` : html`<a href="#${anchor('clause', id)}"><code>${id}</code></a>`;
  const badge = changed === undefined ? '' : html` <span class="badge ${changed.change}">${changed.change}</span>`;
  const says = a !== undefined && b !== undefined && !sameWords(clause) ? wordDiff(a.says, b.says) : html`${one.says}`;
  return html`<div class="rule">${name}${badge}<div class="says">${says}</div><div class="source">${one.source}</div></div>`;
};

/** The program up to the call where the two part, which is marked; the beginning of a long one is left out. */
const program = (diff: SpecDiff, { program: text, line, iteration }: BehaviourChange): Markup => {
  const lines = text.trimEnd().split('\n');
  const from = lines.length > LINES_BEFORE + 4 ? Math.max(0, line - LINES_BEFORE) : 0;
  const shown = lines.slice(from, line + 2);
  const told = shown.map((one, index) => {
    const number = from + index + 1;
    const name = requestName(diff, one);
    const comments = [
      ...(name === undefined ? [] : [name]),
      ...(number === line && iteration !== undefined ? [`iteration ${iteration}`] : []),
    ];
    return html`<div class="${number === line ? 'here' : ''}"><span class="n">${number}</span><span>${one}${
      comments.length === 0 ? '' : html` <span class="comment">${comments.join(', ')}</span>`
    }</span></div>`;
  });
  const before =
    from === 0
      ? ''
      : html`<div><span class="n">…</span><span class="comment">${count(from, 'line')} before</span></div>`;
  return html`<div class="program mono">${before}${told}</div>`;
};
