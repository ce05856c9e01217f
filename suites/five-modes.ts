import { groundIn, inModes, table } from '../harness/cases/five-modes.ts';

const A = { iova: 0x10000n, size: 0x4000n };

inModes(table.UNMAP_NOTHING, (s, mode) => {
  const g = groundIn(s, mode);
  g.map(A).returns(0);
  return g.unmap(0x40000n, 0x4000n);
});

inModes(table.CUT_FIRST_HALF, (s, mode) => {
  const g = groundIn(s, mode);
  g.map(A).succeeds();
  return g.unmap(0x10000n, 0x2000n);
});

inModes(table.CUT_SECOND_HALF, (s, mode) => {
  const g = groundIn(s, mode);
  g.map(A).succeeds();
  return g.unmap(0x12000n, 0x2000n);
});
