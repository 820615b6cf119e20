#!/usr/bin/env bash
# libvirt's hook with the XML that libvirt 11.3 passed to it (domains/), good, bad and hostile, at
# the real daemon. The real libvirt is in test/vm/libvirt_test.sh.
. "$(dirname "$0")/lib.sh"

hook=$top/${RTVS_BUILD:-build/gcc}/src/virt/rtvs-hook
schema=$top/${RTVS_BUILD:-build/gcc}/src/virt/domain.rng
domains=$top/test/smoke/domains
uuid=6ce5b3c0-6c2f-4d6d-9f0a-0d2c5a0f1e11

daemon_start rtvsd
ctl bridge add br0
mkdir -p /run/rtvswitch

# As libvirt runs it: the domain on its standard input, which libvirt expects to be read.
run_hook() { # OPERATION SUB-OPERATION [SED-SCRIPT [FILE]]
	sed "${3:-}" "$domains/${4:-prepare.xml}" >"$work/domain.xml"
	"$hook" --socket "$work/rtvsd.sock" web1 "$1" "$2" - <"$work/domain.xml"
}
ports() { ctl -j port list | json '" ".join(p["name"] for p in d)'; }
config_of() { ctl -j port show "$1" | json "d['config']['$2']"; } # PORT KEY
after_failure() {
	ctl port del web1 || :
	ctl port del web1-b || :
	ctl port del uplink || :
	ctl port del watched || :
}

start_makes_ports() {
	local before
	run_hook prepare begin
	expect "ports" "web1 web1-b" "$(ports)"
	expect "deadline" 2ms "$(config_of web1 deadline)"
	expect "guarantee" 5Mbit "$(config_of web1 min_rate)"
	expect "guarantee" kept "$(ctl -j port show web1 | json 'd["guarantee"]')"
	expect "late" drop "$(config_of web1 late)"
	expect "queues" 2 "$(config_of web1 queues)"
	expect "mode" listen "$(config_of web1 mode)"
	expect "outbound" 100Mbit "$(config_of web1 max_rate)"
	expect "inbound" 1Gbit "$(config_of web1 rate)"
	expect "spoof guard" 52:54:00:00:00:01 "$(ctl -j port show web1 | json '",".join(d["config"]["allowed_macs"])')"
	expect "domain" web1 "$(config_of web1 domain)"
	expect "UUID" $uuid "$(config_of web1 domain_uuid)"
	[ -S /run/rtvswitch/web1.sock ]
	expect "mode" connect "$(config_of web1-b mode)"
	expect "VLAN" 5 "$(config_of web1-b vlan)"
	# Twice, and with what the running domain's XML looks like: nothing changes.
	before=$(ctl -j config dump)
	run_hook prepare begin
	run_hook reconnect begin '' started.xml
	expect "configuration" "$before" "$(ctl -j config dump)"
}

other_steps_change_nothing() {
	local before
	before=$(ctl -j config dump)
	run_hook start begin '' started.xml
	run_hook started begin '' started.xml
	run_hook stopped end '' started.xml
	run_hook attach begin
	run_hook dance begin
	run_hook prepare end
	expect "configuration" "$before" "$(ctl -j config dump)"
}

changed_metadata_is_followed() {
	run_hook prepare begin 's/ deadline="2ms"/ deadline="3ms"/; s/ burst="15kB"//; s/ late="drop"//'
	expect "deadline" 3ms "$(config_of web1 deadline)"
	expect "late" send "$(config_of web1 late)"
	run_hook prepare begin '/52:54:00:00:00:02/d'
	expect "ports" web1 "$(ports)"
	run_hook prepare begin
	expect "ports" "web1 web1-b" "$(ports)"
}

stop_removes_ports() {
	# One that is mirrored to goes as well, and the mirror waits for it.
	ctl port add watched "socket=$work/watched.sock" mirror_to=web1 mirror=both
	run_hook release end '' started.xml
	expect "ports" watched "$(ports)"
	run_hook prepare begin "s/0f1e11</0f1e12</"
	expect "mirror" active "$(ctl -j port show watched | json "d['state']['mirror']")"
	run_hook release end "s/0f1e11</0f1e12</"
	ctl port del watched
	[ ! -e /run/rtvswitch/web1.sock ]
	run_hook release end '' started.xml
}

daemon_comes_back() {
	run_hook prepare begin
	stop rtvsd KILL
	expect_fails 'rtvswitch: domain web1: rtvswitchd does not answer at .*rtvsd.sock' run_hook prepare begin
	expect_fails 'does not answer' run_hook migrate begin
	run_hook reconnect begin
	run_hook release end
	daemon_start rtvsd
	ctl bridge add br0
	run_hook reconnect begin '' started.xml
	expect "ports" "web1 web1-b" "$(ports)"
	expect "guarantee" 5Mbit "$(config_of web1 min_rate)"
	run_hook release end
}

stop_does_not_wait() {
	run_hook prepare begin
	kill -STOP "$(pid_of rtvsd)"
	run_hook release end || { kill -CONT "$(pid_of rtvsd)"; fail "a hung daemon held the stop up"; }
	expect_fails 'does not answer' run_hook prepare begin
	kill -CONT "$(pid_of rtvsd)"
	run_hook release end
	expect "ports" "" "$(ports)"
}

# The control socket has more clients than places: those that do not use theirs make room.
start_passes_a_crowd() {
	start crowd python3 "$top/test/smoke/crowd.py" "$work/rtvsd.sock"
	wait_for 20 grep -q full "$work/crowd.log"
	run_hook prepare begin
	expect "ports" "web1 web1-b" "$(ports)"
	run_hook release end
	expect "ports" "" "$(ports)"
	stop crowd
}
admission_refuses() {
	ctl port add uplink bridge=br0 type=ethdev devargs=net_null0,no-rx=1 rate=80Mbit
	run_hook prepare begin
	run_hook release end
	expect_fails 'rtvswitch: domain web1: line 7: <port mac=.52:54:00:00:00:01.>: .*uplink' \
		run_hook prepare begin 's/min_rate="5Mbit"/min_rate="90Mbit"/'
	expect_fails 'line 7: <port mac=.52:54:00:00:00:01.>: .*uplink' run_hook migrate begin 's/min_rate="5Mbit"/min_rate="90Mbit"/'
	expect_fails 'line 7: <port mac=.52:54:00:00:00:01.>: .*uplink' run_hook restore begin 's/min_rate="5Mbit"/min_rate="90Mbit"/'
	run_hook migrate begin
	# The first fits, the second does not: none is left.
	expect_fails 'line 8: <port mac=.52:54:00:00:00:02.>: .*uplink' \
		run_hook prepare begin 's/vlan="5"/min_rate="90Mbit"/; s/onerror="ignore"//; s/min_rate="5Mbit"/min_rate="1Mbit"/'
	expect "ports" uplink "$(ports)"
	# A guest that runs keeps its other ports.
	run_hook reconnect begin 's/vlan="5"/min_rate="90Mbit"/; s/onerror="ignore"//; s/min_rate="5Mbit"/min_rate="1Mbit"/' started.xml
	expect "guarantee" 1Mbit "$(config_of web1 min_rate)"
	expect "bridge" "" "$(config_of web1-b bridge)"
	run_hook release end
	ctl port del uplink
}

# Files as other programs name them: a UUID, a container's id, spaces, other letters; the longest
# path, whose name the element must give.
sockets_give_names() {
	local id=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef long i=0
	long=$(printf '%087d' 0)
	printf '%s\n' "3f2b8c1e-7d54-4d0c-9a55-0c5d1f6f2a11" "docker-$id" 'web 1' 'übung' '-b' "$long" "${long:1}" >"$work/files"
	while read -r file; do
		i=$((i + 1))
		run_hook prepare begin "s|path='/run/rtvswitch/web1.sock'|path='/run/rtvswitch/$file.sock'|; s|web1</name>|web $i ü</name>|; /<rtvs:port.*00:02/d"
		[ -S "/run/rtvswitch/$file.sock" ] || fail "$file"
		ports >>"$work/names"
		expect "domain" "web $i ü" "$(ctl -j port list | json 'd[0]["config"]["domain"]')"
		run_hook release end
	done <"$work/files"
	sed 's/-[0-9a-f]\{8\}$/-HASH/' "$work/names" | diff - <(printf '%s\n' "3f2b8c1e-7d54-4d0c-9a55-0c5d1f6f2a11" "docker-$id" \
		web-1-HASH bung-HASH b-HASH "${long:0:70}-HASH" "${long:0:70}-HASH")
	expect "names" "$(sort -u "$work/names" | wc -l)" "$(wc -l <"$work/names")"
	expect_fails 'socket: length 108 is out of range' run_hook prepare begin "s|path='/run/rtvswitch/web1.sock'|path='/run/rtvswitch/${long}1.sock'|"
	expect_fails 'name: length 80 is out of range 1 to 79' run_hook prepare begin "s|bridge=|name='${long:7}' bridge=|"
	run_hook prepare begin "s|<rtvs:port mac=\"52:54:00:00:00:01\"|& name='${long:8}'|; /<rtvs:port.*00:02/d"
	expect "names" "${long:8}" "$(ports)"
	ctl top count=1
	run_hook release end
	expect "ports" "" "$(ports)"
}

mistakes_are_named() {
	expect_fails "line 7: <rtvs:port>: there is no attribute 'deadlin'; did you mean 'deadline'" \
		run_hook prepare begin 's/deadline=/deadlin=/'
	expect_fails "line 7: <port mac='52:54:00:00:00:01'>: deadline: .*soon" run_hook prepare begin 's/2ms/soon/'
	expect_fails "line 7: <rtvs:port>: rtvs:deadline: its attributes have no prefix: write deadline='...'" \
		run_hook prepare begin 's/ deadline=/ rtvs:deadline=/'
	expect_fails "line 7: <rtvs:port>: bridge: needed, without one the guest has no network" run_hook prepare begin '7s/bridge="br0"//'
	expect_fails "line 7: <port mac='52:54:00:00:00:01'>: .*br9" run_hook prepare begin 's/br0/br9/'
	expect_fails 'line 7: <rtvs:port>: no interface of the domain has the MAC 52:54:00:00:00:09' \
		run_hook prepare begin '7s/00:01/00:09/'
	expect_fails 'line 7: <rtvs:port>: the switch needs shared memory.*memfd' run_hook prepare begin "/<access mode='shared'/d"
	expect_fails "line [0-9]+: <mtu>: libvirt sets it" run_hook prepare begin "s|<bandwidth>|<mtu size='9000'/><bandwidth>|"
	expect_fails "line 73: <interface>: no <port> has its MAC.*QEMU would wait" run_hook prepare begin 7d
	expect_fails 'onerror: must be fail or ignore' run_hook prepare begin 's/"ignore"/"never"/'
	run_hook prepare begin '7s/bridge="br0"/bridge=""/' # meant to have none: what a mirror gets
	expect "bridge" "" "$(config_of web1 bridge)"
	run_hook release end
	expect "ports" "" "$(ports)"
	# Nobody is kept from stopping by any of this.
	run_hook release end 's/deadline=/deadlin=/'
}

ignored_mistake_gives_a_dead_port() {
	run_hook prepare begin 's/vlan="5"/vlan="5000"/'
	expect "ports" "web1 web1-b" "$(ports)"
	expect "bridge" "" "$(config_of web1-b bridge)"
	expect "bridge" br0 "$(config_of web1 bridge)"
	run_hook prepare begin 's/vlan="5"/vlam="5"/'
	expect "bridge" "" "$(config_of web1-b bridge)"
	run_hook prepare begin
	expect "bridge" br0 "$(config_of web1-b bridge)"
	run_hook release end
}

others_ports_stay() {
	ctl port add web1 bridge=br0 "socket=$work/mine.sock"
	expect_fails 'port web1 exists and is not this domain.s but made by hand' run_hook prepare begin
	run_hook release end
	expect "ports" web1 "$(ports)"
	ctl port del web1
	run_hook prepare begin
	expect_fails 'port web1 exists and is not this domain.s but of domain web1, and has this socket.*<interface> in line' \
		run_hook prepare begin "s/0f1e11</0f1e12</"
	# A copied domain whose elements are gone, or have another MAC.
	expect_fails 'line [0-9]+: <interface>: its socket /run/rtvswitch/web1.sock is that of port web1, of domain web1, and both' \
		run_hook prepare begin "/<rtvs:port /d; s/0f1e11</0f1e12</"
	expect_fails 'line [0-9]+: <interface>: its socket /run/rtvswitch/web1.sock is that of port web1, of domain web1, and both' \
		run_hook prepare begin "/<interface/,\$ s/:00:01/:00:03/; s/0f1e11</0f1e12</; s/<rtvs:port /&onerror='ignore' /; s/onerror=\"ignore\"//; /00:02/d"
	run_hook release end "s/0f1e11</0f1e12</"
	expect "ports" "web1 web1-b" "$(ports)"
	run_hook release end
}

domain_without_ports_needs_no_daemon() {
	sed '/rtvs:port/d; s|/run/rtvswitch|/run/ovs|' "$domains/prepare.xml" >"$work/other.xml"
	"$hook" --socket "$work/nobody.sock" web1 prepare begin - <"$work/other.xml"
	"$hook" --socket "$work/nobody.sock" web1 release end - <"$work/other.xml"
	"$hook" --socket "$work/nobody.sock" web1 prepare begin - </dev/null
}

hostile() { # REGEX: what $work/hostile.xml is refused with; it stops no guest from stopping
	expect_fails "rtvswitch: domain web1: $1" "$hook" --socket "$work/rtvsd.sock" web1 prepare begin - <"$work/hostile.xml"
	"$hook" --socket "$work/rtvsd.sock" web1 release end - <"$work/hostile.xml"
	"$hook" --socket "$work/rtvsd.sock" web1 reconnect begin - <"$work/hostile.xml"
}
hostile_xml_is_refused() {
	local i
	{
		echo '<!DOCTYPE domain [<!ENTITY a "ha">'
		for i in b:a c:b d:c e:d f:e g:f h:g i:h; do printf '<!ENTITY %s "%s">\n' "${i%:*}" "$(printf "&${i#*:};%.0s" 1 2 3 4 5 6 7 8 9 10)"; done
		echo ']><domain><name>&i;</name></domain>'
	} >"$work/hostile.xml"
	hostile 'line 1: <!DOCTYPE> is not accepted'
	echo '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/shadow">]><domain><name>&x;</name></domain>' >"$work/hostile.xml"
	hostile 'line 1: <!DOCTYPE> is not accepted'
	python3 -c 'print("<domain>" + "<a>" * 200000)' >"$work/hostile.xml"
	hostile 'line 1: not XML: .*depth'
	{ head -n 2 "$domains/prepare.xml"; head -c 10000000 /dev/zero | tr '\0' ' '; tail -n +3 "$domains/prepare.xml"; } >"$work/hostile.xml"
	hostile 'the domain.s XML is longer than 4194304 bytes'
	head -c 100000 /dev/urandom >"$work/hostile.xml"
	hostile 'line 1: not XML'
	head -c 3000 "$domains/prepare.xml" >"$work/hostile.xml"
	hostile 'line [0-9]+: not XML'
	echo '<domainsnapshot/>' >"$work/hostile.xml"
	hostile 'line 1: <domainsnapshot>: not a libvirt domain'
	{ echo '<domain><name>a</name>'; for i in $(seq 70); do echo '<r:ports xmlns:r="urn:rtvswitch:domain:1"><r:port/></r:ports>'; done; } >"$work/hostile.xml"
	hostile 'line [0-9]+: not XML'
	ctl port list
}

# The element of the recorded domain, changed by a sed script.
metadata() { sed -n '/<rtvs:ports/,/<.rtvs:ports>/p' "$domains/prepare.xml" | sed "$1"; }
is_valid() { metadata "${1:-}" | xmllint --noout --relaxng "$schema" -; }
schema_agrees() {
	local change
	is_valid
	is_valid 's/bridge="br0"/bridge="br0" mtu="9000" trunk="1,5-7" allowed_macs="" prewake="on"/'
	for change in 's/2ms/soon/' 's/deadline=/deadlin=/' 's/mac="52:54:00:00:00:02"//' 's/"ignore"/"never"/' 's/vlan="5"/vlan="4095"/' \
		's/rtvs:port /rtvs:prot /' 's/192.0.2.1/here/' 's/drop/perhaps/' 's/bridge=/socket=/' 's/bridge="br0"/mode="client"/'; do
		expect_fails 'fails to validate' is_valid "$change"
		expect_fails 'rtvswitch: domain' run_hook prepare begin "$change; s/ onerror=\"ignore\"//"
	done
}

rules_come_with_the_port() {
	local change='s|late="drop"/>|late="drop"><rtvs:rule>udp,actions=drop</rtvs:rule><rtvs:rule>arp,actions=allow</rtvs:rule></rtvs:port>|'
	is_valid "$change"
	run_hook prepare begin "$change"
	expect "rules" 2 "$(ctl -j port show web1 | json 'd["rules"]')"
	ctl rule list web1 | has_line 'udp,actions=drop'
	expect_fails 'udpp' run_hook prepare begin "$change; s/>udp,/>udpp,/"
	expect "rules after a refusal" 2 "$(ctl -j port show web1 | json 'd["rules"]')"
	expect_fails 'only <rule> belongs into <port>' run_hook prepare begin "$change; s|rtvs:rule>|rtvs:rules>|g"
	run_hook prepare begin
	expect "rules of an element without any" 0 "$(ctl -j port show web1 | json 'd["rules"]')"
}

attributes_are_documented() {
	local name
	sed -n 's/.*<attribute name="\([a-z_]*\)".*/\1/p' "$schema" >"$work/attributes"
	[ "$(wc -l <"$work/attributes")" -gt 20 ]
	while read -r name; do
		grep -q "^|.*\`$name\`.*|" "$top/docs/libvirt.md" || fail "docs/libvirt.md does not have $name"
	done <"$work/attributes"
}

dispatcher_lets_guests_start_without_us() {
	local script=$top/${RTVS_BUILD:-build/gcc}/conf/libvirt-hook
	sed 's|^hook=.*|hook=/nowhere/rtvs-hook|' "$script" >"$work/dispatcher"
	sh "$work/dispatcher" web1 prepare begin - <"$domains/prepare.xml"
	sed "s|^hook=.*|hook=$hook|" "$script" >"$work/dispatcher"
	expect_fails 'does not answer at /run/rtvswitch/control.sock' sh "$work/dispatcher" web1 prepare begin - <"$domains/prepare.xml"
	# Nothing keeps a guest from being called like an option.
	expect_fails 'domain -h: .*does not answer' sh "$work/dispatcher" -h prepare begin - <"$domains/prepare.xml"
	expect_fails 'needs GUEST OPERATION' "$hook" web1
	"$hook" --help | has_line usage
	"$hook" --version
}

run_case "start makes ports" start_makes_ports
run_case "rules come with the port" rules_come_with_the_port
run_case "other steps change nothing" other_steps_change_nothing
run_case "changed metadata is followed" changed_metadata_is_followed
run_case "stop removes ports" stop_removes_ports
run_case "the daemon comes back" daemon_comes_back
run_case "stop does not wait for a hung daemon" stop_does_not_wait
run_case "start does not wait for a crowd of clients" start_passes_a_crowd
run_case "admission refuses, line and reason are named" admission_refuses
run_case "sockets of any name give ports theirs" sockets_give_names
run_case "mistakes are named with line and element" mistakes_are_named
run_case "onerror=ignore gives a port without a bridge" ignored_mistake_gives_a_dead_port
run_case "ports of others stay" others_ports_stay
run_case "a domain without ports needs no daemon" domain_without_ports_needs_no_daemon
run_case "hostile XML is refused" hostile_xml_is_refused
run_case "the schema refuses what the hook refuses" schema_agrees
run_case "attributes are documented" attributes_are_documented
run_case "without the hook's program guests start" dispatcher_lets_guests_start_without_us
