import {
  clause,
  EMULATED_GROUP,
  each,
  inspect,
  openContainer,
  openGroup,
  readyContainer,
  type Scenario,
  TWO_GROUPS,
  test,
} from '../harness/cases/index.ts';
import * as uapi from '../harness/uapi/vfio.ts';

const NESTING = uapi.VFIO_TYPE1_NESTING_IOMMU;
const V2 = uapi.VFIO_TYPE1v2_IOMMU;
/** Room for every capability. */
const ROOM = 256;

/** A container for nesting with the group of an edu device. */
const nesting = (s: Scenario) => readyContainer(s, { type: NESTING });

/** A bare container with groups in it, in that order. */
const withGroups = (s: Scenario, ...names: readonly string[]) => {
  if (names.includes('group1')) s.needs(TWO_GROUPS);
  if (names.includes('emulated0')) s.needs(EMULATED_GROUP);
  const container = openContainer(s.main);
  const groups = names.map((name) => openGroup(s.main, name));
  for (const group of groups) group.setContainer(container).succeeds();
  return { container, groups };
};

clause('nesting-cap/capability', () => {
  test('with the nesting type', (s) => void nesting(s).info(ROOM).succeeds());
  test('not with another type', (s) => void readyContainer(s, { type: V2 }).info(ROOM).succeeds());
  test('after a mapping', (s) => {
    const c = nesting(s);
    c.map({ iova: 0n, size: 0x1000n }).succeeds();
    c.info(ROOM).succeeds();
  });
  each(Object.fromEntries([24, 160, 164, 168, 172, 176, 180].map((argsz) => [`argsz ${argsz}`, argsz])), (s, argsz) => {
    nesting(s).info(argsz).succeeds();
  });
  test('whatever a group without an IOMMU keeps', (s) => {
    const { container, groups } = withGroups(s, 'group0', 'emulated0');
    container.setIommu(NESTING).succeeds();
    groups[0]?.unsetContainer().succeeds();
    container.info(ROOM).succeeds();
  });
  test('not before a group with an IOMMU comes', (s) => {
    const { container } = withGroups(s, 'emulated0');
    container.setIommu(NESTING).succeeds();
    container.info(ROOM).succeeds();
  });
  test('once a group with an IOMMU comes', (s) => {
    const { container } = withGroups(s, 'emulated0');
    container.setIommu(NESTING).succeeds();
    openGroup(s.main, 'group0').setContainer(container).succeeds();
    container.info(ROOM).succeeds();
  });
  test('gone with the group, and there again with the next', (s) => {
    const { container, groups } = withGroups(s, 'group0');
    container.setIommu(NESTING).succeeds();
    groups[0]?.unsetContainer().succeeds();
    container.info(ROOM).refused('EINVAL');
    groups[0]?.setContainer(container).succeeds();
    container.setIommu(NESTING).succeeds();
    container.info(ROOM).succeeds();
  });
  test('gone when another type is set', (s) => {
    const { container, groups } = withGroups(s, 'group0');
    container.setIommu(NESTING).succeeds();
    groups[0]?.unsetContainer().succeeds();
    groups[0]?.setContainer(container).succeeds();
    container.setIommu(V2).succeeds();
    container.info(ROOM).succeeds();
  });
});

clause('nesting-cap/one-group', () => {
  test('two groups', (s) => {
    const { container } = withGroups(s, 'group0', 'group1');
    container.setIommu(NESTING).refused('EINVAL');
    container.info(ROOM).refused('EINVAL');
    container.setIommu(V2).succeeds();
  });
  test('a group that is attached before one without an IOMMU', (s) => {
    const { container } = withGroups(s, 'emulated0', 'group0');
    container.setIommu(NESTING).refused('EINVAL');
  });
});

clause('nesting-cap/no-second-group', () => {
  test('another group', (s) => {
    const c = nesting(s);
    s.needs(TWO_GROUPS);
    openGroup(s.main, 'group1').setContainer(c).refused('EINVAL');
    c.map({ iova: 0n, size: 0x1000n }).succeeds();
    c.info(ROOM).succeeds();
  });
  test('a group without an IOMMU', (s) => {
    const c = nesting(s);
    s.needs(EMULATED_GROUP);
    openGroup(s.main, 'emulated0').setContainer(c).refused('EINVAL');
  });
});

clause('nesting-cap/own-id', () => {
  test('beside the DMA available capability', (s) => void nesting(s).info(ROOM).succeeds());
});

clause('nesting-cap/info-aligned', () => {
  test('16 bytes from the header', (s) => void nesting(s).info(ROOM).succeeds());
});

clause('nesting-cap/nothing-stale', () => {
  test('while a group without an IOMMU keeps the container', (s) => {
    const { container, groups } = withGroups(s, 'group0', 'emulated0');
    container.setIommu(NESTING).succeeds();
    container.info(ROOM).succeeds();
    groups[0]?.unsetContainer().succeeds();
    container.info(ROOM).succeeds();
    groups[0]?.setContainer(container).succeeds();
    container.info(ROOM).succeeds();
  });
});

clause('nesting-cap/packs-the-struct', () => {
  inspect('struct vfio_iommu');
});
