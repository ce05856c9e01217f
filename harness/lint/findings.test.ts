import { expect } from 'chai';
import { revisionNamed } from '../revisions/index.ts';
import { LINT_CLAUSES } from './clauses.ts';
import { lint } from './index.ts';
import { BASE, broken, findingsIn } from './testing.ts';

describe('lint: what it finds in a header', () => {
  const cases: readonly [what: string, text: string, clauses: readonly string[]][] = [
    ['nothing in a struct that is aligned by hand', 'struct s { __u32 a; __u32 pad; __u64 b; };', []],
    ['nothing in __aligned_u64 at its place', 'struct s { __u64 a; __aligned_u64 b; };', []],
    [
      'a hole before a 64-bit field',
      'struct s { __u32 a; __u64 b; };',
      ['aligned-64-bit', 'explicit-padding', 'same-layout'],
    ],
    ['a hole that all have alike', 'struct s { __u32 a; __aligned_u64 b; };', ['explicit-padding']],
    ['a hole between small fields', 'struct s { __u8 a; __u32 b; };', ['explicit-padding']],
    ['padding at the end', 'struct s { __u64 a; __u32 b; };', ['explicit-padding', 'same-layout']],
    [
      'a packed struct with a 64-bit field',
      'struct s { __u32 a; __u64 b; } __attribute__((packed));',
      ['aligned-64-bit'],
    ],
    ['a pointer', 'struct s { __u64 a; void *p; __u8 b[0]; };', ['same-layout', 'aligned-flexible-array']],
    ['long', 'struct s { unsigned long a; };', ['same-layout']],
    [
      'a struct that an inner one moves',
      'struct i { void *p; };\nstruct s { struct i i; __u32 b[2]; };',
      ['same-layout'],
    ],
    [
      '64-bit fields that the place of their struct moves',
      'struct i { __u64 a; } ; struct s { __u32 a; struct i i; } __packed;',
      ['aligned-64-bit'],
    ],
    [
      'the second element of an array',
      'struct i { __u64 a; __u32 b; } __packed; struct s { struct i all[2]; } __packed;',
      ['aligned-64-bit'],
    ],
    ['bytes of any length at 12', 'struct s { __u32 a[3]; __u8 data[]; };', ['aligned-flexible-array']],
    [
      'bytes of any length by macro',
      'struct s { __u32 a[3]; __DECLARE_FLEX_ARRAY(__u8, data); };',
      ['aligned-flexible-array'],
    ],
    ['nothing in words of any length at 12', 'struct s { __u32 a[3]; __u32 data[]; };', []],
    ['a hole in an anonymous struct', 'struct s { struct { __u8 a; __u16 b; }; };', ['explicit-padding']],
    ['the end of a union', 'union u { __u8 a[5]; __u32 b; };', ['explicit-padding']],
    ['nothing in another branch of #ifdef __KERNEL__', '#ifdef __KERNEL__\nstruct s { __u8 a; __u32 b; };\n#endif', []],
    [
      'an argument without argsz and flags',
      'struct s { __u64 a; };\n#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)',
      ['argsz-and-flags', 'room-to-grow'],
    ],
    [
      'an argument without flags',
      'struct s { __u32 argsz; __u32 a; };\n#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)',
      ['argsz-and-flags'],
    ],
    [
      'argsz that is too wide',
      'struct s { __u64 argsz; __u32 flags; __u32 reserved; };\n#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)',
      ['argsz-and-flags'],
    ],
    [
      'the argument that the comment names',
      'struct s { __u64 a; };\nstruct t { __u32 argsz; __u32 flags; };\n/* VFIO_NEW - _IO(VFIO_TYPE, VFIO_BASE + 40,\n *   struct s) */\n#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)',
      ['argsz-and-flags', 'room-to-grow'],
    ],
    [
      'nothing in an IOMMUFD argument that begins with its size',
      'struct s { __u32 size; __u32 id; };\n#define IOMMU_NEW _IO(IOMMUFD_TYPE, 0xf0)',
      [],
    ],
    [
      'an IOMMUFD argument without a size',
      'struct s { __u32 id; __u32 flags; };\n#define IOMMU_NEW _IO(IOMMUFD_TYPE, 0xf0)',
      ['argsz-and-flags'],
    ],
    [
      "another subsystem's argument without room",
      "struct s { __u32 a; };\n#define FOO_NEW _IOW('F', 1, struct s)",
      ['room-to-grow'],
    ],
    ['nothing in a request without an argument', '#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)', []],
    ['a number that is taken', '#define VFIO_DEVICE_NEW _IO(VFIO_TYPE, VFIO_BASE + 9)', ['request-number-free']],
    ['nothing in a number that is taken on another file', '#define VFIO_GROUP_NEW _IO(VFIO_TYPE, VFIO_BASE + 9)', []],
    ["nothing in type1's number that sPAPR has too", '#define VFIO_IOMMU_NEW _IO(VFIO_TYPE, VFIO_BASE + 19)', []],
    [
      "the container's number that sPAPR has",
      '#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 19)',
      ['request-number-free'],
    ],
    [
      'a number that the file gives twice',
      '#define VFIO_A _IO(VFIO_TYPE, VFIO_BASE + 40)\n#define VFIO_B _IO(VFIO_TYPE, 140)',
      ['request-number-free'],
    ],
    ['a capability id that is taken', '#define VFIO_REGION_INFO_CAP_NEW 3', ['id-free']],
    ['a feature that is taken', '#define VFIO_DEVICE_FEATURE_NEW (0x8)', ['id-free']],
    ['nothing in values among fields', 'struct s {\n __u32 a;\n#define VFIO_DEVICE_FEATURE_NEW 1\n};', []],
    ["nothing in a number of the migration file's own", '#define VFIO_MIG_NEW _IO(VFIO_TYPE, VFIO_BASE + 12)', []],
    ['an extension that is taken', '#define VFIO_NEW_IOMMU 10', ['id-free']],
    [
      'nothing in flags and masks',
      '#define VFIO_DEVICE_FEATURE_NEW_FLAG 3\n#define VFIO_DEVICE_FEATURE_NEW_X (1 << 1)',
      [],
    ],
    [
      '_IOW in the comment, _IO in the code',
      '/**\n * VFIO_NEW - _IOW(VFIO_TYPE, VFIO_BASE + 40)\n */\n#define VFIO_NEW _IO(VFIO_TYPE, VFIO_BASE + 40)',
      ['comment-as-code'],
    ],
    [
      'nothing in requests that are there already',
      '/** VFIO_SET_IOMMU - _IOW(VFIO_TYPE, VFIO_BASE + 2, __s32) */\n#define VFIO_SET_IOMMU _IO(VFIO_TYPE, VFIO_BASE + 2)\n#define VFIO_EEH 5',
      [],
    ],
    [
      'numbers of enumerators',
      'enum { A = 9, B, };\n#define VFIO_DEVICE_NEW _IO(VFIO_TYPE, VFIO_BASE + B)',
      ['request-number-free'],
    ],
  ];
  for (const [what, text, clauses] of cases) {
    it(what, () => {
      expect(lint(text, 'a.h', BASE).unread).to.deep.equal([]);
      expect(broken(text)).to.deep.equal([...clauses].sort());
    });
  }

  it('says what it found, where', () => {
    const { findings } = lint('struct s {\n  __u32 a;\n  __u64 b;\n};\n', 'a.h', BASE);
    expect(findings.map(({ line, text }) => `${line}: ${text}`)).to.deep.equal([
      '3: struct s: b begins at 4 on i386, 8 elsewhere',
      '3: struct s: padding before b: 4 bytes on every architecture but i386',
      '3: struct s: the 64-bit b is at byte 4 on i386',
    ]);
  });

  it('holds numbers against the revision that it is given', () => {
    const text = '#define VFIO_DEVICE_NEW _IO(VFIO_TYPE, VFIO_BASE + 18)';
    expect(findingsIn(text)).to.deep.equal([]);
    expect(findingsIn(text, 'a.h', revisionNamed('linux-6.12'))).to.deep.equal([
      'request-number-free: VFIO_DEVICE_NEW: the number VFIO_BASE + 18 is taken by VFIO_DEVICE_BIND_IOMMUFD',
    ]);
  });

  it('has a sentence and a source for each clause, and an id of its own', () => {
    expect(new Set(LINT_CLAUSES.map(({ id }) => id)).size).to.equal(LINT_CLAUSES.length);
    for (const { id, says, source } of LINT_CLAUSES) {
      expect(id).to.match(/^lint\/[a-z0-9-]+$/);
      expect(says).to.match(/^[A-Z].*\.$/);
      expect(source).to.match(/\S/);
    }
  });
});
