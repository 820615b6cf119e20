#!/usr/bin/env bash
# Three daemons with a tunnel to each other: where broadcasts go, and MACs that are configured
# instead of learned.
. "$(dirname "$0")/lib.sh"

hosts=(rtvsd b c)
netns_add net
ip -n net link add lan type bridge
ip -n net link set lan up mtu 1700
for n in 1 2 3; do
	daemon=${hosts[n - 1]}
	daemon_start "$daemon"
	ctl port add "up$n" type=ethdev "devargs=net_tap0,iface=up$n" mtu=1700 "address=10.9.0.$n/24"
	netns_give net "up$n"
	ip -n net link set "up$n" address "02:00:00:09:00:0$n"
	ip -n net link set "up$n" master lan mtu 1700
	ctl bridge add br0
	ctl port add "g$n" type=ethdev "devargs=net_tap1,iface=g$n" bridge=br0
	netns_add "g$n"
	netns_give "g$n" "g$n" "10.0.0.$n/24"
	for other in 1 2 3; do
		[ $other = $n ] || ctl port add "to$other" type=geneve "uplink=up$n" "remote=10.9.0.$other" vni=5 bridge=br0
	done
done
daemon=rtvsd

every_guest_reaches_every_other() {
	local from to
	for from in 1 2 3; do
		for to in 1 2 3; do
			[ $from = $to ] || wait_for 15 can_ping "g$from" "10.0.0.$to"
		done
	done
	for daemon in "${hosts[@]}"; do is_conserved; done
}

# One copy to each host, and none goes on from there.
broadcasts_come_once() {
	local n
	every_guest_reaches_every_other
	for n in 1 2 3; do
		start "sniff$n" ip netns exec "g$n" timeout 4 tcpdump -Q in -lni "g$n" "icmp[icmptype] == icmp-echo and dst 10.0.0.255"
	done
	for n in 1 2 3; do wait_for 5 grep -q "^listening on" "$work/sniff$n.log"; done
	ns g1 ping -b -c 5 -i 0.1 -W 1 10.0.0.255 || : # nobody has to answer
	for n in 1 2 3; do wait_for 10 is_stopped "sniff$n"; done
	expect "broadcasts at their sender" 0 "$(grep -c "echo request" "$work/sniff1.log" || :)"
	expect "at the second" 5 "$(grep -c "echo request" "$work/sniff2.log")"
	expect "at the third" 5 "$(grep -c "echo request" "$work/sniff3.log")"
}

# With a configured MAC and an ARP entry, nothing is asked or flooded: only the one host gets the
# packets.
macs_may_be_told() {
	local mac before
	mac=$(ns g2 cat /sys/class/net/g2/address)
	ctl mac del bridge=br0 "mac=$mac" || : # what was learned
	ctl mac add bridge=br0 port=to2 "mac=$mac"
	ip -n g1 neigh replace 10.0.0.2 lladdr "$mac" dev g1 nud permanent
	before=$(port_stat to3 tx_pkts)
	ns g1 ping -c 20 -i 0.05 -W 1 10.0.0.2
	[ $(($(port_stat to3 tx_pkts) - before)) -lt 10 ] || fail "the third host got them too" # a few are the namespaces' own: IPv6
	# Elsewhere it is nobody's: who claims it there is refused.
	ip -n g3 link set g3 address "$mac"
	ns g3 ping -c 3 -i 0.1 -W 1 10.0.0.1 || :
	wait_for 5 is_stat_above to3 mac_static 0
	expect "port of the MAC" to2 "$(ctl -j mac list bridge=br0 | json "[m['port'] for m in d['macs'] if m['mac'] == '$mac'][0]")"
	ip -n g3 link set g3 address 02:00:00:00:03:03
	ctl mac del bridge=br0 "mac=$mac"
	ip -n g1 neigh del 10.0.0.2 dev g1
	for daemon in "${hosts[@]}"; do is_conserved; done
}

lost_host_leaves_the_others() {
	stop c KILL
	wait_for 10 can_ping g1 10.0.0.2
	ns g1 ping -c 10 -i 0.05 -W 1 10.0.0.2
}

run_case "every guest reaches every other" every_guest_reaches_every_other
run_case "broadcasts come once" broadcasts_come_once
run_case "MACs may be told" macs_may_be_told
run_case "a host that is lost leaves the others" lost_host_leaves_the_others
