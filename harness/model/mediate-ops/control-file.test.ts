import { expect } from 'chai';
import type { Op } from '../../program/step.ts';
import { LINUX_6_1 } from '../../revisions/linux-6.1.ts';
import { MEDIATE_OPS_POSTED } from '../../revisions/mediate-ops/posted.ts';
import { MEDIATE_OPS_REVIEWED } from '../../revisions/mediate-ops/reviewed.ts';
import type { Revision } from '../../spec/revision.ts';
import { COMMAND, COMMAND_WORD, COUNTER, SETTING, WORD_BYTES } from '../../uapi/mediator-test.ts';
import { createModel } from '../create-model.ts';
import { PLATFORM } from '../type1/testbed.ts';

const FORMS = { posted: MEDIATE_OPS_POSTED, reviewed: MEDIATE_OPS_REVIEWED };

/** A model in which the file of the first mediator is open; each call tells in a word what is allowed first. */
const bench = (revision: Revision) => {
  const machine = createModel(revision, { ...PLATFORM, testModules: ['mediator_test'] }, {});
  const does = (op: Op): string => {
    const answer = machine.answer({ actor: 'main', ...op }, 0);
    if ('unspecified' in answer) return 'unspecified';
    const [{ ret, errno, out, clauses, commit }] = answer.allowed;
    commit();
    if (errno !== 0) return `${errno} ${clauses.map(({ id }) => id).join(' ')}`;
    const [rule] = Array.isArray(out) ? out : [];
    return rule === undefined || typeof rule.bytes === 'number'
      ? `${'exactly' in ret ? ret.exactly : 'any'}`
      : Buffer.from(rule.bytes).readBigUInt64LE().toString();
  };
  const at = (word: number) => BigInt(word * WORD_BYTES);
  const write = (word: number, value: bigint): string => {
    const data = new Uint8Array(new BigUint64Array([value]).buffer);
    return does({ op: 'pwrite', fd: 'one', offset: at(word), data });
  };
  return {
    opened: does({ op: 'open', fd: 'one', path: '/dev/mediator-test0' }),
    write,
    command: (command: bigint) => write(COMMAND_WORD, command),
    read: (word: number) => does({ op: 'pread', fd: 'one', offset: at(word), size: BigInt(WORD_BYTES) }),
    does,
  };
};

describe('model/mediate-ops/control-file', () => {
  it('is not there where no clause knows of mediators', () => {
    expect(bench(LINUX_6_1).opened).to.equal('unspecified');
  });

  for (const [form, revision] of Object.entries(FORMS)) {
    it(`takes and shows settings (${form})`, () => {
      const { write, read } = bench(revision);
      expect(read(SETTING.handle)).to.equal('4096');
      expect(write(SETTING.handle, 7n)).to.equal('8');
      expect(read(SETTING.handle)).to.equal('7');
    });

    it(`leaves open what the module itself refuses (${form})`, () => {
      const { write, does } = bench(revision);
      expect(write(SETTING.form, 1n)).to.equal('unspecified');
      expect(write(SETTING.fill, 256n)).to.equal('unspecified');
      expect(write(SETTING.decline, 4096n)).to.equal('unspecified');
      expect(write(COUNTER.opens, 1n)).to.equal('unspecified');
      expect(write(COMMAND_WORD, 9n)).to.equal('unspecified');
      expect(does({ op: 'pread', fd: 'one', offset: 1n, size: 8n })).to.equal('unspecified');
      expect(does({ op: 'pread', fd: 'one', offset: 0n, size: 12n })).to.equal('unspecified');
      expect(does({ op: 'pread', fd: 'one', offset: 0x388n, size: 8n })).to.equal('unspecified');
    });
  }

  it('lets a mediator be registered twice as posted, once as reviewed', () => {
    const twice = (revision: Revision) => {
      const { command, read } = bench(revision);
      return [command(COMMAND.register), command(COMMAND.register), read(COUNTER.registered)];
    };
    expect(twice(FORMS.posted)).to.deep.equal(['8', '8', '2']);
    expect(twice(FORMS.reviewed)).to.deep.equal(['8', 'EEXIST mediate-ops/registered-once', '1']);
  });

  it('has a result of unregistering as reviewed only', () => {
    const unregister = (revision: Revision) => bench(revision).command(COMMAND.unregister);
    expect(unregister(FORMS.posted)).to.equal('8');
    expect(unregister(FORMS.reviewed)).to.equal('ENOENT mediate-ops/unregister-unknown');
  });

  it('wants a release hook as reviewed only', () => {
    const without = (revision: Revision) => {
      const { write, command } = bench(revision);
      return [write(SETTING.hooks, 7n), command(COMMAND.register)];
    };
    expect(without(FORMS.posted)).to.deep.equal(['8', '8']);
    expect(without(FORMS.reviewed)).to.deep.equal(['8', 'EINVAL mediate-ops/release-hook']);
  });

  it('leaves open when hooks count that change while a mediator is registered', () => {
    const { write, command } = bench(FORMS.reviewed);
    command(COMMAND.register);
    expect(write(SETTING.hooks, 8n)).to.equal('unspecified');
    expect(write(SETTING.hooks, 15n)).to.equal('8');
  });
});
