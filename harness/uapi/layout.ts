/** Where the fields of C structs and unions lie: computed for an ABI, as a C compiler does. */

/** What an architecture decides about a struct's layout. Sizes and alignments are in bytes. */
export interface Abi {
  readonly name: string;
  /** Of a pointer and of `long`, which Linux makes alike. */
  readonly pointerBytes: 4 | 8;
  /** No scalar is aligned more strictly than this unless it asks for it: 8 nearly everywhere, 4 on i386. */
  readonly maxAlignment: 2 | 4 | 8;
  readonly byteOrder: 'little' | 'big';
}

/** Scalars that values can be given to. */
export type ScalarName = 'u8' | 'u16' | 'u32' | 's32' | 'u64' | 'pointer';

/** An alignment that a declaration asks for (`aligned(8)`), in bytes: no less than this, and no more by itself. */
interface Aligned {
  readonly aligned?: number;
}

/** Any type whose layout can be told. */
export type CType =
  | ({ readonly kind: 'scalar'; readonly scalar: ScalarName | 'long' } & Aligned)
  | ({ readonly kind: 'array'; readonly element: CType; readonly count: number | 'flexible' } & Aligned)
  | CRecord;

/** A struct or a union, as its layout is told of. */
export interface CRecord extends Aligned {
  readonly kind: 'struct' | 'union';
  /** The tag in C; of an anonymous member any text. */
  readonly name: string;
  readonly fields: Readonly<Record<string, CType>>;
  /** Fields follow each other without padding, except where one asks for an alignment in its own declaration. */
  readonly packed?: boolean;
  /** Alignments that fields ask for in their own declarations, by name; unlike those of their types they hold when packed. */
  readonly alignedFields?: Readonly<Record<string, number>>;
}

/** Where a struct's fields lie, in bytes. `size` includes the padding at the end and leaves out a flexible tail. */
export interface Layout<Field = CType> {
  readonly size: number;
  readonly alignment: number;
  readonly fields: readonly { readonly name: string; readonly offset: number; readonly type: Field }[];
}

const layouts = new WeakMap<Abi, WeakMap<CRecord, Layout>>();

/** Lays a struct or union out for an ABI; computed once for each. */
export const layoutOn = (abi: Abi, type: CRecord): Layout => {
  const known = layouts.get(abi) ?? new WeakMap<CRecord, Layout>();
  layouts.set(abi, known);
  const layout = known.get(type) ?? computeLayout(type, abi);
  known.set(type, layout);
  return layout;
};

const computeLayout = (type: CRecord, abi: Abi): Layout => {
  let [end, size] = [0, 0];
  let alignment = type.aligned ?? 1;
  const fields = Object.entries(type.fields).map(([name, field]) => {
    const asked = type.alignedFields?.[name] ?? 1;
    const needed = Math.max(asked, type.packed === true ? 1 : alignmentOn(abi, field));
    const offset = type.kind === 'union' ? 0 : alignUp(end, needed);
    alignment = Math.max(alignment, needed);
    end = offset + sizeOn(abi, field);
    size = Math.max(size, end);
    return { name, offset, type: field };
  });
  return { size: alignUp(size, alignment), alignment, fields };
};

/** The next multiple of an alignment, in bytes. */
export const alignUp = (offset: number, alignment: number): number => Math.ceil(offset / alignment) * alignment;

/** Size of a scalar in bytes. */
export const scalarBytes = (name: ScalarName | 'long', abi: Abi): number => {
  switch (name) {
    case 'u8':
      return 1;
    case 'u16':
      return 2;
    case 'u32':
    case 's32':
      return 4;
    case 'u64':
      return 8;
    case 'pointer':
    case 'long':
      return abi.pointerBytes;
  }
};

/** `_Alignof` in bytes, as a member of a struct has it. */
export const alignmentOn = (abi: Abi, type: CType): number => {
  switch (type.kind) {
    case 'scalar':
      return Math.max(type.aligned ?? 1, Math.min(scalarBytes(type.scalar, abi), abi.maxAlignment));
    case 'array':
      return Math.max(type.aligned ?? 1, alignmentOn(abi, type.element));
    case 'struct':
    case 'union':
      return layoutOn(abi, type).alignment;
  }
};

/** `sizeof` in bytes; a flexible tail counts nothing. */
export const sizeOn = (abi: Abi, type: CType): number => {
  switch (type.kind) {
    case 'scalar':
      return scalarBytes(type.scalar, abi);
    case 'array':
      return type.count === 'flexible' ? 0 : type.count * sizeOn(abi, type.element);
    case 'struct':
    case 'union':
      return layoutOn(abi, type).size;
  }
};

/** Bytes of a struct that no field takes. */
export interface Hole {
  readonly offset: number;
  readonly size: number;
  /** The field behind it; absent for the padding at the end. */
  readonly before?: string;
}

const endsFlexibly = ({ fields }: Layout): boolean => {
  const tail = fields.at(-1)?.type;
  return tail?.kind === 'array' && tail.count === 'flexible';
};

/**
 * The holes of a struct, that of its end included. Those within its fields are theirs. Behind the start of a flexible tail
 * nothing is padding, even where the struct itself ends later. In a union only what lies behind its longest member is.
 */
export const holesOn = (abi: Abi, type: CRecord): readonly Hole[] => {
  const layout = layoutOn(abi, type);
  const holes: Hole[] = [];
  let end = 0;
  for (const { name, offset, type: field } of layout.fields) {
    if (offset > end) holes.push({ offset: end, size: offset - end, before: name });
    end = Math.max(end, offset + sizeOn(abi, field));
  }
  if (layout.size > end && !endsFlexibly(layout)) holes.push({ offset: end, size: layout.size - end });
  return holes;
};
