# shellcheck shell=bash
# shellcheck disable=SC2034 # what the scripts use
# Nodes of a segment by rtvs-vni, for segment_test.sh and segment_tool_test.sh: three interfaces, in
# a namespace each, and a segment.

vni=$build/src/segment/rtvs-vni
seg=/dev/shm/segment
netns_add a b c d

# A node is called as its namespace and its interface; the process is node_NAME. The TAP and its
# address outlive the node.
node_tap() { # NAME ADDRESS/LEN ADDRESS6/LEN
	ns "$1" ip tuntap add dev "$1" mode tap
	ip -n "$1" address add "$2" dev "$1"
	ip -n "$1" address add "$3" dev "$1" nodad
	ip -n "$1" link set dev "$1" up
}
node_start() { # NAME [ARG...]
	: >"$work/node_$1.log"
	start "node_$1" ip netns exec "$1" "${binary:-$vni}" join "$seg" --tap "$1" --name "$1" "${@:2}"
	wait_for 10 grep -q 'joined as node' "$work/node_$1.log"
}
# Ends as it should, by itself or by a signal: with this status.
node_ends() { # NAME STATUS [SIGNAL]
	local pid rc=0
	pid=$(pid_of "node_$1")
	[ -z "${3:-}" ] || kill "-$3" "$pid"
	wait_for 10 is_stopped "node_$1"
	rm "$work/node_$1.pid"
	wait "$pid" || rc=$?
	expect "status of $1" "$2" "$rc"
}
nodes_end() {
	local name
	for name in "$@"; do node_ends "$name" 0 TERM; done
}
list() { "$vni" list -j "$seg"; }
of_node() { list | json "[n for n in d['nodes'] if n['name'] == '$1'][0]['$2']"; } # NAME KEY
slots_in_use() { list | json 'd["slots"] - d["slots_free"]'; }
is_all_free() { [ "$(slots_in_use)" = 0 ]; }
says() { grep -qE "$2" "$work/node_$1.log" || fail "$1 does not say '$2': $(cat "$work/node_$1.log")"; }
says_soon() { wait_for 10 grep -qE "$2" "$work/node_$1.log"; }
refused() { # STATUS REGEX COMMAND [ARG...]
	local out rc=0
	out=$("${@:3}" 2>&1) || rc=$?
	expect "status of ${*:3}: $out" "$1" "$rc"
	expect_match "$2" "$out"
}
# Interfaces and a segment; a case begins and ends without nodes.
begin() {
	node_tap a 10.0.0.1/24 fd00::1/64
	node_tap b 10.0.0.2/24 fd00::2/64
	node_tap c 10.0.0.3/24 fd00::3/64
	"$vni" create "$seg" --size 16M --nodes 4 --inbox 2048
}
after_failure() {
	local name
	for name in node_a node_b node_c node_d flood watch iperf receiver; do stop $name KILL; done
	for name in a b c d; do ip -n $name link del dev $name; done
	rm -rf /dev/shm/*
	begin
}
begin
