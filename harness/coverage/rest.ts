import { z } from 'zod';
import { parseYaml } from '../yaml.ts';

const lineRange = z.string().regex(/^\d{1,6}(-\d{1,6})?$/, 'expected a line or lines: 120 or 120-131');

const schema = z.strictObject({
  rest: z.array(
    z.strictObject({
      /** In the kernel's tree. */
      file: z.string().min(1),
      function: z.string().min(1),
      /** All of it unless these are named. */
      lines: z.array(lineRange).min(1).optional(),
      /** One line. */
      why: z.string().min(1).max(300),
    }),
  ),
});

/** Why something of a kernel's code is not reached. */
export type Explanation = z.infer<typeof schema>['rest'][number];

/** Reads a file of fixtures/unreached. Throws UsageTrouble with line and column. */
export const parseRest = (text: string, path: string): readonly Explanation[] => parseYaml(schema, text, path).rest;

export const isAbout = ({ lines }: Explanation, line: number): boolean =>
  lines === undefined ||
  lines.some((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return line >= first && line <= last;
  });
