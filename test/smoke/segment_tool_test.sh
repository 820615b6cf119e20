#!/usr/bin/env bash
# rtvs-vni: the files that it makes and refuses, its view of a segment, and its error messages.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/segment.sh"

is_made_and_listed() {
	expect "size" $((16 << 20)) "$(stat -c %s "$seg")"
	expect "mode" 660 "$(stat -c %a "$seg")"
	expect "geometry" "coherent pool 4 2048 2048 0" "$(list | json '" ".join(str(d[k]) for k in ("memory", "buffers", "max_nodes", "slot_bytes", "inbox_size", "slots_reaped"))')"
	is_all_free
	expect_match '16MiB, coherent, common pool; [0-9]* slots of 2KiB' "$("$vni" list "$seg")"
}

every_number_and_no_more() {
	local all=/dev/shm/all i
	"$vni" create $all --nodes 64
	for ((i = 0; i < 64; i++)); do
		start "many$i" ip netns exec d "$vni" join $all --tap "t$i"
	done
	all_there() { [ "$("$vni" list -j $all | json 'len([n for n in d["nodes"] if n["state"] == "live"])')" = 64 ]; }
	wait_for 30 all_there
	refused 1 'all 64 numbers are in use' ns d "$vni" join $all --tap t64
	for ((i = 0; i < 64; i++)); do kill -TERM "$(pid_of "many$i")"; done
	for ((i = 0; i < 64; i++)); do
		wait_for 10 is_stopped "many$i"
		rm "$work/many$i.pid" "$work/many$i.log"
	done
	rm $all
}

wrong_files_are_refused() {
	local bad=/dev/shm/bad
	refused 1 'there is no such file: rtvs-vni create' "$vni" list $bad
	refused 1 'is neither a file nor' "$vni" list /dev/shm
	refused 1 'is neither a file nor' "$vni" list /dev/null
	refused 1 'is neither a file nor' "$vni" create /dev/zero
	refused 1 'is no device that can hold a segment' "$vni" create /dev/zero --force
	refused 1 'exists already' "$vni" create /sys/kernel/mm/transparent_hugepage/enabled
	echo "a letter" >$bad
	refused 1 'is no segment' "$vni" list $bad
	refused 1 'is no segment' ns c "$vni" join $bad --tap c
	refused 1 'is no segment: it is not replaced' "$vni" create $bad --force
	expect "the letter" "a letter" "$(cat $bad)"
	: >$bad
	refused 1 'is empty' "$vni" reap $bad
	rm $bad
	"$vni" create $bad --size 4M
	printf '\2' | dd of=$bad bs=1 seek=8 conv=notrunc 2>/dev/null
	refused 1 'another version than 1' "$vni" list $bad
	printf '\1' | dd of=$bad bs=1 seek=8 conv=notrunc 2>/dev/null
	"$vni" list $bad
	printf '\377' | dd of=$bad bs=1 seek=20 conv=notrunc 2>/dev/null # nodes
	refused 1 'its header is out of range' ns c "$vni" join $bad --tap c
	"$vni" create $bad --size 4M --force
	truncate -s 2M $bad
	refused 1 'is shorter \(2MiB\)' ns c "$vni" join $bad --tap c
	rm $bad
}

# All of its nodes say so and end; nobody is ended by a signal, and other segments do not notice.
truncated_file_is_said() {
	local seg=/dev/shm/short
	"$vni" create $seg --size 4M
	node_start c
	"$vni" create /dev/shm/whole --size 4M
	seg=/dev/shm/whole node_start d
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'name=c' "$work/watch.log"
	truncate -s 0 $seg
	node_ends c 1
	says c 'the file was truncated'
	watch_ends 'the file was truncated'
	is_running node_d
	node_ends d 0 TERM
	refused 1 'is empty' "$vni" list $seg
	rm $seg
	"$vni" create $seg --size 4M
	node_start c
	# Frames that go over what is missing, not only the header.
	node_start b
	wait_for 5 can_ping c 10.0.0.2
	start flood ip netns exec c ping -f -q -s 1400 10.0.0.2
	truncate -s 2M $seg
	node_ends c 1
	node_ends b 1
	stop flood INT || :
	rm $seg /dev/shm/whole
}

no_room_leaves_nothing() {
	mkdir "$work/small"
	mount -t tmpfs -o size=8M tmpfs "$work/small"
	refused 1 'has no room for 64MiB' "$vni" create "$work/small/segment"
	expect "what is left" "" "$(ls -A "$work/small")"
	expect "pages in use" 0 "$(df --output=used "$work/small" | tail -n 1 | tr -d ' ')"
	"$vni" create "$work/small/segment" --size 6M
	refused 1 'has no room for 6MiB' "$vni" create "$work/small/segment" --size 6M --force
	"$vni" list "$work/small/segment"
	umount "$work/small"
	rmdir "$work/small"
}

missing_ones_are_made() {
	local seg=/dev/shm/missing
	"$vni" create $seg --if-missing --size 4M
	node_start c
	"$vni" create $seg --if-missing --size 8M
	expect "size" $((4 << 20)) "$(stat -c %s $seg)"
	expect "state" live "$(of_node c state)"
	node_ends c 0 TERM
	echo "a letter" >$seg
	refused 1 'exists and is no segment' "$vni" create $seg --if-missing
	rm $seg
}

rights_are_the_files() {
	local seg=/dev/shm/closed
	as() { setpriv --reuid 12345 --regid "$1" --clear-groups "${@:2}"; } # GID COMMAND...
	chmod 755 "$build" "$build/src" "$build/src/segment" 2>/dev/null || :
	as 12345 "$vni" --version || skip "nobody else can run it from here"
	"$vni" create $seg --size 4M --group 4242
	expect "owner" "root:4242" "$(stat -c %U:%g $seg)"
	refused 1 'permission denied: its owner, mode and group decide who may read it' as 12345 "$vni" list $seg
	refused 1 'who may read and write it' as 12345 "$vni" join $seg --tap c
	as 4242 "$vni" list $seg
	refused 1 'zz: not permitted|/dev/net/tun: Permission denied' as 4242 "$vni" join $seg --tap zz
	refused 1 "/etc/group has no 'nobody-knows'" "$vni" create $seg --group nobody-knows --force
	refused 1 'only root and its members' as 12345 "$vni" create /dev/shm/theirs --group 0
	rm $seg
	"$vni" create $seg --size 4M --mode 0600
	refused 1 'permission denied' as 4242 "$vni" list $seg
	rm $seg
}

usage_is_checked() {
	refused 2 'which command' "$vni"
	refused 2 "no command 'jion'; did you mean 'join'" "$vni" jion
	refused 2 'which file' "$vni" list
	refused 2 'create: --foo is no option' "$vni" create x --foo
	refused 2 'create: --size needs a value' "$vni" create x --size
	refused 2 'create: --force=yes is no option, or takes no value' "$vni" create x --force=yes
	refused 2 'list: there is no option -x' "$vni" list x -jx
	refused 2 'watch: -c needs a value' "$vni" watch x -c
	refused 2 "\--tap: '' is not the name" "$vni" join x --tap ''
	refused 1 'exists and is no file' "$vni" create /dev/shm --force
	refused 1 '/dev/shm/no/: there is no such directory' "$vni" create /dev/shm/no/x
	refused 2 'more than one file: y' "$vni" create x y
	refused 2 "\--size: '64' is not a size with its unit" "$vni" create x --size 64
	refused 2 "\--size: '64Q'" "$vni" create x --size 64Q
	refused 2 "\--nodes: '65' is not a number from 2 to 64" "$vni" create x --nodes 65
	refused 2 "\--nodes: '1' is not" "$vni" create x --nodes 1
	refused 2 "\--slots: '63' is not a number from 64" "$vni" create x --slots 63
	refused 2 "\--inbox: '65537' is not" "$vni" create x --inbox 65537
	refused 2 "\--slot-bytes: '1024' is not" "$vni" create x --slot-bytes 1024
	refused 2 'slot-bytes: 3000 is not a power of two' "$vni" create /dev/shm/x --slot-bytes 3000
	refused 2 'inbox: 100 is not a power of two' "$vni" create /dev/shm/x --inbox 100
	refused 2 'inbox: 100 is not' "$vni" create "$seg" --inbox 100 # before it is looked whether it exists
	refused 2 'buffers: non-coherent memory has separate ones anyway' "$vni" create /dev/shm/x --noncoherent --separate
	refused 2 'size: is too small for 64 nodes' "$vni" create /dev/shm/x --size 1M --nodes 64
	refused 2 "\--mode: '999' is not an octal mode" "$vni" create x --mode 999
	refused 2 '\--tap NAME is needed' "$vni" join "$seg"
	refused 2 "\--mtu: '65522' is not a number from 68 to 65521" "$vni" join "$seg" --tap c --mtu 65522
	refused 2 "\--mac: '01:00:5e:00:00:01' is not the address of one interface" "$vni" join "$seg" --tap c --mac 01:00:5e:00:00:01
	refused 2 "\--name: 'a b' is not a name" "$vni" join "$seg" --tap c --name 'a b'
	refused 2 "\--node: '64' is not" "$vni" join "$seg" --tap c --node 64
	refused 2 "\--tap: 'sixteen-letters-' is not the name of an interface, 1 to 15 letters" "$vni" join "$seg" --tap sixteen-letters-
	refused 2 "\--tap: 'a/b' is not" "$vni" join "$seg" --tap a/b
	refused 2 "\--count: '0' is not" "$vni" watch --count 0 "$seg"
	refused 1 'there is no ivshmem device' "$vni" list --ivshmem
	refused 1 'no ivshmem device has this PCI address' "$vni" join --ivshmem 0000:00:1f.0 --tap c
	expect_match 'usage: rtvs-vni join' "$("$vni" help join)"
	expect_match 'usage: rtvs-vni COMMAND' "$("$vni" --help)"
	expect "nothing was made" "" "$(ls x /dev/shm/x 2>/dev/null || :)"
}

# Nodes of the former segment reach no new node: they say so and end, and their services start them
# in the new one.
forced_segment_is_a_new_one() {
	node_start a
	mv "$seg" "$seg.away"
	says_soon a 'the file was removed: only nodes that have it already are reached'
	mv "$seg.away" "$seg"
	: >"$work/watch.log" # not what an earlier one saw
	start watch "$vni" watch "$seg"
	wait_for 5 grep -q 'node=0' "$work/watch.log"
	"$vni" create "$seg" --force --size 8M --nodes 4
	node_ends a 1
	watch_ends 'another segment has this path'
	says a 'another segment has this path'
	expect "nodes" "[]" "$(list | json 'd["nodes"]')"
	expect "size" $((8 << 20)) "$(stat -c %s "$seg")"
}

watch_and_reap_tell() {
	node_start a
	node_start b
	start flood ip netns exec a ping -i 0.05 10.0.0.2
	"$vni" watch --count 2 "$seg" | tee "$work/watched"
	expect "lines" 6 "$(wc -l <"$work/watched")"
	expect_match 'node=0 name=a state=live sent/s=[1-9]' "$(cat "$work/watched")"
	stop flood INT
	# A terminal gets a screen; Ctrl-C ends it.
	start screen script -qfec "stty cols 200 rows 50; exec $vni watch $seg" "$work/screen"
	wait_for 10 grep -q 'rates come in a second' "$work/screen"
	wait_for 10 grep -q 'RECEIVED/s' "$work/screen"
	kill -KILL "$(pid_of node_a)" "$(pid_of node_b)"
	wait_for 5 is_stopped node_a
	wait_for 5 is_stopped node_b
	expect "state" dead "$(of_node a state)"
	"$vni" reap -j "$seg" | tee "$work/reaped"
	expect "dead nodes" 2 "$(json 'd["dead_nodes"]' <"$work/reaped")"
	is_all_free
	expect_match 'dead nodes: 0' "$("$vni" reap "$seg")"
	pkill -INT -P "$(pid_of screen)"
	wait_for 5 is_stopped screen
	rm "$work/screen.pid" "$work/node_a.pid" "$work/node_b.pid"
}

# Also of what it does not touch itself.
watch_ends_with_the_file() {
	local seg=/dev/shm/short
	"$vni" create $seg --size 4M
	node_start c
	: >"$work/watch.log" # not what an earlier one saw
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'name=c' "$work/watch.log"
	mv $seg $seg.away
	watch_ends 'the file was removed'
	mv $seg.away $seg
	node_ends c 0 TERM
	: >"$work/watch.log"
	start watch "$vni" watch $seg
	wait_for 5 grep -q 'free=' "$work/watch.log"
	truncate -s 3M $seg
	watch_ends 'the file was truncated'
	rm $seg
}

watch_ends() { # REGEX
	local rc=0 pid
	pid=$(pid_of watch)
	wait_for 5 is_stopped watch
	rm "$work/watch.pid"
	wait "$pid" || rc=$?
	expect "status" 1 "$rc"
	expect_match "$1" "$(cat "$work/watch.log")"
}

# The bench takes free numbers, and existing nodes continue meanwhile. Figures are ignored: they are
# the machine's.
bench_measures() {
	node_start a
	"$vni" bench --nodes 2 --time 30 "$seg"
	"$vni" bench -j --frame 1518 --time 300 "$seg" >"$work/bench"
	expect "frame" 1518 "$(json 'd["frame"]' <"$work/bench")"
	expect "frames came" true "$(json 'd["mpps"] > 0 and d["sent"] > d["lost"] >= 0' <"$work/bench")"
	expect "answers came" true "$(json 'd["pings"] > 0 and 0 < d["rtt_p50_us"] <= d["rtt_p99_us"]' <"$work/bench")"
	"$vni" bench -j --frame 65557 --time 300 "$seg" >"$work/bench" # a chain of slots
	expect "super-frames came" true "$(json 'd["sent"] > d["lost"]' <"$work/bench")"
	expect "nodes" 1 "$(list | json 'len(d["nodes"])')"
	nodes_end a
	is_all_free
	"$vni" bench --nodes 4 --time 30 "$seg"
	"$vni" create /dev/shm/other --size 16M --nodes 4 --separate
	"$vni" bench -j --nodes 4 --time 300 /dev/shm/other >"$work/bench"
	expect "frames came, and answers" true "$(json 'd["sent"] > d["lost"] and d["pings"] > 0' <"$work/bench")"
	rm /dev/shm/other
	# Killed half way: others get its slots back.
	start bench "$vni" bench --time 20000 "$seg"
	wait_for 5 two_nodes_live
	stop bench KILL
	wait_for 5 no_node_lives
	"$vni" reap "$seg"
	is_all_free
}

two_nodes_live() { [ "$(list | json 'sum(n["state"] == "live" for n in d["nodes"])')" = 2 ]; }

no_node_lives() { [ "$(list | json 'sum(n["state"] == "live" for n in d["nodes"])')" = 0 ]; }

bench_refuses() {
	refused 2 'from 64 to 65557' "$vni" bench --frame 63 "$seg"
	refused 2 'from 64 to 65557' "$vni" bench --frame 65558 "$seg"
	refused 2 'an even number' "$vni" bench --nodes 3 "$seg"
	refused 2 'from 2 to 64' "$vni" bench --nodes 66 "$seg"
	refused 2 'from 10 to 60000' "$vni" bench --time 9 "$seg"
	refused 2 'from 10 to 60000' "$vni" bench --time 60001 "$seg"
	refused 2 'is not two CPUs' "$vni" bench --cpus 0,0 "$seg"
	refused 2 'is not two CPUs' "$vni" bench --cpus 0 "$seg"
	refused 1 'needs two CPUs' taskset -c 0 "$vni" bench "$seg"
	refused 1 "CPU: Invalid argument" "$vni" bench --cpus 0,1000 "$seg"
	refused 1 'there is no such file' "$vni" bench /dev/shm/nothing
	node_start a
	refused 1 '' "$vni" bench --nodes 4 --time 30 "$seg" # it has room for 4
	nodes_end a
	is_all_free
}

# For guests: needs no library at all.
static_program_works() {
	[ -x "$vni.static" ] || skip "not built: sanitizers, or no static C library"
	expect_match 'statically linked|not a dynamic' "$(ldd "$vni.static" 2>&1 || :)"
	binary=$vni.static node_start a
	node_start b
	wait_for 5 can_ping a 10.0.0.2
	nodes_end a b
}

service_manager_is_told() {
	start manager socat -u "UNIX-RECV:$work/notify" "CREATE:$work/told"
	wait_for 5 test -S "$work/notify"
	export NOTIFY_SOCKET=$work/notify
	node_start a
	wait_for 5 grep -q "READY=1" "$work/told"
	grep -q "STATUS=Node 0 of $seg, interface a" "$work/told"
	node_ends a 0 TERM
	wait_for 5 grep -q STOPPING=1 "$work/told"
	stop manager
}

run_case "a segment is made and listed" is_made_and_listed
run_case "64 nodes and no more" every_number_and_no_more
run_case "files that are no segment, or another one" wrong_files_are_refused
run_case "truncated while in use" truncated_file_is_said
run_case "a full file system" no_room_leaves_nothing
run_case "--if-missing" missing_ones_are_made
run_case "rights" rights_are_the_files
run_case "bad options" usage_is_checked
run_case "--force" forced_segment_is_a_new_one
run_case "watch and reap" watch_and_reap_tell
run_case "watch ends with the file" watch_ends_with_the_file
run_case "bench" bench_measures
run_case "bench refuses" bench_refuses
run_case "the static program" static_program_works
run_case "the service manager is told" service_manager_is_told
