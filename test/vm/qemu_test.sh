#!/usr/bin/env bash
# Cases of other tests of this directory, in which QEMU decides what happens to rings, with the
# later QEMU of scripts/setup. The guest that migrates goes from there to Debian 13's: 11.1.3
# refuses the queues of 10.0.13 (docs/troubleshooting.md).
. "$(dirname "$0")/../../scripts/lib/common.sh"
enter_world "$@"
. "$lib/report.sh"

RTVS_PREFIX=${RTVS_PREFIX:-vm}
missing=$(qemu_dir)/missing
if [ -e "$missing" ]; then
	report skip "$RTVS_PREFIX/qemu: no QEMU of trixie-backports: $(cat "$missing")" 0
	exit 77
fi

rc=0
export RTVS_QEMU=backports RTVS_PREFIX=$RTVS_PREFIX/qemu
with_cases() { # TEST PATTERN
	RTVS_CASE=$2 bash "$top/test/vm/$1_test.sh" || rc=1
}
with_cases guests '@(ping|TSO is used, *|daemon killed*)'
with_cases drivers '@(legacy*|a driver is bound*|memory*)'
with_cases migration '*'
exit $rc
