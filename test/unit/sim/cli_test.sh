#!/bin/sh
# usage: cli_test.sh RTVS-SIM CONF-DIR
#
# The command line of rtvs-sim: exit codes, the output on each stream, the same bytes for a seed.

set -eu

sim=$1
conf=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Runs it and compares the exit code: expect CODE ARG...
expect() {
	want=$1
	shift
	got=0
	"$sim" "$@" >"$dir/out" 2>"$dir/err" || got=$?
	[ "$got" = "$want" ] || { echo "$*: exit code $got, not $want"; cat "$dir/err"; exit 1; }
}
says() { grep -q -- "$2" "$dir/$1" || { echo "'$2' is not in:"; cat "$dir/$1"; exit 1; }; }

expect 0 --help
says out 'usage: rtvs-sim run'
expect 0 --version
says out 'rtvs-sim [0-9]'
for args in '' 'walk' 'run' "run a b" 'random x' 'run x --policy wfq' 'random --sets 0' 'random --sets 1000001' \
	'run x --time 2h' 'run x --seed y' 'run x --seed 9223372036854775808' 'run x --colour'; do
	# shellcheck disable=SC2086 # words
	expect 2 $args
	says err 'rtvs-sim'
	[ ! -s "$dir/out" ]
done

expect 0 run "$conf/sim/overload.json" --time 100ms
says out 'admission at host1: fits'
says out '^priority '
expect 0 run "$conf/sim/overload.json" --time 100ms --policy edf,drr -j --seed 5
cp "$dir/out" "$dir/first"
says out '"policy": "drr"'
if grep -q '"policy": "fifo"' "$dir/out"; then echo 'fifo was not asked for'; exit 1; fi
expect 0 run "$conf/sim/overload.json" --time 100ms --policy edf,drr -j --seed 5
cmp "$dir/out" "$dir/first"

expect 0 admit "$conf/sim/overload.json"
sed 's/"deadline": "1ms"/"deadline": "100us"/' "$conf/sim/overload.json" >"$dir/tight.json"
expect 1 admit "$dir/tight.json"
says out 'control fails: by t=50us .* bytes may be due'
sed 's/"deadline": "1ms"/"deadline": "soon"/' "$conf/sim/overload.json" >"$dir/bad.json"
expect 1 run "$dir/bad.json"
says err 'bad.json: flows\[0\].deadline: is not a time from 1ns to 1h'
expect 1 run "$dir/missing.json"
says err 'No such file'

expect 0 run "$conf/sim/feedback.json" --time 6s
says out '^measure  .*shortened'
says out '^act  '
says out '^control  '
expect 0 run "$conf/sim/feedback.json" --time 1s -j
says out '"mode": "act"'
expect 1 admit "$conf/sim/feedback.json"
says err 'admission is for scenarios of paths'
expect 1 run "$conf/sim/feedback.json" --policy edf
says err '--policy is for scenarios of paths'

expect 0 random --sets 100 --seed 3
says out '^admitted: [0-9]*, late in 0;'
says out 'refused: by t='
expect 0 random --sets 100 --seed 3 -j
says out '"broken": 0'
