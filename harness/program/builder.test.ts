import { expect } from 'chai';
import { UsageTrouble } from '../trouble.ts';
import { program } from './builder.ts';
import { parseProgram, printProgram } from './text.ts';

describe('program/builder', () => {
  it('makes the program that was written', () => {
    const b = program();
    const container = b.main.open({ fd: 'container', path: '/dev/vfio/vfio' });
    const group = b.main.open({ fd: 'group', path: b.let('group0', '/dev/vfio/2') });
    const ram = b.main.mem({ name: 'ram', size: 0x1000n, prot: 'r' });
    const child = b.actor(b.main.spawn({ child: 'child' }));
    child.close({ fd: group });
    b.repeat(3, () => {
      b.main.read({ name: ram, offset: 0n, size: 8n });
      b.main.ioctl({ fd: container, request: 0x3b64n, arg: { kind: 'value', value: 0n } });
    });
    const device = b.main.ioctl({ fd: group, request: 0x3b6an, arg: { kind: 'value', value: 0n }, to: 'device' });
    b.main.close({ fd: device ?? 'none' });
    b.main.shut();
    expect(printProgram(b.build())).to.equal(
      [
        'let group0 /dev/vfio/2',
        'main open container /dev/vfio/vfio',
        'main open group $group0',
        'main mem ram 0x1000 prot=r',
        'main spawn child',
        'child close group',
        'repeat 3',
        '  main read ram 0 8',
        '  main ioctl container 0x3b64 =0',
        'end',
        'main ioctl group 0x3b6a =0 to=device',
        'main close device',
        'main shut',
        '',
      ].join('\n'),
    );
    expect(parseProgram(printProgram(b.build()))).to.deep.equal(b.build());
  });

  it('refuses a name that nothing made', () => {
    const b = program();
    b.main.exec();
    b.main.close({ fd: 'container' });
    expect(() => b.build()).to.throw(
      UsageTrouble,
      'call 1 (main close): expected a descriptor that an earlier line makes, found "container"',
    );
  });

  it('is not changed by what comes after build', () => {
    const b = program();
    const built = b.build();
    b.main.exec();
    expect(built.steps).to.have.length(0);
  });
});
