import {
  clause,
  deviceName,
  EMULATED_GROUP,
  each,
  inline,
  NOT_ISOLATED,
  NULL,
  openContainer,
  openGroup,
  pointerTo,
  readyContainer,
  type Scenario,
  TWO_GROUPS,
  test,
  u32,
  value,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const VIABLE = 1;
const CONTAINER_SET = 2;
const FLAGS_AT = 4;

clause('group/open', () => {
  test('is in no container', (s) => void openGroup(s.main).status().shows(FLAGS_AT, u32(VIABLE)));
});

clause('group/busy', () => {
  test('to the same process', (s) => {
    openGroup(s.main);
    s.main.does({ op: 'open', fd: 'again', path: '$group0' }).refused('EBUSY');
  });
  test('to a child', (s) => {
    openGroup(s.main);
    s.main.forks().does({ op: 'open', fd: 'again', path: '$group0' }).refused('EBUSY');
  });
  test('until it is closed', (s) => {
    openGroup(s.main).close().succeeds();
    openGroup(s.main).status().succeeds();
  });
  test('until the last of two descriptors is closed', (s) => {
    const group = openGroup(s.main);
    s.main.does({ op: 'dup', fd: 'copy', from: group.fd }).succeeds();
    group.close().succeeds();
    s.main.does({ op: 'open', fd: 'again', path: '$group0' }).refused('EBUSY');
    s.main.does({ op: 'close', fd: 'copy' }).succeeds();
    s.main.does({ op: 'open', fd: 'again', path: '$group0' }).succeeds();
  });
});

clause('group/get-status', () => {
  test('always available', (s) => void openGroup(s.main).status().returns(0));
});

clause('group/status-argsz', () => {
  each({ '0': 0, '4': 4, '7': 7 }, (s, argsz) => void openGroup(s.main).status(argsz).refused('EINVAL'));
  each({ '8': 8, '9': 9, '4096': 4096 }, (s, argsz) => void openGroup(s.main).status(argsz).succeeds());
});

clause('group/status-flags', () => {
  test('in a container and out of it', (s) => {
    const group = openGroup(s.main);
    const container = openContainer(s.main);
    group.setContainer(container).succeeds();
    group.status().shows(FLAGS_AT, u32(VIABLE | CONTAINER_SET));
    group.unsetContainer().succeeds();
    group.status().shows(FLAGS_AT, u32(VIABLE));
  });
});

clause('group/unreadable-status', () => {
  test('null', (s) => void openGroup(s.main).ioctl(uapi.VFIO_GROUP_GET_STATUS, NULL).refused('EFAULT'));
});

clause('group/set-container', () => {
  test('two groups in one container', (s) => {
    s.needs(TWO_GROUPS);
    const c = readyContainer(s, { groups: ['group0', 'group1'] });
    c.map({ iova: 0x10000n, size: 0x1000n }).succeeds();
  });
  test('a second group after SET_IOMMU', (s) => {
    s.needs(TWO_GROUPS);
    const c = readyContainer(s);
    c.map({ iova: 0x10000n, size: 0x1000n }).succeeds();
    openGroup(s.main, 'group1').setContainer(c).succeeds();
    c.unmap({ iova: 0x10000n, size: 0x1000n }).succeeds();
  });
});

clause('group/set-container-twice', () => {
  each({ 'the same container': true, 'another container': false }, (s, same) => {
    const [one, two] = [openContainer(s.main), openContainer(s.main)];
    const group = openGroup(s.main);
    group.setContainer(one).succeeds();
    group.setContainer(same ? one : two).refused('EINVAL');
  });
});

clause('group/set-container-bad-descriptor', () => {
  each({ 'minus one': 0xffffffff, 'not open': 999 }, (s, fd) => {
    openGroup(s.main)
      .ioctl(uapi.VFIO_GROUP_SET_CONTAINER, inline(u32(fd)))
      .refused('EBADF', 'EINVAL', 'EBADFD');
  });
});

clause('group/set-container-other-file', () => {
  test('a memfd', (s) => {
    const fd = s.main.memfd(0x1000);
    openGroup(s.main).setContainer({ fd }).refused('EINVAL', 'EBADFD');
  });
});

clause('group/unreadable-container', () => {
  test('null', (s) => void openGroup(s.main).ioctl(uapi.VFIO_GROUP_SET_CONTAINER, NULL).refused('EFAULT'));
});

clause('group/unset-container', () => {
  test('and into another', (s) => {
    const [one, two] = [openContainer(s.main), openContainer(s.main)];
    const group = openGroup(s.main);
    group.setContainer(one).succeeds();
    group.unsetContainer().returns(0);
    group.setContainer(two).succeeds();
  });
});

clause('group/unset-container-without', () => {
  test('never set', (s) => void openGroup(s.main).unsetContainer().refused('EINVAL'));
});

clause('group/unset-container-with-device', () => {
  test('until the device is closed', (s) => {
    const c = readyContainer(s);
    const [group] = c.groups;
    const device = group?.device();
    device?.opened.succeeds();
    group?.unsetContainer().refused('EBUSY');
    device?.close().succeeds();
    group?.unsetContainer().succeeds();
  });
});

clause('group/get-device', () => {
  test('twice: two descriptors', (s) => {
    const c = readyContainer(s);
    const [group] = c.groups;
    group?.device().opened.succeeds();
    group?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('device0'), 'another').succeeds();
    s.main.descriptors().returns(4);
    s.main.does({ op: 'close', fd: 'another' }).succeeds();
    group?.unsetContainer().refused('EBUSY');
  });
  test('for another process, which goes on with it after exec', (s) => {
    const c = readyContainer(s);
    const device = c.groups[0]?.device();
    const child = s.main.forks();
    child.execs().succeeds();
    child.descriptors().returns(3);
    const info = inline(Uint8Array.of(16, 0, 0, 0, ...new Uint8Array(12)));
    child.does({ op: 'ioctl', fd: device?.fd ?? '', request: uapi.VFIO_DEVICE_GET_INFO, arg: info }).returns(0);
  });
  test('by its name', (s) => void readyContainer(s).groups[0]?.device().opened.succeeds());
});

clause('group/unknown-device', () => {
  each({ 'no such device': '0000:ff:1f.7', 'the empty name': '', nonsense: 'device' }, (s, name) => {
    const bytes = new TextEncoder().encode(`${name}\0`);
    readyContainer(s).groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, inline(bytes)).refused('ENODEV');
  });
});

clause('group/unreadable-device-name', () => {
  test('null', (s) => void readyContainer(s).groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, NULL).refused('EFAULT'));
});

clause('group/device-without-iommu', () => {
  test('no container', (s) => void openGroup(s.main).device().opened.refused('EINVAL'));
  test('a container without IOMMU', (s) => {
    const group = openGroup(s.main);
    group.setContainer(openContainer(s.main)).succeeds();
    group.device().opened.refused('EINVAL');
  });
});

clause('group/unknown-request', () => {
  each(
    {
      "a container's": uapi.VFIO_GET_API_VERSION,
      "a device's": uapi.VFIO_DEVICE_GET_INFO,
      'one behind the last': 0x3b7fn,
    },
    (s, request) => {
      openGroup(s.main).ioctl(request, value(0)).refused('ENOTTY');
    },
  );
});

clause('group/close', () => {
  test('keeps what a device needs while one is open', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map({ iova: 0x10000n, size: 0x1000n }).succeeds();
    const device = c.groups[0]?.device();
    device?.opened.succeeds();
    c.groups[0]?.close().succeeds();
    s.main.lockedKb().returns(4);
    s.main.does({ op: 'open', fd: 'again', path: '$group0' });
    device?.close().succeeds();
    s.main.lockedKb();
  });
  test('not while a child has it', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map({ iova: 0x10000n, size: 0x1000n }).succeeds();
    const child = s.main.forks();
    c.groups[0]?.close().succeeds();
    s.main.lockedKb().returns(4);
    s.main.kills(child).succeeds();
    s.main.lockedKb().returns(0);
  });
  test('takes it out of its container', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map({ iova: 0x10000n, size: 0x1000n }).succeeds();
    c.groups[0]?.close().succeeds();
    s.main.lockedKb().returns(0);
    openGroup(s.main).status().shows(FLAGS_AT, u32(VIABLE));
  });
});

clause('group/unwritable-status', () => {
  test('read-only', (s) => {
    const place = s.main.memory(0x1000);
    place.write(u32(8)).succeeds();
    place.protect('r').succeeds();
    openGroup(s.main).ioctl(uapi.VFIO_GROUP_GET_STATUS, pointerTo(place.at())).refused('EFAULT');
  });
});

clause('group/unsafe-interrupts', () => {
  test('into a container with an IOMMU', (s) => {
    s.needs(NOT_ISOLATED);
    s.needs(EMULATED_GROUP);
    const c = readyContainer(s, { groups: ['emulated0'] });
    openGroup(s.main).setContainer(c).refused('EPERM');
  });
});

/** GET_DEVICE_FD with a name that lies in memory of its own. */
const deviceByName = (s: Scenario, name: Uint8Array) =>
  readyContainer(s).groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, inline(name));

clause('group/endless-device-name', () => {
  each({ 'a page': 4096, 'more than a page': 5000 }, (s, length) => {
    const name = new Uint8Array(length + 1).fill(0x61);
    name[length] = 0;
    deviceByName(s, name)?.refused('EINVAL');
  });
  test('a name of a page less one byte is only unknown', (s) => {
    const name = new Uint8Array(4096).fill(0x61);
    name[4095] = 0;
    deviceByName(s, name)?.refused('ENODEV');
  });
});

clause('group/device-name-options', () => {
  each({ 'a blank': ' ', blanks: '   ' }, (s, behind) => {
    readyContainer(s)
      .groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('device0', behind), 'device')
      .succeeds();
  });
  each({ 'a token': ' vf_token=2ab74924-c335-45f4-9b16-8569e5b08258', nonsense: ' nonsense' }, (s, behind) => {
    readyContainer(s).groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('device0', behind)).refused('EINVAL');
  });
});

clause('group/device-descriptor-limit', () => {
  test('no descriptor is left', (s) => {
    const c = readyContainer(s);
    s.main.limits('nofile', 0n).succeeds();
    c.groups[0]?.ioctl(uapi.VFIO_GROUP_GET_DEVICE_FD, deviceName('device0')).refused('EMFILE');
    // What cleans up opens files itself.
    s.main.limits('nofile', 1024n);
  });
});
