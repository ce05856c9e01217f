#!/bin/sh
# A kselftest: holds the kernel that runs here against its model, and tells the result as KTAP.
#
#   VFIO_SELFTESTS_BDF    PCI devices that may be used, as for the kernel's own VFIO selftests
#   VFIO_CONFORM          how vfio-conform is started (default: npx vfio-conform)
#   VFIO_CONFORM_HOST     where the cases run (default: local)
#   VFIO_CONFORM_REPORT   a new folder for the report (default: one in /tmp)
#
# Arguments are options of `vfio-conform run`; the runner takes them from KSELFTEST_VFIO_CONFORM_SH_ARGS.

conform=${VFIO_CONFORM:-npx vfio-conform}
host=${VFIO_CONFORM_HOST:-local}
report=${VFIO_CONFORM_REPORT:-$(mktemp -d)/report}

devices=
for device in $VFIO_SELFTESTS_BDF; do devices="$devices --device $device"; done
if [ "$host" = local ] && [ -z "$devices" ]; then
	echo "1..0 # SKIP VFIO_SELFTESTS_BDF names no device"
	exit 4
fi

# shellcheck disable=SC2086 # lists of words
$conform run --host "$host" $devices --report "$report" "$@" >"$report.log" 2>&1
status=$?
if [ -f "$report/results.json" ]; then
	$conform export ktap "$report" || exit
else
	echo "Bail out! there is no report:"
	sed 's/^/# | /' "$report.log"
fi
echo "# report: $report"
exit $status
