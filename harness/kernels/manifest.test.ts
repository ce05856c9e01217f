import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { kernelNames, parseManifest, readManifest } from './manifest.ts';

const TEXT = `name: '6.1'
suites: [bookworm]
packages:
  - form: linux-image-6\\.1\\.0-[0-9]+-amd64
    pin:
      package: linux-image-6.1.0-56-amd64
      version: 6.1.192-2
      sha256: ${'a8'.repeat(32)}
modules: [virtio_net, vfio_pci]
commandLine: intel_iommu=on
`;

describe('kernels/manifest', () => {
  it('reads a manifest', () => {
    const manifest = parseManifest(TEXT, 'x.yaml');
    expect(manifest.packages[0]?.pin.version).to.equal('6.1.192-2');
    expect(manifest.modules).to.deep.equal(['virtio_net', 'vfio_pci']);
  });

  it('has every manifest of the project in order', async () => {
    const names = await kernelNames();
    expect(names).to.include('6.1');
    for (const name of names) {
      const manifest = await readManifest(name);
      for (const { form, pin } of manifest.packages) expect(pin.package).to.match(new RegExp(`^(?:${form})$`, 'v'));
    }
  });

  const mistakes: readonly [what: string, from: string, to: string, message: RegExp][] = [
    ['a field that is missing', "name: '6.1'\n", '', /^x.yaml:1:1: name: /],
    [
      'a field that is not known',
      'modules:',
      'module: x\nmodules:',
      /^x.yaml:9:9: the file: Unrecognized key: "module"$/,
    ],
    [
      'a package name with an option in it',
      'linux-image-6.1.0-56-amd64\n',
      '-o Dir=/\n',
      /^x.yaml:6:16: packages.0.pin.package: expected the name of a Debian package$/,
    ],
    ['a hash that is none', 'sha256: a', 'sha256: z', /^x.yaml:8:15: packages.0.pin.sha256: expected 64 hex digits$/],
    [
      'a form that is no regular expression',
      'linux-image-6\\.1',
      'linux-(image',
      /^x.yaml:4:11: packages.0.form: expected a regular expression/,
    ],
    [
      'a module with a path',
      'virtio_net',
      '../virtio_net',
      /^x.yaml:9:11: modules.0: expected the name of a kernel module$/,
    ],
    ['a list that is none', 'suites: [bookworm]', 'suites: bookworm', /^x.yaml:2:9: suites: /],
    ['a line of two', 'intel_iommu=on', '"a\\nb"', /^x.yaml:10:14: commandLine: expected printable words$/],
    ['text that is no YAML', 'suites: [bookworm]', 'suites: [bookworm', /^x.yaml:\d+:\d+: /],
  ];
  for (const [what, from, to, message] of mistakes) {
    it(`refuses ${what}, and says where it stands`, () => {
      expect(TEXT).to.contain(from);
      expect(() => parseManifest(TEXT.replace(from, to), 'x.yaml')).to.throw(UsageTrouble, message);
    });
  }

  it('says which kernels there are when asked for another', async () => {
    const error = await readManifest('../../etc').catch((cause: unknown) => cause);
    expect(error).to.be.instanceOf(UsageTrouble);
    expect(String(error)).to.match(/there is no kernel "..\/..\/etc"; expected one of: .*6\.1/);
  });
});
