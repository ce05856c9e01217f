import { openCdev } from '../harness/cases/cdev.ts';
import {
  clause,
  each,
  inline,
  NULL,
  openContainer,
  openGroup,
  pointerTo,
  test,
  value,
} from '../harness/cases/index.ts';
import { openIommufd, withIoas } from '../harness/cases/iommufd.ts';
import { encode, sizeOf } from '../harness/uapi/struct.ts';
import * as uapi from '../harness/uapi/vfio.ts';
import * as cdev from '../harness/uapi/vfio-cdev.ts';

/* A device's own file: opening it, binding it to a context of IOMMUFD, and what closing it gives back. */

const PAGE = 0x1000n;
const BIND = cdev.vfioDeviceBindIommufd;

clause('cdev/open', () => {
  test('twice, beside its group', (s) => {
    const group = openGroup(s.main);
    const one = openCdev(s);
    openCdev(s);
    group.status().returns(0);
    group.close().succeeds();
    one.close().succeeds();
    openGroup(s.main).status().returns(0);
  });
});

clause('cdev/access-before-binding', () => {
  const requests = {
    'a request that devices know': [uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 20 }))],
    attaching: [cdev.VFIO_DEVICE_ATTACH_IOMMUFD_PT, inline(new Uint8Array(16))],
    detaching: [cdev.VFIO_DEVICE_DETACH_IOMMUFD_PT, inline(encode(cdev.vfioDeviceDetachIommufdPt, { argsz: 8 }))],
    'one without an argument': [uapi.VFIO_DEVICE_RESET, NULL],
    'one that nobody knows': [0x3b6fn, value(0)],
  } as const;
  each(requests, (s, [request, arg]) => {
    openCdev(s).ioctl(request, arg).refused('EINVAL');
  });
  test('reading, writing and mapping', (s) => {
    const { fd } = openCdev(s);
    const config = 7n << 40n;
    s.main.does({ op: 'pread', fd, offset: config, size: 4n }).refused('EINVAL');
    s.main.does({ op: 'pwrite', fd, offset: config + 4n, data: Uint8Array.of(0, 0) }).refused('EINVAL');
    s.main.does({ op: 'map', name: 'bar', fd, start: 0n, size: PAGE, share: 'shared' }).refused('EINVAL');
  });
  test('a second opening of a device that is bound by the first', (s) => {
    openCdev(s).bind(openIommufd(s), 1);
    openCdev(s)
      .ioctl(uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 20 })))
      .refused('EINVAL');
  });
});

clause('cdev/bind', () => {
  test('and the device can be used', (s) => {
    const one = openCdev(s);
    one.bind(openIommufd(s), 1);
    one.ioctl(uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 16 }))).returns(0);
    const config = 7n << 40n;
    s.main
      .does({ op: 'pread', fd: one.fd, offset: config, size: 4n })
      .returns(4)
      .shows(0, Uint8Array.of(0x34, 0x12, 0xe8, 0x11));
    s.main.maps(one.fd, 0x100000n);
  });
  test('by a process that inherited both files', (s) => {
    const [one, context] = [openCdev(s), openIommufd(s)];
    const child = s.main.forks();
    one.of(child).bind(context, 1);
    one.ioctl(uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 16 }))).returns(0);
  });
});

clause('cdev/bind-id', () => {
  test('is one of the context, and that of a device that its driver holds', (s) => {
    const context = withIoas(s);
    openCdev(s).bind(context, 2);
    context.alloc(3);
    context.destroy(2).refused('EBUSY');
    context.map({ ioas: 2, iova: 0n, length: PAGE, vaddr: s.main.memory(PAGE).at() }).refused('ENOENT');
  });
});

clause('cdev/bind-unreadable', () => {
  test('NULL, and what ends within argsz', (s) => {
    const one = openCdev(s);
    const memory = s.main.memory(PAGE);
    one.ioctl(cdev.VFIO_DEVICE_BIND_IOMMUFD, NULL).refused('EFAULT');
    one.ioctl(cdev.VFIO_DEVICE_BIND_IOMMUFD, pointerTo(memory.at(PAGE - 2n))).refused('EFAULT');
  });
});

clause('cdev/bind-argsz', () => {
  each({ none: 0, 'argsz alone': 4, 'a byte too few': 15 }, (s, argsz) => {
    openCdev(s)
      .asksToBind({ iommufd: openIommufd(s), argsz })
      .refused('EINVAL');
  });
  each({ 'the structure as it was at first': 16, 'a part of the token': 20 }, (s, argsz) => {
    openCdev(s)
      .asksToBind({ iommufd: openIommufd(s), argsz, token: 1n })
      .returns(0);
  });
});

clause('cdev/bind-unknown-tail', () => {
  test('zeros are taken', (s) => {
    openCdev(s)
      .asksToBind({ iommufd: openIommufd(s), behind: 72 })
      .returns(0);
  });
  each({ 'right behind the structure': 24, 'as the last byte': 95 }, (s, at) => {
    const one = openCdev(s);
    const bytes = new Uint8Array(96);
    bytes.set(encode(BIND, { argsz: 96 }));
    bytes[at] = 1;
    one.ioctl(cdev.VFIO_DEVICE_BIND_IOMMUFD, inline(bytes)).refused('E2BIG');
    one.bind(openIommufd(s), 1);
  });
});

clause('cdev/bind-unreadable-struct', () => {
  each({ 'the structure itself': 16n, 'zeros behind it': 32n }, (s, within) => {
    const memory = s.main.memory(PAGE);
    const start = PAGE - within;
    memory.write(encode(BIND, { argsz: 256 }).subarray(0, Math.min(Number(within), sizeOf(BIND))), start);
    openCdev(s)
      .ioctl(cdev.VFIO_DEVICE_BIND_IOMMUFD, pointerTo(memory.at(start)))
      .refused('EFAULT');
  });
});

clause('cdev/bind-flags', () => {
  each({ 'the second bit': 2, 'the highest bit': 0x8000_0000, 'with that for a token': 3 }, (s, flags) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    one.asksToBind({ iommufd: context, flags }).refused('EINVAL');
    one.bind(context, 1);
  });
});

clause('cdev/bind-negative-descriptor', () => {
  each({ '-1': -1, 'the lowest number': -0x8000_0000 }, (s, iommufd) => {
    openCdev(s).asksToBind({ iommufd }).refused('EINVAL');
  });
});

clause('cdev/bind-open-group', () => {
  test('until it is closed', (s) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    const group = openGroup(s.main);
    one.asksToBind({ iommufd: context }).refused('EBUSY');
    group.close().succeeds();
    one.bind(context, 1);
  });
  test('a device of it that was opened before its file was closed', (s) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    const container = openContainer(s.main);
    const group = openGroup(s.main);
    group.setContainer(container).succeeds();
    container.setIommu(uapi.VFIO_TYPE1v2_IOMMU).succeeds();
    const device = group.device();
    device.opened.succeeds();
    group.close().succeeds();
    one.asksToBind({ iommufd: context }).refused('EBUSY');
    device.close().succeeds();
    one.bind(context, 1);
  });
});

clause('cdev/bound-blocks-group', () => {
  test('until the device is closed', (s) => {
    const one = openCdev(s);
    const other = openCdev(s);
    one.bind(openIommufd(s), 1);
    s.main.does({ op: 'open', fd: 'group', path: '$group0' }).refused('EBUSY');
    other.close().succeeds();
    s.main.does({ op: 'open', fd: 'group', path: '$group0' }).refused('EBUSY');
    one.close().succeeds();
    s.main.does({ op: 'open', fd: 'group', path: '$group0' }).succeeds();
  });
  test('not after a binding that was refused', (s) => {
    openCdev(s)
      .asksToBind({ iommufd: { fd: s.main.memfd(PAGE) } })
      .refused('EBADFD');
    openGroup(s.main).status().returns(0);
  });
});

clause('cdev/bind-twice', () => {
  test('to the same context, and to another', (s) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    one.bind(context, 1);
    one.asksToBind({ iommufd: context }).refused('EINVAL');
    one.asksToBind({ iommufd: openIommufd(s) }).refused('EINVAL');
    context.destroy(1).refused('EBUSY');
    context.alloc(2);
  });
});

clause('cdev/bind-unreadable-token', () => {
  test('NULL, and one that ends too soon', (s) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    const flags = cdev.VFIO_DEVICE_BIND_FLAG_TOKEN;
    const memory = s.main.memory(PAGE);
    one.asksToBind({ iommufd: context, flags }).refused('EFAULT');
    one.asksToBind({ iommufd: context, flags, token: memory.at(PAGE - 15n) }).refused('EFAULT');
    one.asksToBind({ iommufd: context, flags, argsz: 16, token: memory.at() }).refused('EFAULT');
    one.bind(context, 1);
  });
});

clause('cdev/bind-needless-token', () => {
  test('for edu', (s) => {
    const one = openCdev(s);
    const context = openIommufd(s);
    const token = s.main.memory(PAGE).at();
    one.asksToBind({ iommufd: context, flags: cdev.VFIO_DEVICE_BIND_FLAG_TOKEN, token }).refused('EINVAL');
    one.asksToBind({ iommufd: context, token: 1n }).returns(0);
  });
});

clause('cdev/bind-bad-descriptor', () => {
  test('a number that is none', (s) => {
    openCdev(s).asksToBind({ iommufd: 0x7fff_ffff }).refused('EBADF');
  });
});

clause('cdev/bind-other-file', () => {
  test('a memfd, a container, and the device itself', (s) => {
    const one = openCdev(s);
    one.asksToBind({ iommufd: { fd: s.main.memfd(PAGE) } }).refused('EBADFD');
    one.asksToBind({ iommufd: openContainer(s.main) }).refused('EBADFD');
    one.asksToBind({ iommufd: one }).refused('EBADFD');
    // None of them keeps the group from being opened.
    openGroup(s.main).status().returns(0);
  });
});

clause('cdev/bind-open-device', () => {
  test('to the same context, and to another', (s) => {
    const context = openIommufd(s);
    const one = openCdev(s);
    const other = openCdev(s);
    one.bind(context, 1);
    other.asksToBind({ iommufd: context }).refused('EINVAL');
    other.asksToBind({ iommufd: openIommufd(s) }).refused('EINVAL');
    context.alloc(2);
    one.close().succeeds();
    other.bind(context, 1);
  });
});

clause('cdev/close', () => {
  test('and the id is free', (s) => {
    const context = openIommufd(s);
    const one = openCdev(s);
    one.bind(context, 1);
    one.close().succeeds();
    context.destroy(1).refused('ENOENT');
    openCdev(s).bind(context, 1);
  });
  test('a copy of the descriptor keeps it', (s) => {
    const context = openIommufd(s);
    const one = openCdev(s);
    one.bind(context, 1);
    const child = s.main.forks();
    one.close().succeeds();
    context.destroy(1).refused('EBUSY');
    one.of(child).close().succeeds();
    context.destroy(1).refused('ENOENT');
  });
  test('and so do registers that are mapped', (s) => {
    const context = openIommufd(s);
    const one = openCdev(s);
    one.bind(context, 1);
    const registers = s.main.maps(one.fd, 0x100000n);
    one.close().succeeds();
    context.destroy(1).refused('EBUSY');
    registers.hole(0n, 0x100000n).succeeds();
    context.destroy(1).refused('ENOENT');
  });
  test('the context lasts as long', (s) => {
    const context = openIommufd(s);
    const one = openCdev(s);
    one.bind(context, 1);
    context.close().succeeds();
    one.ioctl(uapi.VFIO_DEVICE_GET_INFO, inline(encode(uapi.vfioDeviceInfo, { argsz: 16 }))).returns(0);
    s.main.does({ op: 'open', fd: 'group', path: '$group0' }).refused('EBUSY');
    one.close().succeeds();
    openCdev(s).bind(openIommufd(s), 1);
  });
  test('when the process exits', (s) => {
    const context = openIommufd(s);
    const child = s.main.forks();
    openCdev(s, child).bind(context, 1);
    context.destroy(1).refused('EBUSY');
    child.exits();
    context.destroy(1).refused('ENOENT');
    openGroup(s.main).status().returns(0);
  });
});
