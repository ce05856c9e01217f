import { count } from '../../report/layout.ts';
import type { SideFacts, SpecDiff } from '../spec-diff.ts';
import { changesText, headlines, NOT_TESTED, type Telling, testedBy } from '../telling.ts';
import { behaviourSection } from './behaviour.ts';
import { kernelsSection } from './kernels.ts';
import { html, type Markup, verbatimMarkup } from './markup.ts';
import { STYLE } from './style.ts';
import { clausesSection, numbersSection, structsSection } from './tables.ts';

/** Nothing is loaded and nothing runs, whatever the page shows. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** A page of its own: no script, nothing from elsewhere, for light and dark screens and for paper. In pieces, in order. */
export function* diffPage(diff: SpecDiff, options: Telling = {}): Generator<string> {
  const { a, b } = diff.sides;
  yield html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>${a.name} and ${b.name}: what differs</title>
<style>${verbatimMarkup(STYLE)}</style></head><body>
<header><h1>${a.name}<span class="to">and</span>${b.name}: what differs</h1>
<div class="sides">${sideCard(a, 'a')}${sideCard(b, 'b')}</div>${tiles(diff)}</header>
<nav aria-label="Sections">${sections(diff).map(([id, name]) => html`<a href="#${id}">${name}</a>`)}</nav><main>`
    .markup;
  const ofRuns = a.run !== undefined && b.run !== undefined;
  if (ofRuns) yield kernelsSection(diff).markup;
  yield behaviourSection(diff, false).markup;
  yield behaviourSection(diff, true).markup;
  yield clausesSection(diff).markup;
  yield numbersSection(diff).markup;
  yield structsSection(diff).markup;
  if (!ofRuns) yield kernelsSection(diff).markup;
  const tested = testedBy(diff, options.testedBy);
  yield html`</main><footer>${
    tested.length === 0
      ? html`<p>${NOT_TESTED}</p>`
      : html`<pre class="run">${tested.map(({ line, note }) => `${line}\n# ${note}`).join('\n')}</pre>`
  }<p>vfio-conform ${diff.version}. A is what is expected, B what is observed.</p></footer></body></html>
`.markup;
}

const sections = (diff: SpecDiff): readonly (readonly [id: string, name: string])[] => [
  ['unintended', 'Unintended'],
  ['intended', 'Intended'],
  ['clauses', 'Clauses'],
  ['numbers', 'Numbers'],
  ['layouts', 'Layouts'],
  ...(diff.kernels === undefined ? [] : ([['kernels', 'Kernels']] as const)),
];

const sideCard = (
  { name, revision, summary, run }: SideFacts,
  side: 'a' | 'b',
): Markup => html`<div class="side ${side}">
<div class="role"><span class="in-${side}">${side.toUpperCase()}</span>, what is ${side === 'a' ? 'expected' : 'observed'}</div>
<div class="name">${name}</div><div class="soft small">${summary}</div>
${
  run === undefined
    ? ''
    : html`<dl><dt>kernel</dt><dd>${run.kernel}</dd><dt>held against</dt><dd>${revision}</dd><dt>host</dt><dd>${run.host}</dd>
<dt>started</dt><dd>${run.startedAt}</dd>${run.interrupted === undefined ? '' : html`<dt>partial</dt><dd>${run.interrupted}</dd>`}</dl>`
}</div>`;

const tiles = (diff: SpecDiff): Markup => {
  const { clauses, behaviour, numbers, structs, kernels } = diff;
  const unintended = behaviour.changes.filter(({ intended }) => !intended).length;
  const meant = behaviour.changes.length - unintended;
  const told = new Map(headlines(diff));
  return html`<div class="tiles">
${tile('Unintended differences', unintended, `of ${count(behaviour.compared, 'program')}`, unintended > 0, [unintended, meant, behaviour.compared - unintended - meant])}
${tile('Intended differences', meant, 'declared by clauses')}
${tile('Clauses', clauses.changes.length, changesText(clauses.changes))}
${tile('Numbers and layouts', numbers.length + structs.changes.length, `numbers: ${changesText(numbers)}; layouts: ${changesText(structs.changes)}`)}
${kernels === undefined ? '' : tile('Kernel answers', kernels.changes.length, told.get('kernels') ?? '', kernels.changes.length > 0)}</div>`;
};

const tile = (
  label: string,
  number: number,
  detail: string,
  bad = false,
  parts?: readonly number[],
): Markup => html`<div class="tile">
<div class="label">${label}</div><div class="number ${bad ? 'bad' : ''}">${number}</div>
${
  parts === undefined
    ? ''
    : html`<div class="bar">${['bad', 'meant', 'same'].flatMap((kind, index) =>
        parts[index] ? [html`<i class="${kind}" style="flex:${parts[index]}"></i>`] : [],
      )}</div>`
}<div class="detail">${detail}</div></div>`;
