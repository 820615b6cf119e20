#!/usr/bin/env bash
# Domains of a real libvirtd with metadata. Its hook and the listener make, change and remove their
# ports, whichever of libvirtd and rtvswitchd goes away meanwhile. Two guests serve all cases; a
# third one comes and goes.

# libvirtd's directories and /run are its own here, and gone with this mount namespace.
if [ "${RTVS_WORLD:-}" = 1 ] && [ "${RTVS_OWN_MOUNTS:-}" != 1 ]; then
	RTVS_OWN_MOUNTS=1 exec unshare --mount --propagation private sh -c \
		'mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns /run/lock && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/libvirt.sh"

# A value of the port's configuration, as port.add takes it.
config() { ctl -j port list | json "next((p['config'].get('$2', '') for p in d if p['name'] == '$1'), 'none')"; } # PORT KEY
is_config() { [ "$(config "$1" "$2")" = "$3" ]; }
ports() { ctl -j port list | json '" ".join(p["name"] for p in d)'; }
has_port() { [[ " $(ports) " == *" $1 "* ]]; }
# Waited for: the listener may have looked at a domain just before it changed, and makes a port once
# more until it hears of that.
has_no_port() { [[ " $(ports) " != *" $1 "* ]]; }
is_connected() { is_port_state "$1" connected true; }
traffic() { # FROM ADDRESS
	wait_for 30 guest_pings "$1" "$2"
}
metadata() { v metadata "$1" urn:rtvswitch:domain:1 "${@:2}"; } # DOMAIN [--live|--config]

mac1=52:54:00:00:00:01 mac2=52:54:00:00:00:02 mac3=52:54:00:00:00:03 mac4=52:54:00:00:00:04
guaranteed="deadline='2ms' min_rate='10Mbit' burst='15kB'"

people_place
libvirt_place "$work/libvirt"
ln -s "$work/rtvsd.sock" /run/rtvswitch/control.sock
daemon_begin() { daemon_start rtvsd --config "$work/host.json"; }
# What the host has of its own; ports of guests are not in it.
cat >"$work/host.json" <<'END2'
[{"method": "bridge.add", "params": {"name": "br0"}},
 {"method": "port.add", "params": {"name": "up", "type": "ethdev", "devargs": "net_tap0,iface=up", "bridge": "br0", "rate": "100Mbit"}}]
END2
daemon_begin
libvirtd_start
listener_start
define web1 "$(port $mac1 "$guaranteed allowed_ips='10.0.0.1,10.1.0.1'")" \
	"$(nic $mac1 web1 client "<bandwidth><inbound average='10000'/><outbound average='12500' peak='20000'/></bandwidth>")"
define web2 "$(port $mac2 "name='second' deadline='5ms' min_rate='5Mbit' burst='15kB'")" "$(nic $mac2 two server)"

ports1="<port mac='$mac1' bridge='br0' $guaranteed/>"
ports2="<port mac='$mac2' name='second' bridge='br0' deadline='5ms' min_rate='5Mbit' burst='15kB'/>"
after_failure() {
	is_running libvirtd || libvirtd_start
	is_running rtvsd || daemon_begin
	is_running listener || listener_start
	v destroy web3
	v undefine web3 --managed-save
	v undefine web4
	v undefine web9
	[ ! -e "$work/plug.xml" ] || v detach-device web1 "$work/plug.xml" --live
	metadata web1 --live --key rtvs --set "<ports>$ports1</ports>"
	metadata web2 --live --key rtvs --set "<ports>$ports2</ports>"
}

schema_is_that_of_the_metadata() {
	metadata web1 --config >"$work/without.xml"
	# virsh shows the element without its name space.
	sed 's,<ports>,<ports xmlns="urn:rtvswitch:domain:1">,' "$work/without.xml" >"$work/ports.xml"
	xmllint --noout --relaxng "$build/src/virt/domain.rng" "$work/ports.xml"
	sed -i 's/deadline=/deadlin=/' "$work/ports.xml"
	expect_fails 'deadlin' xmllint --noout --relaxng "$build/src/virt/domain.rng" "$work/ports.xml"
}
printed_xml_is_accepted() {
	virt xml bridge=br0 deadline=2ms min_rate=1Mbit "mac=$mac4" name=web4 >"$work/pieces"
	piece() { sed -n "/^<$1/,/^<.$1/p" "$work/pieces"; }
	piece rtvs:ports >"$work/ports.xml"
	xmllint --noout --relaxng "$build/src/virt/domain.rng" "$work/ports.xml"
	domain_xml web4 "$(piece rtvs:ports | grep '<rtvs:port ')" "$(piece interface)" "$(piece memoryBacking)" >"$work/web4.xml"
	v define "$work/web4.xml"
	expect_match 'has all that it needs' "$(virt xml web4)"
	v undefine web4
	# What a domain lacks, and no more.
	domain_xml web4 '' "$(nic $mac4 web4 client)" >"$work/web4.xml"
	v define "$work/web4.xml"
	virt xml web4 deadline=1ms >"$work/pieces"
	expect_match "<rtvs:port mac='$mac4' deadline='1ms' bridge='br0'/>" "$(cat "$work/pieces")"
	grep -qE '<interface|memfd' "$work/pieces" && fail "it has these"
	v undefine web4
	domain_xml web4 '' '' '' >"$work/web4.xml"
	v define "$work/web4.xml"
	virt xml web4 >"$work/pieces"
	for element in memoryBacking interface rtvs:ports; do grep "^<$element" "$work/pieces"; done
	v undefine web4
}
start_makes_ports() {
	domain_start web1
	domain_start web2
	for domain in web1 web2; do domain_wait $domain; done
	expect "deadline" 2ms "$(config web1 deadline)"
	expect "min_rate" 10Mbit "$(config web1 min_rate)"
	expect "its domain" "web1 $(v domuuid web1)" "$(config web1 domain) $(config web1 domain_uuid)"
	expect "mode of QEMU's socket" connect "$(config second mode)"
	expect_match kept "$(ctl port list | grep web1)"
	traffic web1 10.0.0.2
	traffic web2 10.0.0.1
	is_conserved
}
bandwidth_of_libvirt_counts() {
	expect "outbound average" 100Mbit "$(config web1 max_rate)"
	expect "inbound average" 80Mbit "$(config web1 rate)"
	# A floor is libvirt's to refuse.
	domain_xml web4 '' "$(nic $mac4 web4 client "<bandwidth><inbound average='2' floor='1'/></bandwidth>")" >"$work/web4.xml"
	expect_fails 'floor' v define "$work/web4.xml"
}
guard_is_the_interfaces() {
	expect "allowed MACs" "['$mac1']" "$(config web1 allowed_macs)"
	vm_run web1 10 "ip addr add 10.0.0.77/24 dev eth0; ping -c 2 -i 0.2 -W 1 -I 10.0.0.77 10.0.0.2; ip addr del 10.0.0.77/24 dev eth0" || :
	is_stat_above web1 spoof_ip 0 || is_stat_above web1 spoof_arp 0
	traffic web1 10.0.0.2
}
list_shows_them() {
	virt list
	expect_match "web1 +net0 +$mac1 +web1 +connected" "$(virt list)"
	expect "of web2" "second connected" "$(virt list -j | json "next(r['port'] + ' ' + r['state'] for r in d if r['domain'] == 'web2')")"
}
# As much of the guest agent as libvirt's reboot asks for.
guest_agent() {
	cat <<-'END2'
		echo $$ >/run/agent.pid
		port=$(grep -l org.qemu.guest_agent.0 /sys/class/virtio-ports/*/name)
		port=${port%/name}
		exec 3<>/dev/${port##*/}
		while read -r line <&3; do
			case $line in
			*guest-sync*) echo "{\"return\": $(echo "$line" | tr -dc 0-9)}" >&3 ;;
			*guest-shutdown*) echo b >/proc/sysrq-trigger ;;
			*) echo "{\"return\": {}}" >&3 ;;
			esac
		done
	END2
}
reboot_keeps_the_port() {
	local number
	number=$(ctl -j port show web1 | json "d['number']")
	has_agent() { v dumpxml web1 | has_line "guest_agent.0' state='connected'"; }
	# libvirt gives the agent 5 s, which a guest without KVM sometimes exceeds, and speaks to a
	# new one only after that. A late guest may have rebooted all the same.
	asks_for_reboot() {
		is_booted web1 && return
		vm_run web1 10 "kill \$(cat /run/agent.pid 2>/dev/null) 2>/dev/null; setsid bash -c '$(guest_agent)' >/dev/null 2>&1 </dev/null &" || return
		wait_until 10 has_agent || return
		v qemu-agent-command web1 '{"execute": "guest-ping"}' --timeout 20 && v reboot web1 --mode agent
	}
	: >"$work/web1.serial"
	wait_for 60 asks_for_reboot
	domain_wait web1
	traffic web1 10.0.0.2
	expect "number of the port" "$number" "$(ctl -j port show web1 | json "d['number']")"
}

guest_has_nic() { vm_run "$1" 8 "grep -qi $2 /sys/class/net/*/address"; } # GUEST MAC
guest_has_no_nic() { ! vm_run "$1" 8 "grep -qi $2 /sys/class/net/*/address"; }
# Its address is 10.1.0.1; the other guest has 10.1.0.2 beside its own.
guest_uses_nic() { # GUEST MAC
	wait_for 30 guest_has_nic "$1" "$2"
	vm_run "$1" 10 "n=\$(dirname \$(grep -li $2 /sys/class/net/*/address)); n=\${n##*/}; ip addr replace 10.1.0.1/24 dev \$n; ip link set \$n up"
	vm_run web2 10 "ip addr replace 10.1.0.2/24 dev eth0"
	traffic "$1" 10.1.0.2
}
plain_hotplug() {
	# The element first: its port listens before there is an interface.
	metadata web1 --live --key rtvs --set "<ports>$ports1<port mac='$mac4' name='plug' bridge='br0' deadline='3ms' min_rate='1Mbit' burst='15kB'/></ports>"
	wait_for 10 has_port plug
	nic $mac4 plug client >"$work/plug.xml"
	v attach-device web1 "$work/plug.xml" --live
	guest_uses_nic web1 $mac4
	expect "deadline" 3ms "$(config plug deadline)"
	expect_match "web1 +net1 +$mac4 +plug +connected" "$(virt list)"
}
plain_unplug() {
	v detach-device web1 "$work/plug.xml" --live
	wait_for 20 guest_has_no_nic web1 $mac4
	# The element is still there, and its port waits.
	has_port plug
	metadata web1 --live --key rtvs --set "<ports>$ports1</ports>"
	wait_for 10 has_no_port plug
	traffic web1 10.0.0.2
}
attach_and_detach() { # MODE
	local said mac
	said=$(virt attach web1 bridge=br0 deadline=4ms min_rate=2Mbit burst=15kB name=plug "mode=$1" "allowed_ips=10.1.0.1")
	expect_match '^plug  52:54:00:..:..:..$' "$said"
	mac=${said#* *}
	mac=${mac# }
	expect "deadline" 4ms "$(config plug deadline)"
	guest_uses_nic web1 "$mac"
	expect_match "$mac" "$(metadata web1 --live)"
	expect_match "$mac" "$(metadata web1 --config)"
	expect_match "$mac" "$(v dumpxml web1 --inactive | grep '<mac')"
	virt detach web1 plug --timeout 60s
	wait_for 10 has_no_port plug
	wait_for 20 guest_has_no_nic web1 "$mac"
	expect_match $mac1 "$(metadata web1 --live)"
	v dumpxml web1 --inactive | has_line "$mac" && fail "it is still stored"
	[[ $(metadata web1 --live)$(metadata web1 --config) != *$mac* ]] || fail "it is still in the metadata"
}
detach_waits_for_the_guest() {
	virt attach web1 bridge=br0 name=plug "mac=$mac4"
	wait_for 30 guest_has_nic web1 $mac4
	v suspend web1
	expect_fails 'did not let go of interface net1 in time' virt detach web1 plug --timeout 500ms
	has_port plug
	for side in --live --config; do expect_match $mac4 "$(metadata web1 $side)"; done
	v resume web1
	wait_for 30 guest_has_no_nic web1 $mac4
	has_port plug
	virt detach web1 plug --timeout 60s
	wait_for 10 has_no_port plug
	[[ $(v dumpxml web1)$(v dumpxml web1 --inactive) != *$mac4* ]] || fail "something is left"
}
attach_refused_changes_nothing() {
	v dumpxml web1 >"$work/before"
	v dumpxml web1 --inactive >>"$work/before"
	expect_fails 'would fit|cannot be kept|carries' virt attach web1 bridge=br0 deadline=2ms min_rate=95Mbit burst=15kB name=plug
	expect_fails 'no bridge|nosuch' virt attach web1 bridge=nosuch name=plug
	expect_fails "did you mean 'deadline'" virt attach web1 deadlin=2ms
	expect_fails "already" virt attach web1 "mac=$mac1"
	# libvirt refuses the last step: what was done before is undone.
	expect_fails 'libvirt' virt attach web1 bridge=br0 name=plug mode=server socket=/nosuch/plug.sock
	expect_fails "no domain 'nosuch'" virt attach nosuch bridge=br0
	{ v dumpxml web1; v dumpxml web1 --inactive; } >"$work/after"
	cmp "$work/before" "$work/after"
	wait_for 10 has_no_port plug
}
stored_only() {
	virt attach web1 bridge=br0 name=later --config "mac=$mac4"
	wait_for 10 has_no_port later
	[[ $(metadata web1 --live) != *$mac4* ]]
	expect_match $mac4 "$(v dumpxml web1 --inactive | grep '<mac')"
	virt detach web1 later --config
	[[ $(v dumpxml web1 --inactive) != *$mac4* ]] || fail "it is still stored"
}
set_changes_all_three() {
	virt set web1 net0 deadline=6ms min_rate=20Mbit
	expect "deadline" 6ms "$(config web1 deadline)"
	expect "min_rate" 20Mbit "$(config web1 min_rate)"
	for side in --live --config; do expect_match "deadline=.6ms.* min_rate=.20Mbit" "$(metadata web1 $side)"; done
	virt set web1 $mac1 deadline=2ms min_rate=10Mbit
	traffic web1 10.0.0.2
}
set_refused_changes_nothing() {
	metadata web1 --live >"$work/before"
	expect_fails 'would fit|carries' virt set web1 web1 min_rate=99Mbit
	expect_fails 'deadline' virt set web1 web1 deadline=never
	expect_fails 'queues' virt set web1 web1 queues=4
	expect_fails "no vhost-user or vdpa interface or port 'nosuch'" virt set web1 nosuch deadline=1ms
	metadata web1 --live | cmp - "$work/before"
	expect "min_rate" 10Mbit "$(config web1 min_rate)"
}
# What virsh stores as "modified" and the port cannot be is told, and listed with what the port has.
problem_of() { virt list -j | json "next(r['problem'] for r in d if r['port'] == '$1')"; }
wrong_metadata_shows() {
	expect "problem" '' "$(problem_of web1)"
	metadata web1 --live --key rtvs --set "<ports><port mac='$mac1' bridge='br0' deadline='3ms' min_rate='99Mbit' burst='15kB'/></ports>"
	wait_for 10 grep -q 'domain web1: port web1: stays as it was: .*min_rate' "$work/listener.log"
	expect_match 'web1, 52:54:00:00:00:01: deadline=2ms instead of 3ms, min_rate=10Mbit instead of 99Mbit: .*would fit' "$(virt list)"
	metadata web1 --live --key rtvs --set "<ports><port mac='$mac1' bridge='br0' deadlin='3ms'/></ports>"
	wait_for 10 grep -q "domain web1: port web1: stays as it was: .*did you mean 'deadline'" "$work/listener.log"
	expect_match "did you mean 'deadline'" "$(problem_of web1)"
	metadata web1 --live --key rtvs --set "<ports>$ports1</ports>"
	wait_for 10 eval '[ -z "$(problem_of web1)" ]'
	expect "deadline" 2ms "$(config web1 deadline)"
	traffic web1 10.0.0.2
}
# A NIC is plugged in before its element: libvirt continues, the guest has a NIC without a network,
# and the element gives it one.
attach_before_the_element() {
	nic $mac4 early client "<driver queues='2'/>" >"$work/plug.xml"
	timeout 20 virsh -q attach-device web1 "$work/plug.xml" --live
	expect "bridge" '' "$(config early bridge)"
	wait_for 10 grep -q "domain web1: line [0-9]*: <interface>: no <port> has its MAC, $mac4" "$work/listener.log"
	expect_match "web1 +net1 +$mac4 +early +no element" "$(virt list)"
	traffic web1 10.0.0.2
	metadata web1 --live --key rtvs --set "<ports>$ports1<port mac='$mac4' bridge='br0' deadline='3ms' min_rate='1Mbit' burst='15kB'/></ports>"
	wait_for 10 is_config early deadline 3ms
	guest_uses_nic web1 $mac4
	v detach-device web1 "$work/plug.xml" --live
	wait_for 20 guest_has_no_nic web1 $mac4
	metadata web1 --live --key rtvs --set "<ports>$ports1</ports>"
	wait_for 10 has_no_port early
	# Without an element it goes with its interface.
	timeout 20 virsh -q attach-device web1 "$work/plug.xml" --live
	v detach-device web1 "$work/plug.xml" --live
	wait_for 60 has_no_port early
	# Where QEMU does not wait, libvirt says what is missing.
	nic $mac4 early client | sed 's,<reconnect[^>]*>,,' >"$work/plug.xml"
	expect_fails 'No such file or directory' timeout 20 virsh -q attach-device web1 "$work/plug.xml" --live
	has_no_port early
	traffic web1 10.0.0.2
}
metadata_is_followed() {
	metadata web2 --live --key rtvs --set "<ports><port mac='$mac2' name='second' bridge='br0' deadline='7ms' min_rate='5Mbit' burst='15kB'/></ports>"
	wait_for 10 is_config second deadline 7ms
	# What cannot be leaves the guest what it has.
	metadata web2 --live --key rtvs --set "<ports><port mac='$mac2' name='second' bridge='br0' deadline='8ms' min_rate='99Mbit' burst='15kB'/></ports>"
	wait_for 10 grep -q 'stays as it was.*would fit' "$work/listener.log"
	expect "deadline" 7ms "$(config second deadline)"
	metadata web2 --live --key rtvs --set "<ports>$ports2</ports>"
	wait_for 10 is_config second deadline 5ms
	traffic web1 10.0.0.2
}

# Refused starts: nothing of the guest is left, and no port.
start_is_refused() { # REGEX PORTS INTERFACES [MEMORY]
	local regex=$1
	shift
	define web3 "$@"
	expect_fails "$regex" v start web3
	expect "state" "shut off" "$(v domstate web3)"
	wait_for 10 has_no_port web3
	wait_for 10 has_no_port other
	v undefine web3
}
admission_refuses_the_start() {
	start_is_refused "rtvswitch: domain web3: line [0-9]+: <port mac='$mac3'>: .*(would fit|carries)" \
		"$(port $mac4 "name='other'")$(port $mac3 "deadline='2ms' min_rate='95Mbit' burst='15kB'")" "$(nic $mac4 other client)$(nic $mac3 web3 client)"
}
wrong_xml_is_refused() {
	local line
	define web3 "$(port $mac3 "deadlin='2ms'")" "$(nic $mac3 web3 client)"
	line=$(v dumpxml web3 | grep -n '<rtvs:port ' | cut -d: -f1)
	v undefine web3
	start_is_refused "line $line: <rtvs:port>: .*deadlin.*did you mean 'deadline'" "$(port $mac3 "deadlin='2ms'")" "$(nic $mac3 web3 client)"
	start_is_refused "deadline.*never" "$(port $mac3 "deadline='never'")" "$(nic $mac3 web3 client)"
	start_is_refused "no <port> has its MAC" "$(port $mac4 "name='other'")" "$(nic $mac3 web3 client)"
}
memory_is_explained() {
	domain_xml web3 "$(port $mac3 '')" "$(nic $mac3 web3 client)" '' >"$work/web3.xml"
	# libvirt 11 does not even take it; what older ones do is the hook's to refuse.
	expect_fails "requires shared memory" v define "$work/web3.xml"
	sed -i 's,<name>,<uuid>6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11</uuid><name>,' "$work/web3.xml"
	hook() { "$libexec/rtvs-hook" "$@" <"$work/web3.xml"; }
	expect_fails "shared memory.*<memoryBacking>.*memfd" hook web3 prepare begin -
	wait_for 10 has_no_port web3
}
mtu_is_explained() {
	start_is_refused "<mtu>.*mtu=" "$(port $mac3 '')" "$(nic $mac3 web3 client "<mtu size='9000'/>")"
}
ignored_error_starts_the_guest() {
	define web3 "$(port $mac3 "onerror='fail'")$(port $mac4 "onerror='ignore' name='other' deadline='2ms' min_rate='95Mbit' burst='15kB'")" \
		"$(nic $mac3 web3 client)$(nic $mac4 other client)"
	domain_start web3
	domain_wait web3
	traffic web3 10.0.0.2
	expect "bridge of the refused one" '' "$(config other bridge)"
	wait_for 10 is_connected other
	# Made right, it works.
	virt set web3 other deadline=20ms min_rate=1Mbit burst=3kB
	expect "bridge" br0 "$(config other bridge)"
	virt detach web3 other --timeout 60s
	wait_for 10 has_no_port other
}
save_and_restore() {
	v managedsave web3
	wait_for 10 has_no_port web3
	domain_restart() { ln -sf /run/libvirt/qemu/web3.pid "$work/web3.pid"; v start web3; }
	domain_restart
	traffic web3 10.0.0.2
}

# Another host: mounts, libvirtd and daemon of its own, the same network.
far_place() {
	mkdir -p "$work/far/run"
	mount --bind "$work/far/run" /run
	libvirt_place "$work/far/libvirt" 'host_uuid="11111111-2222-3333-4444-555555555555"' "unix_sock_dir=\"$work/far\""
}
in_far() { nsenter --target "$(pid_of far)" --mount --root --wd "$@"; }
far_ctl() { in_far "$rtvsctl" "$@"; }
is_far_serving() { far_ctl port list; }
far_uri() { echo "qemu+unix:///system?socket=$work/far/libvirt-sock"; }
is_far_up() { v -c "$(far_uri)" list; }
is_far_placed() { in_far test -e /etc/libvirt/hooks/qemu.d/50-rtvswitch && in_far test ! -e /run/libvirt; }
migration() {
	export -f far_place libvirt_place
	export work libexec top
	start far unshare --mount --propagation private bash -c 'set -e; far_place; exec sleep infinity'
	wait_for 10 is_far_placed
	start fard nsenter --target "$(pid_of far)" --mount --root --wd "$rtvswitchd" --socket /run/rtvswitch/control.sock --no-huge --idle adaptive
	wait_for 60 is_far_serving
	start far_libvirtd nsenter --target "$(pid_of far)" --mount --root --wd libvirtd
	wait_for 30 is_far_up
	# Both hosts have the same files: what is QEMU's own must not meet.
	v dumpxml web3 --migratable | sed "s,$work/web3\.,$work/far3.," >"$work/far3.xml"
	migrate() { v migrate --live web3 "$(far_uri)" --xml "$work/far3.xml" --migrateuri "tcp://127.0.0.1:$1"; }
	# Refused there, it goes on here.
	expect_fails 'rtvswitch: domain web3: .*br0' migrate 49998
	expect "state" running "$(v domstate web3)"
	traffic web3 10.0.0.2
	far_ctl bridge add br0
	far_ctl port add fup type=ethdev devargs=net_tap9,iface=fup bridge=br0
	netns_add fup
	netns_give fup fup 10.0.0.253/24
	migrate 49999
	expect "state there" running "$(v -c "$(far_uri)" domstate web3)"
	expect "bridge there" br0 "$(far_ctl -j port show web3 | json "d['config']['bridge']")"
	traffic far3 10.0.0.253
	wait_for 10 has_no_port web3
	ln -sf "$work/far/run/libvirt/qemu/web3.pid" "$work/web3.pid"
	v -c "$(far_uri)" destroy web3
	expect_fails 'web3' far_ctl port show web3
	v undefine web3
	# Asked to end just when a domain has, libvirtd 11 hangs now and then.
	stop far_libvirtd KILL
	stop fard
	stop far
}

libvirtd_goes_and_comes() {
	local pid
	pid=$(pid_of web1)
	stop libvirtd KILL
	wait_for 10 grep -q 'connection to libvirt broke' "$work/listener.log"
	traffic web1 10.0.0.2
	libvirtd_start
	expect "QEMU" "$pid" "$(pid_of web1)"
	has_port web1
	has_port second
	# The listener hears again.
	metadata web2 --live --key rtvs --set "<ports><port mac='$mac2' name='second' bridge='br0' deadline='9ms' min_rate='5Mbit' burst='15kB'/></ports>"
	wait_for 30 is_config second deadline 9ms
	traffic web1 10.0.0.2
}
daemon_goes_and_comes() {
	ctl -j port list | json "sorted((p['name'], p['config']) for p in d if p['config'].get('domain_uuid'))" >"$work/before"
	stop rtvsd KILL
	daemon_begin
	for name in web1 second; do
		wait_for 30 has_port $name
		wait_for 30 is_connected $name
	done
	ctl -j port list | json "sorted((p['name'], p['config']) for p in d if p['config'].get('domain_uuid'))" | diff - "$work/before"
	traffic web1 10.0.0.2
	traffic web2 10.0.0.1
}
rename_and_undefine() {
	define web3 "$(port $mac3 '')" "$(nic $mac3 web3 client)"
	v domrename web3 web5
	# Paused it needs no boot, and its port is there.
	ln -sf /run/libvirt/qemu/web5.pid "$work/web5.pid"
	v start web5 --paused
	expect "its domain" web5 "$(config web3 domain)"
	v undefine web5
	has_port web3 # it is transient, and runs
	v destroy web5
	wait_for 10 has_no_port web3
}
stop_does_not_wait() {
	local uuid
	define web3 "$(port $mac3 '')" "$(nic $mac3 web3 client)"
	v start web3 --paused
	uuid=$(v domuuid web3)
	kill -STOP "$(pid_of rtvsd)"
	timeout 60 virsh -q destroy web3 || { kill -CONT "$(pid_of rtvsd)"; fail "destroy failed or waited"; }
	# What the hook could not do the listener does.
	expect "state" "shut off" "$(v domstate web3)"
	kill -CONT "$(pid_of rtvsd)"
	expect "UUID" "$uuid" "$(v domuuid web3)"
	wait_for 40 has_no_port web3
	# And without a daemon: nothing starts, all can stop.
	v start web3 --paused
	stop rtvsd
	timeout 60 virsh -q destroy web3
	expect_fails 'rtvswitchd does not answer' v start web3
	v undefine web3
	daemon_begin
	wait_for 30 has_port web1
	wait_for 30 has_port second
	wait_for 10 has_no_port web3
}
foreign_ports_are_left() {
	ctl port add web3 bridge=br0
	define web3 "$(port $mac3 '')" "$(nic $mac3 web3 client)"
	expect_fails 'made by hand' v start web3
	has_port web3
	v undefine web3
	ctl port del web3
	# One of a domain that libvirt does not know goes when all is looked at.
	ctl port add ghost bridge=br0 domain=ghost domain_uuid=00000000-0000-4000-8000-000000000001
	stop listener
	listener_start
	wait_for 20 has_no_port ghost
	has_port up
}
# As docs/libvirt.md has it. QEMU reaches the file by a group that its user has.
segment_is_given() {
	local segment=/dev/shm/${work##*/}
	"$build/src/segment/rtvs-vni" create "$segment" --size 64M --group rtvswitch-vhost
	domain_xml web3 '' "$(sed -n '/<shmem/,/<\/shmem>/p' "$top/docs/libvirt.md" | sed "s/'net0'/'${segment##*/}'/")" >"$work/web3.xml"
	v define --validate "$work/web3.xml"
	v start --paused web3
	v qemu-monitor-command --hmp web3 'info memdev' >"$work/memdev"
	expect_match 'size: +67108864.*share: true' "$(cat "$work/memdev")"
	v qemu-monitor-command --hmp web3 'info qtree' >"$work/devices"
	expect_match 'dev: ivshmem-plain' "$(cat "$work/devices")"
	expect_fails "disabled when using feature 'peer mode' in device 'ivshmem'" v save web3 "$work/web3.saved"
	v destroy web3
	chmod 600 "$segment"
	expect_fails 'Permission denied' v start --paused web3
	v undefine web3
	rm "$segment"
}
watched_by_its_domains_name() {
	[ -x "$build/src/wake/rtvs-wake" ] || skip "built without rtvs-wake"
	expect_fails "no vhost port or domain 'nosuch'" "$build/src/wake/rtvs-wake" -s "$work/rtvsd.sock" -d 1 nosuch
	vm_run web1 20 "setsid ping -i 0.05 -c 100 10.0.0.2 >/dev/null 2>&1 &"
	expect "port of the domain" second "$("$build/src/wake/rtvs-wake" -s "$work/rtvsd.sock" -d 1 -j web2 | json "d['ports'][0]['port']")"
}
destroy_removes_ports() {
	v destroy web1
	wait_for 10 has_no_port web1
	v destroy web2
	wait_for 10 has_no_port second
	expect "ports" up "$(ports)"
	is_conserved
}
# It has nothing to do: it is woken by events alone, and by the keepalive of both ends.
listener_sleeps() {
	wake_ups() { awk '/^voluntary/ { n = $2 } END { print n }' "/proc/$(pid_of listener)/status"; }
	local before
	before=$(wake_ups)
	sleep 3
	[ $(($(wake_ups) - before)) -lt 100 ] || fail "woke $(($(wake_ups) - before)) times"
}
listener_ends() {
	stop listener
	grep Sanitizer "$work/listener.log" && fail "see its log"
	return 0
}

# The kernel of the other tests' guests has it; here an interface gets as far as the daemon.
vdpa_needs_a_kernel() {
	local mac=52:54:00:00:00:09
	[ ! -e /dev/vduse ] || skip "this kernel has VDUSE"
	define web9 "$(port $mac "")" "<interface type='vdpa'><mac address='$mac'/><source dev='/run/rtvswitch/web9.vdpa'/><model type='virtio'/></interface>"
	expect "list" "web9 $mac" "$(virt -j list | json "next('%s %s' % (i['port'], i['mac']) for i in d if i['domain'] == 'web9')")"
	expect_fails "domain web9: line [0-9]+: <port mac='$mac'>: .*modprobe vduse" v start web9
	expect "port after the refusal" none "$(config web9 name)"
	virt attach web9 name=web9-b bridge=br0 type=vduse
	v dumpxml web9 | has_line "<source dev='/run/rtvswitch/web9-b.vdpa'/>"
	metadata web9 --config | has_line "type=.vduse."
	virt detach web9 web9-b
	expect "interfaces" 1 "$(v dumpxml web9 | grep -c "<interface type='vdpa'>")"
	v undefine web9
}

run_case "the schema knows the metadata, and refuses a slip" schema_is_that_of_the_metadata
run_case "what virt xml prints is a domain's" printed_xml_is_accepted
run_case "start makes ports with guarantees, both modes" start_makes_ports
run_case "<bandwidth> counts" bandwidth_of_libvirt_counts
run_case "the guard knows the interface" guard_is_the_interfaces
run_case "virt list" list_shows_them
run_case "virsh reboot keeps the port" reboot_keeps_the_port
run_case "virsh attach-device to a port that waits" plain_hotplug
run_case "virsh detach-device" plain_unplug
run_case "virsh attach-device before the element" attach_before_the_element
run_case "virt attach and detach, mode=client" attach_and_detach client
run_case "virt attach and detach, mode=server" attach_and_detach server
run_case "virt detach waits for the guest" detach_waits_for_the_guest
run_case "an attach that is refused changes nothing" attach_refused_changes_nothing
run_case "attach and detach what is stored only" stored_only
run_case "virt set changes port and metadata" set_changes_all_three
run_case "a set that is refused changes nothing" set_refused_changes_nothing
run_case "changed metadata is followed" metadata_is_followed
run_case "what metadata ask for in vain is shown" wrong_metadata_shows
run_case "virsh start says what admission refused" admission_refuses_the_start
run_case "wrong XML: line and element" wrong_xml_is_refused
run_case "memory that is not shared is explained" memory_is_explained
run_case "<mtu> is explained" mtu_is_explained
run_case "onerror='ignore' starts the guest" ignored_error_starts_the_guest
run_case "save and restore" save_and_restore
run_case "migration to another host, and its refusal" migration
run_case "libvirtd is killed and comes back" libvirtd_goes_and_comes
run_case "the daemon is killed and comes back" daemon_goes_and_comes
run_case "rename and undefine" rename_and_undefine
run_case "a vdpa interface, where the kernel has none" vdpa_needs_a_kernel
run_case "a stop waits for nobody" stop_does_not_wait
run_case "ports of others are left alone" foreign_ports_are_left
run_case "a segment's device" segment_is_given
run_case "rtvs-wake takes a domain's name" watched_by_its_domains_name
run_case "destroy removes the ports" destroy_removes_ports
run_case "the listener sleeps" listener_sleeps
run_case "the listener ends" listener_ends
