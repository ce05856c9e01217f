/** What a header declares, as it was read: types and numbers are not looked up yet. */
import type { Token } from './lexer.ts';

interface Place {
  /** In the file that was given. */
  readonly line: number;
}

/** What a field's declaration names before its name. */
export type TypeName =
  | { readonly kind: 'words'; readonly text: string }
  | { readonly kind: 'tag'; readonly keyword: 'struct' | 'union'; readonly tag: string }
  | { readonly kind: 'record'; readonly record: RecordDeclaration };

/** A constant expression, as tokens. */
export type Expression = readonly Token[];

export interface Attributes {
  readonly packed: boolean;
  readonly aligned: readonly Expression[];
}

export interface FieldDeclaration extends Place, Attributes {
  /** Absent for an anonymous member. */
  readonly name?: string;
  readonly type: TypeName;
  readonly pointer: boolean;
  /** From the outermost dimension inwards; empty for `[]`. */
  readonly dimensions: readonly Expression[];
}

/** A struct or union with a body. */
export interface RecordDeclaration extends Place, Attributes {
  readonly keyword: 'struct' | 'union';
  readonly tag?: string;
  /** How messages call it: `struct s`, `the union in struct s`. */
  readonly label: string;
  /** Whether a patch adds or changes any of its lines; true for all of a header. */
  readonly changed: boolean;
  readonly fields: readonly FieldDeclaration[];
}

/** `#define NAME _IOW(TYPE, NUMBER, ...)`. */
export interface RequestDeclaration extends Place {
  readonly name: string;
  readonly macro: string;
  readonly changed: boolean;
  readonly type: Expression;
  readonly number: Expression;
  /** The struct that the macro names. */
  readonly argument?: string;
  /** The struct whose definition ends right before. */
  readonly behind?: string;
}

/** `#define NAME EXPRESSION`, or an enumerator. */
export interface ConstantDeclaration extends Place {
  readonly name: string;
  readonly changed: boolean;
  /** Whether it stands within the body of a struct. */
  readonly amongFields: boolean;
  readonly value: Expression;
  /** Of an enumerator without a value of its own: the one before it, if it is known. */
  readonly after?: { readonly name?: string };
}

/** `typedef TYPE NAME`. */
export interface TypedefDeclaration extends Place {
  readonly name: string;
  readonly field: FieldDeclaration;
}

/** What the reader cannot make sense of, and so cannot judge. */
export interface Unread extends Place {
  readonly text: string;
}

export interface Declarations {
  readonly records: readonly RecordDeclaration[];
  readonly requests: readonly RequestDeclaration[];
  readonly constants: readonly ConstantDeclaration[];
  readonly typedefs: readonly TypedefDeclaration[];
  readonly unread: readonly Unread[];
}
