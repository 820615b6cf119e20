#!/bin/bash
# usage: vduse_restarts.sh N CONFIG
#
# Runs in the guest of vduse_test.sh. N times the daemon is killed and started again while a TCP
# stream and pings pass from namespace a to b. Prints a line for each time that pings were answered
# again, with ms from the daemon's exec: until it said that it is ready, and until the first answer
# came. The last daemon runs on.
us() { echo $((${1%.*} * 1000000 + 10#${1#*.})); } # SECONDS.FRACTION

# The time at which the first answer after `begin` came.
next_answer() {
	local line at
	while read -r -t 20 -u 4 line; do
		case $line in '['*'bytes from'*) at=${line#?} at=$(us "${at%%]*}") ;; *) continue ;; esac
		[ "$at" -lt "$begin" ] || { echo "$at"; return; }
	done
	return 1
}

begin=0
mkfifo /run/pings
ip netns exec b iperf3 -s -D >/dev/null
setsid -f ip netns exec a iperf3 -c 10.0.0.2 -t 3600 >/dev/null 2>&1
ip netns exec a ping -D -i 0.02 10.0.0.2 >/run/pings 2>&1 &
exec 4</run/pings
for ((i = 0; i < $1; i++)); do
	next_answer >/dev/null
	pkill -KILL -x rtvswitchd
	while pidof rtvswitchd >/dev/null; do :; done
	begin=$(us "$EPOCHREALTIME")
	setsid -f rtvswitchd --socket /run/rtvsd.sock --no-huge --idle adaptive --worker-priority normal --config "$2" >/tmp/rtvsd.log 2>&1 </dev/null 4<&-
	until grep -q ready: /tmp/rtvsd.log; do :; done
	ready=$(us "$EPOCHREALTIME")
	answer=$(next_answer) && echo $(((ready - begin) / 1000)) $(((answer - begin) / 1000))
done
pkill -INT -x ping
pkill -KILL -x iperf3
rm /run/pings
