#!/usr/bin/env bash
# What `meson install` puts on a machine: the unit, the man pages, the completion, and that each is well-formed.
. "$(dirname "$0")/lib.sh"

build=$top/${RTVS_BUILD:-build/gcc}
root=$work/root
prefix=$root/$(meson introspect --buildoptions "$build" | json 'next(o["value"] for o in d if o["name"] == "prefix")')

installs() {
	DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
	"$prefix/sbin/rtvswitchd" --version
	"$prefix/bin/rtvsctl" --version
}

unit_is_valid() {
	# The unit names the program where it will be; here it is below $root.
	sed "s|^ExecStart=/|ExecStart=$root/|" "$prefix/lib/systemd/system/rtvswitchd.service" >"$work/rtvswitchd.service"
	systemd-analyze verify --man=no --recursive-errors=no "$work/rtvswitchd.service" 2>&1 | tee "$work/verify.txt"
	expect "what systemd says" "" "$(cat "$work/verify.txt")"
}
bad_unit_is_seen() {
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
	expect "guests" web1 "$(completions rtvsctl advise w)"
	stop vm
	expect_match 'bridge=' "$(completions rtvsctl port add x br)"
	expect "nothing for a wrong word" "" "$(completions rtvsctl zzz)"
}

wake_is_there() {
	[ -x "$build/src/wake/rtvs-wake" ] || skip "rtvs-wake is not built"
	"$prefix/bin/rtvs-wake" --version
	[ -s "$prefix/share/man/man1/rtvs-wake.1" ] || [ -s "$prefix/share/man/man1/rtvs-wake.1.gz" ]
	expect "an option" --replay "$(completions rtvs-wake --rep)"
	expect "nothing for a time" "" "$(completions rtvs-wake -d 1)"
}

run_case "meson install gives working programs" installs
run_case "the systemd unit is valid" unit_is_valid
run_case "a wrong unit would be seen" bad_unit_is_seen
run_case "man pages are well-formed" man_pages_are_clean
run_case "the shell completes commands" completes
run_case "rtvs-wake, its man page and its completion" wake_is_there
