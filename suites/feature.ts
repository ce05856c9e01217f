import { boundEmulated, openEmulated } from '../harness/cases/cdev.ts';
import { emulated } from '../harness/cases/emulated.ts';
import { clause, each, NULL, pointerTo, readyContainer, type Scenario, test, value } from '../harness/cases/index.ts';
import {
  featureArgument,
  featuresOf,
  GET,
  logging,
  loggingDevice,
  logsNow,
  MAPPED,
  PROBE,
  REPORT,
  SET,
  START,
  STOP,
} from '../harness/cases/logging.ts';
import { LOGS, REPORTS } from '../harness/cases/needs.ts';

/* What devices can be asked for by VFIO_DEVICE_FEATURE, whatever it is. */

const PAGE = 0x1000n;

/** Features that no test device has. */
const OTHERS = {
  'a PCI token': 0,
  migration: 1,
  'its state': 2,
  'low power': 3,
  'data size': 9,
  none: 13,
  last: 0xffff,
};
const PRECOPY_INFO = 12;

clause('device/feature', () => {
  each(
    {
      'start, whether there is it': START,
      'start, whether it can be set': START | SET,
      'stop, whether there is it': STOP,
      'stop, whether it can be set': STOP | SET,
      'report, whether there is it': REPORT,
      'report, whether it can be got': REPORT | GET,
    },
    (s, flags) => {
      const { f } = loggingDevice(s);
      f.ask(featureArgument({ flags: flags | PROBE })).returns(0);
      f.ask(featureArgument({ flags: flags | PROBE, data: new Uint8Array(100).fill(0xff) })).returns(0);
    },
  );
  test('probing does nothing', (s) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [MAPPED], flags: START | SET | PROBE }).returns(0);
    logsNow(logger, false);
    logger.f.logs([MAPPED]);
    logger.f.ask(featureArgument({ flags: STOP | SET | PROBE })).returns(0);
    logsNow(logger, true);
  });
  test('probing a report neither tells nor clears', (s) => {
    const { f, writes, tells } = logging(s);
    writes(3);
    const bitmap = s.main.memory(PAGE);
    f.reports({ ...MAPPED, bitmap: bitmap.at(), flags: REPORT | GET | PROBE }).returns(0);
    bitmap.read(0n, 2n).shows(0, Uint8Array.of(0, 0));
    tells([8, 0]);
  });
  test('by the own file of a device', (s) => {
    const { f } = loggingDevice(s, 'by its own file');
    for (const flags of [START | SET, STOP | SET, REPORT | GET])
      f.ask(featureArgument({ flags: flags | PROBE })).returns(0);
  });
});

clause('device/feature-unreadable', () => {
  each({ null: 0n, 'an address that nobody has': 8n }, (s, at) => {
    loggingDevice(s)
      .f.ask(at === 0n ? NULL : value(at))
      .refused('EFAULT');
  });
  test('flags that lie behind the memory', (s) => {
    const { f } = loggingDevice(s);
    const memory = s.main.memory(2n * PAGE);
    memory.write(Uint8Array.of(8), PAGE - 4n);
    memory.hole(PAGE, PAGE);
    f.ask(pointerTo(memory.at(PAGE - 4n))).refused('EFAULT');
  });
});

clause('device/feature-argsz', () => {
  each({ none: 0, 'without flags': 4, 'one byte too few': 7 }, (s, argsz) => {
    loggingDevice(s)
      .f.ask(featureArgument({ flags: START | PROBE, argsz }))
      .refused('EINVAL');
  });
});

clause('device/feature-flags', () => {
  each({ lowest: 1 << 19, highest: 0x8000_0000 }, (s, flag) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: (START | PROBE | flag) >>> 0 })).refused('EINVAL');
    f.ask(featureArgument({ flags: (STOP | SET | flag) >>> 0 })).refused('EINVAL');
  });
});

clause('device/feature-get-and-set', () => {
  each({ start: START, stop: STOP, report: REPORT, 'a feature that the device has not': 0xffff }, (s, feature) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: feature | GET | SET, data: new Uint8Array(32) })).refused('EINVAL');
  });
});

/** All that can be asked of what does not log. */
const logsNothing = (s: Scenario, fd: string): void => {
  const f = featuresOf(fd, s.main);
  for (const flags of [START | SET, STOP | SET, REPORT | GET]) {
    f.ask(featureArgument({ flags: flags | PROBE })).refused('ENOTTY');
    f.ask(featureArgument({ flags })).refused('ENOTTY');
  }
  f.ask(featureArgument({ flags: START })).refused('ENOTTY');
  f.ask(featureArgument({ flags: START | GET })).refused('ENOTTY');
  f.starts({ ranges: [MAPPED] }).refused('ENOTTY');
  f.reports({ ...MAPPED, bitmap: s.main.memory(PAGE).at() }).refused('ENOTTY');
};

clause('device/feature-unsupported', () => {
  test('dma logging of a device without an iommu that has no log', (s) => {
    s.needs(LOGS);
    const { d } = emulated(s, { groups: ['emulated1'] });
    logsNothing(s, d.device.fd);
  });
  test('the same by its own file', (s) => {
    s.needs(LOGS);
    logsNothing(s, boundEmulated(s, 'emulated1').d.device.fd);
  });
  test('dma logging of a PCI device', (s) => {
    const device = readyContainer(s).groups[0]?.device();
    if (device === undefined) throw new Error('the container has no group');
    device.opened.succeeds();
    logsNothing(s, device.fd);
  });
  each(OTHERS, (s, feature) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: feature | PROBE })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature | PROBE | GET | SET })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature })).refused('ENOTTY');
    f.ask(featureArgument({ flags: feature | SET, data: new Uint8Array(64) })).refused('ENOTTY');
  });
  test('what is told before a copy', (s) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags: PRECOPY_INFO | PROBE })).refused('ENOTTY');
  });
});

clause('device/feature-method', () => {
  each({ 'start got': START | GET, 'stop got': STOP | GET, 'report set': REPORT | SET }, (s, flags) => {
    const { f } = loggingDevice(s);
    f.ask(featureArgument({ flags, data: new Uint8Array(64) })).refused('EINVAL');
    f.ask(featureArgument({ flags: flags | PROBE })).refused('EINVAL');
    f.ask(featureArgument({ flags: flags | PROBE | GET | SET })).refused('EINVAL');
  });
});

clause('device/feature-no-method', () => {
  each({ start: START, stop: STOP, report: REPORT }, (s, flags) => {
    loggingDevice(s)
      .f.ask(featureArgument({ flags, data: new Uint8Array(64) }))
      .refused('EINVAL');
  });
});

clause('device/feature-data-argsz', () => {
  each({ none: 8, 'one byte too few': 8 + 23 }, (s, argsz) => {
    const logger = loggingDevice(s);
    logger.f.starts({ ranges: [MAPPED], argsz }).refused('EINVAL');
    logsNow(logger, false);
  });
  each({ 'of a report: none': 8, 'of a report: one byte too few': 8 + 31 }, (s, argsz) => {
    const { f, writes } = logging(s);
    writes(0);
    f.reports({ ...MAPPED, bitmap: s.main.memory(PAGE).at(), argsz }).refused('EINVAL');
  });
  test('more than is needed is taken', (s) => {
    const { f, writes } = loggingDevice(s);
    s.needs(REPORTS);
    f.starts({ ranges: [MAPPED], argsz: 4096 }).returns(0);
    writes(1);
    const bitmap = s.main.memory(PAGE);
    f.reports({ ...MAPPED, bitmap: bitmap.at(), argsz: 0xffff_ffff }).returns(0);
    bitmap.read(0n, 1n).shows(0, Uint8Array.of(2));
    f.stops(4096).returns(0);
  });
});

clause('cdev/access-before-binding', () => {
  each(
    { 'probing a feature': START | PROBE, 'starting to log': START | SET, 'what no feature is': 0xffff },
    (s, flags) => {
      const { cdev } = openEmulated(s);
      featuresOf(cdev.fd, s.main)
        .ask(featureArgument({ flags, data: new Uint8Array(32) }))
        .refused('EINVAL');
    },
  );
});
