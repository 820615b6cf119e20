#!/usr/bin/env bash
# Ports whose packets a vDPA device moves. The device is a fake (vdpa_fake_driver.c), which sends
# each frame back to its guest; what configures it is DPDK's own librte_vhost. Beside it two other
# ports' traffic goes on without a loss, whatever its guest does.
. "$(dirname "$0")/lib.sh"

# DPDK loads nothing from below a directory where everybody may write, as /tmp is.
fake=/run/libvdpa_fake_driver.so
install -m 755 "$build/test/smoke/libvdpa_fake_driver.so" "$fake"
itself="moves this port's packets itself"

begin() {
	[ -e "$work/config.json" ] || echo "[]" >"$work/config.json"
	daemon_start rtvsd --eal "-d $fake" --config "$work/config.json"
	ctl bridge add br0
	n_taps=0
	tap_port t1 10.0.0.1/24 bridge=br0
	tap_port t2 10.0.0.2/24 bridge=br0
	wait_for 10 can_ping t1 10.0.0.2
	offload v1 vdpa=vdpa_fake0
}
after_failure() {
	stop flow KILL
	stop guest KILL
	stop rtvsd KILL
	rm -f "$work/config.json" "$work"/guest.{in,out,pid}
	begin
}
offload() { ctl port add "$1" "socket=$work/$1.sock" "${@:2}"; } # PORT PARAM=VALUE...
hostile() { timeout 40 python3 "$top/test/smoke/hostile.py" "$@"; }
device_stat() { ctl -j port show "$1" | json "next(s['value'] for s in d['device_stats'] if (s['queue'], s['name']) == ($2, '$3'))"; } # PORT QUEUE NAME
is_device_stat() { [ "$(device_stat "$1" "$2" "$3")" = "$4" ]; }
hook() { "$build/src/virt/rtvs-hook" --socket "$work/rtvsd.sock" web1 "$1" "$2" - <"$work/web1.xml"; } # OPERATION SUB-OPERATION
n_sockets() { find "/proc/$(pid_of rtvsd)/fd" -lname 'socket:*' | wc -l; }

guest() { # PORT: an honest front-end that stays
	mkfifo "$work/guest.in"
	timeout 60 python3 "$top/test/smoke/hostile.py" "$work/$1.sock" hold <>"$work/guest.in" >"$work/guest.out" 2>&1 3>&- &
	echo $! >"$work/guest.pid"
	wait_for 5 grep -qx ready "$work/guest.out"
}
guest_sends() {
	local n
	n=$(grep -cx sent "$work/guest.out") || :
	echo >"$work/guest.in"
	wait_for 5 has_sent "$((n + 1))"
}
has_sent() { [ "$(grep -cx sent "$work/guest.out")" = "$1" ]; }
guest_ends() {
	stop guest TERM 5 || :
	rm -f "$work"/guest.{in,out,pid}
}

frames_are_moved() {
	expect detail "offloaded to vdpa_fake0: listening" "$(port_state v1 detail)"
	expect device vdpa_fake0 "$(port_state v1 offloaded)"
	hostile "$work/v1.sock" echo
	wait_for 5 is_device_stat v1 1 frames 10
	expect "frames to the guest" 10 "$(device_stat v1 0 frames)"
	expect "packets that the switch saw" 0 "$(port_stat v1 rx_pkts)"
	guest v1
	wait_for 5 is_port_state v1 link up
	expect connected true "$(port_state v1 connected)"
	expect detail "offloaded to vdpa_fake0" "$(port_state v1 detail)"
	ctl port list | has_line 'offloaded to vdpa_fake0'
	guest_sends
	is_device_stat v1 1 frames 11
	guest_ends
	wait_for 5 is_port_state v1 link down
	guest v1 # it comes back
	guest_sends
	ctl port set v1 admin_up=no
	wait_for 5 is_port_state v1 connected false
	guest_ends
	ctl port set v1 admin_up=yes
	hostile "$work/v1.sock" echo
	is_conserved
}


refused() { # WHAT COMMAND [ARG...]: the parameter or the capture of it
	local what=$1
	shift
	expect_fails ": $what: the device .*vdpa_fake.* $itself: scheduler, guard, bridge, capture and mirror" "$@"
}

parameters_are_refused() {
	local row
	for row in bridge=br0 mtu=1400 vlan_mode=trunk vlan=5 trunk=5 address=192.0.2.1/24 gateway=192.0.2.2 stamp=true \
		allowed_macs=52:54:00:00:00:01 allowed_ips=192.0.2.1 isolated=true forwards_reserved=true mac_limit=5 \
		flood_rate=100 mirror_to=t1 mirror=rx deadline=2ms min_rate=10Mbit burst=20kB max_rate=1Gbit weight=2 late=drop \
		feedback=off force=true queue=64 rate=1Gbit dscp=deadline prewake=true; do
		refused "${row%%=*}" offload v2 vdpa=vdpa_fake1 "$row"
		refused "${row%%=*}" ctl port set v1 "$row"
	done
	refused port ctl capture start v1 "file=$work/v1.pcapng"
	refused port ctl trace start v1
	refused mirror_to ctl port set t1 mirror_to=v1 mirror=rx
	refused deadline ctl admission check v2 vdpa=vdpa_fake1 deadline=2ms
	expect_fails 'and no vdpa can be moved' ctl port move v1
	expect_fails "no parameter 'vdpa'" ctl port set v1 vdpa=vdpa_fake1
	expect_fails 'vdpa: fixed when the port is added' ctl call port.set '{"name": "v1", "vdpa": "vdpa_fake1"}'
	ctl port set v1 bridge= deadline=0 # which say nothing
	expect_fails 'vdpa: only for type=vhost' ctl port add v2 type=ethdev devargs=net_null0 vdpa=vdpa_fake1
	ctl port set v1 domain=web1 # which says nothing of packets
	ctl port set t1 mirror_to=late mirror=rx
	expect_fails 'vdpa: port t1 mirrors to this one' offload late vdpa=vdpa_fake1
	ctl port set t1 mirror_to= mirror=none
	hostile "$work/v1.sock" echo
}

devices_are_refused() {
	expect_fails 'vdpa: device vdpa_fake0 belongs to port v1; no pool has a free device' offload v2 vdpa=vdpa_fake0
	expect_fails "vdpa: no driver made a vDPA device of 'nothing0'" offload v2 vdpa=nothing0
	expect_fails "vdpa: no driver made a vDPA device of '0000:7f:1f.7'" offload v2 vdpa=0000:7f:1f.7
	expect_fails "vdpa: the driver of 'none_fake0' is none of the vDPA class" offload v2 vdpa=none_fake0
	expect_fails "vdpa: the driver of 'none_fake0' is none" offload v2 vdpa=none_fake0 # it was given back
	ctl port add null type=ethdev devargs=net_null0
	expect_fails 'vdpa: device net_null0 is in use as a network device' offload v2 vdpa=net_null0
	expect_fails 'devargs: ' ctl port add null2 type=ethdev devargs=vdpa_fake0
	ctl port del null
	expect_fails 'vdpa: must name a device' offload v2 vdpa=,x=1
	expect "ports" "t1 t2 v1" "$(ctl -j port list | json "' '.join(p['name'] for p in d)")"
	hostile "$work/v1.sock" echo
}

pools_lend_devices() {
	ctl pool add fast devices=vdpa_fake1,vdpa_fake2
	expect_fails 'pool fast exists already' ctl pool add fast devices=vdpa_fake3
	expect_fails 'devices: vdpa_fake2 is in pool fast' ctl pool add slow devices=vdpa_fake2
	expect_fails 'devices: vdpa_fake3 is named twice' ctl pool add slow devices=vdpa_fake3,vdpa_fake3
	expect_fails "devices: 'a/b' is no name" ctl pool add slow devices=a/b
	expect_fails 'devices: 65 names are out of range 1 to 64' ctl pool add slow "devices=$(seq -s, 65)"
	ctl pool add slow "devices=$(seq -s, 64)"
	ctl pool del slow
	expect_fails "vdpa: there is no pool 'none'.*; free in pools: vdpa_fake1 \(fast\), vdpa_fake2 \(fast\)" offload v2 vdpa=pool:none
	expect_fails "vdpa: device vdpa_fake0 belongs to port v1; free in pools: vdpa_fake1" offload v2 vdpa=vdpa_fake0
	offload v2 vdpa=pool:fast
	offload v3 vdpa=pool:fast
	expect "device" vdpa_fake1 "$(port_state v2 offloaded)"
	expect "device" vdpa_fake2 "$(port_state v3 offloaded)"
	expect_fails "vdpa: each device of pool 'fast' has a port.*; no pool has a free device" offload v4 vdpa=pool:fast
	expect_fails 'port v2 has a device of pool fast' ctl pool del fast
	expect_fails 'pool none does not exist' ctl pool show none
	hostile "$work/v2.sock" echo
	hostile "$work/v3.sock" echo
	ctl port del v2
	expect "free" vdpa_fake1 "$(ctl -j pool show fast | json "' '.join(d['free'])")"
	offload v4 vdpa=pool:fast
	hostile "$work/v4.sock" echo
	expect "users" "v3 v4" "$(ctl -j pool list | json "' '.join(d[0]['ports'])")"
	ctl -j config dump >"$work/dump"
	expect "in the dump" "vdpa_fake1,vdpa_fake2" "$(json "next(c['params']['devices'] for c in d if c['method'] == 'pool.add')" <"$work/dump")"
	expect "in the dump" "pool:fast" "$(json "next(c['params']['vdpa'] for c in d if c['params'].get('name') == 'v4')" <"$work/dump")"
	# Without v4, whose device v3 would get by the order of names: it keeps its own.
	ctl call config.apply "$(json "__import__('json').dumps({'replace': True, 'calls': [c for c in d if c['params'].get('name') != 'v4']})" <"$work/dump")"
	expect "ports" "t1 t2 v1 v3" "$(ctl -j port list | json "' '.join(p['name'] for p in d)")"
	expect "device" vdpa_fake2 "$(port_state v3 offloaded)"
	ctl port del v3
	ctl pool set fast devices=vdpa_fake1
	ctl pool del fast
}

guest_of_libvirt() {
	ctl pool add fast devices=vdpa_fake1
	cat >"$work/web1.xml" <<-END
		<domain type='kvm'><name>web1</name><uuid>6f5e7ab1-9f0f-4b05-a9dd-000000000001</uuid>
		<metadata><rtvs:ports xmlns:rtvs='urn:rtvswitch:domain:1'><rtvs:port mac='52:54:00:00:00:01' bridge='' vdpa='pool:fast'/></rtvs:ports></metadata>
		<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
		<devices><interface type='vhostuser'><mac address='52:54:00:00:00:01'/><source type='unix' path='$work/web1.sock' mode='client'/></interface></devices></domain>
	END
	hook prepare begin
	expect device vdpa_fake1 "$(port_state web1 offloaded)"
	hook prepare begin # again: it is the same
	hostile "$work/web1.sock" echo
	sed -i "s/ vdpa='pool:fast'/ vdpa='pool:fast' deadline='2ms'/" "$work/web1.xml"
	hook release end
	expect_fails "deadline: the device pool:fast $itself" hook prepare begin
	expect free vdpa_fake1 "$(ctl -j pool show fast | json "' '.join(d['free'])")"
	ctl pool del fast
}

goes_while_it_is_used() {
	local before
	before=$(n_sockets)
	offload v2 vdpa=vdpa_fake1
	guest v2
	guest_sends
	ctl port del v2
	[ ! -e "$work/v2.sock" ] || fail "its socket is left"
	guest_ends
	offload v2 vdpa=vdpa_fake1
	hostile "$work/v2.sock" echo
	ctl port del v2
	expect sockets "$before" "$(n_sockets)"
	expect "directories" "" "$(find /tmp -maxdepth 1 -name 'rtvswitchd-*')"
}

is_left() { [ "$(port_state v1 connected)" = false ] && [ "$(n_sockets)" -le "$1" ]; }

hostile_guest() {
	local before attack
	before=$(n_sockets)
	flow
	for attack in half_header no_payload reads_no_answers unknown_requests fd_flood too_many_regions region_is_no_memory \
		regions_without_fds truncated_memory ring_addresses_lie ring_sizes_lie heads_lie addresses_lie log_lies kick_is_a_file \
		many_rings cut; do
		echo "attack $attack"
		hostile "$work/v1.sock" "$attack"
		is_running rtvsd || fail "the daemon is gone"
		wait_for 5 is_left "$before"
	done
	# One that stops in a message: another device's guest is served, and its own port goes.
	offload v2 vdpa=vdpa_fake1
	start hang python3 "$top/test/smoke/hostile.py" "$work/v2.sock" halves
	hostile "$work/v1.sock" echo
	timeout 5 "$rtvsctl" -s "$work/rtvsd.sock" port del v2
	stop hang
	nothing_was_lost
	hostile "$work/v1.sock" echo
	is_conserved
}

killed_and_restarted() {
	ctl pool add fast devices=vdpa_fake1
	offload v2 vdpa=pool:fast
	guest v2
	ctl config save
	kill -9 "$(pid_of rtvsd)"
	wait_for 5 is_stopped rtvsd
	guest_ends
	expect "directories" "" "$(find /tmp -maxdepth 1 -name 'rtvswitchd-*')"
	daemon_start rtvsd --eal "-d $fake" --config "$work/config.json"
	hostile "$work/v1.sock" echo
	hostile "$work/v2.sock" echo
	expect device vdpa_fake1 "$(port_state v2 offloaded)"
	ctl port del v2
	ctl pool del fast
	is_conserved
}

begin
run_case "frames are moved, and counted by the device" frames_are_moved
run_case "parameters of the switch are refused" parameters_are_refused
run_case "devices that cannot be had are refused" devices_are_refused
run_case "pools lend devices" pools_lend_devices
run_case "a guest of libvirt has a device" guest_of_libvirt
run_case "a port goes while its guest uses it" goes_while_it_is_used
run_case "a hostile guest harms only itself" hostile_guest
run_case "the daemon is killed and comes back" killed_and_restarted
