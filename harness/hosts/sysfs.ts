/** Files of a machine's sysfs and proc, and how they are asked for. */

/** The files of a machine, which may be this one, a guest or one behind SSH. What is not there is `undefined`. */
export interface Files {
  read(path: string): Promise<string | undefined>;
  /** Names in a folder. */
  list(path: string): Promise<readonly string[] | undefined>;
  /** Where a symbolic link points. */
  link(path: string): Promise<string | undefined>;
}

/** The folder of a PCI device. */
export const pci = (address: string): string => `/sys/bus/pci/devices/${address}`;

/** One after the other: a machine behind SSH is asked over one channel, and the order of the answers matters. */
export const inTurn = async <From, To>(
  values: readonly From[],
  read: (value: From, index: number) => Promise<To>,
): Promise<readonly To[]> => {
  const results: To[] = [];
  for (const [index, value] of values.entries()) results.push(await read(value, index));
  return results;
};

/** The last name of a path. */
export const lastPart = (path: string | undefined): string | undefined => path?.trim().split('/').at(-1);
