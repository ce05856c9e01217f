import { sizeOf } from '../../uapi/struct.ts';
import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
  VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfioDeviceFeature,
  vfioDeviceFeatureDmaLoggingControl,
  vfioDeviceFeatureDmaLoggingReport,
} from '../../uapi/vfio-logging.ts';
import { answerRequest, refusalOf } from '../answer.ts';
import { type Objection, rule } from '../clauses.ts';
import type { Answer } from '../outcome.ts';
import { type Found, readStruct } from '../type1/argument.ts';
import type { DeviceFile } from '../type1/files.ts';
import type { IoctlCall } from '../world/kernel-file.ts';

/* What all features of a device have in common: one request, whose flags say which feature it is and what is to be done with it. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_FEATURE';
const DISPATCH = 'vfio_ioctl_device_feature(), drivers/vfio/vfio_main.c';
const CHECK = 'vfio_check_feature(), include/linux/vfio.h';

const METHODS = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
const KNOWN_FLAGS = VFIO_DEVICE_FEATURE_MASK | METHODS | VFIO_DEVICE_FEATURE_PROBE;

/** Bytes in front of the data. */
export const DATA_AT = sizeOf(vfioDeviceFeature);

/** Features are requests of their own: which one it is stands above the 32 bits of the number. */
export const featureRequest = (feature: number): bigint => (BigInt(feature) << 32n) | VFIO_DEVICE_FEATURE;

/** A feature that devices can have. */
interface Feature {
  /** VFIO_DEVICE_FEATURE_GET, SET or both. */
  readonly methods: number;
  /** Bytes of data that a caller has to give. */
  readonly data: number;
}

/** What a device has that logs. */
const FEATURES: ReadonlyMap<number, Feature> = new Map([
  [
    VFIO_DEVICE_FEATURE_DMA_LOGGING_START,
    { methods: VFIO_DEVICE_FEATURE_SET, data: sizeOf(vfioDeviceFeatureDmaLoggingControl) },
  ],
  [VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP, { methods: VFIO_DEVICE_FEATURE_SET, data: 0 }],
  [
    VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT,
    { methods: VFIO_DEVICE_FEATURE_GET, data: sizeOf(vfioDeviceFeatureDmaLoggingReport) },
  ],
]);

/** Whether a device can be asked to log what it writes. */
const logs = ({ device }: DeviceFile): boolean => device.platform.logging !== undefined;

/** A request for a feature, before anything is known of its data. */
interface Framed {
  readonly file: DeviceFile;
  readonly asked: Found<typeof vfioDeviceFeature.fields>;
  /** The number of the feature. */
  readonly number: number;
  /** The feature, if the device has it and it is stated. */
  readonly feature: Feature | undefined;
}

const has = ({ asked }: Framed, flags: number): boolean => (asked.flags & flags) !== 0;

/** Whether PROBE alone settles a request that nothing refused. */
const PROBES = rule<(flags: number) => boolean>({
  id: 'device/feature',
  level: 'must',
  says: 'VFIO_DEVICE_FEATURE with PROBE returns 0 if the device has the feature and the methods GET and SET that are asked about, needs no data for it and does nothing; without PROBE it does what the method says.',
  source: `${HEADER}: Probing a feature will return success if the feature is supported and all of the optionally indicated GET/SET methods are supported; The data portion is not required for probing`,
  rule: (flags) => (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0,
});

type Stated = Omit<Objection<Framed>, 'kind' | 'to' | 'level' | 'stage'>;

const objection = (stated: Stated): Objection<Framed> => ({
  kind: 'objection',
  to: PROBES.id,
  level: 'must',
  stage: 'dispatch',
  ...stated,
});

/** Stage by stage. */
const FRAMING: readonly (readonly Objection<Framed>[])[] = [
  [
    objection({
      id: 'device/feature-unreadable',
      says: 'A VFIO_DEVICE_FEATURE whose argsz and flags cannot be read is refused with EFAULT.',
      source: DISPATCH,
      errnos: ['EFAULT'],
      when: ({ asked }) => !asked.readable,
    }),
  ],
  [
    objection({
      id: 'device/feature-argsz',
      says: 'VFIO_DEVICE_FEATURE with an argsz below 8 is refused with EINVAL.',
      source: DISPATCH,
      errnos: ['EINVAL'],
      when: ({ asked }) => asked.argsz < DATA_AT,
    }),
    objection({
      id: 'device/feature-flags',
      says: 'VFIO_DEVICE_FEATURE with a flag that is none of GET, SET and PROBE is refused with EINVAL.',
      source: DISPATCH,
      errnos: ['EINVAL'],
      when: (framed) => has(framed, ~KNOWN_FLAGS),
    }),
    objection({
      id: 'device/feature-get-and-set',
      says: 'VFIO_DEVICE_FEATURE with GET and SET, and without PROBE, is refused with EINVAL.',
      source: `${HEADER}: GET and SET are mutually exclusive, except for use with PROBE`,
      errnos: ['EINVAL'],
      when: ({ asked: { flags } }) => (flags & METHODS) === METHODS && (flags & VFIO_DEVICE_FEATURE_PROBE) === 0,
    }),
  ],
  [
    objection({
      id: 'device/feature-unsupported',
      says: 'A feature that the device does not have is refused with ENOTTY, whatever is to be done with it; so are the features of DMA logging for a device that does not log.',
      source: `${HEADER}: Support for a feature can be probed; ${DISPATCH}`,
      errnos: ['ENOTTY'],
      when: ({ feature }) => feature === undefined,
    }),
  ],
  [
    objection({
      id: 'device/feature-method',
      says: 'GET of a feature that can only be set, and SET of one that can only be got, are refused with EINVAL, with PROBE too.',
      source: `${HEADER}: A probe may optionally include the GET and/or SET bits; ${CHECK}`,
      errnos: ['EINVAL'],
      when: ({ asked, feature }) => feature !== undefined && (asked.flags & METHODS & ~feature.methods) !== 0,
    }),
  ],
  [
    objection({
      id: 'device/feature-no-method',
      says: 'A feature without any of GET, SET and PROBE is refused with EINVAL.',
      source: CHECK,
      errnos: ['EINVAL'],
      when: (framed) => !has(framed, METHODS | VFIO_DEVICE_FEATURE_PROBE),
    }),
    objection({
      id: 'device/feature-data-argsz',
      says: 'GET or SET with an argsz that has no room for the data of the feature is refused with EINVAL; a larger one is taken.',
      source: `${HEADER}: The format of the data portion of the structure is specific to the given feature; ${CHECK}`,
      errnos: ['EINVAL'],
      when: (framed) =>
        !has(framed, VFIO_DEVICE_FEATURE_PROBE) && framed.asked.argsz - DATA_AT < (framed.feature?.data ?? 0),
    }),
  ],
];

/** Whether it is stated which features a device has: of PCI devices only that they do not log. */
const isStated = ({ file: { device }, number }: Framed): boolean =>
  device.emulated !== undefined || (device.edu !== undefined && FEATURES.has(number));

/** What VFIO_DEVICE_FEATURE answers on the file of a device. */
export const answerFeature = (file: DeviceFile, call: IoctlCall): Answer => {
  const { law } = file.vfio;
  const asked = readStruct(call.argument, vfioDeviceFeature);
  const number = asked.flags & VFIO_DEVICE_FEATURE_MASK;
  const framed = { file, asked, number, feature: logs(file) ? FEATURES.get(number) : undefined };
  for (const [index, stage] of FRAMING.entries()) {
    if (index === 2 && !isStated(framed)) return { unspecified: 'the features of this device are not modelled' };
    const refusal = refusalOf(
      stage.map((one) => law.of(one)),
      framed,
    );
    if (refusal !== undefined) return refusal;
  }
  const probes = law.of(PROBES);
  if (probes.rule(asked.flags)) {
    return { allowed: [{ ret: { exactly: 0n }, errno: 0, clauses: [probes], commit: () => undefined }] };
  }
  const provision = law.provision('device', featureRequest(number));
  return provision === undefined
    ? { unspecified: 'nothing defines this feature' }
    : answerRequest(provision, file, call);
};

export const FEATURE_CLAUSES = [PROBES, ...FRAMING.flat()];
