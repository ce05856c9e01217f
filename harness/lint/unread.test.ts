import { expect } from 'chai';
import { lint } from './index.ts';
import { BASE, broken, findingsIn } from './testing.ts';

describe('lint: what it does not judge', () => {
  const cases: readonly [what: string, text: string, says: string][] = [
    [
      'a bit-field',
      'struct s {\n __u32 a : 4;\n};',
      '2: the bit-field a: compilers choose where the bits of bit-fields lie',
    ],
    [
      'an anonymous bit-field',
      'struct s { __u32 : 4; };',
      '1: a bit-field: compilers choose where the bits of bit-fields lie',
    ],
    ['a type that is not known', 'struct s { foo_t a; };', '1: struct s: the type foo_t is not known'],
    [
      'a struct that is not known',
      'struct s { struct t a; };',
      '1: struct s: struct t is not known: neither the file nor the revision has it',
    ],
    [
      'a length that is not known',
      'struct s { __u8 a[N]; };',
      '1: struct s: the length "N" is not known, or out of bounds',
    ],
    [
      'a length that is negative',
      'struct s { __u8 a[-1]; };',
      '1: struct s: the length "- 1" is not known, or out of bounds',
    ],
    ['a struct that contains itself', 'struct s { struct s a; };', '1: struct s: struct s contains itself'],
    ['two fields of one name', 'struct s { __u8 a; __u8 a; };', '1: struct s: two fields are called a'],
    [
      'a flexible array in the middle',
      'struct s { __u8 a[]; __u8 b; };',
      '1: struct s: a is an array without a length that is not the last field',
    ],
    [
      'fields under a condition',
      'struct s {\n#ifdef X\n __u8 a;\n#endif\n};',
      '2: #ifdef among its fields: the layout depends on it',
    ],
    [
      'a pointer to a function',
      'struct s { int (*f)(void); };',
      '1: a pointer to a function, or another declaration in brackets, is not read',
    ],
    [
      'an attribute that is not known',
      'struct s { __u8 a __attribute__((vector_size(8))); };',
      '1: the attribute vector_size is not known',
    ],
    [
      'an alignment that is none',
      'struct s { __u8 a; } __aligned(3);',
      '1: struct s: the alignment 3 is no power of two',
    ],
    [
      'a number that is not known',
      '#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + N)',
      '1: VFIO_NEW: its number is not known',
    ],
    ['a struct without an end', 'struct s { __u8 a;', '1: struct s has no end'],
  ];
  for (const [what, text, says] of cases) {
    it(what, () => {
      const { unread } = lint(text, 'a.h', BASE);
      expect(unread.map((one) => `${one.line}: ${one.text}`)).to.deep.equal([says]);
    });
  }

  it('goes on behind it', () => {
    expect(findingsIn('struct s { __u32 a : 4; };\nstruct t { __u8 a; __u32 b; };')).to.have.length(1);
  });

  it('takes structs that the revision has', () => {
    expect(broken('struct s { struct vfio_info_cap_header header; __u32 a; __u32 b; };')).to.deep.equal([]);
  });
});
