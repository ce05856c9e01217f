import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { takenNumbers } from '../spec/revision.ts';
import { lint } from './index.ts';
import { BASE, findingsIn } from './testing.ts';

const FIXTURES = fileURLToPath(new URL('../../fixtures/patches', import.meta.url));

/** What is found in the headers of each series. */
const SERIES: Readonly<Record<string, readonly string[]>> = {
  'get-dirty-bitmap/posted': [
    'comment-as-code: VFIO_IOMMU_GET_DIRTY_BITMAP: _IOW in the comment, _IO in the code (line 113)',
    'request-number-free: VFIO_IOMMU_GET_DIRTY_BITMAP: the number VFIO_BASE + 17 is taken by VFIO_IOMMU_DIRTY_PAGES',
    'argsz-and-flags: VFIO_IOMMU_GET_DIRTY_BITMAP: struct vfio_iommu_get_dirty_bitmap begins with start_addr and page_nr, not with argsz and flags',
    'room-to-grow: VFIO_IOMMU_GET_DIRTY_BITMAP: struct vfio_iommu_get_dirty_bitmap has no size, flags, version or reserved field',
  ],
  // Its number was free when it was reviewed, and is what makes it what it is.
  'get-dirty-bitmap/reviewed': [
    'request-number-free: VFIO_IOMMU_GET_DIRTY_BITMAP: the number VFIO_BASE + 17 is taken by VFIO_IOMMU_DIRTY_PAGES',
  ],
  'nesting-cap/posted': [
    'id-free: VFIO_IOMMU_TYPE1_INFO_CAP_NESTING: the type1-info capability 3 is taken by VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL',
    'aligned-flexible-array: struct vfio_iommu_type1_info_cap_nesting: info[] begins at byte 12 on every architecture',
  ],
  'nesting-cap/reviewed': [],
  'change-dma-owner/posted': [],
  'change-dma-owner/reviewed': [],
  'iova-bitmap/posted': [],
  'iova-bitmap/reviewed': [],
  'mediate-ops/posted': [],
  'mediate-ops/reviewed': [],
};

describe('lint: the series', () => {
  for (const [series, expected] of Object.entries(SERIES)) {
    it(series, async () => {
      const found: string[] = [];
      for (const name of await readdir(join(FIXTURES, series))) {
        const text = await readFile(join(FIXTURES, series, name), 'utf8');
        expect(lint(text, name, BASE).unread).to.deep.equal([]);
        found.push(...findingsIn(text, name));
      }
      expect(found).to.deep.equal(expected);
    });
  }
});

describe('lint: <linux/vfio.h> itself', () => {
  let header = '';

  before(async function () {
    header = await readFile('/usr/include/linux/vfio.h', 'utf8').catch(() => '');
    // Another kernel's header has other numbers and other structs.
    if (/VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT 8/.test(header) && !header.includes('IOMMUFD')) return;
    console.log('      skipped: the header of Linux 6.1 is not here (Debian 12: linux-libc-dev)');
    this.skip();
  });

  it('has the numbers that are held to be taken, and no others', () => {
    const requests = [...header.matchAll(/^#define\s+(\w+)\s+_IO\(VFIO_TYPE, VFIO_BASE \+ (\d+)\)/gm)];
    const found = Object.fromEntries(requests.map(([, name, number]) => [name, 100 + Number(number)]));
    const taken = takenNumbers(BASE);
    const ids = Object.fromEntries(
      taken.filter(({ space }) => / |extension/.test(space)).map((one) => [one.name, one.number]),
    );
    expect(
      Object.fromEntries(taken.filter(({ name }) => !(name in ids)).map((one) => [one.name, one.number])),
    ).to.deep.equal(found);
    for (const [name, number] of Object.entries(ids)) {
      expect(header).to.match(new RegExp(`^#define\\s+${name}\\s+\\(?${number}\\)?\\s`, 'm'));
    }
  });

  it('shows what 6.1 is known for, and nothing that is not so', () => {
    const structs = /struct (\w+)/;
    const found = new Map<string, string[]>();
    for (const { clause, text } of lint(header, 'vfio.h', BASE).findings) {
      const tag = structs.exec(text)?.[1] ?? text;
      found.set(tag, [...(found.get(tag) ?? []), clause.id.replace('lint/', '')]);
    }
    expect(lint(header, 'vfio.h', BASE).unread).to.deep.equal([]);
    expect(Object.fromEntries(found)).to.deep.equal({
      vfio_irq_set: ['aligned-flexible-array'],
      // These three were given a word of padding in 6.6.
      vfio_device_gfx_plane_info: ['same-layout', 'explicit-padding'],
      vfio_device_ioeventfd: ['same-layout', 'explicit-padding'],
      vfio_iommu_type1_info: ['same-layout', 'explicit-padding'],
      vfio_iommu_type1_info_cap_migration: ['same-layout', 'explicit-padding', 'aligned-64-bit', 'aligned-64-bit'],
      vfio_bitmap: ['explicit-padding', 'same-layout'],
      vfio_iommu_type1_dirty_bitmap_get: ['same-layout'],
      vfio_eeh_pe_op: ['same-layout', 'explicit-padding', 'aligned-64-bit'],
    });
  });
});
