import {
  IOMMU_OPTION,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  IOMMU_OPTION_RLIMIT_MODE,
  iommuOption,
} from '../../uapi/iommufd.ts';
import { offsetOf } from '../../uapi/struct.ts';
import { field, refusing, request, rule } from '../clauses.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import { u64Bytes } from '../type1/bytes.ts';
import type { Process } from '../world/process.ts';
import { ERRNOS } from './framing.ts';
import { type Context, type Ioas, pins } from './state.ts';

const HEADER = 'include/uapi/linux/iommufd.h';
const RLIMIT = 'iommufd_option_rlimit_mode(), drivers/iommu/iommufd/ioas.c';
const HUGE = 'iommufd_ioas_option_huge_pages(), drivers/iommu/iommufd/ioas.c';

interface OptionCall {
  readonly context: Context;
  readonly caller: Process;
  readonly asked: Found<typeof iommuOption.fields>;
  readonly ioas: Ioas | undefined;
}

const isMode = ({ asked }: OptionCall): boolean => asked.option_id === IOMMU_OPTION_RLIMIT_MODE;
const isHuge = ({ asked }: OptionCall): boolean => asked.option_id === IOMMU_OPTION_HUGE_PAGES;
const sets = ({ asked }: OptionCall): boolean => asked.op === IOMMU_OPTION_OP_SET;

const MODE = rule<(context: Context) => boolean>({
  id: 'iommufd/option-rlimit-mode',
  level: 'must',
  says: 'RLIMIT_MODE is 0, locked memory counts for the user, until it is set to 1, for the process; it belongs to the context.',
  source: `${HEADER}: IOMMU_OPTION_RLIMIT_MODE: Value 0 (default) is user based accounting, 1 uses process based accounting`,
  rule: ({ perProcess }) => perProcess,
});

const LARGE_PAGES = rule<(ioas: Ioas) => boolean>({
  id: 'iommufd/option-huge-pages',
  level: 'must',
  says: 'HUGE_PAGES is 1 until it is set to 0; it belongs to the IO address space.',
  source: `${HEADER}: IOMMU_OPTION_HUGE_PAGES: Value 1 (default) allows contiguous pages to be combined`,
  rule: ({ largePages }) => largePages,
});

const current = (call: OptionCall): bigint => {
  const { context, ioas } = call;
  const on = isMode(call)
    ? context.law.of(MODE).rule(context)
    : ioas !== undefined && context.law.of(LARGE_PAGES).rule(ioas);
  return on ? 1n : 0n;
};

const OPTION = request<Context, OptionCall>({
  id: 'iommufd/option',
  level: 'must',
  says: 'OPTION with OP_SET gives an option the value val64, with OP_GET leaves it, and returns 0.',
  source: `${HEADER}: IOMMU_OPTION`,
  on: 'iommufd',
  request: IOMMU_OPTION,
  situation: (context, { caller, argument }) => {
    const asked = readStruct(argument, iommuOption);
    return { context, caller, asked, ioas: context.objects.get(asked.object_id) };
  },
  stages: ['arguments', 'object', 'value'],
  effect: (call) => {
    const { context, ioas, asked } = call;
    if (!sets(call)) return;
    if (isMode(call)) context.perProcess = asked.val64 === 1n;
    else if (ioas !== undefined) ioas.largePages = asked.val64 === 1n;
  },
});

const VALUE = field(OPTION, {
  id: 'iommufd/option-value',
  level: 'must',
  says: 'The field val64 returns the value of the option with OP_GET and stays as it was with OP_SET; nothing else of the argument changes.',
  source: `${HEADER}: IOMMU_OPTION: val64`,
  at: () => offsetOf(iommuOption, 'val64'),
  bytes: (call) => u64Bytes(sets(call) ? call.asked.val64 : current(call)),
});

const refuses = refusing(OPTION);

/** Whether it has pages not combined that may be until then. */
const disables = (call: OptionCall): boolean =>
  isHuge(call) && sets(call) && call.asked.val64 === 0n && call.ioas?.largePages === true;

const isInUse = ({ ioas }: OptionCall): boolean => ioas !== undefined && pins(ioas) && [...ioas.areas].length > 0;

const OBJECTIONS = [
  refuses({
    id: 'iommufd/option-unsupported',
    says: 'An option or an operation that is not known, and a reserved field that is not 0, are refused with EOPNOTSUPP.',
    source: `${ERRNOS}: EOPNOTSUPP; iommufd_option(), drivers/iommu/iommufd/main.c`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: (call) => {
      const { asked } = call;
      if (asked.__reserved !== 0 || !(isMode(call) || isHuge(call))) return true;
      const known = asked.op === IOMMU_OPTION_OP_SET || asked.op === IOMMU_OPTION_OP_GET;
      return !known && (isMode(call) || call.ioas !== undefined || 'perhaps');
    },
  }),
  refuses({
    id: 'iommufd/option-rlimit-object',
    says: 'RLIMIT_MODE with an object_id other than 0 is refused with EOPNOTSUPP.',
    source: `${HEADER}: IOMMU_OPTION_RLIMIT_MODE: Global option, object_id must be 0`,
    stage: 'arguments',
    errnos: ['EOPNOTSUPP'],
    when: (call) => isMode(call) && call.asked.object_id !== 0,
  }),
  refuses({
    id: 'iommufd/option-unknown-ioas',
    says: 'HUGE_PAGES with an id that no IO address space has, 0 included, is refused with ENOENT.',
    source: `${ERRNOS}: ENOENT; iommufd_ioas_option(), drivers/iommu/iommufd/ioas.c`,
    stage: 'arguments',
    errnos: ['ENOENT'],
    when: (call) => isHuge(call) && call.ioas === undefined,
  }),
  refuses({
    id: 'iommufd/option-rlimit-privilege',
    says: 'Setting RLIMIT_MODE without CAP_SYS_RESOURCE is refused with EPERM; anybody may ask for it.',
    source: `${HEADER}: IOMMU_OPTION_RLIMIT_MODE: The caller must have privilege to invoke this; ${RLIMIT}`,
    stage: 'object',
    errnos: ['EPERM'],
    when: (call) => isMode(call) && sets(call) && !call.caller.capable('sys_resource'),
  }),
  refuses({
    id: 'iommufd/option-rlimit-late',
    says: 'Setting RLIMIT_MODE once the context has an object is refused with EBUSY.',
    source: RLIMIT,
    stage: 'value',
    errnos: ['EBUSY'],
    when: (call) => isMode(call) && sets(call) && call.context.objects.size > 0,
  }),
  refuses({
    id: 'iommufd/option-bad-value',
    says: 'Setting an option to another value than 0 or 1 is refused with EINVAL.',
    source: `${RLIMIT}; ${HUGE}`,
    stage: 'value',
    errnos: ['EINVAL'],
    when: (call) => sets(call) && call.asked.val64 > 1n,
  }),
  refuses({
    id: 'iommufd/option-huge-pages-in-use',
    says: 'Setting HUGE_PAGES from 1 to 0 while the IO address space has a page table and anything is mapped is refused with EINVAL.',
    source:
      "iopt_disable_large_pages(), drivers/iommu/iommufd/io_pagetable.c: Won't do it if domains already have pages mapped in them",
    stage: 'value',
    errnos: ['EINVAL'],
    when: (call) => disables(call) && isInUse(call),
  }),
  refuses({
    id: 'iommufd/option-huge-pages-unaligned',
    says: 'Setting HUGE_PAGES to 0 while an area is mapped whose IOVA, length or memory is no whole page is refused with EADDRINUSE.',
    source: 'iopt_check_iova_alignment(), drivers/iommu/iommufd/io_pagetable.c',
    stage: 'value',
    errnos: ['EADDRINUSE'],
    when: (call) => {
      const { context, ioas } = call;
      if (ioas === undefined || !disables(call) || isInUse(call)) return false;
      const page = BigInt(context.platform.pageSizeBytes);
      return [...ioas.areas].some(
        ({ start, end, pages, from }) =>
          start % page !== 0n || (end - start) % page !== 0n || (pages.vaddr + from) % page !== 0n,
      );
    },
  }),
];

export const OPTION_CLAUSES = [OPTION, MODE, LARGE_PAGES, VALUE, ...OBJECTIONS];
