import type { KernelChange, SpecDiff } from '../spec-diff.ts';
import { sidesTaken, sideText, tallyText } from '../telling.ts';
import { html, type Markup } from './markup.ts';

const MOST_CASES = 100;

/** What the kernels of the runs did; nothing where no run was given. */
export const kernelsSection = (diff: SpecDiff): Markup => {
  const { kernels, sides } = diff;
  if (kernels === undefined) return html``;
  const tallies = (['a', 'b'] as const).flatMap((side) => {
    const tally = kernels.tallies[side];
    if (tally === undefined) return [];
    const taken = sidesTaken(diff, side);
    return [
      html`<p><span class="badge ${side}">${side.toUpperCase()}</span> ${sideText(sides[side])}: ${tallyText(tally)}${taken === undefined ? '' : html`<br><span class="soft small">${taken}</span>`}</p>${bar(tally)}`,
    ];
  });
  const { changes, incomparable } = kernels;
  return html`<section id="kernels"><h2>Kernels</h2>${tallies}
${changes.length === 0 ? html`<p class="nothing">${tallies.length > 1 ? 'Both kernels answered alike.' : 'The kernel did what its model allows, known differences aside.'}</p>` : ''}
${changes.slice(0, MOST_CASES).map(kernelCard)}
${changes.length > MOST_CASES ? html`<p class="nothing">And ${changes.length - MOST_CASES} more; the JSON form has all.</p>` : ''}
${incomparable.map(
  ({ reason, ids }) =>
    html`<details><summary>${ids.length} not compared: ${reason}</summary><ul>${ids.map((id) => html`<li>${id}</li>`)}</ul></details>`,
)}</section>`;
};

const COLOURS: Readonly<Record<string, string>> = { conforms: 'good', known: 'meant', diverges: 'bad', damaged: 'bad' };

const bar = (tally: Readonly<Record<string, number>>): Markup =>
  html`<div class="bar" role="img" aria-label="${tallyText(tally)}">${Object.entries(tally).map(
    ([verdict, number]) => html`<i class="${COLOURS[verdict] ?? 'other'}" style="flex:${number}"></i>`,
  )}</div>`;

const kernelCard = (
  change: KernelChange,
): Markup => html`<article class="${change.how === 'mended' ? '' : 'unintended'}">
<div class="head"><h3>${change.id}</h3><span class="badge ${change.how === 'mended' ? 'mended' : 'bad'}">${change.how}</span></div>
${change.first === undefined ? '' : html`<div class="body"><code>${change.first.call}</code></div>`}
<div class="versus">${side(change, 'a')}${side(change, 'b')}</div></article>`;

const side = (change: KernelChange, name: 'a' | 'b'): Markup => {
  const one = change[name];
  if (one === undefined)
    return html`<div class="${name}"><div class="who in-${name}">${name.toUpperCase()}</div><div class="soft">no kernel was run</div></div>`;
  return html`<div class="${name}"><div class="who"><span class="in-${name}">${name.toUpperCase()}</span></div>
<div class="what">${change.first === undefined ? '' : html`<code>${change.first[name]}</code><br>`}${one.verdict}${one.known === undefined ? '' : ` (known: ${one.known})`}</div>
${one.broken.length === 0 && one.reason !== undefined ? html`<p class="small">${one.reason}</p>` : ''}
${one.broken.map(
  ({
    clause,
    says,
    source,
    call,
    expected,
    observed,
  }) => html`<div class="rule small"><code>${clause}</code><div class="says">${says}</div>
<div class="source">${source}</div><dl><dt>call</dt><dd><code>${call}</code></dd><dt>expected</dt><dd><code>${expected}</code></dd>
<dt>observed</dt><dd><code>${observed}</code></dd></dl></div>`,
)}
<details><summary>How to run it again</summary><pre class="run">${one.rerun}</pre></details></div>`;
};
