import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { revisionNamed } from '../revisions/index.ts';
import { takenNumbers } from '../spec/revision.ts';
import { UsageTrouble } from '../trouble.ts';
import { LINT_CLAUSES } from './clauses.ts';
import { lint } from './index.ts';

const BASE = revisionNamed('linux-6.1');

/** `clause: text` of each finding, the room left out. */
const findingsIn = (text: string, name = 'a.h', revision = BASE): readonly string[] =>
  lint(text, name, revision).findings.map(({ clause, text: said }) => `${clause.id.replace('lint/', '')}: ${said}`);

/** The clauses that a header breaks, in alphabetical order. */
const broken = (text: string): readonly string[] => {
  const { findings, unread } = lint(text, 'a.h', BASE);
  expect(unread).to.deep.equal([]);
  return [...new Set(findings.map(({ clause }) => clause.id.replace('lint/', '')))].sort();
};

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
    it(what, () => expect(broken(text)).to.deep.equal([...clauses].sort()));
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

/** A patch of one hunk to a header. */
const patch = (lines: readonly string[], path = 'include/uapi/linux/vfio.h'): string => {
  const [before, after] = ['+', '-'].map((sign) => lines.filter((line) => !line.startsWith(sign)).length);
  return [`--- a/${path}`, `+++ b/${path}`, `@@ -1,${before} +1,${after} @@`, ...lines, ''].join('\n');
};

describe('lint: patches', () => {
  const cases: readonly [what: string, lines: readonly string[], findings: readonly string[]][] = [
    [
      'judge what is added',
      ['+struct s {', '+ __u8 a;', '+ __u32 b;', '+};'],
      ['6: struct s: padding before b: 3 bytes on every architecture'],
    ],
    ['pass over what is there', [' struct s {', '  __u8 a;', '  __u32 b;', ' };', '+#define X 1'], []],
    [
      'judge a struct that gets a field',
      [' struct s {', '+ __u8 a;', '  __u32 b;', ' };'],
      ['6: struct s: padding before b: 3 bytes on every architecture'],
    ],
    [
      'judge a struct that loses a field',
      [' struct s {', '  __u8 a;', '- __u8 pad[3];', '  __u32 b;', ' };'],
      ['7: struct s: padding before b: 3 bytes on every architecture'],
    ],
    [
      'know what is there',
      [' struct i {', '  __u64 a;', ' };', '+struct s {', '+ __u32 a;', '+ __u32 b;', '+ struct i i;', '+};'],
      [],
    ],
    [
      'know a comment that begins before them',
      [' * int a; struct s { __u8 a; __u32 b; };', '+ * long b;', ' */', ' #define X 1'],
      [],
    ],
  ];
  for (const [what, lines, findings] of cases) {
    it(what, () => {
      const { findings: found, unread } = lint(patch(lines), 'a.patch', BASE);
      expect(found.map(({ line, text }) => `${line}: ${text}`)).to.deep.equal(findings);
      expect(unread).to.deep.equal([]);
    });
  }

  it('pass over other files', () => {
    expect(findingsIn(patch(['+struct s { __u8 a; __u32 b; };'], 'include/linux/vfio.h'), 'a.patch')).to.deep.equal([]);
  });

  it('say when they show a part of a struct only', () => {
    const parts = [
      ['  __u32 a;', '+ __u32 b;', ' };'],
      [' struct s {', '  __u32 a;', '+ __u32 b;'],
    ];
    for (const lines of parts) {
      const { unread } = lint(patch(lines), 'a.patch', BASE);
      expect(unread.map(({ text }) => text).join()).to.match(/^.*show.*git diff -W, or lint the whole header.*$/);
    }
  });

  const wrong: readonly [what: string, name: string, text: string, says: string][] = [
    ['a file that should be a patch', 'a.patch', 'hello\n', 'a.patch holds no patch'],
    [
      'a hunk that ends early',
      'a.diff',
      '--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a',
      'a.diff:5: the hunk of line 3 ends early',
    ],
    ['no hunk', 'a.diff', '--- a/x\n+++ b/x\n', 'a.diff holds no hunk'],
    [
      'an encoded mail',
      'a.mbox',
      'Content-Transfer-Encoding: base64\n--- a/x\n+++ b/x\n',
      'a.mbox:1: the mail is encoded',
    ],
    ['bytes', 'a.h', 'a\0b', 'a.h is no text'],
    ['a line without an end', 'a.h', 'a'.repeat(30_000), 'a.h is too large'],
  ];
  for (const [what, name, text, says] of wrong) {
    it(`refuse ${what}`, () => expect(() => lint(text, name, BASE)).to.throw(UsageTrouble, says));
  }
});

const FIXTURES = fileURLToPath(new URL('../../fixtures/patches', import.meta.url));

/** What is found in the headers of each series. */
const SERIES: Readonly<Record<string, readonly string[]>> = {
  'get-dirty-bitmap/posted': [
    'comment-as-code: VFIO_IOMMU_GET_DIRTY_BITMAP: _IOW in the comment, _IO in the code (line 113)',
    'request-number-free: VFIO_IOMMU_GET_DIRTY_BITMAP: the number VFIO_BASE + 17 is taken by VFIO_IOMMU_DIRTY_PAGES',
    'argsz-and-flags: VFIO_IOMMU_GET_DIRTY_BITMAP: struct vfio_iommu_get_dirty_bitmap begins with start_addr and page_nr, not with argsz and flags',
    'room-to-grow: VFIO_IOMMU_GET_DIRTY_BITMAP: struct vfio_iommu_get_dirty_bitmap has no size, flags, version or reserved field',
  ],
  // Its number was free when it was reviewed, and is what makes it what it is.
  'get-dirty-bitmap/reviewed': [
    'request-number-free: VFIO_IOMMU_GET_DIRTY_BITMAP: the number VFIO_BASE + 17 is taken by VFIO_IOMMU_DIRTY_PAGES',
  ],
  'nesting-cap/posted': [
    'id-free: VFIO_IOMMU_TYPE1_INFO_CAP_NESTING: the type1-info capability 3 is taken by VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL',
    'aligned-flexible-array: struct vfio_iommu_type1_info_cap_nesting: info[] begins at byte 12 on every architecture',
  ],
  'nesting-cap/reviewed': [],
  'change-dma-owner/posted': [],
  'change-dma-owner/reviewed': [],
  'iova-bitmap/posted': [],
  'iova-bitmap/reviewed': [],
  'mediate-ops/posted': [],
  'mediate-ops/reviewed': [],
};

describe('lint: the series', () => {
  for (const [series, expected] of Object.entries(SERIES)) {
    it(series, async () => {
      const found: string[] = [];
      for (const name of await readdir(join(FIXTURES, series))) {
        const text = await readFile(join(FIXTURES, series, name), 'utf8');
        expect(lint(text, name, BASE).unread).to.deep.equal([]);
        found.push(...findingsIn(text, name));
      }
      expect(found).to.deep.equal(expected);
    });
  }
});

describe('lint: <linux/vfio.h> itself', () => {
  let header = '';

  before(async function () {
    header = await readFile('/usr/include/linux/vfio.h', 'utf8').catch(() => '');
    // Another kernel's header has other numbers and other structs.
    if (/VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT 8/.test(header) && !header.includes('IOMMUFD')) return;
    console.log('      skipped: the header of Linux 6.1 is not here (Debian 12: linux-libc-dev)');
    this.skip();
  });

  it('has the numbers that are held to be taken, and no others', () => {
    const requests = [...header.matchAll(/^#define\s+(\w+)\s+_IO\(VFIO_TYPE, VFIO_BASE \+ (\d+)\)/gm)];
    const found = Object.fromEntries(requests.map(([, name, number]) => [name, 100 + Number(number)]));
    const taken = takenNumbers(BASE);
    const ids = Object.fromEntries(
      taken.filter(({ space }) => / |extension/.test(space)).map((one) => [one.name, one.number]),
    );
    expect(
      Object.fromEntries(taken.filter(({ name }) => !(name in ids)).map((one) => [one.name, one.number])),
    ).to.deep.equal(found);
    for (const [name, number] of Object.entries(ids)) {
      expect(header).to.match(new RegExp(`^#define\\s+${name}\\s+\\(?${number}\\)?\\s`, 'm'));
    }
  });

  it('shows what 6.1 is known for, and nothing that is not so', () => {
    const structs = /struct (\w+)/;
    const found = new Map<string, string[]>();
    for (const { clause, text } of lint(header, 'vfio.h', BASE).findings) {
      const tag = structs.exec(text)?.[1] ?? text;
      found.set(tag, [...(found.get(tag) ?? []), clause.id.replace('lint/', '')]);
    }
    expect(lint(header, 'vfio.h', BASE).unread).to.deep.equal([]);
    expect(Object.fromEntries(found)).to.deep.equal({
      vfio_irq_set: ['aligned-flexible-array'],
      // These three were given a word of padding in 6.6.
      vfio_device_gfx_plane_info: ['same-layout', 'explicit-padding'],
      vfio_device_ioeventfd: ['same-layout', 'explicit-padding'],
      vfio_iommu_type1_info: ['same-layout', 'explicit-padding'],
      vfio_iommu_type1_info_cap_migration: ['same-layout', 'explicit-padding', 'aligned-64-bit', 'aligned-64-bit'],
      vfio_bitmap: ['explicit-padding', 'same-layout'],
      vfio_iommu_type1_dirty_bitmap_get: ['same-layout'],
      vfio_eeh_pe_op: ['same-layout', 'explicit-padding', 'aligned-64-bit'],
    });
  });
});
