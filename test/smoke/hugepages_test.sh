#!/usr/bin/env bash
# The service's helper that reserves hugepages: on a machine that is made of files, and two pages on
# this one.
. "$(dirname "$0")/lib.sh"

fake=$work/fake
pages() { echo "$fake/sys/devices/system/node/node$1/hugepages/hugepages-$2kB/nr_hugepages"; } # NODE KB
for node in 0 1 2; do
	for kb in 2048 1048576; do
		mkdir -p "$(dirname "$(pages $node $kb)")"
		echo 0 >"$(pages $node $kb)"
	done
done
rm -r "$fake/sys/devices/system/node/node2/hugepages" # has no memory
mkdir -p "$fake/proc/sys/vm"
helper() { "$top/conf/rtvswitch-hugepages" --config "$work/config" "$@"; }
configure() { printf '%s\n' "$@" >"$work/config"; }
counts() { cat "$(pages 0 2048)" "$(pages 1 2048)" "$(pages 0 1048576)" "$(pages 1 1048576)" | xargs; }

reserves_on_each_node() {
	configure 'HUGEPAGES_2M="64"' 'HUGEPAGES_1G="1:2"'
	helper --root "$fake"
	expect "pages" "64 64 0 2" "$(counts)"
	expect_match 'are there' "$(helper --root "$fake")"
	expect "pages" "64 64 0 2" "$(counts)"
}
lowers_nothing() {
	echo 500 >"$(pages 1 2048)"
	configure 'HUGEPAGES_2M="0:32 1:128"' 'HUGEPAGES_1G=0'
	helper --root "$fake"
	expect "pages" "64 500 0 2" "$(counts)"
}
nothing_by_default() {
	cp "$top/conf/rtvswitch-hugepages.default" "$work/config"
	helper --root "$fake"
	expect "pages" "64 500 0 2" "$(counts)"
}
# A kernel that gives 40: what is written there is thrown away, and who reads hears that.
fewer_is_said() {
	local file
	file=$(pages 0 2048)
	rm "$file"
	mkfifo "$file"
	start kernel bash -c 'echo 0 >"$0"; read -r x <"$0"; echo 40 >"$0"; read -r y <"$0"; echo 40 >"$0"; echo "$x $y" >"$1"' "$file" "$work/written"
	configure 'HUGEPAGES_2M="0:100"'
	expect_fails 'node 0: the kernel gave 40 pages of 2048 kB instead of 100' timeout 10 "$top/conf/rtvswitch-hugepages" \
		--config "$work/config" --root "$fake"
	wait_for 5 test -s "$work/written"
	expect "asked for" "100 100" "$(cat "$work/written")"
	expect "memory was compacted in between" 1 "$(cat "$fake/proc/sys/vm/compact_memory")"
	rm "$file"
	echo 64 >"$file"
}
mistakes_change_nothing() {
	local value
	for value in many -1 0:x 1:2:3 1234567 7:1 "1000 9:1"; do
		configure "HUGEPAGES_2M=\"$value\""
		expect_fails 'HUGEPAGES_2M: ' helper --root "$fake"
		expect "pages" "64 500 0 2" "$(counts)"
	done
	rm "$(pages 0 1048576)"
	configure 'HUGEPAGES_1G="0:1"'
	expect_fails 'HUGEPAGES_1G: this machine has no pages of that size' helper --root "$fake"
	expect_fails 'cannot be read' "$top/conf/rtvswitch-hugepages" --config "$work/none"
	expect_fails "unknown argument 'x'" helper x
}
# Two pages more than there are; then they are given back, unless somebody else changed the number.
for_real() {
	local real=/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages had
	[ -w $real ] || skip "no hugepages of 2 MiB"
	had=$(cat $real)
	trap '[ "$(cat '$real')" != '$((had + 2))' ] || echo '"$had"' >'$real EXIT
	configure "HUGEPAGES_2M=\"0:$((had + 2))\""
	helper || skip "the kernel has no memory in one piece"
	[ "$(cat $real)" -ge $((had + 2)) ]
}

run_case "pages on each node, or on those that are named; once" reserves_on_each_node
run_case "what others reserved stays" lowers_nothing
run_case "the file that is installed asks for nothing" nothing_by_default
run_case "a kernel that gives fewer" fewer_is_said
run_case "mistakes change nothing" mistakes_change_nothing
run_case "two real pages" for_real
