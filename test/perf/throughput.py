# throughput: two DPDK virtio-user guests on one core, the switch with one worker on the other, both
# directions at once. rtvswitch with learning and spoof guard; testpmd io-forward on net_vhost,
# which looks nothing up; OVS-DPDK with its normal L2 action. rtvswitch once more with deadlines and
# guaranteed rates on both ports, smallest frames. All and their generators are started once and
# frozen in turn, so that rounds alternate quickly.
import report
import systems

SIZES = ("64", "256", "1518", "imix")
FLOWS = (1, 1000)


GUARANTEE = {"deadline": "2ms", "min_rate": "10Gbit", "burst": "1MB"}


class WithDeadlines(systems.Rtvswitch):
    name = "rtvswitch-deadlines"

    def __init__(self, core, build, hugepages):
        super().__init__(core, build, hugepages, port=GUARANTEE)


def pairs(build, hugepages):
    for make in (lambda: systems.Rtvswitch(1, build, hugepages), lambda: WithDeadlines(1, build, hugepages), lambda: systems.Testpmd(1, hugepages),
                 lambda: systems.OvsDpdk(1, hugepages)):
        yield make


def start(make, build, hugepages, running):
    system = make()
    running.append(system)
    try:
        system.start()
        gen = systems.Generator(0, build, system.sockets(), hugepages)
        running.append(gen)
        gen.start()
    except systems.Failed as e:
        raise systems.Failed(f"{system.name}: {e}\n{system.log_tail()}") from e
    return system, gen


def run(build, quick, rounds, say, hugepages=True):
    warmup, ms = (40, 150) if quick else (200, 1000)
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
                for size in SIZES:
                    for flows in FLOWS:
                        if isinstance(system, WithDeadlines) and (size, flows) != ("64", 1):
                            continue
                        got = gen.run(size, flows, warmup, ms)
                        rows.setdefault((system.name, size, flows), []).append(got)
                for part in (gen, system):
                    part.freeze()
    finally:
        for part in reversed(running):
            part.stop()
    return result(rows, steal, hugepages)


def result(rows, steal, hugepages):
    out = []
    for (name, size, flows), got in rows.items():
        s = report.spread([g["mpps"] for g in got])
        out.append({"system": name, "frame": size, "flows": flows, "mpps": round(s["median"], 3),
                    "mpps_min": round(s["min"], 3), "mpps_max": round(s["max"], 3), "rounds": s["rounds"],
                    "generator_busy": round(report.spread([g["busy"] for g in got])["median"], 3),
                    "generator_limit_mpps": round(report.spread([g["limit_mpps"] for g in got])["median"], 3)})

    def ratio(peer):
        # By round, then the median: what disturbed one round disturbed both systems of it.
        ours, theirs = rows[("rtvswitch", "64", 1)], rows[(peer, "64", 1)]
        return round(report.spread([a["mpps"] / b["mpps"] for a, b in zip(ours, theirs)])["median"], 3)

    return {"bench": "throughput",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages},
            "rows": out,
            "ratios": {"vs_testpmd": ratio("testpmd"), "vs_ovs": ratio("ovs-dpdk"),
                       "deadlines_vs_plain": round(1 / ratio(WithDeadlines.name), 3)}}


def page(res):
    plots = []
    names = list(dict.fromkeys(r["system"] for r in res["rows"]))
    for flows in FLOWS:
        some = [r for r in res["rows"] if r["flows"] == flows]
        values = {n: {r["frame"]: r["mpps"] for r in some if r["system"] == n} for n in names}
        ends = {n: {r["frame"]: (r["mpps_min"], r["mpps_max"]) for r in some if r["system"] == n} for n in names}
        title = "one flow" if flows == 1 else f"{flows} flows"
        plots.append((f"Both directions together, {title}",
                      report.bars(list(SIZES), names, values, f"Throughput, {title}", "Mpps", ends)))
    return ("Throughput between two guests, one worker",
            "Frames per second, both directions together, that two DPDK guests on one core exchange through the switch "
            "on the other. rtvswitch learns addresses and checks every frame's source; testpmd forwards blindly; OVS "
            "uses its normal L2 action. generator_busy below 1 means that the switch was the slower part; bars are medians, "
            "whiskers the lowest and highest round.", plots)
