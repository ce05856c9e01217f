import { count } from '../../report/layout.ts';
import type { ClauseChange, ClauseFacts, SpecDiff } from '../spec-diff.ts';
import { sameWords } from '../telling.ts';
import { HATCH, LEGEND, structCard } from './byte-map.ts';
import { anchor, html, type Markup } from './markup.ts';
import { wordDiff } from './words.ts';

/** The clauses that are not the same in both. */
export const clausesSection = ({ clauses }: SpecDiff): Markup => html`<section id="clauses"><h2>Clauses</h2>
${
  clauses.changes.length === 0
    ? html`<p class="nothing">The same ${count(clauses.unchanged.length, 'clause')} are in force on both sides.</p>`
    : html`<p class="lead">What was stated anew, and how many programs show it. ${count(clauses.unchanged.length, 'clause')} did not change.</p>
<table><thead><tr><th>clause</th><th>says</th><th>programs</th></tr></thead><tbody>${clauses.changes.map(clauseRow)}</tbody></table>`
}
${
  clauses.unchanged.length === 0
    ? ''
    : html`<details><summary>Unchanged</summary><ul>${clauses.unchanged.map((id) => html`<li><code>${id}</code></li>`)}</ul></details>`
}</section>`;

const clauseRow = (change: ClauseChange): Markup => html`<tr id="${anchor('clause', change.id)}">
<td><code>${change.id}</code><br><span class="badge ${change.change}">${change.change}</span></td>
<td>${sentences(change)}</td><td>${change.programs}</td></tr>`;

const sentences = (change: ClauseChange): Markup => {
  const { a, b } = change;
  if (a === undefined || b === undefined) return said((b ?? a) as ClauseFacts);
  if (sameWords(change)) return html`${said(a)}<p class="small soft">The sentence is the same; the rule is not.</p>`;
  const source = a.source === b.source ? html`${b.source}` : html`<del>${a.source}</del> <ins>${b.source}</ins>`;
  const level = a.level === b.level ? b.level : html`<del>${a.level}</del> <ins>${b.level}</ins>`;
  return html`<div class="says"><span class="soft">${level}:</span> ${wordDiff(a.says, b.says)}</div><div class="source">${source}</div>`;
};

const said = ({ level, says, source }: ClauseFacts): Markup =>
  html`<div class="says"><span class="soft">${level}:</span> ${says}</div><div class="source">${source}</div>`;

/** Request numbers and ids side by side. */
export const numbersSection = ({ numbers }: SpecDiff): Markup => html`<section id="numbers"><h2>Numbers</h2>
${
  numbers.length === 0
    ? html`<p class="nothing">Every request number and id means the same on both sides.</p>`
    : html`<table><thead><tr><th>number</th><th>on</th><th><span class="in-a">A</span></th><th><span class="in-b">B</span></th><th></th></tr></thead><tbody>${numbers.map(
        ({
          on,
          number,
          change,
          a,
          b,
        }) => html`<tr><td><code>${number}</code><br><span class="soft small">${(b ?? a)?.name}</span></td>
<td>${on}</td><td>${a === undefined ? '–' : html`<code>${a.id}</code>`}</td><td>${b === undefined ? '–' : html`<code>${b.id}</code>`}</td>
<td><span class="badge ${change === 'changed' ? 'bad' : change}">${meaningOf(change, a?.clashes === true || b?.clashes === true)}</span></td></tr>`,
      )}</tbody></table>`
}</section>`;

const meaningOf = (change: string, clashes: boolean): string => {
  if (change !== 'changed') return change;
  return clashes ? 'two that clash' : 'another meaning';
};

/** Struct layouts, as pictures. */
export const structsSection = ({ structs }: SpecDiff): Markup => html`<section id="layouts"><h2>Layouts</h2>
${
  structs.changes.length === 0
    ? html`<p class="nothing">${count(structs.unchanged.length, 'struct')} lie in memory as before.</p>`
    : html`<p class="lead">Bytes of the structs that are not laid out alike; a row has 8 bytes. ${count(structs.unchanged.length, 'struct')} did not change.</p>
${HATCH}${LEGEND}${structs.changes.map(structCard)}`
}</section>`;
