# shellcheck shell=bash
# Daemons, network namespaces and waiting, for tests and the demo. Sourced after common.sh.
# Everything lives below $work and ends with the script: processes are known by the pid files that
# start() writes, so nothing is ever looked for by name.

build=${RTVS_BUILD:-build/gcc}
case $build in /*) ;; *) build=$top/$build ;; esac
rtvswitchd=$build/src/rtvswitchd
rtvsctl=$build/src/cli/rtvsctl
work=

make_work() {
	work=$(mktemp -d /tmp/rtvs-XXXXXX)
	chmod 755 "$work"
}

# Ends the started processes, last first, and removes $work. Safe to call twice; a second Ctrl-C
# does not stop it half way.
cleanup_work() {
	trap '' INT TERM
	[ -n "$work" ] || return 0
	local file
	# shellcheck disable=SC2045 # names are ours; newest first
	for file in $(ls -t "$work"/*.pid 2>/dev/null); do
		stop "$(basename "$file" .pid)" TERM 3 2>/dev/null || :
	done
	for file in "$work"/netns.*; do
		[ ! -e "$file" ] || ip netns del "${file##*/netns.}" 2>/dev/null || :
	done
	rm -rf --one-file-system "$work"
	work=
}

# Runs a command in the background: log in $work/NAME.log, process in $work/NAME.pid.
start() { # NAME COMMAND [ARG...]
	local name=$1
	shift
	"$@" >>"$work/$name.log" 2>&1 </dev/null 3>&- &
	echo $! >"$work/$name.pid"
}

pid_of() { cat "$work/$1.pid"; }
is_running() { [ -f "$work/$1.pid" ] && kill -0 "$(pid_of "$1")" 2>/dev/null; }
is_stopped() { ! is_running "$1"; }

# Sends a signal and waits for the end; what does not end is killed, and that is an error.
stop() { # NAME [SIGNAL [SECONDS]]
	local rc=0
	[ -f "$work/$1.pid" ] || return 0
	kill "-${2:-TERM}" "$(pid_of "$1")" 2>/dev/null || :
	if ! wait_until "${3:-10}" is_stopped "$1"; then
		kill -KILL "$(pid_of "$1")" 2>/dev/null || :
		wait_until 5 is_stopped "$1" || :
		rc=1
	fi
	rm -f "$work/$1.pid"
	return $rc
}

# Polls a condition until it holds. The one place that sleeps.
wait_until() { # SECONDS COMMAND [ARG...]
	local deadline=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/[.,]/}" -lt "$deadline" ] || return 1
		sleep 0.05
	done
}

ctl() { "$rtvsctl" -s "$work/${daemon:-rtvsd}.sock" "$@"; }
is_serving() { "$rtvsctl" -s "$work/$1.sock" -j port list >/dev/null; }
ended_or_serving() { is_stopped "$1" || is_serving "$1"; }

# A daemon of a test begins with nothing, whatever ran at its socket before; daemon_resume goes on.
# The idle policy and the priority suit machines whose processors are shared with the guests, the
# tests and other daemons.
daemon_start() { daemon_resume "$1" --fresh "${@:2}"; } # NAME [ARG...]
daemon_resume() { # NAME [ARG...]
	local name=$1
	shift
	start "$name" "$rtvswitchd" --socket "$work/$name.sock" --no-huge --idle adaptive --worker-priority normal "$@"
	wait_until "${RTVS_START_SECONDS:-60}" ended_or_serving "$name" && is_running "$name"
}

netns_add() { # NAME...: those that are there stay
	local name
	for name in "$@"; do
		[ ! -e "$work/netns.$name" ] || continue
		ip netns add "$name"
		: >"$work/netns.$name"
		ip -n "$name" link set lo up
	done
}
ns() { ip netns exec "$@"; }

# Moves an interface into a namespace and gives it addresses there.
netns_give() { # NAMESPACE INTERFACE [ADDRESS/LEN...]
	local ns=$1 iface=$2 address
	shift 2
	ip link set dev "$iface" netns "$ns"
	for address in "$@"; do
		ip -n "$ns" address add "$address" dev "$iface"
	done
	ip -n "$ns" link set dev "$iface" up
}

# A value out of JSON on standard input; d is the document, as Python sees it.
json() { python3 -c 'import json, sys; d = json.load(sys.stdin); v = eval(sys.argv[1]); print(str(v).lower() if isinstance(v, bool) else v)' "$1"; }
