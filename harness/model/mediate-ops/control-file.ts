/** /dev/mediator-test0 and on: a mediator is told what to do, and tells what it was asked (fixtures/modules/mediator). */
import type { Clause } from '../../spec/clause.ts';
import type { Errno } from '../../uapi/errno.ts';
import { COMMAND, COMMAND_WORD, COUNTER, HOOK, SETTING, WORD_BYTES } from '../../uapi/mediator-test.ts';
import type { Law } from '../law.ts';
import type { Answer, ByteRule } from '../outcome.ts';
import type { Vfio } from '../type1/state.ts';
import { TEST_DEVICES } from '../world/clauses.ts';
import type { Files, KernelFile } from '../world/kernel-file.ts';
import { fails, succeeds, unspecified } from '../world/replies.ts';
import {
  DECLARED,
  HANDLE,
  HAS_RELEASE,
  HOLDS_MODULE,
  IN_USE,
  INDEPENDENT,
  MEDIATORS,
  OPENS_ONCE,
  REGISTERED_ONCE,
  REGISTERS,
  UNREGISTERS,
  UNREGISTERS_KNOWN,
} from './clauses.ts';
import { MAPPINGS, READS_AND_WRITES, RELEASES } from './hooks.ts';
import { moduleReferences } from './opening.ts';
import { isCounter, type Mediator, wordOf } from './state.ts';

const REFCNT = /^\/sys\/module\/(mediator_test|vfio_pci)\/refcnt$/;
const OWN_REFUSAL = 'what the test module refuses is no business of vfio-pci';

/** The files of the test module, and those that tell who holds modules, where a revision knows of mediators. */
export const mediatorFiles = (vfio: Vfio): Files => {
  const { law, mediators } = vfio;
  const byPath = new Map(mediators.all.map((one) => [`/dev/mediator-test${one.index}`, one]));
  return (path) => {
    const mediator = byPath.get(path);
    if (mediator !== undefined) {
      return () => ({ opens: () => controlFile(vfio, mediator), clauses: [law.of(MEDIATORS)] });
    }
    const [, module] = REFCNT.exec(path) ?? [];
    if (module === undefined) return undefined;
    const clause = law.of(module === 'vfio_pci' ? INDEPENDENT : HOLDS_MODULE);
    const references = (): number => (module === 'vfio_pci' ? referencesToVfioPci(vfio) : moduleReferences(vfio));
    return () => ({ opens: () => numberFile(references, clause), clauses: [clause] });
  };
};

/** Each open file of a device of vfio-pci holds it, and so may the mediators' module. */
const referencesToVfioPci = ({ law, groups }: Vfio): number =>
  groups
    .flatMap(({ devices }) => devices)
    .reduce((sum, { edu, opened }) => sum + (edu === undefined ? 0 : opened), law.of(INDEPENDENT).rule);

const numberFile = (number: () => number, clause: Clause): KernelFile => ({
  kind: 'refcnt',
  pread: (_, offset, size): Answer => {
    const bytes = new TextEncoder().encode(`${number()}\n`).subarray(Number(offset), Number(offset) + size);
    return succeeds(clause, { ret: BigInt(bytes.length), out: [{ at: 0, bytes, clause }] });
  },
});

const controlFile = (vfio: Vfio, mediator: Mediator): KernelFile => {
  vfio.mediators.openFiles++;
  return {
    kind: 'mediator-test',
    pread: (_, offset, size) => read(vfio.law, mediator, offset, size),
    pwrite: (_, offset, data) => write(vfio, mediator, offset, data),
    release: () => {
      vfio.mediators.openFiles--;
    },
  };
};

/** The words that an access is for; `undefined` when it is not of whole words. */
const wordsAt = (offset: bigint, size: number): { readonly first: number; readonly count: number } | undefined => {
  const end = Number(offset) + size;
  const whole = offset % BigInt(WORD_BYTES) === 0n && size % WORD_BYTES === 0 && size > 0;
  return whole && end <= (COMMAND_WORD + 1) * WORD_BYTES
    ? { first: Number(offset) / WORD_BYTES, count: size / WORD_BYTES }
    : undefined;
};

const read = (law: Law, mediator: Mediator, offset: bigint, size: number): Answer => {
  const words = wordsAt(offset, size);
  if (words === undefined) return unspecified(OWN_REFUSAL);
  const out = Array.from({ length: words.count }, (_, index): ByteRule => {
    const word = words.first + index;
    const bytes = new Uint8Array(WORD_BYTES);
    new DataView(bytes.buffer).setBigUint64(0, wordOf(mediator, word), true);
    // Which form the kernel has is no promise.
    return {
      at: index * WORD_BYTES,
      bytes: word === SETTING.form ? WORD_BYTES : bytes,
      clause: meaning(law, mediator, word),
    };
  });
  return succeeds(TEST_DEVICES, { ret: BigInt(size), out });
};

/** The clause that a word is what it is by. */
const meaning = (law: Law, { by }: Mediator, word: number): Clause => {
  const special = by.get(word);
  if (special !== undefined) return special;
  if (word < COUNTER.registered || word >= COMMAND_WORD) return TEST_DEVICES;
  if (word >= COUNTER.mmaps) return law.of(MAPPINGS);
  if (word >= COUNTER.reads) return law.of(READS_AND_WRITES);
  if (word >= COUNTER.infos) return law.of(DECLARED);
  const clauses: Readonly<Record<number, Clause>> = {
    [COUNTER.registered]: REGISTERED_ONCE,
    [COUNTER.opens]: OPENS_ONCE,
    [COUNTER.declines]: REGISTERS,
    [COUNTER.releases]: RELEASES,
    [COUNTER.device]: OPENS_ONCE,
    [COUNTER.handleSeen]: HANDLE,
    [COUNTER.strange]: HANDLE,
  };
  const clause = clauses[word];
  return clause === undefined ? TEST_DEVICES : law.of(clause);
};

const write = (vfio: Vfio, mediator: Mediator, offset: bigint, data: Uint8Array): Answer => {
  const words = wordsAt(offset, data.length);
  if (words === undefined) return unspecified(OWN_REFUSAL);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const values = Array.from({ length: words.count }, (_, index) => ({
    word: words.first + index,
    value: view.getBigUint64(index * WORD_BYTES, true),
  }));
  const [first] = values;
  if (first?.word === COMMAND_WORD) return command(vfio, mediator, first.value);
  if (values.some(({ word, value }) => !isTaken(mediator, word, value))) return unspecified(OWN_REFUSAL);
  const effect = (): void => {
    for (const { word, value } of values) mediator.words[word] = value;
  };
  return succeeds(TEST_DEVICES, { ret: BigInt(data.length), effect });
};

/** Whether a setting can be written. When hooks count that change while a mediator is registered depends on the form. */
const isTaken = (mediator: Mediator, word: number, value: bigint): boolean => {
  if (word === SETTING.form || word > SETTING.holds) return false;
  if (word === SETTING.hooks) return value === wordOf(mediator, word) || wordOf(mediator, COUNTER.registered) === 0n;
  const errnos: readonly number[] = [SETTING.decline, SETTING.infoErrno, SETTING.rwErrno, SETTING.mmapErrno];
  return value <= (errnos.includes(word) ? 4095n : word === SETTING.fill ? 255n : 2n ** 64n - 1n);
};

const command = (vfio: Vfio, mediator: Mediator, number: bigint): Answer => {
  switch (number) {
    case COMMAND.register:
      return register(vfio, mediator);
    case COMMAND.unregister:
      return unregister(vfio, mediator);
    case COMMAND.clear:
      return done(TEST_DEVICES, () => {
        for (const word of mediator.words.keys()) if (isCounter(word)) mediator.words[word] = 0n;
      });
    default:
      return unspecified(OWN_REFUSAL);
  }
};

const done = (clause: Clause, effect: () => void): Answer => succeeds(clause, { ret: BigInt(WORD_BYTES), effect });

/** The first of what refuses a command. */
const refused = (
  ...objections: readonly { readonly errno: Errno | undefined; readonly clause: Clause }[]
): Answer | undefined => {
  const found = objections.find(({ errno }) => errno !== undefined);
  return found?.errno === undefined ? undefined : fails(found.errno, found.clause);
};

const register = ({ law, mediators }: Vfio, mediator: Mediator): Answer => {
  const [once, release, order] = [law.of(REGISTERED_ONCE), law.of(HAS_RELEASE), law.of(REGISTERS)];
  const known = wordOf(mediator, COUNTER.registered) > 0n;
  // What is registered already is handed in as it is.
  const hooks = known ? mediator.hooks : wordOf(mediator, SETTING.hooks);
  return (
    refused(
      { errno: release.rule((hooks & HOOK.release) !== 0n), clause: release },
      { errno: once.rule(mediators.list.some((one) => one.mediator === mediator)), clause: once },
    ) ??
    done(known ? once : law.of(MEDIATORS), () => {
      mediator.hooks = hooks;
      mediator.words[COUNTER.registered] = wordOf(mediator, COUNTER.registered) + 1n;
      mediators.list = order.rule(mediators.list, { mediator, devices: 0 });
    })
  );
};

const unregister = ({ law, mediators }: Vfio, mediator: Mediator): Answer => {
  const [known, use, gone] = [law.of(UNREGISTERS_KNOWN), law.of(IN_USE), law.of(UNREGISTERS)];
  const mine = mediators.list.filter((one) => one.mediator === mediator);
  const devices = mine.reduce((sum, one) => sum + one.devices, 0);
  return (
    refused({ errno: known.rule(mine.length > 0), clause: known }, { errno: use.rule(devices), clause: use }) ??
    done(gone, () => {
      mediator.words[COUNTER.registered] = 0n;
      mediators.list = gone.rule(mediators.list, mediator);
    })
  );
};
