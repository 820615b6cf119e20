# shellcheck shell=bash
# Harness of the tests with virtual machines: test/smoke/lib.sh, and guests. Guests boot once per
# script and serve many cases; a case leaves them as it found them.

. "$(dirname "${BASH_SOURCE[0]}")/../smoke/lib.sh"
. "$lib/vm.sh"

in_guest() { vm_run "$@"; } # NAME SECONDS COMMAND
guest_pings() { vm_run "$1" 8 "ping -c 1 -W 1 $2 >/dev/null"; } # NAME ADDRESS
guest_cannot_ping() { ! vm_run "$1" 15 "ping -c 3 -i 0.3 -W 1 $2 >/dev/null"; }

# Ends the daemon, nicely or not, and starts it again with the configuration that it had.
daemon_replace() { # SIGNAL
	ctl -j config dump >"$work/saved.json"
	stop rtvsd "$1"
	daemon_start rtvsd --config "$work/saved.json"
}

wait_guests() { # NAME...
	local name
	for name in "$@"; do
		vm_wait "$name" 180 || { tail -n 20 "$work/$name.serial"; fail "guest $name did not come up"; }
	done
}
