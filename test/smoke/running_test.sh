#!/usr/bin/env bash
# The configuration of a daemon that was killed or restarted: the next one goes on with it, and
# never with an older one, a part, or a mixture.
. "$(dirname "$0")/lib.sh"

kept=$work/rtvsd.sock.running
info() { ctl -j system info | json "d['running']['$1']"; }
is_info() { [ "$(info "$1")" = "$2" ]; } # KEY VALUE
has_port() { ctl -j port show "$1" >/dev/null 2>&1; }
is_saved() { [ "$(ctl -j system info | json 'd["saved"]')" = "$1" ]; }
die() { stop rtvsd KILL; }

two_ports() {
	ctl bridge add br0
	ctl port add vm1 "socket=$work/vm1.sock" bridge=br0
	ctl port add vm2 "socket=$work/vm2.sock" bridge=br0
}

# Ends the daemon with the signal, starts the next one, and compares.
goes_on() { # SIGNAL [ARG...]
	ctl config dump >"$work/before.json"
	stop rtvsd "$1"
	daemon_resume rtvsd "${@:2}"
	ctl config dump >"$work/after.json"
	cmp "$work/before.json" "$work/after.json"
	expect "source" kept "$(info source)"
}

outlives_a_kill() {
	daemon_start rtvsd
	two_ports
	ctl port set vm1 deadline=2ms min_rate=20Mbit burst=15kB vlan=5
	ctl port set vm2 vlan_mode=trunk trunk=5,7-9 domain=6e7a7e8c-7d60-4b0c-9f4e-0d4b8c8a1f11
	ctl mac add br0 mac=52:54:00:00:00:01 port=vm1
	ctl system set idle_after=7ms dscp_classes=1ms:ef
	ctl port add vm3 "socket=$work/vm3.sock"
	ctl port del vm3
	goes_on KILL
	goes_on KILL
	ctl port set vm1 vlan=6
	goes_on TERM
	goes_on KILL
	expect "mode of the file" 600 "$(stat -c %a "$kept")"
	stop rtvsd
}

# What was answered is there, what was not sent is not, and two that change together are alike.
outlives_a_kill_at_any_moment() {
	local i from=8 answered sent n1 n2 rates
	daemon_start rtvsd
	two_ports
	ctl port set vm1 max_rate=8kbit
	ctl port set vm2 max_rate=8kbit
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		rm -f "$work/changes.log"
		start changes python3 "$top/test/smoke/running.py" "$work/rtvsd.sock" "$from"
		wait_for 10 grep -q begun "$work/changes.log"
		[ "$i" -lt 12 ] || wait_for 120 grep -q thousand "$work/changes.log"
		sleep "0.$((i * 37 % 10))$((i * 7 % 10))" # it may die anywhere
		die
		wait_for 20 is_stopped changes
		read -r answered sent < <(tail -n 1 "$work/changes.log")
		daemon_resume rtvsd
		rates=$(ctl -j config dump | json '"%s %s" % tuple(next(c["params"]["max_rate"] for c in d if c["params"].get("name") == n) for n in ("vm1", "vm2"))')
		n1=$(rate_number "${rates% *}")
		n2=$(rate_number "${rates#* }")
		echo "answered $answered, sent $sent, vm1 $n1, vm2 $n2"
		[ "$n1" -ge "$answered" ] && [ "$n1" -le "$sent" ] || fail "vm1 has $n1"
		expect "vm2" $((n1 / 2 * 2)) "$n2"
		[ "$answered" -gt "$from" ] || fail "nothing was changed"
		from=$((sent / 2 * 2))
	done
	stop rtvsd
}
# In kbit: what the numbers of running.py mean.
rate_number() { python3 -c '
import re, sys
n, unit = re.fullmatch(r"([\d.]+)(\w+)", sys.argv[1]).groups()
print(round(float(n) * {"bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}[unit] / 1000))' "$1"; }

fresh_forgets() {
	daemon_start rtvsd
	two_ports
	die
	daemon_resume rtvsd --fresh
	expect "ports" 0 "$(ctl -j port list | json 'len(d)')"
	expect "source" empty "$(info source)"
	goes_on KILL
	stop rtvsd
}

stops_by_hand_forget() {
	daemon_start rtvsd
	two_ports
	ctl system stop
	wait_for 10 is_stopped rtvsd
	is_gone "$kept" || fail "the file is left"
	daemon_resume rtvsd
	expect "ports" 0 "$(ctl -j port list | json 'len(d)')"
	stop rtvsd
}

saved_config() { printf '[{"method": "bridge.add", "params": {"name": "%s"}}]' "$1" >"$work/saved.json"; }

a_restart_applies_an_edited_file_and_a_crash_does_not() {
	saved_config br1
	daemon_start rtvsd --config "$work/saved.json"
	expect "source" saved "$(info source)"
	is_saved true
	two_ports
	is_saved false
	goes_on TERM --config "$work/saved.json"
	is_saved false
	saved_config br2
	goes_on KILL --config "$work/saved.json"
	grep -q 'saved.json was changed' "$work/rtvsd.log" || fail "it says nothing"
	stop rtvsd
	daemon_resume rtvsd --config "$work/saved.json"
	expect "bridges" br2 "$(ctl -j bridge list | json '" ".join(b["name"] for b in d)')"
	ctl config apply replace=no "calls=@$kept.unused"
	has_port vm2
	is_saved false
	ctl config save
	is_saved true
	ctl port set vm1 vlan=5
	is_saved false
	ctl port set vm1 vlan=0
	is_saved true # a change that is undone
	goes_on KILL --config "$work/saved.json"
	is_saved true
	stop rtvsd
	rm "$kept.unused"
}

# Not even a file that would end a start ends a crashed daemon.
a_broken_file_is_no_end_after_a_crash() {
	saved_config br1
	daemon_start rtvsd --config "$work/saved.json"
	two_ports
	echo '[{' >"$work/saved.json"
	goes_on KILL --config "$work/saved.json"
	stop rtvsd
	! daemon_resume rtvsd --config "$work/saved.json" || fail "it started"
	saved_config br1 # as the daemon knew it
	daemon_resume rtvsd --config "$work/saved.json"
	has_port vm2
	stop rtvsd
}

what_is_gone_is_named_and_the_rest_runs() {
	daemon_start rtvsd
	two_ports
	mkdir "$work/dir"
	ctl port add vm3 "socket=$work/dir/vm3.sock" bridge=br0
	die
	rm -r "$work/dir"
	daemon_resume rtvsd
	has_port vm1
	has_port vm2
	! has_port vm3 || fail "there is no directory for its socket"
	grep -q 'kept configuration: port vm3: ' "$work/rtvsd.log" || fail "it is not named"
	expect "refused" 1 "$(info refused)"
	mkdir "$work/dir"
	ctl config apply replace=no "calls=@$kept.unused"
	has_port vm3
	goes_on KILL
	stop rtvsd
	rm -r "$kept.unused" "$work/dir"
}

is_not_used() { # REGEX: the present file, for this reason
	: >"$work/rtvsd.log"
	daemon_resume rtvsd
	expect "source" empty "$(info source)"
	expect_match "$1" "$(cat "$work/rtvsd.log")"
}

damaged_files_are_not_used() {
	local how
	for how in 'truncate -s 100' 'truncate -s 67108865' 'sed -i s/vm1/vm9/' 'cp /bin/true'; do
		daemon_start rtvsd
		two_ports
		die
		$how "$kept"
		is_not_used '\.running: (line [0-9]+: .*): the saved configuration is used'
		two_ports
		goes_on KILL
		stop rtvsd
	done
}

files_of_others_are_left_alone() {
	echo precious >"$work/precious"
	for how in 'ln -s precious' 'cp --no-preserve=mode precious' 'mkfifo -m 600' 'install -m 600 -o 1 precious'; do
		rm -f "$kept"
		(cd "$work" && $how rtvsd.sock.running)
		daemon_resume rtvsd
		is_info kept false
		expect_match 'not a file of this daemon' "$(info error)"
		two_ports
		die
		[ -e "$kept" ] || [ -p "$kept" ] || fail "it was removed"
		expect "the other's file" precious "$(cat "$work/precious")"
	done
	rm -f "$kept"
}

# Its sockets and files are on a file system that is full. The file that is removed makes room for a
# new one, until that is filled, too.
full_disk_refuses_no_change() {
	local n=0
	mkdir "$work/tiny"
	: >"$work/rtvsd.log"
	mount -t tmpfs -o size=128k tmpfs "$work/tiny"
	start rtvsd "$rtvswitchd" --socket "$work/tiny/rtvsd.sock" --no-huge --idle adaptive --worker-priority normal
	(
		ctl() { "$rtvsctl" -s "$work/tiny/rtvsd.sock" "$@"; }
		n_warnings() { grep -c 'is not kept' "$work/rtvsd.log"; }
		fill() { dd if=/dev/zero of="$work/tiny/fill" bs=4k oflag=append conv=notrunc status=none || :; }
		fills_up() {
			n=$((n + 1))
			ctl port set vm1 "vlan=$n"
			fill
			is_info kept false && fill && is_info kept false
		}
		has_failed_more_than() { [ "$(info failures)" -gt "$1" ]; }
		wait_for 60 ctl -j port list
		two_ports
		expect "kept" true "$(info kept)"
		wait_for 60 fills_up
		expect_match 'No space' "$(info error)"
		[ ! -s "$work/tiny/rtvsd.sock.running" ] || fail "an old configuration is left"
		ctl port set vm1 vlan=4000
		n=$(n_warnings)
		wait_for 20 has_failed_more_than "$(info failures)"
		expect "warnings" "$n" "$(n_warnings)"
		rm -f "$work/tiny/fill"
		wait_for 60 is_info kept true
		expect "vlan in the file" 4000 "$(grep -o '"vlan":[0-9]*' "$work/tiny/rtvsd.sock.running" | cut -d: -f2)"
	)
	die
	umount "$work/tiny"
}

# Appending needs no right to the directory, a new file does.
directory_that_cannot_be_written_refuses_no_change() {
	mkdir "$work/closed"
	closed() { start rtvsd setpriv --bounding-set -dac_override "$rtvswitchd" --socket "$work/closed/rtvsd.sock" --no-huge --idle adaptive --worker-priority normal; }
	closed
	(
		ctl() { "$rtvsctl" -s "$work/closed/rtvsd.sock" "$@"; }
		wait_for 60 ctl -j port list
		two_ports
		chmod 555 "$work/closed"
		ctl port set vm1 vlan=7
		expect "kept" true "$(info kept)"
		ctl config dump -j >"$work/calls.json"
		ctl port set vm1 vlan=8
		ctl config apply "calls=@$work/calls.json"
		expect "kept" false "$(info kept)"
		expect_match 'Permission denied' "$(info error)"
		expect "bytes of an old configuration" 0 "$(stat -c %s "$work/closed/rtvsd.sock.running")"
	)
	die
	chmod 755 "$work/closed"
	closed
	(
		ctl() { "$rtvsctl" -s "$work/closed/rtvsd.sock" "$@"; }
		wait_for 60 ctl -j port list
		expect "ports" 0 "$(ctl -j port list | json 'len(d)')"
	)
	die
	rm -r "$work/closed"
}

after_failure() {
	stop rtvsd KILL || :
	umount "$work/tiny" 2>/dev/null || :
	rm -rf "$work/tiny" "$work/closed" "$work/dir" "$kept" "$kept.unused"
}

run_case "what was configured outlives a kill" outlives_a_kill
run_case "a kill at any moment of a thousand changes leaves a whole" outlives_a_kill_at_any_moment
run_case "--fresh forgets" fresh_forgets
run_case "who stops the daemon by hand begins anew" stops_by_hand_forget
run_case "a restart applies an edited file, and a crash does not" a_restart_applies_an_edited_file_and_a_crash_does_not
run_case "a broken file is no end after a crash" a_broken_file_is_no_end_after_a_crash
run_case "what is gone is named, and the rest runs" what_is_gone_is_named_and_the_rest_runs
run_case "damaged files are not used" damaged_files_are_not_used
run_case "files of others are left alone" files_of_others_are_left_alone
run_case "a full disk refuses no change" full_disk_refuses_no_change
run_case "a directory that cannot be written refuses no change" directory_that_cannot_be_written_refuses_no_change
