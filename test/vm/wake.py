#!/usr/bin/env python3
"""usage: wake.py REPORT.json PORT PID MIN-CHAINS [PING-LOG]

Checks a report of rtvs-wake: the port's guest has this process, at least so many packets were answered, and the stages of
each kind of chain add up to the time from end to end. With the output of a ping says how near that time is.
"""
import json
import re
import sys

KERNELS = {"emulator", "wake", "run"}


def check(ok, what):
    if not ok:
        sys.exit(f"FAILED: {what}")


def check_set(kind, s, has_sched):
    total = s["end_to_end"]
    stages = {k: v for k, v in s["stages"].items() if v is not None}
    check(set(s["stages"]) - set(stages) == (set() if has_sched else KERNELS), f"{kind}: stages that are not shown")
    for name, figures in {**stages, "end to end": total}.items():
        check(figures["count"] == total["count"], f"{kind}: {name}: count")
        order = [figures[k] for k in ("min_ns", "p50_ns", "p90_ns", "p99_ns", "max_ns")]
        check(order[0] >= 0 and order[1:] == sorted(order[1:]), f"{kind}: {name}: {order}")
        check(figures["min_ns"] <= figures["mean_ns"] <= figures["max_ns"], f"{kind}: {name}: mean")
    # Each mean is rounded down by less than 1 ns.
    means = sum(figures["mean_ns"] for figures in stages.values())
    check(0 <= total["mean_ns"] - means <= len(stages), f"{kind}: means add up to {means}, not {total['mean_ns']}")
    check(s["sum_of_means_ns"] == total["mean_ns"], f"{kind}: sum {s['sum_of_means_ns']}, not {total['mean_ns']}")


def main():
    if len(sys.argv) not in (5, 6):
        sys.exit(__doc__.strip())
    with open(sys.argv[1]) as f:
        report = json.load(f)
    port = next(p for p in report["ports"] if p["port"] == sys.argv[2])
    check(port["pid"] == int(sys.argv[3]), f"pid {port['pid']}")
    chains = port["chains"]
    check(chains["answered"] >= int(sys.argv[4]), f"chains: {chains}")
    check(chains["blind"] <= sum(chains.values()) / 10 and not chains["wrong"], f"chains: {chains}")
    check(len(port["depth"]["series_ms"]) > 0, "the vring's depth")
    for kind in ("answered", "unanswered"):
        check_set(kind, port[kind], report["has_sched"])
    print({name: s and s["mean_ns"] for name, s in port["answered"]["stages"].items()})
    if len(sys.argv) == 6:
        with open(sys.argv[5]) as f:
            rtt_ns = float(re.search(r"rtt min/avg/max/mdev = [\d.]+/([\d.]+)/", f.read())[1]) * 1e6
        mean_ns = port["answered"]["end_to_end"]["mean_ns"]
        print(f"mean end to end {mean_ns} ns, ping {rtt_ns:.0f} ns: {(rtt_ns - mean_ns) / rtt_ns * 100:.1f} % are outside of the switch")
        check(mean_ns < rtt_ns * 2, "the way through the switch takes longer than the client waits")


if __name__ == "__main__":
    main()
