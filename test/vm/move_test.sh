#!/usr/bin/env bash
# Running guests are moved to another QEMU process on the same host (rtvs-move), while one pings the
# other through the switch: by each way, again, to another version, with each side killed at each
# step. What cannot be moved is refused with its reasons, and runs on.
. "$(dirname "$0")/lib.sh"

move=$build/src/move/rtvs-move
qemu=$(type -P qemu-system-x86_64)
export RTVS_SOCKET=$work/rtvsd.sock
daemon_start rtvsd
ctl bridge add br0
for name in a b; do ctl port add $name "socket=$work/$name.sock" bridge=br0; done
vm_start a "nic=$work/a.sock" mac=52:54:00:00:00:0a ip=10.0.0.1/24 "memory=/dev/shm/a" qemu=-pidfile "qemu=$work/a.number"
vm_start b "nic=$work/b.sock" mac=52:54:00:00:00:0b ip=10.0.0.2/24 machine=q35,aux-ram-share=on
wait_guests a b
wait_for 20 guest_pings a 10.0.0.2
in_guest a 20 "dd if=/dev/urandom of=/dev/shm/data bs=1M count=4 2>/dev/null; md5sum /dev/shm/data >/tmp/sum; cat /proc/sys/kernel/random/boot_id >/tmp/boot
	(setsid ping -i 0.02 10.0.0.2 >/tmp/ping 2>&1 &)"

# A move that stands still has the control socket.
after_failure() { stop mover KILL; stop tiny KILL; }
moves() { "$move" qemu "$(pid_of "$1")" --to "$qemu" "${@:2}"; } # NAME OPTION...
# The process of the guest is this one from now on, as JSON says.
follow() { json 'd["pid"]' <"$work/$1.move" >"$work/$1.pid"; } # NAME
# The same kernel, with the same memory, and its pings are answered.
goes_on() {
	in_guest a 60 "(cmp /proc/sys/kernel/random/boot_id /tmp/boot && md5sum -c /tmp/sum || exit 1
		count() { grep -c 'bytes from' /tmp/ping; }
		n=\$((\$(count) + 5)); for i in \$(seq 500); do [ \$(count) -lt \$n ] || exit 0; sleep 0.1; done; exit 1)"
}
is_status() { [ "$(vm_qmp "$1" query-status | json 'd["status"]')" = "$2" ]; } # NAME STATUS
capability() { vm_qmp "$1" query-migrate-capabilities | json "next(c['state'] for c in d if c['capability'] == '$2')"; }
is_alone() { ! compgen -G "$work/*.rtvs-move*" && ! compgen -G '/run/rtvs-move-*'; }
n_drops() { ctl -j stats drops | json 'sum(r["count"] for p in d for r in p["drops"])'; }
# Guest, way, options: it is moved, and only as much is sent as the way needs.
moved_by() { # NAME WAY [OPTION...]
	local old drops
	old=$(pid_of "$1")
	drops=$(n_drops)
	moves "$1" --json "${@:3}" >"$work/$1.move" || fail "$(cat "$work/$1.move")"
	cat "$work/$1.move"
	follow "$1"
	expect "way" "$2" "$(json 'd["way"]' <"$work/$1.move")"
	expect "copied" "$([ "$2" = plain ] && echo true || echo false)" "$(json 'd["copied"]' <"$work/$1.move")"
	[ "$2" = plain ] || json 'd["copied_mib"] < d["ram_mib"] / 100' <"$work/$1.move" | has_line true
	[ "$old" != "$(pid_of "$1")" ]
	! kill -0 "$old" 2>/dev/null || fail "the old process is there"
	kill -0 "$(pid_of "$1")"
	echo "$1" >>"$work/moves"
	is_status "$1" running
	is_alone
	goes_on
	# A copy takes longer than packets wait.
	[ "$2" = plain ] || expect "dropped packets" "$drops" "$(n_drops)"
}

named_memory_stays() {
	moved_by a x-ignore-shared
	# Another migration, to another host, takes the memory along.
	expect "capability" false "$(capability a x-ignore-shared)"
	expect "file of the process" "$(pid_of a)" "$(cat "$work/a.number")"
	in_guest a 5 "echo after-the-move >/dev/ttyS0"
	wait_for 5 grep -q after-the-move "$work/a.serial"
	grep -q G-READY "$work/a.serial"
	# Its arguments have other names, and its files the old ones.
	moved_by a x-ignore-shared
	moved_by a x-ignore-shared
}
descriptors_stay() {
	moved_by b cpr-transfer
	moved_by b cpr-transfer
}
memory_is_copied() {
	moved_by a plain --plain
	moved_by a x-ignore-shared
	expect "files" /dev/shm/a "$(echo /dev/shm/a*)"
}
steps_are_shown() {
	moves a >"$work/out"
	cat "$work/out"
	expect "steps" "start prepare send confirm end rename" "$(awk '$2 == "ms" {printf "%s%s", n++ ? " " : "", $3}' "$work/out")"
	sed -n 's/^moved to process \([0-9]*\):.*/\1/p' "$work/out" >"$work/a.pid"
	# By its socket, too.
	"$move" qemu "$work/a.qmp" --to "$qemu" --check | tee "$work/out"
	grep -q 'by x-ignore-shared: all memory' "$work/out"
	goes_on
}

# A move of the guest that stands still behind a step; mover is its process.
stopped_behind() { # NAME STEP [OPTION...]
	: >"$work/mover.log"
	RTVS_MOVE_STOP=$2 start mover "$move" qemu "$(pid_of "$1")" --to "$qemu" "${@:3}"
	wait_for 60 is_still mover
	destination=$(pgrep -P "$(pid_of mover)" -f -- -incoming)
}
is_still() { [ "$(ps -o stat= -p "$(pid_of "$1")" | cut -c 1)" = T ]; }
ended() { ! kill -0 "$1" 2>/dev/null || [ "$(ps -o stat= -p "$1" | cut -c 1)" = Z ]; }
is_as_before() { # NAME
	local name
	wait_for 30 ended "$destination"
	wait_for 30 is_alone
	is_status "$1" running
	for name in x-ignore-shared return-path; do expect $name false "$(capability "$1" $name)"; done
	expect mode normal "$(vm_qmp "$1" query-migrate-parameters | json 'd["mode"]')"
	goes_on
}
mover_ends() { # STATUS TEXT
	local rc=0
	kill -CONT "$(pid_of mover)" 2>/dev/null || :
	wait "$(pid_of mover)" || rc=$?
	cat "$work/mover.log"
	expect "status" "$1" $rc
	grep -q "$2" "$work/mover.log" || fail "no '$2'"
}

destination_dies() {
	local guest
	stopped_behind a start
	kill -KILL "$destination"
	mover_ends 1 'the guest goes on where it was'
	is_as_before a
	for guest in a b; do
		stopped_behind $guest prepare
		kill -KILL "$destination"
		mover_ends 1 'the guest goes on where it was'
		is_as_before $guest
		# While it receives: it stands still, so the source waits for its word.
		stopped_behind $guest prepare
		kill -STOP "$destination"
		kill -CONT "$(pid_of mover)"
		wait_for 30 grep -q 'ms  send' "$work/mover.log"
		kill -KILL "$destination"
		mover_ends 1 'the guest goes on where it was'
		is_as_before $guest
	done
}
mover_is_interrupted() {
	local signal
	for signal in INT TERM; do
		stopped_behind a prepare
		kill -$signal "$(pid_of mover)"
		mover_ends 1 'the guest goes on where it was: interrupted'
		is_as_before a
	done
	# A copy, which waits for its destination.
	stopped_behind a prepare --plain
	kill -STOP "$destination"
	kill -CONT "$(pid_of mover)"
	wait_for 30 grep -q 'ms  send' "$work/mover.log"
	kill -INT "$(pid_of mover)"
	mover_ends 1 'the guest goes on where it was: interrupted'
	is_as_before a
	# What takes milliseconds is finished.
	stopped_behind b send
	kill -INT "$(pid_of mover)"
	mover_ends 0 'moved to process'
	echo "$destination" >"$work/b.pid"
	is_status b running
	goes_on
}
mover_is_killed() {
	local step
	for step in start prepare; do
		stopped_behind a $step
		kill -KILL "$(pid_of mover)"
		mover_ends 137 ''
		is_as_before a
	done
	stopped_behind b prepare
	kill -KILL "$(pid_of mover)"
	mover_ends 137 ''
	is_as_before b
	# The QEMUs finish without it; the source has no guest any more.
	for step in send confirm end rename; do
		stopped_behind a $step
		kill -KILL "$(pid_of mover)"
		mover_ends 137 ''
		if [ $step = send ] || [ $step = confirm ]; then
			wait_for 30 is_status a postmigrate
			expect_fails 'postmigrate.: it was moved to another process already' moves a --check
			expect_fails 'a move to it is not over' "$move" qemu "$destination" --to "$qemu" --check
			kill -KILL "$(pid_of a)"
		fi
		wait_for 30 ended "$(pid_of a)"
		echo "$destination" >"$work/a.pid"
		for file in "$work"/a.*.rtvs-move*; do
			[ ! -e "$file" ] || mv "$file" "${file%.rtvs-move*}"
		done
		rm -rf /run/rtvs-move-*
		is_status a running
		vm_qmp a migrate-set-capabilities '{"capabilities": [{"capability": "x-ignore-shared", "state": false}, {"capability": "return-path", "state": false}]}'
		goes_on
	done
}

# A machine of firmware alone: quick to start, and nothing is lost with it.
tiny_start() { # NAME WORD...
	rm -f "$work/$1.qmp"
	start "$1" "$qemu" -nodefaults -display none -M q35 -accel tcg -m 64 "${@:2}"
}
tiny_with_qmp() { # NAME WORD...
	tiny_start "$@" -qmp "unix:$work/$1.qmp,server=on,wait=off"
	wait_for 30 vm_qmp "$1" query-status
}
named=(-object "memory-backend-file,id=mem,size=64M,mem-path=/dev/shm/tiny,share=on" -machine memory-backend=mem)
has_sent() { [ "$(vm_qmp "$1" query-migrate | json 'd.get("status")')" = completed ]; }
source_dies() {
	tiny_with_qmp tiny "${named[@]}"
	stopped_behind tiny prepare
	kill -KILL "$(pid_of tiny)"
	mover_ends 4 'the guest ended with the source'
	wait_for 30 ended "$destination"
	is_alone
	rm -f "$work/tiny.pid"
	# Once the guest is in the destination nobody needs the source.
	tiny_with_qmp tiny "${named[@]}"
	stopped_behind tiny confirm
	kill -KILL "$(pid_of tiny)"
	mover_ends 0 'moved to process'
	echo "$destination" >"$work/tiny.pid"
	is_status tiny running
	stop tiny
	# Gone before its word that all is sent could be read. rtvs-move has the first socket.
	tiny_with_qmp tiny "${named[@]}" -qmp "unix:$work/second.qmp,server=on,wait=off"
	stopped_behind tiny send
	wait_for 30 has_sent tiny
	kill -KILL "$(pid_of tiny)"
	mover_ends 0 'moved to process'
	echo "$destination" >"$work/tiny.pid"
	is_status tiny running
	stop tiny
}

refused() { expect_fails "$1" "$move" qemu "${@:2}" --to "$qemu"; } # REGEX ARGUMENT...
refusals() {
	local fd
	refused 'process 4000000: No such process' 4000000
	refused 'nosuch: No such file or directory' "$work/nosuch"
	start sleeper sleep 100
	refused 'has no QMP socket: it needs -qmp' "$(pid_of sleeper)"
	stop sleeper
	tiny_start tiny
	wait_for 30 grep -q nodefaults "/proc/$(pid_of tiny)/cmdline"
	refused 'the process has no QMP socket' "$(pid_of tiny)"
	stop tiny
	# Memory of no file, and a device and more that came later.
	tiny_with_qmp tiny -device pcie-root-port,id=root
	refused 'x-ignore-shared: memory pc.ram is a memory-backend-ram: it needs a file with a name' "$(pid_of tiny)"
	refused 'cpr-transfer: the machine was started without aux-ram-share=on' "$(pid_of tiny)"
	moves tiny --check --plain
	vm_qmp tiny device_add '{"driver": "virtio-rng-pci", "bus": "root", "id": "late"}'
	vm_qmp tiny object-add '{"qom-type": "iothread", "id": "later"}'
	vm_qmp tiny chardev-add '{"id": "latest", "backend": {"type": "null", "data": {}}}'
	vm_qmp tiny stop
	moves tiny --check --json --plain >"$work/out" || :
	cat "$work/out"
	for text in 'device late was added' 'object later was added' 'chardev latest was added' 'its state is paused'; do
		json 'd["reasons"]' <"$work/out" | has_line "$text" || fail "no '$text'"
	done
	expect "way" None "$(json 'd["way"]' <"$work/out")"
	stop tiny
	# A file that is not the one of the process.
	tiny_with_qmp tiny "${named[@]}"
	moves tiny --check | has_line 'by x-ignore-shared'
	mv /dev/shm/tiny /dev/shm/tiny.other
	refused 'x-ignore-shared: memory mem: /dev/shm/tiny is not the file that the process has' "$(pid_of tiny)"
	truncate -s 64M /dev/shm/tiny
	refused 'x-ignore-shared: memory mem: /dev/shm/tiny is not the file that the process has' "$(pid_of tiny)"
	rm /dev/shm/tiny.other
	# The target.
	expect_fails 'cannot be executed: No such file' "$move" qemu "$(pid_of tiny)" --to /nosuch
	expect_fails 'the target does not start as a QEMU' "$move" qemu "$(pid_of tiny)" --to /bin/true
	# Somebody else has the socket.
	exec {fd}<> >(python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(9999); open(sys.argv[1] + ".held", "w"); sys.stdin.read()' "$work/tiny.qmp")
	wait_for 30 test -e "$work/tiny.qmp.held"
	refused 'no QMP socket is free: .*another client has it' "$(pid_of tiny)"
	exec {fd}>&-
	stop tiny
	# The switch.
	expect_fails 'rtvswitchd is not reachable to permit second connections' moves a --check -s "$work/nosuch"
	goes_on
}
wrong_usage() {
	local rc
	for words in "" "qemu" "qemu 1" "nosuch x --to y" "qemu 1 2 --to y" "--nosuch" "qemu 1 --to"; do
		rc=0
		# shellcheck disable=SC2086 # they are words
		"$move" $words >"$work/out" 2>&1 || rc=$?
		expect "status of '$words'" 2 $rc
		grep -q "Try 'rtvs-move --help'" "$work/out"
	done
	expect_match 'Exit status: 0 moved' "$("$move" --help)"
}

# Debian 13's QEMU gives virtio queues a size that the later one refuses: the guest goes on.
other_version_refuses() {
	[ ! -e "$(qemu_dir)/missing" ] || skip "no QEMU of trixie-backports: $(cat "$(qemu_dir)/missing")"
	local destination=none
	vm_find_qemu backports
	printf '#!/bin/sh\nexec %s "$@"\n' "${vm_qemu[*]}" >"$work/later"
	chmod +x "$work/later"
	expect_fails 'the guest goes on where it was: the destination ended: .*load of migration failed' "$move" qemu "$(pid_of a)" --to "$work/later"
	destination=$(pid_of mover 2>/dev/null || echo 4000000)
	is_as_before a
}
# And the other way, which its guest can go.
other_version_takes() {
	[ ! -e "$(qemu_dir)/missing" ] || skip "no QEMU of trixie-backports: $(cat "$(qemu_dir)/missing")"
	ctl port add c "socket=$work/c.sock" bridge=br0
	vm_start c "nic=$work/c.sock" mac=52:54:00:00:00:0c ip=10.0.0.3/24 mem=192 memory=/dev/shm/c machine=pc-q35-10.0 release=backports
	wait_guests c
	wait_for 20 guest_pings c 10.0.0.2
	expect "version" 11 "$(vm_qmp c query-version | json 'd["qemu"]["major"]')"
	moves c --json >"$work/c.move" || fail "$(cat "$work/c.move")"
	cat "$work/c.move"
	follow c
	json 'd["way"] == "x-ignore-shared" and not d["copied"]' <"$work/c.move" | has_line true
	expect "version" 10 "$(vm_qmp c query-version | json 'd["qemu"]["major"]')"
	in_guest c 10 "ping -c 5 -i 0.1 -W 2 10.0.0.2"
	stop c
}
pings_were_answered() {
	in_guest a 10 "pkill -INT -x ping; (for i in \$(seq 50); do ! grep loss /tmp/ping || exit 0; sleep 0.1; done; exit 1)" >"$work/pings"
	echo "$suite: pings of $(grep -c . "$work/moves") moves: $(cat "$work/pings")" >&3
	is_conserved
}

run_case "memory in a file with a name stays (x-ignore-shared), again and again" named_memory_stays
run_case "memory in descriptors is handed over (cpr-transfer)" descriptors_stay
run_case "--plain copies it" memory_is_copied
run_case "each step is shown; the socket names the QEMU, too" steps_are_shown
run_case "a destination that dies leaves the guest where it was" destination_dies
run_case "SIGINT and SIGTERM take a move back, or wait for its end" mover_is_interrupted
run_case "a killed rtvs-move leaves one QEMU that runs the guest" mover_is_killed
run_case "a source that dies" source_dies
run_case "what cannot be moved is refused with its reasons" refusals
run_case "wrong usage" wrong_usage
run_case "the state is refused by another version: the guest goes on" other_version_refuses
run_case "to another version" other_version_takes
run_case "the pings of all that time" pings_were_answered
