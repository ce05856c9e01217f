import type { Objection, Request } from '../model/clauses.ts';
import { lawOf } from '../model/law.ts';
import { featureRequest } from '../model/logging/feature.ts';
import type { Call } from '../program/step.ts';
import type { Revision } from '../spec/revision.ts';
import type { Errno } from '../uapi/errno.ts';
import { decode, sizeOf } from '../uapi/struct.ts';
import { VFIO_DEVICE_FEATURE, VFIO_DEVICE_FEATURE_MASK, vfioDeviceFeature } from '../uapi/vfio-logging.ts';
import type { Column } from './columns.ts';
import type { IoctlCoverage, Results } from './coverage.ts';
import { type KeptRun, keptRunOf } from './kept-run.ts';
import { type Asked, fileOf, namesOf } from './names.ts';

type Ioctl = Extract<Call, { op: 'ioctl' }>;

/** Every ioctl that is stated for some kernel or was tried on one: what it may answer, and what it did. */
export const ioctlCoverage = (columns: readonly Column[]): readonly IoctlCoverage[] => {
  const rows = new Map<string, { readonly asked: Asked; readonly seen: Record<string, number>[] }>();
  const rowOf = (asked: Asked) => {
    const key = JSON.stringify([asked.file, asked.name]);
    const row = rows.get(key) ?? { asked, seen: columns.map((): Record<string, number> => ({})) };
    rows.set(key, row);
    return row;
  };
  for (const { revision } of columns) for (const asked of statedFor(revision)) rowOf(asked);
  for (const [index, { cases, revision }] of columns.entries()) {
    const name = namesOf(revision);
    for (const record of cases) {
      const kept = keptRunOf(record);
      if (kept === undefined) continue;
      for (const { request, file, errno, times } of answeredIoctls(kept)) {
        const seen = rowOf(name(file, request)).seen[index];
        if (seen !== undefined) seen[errno] = (seen[errno] ?? 0) + times;
      }
    }
  }
  const laws = columns.map(({ revision }) => lawOf(revision));
  return [...rows.values()].map(({ asked, seen }) => {
    const stages = stagesOf(laws, asked);
    const stated = [...new Set(stages.flatMap(({ errnos }) => errnos))];
    return { ...asked, stated, stages, seen: seen as Results[] };
  });
};

/** The ioctls of a kept run with what each answered, and the kind of file that was asked. */
function* answeredIoctls({ program, observations }: KeptRun): Generator<{
  readonly request: bigint;
  readonly file: string;
  readonly errno: Errno | '0';
  readonly times: number;
}> {
  const files = new Map<string, string>();
  const calls = program.steps.flatMap((step) => (step.op === 'repeat' ? step.body : [step]));
  // A name means the same file for all actors that know it: programs give each file a name of its own.
  for (const call of calls) {
    if (call.op === 'open') files.set(call.fd, kindOfPath(call.path));
    else if (call.op === 'dup') files.set(call.fd, files.get(call.from) ?? '');
    else if (call.op === 'ioctl' && call.to !== undefined && files.get(call.fd) === 'group')
      files.set(call.to, 'device');
  }
  for (const seen of observations) {
    const call = calls[seen.step];
    if (call?.op !== 'ioctl' || 'mishap' in seen) continue;
    const times = seen.last - seen.iteration + 1;
    const file = files.get(call.fd) ?? 'another file';
    yield { request: requestOf(call), file, errno: seen.errno === 0 ? '0' : seen.errno, times };
  }
}

/** What an ioctl asks for: features of devices are requests of their own, as far as the argument shows which one it is. */
const requestOf = ({ request, arg }: Ioctl): bigint => {
  const [first] = request === VFIO_DEVICE_FEATURE && arg.kind === 'inline' ? arg.segments : [];
  if (first === undefined || !('bytes' in first) || first.bytes.length < sizeOf(vfioDeviceFeature)) return request;
  return featureRequest(decode(vfioDeviceFeature, first.bytes).flags & VFIO_DEVICE_FEATURE_MASK);
};

const kindOfPath = (path: string): string => {
  if (path === '/dev/vfio/vfio') return 'container';
  if (path === '/dev/iommu') return 'iommufd';
  return /^\$(?:group|emulated)\d+$/.test(path) ? 'group' : path;
};

const statedFor = (revision: Revision): readonly Asked[] => {
  const name = namesOf(revision);
  return lawOf(revision)
    .all<Request<unknown, unknown>>('request')
    .map((request) => name(fileOf(request), request.request));
};

/** The stages of an ioctl in the laws that state it, each with what refuses a call there. */
const stagesOf = (laws: readonly ReturnType<typeof lawOf>[], { file, request }: Asked): IoctlCoverage['stages'] => {
  const stages = new Map<string, Set<Errno>>();
  if (request === undefined) return [];
  for (const law of laws) {
    const receivers = file === 'container' ? (['container', 'iommu'] as const) : ([file] as const);
    for (const on of receivers) {
      const provision = law.provision(on as 'container', BigInt(request));
      for (const [index, objections] of provision?.objections.entries() ?? []) {
        const stage = provision?.request.stages[index] ?? '';
        const errnos = stages.get(stage) ?? new Set();
        stages.set(stage, errnos);
        for (const errno of objections.flatMap((one: Objection<unknown>) => one.errnos)) errnos.add(errno);
      }
    }
  }
  return [...stages].map(([stage, errnos]) => ({ stage, errnos: [...errnos] }));
};
