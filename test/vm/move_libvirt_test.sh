#!/usr/bin/env bash
# A running domain moves between two libvirtds of one host (rtvs-move libvirt), there and back,
# while it pings through the switch. Its memory is not copied, its port stays. What cannot be moved
# is refused with its reasons, and a move that fails leaves the guest where it was.

# libvirtd's directories and /run are its own here, and gone with this mount namespace.
if [ "${RTVS_WORLD:-}" = 1 ] && [ "${RTVS_OWN_MOUNTS:-}" != 1 ]; then
	RTVS_OWN_MOUNTS=1 exec unshare --mount --propagation private sh -c \
		'mount -t tmpfs -o mode=755 tmpfs /run && mkdir /run/netns /run/lock && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "$0")/libvirt.sh"

move=$build/src/move/rtvs-move
[ -x "$build/src/move/rtvs-move-libvirt" ] || { echo "built without libvirt"; exit 77; }
first_memory=/dev/shm/first second_memory=/dev/shm/second
mac=52:54:00:00:00:01
file_memory="<memoryBacking><source type='file'/><access mode='shared'/></memoryBacking>"

people_place
mkdir -p $first_memory $second_memory
libvirt_place "$work/libvirt"
echo "memory_backing_dir=\"$first_memory\"" >>/etc/libvirt/qemu.conf
ln -s "$work/rtvsd.sock" /run/rtvswitch/control.sock
daemon_start rtvsd
ctl bridge add br0
ctl port add up type=ethdev devargs=net_tap0,iface=up bridge=br0
netns_add up
netns_give up up 10.0.0.254/24
libvirtd_start
listener_start

# The second libvirtd has directories of its own below the same names. It sees the first one's
# socket below another name, as the first one sees its.
mkdir "$work/first"
mount --bind /run/libvirt "$work/first"
second_place() {
	mkdir -p "$work/second/run"
	mount --bind "$work/second/run" /run/libvirt
	libvirt_place "$work/second" 'host_uuid="11111111-2222-3333-4444-555555555555"'
	echo "memory_backing_dir=\"$second_memory\"" >>/etc/libvirt/qemu.conf
	printf '#!/bin/sh\n[ ! -e "%s/refuse" ] || [ "$2" != start ] || { echo "not now" >&2; exit 1; }\n' "$work" >/etc/libvirt/hooks/qemu.d/60-test
	chmod 755 /etc/libvirt/hooks/qemu.d/60-test
}
export -f second_place libvirt_place
export work libexec top second_memory
first="qemu+unix:///system?socket=$work/first/libvirt-sock"
second="qemu+unix:///system?socket=$work/second/run/libvirt-sock"
start place unshare --mount --propagation private bash -c 'set -e; second_place; exec sleep infinity'
wait_for 10 nsenter --target "$(pid_of place)" --mount --root --wd test -x /etc/libvirt/hooks/qemu.d/60-test
start second nsenter --target "$(pid_of place)" --mount --root --wd libvirtd --pid-file "$work/second/libvirtd.pid"
is_second_up() { v -c "$second" list; }
wait_for 30 is_second_up

define web1 "<rtvs:port mac='$mac' bridge='br0'/>" "$(nic $mac web1 client)" "$file_memory"
domain_start web1
domain_wait web1
wait_for 30 guest_pings web1 10.0.0.254
in_guest web1 20 "dd if=/dev/urandom of=/dev/shm/data bs=1M count=4 2>/dev/null; md5sum /dev/shm/data >/tmp/sum; cat /proc/sys/kernel/random/boot_id >/tmp/boot
	cat /sys/class/net/eth0/carrier_changes >/tmp/carrier; (setsid ping -i 0.02 10.0.0.254 >/tmp/ping 2>&1 &)"
drops=$(ctl -j stats drops | json 'sum(r["count"] for p in d for r in p["drops"])')
port_number() { ctl -j port list | json 'next(p["number"] for p in d if p["name"] == "web1")'; }
number=$(port_number)

moves() { RTVS_LIBEXEC_DIR=$build/src/move RTVS_SOCKET=$work/rtvsd.sock "$move" libvirt "$@"; }
there() { moves web1 --from "$first" --to "$second" --memory $second_memory "$@"; }
back() { moves web1 --from "$second" --to "$first" --memory $first_memory; }
# The same kernel, with the same memory and link, and its pings are answered.
goes_on() {
	in_guest web1 60 "(cmp /proc/sys/kernel/random/boot_id /tmp/boot && cmp /sys/class/net/eth0/carrier_changes /tmp/carrier && md5sum -c /tmp/sum || exit 1
		count() { grep -c 'bytes from' /tmp/ping; }
		n=\$((\$(count) + 5)); for i in \$(seq 500); do [ \$(count) -lt \$n ] || exit 0; sleep 0.1; done; exit 1)"
}
capability() { v -c "$1" qemu-monitor-command web1 '{"execute": "query-migrate-capabilities"}' | # URI
	json "next(c['state'] for c in d['return'] if c['capability'] == 'x-ignore-shared')"; }
domains() { v -c "$1" list --all --name | xargs; } # URI
is_at() { # URI PID-FILE CONSOLE: nowhere else
	local other=$first
	[ "$1" != "$first" ] || other=$second
	expect "domains" web1 "$(domains "$1")"
	expect "domains of the other" '' "$(domains "$other")"
	expect "state" running "$(v -c "$1" domstate web1)"
	expect "capability" false "$(capability "$1")"
	ln -sf "$2" "$work/web1.pid"
	[ "$3" = "$work/web1.con" ] || ln -sf "$3" "$work/web1.con"
	expect "port's domain" web1 "$(ctl -j port show web1 | json 'd["config"]["domain"]')"
	expect "port's number" "$number" "$(port_number)"
	goes_on
}
is_at_second() { is_at "$second" "$work/second/run/qemu/web1.pid" "$work/web1.con.rtvs-move"; }
is_at_first() { is_at "$first" /run/libvirt/qemu/web1.pid "$work/web1.con"; }
n_files() { find "$1" -name pc.ram | wc -l; } # DIR
after_failure() { stop mover KILL; rm -f "$work/refuse"; }

moved_without_a_copy() {
	local old
	old=$(pid_of web1)
	there --json >"$work/moved" || fail "$(cat "$work/moved")"
	cat "$work/moved"
	json '(d["way"], d["copied"], d["copied_mib"] < d["ram_mib"] / 100)' <"$work/moved" | has_line "('x-ignore-shared', False, True)"
	is_at_second
	[ "$old" != "$(pid_of web1)" ]
	expect "its process" "$(pid_of web1)" "$(json 'd["pid"]' <"$work/moved")"
	! kill -0 "$old" 2>/dev/null || fail "the old process is there"
	expect "files of memory" "0 1" "$(n_files $first_memory) $(n_files $second_memory)"
	expect "drops" "$drops" "$(ctl -j stats drops | json 'sum(r["count"] for p in d for r in p["drops"])')"
	# Its definition went along, without what the move needs.
	v -c "$second" dumpxml --inactive web1 >"$work/inactive.xml"
	! grep -q 'rtvs-move' "$work/inactive.xml" || fail "the definition names the move"
}
back_again() {
	back >"$work/out" || fail "$(cat "$work/out")"
	cat "$work/out"
	expect "steps" "start send confirm" "$(awk '$2 == "ms" {printf "%s%s", n++ ? " " : "", $3}' "$work/out")"
	grep -q '^moved to .* MiB sent$' "$work/out"
	is_at_first
	expect "files of memory" "1 0" "$(n_files $first_memory) $(n_files $second_memory)"
}
failures_leave_it() {
	# The destination's QEMU is not started.
	: >"$work/refuse"
	expect_fails 'the guest goes on where it was: .*not now' there
	rm "$work/refuse"
	is_at_first
	# No second name of the memory appears where the destination's QEMU opens it: that QEMU
	# refuses the state.
	mkdir -p /dev/shm/other/libvirt/qemu
	chmod 777 /dev/shm/other/libvirt/qemu
	expect_fails 'the guest goes on where it was: the destination.s memory is not the source.s file' \
		moves web1 --from "$first" --to "$second" --memory /dev/shm/other
	rm -r /dev/shm/other
	is_at_first
	expect "files of memory" "1 0" "$(n_files $first_memory) $(n_files $second_memory)"
}
is_still() { [ "$(ps -o stat= -p "$(pid_of "$1")" | cut -c 1)" = T ]; }
is_gone_from() { [ -z "$(domains "$1")" ]; }
libvirt_finishes() {
	RTVS_LIBEXEC_DIR=$build/src/move RTVS_SOCKET=$work/rtvsd.sock RTVS_MOVE_STOP=start \
		start mover "$move" libvirt web1 --from "$first" --to "$second" --memory $second_memory
	wait_for 60 is_still mover
	stop mover KILL
	wait_for 60 is_gone_from "$first"
	v -c "$second" qemu-monitor-command web1 '{"execute": "migrate-set-capabilities", "arguments": {"capabilities": [{"capability": "x-ignore-shared", "state": false}]}}'
	is_at_second
	back
	is_at_first
}
memory_is_copied() {
	moves web1 --from "$first" --to "$second" --plain --json >"$work/moved" || fail "$(cat "$work/moved")"
	cat "$work/moved"
	json '(d["way"], d["copied"])' <"$work/moved" | has_line "('plain', True)"
	is_at_second
	back
	is_at_first
}

refused() { expect_fails "$1" moves "${@:2}"; } # REGEX ARGUMENT...
refusals() {
	local rc=0
	refused 'libvirt at .* has no domain .nosuch' nosuch --from "$first" --to "$second"
	refused 'libvirt at .*nowhere' web1 --from "qemu+unix:///system?socket=$work/nowhere" --to "$second"
	refused 'the destination, libvirt at .*nowhere' web1 --from "$first" --to "qemu+unix:///system?socket=$work/nowhere"
	refused '--to is the same daemon as --from' web1 --to "$first" --memory $second_memory
	refused '--memory is missing: memory_backing_dir' web1 --to "$second"
	refused 'both daemons have the memory_backing_dir' web1 --to "$second" --memory $first_memory
	refused '/nosuch/libvirt/qemu: No such file' web1 --to "$second" --memory /nosuch
	mkdir -p "$work/elsewhere/libvirt/qemu" "/dev/shm/${work//\//-}-$(printf '%050d' 0)/libvirt/qemu"
	refused 'in another file system' web1 --to "$second" --memory "$work/elsewhere"
	refused 'too long for a socket' web1 --to "$second" --memory "/dev/shm/${work//\//-}-$(printf '%050d' 0)"
	rm -r "/dev/shm/${work//\//-}-$(printf '%050d' 0)"
	refused 'rtvswitchd is not reachable to permit' web1 --to "$second" --memory $second_memory -s "$work/nosuch"
	# Of one that does not run, and whose memory and devices are of other kinds.
	define web2 '' "<interface type='user'/><vsock model='virtio'/>" ''
	refused 'the domain does not run' web2 --to "$second" --memory $second_memory
	# Its name would be that of the memory's directory.
	sed 's,>web2<,>web1<,; s,<vsock[^>]*>,,' "$work/web2.xml" | v -c "$second" define /dev/stdin
	refused 'domain web1 of the destination has the same first 20 characters' web1 --to "$second" --memory $second_memory
	v -c "$second" undefine web1
	v undefine web2
	sed -i 's,<vsock[^>]*>,,' "$work/web2.xml"
	v define "$work/web2.xml"
	ln -sf /run/libvirt/qemu/web2.pid "$work/web2.pid"
	v start web2 --paused
	moves web2 --to "$second" --memory $second_memory --check --json >"$work/out" || rc=$?
	cat "$work/out"
	expect "status" 1 $rc
	for text in 'the domain does not run' "it needs <memoryBacking><source type='file'/>" "not of type='vhostuser'" 'pc.ram is in no file that is shared'; do
		json 'd["reasons"]' <"$work/out" | has_line "$text" || fail "no '$text'"
	done
	v destroy web2
	v undefine web2
	is_at_first
}
port_ends_with_the_domain() {
	there
	is_at_second
	ports() { ctl -j port list | json '" ".join(p["name"] for p in d)'; }
	v -c "$second" destroy web1
	expect "ports" up "$(ports)"
	expect "files of memory" "0 0" "$(n_files $first_memory) $(n_files $second_memory)"
	is_conserved
}

check_changes_nothing() {
	there --check | tee "$work/out"
	grep -q 'domain web1, 192 MiB, moves to .* by x-ignore-shared: libvirt will call it tainted: custom-monitor here, custom-argv there' "$work/out"
	expect "of --check" '{"way":"x-ignore-shared","reasons":[]}' "$(there --check --json)"
	! grep custom-monitor "$work/libvirtd.log" /var/log/libvirt/qemu/web1.log || fail "it is tainted"
	is_at_first
}

run_case "--check changes nothing" check_changes_nothing
run_case "what cannot be moved is refused with its reasons" refusals
run_case "a move that fails leaves the guest where it was" failures_leave_it
run_case "a domain moves, and its memory stays" moved_without_a_copy
run_case "and back, step by step" back_again
run_case "libvirt finishes what a killed rtvs-move began" libvirt_finishes
run_case "--plain copies the memory" memory_is_copied
run_case "the port ends with the domain, wherever that is" port_ends_with_the_domain
