import {
  clause,
  each,
  NOT_ISOLATED,
  NULL,
  openContainer,
  openGroup,
  readyContainer,
  TWO_GROUPS,
  test,
  u64,
  value,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const A = { iova: 0x10000n, size: 0x4000n };

clause('container/open', () => {
  test('two containers are two', (s) => {
    const [one, two] = [openContainer(s.main), openContainer(s.main)];
    openGroup(s.main).setContainer(one).succeeds();
    one.setIommu(uapi.VFIO_TYPE1v2_IOMMU).succeeds();
    two.setIommu(uapi.VFIO_TYPE1v2_IOMMU).refused('EINVAL');
  });
});

clause('container/api-version', () => {
  test('of a bare container', (s) => void openContainer(s.main).apiVersion().returns(0));
  test('of one that is set up', (s) => void readyContainer(s).apiVersion().returns(0));
});

/** Every id that is defined, the one before and some behind: what is answered before and after SET_IOMMU. */
const EXTENSIONS = {
  'container/extension-type1': { ids: [1n], bare: 1, ready: 1 },
  'container/extension-type1v2': { ids: [3n], bare: 1, ready: 1 },
  'container/extension-nesting': { ids: [6n], bare: 1, ready: 1 },
  'container/extension-nesting-gone': { ids: [6n], bare: 0, ready: 0 },
  'container/extension-unmap-all': { ids: [9n], bare: 1, ready: 1 },
  'container/extension-update-vaddr': { ids: [10n], bare: 0, ready: 1 },
  'container/extension-powerpc': { ids: [2n, 5n, 7n], bare: 0, ready: 0 },
  'container/extension-noiommu': { ids: [8n], bare: 0, ready: 0 },
  'container/extension-unknown': { ids: [0n, 11n, 12n, 255n, 0xffffffffn, 0xffffffffffffffffn], bare: 0, ready: 0 },
} as const;

for (const [id, { ids, bare, ready }] of Object.entries(EXTENSIONS)) {
  clause(id as keyof typeof EXTENSIONS, () => {
    for (const extension of ids) {
      test(`${extension} before SET_IOMMU`, (s) => void openContainer(s.main).extension(extension).returns(bare));
      test(`${extension} after SET_IOMMU`, (s) => void readyContainer(s).extension(extension).returns(ready));
    }
  });
}

clause('container/extension-dma-coherence', () => {
  test('4 before SET_IOMMU', (s) => void openContainer(s.main).extension(4n).returns(0));
  test('4 after SET_IOMMU', (s) => void readyContainer(s).extension(4n).succeeds());
});

clause('container/check-extension', () => {
  test('with a group and no IOMMU', (s) => {
    const c = openContainer(s.main);
    openGroup(s.main).setContainer(c).succeeds();
    c.extension(3n).returns(1);
    c.extension(77n).returns(0);
  });
});

const withGroup = (s: Parameters<typeof readyContainer>[0]) => {
  const c = openContainer(s.main);
  openGroup(s.main).setContainer(c).succeeds();
  return c;
};

clause('container/set-iommu', () => {
  test('for two groups at once', (s) => {
    s.needs(TWO_GROUPS);
    const c = withGroup(s);
    openGroup(s.main, 'group1').setContainer(c).succeeds();
    c.setIommu(3n).returns(0);
    c.unmapAll().shows(16, u64(0n));
  });
  test('anew with another type, after the group was out', (s) => {
    const c = readyContainer(s);
    c.groups[0]?.unsetContainer().succeeds();
    c.groups[0]?.setContainer(c).succeeds();
    c.setIommu(1n).returns(0);
    // v1 takes the whole mapping with its first page.
    c.map(A).succeeds();
    c.unmap({ iova: A.iova, size: 0x1000n }).shows(16, u64(A.size));
  });
  test('by another process than the one that opened the container', (s) => {
    const c = withGroup(s);
    c.of(s.main.forks()).setIommu(3n).returns(0);
    c.unmapAll().shows(16, u64(0n));
  });
  each({ 'type1 (1)': 1n, 'type1 v2 (3)': 3n }, (s, type) => {
    const c = openContainer(s.main);
    openGroup(s.main).setContainer(c).succeeds();
    c.setIommu(type).returns(0);
    c.unmapAll().shows(16, u64(0n));
  });
});

clause('container/set-iommu-without-group', () => {
  each({ '1': 1n, '3': 3n }, (s, type) => void openContainer(s.main).setIommu(type).refused('EINVAL'));
  test('and of an unknown type: either may be said', (s) => {
    openContainer(s.main).setIommu(77n).refused('EINVAL', 'ENODEV');
  });
});

clause('container/set-iommu-twice', () => {
  each(
    { 'the same type': 3n, 'another type': 1n },
    (s, type) => void readyContainer(s).setIommu(type).refused('EINVAL'),
  );
  test('and an unknown type: either may be said', (s) =>
    void readyContainer(s).setIommu(77n).refused('EINVAL', 'ENODEV'));
});

clause('container/set-iommu-unsupported', () => {
  each(
    { '0': 0n, '2': 2n, '4': 4n, '5': 5n, '7': 7n, '10': 10n, '77': 77n },
    (s, type) => void withGroup(s).setIommu(type).refused('ENODEV'),
  );
});

clause('container/set-iommu-no-type', () => {
  test('UNMAP_ALL (9)', (s) => void withGroup(s).setIommu(9n).refused('EINVAL'));
});

clause('container/set-iommu-nesting', () => {
  test('and another type after that', (s) => {
    const c = withGroup(s);
    c.setIommu(6n).refused('EINVAL');
    c.setIommu(3n).succeeds();
  });
});

clause('container/no-iommu', () => {
  each(
    {
      GET_INFO: uapi.VFIO_IOMMU_GET_INFO,
      MAP_DMA: uapi.VFIO_IOMMU_MAP_DMA,
      UNMAP_DMA: uapi.VFIO_IOMMU_UNMAP_DMA,
      DIRTY_PAGES: uapi.VFIO_IOMMU_DIRTY_PAGES,
    },
    (s, request) => void openContainer(s.main).ioctl(request, NULL).refused('EINVAL'),
  );
});

clause('container/unknown-request', () => {
  each({ 'one behind the last': 0x3b7fn, 'another type of ioctl': 0x5401n }, (s, request) => {
    readyContainer(s).ioctl(request, value(0)).refused('ENOTTY');
  });
});

clause('container/passes-requests', () => {
  test('to the IOMMU of v1, which logs no dirty pages', (s) => {
    readyContainer(s, { type: uapi.VFIO_TYPE1_IOMMU }).startDirty().refused('EACCES');
  });
});

clause('container/last-group-leaves', () => {
  test('takes mappings and IOMMU with it', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    s.main.lockedKb().returns(16);
    const [group] = c.groups;
    group?.unsetContainer().succeeds();
    s.main.lockedKb().returns(0);
    c.map(A).refused('EINVAL');
    group?.setContainer(c).succeeds();
    c.setIommu(uapi.VFIO_TYPE1v2_IOMMU).succeeds();
    c.map(A).succeeds();
  });
  test('everything stays while another group is left', (s) => {
    s.needs(TWO_GROUPS);
    const c = readyContainer(s, { groups: ['group0', 'group1'] });
    c.memory.fill(1);
    c.map(A).succeeds();
    c.groups[0]?.unsetContainer().succeeds();
    c.unmap(A).shows(16, u64(0x4000n));
  });
});

clause('container/close', () => {
  test('while a copy of its descriptor is open it goes on', (s) => {
    const c = readyContainer(s);
    s.main.does({ op: 'dup', fd: 'copy', from: c.fd }).succeeds();
    c.close().succeeds();
    s.main.does({ op: 'ioctl', fd: 'copy', request: uapi.VFIO_GET_API_VERSION, arg: value(0) }).returns(0);
    s.main.does({ op: 'ioctl', fd: 'copy', request: uapi.VFIO_CHECK_EXTENSION, arg: value(3) }).returns(1);
  });
  test('a child has it too', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    const child = s.main.forks();
    c.close().succeeds();
    c.of(child)
      .map({ ...A, vaddr: c.memory.at() })
      .succeeds();
    child.lockedKb().returns(16);
  });
  test('its group opens another device all the same', (s) => {
    const c = readyContainer(s);
    c.map(A).succeeds();
    c.close().succeeds();
    c.groups[0]?.device().opened.succeeds();
    c.groups[0]?.status().succeeds();
  });
  test('its group and mappings stay', (s) => {
    const c = readyContainer(s);
    c.memory.fill(1);
    c.map(A).succeeds();
    c.close().succeeds();
    s.main.lockedKb().returns(16);
    c.groups[0]?.close().succeeds();
    s.main.lockedKb().returns(0);
  });
});

clause('container/unsafe-interrupts', () => {
  test('not refused where interrupts are remapped', (s) => void withGroup(s).setIommu(3n).succeeds());
  each({ type1: 1n, type1v2: 3n }, (s, type) => {
    s.needs(NOT_ISOLATED);
    withGroup(s).setIommu(type).refused('EPERM');
  });
});
