import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import fc from 'fast-check';
import { LINUX_6_1 } from '../revisions/linux-6.1.ts';
import { UsageTrouble } from '../trouble.ts';
import { type LintResult, lint } from './index.ts';

const PATCH = readFileSync(
  fileURLToPath(
    new URL(
      '../../fixtures/patches/nesting-cap/posted/0001-vfio-type1-the-nesting-capability-as-posted.patch',
      import.meta.url,
    ),
  ),
  'utf8',
);

/** Words that the reader knows, and some that it does not. */
const WORDS = [
  ...[
    'struct',
    'union',
    'enum',
    'typedef',
    'const',
    'unsigned',
    'long',
    '__u8',
    '__u32',
    '__u64',
    '__aligned_u64',
    'void',
  ],
  ...[
    '{',
    '}',
    '(',
    ')',
    '[',
    ']',
    ';',
    ',',
    '*',
    ':',
    '=',
    '+',
    '<<',
    '-',
    '~',
    '/',
    '"',
    "'",
    '\\',
    '\n',
    '\n',
    '/*',
    '*/',
    '//',
  ],
  ...['a', 'b', 's', 't', '__proto__', 'constructor', '0', '1', '8', '0x10', '99999999999999999999', "';'"],
  ...['__attribute__((packed))', '__packed', '__attribute__((', '__aligned(8)', 'aligned', '__DECLARE_FLEX_ARRAY('],
  ...[
    '\n#define',
    '\n#if 0',
    '\n#else',
    '\n#endif',
    '\n#ifdef __KERNEL__',
    '_IO(',
    '_IOW(VFIO_TYPE,',
    'VFIO_BASE + 17)',
  ],
  ...[
    'VFIO_NEW',
    'VFIO_REGION_INFO_CAP_A',
    'VFIO_NEW - _IOW(',
    'struct vfio_bitmap',
    'extern "C" {',
    '\0',
    '\x1b',
    'é',
  ],
  ...[
    'struct s {',
    '__u32 a;',
    '};',
    '__u8 d[];',
    'struct { __u64 a; } b;',
    '\n+',
    '\n ',
    '\n@@ -1,2 +1,3 @@',
    '\n--- a/x\n+++ b/uapi/x.h',
  ],
];

const soup = fc.array(fc.constantFrom(...WORDS), { maxLength: 200 }).map((words) => words.join(' '));

/** A text with some of its characters put elsewhere, doubled or left out. */
const damaged = (text: string) =>
  fc
    .array(fc.record({ from: fc.nat(text.length), length: fc.nat(60), to: fc.nat(text.length) }), { maxLength: 6 })
    .map((cuts) =>
      cuts.reduce((whole, { from, length, to }) => {
        const piece = whole.slice(from, from + length);
        const rest = whole.slice(0, from) + whole.slice(from + length);
        return to % 3 === 0 ? rest : rest.slice(0, to) + piece + rest.slice(to) + (to % 3 === 1 ? piece : '');
      }, text),
    );

/** What lint makes of a text; `undefined` when it refuses it. Anything but a refusal in one line fails. */
const judged = (text: string, name: string): LintResult | undefined => {
  try {
    return lint(text, name, LINUX_6_1);
  } catch (trouble) {
    expect(trouble).to.be.instanceOf(UsageTrouble);
    expect((trouble as UsageTrouble).message).not.to.include('\n');
    return undefined;
  }
};

/** Whatever is said is said in one line, of a line of the file. */
const checkSaid = (text: string, name: string): void => {
  const lines = text.split('\n').length;
  const result = judged(text, name);
  for (const { line, text: said } of [...(result?.findings ?? []), ...(result?.unread ?? [])]) {
    expect(line).to.be.within(1, lines);
    expect(said).to.match(/^[^\p{Cc}]{1,2000}$/u);
    expect(said).not.to.match(/NaN|undefined|Infinity/);
  }
};

describe('lint: any text', () => {
  const texts = fc.oneof(
    soup,
    damaged(PATCH),
    fc.string({ maxLength: 300 }),
    soup.map((text) => `--- a/x\n+++ b/uapi/x.h\n@@ -0,0 +1,2 @@\n+${text}\n+${text}`),
  );

  it('is judged or refused in lines that say where', () => {
    fc.assert(
      fc.property(texts, fc.constantFrom('a.h', 'a.patch', 'a.mbox'), (text, name) => checkSaid(text, name)),
      { numRuns: 2000 },
    );
  });

  it('of fields in their natural order is told as it lies', () => {
    const fields = fc.array(fc.constantFrom('__u8', '__u16', '__u32', '__aligned_u64'), {
      minLength: 1,
      maxLength: 12,
    });
    fc.assert(
      fc.property(fields, (types) => {
        const text = `struct s { ${types.map((type, index) => `${type} f${index};`).join(' ')} };`;
        // Without a pointer, or a 64-bit number that is aligned as it likes, all architectures are one.
        const bytes = types.map((type) => ({ __u8: 1, __u16: 2, __u32: 4, __aligned_u64: 8 })[type] ?? 0);
        let [end, holes] = [0, 0];
        for (const size of [...bytes, Math.max(...bytes)]) {
          const start = Math.ceil(end / size) * size;
          if (start > end) holes++;
          end = start + size;
        }
        const found = lint(text, 'a.h', LINUX_6_1).findings.map(({ clause }) => clause.id);
        expect(found).to.deep.equal(Array.from({ length: holes }, () => 'lint/explicit-padding'));
      }),
    );
  });

  // As large as may be, of what makes a careless reader go back again and again.
  const LARGE: Readonly<Record<string, string>> = {
    'brackets that never close': '(',
    'bodies that never close': '{',
    'structs that never close': 'struct a {',
    'structs within structs': 'struct { ',
    'fields that never end': '__u32 ',
    'fields of nothing': '__u8 a;\n',
    'pointers to pointers': '*',
    'comments within comments': '/* ',
    'comments that speak of requests': '/* A - _IO(',
    'words and stars before a request': 'A * ',
    'conditions within conditions': '#if A\n',
    'names of names': '#define A A\n',
    'long sums': '1 + ',
    quotes: '"',
    backslashes: '\\\n',
    'typedefs of typedefs': 'typedef a a;\n',
    enumerators: 'enum { A, B };\n',
    dimensions: '[1]',
    attributes: '__packed ',
    'requests of one number': '#define VFIO_A _IO(VFIO_TYPE, VFIO_BASE + 1)\n',
  };
  for (const [what, piece] of Object.entries(LARGE)) {
    it(`comes to an end: ${what}`, () => {
      // Within the bounds, or it would be refused before it is read.
      const line = piece.repeat(Math.floor(19_000 / piece.length));
      const most = piece.includes('\n') ? piece.repeat(90_000) : `${line}\n`.repeat(75);
      expect(judged(`struct s { ${line}`, 'a.h')).not.to.equal(undefined);
      checkSaid(`struct s { ${most}`, 'a.h');
      checkSaid(most, 'a.h');
      checkSaid(`#define A ${line}\n#define VFIO_A _IO(VFIO_TYPE, A)\nstruct s { __u8 a[A]; };`, 'a.h');
    });
  }

  it('that names many things after each other comes to an end', () => {
    const chain = (make: (index: number) => string) =>
      Array.from({ length: 20_000 }, (_, index) => make(index)).join('\n');
    checkSaid(`${chain((i) => `#define N${i} (N${i + 1} + N${i + 1})`)}\n#define VFIO_A _IO(VFIO_TYPE, N0)`, 'a.h');
    checkSaid(`enum { ${chain((i) => `E${i},`)} };\n#define VFIO_A _IO(VFIO_TYPE, E19999)`, 'a.h');
    checkSaid(
      chain((i) => `typedef t${i + 1} t${i};`),
      'a.h',
    );
    checkSaid(Array.from({ length: 1500 }, (_, i) => `struct s${i} { struct s${i + 1} a[2], b; };`).join('\n'), 'a.h');
    checkSaid(
      Array.from({ length: 1500 }, (_, i) => `struct s${i} { __u64 a[4096][4096]; struct s${i - 1} b; };`).join('\n'),
      'a.h',
    );
  });
});
