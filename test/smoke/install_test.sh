#!/usr/bin/env bash
# The files that `meson install` puts on a machine: the unit, the man pages, the completion, and
# that each is well-formed.
. "$(dirname "$0")/lib.sh"

build=$top/${RTVS_BUILD:-build/gcc}
root=$work/root
prefix=$root/$(meson introspect --buildoptions "$build" | json 'next(o["value"] for o in d if o["name"] == "prefix")')

installs() {
	DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
	"$prefix/sbin/rtvswitchd" --version
	"$prefix/bin/rtvsctl" --version
}

# Points of systemd-analyze security, in tenths: 0 is the best, 100 means no restriction. The
# services have 32, 11, 7 and 20.
daemon_exposure_max=35
hugepages_exposure_max=20
libvirt_exposure_max=10
vni_exposure_max=25

# The units name programs where they will be; here they are below $root.
placed_unit() { # NAME
	sed -E "s|^(Exec\w+)=/|\1=$root/|" "$prefix/lib/systemd/system/$1.service" >"$work/$1.service"
}
unit_is_valid() { # NAME
	placed_unit "$1"
	systemd-analyze verify --man=no --recursive-errors=no "$work/$1.service" 2>&1 | tee "$work/verify.txt"
	expect "what systemd says" "" "$(cat "$work/verify.txt")"
}
unit_is_closed() { # NAME TENTHS
	placed_unit "$1"
	systemd-analyze security --offline=true --threshold="$2" --no-pager "$work/$1.service" | tail -n 1
}
open_unit_is_seen() {
	placed_unit rtvswitchd
	sed -i '/^SystemCallFilter=/d; /^CapabilityBoundingSet=/d' "$work/rtvswitchd.service"
	expect_fails 'exposure' systemd-analyze security --offline=true --threshold="$daemon_exposure_max" --no-pager "$work/rtvswitchd.service"
}
bad_unit_is_seen() {
	placed_unit rtvswitchd
	sed -i 's|^Type=notify|Type=wish|' "$work/rtvswitchd.service"
	expect_match 'wish' "$(systemd-analyze verify --man=no --recursive-errors=no "$work/rtvswitchd.service" 2>&1 || :)"
}

man_pages_are_clean() {
	local page
	for page in "$prefix"/share/man/man*/*; do
		expect "what mandoc says of ${page##*/}" "" "$(mandoc -T lint -W warning "$page" || :)"
		man --warnings -l "$page" >"$work/page.txt" 2>"$work/page.err"
		expect "what man says of ${page##*/}" "" "$(cat "$work/page.err")"
		[ "$(wc -l <"$work/page.txt")" -gt 20 ]
	done
}

# What the shell offers after these words.
completions() {
	(
		set +eEu # as in a person's shell
		trap - ERR
		# shellcheck disable=SC1091 # made when the project is built
		. /usr/share/bash-completion/bash_completion
		# shellcheck disable=SC1091
		. "$prefix/share/bash-completion/completions/$1"
		COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
		"$(complete -p "$1" | sed 's/.*-F \([^ ]*\).*/\1/')" "$1" "${!#}" "${*: -2:1}" 2>/dev/null # compopt works for the shell alone
		echo "${COMPREPLY[*]}"
	)
}
completes() {
	expect_match 'port' "$(completions rtvsctl po)"
	expect_match 'add' "$(completions rtvsctl port a)"
	expect_match 'advise' "$(completions rtvsctl adv)"
	start vm qemu-system-x86_64 -S -nodefaults -display none -accel tcg -m 16 -name guest=web1,debug-threads=on
	wait_for 10 grep -q web1 "/proc/$(pid_of vm)/cmdline"
	expect_match 'detach' "$(completions rtvsctl vdpa d)"
	expect_match '--netns' "$(completions rtvsctl vdpa attach c1 --n)"
	expect "drivers" vhost "$(completions rtvsctl vdpa attach c1 --driver vh)"
	expect "guests" web1 "$(completions rtvsctl advise w)"
	stop vm
	expect_match 'bridge=' "$(completions rtvsctl port add x br)"
	# shellcheck disable=SC2317 # the completion asks it, as it asks the daemon
	rtvsctl() { if [ "$*" = '-s /x -j port list' ]; then printf '[\n {\n  "name": "vm1",\n'; fi; }
	expect "ports" vm1 "$(completions rtvsctl -s /x port set '')"
	expect "ports" vm1 "$(completions rtvsctl -s /x capture v)"
	expect "nothing for a wrong word" "" "$(completions rtvsctl zzz)"
}

virt_is_there() {
	[ -x "$build/src/virt/rtvs-hook" ] || skip "built without libvirt"
	"$prefix/libexec/rtvswitch/rtvs-hook" --version
	expect_match 'usage: rtvsctl virt' "$(RTVS_LIBEXEC_DIR=$prefix/libexec/rtvswitch "$prefix/bin/rtvsctl" virt --help)"
	expect_fails 'built or installed without libvirt' env RTVS_LIBEXEC_DIR=/nowhere "$prefix/bin/rtvsctl" virt list
	xmllint --noout "$prefix/share/rtvswitch/domain.rng"
	[ -x "$prefix/share/rtvswitch/libvirt-hook" ]
	expect_match 'attach' "$(completions rtvsctl virt at)"
}

vf_is_there() {
	local program
	for program in "$prefix/bin/rtvs-vf" "$prefix/libexec/rtvswitch/rtvs-vf.static"; do
		[ -x "$program" ] || [ "${program##*.}" = static ] || fail "$program is not there"
		[ ! -x "$program" ] || "$program" --version
	done
	expect "a command" show "$(completions rtvs-vf sh)"
	expect "a word" spoofchk "$(completions rtvs-vf set 0 spo)"
	expect "a state" enable "$(completions rtvs-vf set 0 state en)"
	expect "nothing for a number" "" "$(completions rtvs-vf set 0 vlan 1)"
}

vni_is_there() {
	local program
	for program in "$prefix/bin/rtvs-vni" "$prefix/libexec/rtvswitch/rtvs-vni.static"; do
		[ -x "$program" ] || [ "${program##*.}" = static ] || fail "$program is not there"
		[ ! -x "$program" ] || "$program" --version
	done
	expect "a command" join "$(completions rtvs-vni jo)"
	expect "an option" --if-missing "$(completions rtvs-vni create --if)"
	expect "nothing for a number" "" "$(completions rtvs-vni create --nodes 1)"
	cmp "$top/conf/rtvs-vni.conf" "$prefix/share/doc/rtvswitch/examples/rtvs-vni.conf"
}

move_is_there() {
	"$prefix/bin/rtvs-move" --version
	[ -s "$prefix/share/man/man1/rtvs-move.1" ] || [ -s "$prefix/share/man/man1/rtvs-move.1.gz" ]
	expect "a kind" qemu "$(completions rtvs-move q)"
	expect "an option" --plain "$(completions rtvs-move qemu 1 --pl)"
	expect "an option of a host" --parallel "$(completions rtvs-move host --pa)"
	expect "which one guest does not have" "" "$(completions rtvs-move qemu 1 --pa)"
	expect "nothing for a number" "" "$(completions rtvs-move host --parallel 1)"
}

wake_is_there() {
	[ -x "$build/src/wake/rtvs-wake" ] || skip "rtvs-wake is not built"
	"$prefix/bin/rtvs-wake" --version
	[ -s "$prefix/share/man/man1/rtvs-wake.1" ] || [ -s "$prefix/share/man/man1/rtvs-wake.1.gz" ]
	expect "an option" --replay "$(completions rtvs-wake --rep)"
	expect "nothing for a time" "" "$(completions rtvs-wake -d 1)"
}

run_case "meson install gives working programs" installs
run_case "the systemd unit is valid" unit_is_valid rtvswitchd
run_case "that of hugepages, too" unit_is_valid rtvswitch-hugepages
run_case "and that of libvirt's domains" unit_is_valid rtvswitch-libvirt
run_case "and that of an interface on a segment" unit_is_valid rtvs-vni@
run_case "the service is closed as far as it can be" unit_is_closed rtvswitchd $daemon_exposure_max
run_case "that of hugepages, too, is closed" unit_is_closed rtvswitch-hugepages $hugepages_exposure_max
run_case "and that of libvirt's domains is closed" unit_is_closed rtvswitch-libvirt $libvirt_exposure_max
run_case "and that of an interface on a segment is closed" unit_is_closed rtvs-vni@ $vni_exposure_max
run_case "an open service would be seen" open_unit_is_seen
run_case "a wrong unit would be seen" bad_unit_is_seen
run_case "what libvirt needs is there" virt_is_there
run_case "man pages are well-formed" man_pages_are_clean
run_case "the shell completes commands" completes
run_case "rtvs-vf, and its completion" vf_is_there
run_case "rtvs-vni, its completion and its example" vni_is_there
run_case "rtvs-move, its man page and its completion" move_is_there
run_case "rtvs-wake, its man page and its completion" wake_is_there
