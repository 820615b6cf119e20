# vni: Ethernet over one pool in shared memory beside other networks between the same ends.
#   processes    a segment with its common pool, and with buffers for each pair of nodes; memif,
#                copying and with zero-copy; a Linux bridge with veths; rtvswitchd with vhost-user
#                (vni_processes.py)
#   containers   rtvs-vni's TAPs, a Linux bridge with veths, rtvswitchd between TAPs
#                (vni_containers.py)
#   guests       rtvs-vni over ivshmem, an emulated e1000 (vni_guests.py)
#   turns        losses of bursts at equal memory: pool and separate buffers (vni_loss.c)
# Rounds alternate between the networks of the same ends, and the others are stopped. Guests come
# first, alone: they cannot be stopped without their clocks noticing.
import json
import os
import subprocess

import report
import systems
import vni_containers
import vni_guests
import vni_processes
from vni_processes import MEMIF, MEMIF_ZERO_COPY, SEGMENT, SEPARATE, VETH, VHOST

NODES = (2, 4, 16)
FRAMES = (64, 1518)
POOL = "pool"
# Slots of each of the 240 pairs when buffers are separate; the pool is as large together. Bursts
# are of 64 frames on average.
SLOTS_PER_PAIR = (64, 128, 256, 512)
EQUAL_MEMORY = 128
N_PAIRS = 240
LOADS = {"even": 0.8, "skewed": 0.95, "stuck": 0.8}
TURNS, SEEDS = 200000, 3
QUICK_ROUNDS = {"processes": 3, "containers": 2, "guests": 1}


def couples(build, hugepages, quick):
    """By what makes them, (name, nodes) first. With --quick two nodes only."""
    for nodes in NODES[:1] if quick else NODES:
        yield SEGMENT, nodes, lambda n=nodes: vni_processes.Segment(build, n)
        yield SEPARATE, nodes, lambda n=nodes: vni_processes.Segment(build, n, separate=True)
        yield MEMIF, nodes, lambda n=nodes: vni_processes.memif(build, hugepages, n, zero_copy=False)
        if nodes < 16:  # DPDK 24.11 ends itself with so many regions
            yield MEMIF_ZERO_COPY, nodes, lambda n=nodes: vni_processes.memif(build, hugepages, n, zero_copy=True)
        yield VETH, nodes, lambda n=nodes: vni_processes.veth(build, hugepages, n)
        yield VHOST, nodes, lambda n=nodes: vni_processes.vhost(build, hugepages, n)


def start(make, running):
    part = make()
    running.append(part)
    try:
        part.start()
    except systems.Failed as e:
        raise systems.Failed(f"{part.name}: {e}\n{part.log_tail()}") from e
    part.freeze()
    return part


def measure_processes(part, frame, times):
    if isinstance(part, vni_processes.Segment):
        return part.measure(frame, times["ms"])
    got = part.throughput(frame, times["warmup"], times["ms"])
    trip = part.round_trip(frame, times["rtt"])
    return {**got, "rtt_p50_us": trip["rtt_p50_us"], "rtt_p99_us": trip["rtt_p99_us"]}


def measure_containers(part, seconds, tests):
    got = {test: part.measure(test, seconds) for test in tests}
    trip = got["UDP_RR"]
    return {"gbps": got[vni_containers.STREAM]["per_s"] / 1000, "rtt_p50_us": trip["p50_us"], "rtt_p99_us": trip["p99_us"],
            **({"tcp_rtt_p50_us": got["TCP_RR"]["p50_us"]} if "TCP_RR" in got else {})}


def lose(build, buffers, load, slots, seed, turns):
    inbox = 1 << ((slots * N_PAIRS // 2).bit_length() - 1)  # a node that takes nothing holds half of the slots at most
    done = subprocess.run([os.path.join(build, "test/perf/vni_loss"), buffers, load, str(slots * N_PAIRS), str(min(inbox, 65536)),
                           str(LOADS[load]), str(seed), str(turns)], capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise systems.Failed(f"vni_loss {buffers} {load} {slots}: {done.stderr}")
    return json.loads(done.stdout)


def measure_guests(build, quick, rounds, say, seconds):
    """Boots them, computes the losses meanwhile, and measures. (losses, {network: rounds})"""
    guests, got = vni_guests.Guests(build), {}
    try:
        guests.start()
        lost = losses(build, quick, say)
        guests.ready()
        say("2 guests are up")
        for n in range(rounds):
            for network in vni_guests.NETWORKS:
                got.setdefault(network, []).append(guests.measure(network, seconds))
            say(f"round {n + 1} of {rounds}, guests, TCP: " + ", ".join(f"{k} {v[-1]['gbps']:.2f} Gbit/s" for k, v in got.items()))
    finally:
        guests.stop()
    return lost, got


def losses(build, quick, say):
    got = {}
    for slots in (EQUAL_MEMORY,) if quick else SLOTS_PER_PAIR:
        for load in [name for name in LOADS if not quick or name != "stuck"]:
            for buffers in (POOL, "separate"):
                got[buffers, load, slots] = [lose(build, buffers, load, slots, seed + 1, TURNS // (4 if quick else 1))
                                             for seed in range(1 if quick else SEEDS)]
            say(f"{load} load, {slots} slots a pair: lost " + ", ".join(
                f"{sum(r['lost'] for r in got[b, load, slots])} ({b})" for b in (POOL, "separate")))
    return got


def run(build, quick, rounds, say, hugepages=True):
    times = {"warmup": 30, "ms": 120, "rtt": 50} if quick else {"warmup": 100, "ms": 500, "rtt": 250}
    seconds = 1 if quick else 2
    tests = [t for t in vni_containers.TESTS if not quick or t != "TCP_RR"]
    running, ends, processes, containers = [], {}, {}, {}
    steal = report.Steal()
    rounds = {ends: QUICK_ROUNDS[ends] if quick else rounds for ends in QUICK_ROUNDS}
    lost, guests = measure_guests(build, quick, rounds["guests"], say, seconds)
    try:
        for name, nodes, make in couples(build, hugepages, quick):
            ends[name, nodes] = start(make, running)
        say(f"{len(ends)} networks of processes are up")
        boxes = [start(lambda c=c: c(build, hugepages), running) for c in vni_containers.ALL]
        say(f"{len(boxes)} networks of containers are up")
        for n in range(rounds["processes"]):
            for (name, nodes), part in ends.items():
                part.thaw()
                for frame in FRAMES:
                    processes.setdefault((name, nodes, frame), []).append(measure_processes(part, frame, times))
                part.freeze()
            say(f"round {n + 1} of {rounds['processes']}, 64 bytes, 2 nodes: " + ", ".join(
                f"{name} {processes[name, 2, 64][-1]['mpps']:.1f} Mpps" for name, nodes in ends if nodes == 2))
            if n >= rounds["containers"]:
                continue
            for part in boxes:
                part.thaw()
                containers.setdefault(part.name, []).append(measure_containers(part, seconds, tests))
                part.freeze()
            say(f"round {n + 1} of {rounds['containers']}, containers, TCP: " + ", ".join(f"{k} {v[-1]['gbps']:.1f} Gbit/s" for k, v in containers.items()))
    finally:
        for part in reversed(running):
            part.stop()
    return result(processes, containers, guests, lost, {**report.machine(), **steal.result(), "hugepages": hugepages})


def share(a, b):
    return round(a / b, 6) if b else 0.0


def row(system, where, nodes, frame, got, keys):
    """Medians, and the outer values of the rate."""
    out = {"system": system, "ends": where, "nodes": nodes, "frame": frame}
    for key in ("mpps", "gbps", "rtt_p50_us", "rtt_p99_us"):
        out[key] = round(report.spread([g[key] for g in got])["median"], 3) if key in keys else None
    out["lost"] = share(sum(g["lost"] for g in got), sum(g["sent"] for g in got)) if "lost" in keys else None
    rate = report.spread([g["gbps"] for g in got])
    if "tcp_rtt_p50_us" in got[0]:
        out["tcp_rtt_p50_us"] = report.spread([g["tcp_rtt_p50_us"] for g in got])["median"]
    return {**out, "gbps_min": round(rate["min"], 3), "gbps_max": round(rate["max"], 3), "rounds": rate["rounds"],
            **({"stalls_us": max(g["stalls_us"] for g in got)} if "stalls_us" in keys else {})}


def ratio(ours, theirs):
    """By round, then the median: what disturbed one round disturbed all that ran in it."""
    return round(report.spread([a / b for a, b in zip(ours, theirs)])["median"], 3)


def result(processes, containers, guests, lost, machine):
    rows = [row(name, "processes", nodes, frame, got, ("mpps", "gbps", "rtt_p50_us", "rtt_p99_us", "lost", "stalls_us"))
            for (name, nodes, frame), got in processes.items()]
    rows += [row(name, "containers", 2, vni_containers.MTU, got, ("gbps", "rtt_p50_us", "rtt_p99_us"))
             for name, got in containers.items()]
    rows += [row(name, "guests", 2, vni_guests.MTU, got, ("gbps", "rtt_p50_us", "rtt_p99_us")) for name, got in guests.items()]
    rows += [{"system": f"segment, {b}" if b != POOL else SEGMENT, "ends": "turns", "nodes": 16, "frame": 1518, "load": load,
              "slots_per_pair": slots, "lost": share(sum(g["lost"] for g in got), sum(g["offered"] for g in got)),
              "lost_of_others": share(sum(g["lost_others"] for g in got), sum(g["offered"] for g in got)),
              "used_at_loss": round(report.spread([g["used_at_loss"] for g in got])["median"], 4),
              "used_peak": max(g["used_peak"] for g in got), "rounds": len(got)} for (b, load, slots), got in lost.items()]

    def of(name, key, frame, nodes=2):
        return [g[key] for g in processes[name, nodes, frame]]

    def memif(key, frame, best):
        return [best(pair) for pair in zip(of(MEMIF, key, frame), of(MEMIF_ZERO_COPY, key, frame))]  # the stronger one of the round

    def tcp(name, ends=containers):
        return [g["gbps"] for g in ends[name]]

    def loss(buffers, load):
        return sum(g["lost"] for g in lost[buffers, load, EQUAL_MEMORY])

    def used(buffers):
        return max(g["used_peak"] for g in lost[buffers, "skewed", EQUAL_MEMORY])

    return {"bench": "vni", "machine": machine, "rows": rows, "ratios": {
        "vs_memif": ratio(of(SEGMENT, "mpps", 64), memif("mpps", 64, max)),
        "vs_memif_bytes_1518": ratio(of(SEGMENT, "gbps", 1518), memif("gbps", 1518, max)),
        "vs_memif_rtt": ratio(of(SEGMENT, "rtt_p50_us", 64), memif("rtt_p50_us", 64, min)),
        "vs_memif_copying_rtt": ratio(of(SEGMENT, "rtt_p50_us", 64), of(MEMIF, "rtt_p50_us", 64)),
        "vs_veth": ratio(tcp(vni_containers.SEGMENT), tcp(vni_containers.BRIDGE)),
        "vs_rtvswitchd_taps": ratio(tcp(vni_containers.SEGMENT), tcp(vni_containers.SWITCH)),
        "ivshmem_vs_e1000": ratio(tcp(vni_guests.IVSHMEM, guests), tcp(vni_guests.E1000, guests)),
        "processes_vs_veth": ratio(of(SEGMENT, "mpps", 64), of(VETH, "mpps", 64)),
        "processes_vs_rtvswitchd": ratio(of(SEGMENT, "mpps", 64), of(VHOST, "mpps", 64)),
        "pool_vs_separate_loss": share(loss(POOL, "skewed"), loss("separate", "skewed")),
        "pool_vs_separate_loss_even": share(loss(POOL, "even"), loss("separate", "even")),
        "pool_vs_separate_utilisation": ratio([used(POOL)], [used("separate")]),
    }}


def page(res):
    plots = []
    for frame, key, unit in ((64, "mpps", "Mpps"), (1518, "gbps", "Gbit/s"), (64, "rtt_p50_us", "us, log scale")):
        some = [r for r in res["rows"] if r["ends"] == "processes" and r["frame"] == frame]
        names = list(dict.fromkeys(r["system"] for r in some))
        groups = list(dict.fromkeys(f"{r['nodes']} nodes" for r in some))
        title = f"Processes, {frame} bytes, " + ("median round trip" if "rtt" in key else "one way")
        plots.append((title, report.bars(groups, names, {n: {f"{r['nodes']} nodes": r[key] for r in some if r["system"] == n} for n in names},
                                         title, unit, is_log="rtt" in key)))
    boxes = [r for r in res["rows"] if r["ends"] in ("containers", "guests")]
    names = list(dict.fromkeys(r["system"] for r in boxes))
    groups = list(dict.fromkeys(r["ends"] for r in boxes))
    plots.append(("TCP between containers and between guests", report.bars(
        groups, names, {n: {r["ends"]: r["gbps"] for r in boxes if r["system"] == n} for n in names}, "TCP", "Gbit/s, log scale",
        {n: {r["ends"]: (r["gbps_min"], r["gbps_max"]) for r in boxes if r["system"] == n} for n in names}, is_log=True)))
    turns = [r for r in res["rows"] if r["ends"] == "turns"]
    names = list(dict.fromkeys(r["system"] for r in turns))
    for load in dict.fromkeys(r["load"] for r in turns):
        some = [r for r in turns if r["load"] == load]
        groups = list(dict.fromkeys(f"{r['slots_per_pair']}" for r in some))
        plots.append((f"Lost at equal memory, {load} load", report.bars(
            groups, names, {n: {f"{r['slots_per_pair']}": 100 * r["lost"] for r in some if r["system"] == n} for n in names},
            f"Lost by bursts at equal memory, {load} load, by slots a pair of nodes", "% of frames", is_labelled=True)))
    return ("Ethernet over one pool in shared memory",
            "Frames between processes on two cores, which poll; TCP between containers and between guests; and what bursts lose between 16 nodes that share "
            "one pool, or have buffers for each pair, of the same size together. lost is a share of the frames that were sent; memif "
            "keeps what its ring has no room for. vs_memif compares with the stronger of memif's two ways in each round.", plots)
