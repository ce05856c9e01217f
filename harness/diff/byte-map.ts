import type { FieldFacts, LayoutFacts } from './spec-diff.ts';

/** Bytes in a row of a map. */
export const ROW_BYTES = 8;

/** Bytes of one row that belong to one field. */
export interface Cell {
  readonly field: FieldFacts;
  /** Within the row; `to` is not part of it. */
  readonly from: number;
  readonly to: number;
  /** The field begins here; a flexible tail goes on behind the map. */
  readonly begins: boolean;
  readonly flexible: boolean;
}

/** A row of a map, or rows of one long field that are left out. */
export type MapRow =
  | { readonly kind: 'row'; readonly offset: number; readonly cells: readonly Cell[] }
  | { readonly kind: 'skipped'; readonly offset: number; readonly rows: number };

/** A struct as rows of 8 bytes, the form that its pictures have. */
export const rowsOf = (layout: LayoutFacts): readonly MapRow[] => {
  const rows: MapRow[] = [];
  for (let offset = 0; ; offset += ROW_BYTES) {
    const cells = layout.fields.flatMap((field) => cellOf(field, offset));
    if (cells.length === 0) return rows;
    const last = rows.at(-1);
    if (!isMiddle(cells, offset)) rows.push({ kind: 'row', offset, cells });
    else if (last?.kind === 'skipped') rows[rows.length - 1] = { ...last, rows: last.rows + 1 };
    else rows.push({ kind: 'skipped', offset, rows: 1 });
  }
};

const cellOf = (field: FieldFacts, offset: number): readonly Cell[] => {
  const flexible = field.type.endsWith('[]');
  // A flexible tail has no size; it is shown to the end of the row in which it begins.
  const end = flexible ? (Math.floor(field.offset / ROW_BYTES) + 1) * ROW_BYTES : field.offset + field.size;
  const from = Math.max(field.offset, offset);
  const to = Math.min(end, offset + ROW_BYTES);
  if (from >= to) return [];
  return [{ field, from: from - offset, to: to - offset, begins: from === field.offset, flexible }];
};

/** A row within one field, with more of it in the rows before and behind. */
const isMiddle = ([first, ...others]: readonly Cell[], offset: number): boolean =>
  first !== undefined &&
  others.length === 0 &&
  !first.flexible &&
  first.field.offset <= offset - ROW_BYTES &&
  first.field.offset + first.field.size >= offset + 2 * ROW_BYTES;

/** Columns of a byte in the text form; a row is this times 8, and a bar. */
const COLUMNS = 4;
const WIDTH = ROW_BYTES * COLUMNS + 1;

/** A map in plain text: a line for each row, all equally wide. */
export const textMap = (layout: LayoutFacts): readonly string[] =>
  rowsOf(layout).map((row) => {
    if (row.kind === 'skipped') return `| ... ${row.rows * ROW_BYTES} more bytes`.padEnd(WIDTH);
    let line = '';
    for (const { field, from, to, begins, flexible } of row.cells) {
      line = line.padEnd(from * COLUMNS);
      const room = (to - from) * COLUMNS - 1;
      const name = field.padding === true ? '.'.repeat(room) : begins ? `${field.name}${flexible ? '[]' : ''}` : '';
      line += `|${name.length > room ? `${name.slice(0, room - 1)}~` : name.padEnd(room)}`;
      if (flexible) continue;
      line += to === ROW_BYTES ? '|' : '';
    }
    const last = row.cells.at(-1);
    const closed =
      last?.flexible === true ? `${line} ` : line.length < WIDTH && !line.endsWith('|') ? `${line}|` : line;
    return closed.padEnd(WIDTH);
  });

/** Two maps beside one another, with the offsets of their rows; either may be missing. */
export const textMaps = (a: LayoutFacts | undefined, b: LayoutFacts | undefined): readonly string[] => {
  const [left, right] = [a === undefined ? [] : textMap(a), b === undefined ? [] : textMap(b)];
  const offsets = rowsOf(
    a !== undefined && left.length >= right.length ? a : (b ?? a ?? { size: 0, alignment: 1, fields: [] }),
  );
  return offsets.map(({ offset }, index) =>
    `0x${offset.toString(16).padStart(2, '0')}  ${left[index] ?? ' '.repeat(WIDTH)}  ${right[index] ?? ''}`.trimEnd(),
  );
};
