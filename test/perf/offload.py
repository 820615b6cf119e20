# offload: what switching rules cost the switch, and what they spare a guest whose own switch they
# are (pods.py, after this one). Two guests on one core (gen.c), the switch with one worker on
# the other, both directions at once, 64-byte frames. Both ports have the same rules, none of which
# but the last one matches, so that each search looks at all combinations of fields (masks). Systems
# and their generators are started once and frozen in turn, so that rounds alternate quickly.
import ipaddress

import pods
import report
import systems
from throughput import start

RULES = ((0, 0), (16, 1), (16, 8), (1024, 1), (1024, 8), (1024, 32))
QUICK_RULES = ((0, 0), (1024, 8), (1024, 32))
FLOWS = (1, 1000)
BASE = "rtvswitch"


def rules(n, n_masks):
    """The last one, and others of prefixes that no frame has, n_masks of different length."""
    lengths = [32 - i for i in range(n_masks - 1)] or [32]
    for i in range(n - 1):
        length = lengths[i % len(lengths)]
        network = ipaddress.ip_network((0xf0000000 + (i // len(lengths) << 32 - length) % (1 << 28), length), strict=False)
        yield f"priority={100 + i % len(lengths)},udp,nw_dst={network},tp_dst={i % 65536},actions=drop"
    yield "priority=0,actions=allow"


class WithRules(systems.Rtvswitch):
    def __init__(self, core, build, hugepages, n_rules, n_masks):
        super().__init__(core, build, hugepages)
        self.n_rules, self.n_masks = n_rules, n_masks
        if n_rules:
            self.name = f"rtvswitch-{n_rules}-rules-{n_masks}-masks"

    def calls(self):
        yield from super().calls()
        for port in ("vm0", "vm1"):
            for rule in rules(self.n_rules, self.n_masks) if self.n_rules else ():
                yield {"method": "rule.add", "params": {"port": port, "rule": rule}}


def run(build, quick, rounds, say, hugepages=True):
    steal = report.Steal()
    running = []
    try:
        rows = run_rules(build, quick, rounds, say, hugepages, running)
    finally:
        stop_all(running)
    try:
        of_pods, guest = pods.run(build, quick, rounds, say, hugepages, running)
    finally:
        stop_all(running)
    return result(rows, of_pods, {**guest, **steal.result(), "hugepages": hugepages})


def stop_all(running):
    while running:
        running.pop().stop()


def run_rules(build, quick, rounds, say, hugepages, running):
    warmup, ms = (40, 150) if quick else (200, 1000)
    couples, rows = [], {}
    for n_rules, n_masks in QUICK_RULES if quick else RULES:
        couple = start(lambda: WithRules(1, build, hugepages, n_rules, n_masks), build, hugepages, running)
        for part in couple:
            part.freeze()
        couples.append(couple)
        say(f"started {couple[0].name}")
    for n in range(rounds):
        say(f"round {n + 1} of {rounds}")
        for system, gen in couples:
            for part in (system, gen):
                part.thaw()
            for flows in FLOWS:
                rows.setdefault((system.name, system.n_rules, system.n_masks, flows), []).append(
                    gen.run("64", flows, warmup, ms))
            for part in (gen, system):
                part.freeze()
    return rows


def result(rows, of_pods, machine):
    def of(n_rules, n_masks, flows):
        return next(got for (_, r, m, f), got in rows.items() if (r, m, f) == (n_rules, n_masks, flows))

    pod_rows, pod_ratios = pods.result(of_pods)
    return {"bench": "offload",
            "machine": {**report.machine(), **machine},
            "rows": [*pod_rows, *(report.rate_row(got, "", system=name, rules=n_rules, masks=n_masks, flows=flows)
                                  for (name, n_rules, n_masks, flows), got in rows.items())],
            "ratios": {**pod_ratios, "rules_1024_vs_0": report.ratio(of(1024, 8, 1), of(0, 0, 1)),
                       "rules_1024_vs_0_1000_flows": report.ratio(of(1024, 8, 1000), of(0, 0, 1000))}}


def page(res):
    measured = {(row["rules"], row["masks"]) for row in res["rows"] if "rules" in row}
    kinds = [kind for kind in RULES if kind in measured]
    names = [f"{r} rules, {m} masks" if r else "no rules" for r, m in kinds]
    flows = [f"{f} flows" if f > 1 else "one flow" for f in FLOWS]
    by_name = {n: [row for row in res["rows"] if (row.get("rules"), row.get("masks")) == key] for n, key in zip(names, kinds)}
    values = {n: {f: row["mpps"] for f, row in zip(flows, by_name[n])} for n in names}
    ends = {n: {f: (row["mpps_min"], row["mpps_max"]) for f, row in zip(flows, by_name[n])} for n in names}
    return ("What switching rules cost",
            "64-byte frames per second, both directions together, that two guests on one core exchange through the switch "
            "on the other. Each frame is judged by the rules of its port; only the last rule matches, so that a search looks "
            "at all combinations of fields (masks). Then one guest with pods, which talk to a client outside of it: behind "
            "iptables as Kubernetes and Calico have them, behind Open vSwitch, and on virtual functions. "
            "Bars are medians, whiskers the lowest and highest round.",
            [("Rate by number of rules", report.bars(flows, names, values, "Rules", "Mpps", ends)), *pods.plots(res["rows"])])
