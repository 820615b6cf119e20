#!/usr/bin/env bash
# The bytes of the codecs, read by other programs: tshark's own dissectors, and conf/rtvswitch.lua
# for our formats.
. "$(dirname "$0")/lib.sh"

packets=$work/packets.pcapng
"$build/test/unit/wire/wire_packets" "$packets"
cp "$top/conf/rtvswitch.lua" "$work/"

# tshark loads no scripts for root.
dissect() { # [TSHARK OPTION...]
	HOME=$work setpriv --reuid=65534 --regid=65534 --clear-groups tshark -r "$packets" -X "lua_script:$work/rtvswitch.lua" \
		-o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o udp.ignore_ipv6_zero_checksum:TRUE \
		-d udp.port==862,twamp.test "$@"
}

# One line a packet; values of the outer and of the inner packet are separated by commas.
fields() { # FILTER FIELD...
	local filter=$1 field args=()
	shift
	for field; do args+=(-e "$field"); done
	dissect -Y "$filter" -T fields -E separator='|' -E occurrence=a "${args[@]}" | tr '|' ' '
}

option=8000b000010203040506070869203845075bcd15000005dc001e848000070000

geneve_headers() {
	expect "IPv4 tunnels" "192.0.2.1,192.0.2.1 0xb9,0x00 64,64 0x0000,0x1234 True,False 1,1 6081,9 0xabcdef 0x6558" \
		"$(fields 'geneve && ip.ttl == 64 && !vlan' ip.src ip.dsfield ip.ttl ip.id ip.flags.df ip.checksum.status \
			udp.dstport geneve.vni geneve.proto_type | sort -u)"
	expect "IPv6 tunnel" "291 2001:db8::1 2001:db8::2 0x000000b9 64 6081,9 0x000001 0x6558" \
		"$(fields 'geneve && ipv6' vlan.id ipv6.src ipv6.dst ipv6.tclass ipv6.hlim udp.dstport geneve.vni geneve.proto_type)"
	expect "flow label is source port" "$(fields 'geneve && ipv6' udp.srcport | cut -d, -f1)" \
		"$(($(fields 'geneve && ipv6' ipv6.flow)))"
	expect "what is inside" 4 "$(fields 'geneve && udp.port == 9' frame.number | wc -l)"
}

geneve_option_is_one_to_skip() {
	expect "options" "0xfff5 0x01 False $option
0xfff6 0x01 False $option
0xfff5 0x01 False $option" "$(fields geneve.option geneve.option.class geneve.option.type geneve.option.type.critical \
		geneve.option.unknown.data)"
}

option_is_read_by_the_script() {
	expect "ours" "1 0x8000 0xb000 72623859790382856 1763719237 123456789 1500 2000000 7 0.000250000
4 0x8000 0xb000 72623859790382856 1763719237 123456789 1500 2000000 7 0.000250000" \
		"$(fields rtvs.meta frame.number rtvs.meta.namespace rtvs.meta.e2e_type rtvs.meta.seq rtvs.meta.seconds \
			rtvs.meta.ns rtvs.meta.residence rtvs.meta.deadline rtvs.meta.flow rtvs.meta.age)"
}

foreign_option_is_not() {
	expect "of class 0xfff6" "" "$(fields 'frame.number == 2' rtvs.meta.seq | tr -d ' ')"
	expect "when that is ours" "2" "$(dissect -o rtvs.meta.option_class:65526 -Y rtvs.meta -T fields -e frame.number)"
}

peer_messages() {
	local head="3 0x1122334455667788 0x99aabbccddeeff00 5"
	expect "messages" "1 $head   
2 $head 1763719237123456789  
3 $head 1763719237123456789 1763719237123466789 1763719237123476789
4 $head   " "$(fields 'rtvs.peer && udp.port == 6082 && !rtvs.peer.refused' rtvs.peer.type rtvs.peer.key rtvs.peer.session \
		rtvs.peer.echo rtvs.peer.seq rtvs.peer.t1 rtvs.peer.t2 rtvs.peer.t3)"
	expect "flows" "2 7,65535 0x0001,0x8000 1000,4294967295 3,2 20,1 150000,4 900000,5 2500,6 72623859790382856,18446744073709551615" \
		"$(fields 'rtvs.peer.flow && udp.port == 6082' rtvs.peer.count rtvs.peer.flow rtvs.peer.flow.flags rtvs.peer.flow.packets \
			rtvs.peer.flow.lost rtvs.peer.flow.missed rtvs.peer.flow.worst_over rtvs.peer.flow.worst_network \
			rtvs.peer.flow.uncertainty rtvs.peer.flow.last_seq)"
	expect "tags" "$(printf '5a%.0s' {1..32})" "$(fields rtvs.peer.tag rtvs.peer.tag | sort -u)"
	expect "on another port" "4 2" "$(fields 'rtvs.peer && udp.port == 7000' rtvs.peer.type rtvs.peer.count)"
}

wrong_length_is_seen() {
	expect "one byte less" "4   " "$(fields rtvs.peer.refused rtvs.peer.type rtvs.peer.count rtvs.peer.flow rtvs.peer.tag)"
	# It is the only thing in the file that anybody complains about.
	expect "complaints" "$(fields rtvs.peer.refused frame.number)" \
		"$(fields '_ws.malformed || _ws.expert.severity >= Warning || ip.checksum.status == Bad || udp.checksum.status == Bad' frame.number)"
}

stamp_is_twamp_light() {
	local day="Nov 21, 2025 10:00:00"
	expect "request" "7|$day.123456789 UTC" "$(dissect -Y 'udp.dstport == 862' -T fields -E separator='|' \
		-E occurrence=f -e twamp.test.seq_number -e twamp.test.timestamp)"
	expect "reply" "9 $day.123486789 UTC $day.123466789 UTC 7 $day.123456789 UTC 253" \
		"$(fields 'udp.srcport == 862' twamp.test.seq_number twamp.test.timestamp twamp.test.receive_timestamp \
			twamp.test.sender_seq_number twamp.test.sender_timestamp twamp.test.sender_ttl)"
	# The reflector's and the sender's: 2^-32 s, and 1 us rounded up.
	expect "error estimates" "1,135 0,5 False,True False,False" "$(fields 'udp.srcport == 862' \
		twamp.test.error_estimate.multiplier twamp.test.error_estimate.scale twamp.test.error_estimate.s twamp.test.error_estimate.z)"
}

neighbors() {
	local a=02:00:00:00:00:a0 b=02:00:00:00:00:b0
	expect "ARP" "ff:ff:ff:ff:ff:ff 1 $a 192.0.2.1 192.0.2.2
$a 2 $b 192.0.2.2 192.0.2.1
ff:ff:ff:ff:ff:ff 1 $a 192.0.2.1 192.0.2.1" \
		"$(fields arp eth.dst arp.opcode arp.src.hw_mac arp.src.proto_ipv4 arp.dst.proto_ipv4)"
	expect "solicitation" "33:33:ff:00:00:02 291 2001:db8::1 ff02::1:ff00:2 255 2001:db8::2 $a 1" \
		"$(fields 'icmpv6.type == 135' eth.dst vlan.id ipv6.src ipv6.dst ipv6.hlim icmpv6.nd.ns.target_address \
			icmpv6.opt.linkaddr icmpv6.checksum.status)"
	expect "advertisements" "$a 2001:db8::1 255 2001:db8::2 True True $b 1
33:33:00:00:00:01 ff02::1 255 2001:db8::1 False True $a 1" \
		"$(fields 'icmpv6.type == 136' eth.dst ipv6.dst ipv6.hlim icmpv6.nd.na.target_address icmpv6.nd.na.flag.s \
			icmpv6.nd.na.flag.o icmpv6.opt.linkaddr icmpv6.checksum.status)"
	expect "echo reply" "$a 192.0.2.2 192.0.2.1 0 42 1 1 1" \
		"$(fields 'icmp.type == 0' eth.dst ip.src ip.dst icmp.type icmp.ident icmp.seq ip.checksum.status icmp.checksum.status)"
}

packets_too_big() {
	expect "IPv4" "192.0.2.2,192.0.2.1 192.0.2.1,192.0.2.2 4 1392 1 576,1428 9" \
		"$(fields 'icmp.type == 3' ip.src ip.dst icmp.code icmp.mtu icmp.checksum.status ip.len udp.dstport)"
	expect "IPv6" "291 2001:db8::2,2001:db8::1 2001:db8::1,2001:db8::2 0 1372 1 1240,1408 9" \
		"$(fields 'icmpv6.type == 2' vlan.id ipv6.src ipv6.dst icmpv6.code icmpv6.mtu icmpv6.checksum.status ipv6.plen udp.dstport)"
}

run_case "tshark reads the tunnel's headers" geneve_headers
run_case "tshark takes the option for one to skip" geneve_option_is_one_to_skip
run_case "rtvswitch.lua reads the option" option_is_read_by_the_script
run_case "rtvswitch.lua leaves foreign options alone" foreign_option_is_not
run_case "rtvswitch.lua reads peer messages" peer_messages
run_case "a peer message of a wrong length is seen" wrong_length_is_seen
run_case "tshark reads STAMP" stamp_is_twamp_light
run_case "tshark reads ARP, neighbor discovery and echo" neighbors
run_case "tshark reads packets too big" packets_too_big
