/** Kernels are called by letters in tables: their names are as long as a line. */
export const letterOf = (index: number): string =>
  String.fromCharCode('A'.charCodeAt(0) + (index % 26)).repeat(1 + Math.floor(index / 26));
