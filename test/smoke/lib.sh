# shellcheck shell=bash
# Harness of the tests that run the real daemon. A test script sources it, starts the daemons and
# ports of its cases, then calls run_case for each. A case is a function that runs in a subshell:
# the first command that fails ends it, as does fail; skip skips it. Results are one line per case
# (scripts/lib/report.sh). Waits are for events with a time limit, through wait_for; everything
# lives and dies with $work.

set -euo pipefail
shopt -s inherit_errexit
. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib/common.sh"
enter_world "$@"
. "$lib/report.sh"
. "$lib/processes.sh"

suite=${RTVS_PREFIX:-$(basename "$(dirname "$(readlink -f "$0")")")}/$(basename "$0" _test.sh)
n_failed=0
make_work
# The world has its own shared memory (scripts/enter). This script must not see the remains of an
# earlier one, as of a document's commands.
rm -rf /dev/shm/*
exec 3>&1 >"$work/setup.out" 2>&1 # results go to 3; what the set-up says is shown when it fails

end_suite() {
	local rc=$?
	trap - EXIT
	trap '' INT TERM
	if [ $rc = 77 ]; then
		report skip "$suite: $(tail -n 1 "$work/setup.out")" "$SECONDS" >&3
	elif [ $rc != 0 ]; then
		show_logs >>"$work/setup.out"
		RTVS_LOG_LINES=60 report FAIL "$suite: set up, or between cases" "$SECONDS" "$work/setup.out" >&3
	fi
	cleanup_work
	[ $rc = 0 ] || exit "$rc"
	[ $n_failed = 0 ] || exit 1
	exit 0
}
trap end_suite EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() { echo "FAILED: $*"; exit 1; }
skip() { echo "$*"; exit 77; }

# The ends of the logs that the case added to, for whoever reads its failure.
show_logs() {
	local file
	for file in "$work"/*.log; do
		[ -s "$file" ] && { [ ! -e "$work/case.begin" ] || [ "$file" -nt "$work/case.begin" ]; } || continue
		echo "--- ${file##*/}"
		tail -n 8 "$file"
	done
	if is_running rtvsd && is_serving rtvsd; then
		echo "--- drops"
		ctl -j stats drops | json '"\n".join("%s: %s" % (p["port"], ", ".join("%s %s" % (r["reason"], r["count"]) for r in p["drops"])) for p in d)'
	fi
}

# A script may define it: removes the remains of a failed case, so that the next one has a meaning.
after_failure() { :; }

# RTVS_CASE=PATTERN runs only the cases whose name matches.
run_case() { # NAME FUNCTION [ARG...]
	local name=$1 log=$work/case.out begin=$SECONDS rc=0
	shift
	# shellcheck disable=SC2053 # it is a pattern
	[[ $name == ${RTVS_CASE:-*} ]] || return 0
	: >"$work/case.begin"
	set +e
	(set -eE; trap 'echo "FAILED in ${FUNCNAME[0]:-case}, line $LINENO: $BASH_COMMAND"' ERR; "$@") >"$log" 2>&1
	rc=$?
	set -e
	case $rc in
	0) report ok "$suite: $name" $((SECONDS - begin)) >&3 ;;
	77) report skip "$suite: $name: $(tail -n 1 "$log")" $((SECONDS - begin)) >&3 ;;
	*)
		show_logs >>"$log"
		n_failed=$((n_failed + 1))
		report FAIL "$suite: $name" $((SECONDS - begin)) "$log" >&3
		after_failure || :
		;;
	esac
}

wait_for() { # SECONDS COMMAND [ARG...]
	wait_until "$@" || fail "waited $1 s for: ${*:2}"
}

expect() { # WHAT EXPECTED ACTUAL
	[ "$2" = "$3" ] || fail "$1: expected '$2', got '$3'"
}
expect_match() { # REGEX TEXT
	[[ $2 =~ $1 ]] || fail "no match for '$1' in: $2"
}
expect_fails() { # REGEX COMMAND [ARG...]: it fails, and says something that matches
	local regex=$1 out rc=0
	shift
	out=$("$@" 2>&1) || rc=$?
	[ $rc != 0 ] || fail "worked, but should not have: $*: $out"
	expect_match "$regex" "$out"
}

# Counters of a port, by their names in port.show; a drop reason by its own name.
port_stat() { ctl -j port show "$1" | json "d['stats'].get('$2', d['stats']['drops_by_reason'].get('$2', 0))"; } # PORT COUNTER
port_state() { ctl -j port show "$1" | json "d['state']['$2']"; }
is_port_state() { [ "$(port_state "$1" "$2")" = "$3" ]; } # PORT KEY VALUE
is_stat_above() { [ "$(port_stat "$1" "$2")" -gt "$3" ]; } # PORT COUNTER N

# rx + replicated == tx + queued + to_daemon + sum(drops), over all ports and removed ones. Asks
# again only while a worker did not finish its turn to copy its counters; figures that differ are
# final.
is_conserved() {
	local rc
	for ((i = 0; i < 50; i++)); do
		rc=0
		ctl -j stats get | python3 "$top/test/smoke/conservation.py" || rc=$?
		[ $rc = 3 ] || return $rc
		sleep 0.1
	done
	fail "a worker did not come round in 50 attempts"
}

# One more tap port, its interface with the address in the namespace of the same name.
n_taps=0
tap_port() { # NAME ADDRESS/LEN [PARAM=VALUE...]
	local name=$1 address=$2
	shift 2
	ctl port add "$name" type=ethdev "devargs=net_tap$n_taps,iface=$name" "$@"
	n_taps=$((n_taps + 1))
	netns_add "$name"
	netns_give "$name" "$name" "$address"
	wait_for 5 is_port_state "$name" link up # it was down while it moved
}

# Whoever makes an interface anew makes its MAC anew, too.
forget_neighbours() { ip -n "$1" neigh flush all; } # NAMESPACE
can_ping() { ns "$1" ping -c 1 -W 1 "$2"; } # NAMESPACE ADDRESS
cannot_ping() { ! ns "$1" ping -c 2 -i 0.2 -W 1 "$2"; }
is_gone() { [ ! -e "$1" ]; }

# Probes of t1 one after another, until nothing_was_lost. Each is a ping of its own: a ping of
# several packets waits for its last answers only as long as the others took.
flow() {
	rm -f "$work/flow.end" "$work/flow.log"
	# shellcheck disable=SC2016 # expanded by the inner shell
	start flow ip netns exec t1 sh -c 'until [ -e "$0" ]; do ping -q -c 1 -W 5 10.0.0.2 >/dev/null && echo answered || echo lost; done' "$work/flow.end"
}
nothing_was_lost() {
	wait_for 5 grep -q answered "$work/flow.log"
	touch "$work/flow.end"
	wait_for 10 is_stopped flow
	expect "probes that were lost" 0 "$(grep -c lost "$work/flow.log" || :)"
}
