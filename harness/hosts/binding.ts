/** Binding devices of a machine to vfio-pci for the time of a run, and giving them back as they were found. */
import { HostTrouble, UsageTrouble } from '../trouble.ts';
import type { SshConnection } from './ssh.ts';

/**
 * Reads a verb and addresses from its input. What a device was bound to, and its driver_override, are kept in /run, which
 * lasts as long as the bindings do: until the next boot. So a run that was killed does not make another forget them.
 * Answers one line for each device: `ADDRESS was DRIVER`, or `ADDRESS ! WHY`.
 */
const SCRIPT = `exec sh -c '
umask 077
kept=/run/vfio-conform
read -r verb
driver_of() { if [ -L "$dev/driver" ]; then d=$(readlink "$dev/driver"); echo "\${d##*/}"; else echo none; fi; }
while read -r address; do
  case $address in *[!0-9a-f:.]*|"") echo "$address ! not a PCI address"; continue ;; esac
  dev=/sys/bus/pci/devices/$address
  [ -d "$dev" ] || { echo "$address ! there is no such device"; continue; }
  now=$(driver_of)
  case $verb in
  bind)
    if [ "$now" = vfio-pci ]; then echo "$address was vfio-pci"; continue; fi
    mkdir -p "$kept" || { echo "$address ! cannot keep what it was bound to"; continue; }
    [ -f "$kept/$address" ] || { echo "$now"; cat "$dev/driver_override"; } > "$kept/$address" || continue
    [ -d /sys/bus/pci/drivers/vfio-pci ] || modprobe vfio-pci 2>/dev/null
    echo vfio-pci > "$dev/driver_override"
    [ "$now" = none ] || echo "$address" > "$dev/driver/unbind"
    echo "$address" > /sys/bus/pci/drivers_probe
    if [ "$(driver_of)" = vfio-pci ]; then echo "$address was $now"
    else echo "$address ! it cannot be bound to vfio-pci (it was bound to $now)"; fi ;;
  give-back)
    [ -f "$kept/$address" ] || { echo "$address was $now"; continue; }
    { read -r before; read -r override; } < "$kept/$address"
    [ "$override" = "(null)" ] && override=
    [ "$now" = none ] || echo "$address" > "$dev/driver/unbind"
    echo "$override" > "$dev/driver_override"
    if [ "$before" != none ]; then echo "$address" > "/sys/bus/pci/drivers/$before/bind"; fi
    if [ "$(driver_of)" = "$before" ]; then rm -f "$kept/$address"; echo "$address was $now"
    else echo "$address ! it cannot be given back to $before"; fi ;;
  esac
done 2>/dev/null'`;

/** What each device was bound to before: `none`, or a driver. */
export type Bindings = ReadonlyMap<string, string>;

/** Binds these devices, and no others, to vfio-pci. Throws HostTrouble; those that were bound until then are given back. */
export const bindDevices = async (
  connection: Pick<SshConnection, 'run'>,
  name: string,
  addresses: readonly string[],
): Promise<Bindings> => {
  try {
    return await tell(connection, name, 'bind', addresses);
  } catch (cause) {
    await giveBack(connection, name, addresses).catch(() => undefined);
    throw cause;
  }
};

/** Gives devices back that bindDevices took, also in another run; those that it did not take stay as they are. Throws HostTrouble. */
export const giveBack = async (
  connection: Pick<SshConnection, 'run'>,
  name: string,
  addresses: readonly string[],
): Promise<Bindings> => tell(connection, name, 'give-back', addresses);

const tell = async (
  connection: Pick<SshConnection, 'run'>,
  name: string,
  verb: 'bind' | 'give-back',
  addresses: readonly string[],
): Promise<Bindings> => {
  const strange = addresses.find((address) => !/^[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/.test(address));
  if (strange !== undefined) throw new UsageTrouble(`expected a PCI address, found ${JSON.stringify(strange)}`);
  const { stdout } = await connection.run(SCRIPT, Buffer.from(`${[verb, ...addresses].join('\n')}\n`));
  const answers = new Map(stdout.split('\n').map((line) => [line.split(' ', 1)[0] ?? '', line]));
  return new Map(
    addresses.map((address) => {
      const line = answers.get(address) ?? `${address} ! no answer`;
      const [, , driver] = /^(\S+) was (\S+)$/.exec(line) ?? [];
      if (driver !== undefined) return [address, driver];
      const why = line.slice(address.length + 3).replace(/[^\x20-\x7e]/g, '?');
      throw new HostTrouble(`${name}: ${address}: ${why}`);
    }),
  );
};
