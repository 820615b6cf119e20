#!/bin/sh
# usage: cli_test.sh RTVS-WAKE RECORD
#
# The command line of rtvs-wake: exit codes, and the output on each stream. The record has pings to
# a guest under TCG, whose figures were computed by hand from its lines.

set -eu

wake=$1
record=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
unset RTVS_SOCKET

# Runs it and compares the exit code: expect CODE ARG...
expect() {
	want=$1
	shift
	got=0
	"$wake" "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$want" ] || { echo "$*: exit code $got, not $want"; cat "$dir/err"; exit 1; }
}
says() { grep -q -- "$2" "$dir/$1" || { echo "'$2' is not in:"; cat "$dir/$1"; exit 1; }; }

expect 0 --help
says out 'usage: rtvs-wake'
expect 0 --version
says out 'rtvs-wake [0-9]'
for args in '--colour' '-d 0' '-d 99ms' '-d 86401' '-d x' '-r 0' '-r 10001' '-r x' '--all a' '--replay x a' \
	'--replay x -d 5' '--replay x --record y' '--replay x --all'; do
	# shellcheck disable=SC2086 # words
	expect 2 $args
	says err 'rtvs-wake'
	[ ! -s "$dir/out" ]
done
for args in '-d 100ms -r 1' '-d 24h -r 10000' '-d 86400' '--all'; do
	# shellcheck disable=SC2086 # words
	expect 3 $args -s "$dir/nobody.sock"
	says err 'rtvs-wake: cannot reach rtvswitchd at .*nobody.sock'
done

expect 1 --replay "$dir/missing"
says err 'missing: No such file'
expect 1 --replay /dev/null
says err 'has no line that begins a record'
sed '5s/asleep/lazy/' "$record" >"$dir/bad"
expect 1 --replay "$dir/bad"
says err 'bad: line 5: state: is not'

expect 0 --replay "$record"
says out '^a: process 177; 12 packets answered$'
says out '^guest kicked for 12 of 12, woken ahead 0, ran already 0, through QEMU.s main loop 12$'
says out "^mean end to end 1.44ms, sum of the stages' means 1.44ms$"
says out '^emulator fluctuates most: p99 is 2.17ms above p50'
says out 'rtvsctl advise'
expect 0 --replay "$record" --hist
says out '##########'

expect 0 --replay "$record" -j
[ ! -s "$dir/err" ]
python3 - "$dir/out" "$record" <<'PYTHON'
import json, sys
port, = json.load(open(sys.argv[1]))["ports"]
got = {k: (v["min_ns"], v["max_ns"], v["mean_ns"]) for k, v in port["answered"]["stages"].items()}
want = {"switch": (3415, 7261, 5944), "queue": (18417, 20531, 19436), "vring": (9414, 132237, 66065),
        "emulator": (0, 2166149, 607173), "wake": (0, 0, 0), "run": (28824, 58618, 47775),
        "consume": (165987, 802517, 384912), "answer": (0, 414498, 273350), "leave": (28192, 59850, 36910)}
assert got == want, f"{got}, expected {want}"
lines = [json.loads(line) for line in open(sys.argv[2])]
times = [c["left_ns"] - c["arrived_ns"] for c in lines if c["kind"] == "chain"]
end = port["answered"]["end_to_end"]
assert (end["count"], end["min_ns"], end["max_ns"], end["mean_ns"]) == (
    len(times), min(times), max(times), sum(times) // len(times)), end
assert len(port["depth"]["series_ms"]) == len(times)
PYTHON
cp "$dir/out" "$dir/first"
expect 0 --replay - -j <"$record"
cmp "$dir/out" "$dir/first"
