import { count } from '../../report/layout.ts';
import { type Cell, ROW_BYTES, rowsOf } from '../byte-map.ts';
import type { FieldFacts, LayoutFacts, StructChange } from '../spec-diff.ts';
import { html, type Markup } from './markup.ts';

/* Sizes of the picture, in its own units. */
const BYTE = 46;
const ROW = 30;
const GUTTER = 42;
const RULER = 18;
const SIGN = 7.3;

/** The pattern that padding is filled with; once in the page. */
export const HATCH = html`<svg width="0" height="0" style="position:absolute" aria-hidden="true"><defs>
<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
<line class="hatch" x1="0" y1="0" x2="0" y2="6"/></pattern></defs></svg>`;

/** What the colours of the maps mean. */
export const LEGEND = html`<div class="legend"><span><i class="same"></i>the same in both</span>
<span><i class="moved"></i>elsewhere, or of another size</span><span><i class="only-a"></i>only in A</span>
<span><i class="only-b"></i>only in B</span><span><i class="padding"></i>padding, in no field</span></div>`;

type State = 'same' | 'moved' | 'only-a' | 'only-b' | 'padding';

/** A struct in both sides, as two pictures. */
export const structCard = ({ struct, abis, change, a, b }: StructChange): Markup => html`
<article><div class="head"><h3>struct ${struct}</h3><span class="soft small">${abis.join(', ')}</span>
<span class="badge ${change}">${change}</span></div>
<div class="maps">${mapOf('a', a, b)}${mapOf('b', b, a)}</div></article>`;

const mapOf = (side: 'a' | 'b', layout: LayoutFacts | undefined, other: LayoutFacts | undefined): Markup => {
  const label = side.toUpperCase();
  if (layout === undefined)
    return html`<div class="map"><h4 class="in-${side}">${label}</h4><div class="absent">not there</div></div>`;
  const size = `${count(layout.size, 'byte')}, aligned to ${layout.alignment}`;
  return html`<div class="map"><h4><span class="in-${side}">${label}</span> <span class="soft">${size}</span></h4>
${picture(layout, (field) => stateOf(side, field, other), `${label}: ${size}`)}</div>`;
};

const stateOf = (side: 'a' | 'b', field: FieldFacts, other: LayoutFacts | undefined): State => {
  if (field.padding === true) return 'padding';
  const twin = other?.fields.find(({ name, padding }) => name === field.name && padding !== true);
  // A struct that the other side does not have is new, or gone, as a whole: its fields need no colour.
  if (other === undefined) return 'same';
  if (twin === undefined) return side === 'a' ? 'only-a' : 'only-b';
  return twin.offset === field.offset && twin.size === field.size && twin.type === field.type ? 'same' : 'moved';
};

const picture = (layout: LayoutFacts, state: (field: FieldFacts) => State, title: string): Markup => {
  const rows = rowsOf(layout);
  const width = GUTTER + ROW_BYTES * BYTE + 2;
  const height = RULER + rows.length * ROW + 2;
  const ruler = Array.from(
    { length: ROW_BYTES },
    (_, byte) => html`<text class="at" x="${GUTTER + (byte + 0.5) * BYTE}" y="12" text-anchor="middle">${byte}</text>`,
  );
  const drawn = rows.map((row, index) => {
    const y = RULER + index * ROW;
    const at = html`<text class="at" x="${GUTTER - 8}" y="${y + 19}" text-anchor="end">${row.offset}</text>`;
    if (row.kind === 'skipped') {
      return html`<text class="at" x="${GUTTER + 8}" y="${y + 19}">${row.rows * ROW_BYTES} more bytes</text>`;
    }
    return html`${at}${row.cells.map((cell) => drawCell(cell, y, state(cell.field)))}`;
  });
  return html`<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">${ruler}${drawn}</svg>`;
};

const drawCell = ({ field, from, to, begins, flexible }: Cell, y: number, state: State): Markup => {
  const [x, width] = [GUTTER + from * BYTE, (to - from) * BYTE];
  const room = Math.floor((width - 8) / SIGN);
  const name = state === 'padding' ? '' : `${field.name}${flexible ? '[] …' : ''}`;
  const shown = name.length <= room ? name : `${name.slice(0, Math.max(1, room - 1))}…`;
  const where = flexible ? `from byte ${field.offset} on` : `${count(field.size, 'byte')} at ${field.offset}`;
  return html`<g><title>${`${field.name} ${field.type}: ${where}`}</title>
<rect class="cell ${state}" x="${x}" y="${y}" width="${width}" height="${ROW}" ${flexible ? html`stroke-dasharray="4 3"` : ''}/>
${begins && shown !== '' ? html`<text class="name-${state}" x="${x + width / 2}" y="${y + 19}" text-anchor="middle">${shown}</text>` : ''}</g>`;
};
