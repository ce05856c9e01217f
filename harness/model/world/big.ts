/** Arithmetic on bigints that Math does not have. */
export const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
export const greatest = (a: bigint, b: bigint): bigint => (a > b ? a : b);
/** The smallest multiple of `step` that is not smaller than the number. */
export const roundUp = (number: bigint, step: bigint): bigint => ((number + step - 1n) / step) * step;
