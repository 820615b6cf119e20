#!/usr/bin/env bash
# rtvsctl vdpa with the vDPA bus of a guest's kernel. The devices are VDUSE's, of a fake that
# agrees to all that the kernel asks, and moves no packets.
. "$(dirname "$0")/lib.sh"

vduse_fake=$build/test/vm/vduse_fake
[ -x "$vduse_fake" ] || skip "vduse_fake is not built: the C library has no static part"
mkdir "$work/files"
cp "$vduse_fake" "$rtvsctl" "$work/files"
ldd "$rtvsctl" | awk '$1 ~ /jansson/ {print $3}' | xargs cp -Lt "$work/files"
tar -cf "$work/files.tar" -C "$work/files" .
vm_start g1 "files=$work/files.tar"
daemon_start rtvsd
ctl bridge add br0
ctl port add vm1 "socket=$work/vm1.sock" bridge=br0
wait_guests g1

guest() { in_guest g1 30 "$1"; } # COMMAND
vdpa() { guest "LD_LIBRARY_PATH=/opt rtvsctl -t 10s vdpa $*"; }
attach_json() { vdpa attach "$@" -j | json "', '.join('%s %s' % i for i in sorted(d.items()))"; }
# Of a namespace: name, index and MAC of each interface, and whether it is up.
links_of() {
	guest "ip -j -n $1 link" |
		json "', '.join('%s %s %s %s' % (l['ifname'], l['ifindex'], l['address'], 'UP' in l['flags']) for l in d if l['ifname'] != 'lo')"
}
column() { vdpa list -j | json "[c['$2'] for c in d if c['device'] == '$1'][0]"; } # DEVICE COLUMN
fake_start() { # NAME
	guest "mkfifo /run/$1; (exec 3<>/run/$1; exec vduse_fake $1 <&3 3>&- >/run/$1.log 2>&1 & echo \$! >/run/$1.pid)
		for i in \$(seq 100); do grep -q ready /run/$1.log && break; sleep 0.1; done; cat /run/$1.log; vdpa dev add name $1 mgmtdev vduse"
}
after_failure() { guest "kill \$(cat /run/holder.pid)"; vdpa detach c1; }
# A process in the guest that holds something.
hold() { guest "(exec $1 sleep 1000 </dev/null >/dev/null 2>&1 & echo \$! >/run/holder.pid)"; }
let_go() { guest "kill \$(cat /run/holder.pid)"; }

vm_unpack g1 /opt
guest "cp /opt/rtvsctl /opt/vduse_fake /usr/bin; modprobe -a vduse virtio_vdpa; ip netns add pod; ip netns add other"
fake_start c1

interface_goes_to_a_container() {
	local link
	expect "list" "vduse virtio_vdpa eth0 52:54:00:fa:ce:01 1400 up" \
		"$(vdpa list -j | json "' '.join(str(d[0][k]) for k in ('made_by', 'driver', 'interface', 'mac', 'mtu', 'link'))")"
	expect "attach" "device c1, driver virtio_vdpa, interface eth7, mac 52:54:00:00:00:07, mtu 1400, netns /run/netns/pod" \
		"$(attach_json c1 --netns pod --name eth7 --mac 52:54:00:00:00:07)"
	link=$(links_of pod)
	expect_match '^eth7 [0-9]+ 52:54:00:00:00:07 True$' "$link"
	expect "interface in list" "" "$(column c1 interface)"
	vdpa attach c1 --netns pod --name eth7 --mac 52:54:00:00:00:07
	expect "interface after the second time" "$link" "$(links_of pod)"
	guest "ip -n pod link set eth7 down"
	vdpa attach c1 --netns pod | has_line 'interface *eth7'
	expect "interface after it was down" "$link" "$(links_of pod)"
	vdpa attach c1 --netns pod --name eth8 --mac 52:54:00:00:00:08
	expect_match '^eth8 [0-9]+ 52:54:00:00:00:08 True$' "$(links_of pod)"
	expect_fails "c1 is in use: its interface is in another network namespace; rtvsctl vdpa detach" vdpa attach c1
	expect_fails "c1 is in use" vdpa attach c1 --netns other
	expect_fails "c1 is in use" vdpa attach c1 --driver vhost
	vdpa detach c1
	vdpa detach c1
	expect "interface after detach" "" "$(links_of pod)"
	expect "driver" "" "$(column c1 driver)"
}

namespace_is_named_in_three_ways() {
	local pid
	hold "ip netns exec other"
	pid=$(guest "cat /run/holder.pid")
	is_inside() { guest "ip netns identify $pid | grep -q other"; }
	wait_for 10 is_inside
	expect "netns" "/proc/$pid/ns/net" "$(vdpa attach c1 --netns "$pid" -j | json "d['netns']")"
	expect "interfaces" 1 "$(links_of other | wc -l)"
	vdpa attach c1 --netns other
	vdpa attach c1 --netns /run/netns/other
	vdpa detach c1
	let_go
	vdpa attach c1 # stays here
	expect_match '^eth[0-9]+$' "$(column c1 interface)"
	vdpa detach c1
}

# Its interface falls back to the host.
container_may_end() {
	guest "ip netns add short"
	vdpa attach c1 --netns short
	guest "ip netns del short"
	is_back() { [ -n "$(column c1 interface)" ]; }
	wait_for 10 is_back
	vdpa attach c1 --netns pod --name eth0
	expect_match '^eth0 ' "$(links_of pod)"
	vdpa detach c1
}

device_becomes_a_file_for_qemu() {
	expect_fails "the kernel has no driver vhost_vdpa: modprobe vhost_vdpa" vdpa attach c1 --driver vhost
	guest "modprobe vhost_vdpa"
	expect "path" /dev/vhost-vdpa-0 "$(vdpa attach c1 --driver vhost -j | json "d['path']")"
	guest "test -c /dev/vhost-vdpa-0"
	expect_match "^-netdev vhost-vdpa,id=n0,vhostdev=/dev/vhost-vdpa-0 -device virtio-net-pci,netdev=n0,.*,mac=52:54:00:fa:ce:01$" \
		"$(vdpa attach c1 --driver vhost -j | json "' '.join(d['qemu'])")"
	expect_match ",mac=52:54:00:00:00:09" "$(vdpa attach c1 --driver vhost --mac 52:54:00:00:00:09)"
	# The kernel would wait for the program without limit.
	hold "5<>/dev/vhost-vdpa-0"
	expect_fails "c1 is in use: a program, as QEMU, has its vhost-vdpa file open" vdpa attach c1 --netns pod
	expect_fails "c1 is in use: a program" vdpa detach c1
	let_go
	is_free() { vdpa attach c1 --netns pod; }
	wait_for 10 is_free
	expect_match '52:54:00:fa:ce:01 True' "$(links_of pod)"
	vdpa detach c1
}

wrong_requests_are_refused() {
	expect_fails "there is no vDPA device c9" vdpa attach c9 --netns pod
	expect_fails "there is no vDPA device c9" vdpa detach c9
	expect_fails "there is no vDPA device ../c1" vdpa detach ../c1
	expect_fails "there is no network namespace /run/netns/nowhere: ip netns list" vdpa attach c1 --netns nowhere
	expect_fails "there is no network namespace /proc/999999/ns/net" vdpa attach c1 --netns 999999
	expect_fails "/dev/null is no network namespace" vdpa attach c1 --netns /dev/null
	guest "ip -n pod link add eth0 type dummy"
	expect_fails "the namespace has another interface eth0" vdpa attach c1 --netns pod --name eth0
	guest "ip -n pod link del eth0"
	expect_fails "no permission" guest "LD_LIBRARY_PATH=/opt setpriv --reuid 1000 --clear-groups rtvsctl vdpa detach c1"
	vdpa detach c1
	expect_fails "is for containers|are for containers" vdpa attach c1 --driver vhost --netns pod
	expect_fails "--driver: is virtio or vhost, not 'x'" vdpa attach c1 --driver x
	expect_fails "--mac: '01:00:00:00:00:00' is no address of one" vdpa attach c1 --mac 01:00:00:00:00:00
	expect_fails "--name: .* of 1 to 15 bytes" vdpa attach c1 --name 1234567890123456
	vdpa attach c1 --name 123456789012345
	vdpa detach c1
	expect_fails "usage: rtvsctl vdpa attach PORT" vdpa attach
	expect_fails "detach takes the port alone" vdpa detach c1 --netns pod
	expect_fails "there is no verb 'put'" vdpa put
	# On this host the daemon says why a port has no device.
	expect_fails "port vm1 is of type vhost, and has no device on the vDPA bus" ctl vdpa attach vm1
}

# It does not answer the kernel. Requests about others wait for the kernel's locks, not for it.
stopped_device_is_not_waited_for() {
	fake_start c2
	vdpa detach c2
	guest "echo 4 >/sys/class/vduse/c2/msg_timeout; kill -STOP \$(cat /run/c2.pid)"
	expect_fails "the kernel did not finish in time: a vDPA device does not answer" \
		guest "LD_LIBRARY_PATH=/opt rtvsctl -t 500ms vdpa attach c2 --netns pod"
	expect "made by" vduse "$(column c1 made_by)"
	vdpa attach c1 --netns other
	vdpa detach c1
	guest "kill -KILL \$(cat /run/c2.pid)"
}

run_case "the interface of a device goes to a container, and comes back" interface_goes_to_a_container
run_case "a namespace is a name, a process, or a path" namespace_is_named_in_three_ways
run_case "the interface of a container that ended goes to another" container_may_end
run_case "a device becomes a file for QEMU, which is not taken away" device_becomes_a_file_for_qemu
run_case "wrong requests are refused, with what to do" wrong_requests_are_refused
run_case "a device that does not answer stops neither the command nor others" stopped_device_is_not_waited_for
