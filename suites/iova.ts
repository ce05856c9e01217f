import {
  clause,
  each,
  MSI_RANGE,
  openGroup,
  readyContainer,
  reserves,
  TWO_GROUPS,
  test,
  u64,
} from '../harness/cases/index.ts';

const PAGE = 0x1000n;
/** Where the ranges stand in a GET_INFO with all capabilities. */
const RANGES_AT = 24 + 32 + 16 + 16;
const ROOM = 160;

clause('iova/valid-ranges', () => {
  test('without the reserved region', (s) => {
    s.needs(reserves(MSI_RANGE));
    readyContainer(s)
      .info(ROOM)
      .shows(RANGES_AT, u64(0n))
      .shows(RANGES_AT + 8, u64(0xfedfffffn))
      .shows(RANGES_AT + 16, u64(0xfef00000n));
  });
  test('the same with a second group', (s) => {
    s.needs(TWO_GROUPS);
    s.needs(reserves(MSI_RANGE));
    const c = readyContainer(s);
    openGroup(s.main, 'group1').setContainer(c).succeeds();
    c.info(ROOM).shows(RANGES_AT + 8, u64(0xfedfffffn));
  });
  each({ 'the last page before': 0xfedff000n, 'the first page behind': 0xfef00000n }, (s, iova) => {
    s.needs(reserves(MSI_RANGE));
    readyContainer(s).map({ iova, size: PAGE }).succeeds();
  });
  each({ 'the first page of it': 0xfee00000n, 'the last page of it': 0xfeeff000n }, (s, iova) => {
    s.needs(reserves(MSI_RANGE));
    readyContainer(s).map({ iova, size: PAGE }).refused('EINVAL');
  });
});
