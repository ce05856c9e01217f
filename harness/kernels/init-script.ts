/** What the first process of a guest says on the console, at the start of a line. */
export const MARKER = {
  /** Followed by the kernel's release: the kernel runs programs. */
  init: 'vfio-conform: init ',
  /** Followed by one line: the guest is of no use. */
  trouble: 'vfio-conform: trouble: ',
  /** The SSH server takes connections. */
  ready: 'vfio-conform: ready',
} as const;

/** Where the guest finds what differs between boots. */
export const GUEST = {
  /** Lines of insmod's arguments: a file in MODULES, then parameters. */
  moduleList: '/etc/vfio-conform/modules',
  /** Lines of PCI addresses, bound to vfio-pci. */
  deviceList: '/etc/vfio-conform/devices',
  modules: '/lib/modules',
  hostKey: '/etc/dropbear/host_key',
  authorizedKeys: '/root/.ssh/authorized_keys',
} as const;

/**
 * The guest's first program. It has no shell loops that wait: dropbear goes to the background only once it listens. The
 * address is the one that QEMU's user-mode network gives to the first guest.
 */
export const INIT_SCRIPT = `#!/bin/sh
mount -t proc proc /proc
read -r _ _ release _ < /proc/version
echo "${MARKER.init}$release"
trouble() { echo "${MARKER.trouble}$*"; }

mount -t sysfs sysfs /sys
mount -t debugfs debugfs /sys/kernel/debug
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp

for point in /sys/kernel/debug/fail*; do
  [ -w $point/ignore-gfp-wait ] && echo N > $point/ignore-gfp-wait
  [ -w $point/verbose ] && echo 0 > $point/verbose
done

cd ${GUEST.modules}
while read -r module; do
  insmod $module || trouble "the module $module cannot be loaded"
done < ${GUEST.moduleList}

while read -r address; do
  if [ -d "/sys/bus/pci/devices/$address" ]; then
    echo vfio-pci > "/sys/bus/pci/devices/$address/driver_override"
    echo "$address" > /sys/bus/pci/drivers_probe
  else
    trouble "there is no PCI device $address"
  fi
done < ${GUEST.deviceList}

ifconfig lo up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up || trouble "there is no network"
dropbear -s -j -k -W 1048576 -r ${GUEST.hostKey} || trouble "the SSH server does not start"
echo "${MARKER.ready}"
cd /
exec init
`;
