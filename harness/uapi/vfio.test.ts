import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { execa } from 'execa';
import { layoutOf, type Struct, sizeOf } from './struct.ts';
import * as vfio from './vfio.ts';
import * as logging from './vfio-logging.ts';

type AnyStruct = Parameters<typeof layoutOf>[0];

const isStruct = (value: unknown): value is AnyStruct =>
  typeof value === 'object' && value !== null && (value as Struct<unknown>).kind === 'struct';

/** A C program that compiles only if every constant and every struct here is what the system's header says. */
const checksInC = (): string => {
  const checks = Object.entries({ ...vfio, ...logging }).flatMap(([name, value]) => {
    if (!isStruct(value)) return [`_Static_assert(${name} == ${value}, "${name}");`];
    const tag = `struct ${value.name}`;
    const offsets = layoutOf(value).fields.map(
      (field) => `_Static_assert(offsetof(${tag}, ${field.name}) == ${field.offset}, "${tag} ${field.name}");`,
    );
    return [`_Static_assert(sizeof(${tag}) == ${sizeOf(value)}, "${tag}");`, ...offsets];
  });
  return ['#include <stddef.h>', '#include <linux/vfio.h>', ...checks, ''].join('\n');
};

describe('uapi/vfio', () => {
  it('agrees with the system header on every constant, size and offset', async function () {
    const folder = await mkdtemp(join(tmpdir(), 'vfio-conform-uapi-'));
    try {
      const source = join(folder, 'uapi.c');
      await writeFile(source, '#include <linux/vfio.h>\n');
      const usable = await execa('cc', ['-fsyntax-only', source], { reject: false });
      if (usable.failed) {
        console.log('      skipped: no C compiler with <linux/vfio.h> (Debian: gcc, linux-libc-dev)');
        this.skip();
      }
      await writeFile(source, checksInC());
      const compiled = await execa('cc', ['-std=c11', '-fsyntax-only', '-fmax-errors=5', source], { reject: false });
      expect(compiled.stderr).to.equal('');
      expect(compiled.exitCode).to.equal(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('knows enough of the header for the check above to mean something', () => {
    const structs = Object.values(vfio).filter(isStruct);
    expect(structs).to.have.length.of.at.least(12);
    expect(checksInC().match(/_Static_assert/g)).to.have.length.of.at.least(100);
  });
});
