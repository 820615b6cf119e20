#!/usr/bin/env bash
# All guests of one QEMU are moved to another one (rtvs-move host), as after an upgrade: both have
# one path, and the guests run in the file that was there before. One guest cannot be moved, one is
# killed meanwhile, and Ctrl-C comes in the middle. The guests are machines of firmware alone.
. "$(dirname "$0")/lib.sh"

move=$build/src/move/rtvs-move
program=$work/qemu
guests=(g0 g1 g2 g3 g4 g5 g6 g7 g8)
cp "$(type -P qemu-system-x86_64)" "$program"

guest_start() { # NAME WORD...
	start "$1" "$program" -L /usr/share/qemu -L /usr/share/seabios -name "guest=$1" -nodefaults -display none -M q35,memory-backend=mem -accel tcg -m 32 \
		-object "memory-backend-file,id=mem,size=32M,mem-path=/dev/shm/$1,share=on" "${@:2}"
}
for name in "${guests[@]}"; do guest_start "$name" -qmp "unix:$work/$name.qmp,server=on,wait=off"; done
guest_start mute
is_up() { vm_qmp "$1" query-status; }
for name in "${guests[@]}"; do wait_for 60 is_up "$name"; done

# The same program in another file, as dpkg does it.
upgrade() {
	cp "$program" "$program.new"
	mv "$program.new" "$program"
}
host() { "$move" host --from "$program" --to "$program" "$@"; }
# Exit status, options: the report is in host.out, and what it said in host.log.
host_ends() { # STATUS OPTION...
	local rc=0
	host --json "${@:2}" >"$work/host.out" 2>"$work/host.log" || rc=$?
	cat "$work/host.out" "$work/host.log"
	expect "status" "$1" $rc
}
told() { json "$1" <"$work/host.out"; } # EXPRESSION
names_in() { told "' '.join(sorted(str(g['name']) for g in d['$1']))"; } # LIST
# The processes of those that were moved are these from now on.
follow() {
	local name pid
	while read -r name pid; do
		echo "$pid" >"$work/$name.pid"
	done < <(told "'\n'.join('%s %d' % (g['name'], g['to_pid']) for g in d['moved'])")
}
is_former() { [ "$(readlink "/proc/$(pid_of "$1")/exe")" = "$program (deleted)" ]; } # NAME
runs() { [ "$(vm_qmp "$1" query-status | json 'd["status"]')" = running ]; } # NAME
all_run() {
	local name
	for name in "$@"; do
		kill -0 "$(pid_of "$name")"
		runs "$name" || fail "$name does not run"
	done
	kill -0 "$(pid_of mute)"
	! compgen -G "$work/*.rtvs-move*" || fail "names were left"
	! compgen -G '/run/rtvs-move-*' || fail "directories were left"
}
no_memory_was_copied() { told 'all(not g["copied"] and g["way"] == "x-ignore-shared" and g["copied_mib"] < 1 and g["wall_ms"] > 0 for g in d["moved"])' | has_line true; }

nobody_is_to_be_moved() {
	host >"$work/out"
	cat "$work/out"
	grep -q "no process runs $program as it was before" "$work/out"
	"$move" host --from /nosuch --to "$program" | has_line 'no process runs /nosuch, which is not there'
	expect_fails '/nosuch: No such file' "$move" host --from "$program" --to /nosuch
	expect_fails "'65' is not a number from 1 to 64" host --parallel 65
}
a_check_moves_nobody() {
	local name
	upgrade
	host_ends 1 --check --parallel 2
	expect "movable" "${guests[*]}" "$(names_in movable)"
	expect "refused" mute "$(names_in refused)"
	for name in "${guests[@]}" mute; do is_former "$name"; done
	all_run "${guests[@]}"
}
nine_of_ten_are_moved() {
	local name before
	before=$(for name in "${guests[@]}"; do pid_of "$name"; done | sort -n)
	host_ends 1 --parallel 3
	expect "moved" "${guests[*]}" "$(names_in moved)"
	expect "their processes" "$before" "$(told "'\n'.join(str(p) for p in sorted(g['pid'] for g in d['moved']))")"
	expect "refused" "mute $(pid_of mute)" "$(told "' '.join('%s %d' % (g['name'], g['pid']) for g in d['refused'])")"
	expect_match 'the process has no QMP socket' "$(told 'd["refused"][0]["reasons"]')"
	for name in lost ended left_out; do expect $name 0 "$(told "len(d['$name'])")"; done
	no_memory_was_copied
	follow
	for name in "${guests[@]}"; do ! is_former "$name" || fail "$name is in the former file"; done
	is_former mute
	all_run "${guests[@]}"
}

# A host's move whose guests each stand still behind a step; mover is its process.
stopped_behind() { # STEP N
	: >"$work/mover.log"
	RTVS_MOVE_STOP=$1 start mover "$move" host --from "$program" --to "$program" --json --parallel "$2"
	wait_for 60 are_still "$2"
}
are_still() { [ "$(ps -o stat= --ppid "$(pid_of mover)" | grep -c '^T')" = "$1" ]; }
go_on() { pkill -CONT -P "$(pid_of mover)" -f ' qemu [0-9]' || :; }
have_gone_on() {
	go_on
	is_stopped mover
}
mover_ends() { # STATUS
	local rc=0
	wait_for 120 have_gone_on
	wait "$(pid_of mover)" || rc=$?
	rm "$work/mover.pid"
	cat "$work/mover.log"
	mv "$work/mover.log" "$work/host.out"
	expect "status" "$1" $rc
}
after_failure() { stop mover KILL; }

interrupted() {
	local name
	upgrade
	# Two are handed over already, and are finished; the others were not begun.
	stopped_behind confirm 2
	kill -INT "$(pid_of mover)"
	mover_ends 1
	expect "moved" 2 "$(told 'len(d["moved"])')"
	expect "lost" 0 "$(told 'len(d["lost"])')"
	expect "not begun" 7 "$(told 'sum(g["reasons"] == ["interrupted before its move began"] for g in d["refused"] if g["name"] != "mute")')"
	for name in $(names_in refused); do is_former "$name"; done
	follow
	all_run "${guests[@]}"
	# Two are not, and are taken back.
	stopped_behind prepare 2
	kill -TERM "$(pid_of mover)"
	mover_ends 1
	expect "refused" 8 "$(told 'len(d["refused"])')"
	expect "taken back" 2 "$(told 'sum(g["reasons"] == ["the guest goes on where it was: interrupted"] for g in d["refused"])')"
	for name in $(names_in refused); do is_former "$name"; done
	all_run "${guests[@]}"
}
one_is_killed() {
	local victim name
	stopped_behind prepare 2
	# The first that moves.
	victim=$(pgrep -P "$(pid_of mover)" -f ' qemu [0-9]' | head -n 1)
	victim=$(tr '\0' '\n' <"/proc/$victim/cmdline" | sed -n 3p)
	kill -KILL "$victim"
	mover_ends 4
	expect "lost" "$victim" "$(told "' '.join(str(g['pid']) for g in d['lost'])")"
	expect_match 'the guest ended with the source' "$(told 'd["lost"][0]["reasons"]')"
	expect "moved" 6 "$(told 'len(d["moved"])')"
	expect "refused" mute "$(names_in refused)"
	follow
	name=$(names_in lost)
	rm "$work/$name.pid"
	for name in "${guests[@]}"; do
		[ ! -e "$work/$name.pid" ] || all_run "$name"
	done
}
lines_are_shown() {
	local rc=0
	host >"$work/out" 2>&1 || rc=$?
	cat "$work/out"
	expect "status" 1 $rc
	grep -q '^1 guest of ' "$work/out"
	grep -q "^1 of 1  guest mute  pid $(pid_of mute)  refused: the process has no QMP socket" "$work/out"
	grep -q '^0 moved, 1 refused, 0 lost; ' "$work/out"
	grep -q "^guest mute, pid $(pid_of mute): refused, and runs on where it was:" "$work/out"
}

run_case "nobody runs in a former file" nobody_is_to_be_moved
run_case "a check after an upgrade moves nobody" a_check_moves_nobody
run_case "nine of ten guests are moved, and one runs on" nine_of_ten_are_moved
run_case "Ctrl-C: those that move are finished or taken back, the others stay" interrupted
run_case "a guest that is killed meanwhile is reported, and the others are moved" one_is_killed
run_case "people see a line for each guest" lines_are_shown
