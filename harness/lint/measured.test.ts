import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { ABIS } from '../uapi/abis.ts';
import type { CRecord } from '../uapi/layout.ts';
import { COMPILERS, complaints, layoutAssertions, TYPEDEFS, whyNot } from '../uapi/testing.ts';
import { lookupIn } from './evaluate.ts';
import { lex } from './lexer.ts';
import { partsOf } from './patch.ts';
import { readHeader } from './read-header.ts';
import { createResolver } from './resolve.ts';

/** What the headers below name besides what the tests of layouts name. */
const MORE_TYPEDEFS = [
  'typedef signed char __s8; typedef signed short __s16; typedef signed long long __s64;',
  'typedef __u64 __attribute__((aligned(8))) __aligned_u64;',
  'typedef __u16 __le16; typedef __u32 __be32;',
];

/** Everything that the reader of headers takes. */
const ALL_FORMS = `
#define COUNT (1 << 2)
#define KIND_BASE 0x10
enum kinds { KIND_A = KIND_BASE, KIND_B, KIND_C /* 18 */, };
typedef __u64 word_t;
typedef __u32 word4_t __attribute__((aligned(8)));
typedef struct { char c; word_t w; } pair_t;
struct plain { __u8 a; __u16 b; __s32 c; __u64 d; __aligned_u64 e; void *p; long l; unsigned long long q; };
struct packed_by_word { __u8 a; __u64 b; word4_t w; } __attribute__((packed));
struct packed_and_aligned { __u8 a; __u64 b; } __attribute__((packed, aligned(4)));
struct __attribute__((aligned(16))) early { __u8 a; };
struct fields { __u8 a; __u8 b __attribute__((aligned(8))); __u32 c, d[3], *e; const char * const names[2]; };
struct nested { __u8 a; struct { __u8 b; __u64 c; } inner; union { __u8 d[5]; __u32 e; }; struct { __u16 x; }; };
union either { struct plain plain; __u8 bytes[KIND_C]; enum kinds kind; };
#define LENGTH ('c' - 96)
struct arrays { __u8 a[COUNT * 2 + 1][3]; pair_t pairs[LENGTH]; struct early *none; };
struct tail { __u32 n; __le16 h; __u8 data[]; };
struct tail_of_structs { __u8 n; struct plain all[]; };
`;

const recordsOf = (text: string): readonly CRecord[] =>
  partsOf(text, 'a.h').flatMap(({ lines }) => {
    const declarations = readHeader(lex(lines).tokens, false);
    expect(declarations.unread).to.deep.equal([]);
    const lookup = lookupIn(declarations.constants, () => undefined);
    const { record } = createResolver({ declarations, lookup, elsewhere: () => undefined });
    return declarations.records.filter(({ tag }) => tag !== undefined).map((one) => record(one).type);
  });

describe('structs as they are read from headers', () => {
  const headers: Readonly<Record<string, () => Promise<string>>> = {
    'a header of all forms': async () => ALL_FORMS,
    '<linux/vfio.h>': async () => readFile('/usr/include/linux/vfio.h', 'utf8'),
  };

  for (const [name, read] of Object.entries(headers)) {
    describe(name, () => {
      let text = '';

      before(async function () {
        text = await read().catch(() => '');
        if (text !== '') return;
        console.log(`      skipped: ${name} is not here (Debian: linux-libc-dev)`);
        this.skip();
      });

      for (const compiler of COMPILERS) {
        it(`lie as ${compiler.slice(1).join(' ')} lays them out (${compiler[0]})`, async function () {
          const missing = await whyNot(compiler);
          if (missing !== undefined) {
            console.log(`      skipped: ${missing}`);
            this.skip();
          }
          const abi = ABIS.find((one) => one.name === compiler[0]);
          if (abi === undefined) throw new Error(`no ABI ${compiler[0]}`);
          const records = recordsOf(text);
          expect(records).to.have.length.of.at.least(10);
          const own = text.replace(/^#include.*$/gm, '');
          const program = [...TYPEDEFS, ...MORE_TYPEDEFS, own, ...layoutAssertions(records, abi), ''].join('\n');
          expect(await complaints(compiler, program)).to.equal('');
        });
      }
    });
  }
});
