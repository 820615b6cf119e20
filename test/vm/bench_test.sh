#!/usr/bin/env bash
# scripts/bench vdpa and move, with short measurements, and what they refuse. The test asserts that
# there are figures, not what they are.
. "$(dirname "$0")/lib.sh"

bench() { # PYTHON
	PYTHONPATH=$top/test/perf timeout 150 python3 -c "import json, sys, move, systems, vdpa
build, path = sys.argv[1:]
$1" "$build" "$work/bench.json"
}
figure() { json "$1" <"$work/bench.json"; } # PYTHON, of d

measures_all_paths() {
	bench 'times = {"warmup": 5, "ms": 40, "pairs": 12, "trip": 40, "seconds": 1, "frames": (64,)}
result = vdpa.run(build, True, 1, print, times=times)
json.dump(result, open(path, "w"))
assert all(part for part in vdpa.page(result))'
	expect "paths" "virtio-user, vhost-user; virtio-user, vhost-vdpa; containers, virtio_vdpa; containers, TAP; containers, veth and Linux bridge" \
		"$(figure '"; ".join(r["path"] for r in d["rows"])')"
	expect "whether rows have figures" true \
		"$(figure 'all(r["gbps"] > 0 and 0 < r["rr_p50_us"] <= r["rr_p99_us"] and r["frame"] in (64, 1514) for r in d["rows"])')"
	expect "whether virtio-user has rates, of a generator that was not busy, and lost nothing" true \
		"$(figure 'all(r["mpps"] > 0 and 0 < r["generator_busy"] < 1 and r["lost"] == 0 and r["away"] < 1 for r in d["rows"][:2])')"
	figure 'd["ratios"]'
	expect "ratios" true "$(figure 'all(r is None or r > 0 for r in d["ratios"].values()) and sorted(d["ratios"]) == ["container_vs_tap", "vdpa_vs_vhost"]')"
	expect "programs that stayed" "" "$(pgrep -x qemu-system-x86 || :)"
}

measures_moves() {
	bench 'move.MIDDLE = move.LARGE = 192
result = move.run(build, True, 1, print, plan=[(192, False, move.BOTH, 1), (192, True, (move.MOVE,), 1)])
json.dump(result, open(path, "w"))
assert all(part for part in move.page(result))'
	expect "moves" "rtvs-move idle; plain idle; rtvs-move writing" "$(figure '"; ".join(r["system"] + " " + r["dirtying"] for r in d["rows"])')"
	expect "whether rows have figures" true \
		"$(figure 'all(r["total_ms"] >= r["downtime_ms"] >= 0 and r["total_ms"] > 0 and r["cpu_s"] > 0 and r["wall_ms"] > 0 and 0 <= r["lost"] and r["moves"] == 1 and 0 < r["pps"] < 10100 and r["mib"] == 192 for r in d["rows"])')"
	expect "whether memory was copied" "False True False" "$(figure '" ".join(str(r["copied_mib"] > 150) for r in d["rows"])')"
	expect "moves that failed" 0 "$(figure 'd["machine"]["failed"]')"
	expect "ratios" "cpu_vs_plain downtime_vs_plain lost time_4g_vs_1g time_vs_plain wall_vs_plain" "$(figure '" ".join(sorted(d["ratios"]))')"
	expect "programs that stayed" "" "$(pgrep -x qemu-system-x86 || :)"
	expect "memory that stayed" "" "$(ls /dev/shm)"
}

refuses_machines() {
	expect_fails "no image of a guest in $work/nothing/guest-.*: run scripts/setup" \
		env RTVS_CACHE="$work/nothing" bash -c "$(declare -f bench); top=$top build=$build work=$work; bench 'vdpa.run(build, True, 1, print)'"
	expect_fails "guests need 1000512 MB of free memory, the machine has [0-9]+" \
		bench 'vdpa.GUEST_MB = 1000000; vdpa.run(build, True, 1, print)'
	expect_fails "guests need 2000512 MB of free memory, the machine has [0-9]+" \
		bench 'move.run(build, True, 1, print, plan=[(1000000, False, move.BOTH, 1)])'
}

run_case "figures of all paths" measures_all_paths
run_case "figures of moves" measures_moves
run_case "machines without an image or memory are refused" refuses_machines
