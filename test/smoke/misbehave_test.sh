#!/usr/bin/env bash
# Whatever one receiver does, no packet of others is lost. A row is a receiver that misbehaves
# (misbehave.sh), a column a configuration of its port. In each cell the uplink floods the receiver,
# and every probe of others, and from the same uplink, has to arrive.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/misbehave.sh"

N_PROBES=20

daemon_start rtvsd
ctl bridge add br0
tap_port up 10.0.0.1/24 bridge=br0 queue=64
tap_port t2 10.0.0.2/24 bridge=br0
tap_port t3 10.0.0.3/24 bridge=br0
wait_for 10 can_ping up 10.0.0.2
wait_for 10 can_ping t3 10.0.0.2

after_failure() {
	stop flood KILL
	gone_bad
	ctl port set t3 deadline=0 min_rate=0
}

# Every probe that NAMESPACE sends arrives and is answered.
probe() { # NAMESPACE ADDRESS
	local n=0
	# Each is a ping of its own: a ping of several packets waits for its last answers only as
	# long as the others took.
	for ((i = 0; i < N_PROBES; i++)); do
		! ns "$1" ping -q -c 1 -W 5 "$2" >/dev/null || n=$((n + 1))
	done
	expect "probes from $1 to $2 that were answered" $N_PROBES "$n"
}
drops_of_others() { ctl -j stats drops | json '[p for p in d if p["port"] in ("t2", "t3")]'; }
is_flooding() { is_running flood && grep -q burst "$work/flood.log"; }

withstands() { # RECEIVER
	local drops
	drops=$(drops_of_others)
	rm -f "$work/flood.log"
	start flood ip netns exec up python3 -u "$top/test/smoke/misbehave.py" flood up "$BAD_MAC"
	wait_for 10 is_flooding
	probe up 10.0.0.2
	probe t3 10.0.0.2
	is_running flood || fail "the flood ended"
	stop flood
	expect "drops of others" "$drops" "$(drops_of_others)"
	is_conserved
	gone_bad
	probe up 10.0.0.2
	is_conserved
}

receives() { # RECEIVER [PARAM=VALUE...]: frames to it are found in the bridge
	"bad_$1" bridge=br0 "${@:2}"
	ctl mac add bridge=br0 "mac=$BAD_MAC" port=bad
	withstands
}
# Somebody else's deadline makes every port of the bridge queue.
receives_beside_deadline() { # RECEIVER
	ctl port set t3 deadline=20ms min_rate=1Mbit
	receives "$1"
	ctl port set t3 deadline=0 min_rate=0
}
mirrors() { # RECEIVER [PARAM=VALUE...]
	"bad_$1" "${@:2}"
	ctl port set up mirror=both mirror_to=bad
	withstands
}

for receiver in "${RECEIVERS[@]}"; do
	name=${receiver//_/ }
	run_case "$name" receives "$receiver"
	run_case "$name, with a rate" receives "$receiver" rate=100Mbit
	run_case "$name, beside a deadline" receives_beside_deadline "$receiver"
	run_case "$name, as a mirror with a rate" mirrors "$receiver" rate=1Mbit
done
run_case "reads, with a rate far below what it is sent" receives reads rate=100kbit
run_case "a tap with a rate far below what it is sent" receives tap rate=100kbit
