#!/usr/bin/env bash
# A guest that rewrites its memory moves to another QEMU while frames arrive on its split and on its
# packed ring: each page that the switch wrote must be in the migration's log. A process in the
# guest for each ring lets datagrams queue until after the migration. Their bytes stay in the pages
# that the switch wrote, so a missed page is a datagram that is lost or says something else.
. "$(dirname "$0")/lib.sh"

daemon_start rtvsd
for n in 0 1; do ctl bridge add br$n; done
place() { ctl port add "$1" "socket=$work/$1.sock" "bridge=$2"; } # PORT BRIDGE
place s br0; place s2 br0; place p br1; place p2 br1
# The guest's QEMU has the ports whose names end in SUFFIX.
guest_start() { # NAME SUFFIX [OPTION...]
	vm_start "$1" "nic=$work/s$2.sock" mac=52:54:00:00:00:0a "nic=$work/p$2.sock" packed=on mac=52:54:00:00:00:0b \
		ip=10.0.0.11/24 mem=384 cpus=2 machine=pc-q35-10.0 "${@:3}"
}
guest_start a ""
tap_port t1 10.0.0.1/24 bridge=br0
tap_port t2 10.0.1.1/24 bridge=br1
wait_guests a
in_guest a 10 "sysctl -qw net.core.rmem_max=200000000 net.ipv4.udp_mem='200000 200000 200000'
	ip addr add 10.0.1.11/24 dev eth1; ip link set eth1 up"
for address in 10.0.0.1 10.0.1.1; do wait_for 20 guest_pings a $address; done

# Seven equal lines of 200 bytes with the datagram's number in them.
datagrams='
import itertools, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9))
begin = time.monotonic()
for number in itertools.count(1):
    s.send((b"%07d" % number * 28 + b"abc\n") * 7)
    print(number, flush=True)
    time.sleep(max(0, begin + number / 500 - time.monotonic()))'
sent() { tail -n 1 "$work/sender.$1.log"; } # ADDRESS
has_sent() { [ "$(sent "$1")" -ge "$2" ]; } # ADDRESS N
migration() { vm_qmp a query-migrate | json "$1"; } # EXPRESSION
has_passed_memory() { [ "$(migration 'd.get("ram", {}).get("dirty-sync-count", 0)')" -ge "$1" ]; } # TIMES
is_migrated() { [ "$(migration 'd["status"]')" = completed ]; }
drops() { ctl -j stats drops | json 'sum(r["count"] for p in d for r in p["drops"])'; }

# The guest's memory is written all over again, and compared.
memory_is_rewritten() {
	in_guest a 10 "dd if=/dev/urandom of=/dev/shm/a bs=1M count=48 2>/dev/null
		(setsid sh -c 'while cp /dev/shm/a /dev/shm/b && cmp -s /dev/shm/a /dev/shm/b; do echo >>/tmp/rounds; done; echo >/tmp/broken' >/dev/null 2>&1 &)"
}
# The processes are stopped once they listen: datagrams wait in the kernel then.
receivers_start() {
	in_guest a 20 "for n in 0 1; do (setsid socat -u -b 2000 UDP-RECV:9,bind=10.0.\$n.11,rcvbuf=100000000 CREATE:/tmp/got.\$n >/tmp/socat.\$n 2>&1 &); done
		for i in \$(seq 50); do [ \$(ss -Huln | grep -c ':9 ') = 2 ] && break; sleep 0.1; done; cat /tmp/socat.*; pkill -STOP -x socat"
}
# The last datagram of all.
has_got() { [ "$(in_guest b 10 "tail -n 1 /tmp/got.$1 | cut -c 1-7 | sed 's/^0*//'")" -ge "$2" ]; } # NUMBER-OF-RECEIVER N
# Prints datagrams that arrived, those between them that did not, and lines that nobody sent.
received() { # NUMBER-OF-RECEIVER
	in_guest b 60 "uniq -c /tmp/got.$1 | awk '
		{ n = substr(\$2, 1, 7) + 0; want = \"\"; for (i = 0; i < 28; i++) want = want substr(\$2, 1, 7); if (\$1 != 7 || \$2 != want \"abc\" || n <= last) { broken++; next }
		  lost += n - last - 1; last = n; got++ }
		END { print got + 0, lost + 0, broken + 0 }'"
}

no_page_is_missed() {
	local address before n got lost broken missing=0
	memory_is_rewritten
	receivers_start
	before=$(drops)
	for n in 0 1; do start "sender.10.0.$n.11" ip netns exec t$((n + 1)) python3 -c "$datagrams" 10.0.$n.11; done
	guest_start b 2 release=trixie qemu=-incoming qemu=defer
	wait_for 10 test -S "$work/b.qmp"
	expect_fails 'postcopy' vm_qmp b migrate-set-capabilities '{"capabilities": [{"capability": "postcopy-ram", "state": true}]}'
	vm_qmp b migrate-incoming "{\"uri\": \"unix:$work/migration\"}"
	# A guest that writes this fast moves only once QEMU may stop it for longer.
	vm_qmp a migrate-set-parameters '{"max-bandwidth": 1000000000, "downtime-limit": 1}'
	vm_qmp a migrate "{\"uri\": \"unix:$work/migration\"}"
	wait_for 40 has_passed_memory 4
	vm_qmp a migrate-set-parameters '{"downtime-limit": 30000}'
	wait_for 40 is_migrated
	migration '{k: d["ram"][k] for k in ("dirty-sync-count", "transferred")}, d["downtime"], d["total-time"]'
	for address in 10.0.0.11 10.0.1.11; do wait_for 10 has_sent $address $(($(sent $address) + 500)); done
	for address in 10.0.0.11 10.0.1.11; do stop "sender.$address" || :; done
	vm_qmp a quit
	wait_for 10 is_stopped a
	in_guest b 10 "pkill -CONT -x socat"
	for n in 0 1; do
		wait_for 30 has_got $n "$(sent "10.0.$n.11")"
		read -r got lost broken <<<"$(received $n)"
		echo "receiver $n: $got arrived, $lost did not, $broken are broken"
		[ "$got" -gt 1000 ] || fail "too few to tell"
		expect "broken datagrams" 0 "$broken"
		missing=$((missing + lost))
	done
	echo "$(($(drops) - before)) frames were dropped"
	# What is missing was dropped at a port, while the guest moved.
	[ "$missing" -le $(($(drops) - before)) ] || fail "$missing datagrams are missing"
	in_guest b 10 "cat /tmp/rounds | wc -l; [ ! -e /tmp/broken ]"
	is_conserved
}

guest_goes_on() {
	local port
	for port in s2 p2; do expect "link of $port" up "$(port_state $port link)"; done
	for port in s p; do wait_for 10 is_port_state $port link down; done
	expect "ring" split "$(port_state s2 ring)"
	expect "ring" packed "$(port_state p2 ring)"
	for address in 10.0.0.1 10.0.1.1; do in_guest b 20 "ping -c 20 -i 0.05 -W 2 $address"; done
	is_conserved
}

run_case "a migration misses no page that the switch wrote; postcopy is refused" no_page_is_missed
run_case "both rings go on in the other QEMU" guest_goes_on
