#!/bin/bash
# Inside the guest of the bench offload (pods.py): pods, which are namespaces, behind each system.
#   start PODS PF NIC OVS CLIENT VF...  all of it: MACs of interfaces and client; OVS -: without
# SYSTEM: host (the guest itself, no pod), iptables, ovs, legacy, switchdev (virtual functions).
#   tx SYSTEM PODS SECONDS              UDP from all pods to the client: what arrived, Mbit/s
#   got SYSTEM PODS                     datagrams that each pod received so far
#   rules PODS                          of Open vSwitch's kind, for all functions; the agent runs
#   no-rules                            neither rules nor agent
# Subnets, of the client (.1) and pods (.10 on): 10.77.0 virtual functions, 10.78.0 the guest's NIC,
# behind which 10.244.0 is routed, 10.79.0 Open vSwitch.
set -eu

services=200
nic_of() { basename "$(dirname "$(grep -il "$1" /sys/class/net/*/address | head -1)")"; } # MAC
pod() { # NAMESPACE|host COMMAND
	if [ "$1" = host ]; then "${@:2}"; else ip netns exec "$@"; fi
}

begin_pod() { # NAMESPACE
	ip netns add "$1"
	ip -n "$1" link set lo up
}
serve() { # NAMESPACE
	pod "$1" netserver >/dev/null
	pod "$1" setsid socat -u UDP4-RECV:9 /dev/null >/dev/null 2>&1 &
}

address_of() { # NAMESPACE DEVICE ADDRESS CLIENT_ADDRESS CLIENT_MAC
	ip -n "$1" addr add "$3/24" dev "$2"
	ip -n "$1" link set "$2" up
	ip -n "$1" neigh replace "$4" lladdr "$5" dev "$2"
}

# As kube-proxy makes them in its mode iptables: a service is a chain with an endpoint in another.
kube_proxy() {
	local i ip
	echo '*nat'
	echo ':KUBE-SERVICES - [0:0]'
	echo ':KUBE-POSTROUTING - [0:0]'
	echo ':KUBE-MARK-MASQ - [0:0]'
	for ((i = 0; i < services; i++)); do printf ':KUBE-SVC-%d - [0:0]\n:KUBE-SEP-%d - [0:0]\n' $i $i; done
	echo '-A PREROUTING -j KUBE-SERVICES'
	echo '-A OUTPUT -j KUBE-SERVICES'
	echo '-A POSTROUTING -j KUBE-POSTROUTING'
	echo '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000'
	echo '-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN'
	echo '-A KUBE-POSTROUTING -j MASQUERADE'
	for ((i = 0; i < services; i++)); do
		ip=10.96.$((i / 250)).$((i % 250 + 1))
		echo "-A KUBE-SERVICES -d $ip/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-$i"
		echo "-A KUBE-SVC-$i ! -s 10.244.0.0/24 -d $ip/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ"
		echo "-A KUBE-SVC-$i -j KUBE-SEP-$i"
		echo "-A KUBE-SEP-$i -s 10.244.0.10/32 -j KUBE-MARK-MASQ"
		echo "-A KUBE-SEP-$i -p tcp -m tcp -j DNAT --to-destination 10.244.0.10:8080"
	done
	echo COMMIT
}

# As Calico's Felix makes them: a pod's interface is routed to, and has a chain for what it sends
# and one for what it gets, each with a policy and a profile.
calico() { # PODS
	local i dir
	echo '*filter'
	echo ':cali-FORWARD - [0:0]'
	echo ':cali-from-wl-dispatch - [0:0]'
	echo ':cali-to-wl-dispatch - [0:0]'
	for ((i = 0; i < $1; i++)); do printf ':cali-fw-b%d - [0:0]\n:cali-tw-b%d - [0:0]\n:cali-pi-b%d - [0:0]\n:cali-pri-b%d - [0:0]\n' $i $i $i $i; done
	echo '-A FORWARD -j cali-FORWARD'
	echo '-A FORWARD -m conntrack --ctstate INVALID -j DROP'
	echo '-A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000'
	echo '-A cali-FORWARD -i b+ -j cali-from-wl-dispatch'
	echo '-A cali-FORWARD -o b+ -j cali-to-wl-dispatch'
	echo '-A cali-FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT'
	for ((i = 0; i < $1; i++)); do
		echo "-A cali-from-wl-dispatch -i b$i -g cali-fw-b$i"
		echo "-A cali-to-wl-dispatch -o b$i -g cali-tw-b$i"
		for dir in fw tw; do
			echo "-A cali-$dir-b$i -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
			echo "-A cali-$dir-b$i -m conntrack --ctstate INVALID -j DROP"
			echo "-A cali-$dir-b$i -j MARK --set-xmark 0x0/0x10000"
			echo "-A cali-$dir-b$i -j cali-pi-b$i"
			echo "-A cali-$dir-b$i -m mark --mark 0x10000/0x10000 -j RETURN"
			echo "-A cali-$dir-b$i -j cali-pri-b$i"
			echo "-A cali-$dir-b$i -m mark --mark 0x10000/0x10000 -j RETURN"
			echo "-A cali-$dir-b$i -j DROP"
		done
		echo "-A cali-pi-b$i -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x10000/0x10000"
		echo "-A cali-pri-b$i -j MARK --set-xmark 0x10000/0x10000"
	done
	echo '-A cali-from-wl-dispatch -j DROP'
	echo '-A cali-to-wl-dispatch -j DROP'
	echo COMMIT
}

start_iptables() { # PODS MAC CLIENT
	local i nic
	nic=$(nic_of "$2")
	ip addr add 10.78.0.10/24 dev "$nic"
	ip link set "$nic" up
	ip neigh replace 10.78.0.1 lladdr "$3" dev "$nic"
	serve host
	sysctl -qw net.ipv4.ip_forward=1
	for ((i = 0; i < $1; i++)); do
		begin_pod "b$i"
		ip link add "b$i" type veth peer name eth0 netns "b$i"
		ip link set "b$i" address ee:ee:ee:ee:ee:ee up
		ip -n "b$i" addr add 10.244.0.1$i/32 dev eth0
		ip -n "b$i" link set eth0 up
		ip -n "b$i" route add 169.254.1.1 dev eth0
		ip -n "b$i" route add default via 169.254.1.1
		ip -n "b$i" neigh replace 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0
		ip route add 10.244.0.1$i dev "b$i"
		ip neigh replace 10.244.0.1$i lladdr "$(ip netns exec "b$i" cat /sys/class/net/eth0/address)" dev "b$i"
		serve "b$i"
	done
	kube_proxy | iptables-restore --noflush
	calico "$1" | iptables-restore --noflush
}

start_ovs() { # PODS MAC CLIENT
	local i nic
	modprobe openvswitch
	mkdir -p /run/openvswitch /etc/openvswitch /var/log/openvswitch
	[ -e /etc/openvswitch/conf.db ] || ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
	ovsdb-server --remote=punix:/run/openvswitch/db.sock --detach --pidfile --log-file=/tmp/ovsdb.log
	ovs-vsctl --no-wait init
	ovs-vswitchd --detach --pidfile --log-file=/tmp/vswitchd.log
	nic=$(nic_of "$2")
	ovs-vsctl add-br brs -- add-port brs "$nic"
	ip link set "$nic" up
	for ((i = 0; i < $1; i++)); do
		begin_pod "s$i"
		ip link add "s$i" type veth peer name eth0 netns "s$i"
		ip link set "s$i" up
		ovs-vsctl add-port brs "s$i"
		address_of "s$i" eth0 "10.79.0.1$i" 10.79.0.1 "$3"
		serve "s$i"
	done
}

start_vfs() { # PODS PF CLIENT MAC...
	local i n=$1 pf client=$3
	pf=$(nic_of "$2")
	shift 3
	ip link set "$pf" up
	echo "$n" >"$(ls -d /sys/class/net/"$pf"/device/../sriov_numvfs)"
	for ((i = 0; i < n; i++, 1)); do
		begin_pod "v$i"
		ip link set "$(nic_of "$1")" name "vf$i" netns "v$i"
		address_of "v$i" "vf$i" "10.77.0.1$i" 10.77.0.1 "$client"
		serve "v$i"
		shift
	done
	echo "$pf" >/tmp/pf
	echo "$client" >/tmp/client
}

declare -A kind=([iptables]=b [ovs]=s [legacy]=v [switchdev]=v) client=([host]=10.78.0.1 [iptables]=10.78.0.1 [ovs]=10.79.0.1 [legacy]=10.77.0.1 [switchdev]=10.77.0.1)

pod_of() { if [ "$1" = host ]; then echo host; else echo "${kind[$1]}$2"; fi; } # SYSTEM NUMBER

tx() { # SYSTEM PODS SECONDS
	local i
	for ((i = 0; i < $2; i++)); do
		pod "$(pod_of "$1" $i)" netperf -H "${client[$1]}" -t UDP_STREAM -l "$3" -P 0 -- -m 1472 -R 1 -o REMOTE_RECV_THROUGHPUT |
			tail -n 1 >"/tmp/tx$i" &
	done
	wait
	cat /tmp/tx[0-9] | head -n "$2"
}

got() { # SYSTEM PODS
	local i
	for ((i = 0; i < $2; i++)); do pod "$(pod_of "$1" $i)" awk '/^Udp: [0-9]/ { print $2 }' /proc/net/snmp; done
}

rules() { # PODS
	local i pf client
	pf=$(cat /tmp/pf) client=$(cat /tmp/client)
	setsid rtvs-vf agent --switchdev --pf "$pf" >/tmp/agent.log 2>&1 &
	for ((i = 0; i < 100; i++)); do
		[ ! -e "/sys/class/net/${pf}r$(($1 - 1))" ] || break
		sleep 0.1
	done
	tc qdisc add dev "${pf}up" clsact
	for ((i = 0; i < $1; i++)); do
		tc qdisc add dev "${pf}r$i" clsact
		tc filter add dev "${pf}r$i" ingress prio 1 protocol ip flower dst_mac "$client" action mirred egress redirect dev "${pf}up"
		tc filter add dev "${pf}up" ingress prio 1 protocol ip flower dst_mac "$(pod "v$i" cat "/sys/class/net/vf$i/address")" \
			action mirred egress redirect dev "${pf}r$i"
	done
	for ((i = 0; i < 100; i++)); do
		[ "$(rtvs-vf flows | grep -c '^hw ')" -lt $((2 * $1)) ] || return 0
		sleep 0.1
	done
	rtvs-vf flows
	return 1
}

case $1 in
tx | got | rules) "$@" ;;
no-rules) ! pkill -x rtvs-vf || while pgrep -x rtvs-vf >/dev/null; do sleep 0.1; done ;;
start)
	shift
	start_iptables "$1" "$3" "$5"
	[ "$4" = - ] || start_ovs "$1" "$4" "$5"
	start_vfs "$1" "$2" "$5" "${@:6}"
	;;
esac
