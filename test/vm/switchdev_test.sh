#!/usr/bin/env bash
# A guest's NIC in switchdev mode: what tc and Open vSwitch in the guest say of the representors of
# its virtual functions, the switch of the host does.
. "$(dirname "$0")/lib.sh"

rtvs_vf=$build/src/vf/rtvs-vf
[ -x "$rtvs_vf.static" ] || skip "rtvs-vf.static is not built: the C library, jansson or libmnl has no static part"
[ ! -e "$(qemu_dir)/missing" ] || skip "no QEMU of trixie-backports: $(cat "$(qemu_dir)/missing")"
cp "$rtvs_vf.static" "$work/rtvs-vf"
tar -cf "$work/files.tar" -C "$work" rtvs-vf

daemon_start rtvsd
ctl bridge add br0
mac=(52:54:00:aa:00:10 52:54:00:aa:00:11)
ctl port add pf bridge=br0 "socket=$work/pf.sock"
for i in 0 1; do ctl port add vf$i bridge=br0 "socket=$work/vf$i.sock" "allowed_macs=${mac[i]}"; done
ctl port add up type=eswitch bridge=br0
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.0.0.2/24 bridge=br0 vlan=10
# Without an uplink at first.
eswitch=(web1 pf=pf vfs=vf0,vf1 "control=$work/web1.ctl" allowed_macs=52:54:00:aa:00:00/40 vlans=10-19)
ctl eswitch add "${eswitch[@]}"
nic=()
while read -r option value; do nic+=("qemu=$option" "qemu=$value"); done < <(ctl eswitch qemu web1)
vm_start g "files=$work/files.tar" release=backports mem=384 "${nic[@]}"
wait_guests g
vm_unpack g /usr/bin
# What udev does in other guests, and no packets but those of the cases.
in_guest g 20 'mkdir -p /dev/virtio-ports; for p in /sys/class/virtio-ports/*; do [ ! -e "$p/name" ] || ln -sf "/dev/${p##*/}" "/dev/virtio-ports/$(cat "$p/name")"; done
	echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
	modprobe -a sch_ingress cls_flower cls_matchall act_mirred act_gact act_vlan act_pedit act_csum act_skbedit veth
	pf=$(ls /sys/bus/pci/devices/*/sriov_totalvfs); pf=$(ls "${pf%/*}"/virtio*/net); ip link set "$pf" name ens1; echo 2 >/sys/bus/pci/devices/*/sriov_numvfs'
vf() { in_guest g 20 "rtvs-vf $*"; }
# The interface of a VF, in a container's namespace of its own.
take() { # VF ADDRESS/LEN
	in_guest g 20 "nic=\$(grep -il ${mac[$1]} /sys/class/net/*/address) && nic=\$(basename \$(dirname \$nic)) &&
		ip netns add p$1 && ip link set \$nic netns p$1 name e0 && ip -n p$1 addr add $2 dev e0 && ip -n p$1 link set e0 up"
}
is_enabled() { [ "$(vf -j show "$1" | json "d['enabled']")" = true ]; }
for i in 0 1; do
	wait_for 20 is_enabled $i
	take $i 10.0.0.1$i/24
done

pod_pings() { in_guest g 8 "ip netns exec p$1 ping -c 1 -W 1 $2 >/dev/null"; } # VF ADDRESS
pod_cannot_ping() { ! in_guest g 15 "ip netns exec p$1 ping -c 3 -i 0.3 -W 1 $2 >/dev/null"; }
agent() { in_guest g 10 "rtvs-vf agent $* >/tmp/agent.log 2>&1 & echo \$! >/run/agent.pid"; }
agent_is() { [ "$(vf -j stats | json "d['connected']")" = true ]; }
flows() { vf -j flows; }
# Of all rules: what is true of f. JSON's flows are d.
all_flows() { [ "$(flows | json "bool(d) and all($1 for f in d)")" = true ]; } # EXPRESSION
any_flow() { [ "$(flows | json "any($1 for f in d)")" = true ]; }
no_flows() { [ "$(flows | json "len(d)")" = 0 ]; }
pf_packets() { in_guest g 10 'cat /sys/class/net/ens1/statistics/rx_packets'; }
clear_filters() {
	in_guest g 20 'for i in ens1up ens1r0 ens1r1; do tc qdisc del dev $i clsact 2>/dev/null; done; :'
	wait_for 20 no_flows
}
after_failure() { clear_filters; }

# ---- what the cases have in common: VF 0 and the rest of the world, as tc says it
tc_pair() {
	in_guest g 30 "for i in ens1up ens1r0 ens1r1; do tc qdisc add dev \$i clsact; done
		tc filter add dev ens1r0 ingress prio 20 protocol all matchall action mirred egress redirect dev ens1up
		tc filter add dev ens1up ingress prio 20 protocol arp flower action mirred egress mirror dev ens1r1 pipe action mirred egress redirect dev ens1r0
		tc filter add dev ens1up ingress prio 21 protocol all flower dst_mac ${mac[0]} action mirred egress redirect dev ens1r0"
	wait_for 20 all_flows "f['state'] == 'hw'"
}

no_uplink_no_switchdev() {
	expect_fails 'switchdev needs an uplink' in_guest g 20 "rtvs-vf agent --switchdev"
	expect "exit status" 1 "$(in_guest g 20 'rtvs-vf agent --switchdev >/dev/null 2>&1; echo $?')"
	expect_fails 'the NIC is in mode legacy; --switchdev changes it' in_guest g 20 "rtvs-vf agent"
	expect_fails 'is rtvs-vf agent running' vf flows
	ctl eswitch del web1
	ctl eswitch add "${eswitch[@]}" uplink=up
}

agent_makes_representors() {
	agent --switchdev
	wait_for 30 agent_is
	in_guest g 10 "ip -d link show ens1r1" >"$work/link"
	has_line 'vlan protocol 802.1Q id 3074' <"$work/link"
	has_line 'alias rep0-1' <"$work/link"
	in_guest g 10 "ip link show ens1up" | has_line UP
	expect "mode" switchdev "$(vf -j show | json "d['mode']")"
	expect_fails 'another agent is running' in_guest g 10 "rtvs-vf agent"
	in_guest g 10 "echo '{\"id\":1,\"method\":\"nic.mode\"}' | timeout 8 socat -t 5 - UNIX-CONNECT:/run/rtvs-vf.sock | cat" | has_line "nic.mode is the agent's"
	pod_cannot_ping 0 10.0.0.1 # no rule, no way
}

rules_of_tc_are_the_switchs() {
	local before after
	tc_pair
	wait_for 20 pod_pings 0 10.0.0.1
	before=$(pf_packets)
	in_guest g 20 "ip netns exec p0 ping -c 20 -i 0.2 -W 1 10.0.0.1 >/dev/null"
	after=$(pf_packets)
	# One copy of each rule in 3 s comes by.
	[ $((after - before)) -lt 15 ] || fail "$((after - before)) packets came to the guest's kernel"
	any_flow "f['in'] == 'vf0' and f['packets'] >= 20 and f['bytes'] > f['packets'] * 40"
	vf flows | has_line 'hw .*uplink .*output:vf1,output:vf0'
	is_conserved
}

drops_and_deletions() {
	in_guest g 10 'tc filter add dev ens1r0 ingress prio 1 protocol ip flower ip_proto icmp action drop'
	wait_for 10 any_flow "f['rule'].endswith('icmp,dl_vlan=0xffff,actions=drop') and f['state'] == 'hw'"
	pod_cannot_ping 0 10.0.0.1
	any_flow "f['rule'].endswith('actions=drop') and f['packets'] >= 3"
	in_guest g 10 'tc filter del dev ens1r0 ingress prio 1'
	wait_for 10 pod_pings 0 10.0.0.1
}

rewrites() {
	in_guest g 10 "tc filter add dev ens1r0 ingress prio 1 protocol ip flower dst_ip 10.0.0.77 action pedit ex munge ip dst set 10.0.0.1 pipe action csum ip4h icmp pipe action mirred egress redirect dev ens1up
		tc filter add dev ens1up ingress prio 1 protocol ip flower src_ip 10.0.0.1 ip_proto icmp type 0 action pedit ex munge ip src set 10.0.0.77 pipe action csum ip4h icmp pipe action mirred egress redirect dev ens1r0
		ip -n p0 neigh replace 10.0.0.77 lladdr $(ip -n t1 -j link show t1 | json 'd[0]["address"]') dev e0"
	wait_for 10 any_flow "'mod_nw_dst:10.0.0.1,output:uplink' in f['rule'] and f['state'] == 'hw'"
	wait_for 10 pod_pings 0 10.0.0.77
	in_guest g 10 'for i in ens1up ens1r0; do tc filter del dev $i ingress prio 1; done'
}

# The VF has no tag, the other side of the uplink has VLAN 10.
tags() {
	ctl port set up vlan_mode=trunk trunk=10
	in_guest g 10 "tc filter add dev ens1r0 ingress prio 1 protocol arp flower arp_tip 10.0.0.2 action vlan push id 10 pipe action mirred egress redirect dev ens1up
		tc filter add dev ens1r0 ingress prio 2 protocol ip flower dst_ip 10.0.0.2 action vlan push id 10 pipe action mirred egress redirect dev ens1up
		tc filter add dev ens1up ingress prio 3 protocol 802.1Q flower vlan_id 10 action vlan pop pipe action mirred egress redirect dev ens1r0"
	wait_for 10 any_flow "f['rule'].endswith('dl_vlan=10,actions=strip_vlan,output:vf0') and f['state'] == 'hw'"
	wait_for 10 pod_pings 0 10.0.0.2
	any_flow "f['rule'].endswith('nw_dst=10.0.0.2,actions=push_vlan:10,output:uplink') and f['state'] == 'hw' and f['packets'] > 0"
	any_flow "f['rule'].endswith('strip_vlan,output:vf0') and f['packets'] > 0"
	in_guest g 10 'tc filter del dev ens1r0 ingress prio 1; tc filter del dev ens1r0 ingress prio 2; tc filter del dev ens1up ingress prio 3'
	ctl port set up vlan_mode=access trunk=
	is_conserved
}

what_the_switch_cannot_do_is_a_trap() {
	local before after
	in_guest g 10 'tc filter add dev ens1r0 ingress prio 1 protocol ip flower ip_proto icmp action skbedit mark 5 pipe action mirred egress redirect dev ens1up'
	wait_for 10 any_flow "f['state'] == 'trap' and f['reason'] == 'action skbedit'"
	before=$(pf_packets)
	in_guest g 20 "ip netns exec p0 ping -c 5 -i 0.2 -W 1 10.0.0.1 >/dev/null"
	after=$(pf_packets)
	[ $((after - before)) -ge 5 ] || fail "only $((after - before)) packets came to the guest's kernel"
	vf flows | has_line 'trap .*(action skbedit)'
	in_guest g 10 'tc filter del dev ens1r0 ingress prio 1'
}

agent_is_killed() {
	in_guest g 10 'kill -9 $(cat /run/agent.pid)'
	pod_pings 0 10.0.0.1
	in_guest g 10 'tc filter add dev ens1r0 ingress prio 1 protocol ip flower ip_proto icmp action drop' # while nobody looks
	agent --switchdev
	wait_for 30 agent_is
	wait_for 10 any_flow "f['rule'].endswith('icmp,dl_vlan=0xffff,actions=drop') and f['state'] == 'hw'"
	pod_cannot_ping 0 10.0.0.1
	in_guest g 10 'tc filter del dev ens1r0 ingress prio 1'
	wait_for 10 pod_pings 0 10.0.0.1
}

daemon_is_killed() {
	stop rtvsd KILL
	daemon_resume rtvsd
	netns_give t1 t1 10.0.0.1/24 # the tap is another one
	in_guest g 10 'ip -n p0 neigh flush all'
	wait_for 30 agent_is
	wait_for 30 all_flows "f['state'] == 'hw'"
	wait_for 20 pod_pings 0 10.0.0.1
}

storms_of_filters() {
	in_guest g 60 'tc qdisc show dev ens1r1 | grep clsact >/dev/null || tc qdisc add dev ens1r1 clsact; for i in $(seq 1 1500); do echo "filter add dev ens1r1 ingress prio 5 protocol ip flower dst_ip 10.1.$((i / 250)).$((i % 250)) action drop"; done >/tmp/batch; tc -b /tmp/batch'
	has_them() { [ "$(vf -j stats | json "d['filters']")" -ge 1500 ]; }
	wait_for 30 has_them
	# Beyond max_rules they stay with the guest's kernel.
	is_settled() { [ "$(vf -j stats | json "d['hw'] <= 1024 and d['refused'] > 0")" = true ]; }
	wait_for 60 is_settled
	pod_pings 0 10.0.0.1 || wait_for 20 pod_pings 0 10.0.0.1
	in_guest g 10 'tc filter del dev ens1r1 ingress prio 5'
	wait_for 30 all_flows "f['state'] == 'hw'"
}

# The flow that VF 0's pings have.
echo_flow() { flows | json "[f for f in d if f['in'] == 'vf0' and f['state'] == 'hw' and f['rule'].split(',')[1] in ('ip', 'icmp')][0]['$1']"; } # KEY
has_echo_flow() { [ "$(flows | json "sum(f['in'] == 'vf0' and f['state'] == 'hw' and f['rule'].split(',')[1] in ('ip', 'icmp') for f in d)")" = 1 ]; }
has_no_echo_flow() { ! has_echo_flow; }
open_vswitch_is_offloaded() {
	local cookie before after
	clear_filters
	in_guest g 60 'modprobe openvswitch; mkdir -p /run/openvswitch /etc/openvswitch /var/log/openvswitch
		ovsdb-tool create /tmp/conf.db /usr/share/openvswitch/vswitch.ovsschema
		ovsdb-server /tmp/conf.db --remote=punix:/run/openvswitch/db.sock --detach --pidfile --log-file=/tmp/ovsdb.log
		ovs-vsctl --no-wait init; ovs-vsctl --no-wait set Open_vSwitch . other_config:hw-offload=true
		ovs-vswitchd --detach --pidfile --log-file=/tmp/vs.log
		ovs-vsctl add-br br0 -- add-port br0 ens1up -- add-port br0 ens1r0 -- add-port br0 ens1r1' >/dev/null 2>&1
	wait_for 30 pod_pings 0 10.0.0.1
	wait_for 20 pod_pings 0 10.0.0.11 # from VF to VF
	in_guest g 10 "ip netns exec p0 ping -c 3 -i 0.2 10.0.0.1 >/dev/null"
	start pinging python3 "$lib/guest.py" run "$work/g.con" 40 "ip netns exec p0 ping -q -c 120 -i 0.2 10.0.0.1"
	wait_for 40 is_stopped pinging
	has_line ' 0% packet loss' <"$work/pinging.log"
	wait_for 10 has_echo_flow
	# It lived longer than max-idle (10 s), as the copies of its packets show the kernel.
	[ "$(echo_flow packets)" -ge 80 ] || fail "the flow was made anew: $(flows)"
	cookie=$(echo_flow cookie)
	before=$(pf_packets)
	in_guest g 20 "ip netns exec p0 ping -c 20 -i 0.2 10.0.0.1 >/dev/null"
	after=$(pf_packets)
	[ $((after - before)) -lt 15 ] || fail "$((after - before)) packets came to the guest's kernel"
	expect "the flow" "$cookie" "$(echo_flow cookie)"
	wait_for 60 has_no_echo_flow # and goes after its traffic
	in_guest g 30 'ovs-vsctl del-br br0; kill $(cat /run/openvswitch/*.pid)'
	wait_for 20 no_flows
}

agent_ends_as_it_began() {
	in_guest g 10 'kill $(cat /run/agent.pid)'
	wait_for 20 in_guest g 5 '! ip link show ens1r0 2>/dev/null'
	wait_for 20 vf show
	expect "mode" legacy "$(vf -j show | json "d['mode']")"
	wait_for 20 pod_pings 0 10.0.0.1 # VFs are ports of the bridge again
	is_conserved
}

run_case "no uplink, no switchdev mode" no_uplink_no_switchdev
run_case "the agent makes representors" agent_makes_representors
run_case "rules of tc are the switch's" rules_of_tc_are_the_switchs
run_case "drops, and deletions" drops_and_deletions
run_case "rewrites" rewrites
run_case "tags" tags
run_case "what the switch cannot do is a trap" what_the_switch_cannot_do_is_a_trap
run_case "the agent is killed" agent_is_killed
run_case "the daemon is killed" daemon_is_killed
run_case "storms of filters" storms_of_filters
run_case "flows of Open vSwitch are the switch's" open_vswitch_is_offloaded
run_case "the agent ends as it began" agent_ends_as_it_began
