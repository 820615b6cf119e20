# throughput: two guests on one core (gen.c), the switch with one worker on the other, both
# directions at once. rtvswitch with learning and spoof guard; testpmd io-forward on net_vhost,
# which looks nothing up; OVS-DPDK with its normal L2 action. rtvswitch runs again with the smallest
# frames: with deadlines, guaranteed rates and an egress rate on both ports; with packed rings; with
# packed rings used in order; with four queues a guest; with two workers. All and their generators
# are started once and frozen in turn, so that rounds alternate quickly.
import os

import report
import systems

SIZES = ("64", "256", "1518", "imix")
QUICK_SIZES = ("64", "1518", "imix")
FLOWS = (1, 1000)
# The egress rate is more than guests on one core reach: what costs is that there is one.
GUARANTEE = {"deadline": "2ms", "min_rate": "10Gbit", "burst": "1MB", "rate": "40Gbit"}
QUEUES = 4


class WithDeadlines(systems.Rtvswitch):
    name = "rtvswitch-deadlines"
    only = (("64", 1),)

    def __init__(self, core, build, hugepages):
        super().__init__(core, build, hugepages, port=GUARANTEE)


class Packed(systems.Rtvswitch):
    name = "rtvswitch-packed"
    only = (("64", 1),)
    rings = ("-p",)


class InOrder(Packed):
    """Its guests let the switch tell of many packets at once."""

    name = "rtvswitch-in-order"
    rings = ("-o",)


class FourQueues(systems.Rtvswitch):
    """Flows enough that each burst has frames for all queues."""

    name = "rtvswitch-4q"
    only = (("64", 1000),)
    queues = QUEUES

    def __init__(self, core, build, hugepages):
        super().__init__(core, build, hugepages, port={"queues": QUEUES})


class TwoWorkers(systems.Rtvswitch):
    """A port each. With two CPUs the second worker and the generator take turns on one."""

    name = "rtvswitch-2w"
    only = (("64", 1),)

    def __init__(self, core, build, hugepages):
        has_core = os.cpu_count() > 2
        super().__init__(f"{core},{2 if has_core else 0}", build, hugepages)
        if not has_core:
            self.reason = "two CPUs: the second worker shares the generator's"

    def calls(self):
        # At real-time priority a worker would leave the generator 6 % of a CPU that they share.
        yield {"method": "system.init", "params": {"worker_priority": "normal"}}
        yield from super().calls()


OURS = (systems.Rtvswitch, WithDeadlines, Packed, InOrder, FourQueues, TwoWorkers)


def pairs(build, hugepages):
    for make in OURS:
        yield lambda make=make: make(1, build, hugepages)
    yield lambda: systems.Testpmd(1, hugepages)
    yield lambda: systems.OvsDpdk(1, hugepages)


def start(make, build, hugepages, running):
    system = make()
    running.append(system)
    try:
        system.start()
        gen = systems.Generator(0, build, system.sockets(), hugepages, queues=getattr(system, "queues", 1),
                                rings=getattr(system, "rings", ()))
        running.append(gen)
        gen.start()
    except systems.Failed as e:
        raise systems.Failed(f"{system.name}: {e}\n{system.log_tail()}") from e
    return system, gen


def run(build, quick, rounds, say, hugepages=True):
    warmup, ms = (40, 150) if quick else (200, 1000)
    every = [(size, flows) for size in (QUICK_SIZES if quick else SIZES) for flows in FLOWS]
    running, couples, rows = [], [], {}
    steal = report.Steal()
    try:
        for make in pairs(build, hugepages):
            couple = start(make, build, hugepages, running)
            for part in couple:
                part.freeze()
            couples.append(couple)
            say(f"started {couple[0].name}")
        for n in range(rounds):
            say(f"round {n + 1} of {rounds}")
            for system, gen in couples:
                for part in (system, gen):
                    part.thaw()
                for size, flows in getattr(system, "only", every):
                    rows.setdefault((system.name, size, flows), []).append(gen.run(size, flows, warmup, ms))
                for part in (gen, system):
                    part.freeze()
    finally:
        for part in reversed(running):
            part.stop()
    reasons = {system.name: getattr(system, "reason", "") for system, _ in couples}
    return result(rows, reasons, steal, hugepages)


def result(rows, reasons, steal, hugepages):
    def vs(peer, size="64"):
        return report.ratio(rows["rtvswitch", size, 1], rows[peer, size, 1])

    def vs_plain(variant):
        return report.ratio(rows[variant.name, *variant.only[0]], rows["rtvswitch", "64", 1])

    return {"bench": "throughput",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages},
            "rows": [report.rate_row(got, reasons[name], system=name, frame=size, flows=flows)
                     for (name, size, flows), got in rows.items()],
            "ratios": {"vs_testpmd": vs("testpmd"), "vs_testpmd_1518": vs("testpmd", "1518"),
                       "vs_testpmd_imix": vs("testpmd", "imix"), "vs_ovs": vs("ovs-dpdk"),
                       "vs_ovs_1518": vs("ovs-dpdk", "1518"),
                       "deadlines_vs_plain": vs_plain(WithDeadlines), "packed_vs_split": vs_plain(Packed),
                       "in_order_vs_split": vs_plain(InOrder), "queues_4": vs_plain(FourQueues)}}


def page(res):
    plots = []
    for flows in FLOWS:
        some = [r for r in res["rows"] if r["flows"] == flows and r["counts"]]
        if not some:
            continue
        names = list(dict.fromkeys(r["system"] for r in some))
        values = {n: {r["frame"]: r["mpps"] for r in some if r["system"] == n} for n in names}
        ends = {n: {r["frame"]: (r["mpps_min"], r["mpps_max"]) for r in some if r["system"] == n} for n in names}
        title = "one flow" if flows == 1 else f"{flows} flows"
        sizes = list(dict.fromkeys(r["frame"] for r in some))
        plots.append((f"Both directions together, {title}",
                      report.bars(sizes, names, values, f"Throughput, {title}", "Mpps", ends)))
    return ("Throughput between two guests, one worker",
            "Frames per second, both directions together, that two guests on one core exchange through the switch on the "
            "other. The guests drive their rings themselves: they write each frame once and do not read what arrives. "
            "rtvswitch learns addresses and checks every frame's source; testpmd forwards blindly; OVS uses its normal L2 "
            "action. packed: packed rings; in-order: these with IN_ORDER; all others have split rings. 4q: four queues a guest; "
            "2w: two workers; deadlines: with an egress rate on both ports. A rate counts "
            "when generator_busy is below 0.9, so that the switch was the slower part; the others are in no ratio. Bars are "
            "medians, whiskers the lowest and highest round.", plots)
