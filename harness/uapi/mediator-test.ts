/** The files /dev/mediator-test0 to 3, as fixtures/modules/mediator/README.md describes them: 64-bit words, by number. */

/** Bytes of a word. */
export const WORD_BYTES = 8;

/** What a mediator was told. */
export const SETTING = {
  form: 0,
  /** VENDOR + (DEVICE << 16) of the one device that it takes; 0: any. */
  match: 1,
  /** The errno that it declines every device with. */
  decline: 2,
  handle: 3,
  /** Regions that it declares, a bit each. */
  regions: 4,
  /** HOOK. */
  hooks: 5,
  infoRegions: 6,
  infoClear: 7,
  infoSet: 8,
  infoErrno: 9,
  sparseOffset: 10,
  sparseSize: 11,
  rwKeeps: 12,
  rwErrno: 13,
  fill: 14,
  mmapKeeps: 15,
  mmapErrno: 16,
  holds: 17,
} as const;

/** What a mediator counts. */
export const COUNTER = {
  registered: 32,
  opens: 33,
  declines: 34,
  releases: 35,
  device: 36,
  handleSeen: 37,
  strange: 38,
  /** Sixteen words each, by region. */
  infos: 48,
  reads: 64,
  writes: 80,
  mmaps: 96,
} as const;

/** The word that commands are written to, which is also how many words there are. */
export const COMMAND_WORD = 112;

export const COMMAND = { register: 1n, unregister: 2n, clear: 3n } as const;

/** Bits of the setting `hooks`. */
export const HOOK = { info: 1n, rw: 2n, mmap: 4n, release: 8n } as const;

/** Regions that are told apart; those above the last count as the last. */
export const COUNTED_REGIONS = 16;
