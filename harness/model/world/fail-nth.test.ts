import { FILES } from './clauses.ts';
import { failNthFiles } from './fail-nth.ts';
import type { Files } from './kernel-file.ts';
import { fails, succeeds } from './replies.ts';
import { BARE_PLATFORM, describeTranscripts } from './testing.ts';

/** Files whose every ioctl succeeds, or finds nothing there. */
const asked: Files = (path) => {
  if (path === '/dev/vfio/vfio')
    return () => ({ opens: () => ({ kind: 'container', ioctl: () => succeeds(FILES) }), clauses: [FILES] });
  if (path !== '/dev/iommu') return undefined;
  return () => ({ opens: () => ({ kind: 'iommufd', ioctl: () => fails('ENOENT', FILES) }), clauses: [FILES] });
};
const failing = failNthFiles({ ...BARE_PLATFORM, testModules: ['failslab'] });
const OPEN = `
      main open vfio /dev/vfio/vfio => any
      main open iommu /dev/iommu => any
      main open nth /proc/self/fail-nth => any`;

describe('fail-nth', () => {
  describeTranscripts(
    'on a kernel that is set up for it',
    {
      'lets every call of the process fail, until it is taken back': `${OPEN}
      main ioctl vfio 0x3b64 =0 => 0
      main pwrite nth 0 33 => 1
      main ioctl vfio 0x3b64 =0 => 0|ENOMEM
      main ioctl vfio 0x3b64 =0 => 0|ENOMEM
      main pread nth 0 8 => any
      main pwrite nth 0 30 => 1
      main ioctl vfio 0x3b64 =0 => 0`,
      'lets IOMMUFD fail as its own points do': `${OPEN}
      main pwrite nth 0 31 => 1
      main ioctl iommu 0x3b80 =0 => ENOENT|ENOMEM|EFAULT|EINVAL`,
      'is about the process that opened it': `${OPEN}
      main spawn child => 0
      child pwrite nth 0 31 => 1
      child ioctl vfio 0x3b64 =0 => 0
      main ioctl vfio 0x3b64 =0 => 0|ENOMEM`,
      'is not defined for other texts': `${OPEN}
      main pwrite nth 0 78 => open
      main pwrite nth 1 31 => open
      main ioctl vfio 0x3b64 =0 => 0`,
    },
    (path) => asked(path) ?? failing(path),
  );
  describeTranscripts(
    'elsewhere',
    { 'is not modelled': 'main open nth /proc/self/fail-nth => open' },
    failNthFiles(BARE_PLATFORM),
  );
});
