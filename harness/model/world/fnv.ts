const PRIME = 0x100000001b3n;
/** The prime is 2^40 + this. */
const PRIME_LOW = 0x1b3;

/** FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/), kept in two halves because bigints are too slow for bulk. */
export class Fnv {
  #high = 0xcbf29ce4;
  #low = 0x84222325;

  add(bytes: Uint8Array): void {
    for (const byte of bytes) this.#step(byte);
  }

  /** The same byte `count` times; zeros take no time, because they only multiply. */
  addRun(byte: number, count: number): void {
    if (byte !== 0) {
      for (let left = count; left > 0; left--) this.#step(byte);
      return;
    }
    const state = BigInt.asUintN(64, this.#value() * power(PRIME, BigInt(count)));
    this.#high = Number(state >> 32n);
    this.#low = Number(state & 0xffffffffn);
  }

  /** The hash so far, big endian. */
  digest(): Uint8Array {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(this.#value());
    return bytes;
  }

  #value(): bigint {
    return (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  #step(byte: number): void {
    const low = (this.#low ^ byte) >>> 0;
    const product = low * PRIME_LOW;
    const carry = Math.floor(product / 0x100000000);
    this.#high = (Math.imul(this.#high, PRIME_LOW) + (low << 8) + carry) >>> 0;
    this.#low = product >>> 0;
  }
}

/** `base` to the power of `exponent`, modulo 2^64. */
const power = (base: bigint, exponent: bigint): bigint => {
  let result = 1n;
  for (let square = base, left = exponent; left > 0n; left >>= 1n) {
    if ((left & 1n) === 1n) result = BigInt.asUintN(64, result * square);
    square = BigInt.asUintN(64, square * square);
  }
  return result;
};
