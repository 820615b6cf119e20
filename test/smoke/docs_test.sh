#!/usr/bin/env bash
# Every command in README.md, CONTRIBUTING.md, docs/ and the manual pages' examples, typed into a
# place where the service is installed. docs.py defines the form of a document, the substitutes for
# hardware, and the commands that cannot run here, with reasons.
. "$(dirname "$0")/lib.sh"
. "$top/test/smoke/systemd.sh"

# What people install has no sanitizer.
[ "$(meson introspect --buildoptions "$build" | json "next(o['value'] for o in d if o['name'] == 'b_sanitize')")" = none ] || exit 0
place_install
# DPDK asks for iopl at each start and goes on without. Pages of the machine are nobody's here.
place_unit rtvswitchd.service SystemCallFilter=~iopl:EPERM TimeoutStopSec=20
place_unit rtvswitch-hugepages.service ExecStart= ExecStart=/bin/true
place_start
place_journal
inside systemd-sysusers "$prefix/lib/sysusers.d/rtvswitch.conf"
inside systemd-tmpfiles --create "$prefix/lib/tmpfiles.d/rtvswitch.conf"
mkdir "$work/bin"
printf '#!/bin/sh\nexec "$@"\n' >"$work/bin/sudo"
chmod +x "$work/bin/sudo"

docs() { WORK=$work PREFIX=$prefix PLACE=$systemd BUILD=$build PYTHONDONTWRITEBYTECODE=1 python3 "$work/repo/test/smoke/docs.py" "$@"; }
ln -s "$top" "$work/repo"
after_failure() { inside journalctl -n 20 --no-pager >>"$work/journal.log" 2>&1 || :; }

# Documents that say what is not so, in a copy of the repository: each of them is seen.
wrong_documents_are_seen() {
	mkdir -p "$work/copy/test/smoke"
	cp -r "$top/docs" "$top/README.md" "$top/CONTRIBUTING.md" "$top/scripts" "$top/include" "$top/conf" "$work/copy/"
	cp "$top/test/smoke/docs.py" "$work/copy/test/smoke/"
	printf '\n    rtvsctl bridge ad br7\n\nand `rtvsctl port set vm1 deadlin=1ms`, [there](nowhere.md).\n\n```\nno kind\n```\n\n    rtvsctl port list\n' >>"$work/copy/docs/tuning.md"
	sed -i '/^| `spoof_nd`/d' "$work/copy/docs/troubleshooting.md"
	in_copy() { WORK=$work PREFIX=$prefix PLACE=$systemd BUILD=$build PYTHONDONTWRITEBYTECODE=1 python3 "$work/copy/test/smoke/docs.py" "$@"; }
	in_copy run "begin docs/tuning.md"
	mapfile -t last < <(in_copy list | sed -n 's/^\(block docs\/tuning.md:[0-9]*\)\t.*/\1/p' | tail -n 3)
	expect_fails "rtvsctl bridge ad br7: status 2" in_copy run "${last[0]}"
	expect_fails "a fenced block must say what it is" in_copy run "${last[1]}"
	in_copy run "${last[2]}"
	expect_fails "no parameter deadlin" in_copy run "sentences docs/tuning.md"
	expect_fails "nowhere.md is not there" in_copy run links
	expect_fails "no row for reason spoof_nd" in_copy run tables
}

docs list >"$work/cases"
[ "$(wc -l <"$work/cases")" -gt 30 ] || { echo "hardly a case was found"; false; }
while IFS=$'\t' read -r id name <&4; do
	run_case "$name" docs run "$id"
done 4<"$work/cases"
run_case "a wrong document would be seen" wrong_documents_are_seen
