# ports: what idle guests cost the others. One pair of guests exchanges frames on one core (gen.c).
# The switch has one worker on the other; 0 to 1,022 more guests are connected and send nothing.
# rtvswitch with learning and spoof guard runs beside OVS-DPDK with its normal L2 action. First the
# pair exchanges the smallest frames as fast as it can. Then one frame at a time is on its way: that
# tells the delay that the switch adds, and how long a turn of the worker takes. idle_ring.c
# measures one look at one idle ring, beside librte_vhost's.
import glob
import json
import os
import re
import statistics
import subprocess

import report
import systems

COUNTS = (2, 8, 64, 256, 1024)
QUICK_COUNTS = (2, 64, 256)
FEW, MANY = 2, 256  # of the ratios
READY_S = 60
POLLS = 200000  # of an idle ring, in each round


class Rtvswitch(systems.Rtvswitch):
    def __init__(self, n_ports, build, hugepages):
        super().__init__(1, build, hugepages)
        self.n_ports = n_ports

    def start(self):
        super().start()
        self.rpc = systems.Rpc(self.control)

    def n_up(self):
        return sum(p["link"] == "up" for p in self.rpc.call("port.list"))

    def turns(self):
        """Turns of the worker so far, and the ns that they took."""
        w = self.rpc.call("worker.list")[0]
        return w["turns"], w["cycles_total"] * 1e9 / w["tsc_hz"]


class OvsDpdk(systems.OvsDpdk):
    # Each has a device named ovs-netdev.
    inside = ["unshare", "--net"]

    def __init__(self, n_ports, _build, hugepages):
        super().__init__(1, hugepages)
        self.n_ports = n_ports

    def n_up(self):
        return self.run("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--no-headings", "--columns=name", "find", "interface",
                        "type=dpdkvhostuser", "link_state=up").count("vh")

    def turns(self):
        control = glob.glob(f"{self.dir}/ovs-vswitchd*.ctl")[0]
        text = self.run("ovs-appctl", "-t", control, "dpif-netdev/pmd-perf-show")
        return (int(re.search(r"Iterations: +(\d+)", text)[1]),
                float(re.search(r"Measurement duration: +([\d.]+)", text)[1]) * 1e9)


SYSTEMS = (Rtvswitch, OvsDpdk)


def start(make, n_ports, build, hugepages, running, **kw):
    system = make(n_ports, build, hugepages)
    running.append(system)
    system.start()
    gen = systems.Generator(0, build, system.sockets(), hugepages, n_active=2, **kw)
    running.append(gen)
    gen.start()
    systems.wait_for(f"links of {n_ports} guests", lambda: system.n_up() == n_ports, READY_S)
    return system, gen


def refusal(part):
    """The last thing that a switch or a generator says before it gives up."""
    lines = [line for line in part.log_tail().splitlines() if line.strip()]
    return f"refused: {lines[-1].replace(part.dir, '')}"


def measure(system, gen, warmup, ms):
    got = gen.run("64", 1, warmup, ms)
    n, ns = system.turns()
    got.update(gen.delay(ms))
    n_after, ns_after = system.turns()
    got["turn_ns"] = (ns_after - ns) / (n_after - n)
    return got


def measure_toggler(gen, is_first, warmup, ms):
    """Rates without and beside the guest that toggles, which is_first begins with."""
    got = {}
    for is_on in (is_first, not is_first):
        before = gen.toggle(is_on)
        got[is_on] = gen.run("64", 1, warmup, ms)
        got[is_on]["toggles"] = gen.toggle(False) - before
    if not got[True]["toggles"]:
        raise systems.Failed("the guest that toggles did nothing")
    return got[False], got[True]


def measure_polls(build, rounds):
    """ns of a look at an idle ring, a list of rounds for each back end."""
    done = subprocess.run(["taskset", "-c", "1", os.path.join(build, "test/perf/idle_ring"), str(rounds), str(POLLS)],
                          capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise systems.Failed(f"idle_ring: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def run(build, quick, rounds, say, hugepages=True):
    warmup, ms = (40, 150) if quick else (200, 1000)
    running, couples, got, refused, beside = [], {}, {}, {}, []
    steal = report.Steal()
    polls = measure_polls(build, rounds)
    try:
        for make in SYSTEMS:
            for n_ports in QUICK_COUNTS if quick else COUNTS:
                what, n_before = (make.name, n_ports), len(running)
                try:
                    couples[what] = start(make, n_ports, build, hugepages, running)
                except systems.Failed as e:
                    if n_ports <= MANY:
                        raise systems.Failed(f"{make.name}, {n_ports} ports: {e}\n{running[-1].log_tail()}") from e
                    refused[what] = refusal(running[-1])
                    say(f"{make.name}, {n_ports} ports: {refused[what]}")
                    while len(running) > n_before:
                        running.pop().stop()
                    continue
                for part in couples[what]:
                    part.freeze()
                say(f"started {make.name}, {n_ports} ports")
        toggled = start(Rtvswitch, 3, build, hugepages, running, has_toggler=True)
        for part in toggled:
            part.freeze()
        for n in range(rounds):
            say(f"round {n + 1} of {rounds}")
            for what, couple in couples.items():
                for part in couple:
                    part.thaw()
                got.setdefault(what, []).append(measure(*couple, warmup, ms))
                for part in reversed(couple):
                    part.freeze()
            for part in toggled:
                part.thaw()
            beside.append(measure_toggler(toggled[1], bool(n % 2), warmup, ms))
            for part in reversed(toggled):
                part.freeze()
    finally:
        for part in reversed(running):
            part.stop()
    return result(got, refused, beside, polls, steal, hugepages)


def result(got, refused, beside, polls, steal, hugepages):
    rows = []
    for (name, n_ports), g in got.items():
        row = report.rate_row(g, system=name, ports=n_ports)
        for key in ("turn_ns", "delay_p50_us", "delay_p99_us"):
            row[key] = round(report.spread([m[key] for m in g])["median"], 3)
        rows.append(row)
    rows += [{"system": name, "ports": n_ports, **dict.fromkeys(("mpps", "turn_ns", "delay_p50_us", "delay_p99_us")),
              "counts": False, "reason": reason} for (name, n_ports), reason in refused.items()]

    rows += [{"system": name, "ports": "one idle ring", "mpps": None, "poll_ns": round(report.spread(polls[key])["median"], 2)}
             for name, key in (("rtvswitch", "own_ns"), ("librte_vhost", "librte_ns"))]
    still, toggling = zip(*beside)
    rows.append({**report.rate_row(toggling, system="rtvswitch", ports="beside a guest that toggles"),
                 "toggles": statistics.median(g["toggles"] for g in toggling)})
    librte_ns = report.spread(polls["librte_ns"])["median"]
    turn = {n: report.spread([m["turn_ns"] for m in got["rtvswitch", n]])["median"] for n in (FEW, MANY)}

    def idle(name, key):
        return report.ratio(got[name, MANY], got[name, FEW], key)

    return {"bench": "ports",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages},
            "rows": rows,
            "ratios": {"idle_ring_vs_librte": round(statistics.median(a / b for a, b in zip(polls["own_ns"], polls["librte_ns"])), 3),
                       "idle_turn_vs_librte": round((turn[MANY] - turn[FEW]) / (MANY - FEW) / librte_ns, 3),
                       "idle_255_rate": idle("rtvswitch", "mpps"), "idle_255_delay": idle("rtvswitch", "delay_p50_us"),
                       "ovs_idle_255_rate": idle("ovs-dpdk", "mpps"), "ovs_idle_255_delay": idle("ovs-dpdk", "delay_p50_us"),
                       "rate_beside_toggler": report.ratio(toggling, still)}}


def page(res):
    rows = [r for r in res["rows"] if r["mpps"] is not None and isinstance(r["ports"], int)]
    names = list(dict.fromkeys(r["system"] for r in rows))
    counts = [str(n) for n in sorted({r["ports"] for r in rows})]
    plots = []
    for title, key, unit in (("Rate of the active pair", "mpps", "Mpps"),
                             ("Added delay of a single frame, median", "delay_p50_us", "us"),
                             ("A turn of the worker", "turn_ns", "ns")):
        values = {n: {str(r["ports"]): r[key] for r in rows if r["system"] == n} for n in names}
        plots.append((title, report.bars(counts, names, values, f"{title}, by connected ports", unit)))
    return ("One pair of guests beside idle ones",
            "Two guests on one core exchange frames through the switch, which has one worker on the other; all other guests "
            "are connected and send nothing. mpps: 64-byte frames as fast as the pair can, both directions together. Delay "
            "and turn_ns: one frame at a time, sent at any time of the worker's turn. Ratios are 256 ports against 2. "
            "poll_ns: one look at one idle ring. idle_ring_vs_librte compares that with librte_vhost's. idle_turn_vs_librte is what "
            "an idle guest adds to a turn of rtvswitch's worker, which looks at most of them seldom, in looks of librte_vhost's. "
            "rate_beside_toggler: the pair's rate beside a guest that takes its rings, memory and interrupts away and back all the "
            "time, by the rate beside the same guest when it does nothing.",
            plots)
