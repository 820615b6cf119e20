#!/usr/bin/env bash
# scripts/bench vdpa, with short measurements, and what it refuses. The test asserts that there are
# figures, not what they are.
. "$(dirname "$0")/lib.sh"

bench() { # PYTHON
	PYTHONPATH=$top/test/perf timeout 150 python3 -c "import json, sys, systems, vdpa
build, path = sys.argv[1:]
$1" "$build" "$work/vdpa.json"
}
figure() { json "$1" <"$work/vdpa.json"; } # PYTHON, of d

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

refuses_machines() {
	expect_fails "no image of a guest in $work/nothing/guest-.*: run scripts/setup" \
		env RTVS_CACHE="$work/nothing" bash -c "$(declare -f bench); top=$top build=$build work=$work; bench 'vdpa.run(build, True, 1, print)'"
	expect_fails "guests need 1000512 MB of free memory, the machine has [0-9]+" \
		bench 'vdpa.GUEST_MB = 1000000; vdpa.run(build, True, 1, print)'
}

run_case "figures of all paths" measures_all_paths
run_case "machines without an image or memory are refused" refuses_machines
