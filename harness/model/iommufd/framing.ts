import { type Command, IOMMUFD_COMMANDS } from '../../uapi/iommufd-commands.ts';
import { iommuTestCmd, TEST_COMMAND, testOperation } from '../../uapi/iommufd-test.ts';
import { offsetOf, sizeOf } from '../../uapi/struct.ts';
import { type Objection, type Refusal, refusing, rule } from '../clauses.ts';
import type { IoctlCall, UserArgument } from '../world/kernel-file.ts';
import { newCompat } from './compat/state.ts';
import type { Context } from './state.ts';

/* What all commands have in common: a structure that begins with its own size, and may grow. */

/** Where the errnos stand that all commands have in common. */
export const ERRNOS = 'include/uapi/linux/iommufd.h: ioctls use a standard meaning for common errnos';
const FORMAT = 'include/uapi/linux/iommufd.h: DOC: General ioctl format';
const DISPATCH = 'iommufd_fops_ioctl(), drivers/iommu/iommufd/main.c';
const MAIN = 'drivers/iommu/iommufd/main.c';

export const OPENS = rule<(law: Context['law'], platform: Context['platform'], users: Context['users']) => Context>({
  id: 'iommufd/open',
  level: 'must',
  says: 'Opening /dev/iommu gives a context without objects, each opening one of its own.',
  source:
    'Documentation/userspace-api/iommufd.rst: IOMMUFD User API; iommufd_fops_open(), drivers/iommu/iommufd/main.c',
  rule: (law, platform, users) => ({
    law,
    platform,
    users,
    objects: new Map(),
    others: new Map(),
    spent: new Set(),
    charged: new Set(),
    unclear: undefined,
    perProcess: false,
    compat: newCompat(),
  }),
});

/** A request on /dev/iommu, before anything is known of it but its structure. */
export interface Framed {
  readonly command: Command | undefined;
  /** The size that it says it has; absent when that cannot be read. */
  readonly size: number | undefined;
  readonly argument: UserArgument;
}

/** The kernel has the mock device for tests. */
export const hasMock = ({ testModules }: Context['platform']): boolean => testModules.includes('iommufd_mock');

const byRequest = new Map(IOMMUFD_COMMANDS.map((command) => [command.request, command]));

export const framed = ({ platform }: Context, { request, argument }: IoctlCall): Framed => {
  const head = argument.read(0, 4);
  return {
    command: request === TEST_COMMAND.request && hasMock(platform) ? TEST_COMMAND : byRequest.get(request),
    size: head && new DataView(head.buffer, head.byteOffset).getUint32(0, true),
    argument,
  };
};

/** The request that a framed call makes: operations of the test command are requests of their own. */
export const requestOf = ({ platform }: Context, { request, argument }: IoctlCall): bigint => {
  if (request !== TEST_COMMAND.request || !hasMock(platform)) return request;
  const op = argument.read(offsetOf(iommuTestCmd, 'op'), 4);
  return op === undefined ? request : testOperation(new DataView(op.buffer, op.byteOffset).getUint32(0, true));
};

const STEP = 64;

/** What comes first between the end of the structure that is known and that of the one given: bytes that are not 0, or bytes that cannot be read. */
export const bytesBehind = (argument: UserArgument, known: number, size: number): 'zero' | 'other' | 'unreadable' => {
  for (let at = known; at < size; at += STEP) {
    const bytes = argument.read(at, Math.min(STEP, size - at));
    if (bytes === undefined) return 'unreadable';
    if (bytes.some((byte) => byte !== 0)) return 'other';
  }
  return 'zero';
};

const tailOf = ({ command, size = 0, argument }: Framed): ReturnType<typeof bytesBehind> =>
  command === undefined ? 'zero' : bytesBehind(argument, sizeOf(command.type), size);

const isShort = ({ command, size }: Framed): boolean =>
  command !== undefined && size !== undefined && size < command.least;

const objection = (stated: Omit<Refusal<Framed>, 'stage'>): Objection<Framed> =>
  refusing<Framed>(OPENS)({ stage: 'dispatch', ...stated });

/** Stage by stage. */
export const FRAMING: readonly (readonly Objection<Framed>[])[] = [
  [
    objection({
      id: 'iommufd/unknown-command',
      says: 'A request that is no command is refused with ENOTTY, also when it has the number of one and another size or direction.',
      source: `${FORMAT}: ENOTTY: The IOCTL number itself is not supported at all`,
      errnos: ['ENOTTY'],
      when: ({ command, size }) => command === undefined && size !== undefined,
    }),
    objection({
      id: 'iommufd/unreadable-size',
      says: 'An argument whose first word, the size, cannot be read is refused with EFAULT.',
      source: DISPATCH,
      errnos: ['EFAULT'],
      when: ({ command, size }) => command !== undefined && size === undefined,
    }),
  ],
  [
    objection({
      id: 'iommufd/short-struct',
      says: 'A size that does not reach to the end of the structure as it was at first is refused with EINVAL, 0 included.',
      source: `${DISPATCH}: min_size`,
      errnos: ['EINVAL'],
      when: isShort,
    }),
  ],
  [
    objection({
      id: 'iommufd/unknown-tail',
      says: 'A larger structure than the kernel knows is taken when all that is behind the known part is 0, and refused with E2BIG otherwise.',
      source: `${FORMAT}: The kernel checks that any structure space beyond what it understands is 0`,
      errnos: ['E2BIG'],
      when: (call) => call.command !== undefined && tailOf(call) === 'other',
    }),
    objection({
      id: 'iommufd/unreadable-struct',
      says: 'A structure that cannot be read up to the size that it says it has is refused with EFAULT.',
      source: `copy_struct_from_user(), ${MAIN}: iommufd_fops_ioctl()`,
      errnos: ['EFAULT'],
      when: (call) => {
        const { command, size = 0, argument } = call;
        if (command === undefined) return false;
        return tailOf(call) === 'unreadable' || argument.read(0, Math.min(size, sizeOf(command.type))) === undefined;
      },
    }),
  ],
];

export const FRAMING_CLAUSES = [OPENS, ...FRAMING.flat()];
