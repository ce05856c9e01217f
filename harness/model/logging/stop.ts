import { VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP } from '../../uapi/vfio-logging.ts';
import { objection, request } from '../clauses.ts';
import type { DeviceFile } from '../type1/files.ts';
import { featureRequest } from './feature.ts';
import { loggerOf } from './start.ts';
import type { Logger } from './state.ts';

/* A device is asked to log no more. */

const HEADER = 'include/uapi/linux/vfio.h: VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP';

const STOP = request<DeviceFile, Logger>({
  id: 'logging/stop',
  level: 'must',
  says: 'VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP ends what START began and returns 0: what was not reported is forgotten, and the device can be asked to log anew. It takes no data.',
  source: `${HEADER}: stop device DMA logging that was started by VFIO_DEVICE_FEATURE_DMA_LOGGING_START`,
  on: 'device',
  request: featureRequest(VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP),
  situation: loggerOf,
  leavesOpen: ({ unclear }) => unclear,
  forgets: (logger) => {
    logger.log = undefined;
    logger.unclear = undefined;
  },
  stages: ['device'],
  effect: (logger) => {
    logger.log = undefined;
  },
});

const WHILE_OFF = objection(STOP, {
  id: 'logging/stop-while-off',
  level: 'must',
  says: 'VFIO does not know whether a device logs: what the device answers to a STOP that no START came before is the result (the test device says ENOENT).',
  source:
    'include/linux/vfio.h: struct vfio_log_ops: does not track logging state; fixtures/modules/emulated/README.md',
  stage: 'device',
  errnos: ['ENOENT'],
  when: ({ log }) => log === undefined,
});

export const STOP_CLAUSES = [STOP, WHILE_OFF];
