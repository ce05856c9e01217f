import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { labNamed, parseHostsFile } from './hosts-file.ts';

const FILE = `hosts:
  - name: spr1
    ssh: root@spr1
    kernel: '^6\\.12\\.'
    iommu: vtd
    addressBits: 48
    devices: ['0000:3b:00.0', '0000:3b:00.1']
    bind: true
    power:
      cycle: [ipmitool, -H, bmc1, power, cycle]
    deploy: { kexec: { initrd: '/srv/initrd-{release}' } }
    console: [conserver, spr1]
  - name: spr2
    address: 10.0.0.7
    port: 2222
    user: root
    key: ~/.ssh/lab
    jump: admin@gate
    transport: system
    devices: ['0000:00:04.0']
`;

describe('hosts file', () => {
  it('names machines, and what may be done to them', () => {
    const labs = parseHostsFile(FILE, 'hosts.yaml');
    expect(labs.map(({ name, transport, bind }) => [name, transport, bind])).to.deep.equal([
      ['spr1', 'ssh2', true],
      ['spr2', 'system', false],
    ]);
    expect(labNamed(labs, 'spr2').jump).to.equal('admin@gate');
    expect(() => labNamed(labs, 'spr3')).to.throw(UsageTrouble, 'expected one of: spr1, spr2');
  });

  const mistakes: Readonly<Record<string, readonly [before: string, after: string, message: RegExp]>> = {
    'a key that is not known': ['port: 2222', 'prot: 2222', /^h:15:\d+: hosts\.1: Unrecognized key: "prot"$/],
    'a device that is none': ["'0000:00:04.0'", 'all', /^h:20:15: hosts\.1\.devices\.0: expected a PCI address/],
    'no device': ["['0000:00:04.0']", '[]', /^h:20:14: hosts\.1\.devices: /],
    'a device twice': ["'0000:3b:00.1'", "'0000:3b:00.0'", /^h:7:14: hosts\.0\.devices: expected each device once$/],
    'an IOMMU that is none': ['iommu: vtd', 'iommu: intel', /^h:5:12: hosts\.0\.iommu: .*"vtd"\|"amdvi"/],
    'a name twice': ['name: spr2', 'name: spr1', /^h:13:11: hosts\.1\.name: there is a host spr1 already$/],
    'a name that means another host': ['name: spr2', 'name: vm', /^h:13:11: hosts\.1\.name: expected a name/],
    'a name that ssh takes for an option': ['ssh: root@spr1', 'ssh: -oProxyCommand=x', /^h:3:10: hosts\.0\.ssh: /],
    'two ways to it': ['user: root', 'ssh: spr2', /^h:13:5: hosts\.1: expected either ssh or address$/],
    'a command for a shell': ['[conserver, spr1]', 'conserver spr1', /^h:12:14: hosts\.0\.console: .*array/],
    'a bad regular expression': ["'^6\\.12\\.'", "'('", /^h:4:13: hosts\.0\.kernel: expected a regular expression$/],
    'a deployment that is none': [
      "{ kexec: { initrd: '/srv/initrd-{release}' } }",
      'tftp',
      /^h:11:13: hosts\.0\.deploy: expected kexec/,
    ],
    'a placeholder that is none': [
      '{release}',
      '{version}',
      /^h:11:\d+: hosts\.0\.deploy.*\{host\}, \{kernel\}, \{image\}, \{release\}$/,
    ],
    'a deployment for a shell': [
      "{ kexec: { initrd: '/srv/initrd-{release}' } }",
      '{ command: boot }',
      /^h:11:\d+: hosts\.0\.deploy/,
    ],
    'a port that is none': ['port: 2222', 'port: 0', /^h:15:11: hosts\.1\.port: /],
    'text that is not YAML': ['hosts:', 'hosts: [', /^h:\d+:\d+: /],
  };
  for (const [what, [before, after, message]] of Object.entries(mistakes)) {
    it(`tells line and column of ${what}`, () => {
      expect(FILE).to.contain(before);
      expect(() => parseHostsFile(FILE.replace(before, after), 'h')).to.throw(UsageTrouble, message);
    });
  }

  it('tells every mistake, a line each', () => {
    const text = FILE.replace('iommu: vtd', 'iommu: x').replace('port: 2222', 'port: 0').replace('addressBits', 'bits');
    expect(() => parseHostsFile(text, 'h')).to.throw(UsageTrouble, /^h:5:.*\nh:6:.*\nh:15:.*$/);
  });
});
