#!/usr/bin/env bash
# Rules of ports: what the kernel's TCP sees of them, what outlives what, and refusals.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
ctl bridge add br0
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.0.0.2/24 bridge=br0
for port in 80 81; do
	start "web$port" ip netns exec t2 python3 -m http.server -b 10.0.0.2 -d "$work" "$port"
	wait_for 10 ns t2 sh -c "ss -ltn | grep :$port >/dev/null"
done
gets() { ns t1 curl -s -o /dev/null -m 3 "http://$1/"; } # ADDRESS[:PORT]
gets_nothing() { ! gets "$1"; }
rules() { ctl -j rule list "$1" | json '"; ".join(r["rule"] for r in d["rules"])'; } # PORT
packets_of() { ctl -j rule list "$1" | json "[r['packets'] for r in d['rules'] if '$2' in r['rule']][0]"; } # PORT TEXT

rules_decide_what_passes() {
	gets 10.0.0.2:80
	gets 10.0.0.2:81
	ctl rule add t1 rule=tcp,tp_dst=81,actions=drop
	gets_nothing 10.0.0.2:81
	gets 10.0.0.2:80
	can_ping t1 10.0.0.2
	[ "$(packets_of t1 tp_dst=81)" -gt 0 ] || fail "no packet is counted"
	[ "$(port_stat t1 rule)" -gt 0 ] || fail "no drop is counted"
	ctl rule del t1 rule=tcp,tp_dst=81
	gets 10.0.0.2:81
	is_conserved
}

# Nothing but what is named: in the order of priorities.
what_is_not_allowed_is_dropped() {
	ctl rule add t1 rule=priority=0,actions=drop
	ctl rule add t1 rule=priority=10,arp,actions=allow
	ctl rule add t1 rule=priority=10,tcp,nw_dst=10.0.0.0/24,tp_dst=80,actions=allow
	gets 10.0.0.2:80
	gets_nothing 10.0.0.2:81
	! can_ping t1 10.0.0.2 || fail "a ping passed"
	expect "rules" "priority=10,arp,actions=allow; priority=10,tcp,nw_dst=10.0.0.0/24,tp_dst=80,actions=allow; priority=0,actions=drop" "$(rules t1)"
	ctl rule clear t1
	can_ping t1 10.0.0.2
	is_conserved
}

# A server behind another address: to it and back, with the kernel's checksums.
addresses_are_rewritten() {
	ns t1 ip route replace 192.0.2.0/24 dev t1
	ns t1 ip neigh replace 192.0.2.9 lladdr "$(ns t2 cat /sys/class/net/t2/address)" dev t1
	ctl rule add t1 rule=tcp,nw_dst=192.0.2.9,tp_dst=8080,actions=mod_nw_dst:10.0.0.2,mod_tp_dst:80,allow
	ctl rule add t2 rule=tcp,nw_src=10.0.0.2,tp_src=80,actions=mod_nw_src:192.0.2.9,mod_tp_src:8080,allow
	gets 192.0.2.9:8080
	head -c 1000000 /dev/urandom >"$work/file"
	expect "checksum" "$(md5sum <"$work/file")" "$(ns t1 curl -s -m 20 http://192.0.2.9:8080/file | md5sum)"
	ctl rule clear t1
	ctl rule clear t2
	is_conserved
}

# A process that takes over, and one that starts after a crash, have them before a packet passes.
rules_outlive_the_daemon() {
	local before
	ctl rule add t1 rule=tcp,tp_dst=81,actions=drop
	ctl rule add t2 rule=priority=7,udp,actions=rate:1Mbit,allow
	gets_nothing 10.0.0.2:81
	before=$(packets_of t1 tp_dst=81)
	ctl -j system upgrade >"$work/upgrade.json"
	ctl -j system info | json 'd["pid"]' >"$work/rtvsd.pid"
	expect "rules after a hand-over" "priority=32768,tcp,tp_dst=81,actions=drop" "$(rules t1)"
	[ "$(packets_of t1 tp_dst=81)" -ge "$before" ] || fail "the count of packets went back"
	gets 10.0.0.2:80
	gets_nothing 10.0.0.2:81
	stop rtvsd KILL
	daemon_resume rtvsd
	expect "rules after a crash" "priority=7,udp,actions=rate:1Mbit,allow" "$(rules t2)"
	ctl config dump | has_line 'rule.add'
	ctl rule clear t1
	ctl rule clear t2
}

wrong_rules_are_refused() {
	expect_fails "rule: tp_dst: '70000' is no number from 0 to 65535" ctl rule add t1 rule=tcp,tp_dst=70000,actions=drop
	expect_fails "did you mean nw_dst" ctl rule add t1 rule=ip,nw_dts=1.2.3.4,actions=drop
	expect_fails "actions= is missing" ctl rule add t1 rule=tcp
	expect_fails "port nobody does not exist" ctl rule add nobody rule=actions=drop
	expect_fails "none with this match and priority" ctl rule del t1 rule=tcp
	expect "rules" "" "$(rules t1)"
}

run_case "rules decide what passes" rules_decide_what_passes
run_case "what is not allowed is dropped" what_is_not_allowed_is_dropped
run_case "addresses are rewritten" addresses_are_rewritten
run_case "rules outlive the daemon" rules_outlive_the_daemon
run_case "wrong rules are refused" wrong_rules_are_refused
