import { VFIO_API_VERSION, VFIO_CHECK_EXTENSION, VFIO_GET_API_VERSION, VFIO_SET_IOMMU } from '../../uapi/vfio.ts';
import { type Objection, objection, request, rule } from '../clauses.ts';
import type { IoctlCall } from '../world/kernel-file.ts';
import { EXTENSION_CLAUSES, type Extension, extensionOf } from './extensions.ts';
import type { ContainerFile } from './files.ts';
import { ENTRIES_AT_SET_IOMMU } from './limits.ts';
import { rangesFor } from './membership.ts';
import { type Container, hasIommu, newIommu, type Vfio } from './state.ts';

const HEADER = 'include/uapi/linux/vfio.h';
const IOCTL = 'vfio_fops_unl_ioctl(), drivers/vfio/container.c';
const SET_IOMMU = 'vfio_ioctl_set_iommu(), drivers/vfio/container.c';
const ATTACH = 'vfio_iommu_type1_attach_group(), drivers/vfio/vfio_iommu_type1.c';

/** What opening /dev/vfio/vfio makes. */
export const OPENS_CONTAINER = rule<() => Container>({
  id: 'container/open',
  level: 'must',
  says: 'Each opening of /dev/vfio/vfio makes a container of its own, without groups and without an IOMMU.',
  source:
    'Documentation/driver-api/vfio.rst: A container is created by simply opening the /dev/vfio/vfio character device',
  rule: () => ({ groups: [], iommu: undefined }),
});

/** A request on a container whose argument is a number, not an address. */
export interface NumberCall extends ContainerFile {
  /** The argument: an extension id, a type of IOMMU. */
  readonly number: bigint;
  readonly extension: Extension | undefined;
}

const situation = (file: ContainerFile, { argument: { value } }: IoctlCall): NumberCall => ({
  ...file,
  number: value,
  extension: extensionOf(file.vfio.law, value),
});

const GET_API_VERSION = request<ContainerFile, ContainerFile>({
  id: 'container/api-version',
  level: 'must',
  says: 'GET_API_VERSION returns 0, whatever its argument and the state of the container.',
  source: `${HEADER}: VFIO_GET_API_VERSION`,
  on: 'container',
  request: VFIO_GET_API_VERSION,
  situation: (file) => file,
  stages: [],
  returns: () => ({ exactly: VFIO_API_VERSION }),
});

/** Whether an id is supported, for those that are not. */
const isSupported = ({ vfio, container, extension }: NumberCall): boolean =>
  extension?.supported(vfio.platform, container.iommu, container.groups) ?? vfio.law.of(UNKNOWN_EXTENSION).rule();

const CHECK_EXTENSION = request<ContainerFile, NumberCall>({
  id: 'container/check-extension',
  level: 'must',
  says: 'CHECK_EXTENSION is always available and answers 1 for what is supported and 0 for what is not; it never fails.',
  source: `${HEADER}: VFIO_CHECK_EXTENSION`,
  on: 'container',
  request: VFIO_CHECK_EXTENSION,
  situation,
  stages: [],
  returns: (call) => ({ exactly: isSupported(call) ? 1n : 0n }),
  returnedBy: ({ vfio, extension }) => extension ?? vfio.law.of(UNKNOWN_EXTENSION),
});

const UNKNOWN_EXTENSION = rule<() => boolean>({
  id: 'container/extension-unknown',
  level: 'must',
  says: 'CHECK_EXTENSION answers 0 for every id that is not defined.',
  source: `${HEADER}: VFIO_CHECK_EXTENSION; vfio_container_ioctl_check_extension(), drivers/vfio/container.c`,
  rule: () => false,
});

export const SET_IOMMU_CALL = request<ContainerFile, NumberCall>({
  id: 'container/set-iommu',
  level: 'must',
  says: 'SET_IOMMU with a supported type gives a container that has a group its IOMMU, empty, and returns 0.',
  source: `${HEADER}: VFIO_SET_IOMMU`,
  on: 'container',
  request: VFIO_SET_IOMMU,
  situation,
  stages: ['arguments', 'hardware'],
  effect: ({ vfio, container, extension }) => {
    const entries = vfio.law.of(ENTRIES_AT_SET_IOMMU).rule(vfio);
    const { groups } = container;
    const made = { ...(extension?.type ?? NO_TYPE_AT_ALL), hadHardware: groups.some(hasIommu) };
    container.iommu = newIommu(made, entries, rangesFor(vfio, groups));
  },
});

/** Other types are refused before. */
const NO_TYPE_AT_ALL = { v2: false, nesting: false };

const NO_GROUP = objection(SET_IOMMU_CALL, {
  id: 'container/set-iommu-without-group',
  level: 'must',
  says: 'SET_IOMMU before a group is in the container is refused with EINVAL.',
  source: `${HEADER}: A group must be set to this file descriptor before this ioctl is available; ${SET_IOMMU}`,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ container }) => container.groups.length === 0,
});

const SET_TWICE = objection(SET_IOMMU_CALL, {
  id: 'container/set-iommu-twice',
  level: 'must',
  says: 'SET_IOMMU on a container that has an IOMMU is refused with EINVAL, be it the same type or another.',
  source: SET_IOMMU,
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ container }) => container.iommu !== undefined,
});

const UNSUPPORTED_TYPE = objection(SET_IOMMU_CALL, {
  id: 'container/set-iommu-unsupported',
  level: 'must',
  says: 'SET_IOMMU with a type for which CHECK_EXTENSION answers 0 before an IOMMU is set is refused with ENODEV.',
  source: `${HEADER}: The type must be supported as verified by calling CHECK_EXTENSION; ${SET_IOMMU}`,
  stage: 'arguments',
  errnos: ['ENODEV'],
  when: ({ vfio, extension }) => extension?.supported(vfio.platform, undefined, []) !== true,
});

const NO_TYPE = objection(SET_IOMMU_CALL, {
  id: 'container/set-iommu-no-type',
  level: 'must',
  says: 'SET_IOMMU with an extension that is supported but is no type of IOMMU (9) is refused with EINVAL.',
  source: 'vfio_iommu_type1_open(), drivers/vfio/vfio_iommu_type1.c',
  stage: 'arguments',
  errnos: ['EINVAL'],
  when: ({ vfio, extension }) =>
    extension?.supported(vfio.platform, undefined, []) === true && extension.type === undefined,
});

/** Hardware whose driver can translate in two stages for VFIO. */
const NESTING_HARDWARE: ReadonlySet<string> = new Set(['smmuv3']);

const NO_NESTING = objection(SET_IOMMU_CALL, {
  id: 'container/set-iommu-nesting',
  level: 'must',
  says: 'SET_IOMMU with the nesting type (6) is refused with EINVAL where the hardware does not translate in two stages; the container stays without an IOMMU.',
  source: `${HEADER}: Two-stage IOMMU; ${ATTACH}: iommu_enable_nesting()`,
  stage: 'hardware',
  errnos: ['EINVAL'],
  when: ({ vfio, container, extension }) =>
    extension?.type?.nesting === true &&
    container.groups.some(hasIommu) &&
    (NESTING_HARDWARE.has(vfio.platform.iommu.kind) ? 'perhaps' : true),
});

const UNSAFE_INTERRUPTS = objection(SET_IOMMU_CALL, {
  id: 'container/unsafe-interrupts',
  level: 'must',
  says: 'SET_IOMMU is refused with EPERM where devices could forge interrupts, unless the administrator allowed that.',
  source: ATTACH,
  stage: 'hardware',
  errnos: ['EPERM'],
  when: ({ vfio, container }) => container.groups.some(hasIommu) && !vfio.platform.iommu.isolatesMsi,
});

/** A request that the container's file does not know itself. */
interface Unknown extends ContainerFile {
  readonly request: bigint;
}

const PASSES_REQUESTS = rule<(vfio: Vfio, request: bigint) => boolean>({
  id: 'container/passes-requests',
  level: 'must',
  says: 'What the container does not know itself is for its IOMMU; which requests those are depends on the type that was set.',
  source: `${HEADER}: The IOMMU interfaces enabled by this call are specific to the value set; ${IOCTL}`,
  rule: ({ law }, number) => law.provision('iommu', number) !== undefined,
});

const NO_IOMMU: Objection<Unknown> = {
  kind: 'objection',
  to: PASSES_REQUESTS.id,
  stage: 'dispatch',
  id: 'container/no-iommu',
  level: 'must',
  says: 'Requests for the IOMMU are refused with EINVAL before SET_IOMMU, and again after the last group left.',
  source: IOCTL,
  errnos: ['EINVAL'],
  when: ({ container }) => container.iommu === undefined,
};

const UNKNOWN_REQUEST: Objection<Unknown> = {
  kind: 'objection',
  to: PASSES_REQUESTS.id,
  stage: 'dispatch',
  id: 'container/unknown-request',
  level: 'must',
  says: 'A request that neither the container nor its IOMMU knows is refused with ENOTTY; before SET_IOMMU with EINVAL or ENOTTY.',
  source: `vfio_iommu_type1_ioctl(), drivers/vfio/vfio_iommu_type1.c; ${IOCTL}`,
  errnos: ['ENOTTY'],
  when: ({ vfio, request: number }) => !vfio.law.of(PASSES_REQUESTS).rule(vfio, number),
};

/** Objections to requests that the container does not know itself. */
export const DISPATCH_OBJECTIONS = [NO_IOMMU, UNKNOWN_REQUEST];

export const CONTAINER_CLAUSES = [
  OPENS_CONTAINER,
  GET_API_VERSION,
  CHECK_EXTENSION,
  ...EXTENSION_CLAUSES,
  UNKNOWN_EXTENSION,
  SET_IOMMU_CALL,
  NO_GROUP,
  SET_TWICE,
  UNSUPPORTED_TYPE,
  NO_TYPE,
  NO_NESTING,
  UNSAFE_INTERRUPTS,
  PASSES_REQUESTS,
  ...DISPATCH_OBJECTIONS,
];
