# footprint: the memory and time of an idle switch with four guests on vhost-user ports at MTU 1500.
# Resident memory, hugepages included, and processor time, of the daemon that moves packets.
# rtvswitch has plain pages, 2 MB and 1 GB pages, and its workers sleep when idle; OVS-DPDK has its
# defaults, and polls.
import os
import time

import report
import systems

SIZES = {"2 MB": 2048, "1 GB": 1048576}
IDLE_PERCENT = "idle_percent"


class Rtvswitch(systems.Rtvswitch):
    n_ports = 4

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        yield from super().calls()


class OvsDpdk(systems.OvsDpdk):
    n_ports = 4
    socket_mem = []


class Hugepages:
    """Exactly the pages that a system shall find; what the machine had comes back."""

    def __init__(self):
        self.had = {kb: self.get(kb) for kb in SIZES.values()}

    @staticmethod
    def path(kb):
        return f"/sys/kernel/mm/hugepages/hugepages-{kb}kB/nr_hugepages"

    def get(self, kb):
        try:
            with open(self.path(kb)) as f:
                return int(f.read())
        except OSError:
            return 0

    def set(self, kb, n):
        try:
            with open(self.path(kb), "w") as f:
                f.write(str(n))
        except OSError:
            pass
        return self.get(kb) >= n

    def only(self, size, megabytes):
        """False: the machine has none to spare."""
        for kb in SIZES.values():
            self.set(kb, 0)
        return not size or self.set(SIZES[size], -(-megabytes * 1024 // SIZES[size]))

    def restore(self):
        for kb, n in self.had.items():
            self.set(kb, n)


def memory_mb(pid):
    with open(f"/proc/{pid}/status") as f:
        kb = {line.split(":")[0]: int(line.split()[1]) for line in f if line.startswith(("VmRSS", "HugetlbPages"))}
    return sum(kb.values()) / 1024


def cpu_seconds(pid):
    ns = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as f:
            ns += int(f.read().split()[0])
    return ns / 1e9


def measure(system, build, seconds):
    guests = None
    try:
        pid = system.start().pid
        guests = systems.Generator(0, build, system.sockets(), hugepages=False, n_active=0)
        guests.start()
        guests.freeze()
        time.sleep(0.2)
        begin, used = time.monotonic(), cpu_seconds(pid)
        time.sleep(seconds)
        used = cpu_seconds(pid) - used
        return {"memory_mb": memory_mb(pid), IDLE_PERCENT: 100 * used / (time.monotonic() - begin)}
    finally:
        if guests:
            guests.stop()
        system.stop()


def run(build, quick, rounds, say, hugepages=True):
    core = os.cpu_count() - 1
    steal = report.Steal()
    pages = Hugepages()
    cases = [("rtvswitch", "none", lambda: Rtvswitch(core, build, False, guard=False))]
    if hugepages:
        cases += [("rtvswitch", size, lambda: Rtvswitch(core, build, guard=False)) for size in SIZES]
    cases.append(("ovs-dpdk", "2 MB" if hugepages else "none", lambda: OvsDpdk(core, hugepages)))
    got = {case[:2]: [] for case in cases}
    try:
        for n in range(rounds):
            for name, size, make in cases:
                if pages.only(size if size != "none" else None, 1400 if name == "ovs-dpdk" else 128):
                    got[name, size].append(measure(make(), build, 0.3 if quick else 5))
            say(f"round {n + 1} of {rounds}: " + ", ".join(
                f"{name} {size} pages {g[-1]['memory_mb']:.0f} MB {g[-1][IDLE_PERCENT]:.1f} %" if g else
                f"{name}: no {size} pages to spare" for (name, size), g in got.items()))
    finally:
        pages.restore()
    return result(got, {**report.machine(), **steal.result(), "hugepages": hugepages})


def result(got, machine):
    rows = []
    for (name, size), values in got.items():
        if not values:
            continue
        memory = report.spread([v["memory_mb"] for v in values])
        idle = report.spread([v[IDLE_PERCENT] for v in values])
        rows.append({"system": name, "pages": size, "ports": 4, "memory_mb": round(memory["median"], 1),
                     "memory_mb_max": round(memory["max"], 1), IDLE_PERCENT: round(idle["median"], 2),
                     "idle_percent_max": round(idle["max"], 2), "rounds": memory["rounds"]})
    # One page of 1 GB is the least that exists of them.
    ours = [r for r in rows if r["system"] == "rtvswitch" and r["pages"] != "1 GB"]
    peer = [r for r in rows if r["system"] == "ovs-dpdk"]
    return {"bench": "footprint",
            "machine": machine,
            "rows": rows,
            "ratios": {"memory_vs_ovs": round(max(r["memory_mb"] for r in ours) / peer[0]["memory_mb"], 3)
                       if peer else None,
                       "memory_mb": max(r["memory_mb"] for r in ours),
                       "rss_4_ports_mb": next((r["memory_mb"] for r in ours if r["pages"] == "2 MB"), None),
                       IDLE_PERCENT: max(r[IDLE_PERCENT] for r in ours)}}


def page(res):
    groups = [f"{r['system']}, {r['pages']}" for r in res["rows"]]
    plots = [(title, report.bars(groups, [key], {key: dict(zip(groups, [r[key] for r in res["rows"]]))}, title, unit))
             for title, key, unit in (("Memory with four ports", "memory_mb", "MB"),
                                      ("Processor use without traffic", IDLE_PERCENT, "% of a core"))]
    return ("Memory and idle processor time",
            "Resident memory, hugepages included, and processor time of the packet-moving daemon with four guests on "
            "vhost-user ports at MTU 1500 and no traffic. The second word is the page size of packet memory. rtvswitch runs with "
            "idle=adaptive; OVS-DPDK with its defaults, which poll all the time.", plots)
