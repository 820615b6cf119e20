# shellcheck shell=bash
# Harness of the tests with virtual machines: test/smoke/lib.sh, and guests. Guests boot once per
# script and serve many cases; a case leaves them as it found them.

. "$(dirname "${BASH_SOURCE[0]}")/../smoke/lib.sh"
. "$lib/vm.sh"

in_guest() { vm_run "$@"; } # NAME SECONDS COMMAND
guest_pings() { vm_run "$1" 8 "ping -c 1 -W 1 $2 >/dev/null"; } # NAME ADDRESS
guest_cannot_ping() { ! vm_run "$1" 15 "ping -c 3 -i 0.3 -W 1 $2 >/dev/null"; }

iperf_mbit() { python3 -c 'import json, sys
text = sys.stdin.read()
print(int(json.loads(text[text.index("{"):])["end"]["sum_received"]["bits_per_second"] / 1e6))'; }

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

# TCP behind two tags, both ways: a service tag, which is no VLAN of the switch, and a customer tag;
# then two of the latter. Both guests have iperf3 -s. FUNCTION looks at a stream from a to b.
behind_two_tags() { # FUNCTION
	local outer guest
	for outer in 802.1ad 802.1Q; do
		for guest in a:1 b:2; do
			in_guest ${guest%:*} 10 "ip link add link eth0 name outer type vlan proto $outer id 10; ip link add link outer name inner type vlan id 20
				ip addr add 10.0.20.${guest#*:}/24 dev inner; ip link set outer up; ip link set inner up"
			[ $outer = 802.1ad ] || ctl port set ${guest%:*} vlan_mode=trunk trunk=10
		done
		wait_for 20 guest_pings a 10.0.20.2
		"$1"
		in_guest b 30 "iperf3 -c 10.0.20.1 -t 1"
		for guest in a b; do in_guest $guest 10 "ip link del outer"; done
	done
	for guest in a b; do ctl port set $guest vlan_mode=access trunk=; done
	is_conserved
}
