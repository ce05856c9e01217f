#!/bin/sh
# A guest in QEMU as a machine of a lab: its power, its console, another kernel. For a machine of iron, put what its relay
# or its server takes into off, on and boot.
#   machine.sh FOLDER off|on|cycle|console
#   machine.sh FOLDER boot IMAGE RELEASE
# FOLDER holds words (QEMU's options, one a line, without -kernel, -initrd and -append), line (the kernel's command line),
# kernel and initrd, which on boots, and initrd-RELEASE for each kernel that is deployed.
set -eu
cd "$1"

off() {
  [ -f pid ] || return 0
  kill -s KILL -- "-$(cat pid)" 2> /dev/null || true
  while kill -s 0 -- "-$(cat pid)" 2> /dev/null; do sleep 0.1; done
  rm -f pid
}

on() { # IMAGE INITRD
  image=$1 initrd=$2
  set --
  while IFS= read -r word; do set -- "$@" "$word"; done < words
  setsid qemu-system-x86_64 "$@" -kernel "$image" -initrd "$initrd" -append "$(cat line)" < /dev/null >> console 2>&1 &
  echo $! > pid
}

case $2 in
off) off ;;
on) [ -f pid ] && kill -s 0 -- "-$(cat pid)" 2> /dev/null || on kernel initrd ;;
cycle) off && on kernel initrd ;;
boot) off && on "$3" "initrd-$4" ;;
console) exec tail -n 0 -F console ;;
*) echo "expected off, on, cycle, boot or console, not $2" >&2 && exit 64 ;;
esac
