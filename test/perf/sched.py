# sched: ns of a packet through the scheduler, enqueue and dequeue, in one program (sched_bench.c).
# Ours and DPDK's rte_sched get the same packets in turns; the queue of deadlines inside ours is
# compared with other structures. Logic without devices: one core, no guests.
import json
import os
import subprocess

import report
import systems

BURST = 8


def run(build, quick, rounds, say, hugepages=True):
    core = os.cpu_count() - 1
    steal = report.Steal()
    got, queues = {}, {}
    memory = systems.EAL_MEMORY if hugepages else ["--no-huge", "--no-shconf"]
    p = subprocess.Popen([os.path.join(build, "test/perf/sched_bench"), *memory, "-m", "1024", "--no-pci", "--no-telemetry",
                          "--log-level=lib.eal:error", f"--lcores=0@{core}", "--", str(rounds),
                          "50" if quick else "300"], stdout=subprocess.PIPE, text=True)
    try:
        for line in p.stdout:
            row = json.loads(line)
            if "queue" in row:
                queues.setdefault((row["queue"], row["flows"]), []).append(row["ns"])
                continue
            got.setdefault((row["system"], row["flows"], row["backlog"]), []).append(row["ns"])
            if row["system"] == "rte_sched":
                ours = got["rtvswitch", row["flows"], row["backlog"]][-1]
                say(f"{row['flows']} flows, {row['backlog']} queued: rtvswitch {ours:.0f} ns, rte_sched {row['ns']:.0f} ns")
        if p.wait():
            raise systems.Failed("sched_bench failed")
    finally:
        p.kill()

    def rows_of(values):
        s = report.spread(values)
        return {"ns_per_packet": round(s["median"], 1), "ns_min": round(s["min"], 1), "ns_max": round(s["max"], 1),
                "rounds": s["rounds"]}

    rows = [{"system": name, "flows": flows, "backlog": backlog, **rows_of(v)} for (name, flows, backlog), v in got.items()]
    rows += [{"system": f"queue: {name}", "flows": flows, "backlog": flows, **rows_of(v)}
             for (name, flows), v in queues.items()]

    def ratio(flows, backlog=0):
        pairs = zip(got["rtvswitch", flows, backlog], got["rte_sched", flows, backlog])
        return round(report.spread([a / b for a, b in pairs])["median"], 3)

    return {"bench": "sched",
            "machine": {**report.machine(), **steal.result(), "burst": BURST},
            "rows": rows,
            "ratios": {"flows_64": ratio(64), "flows_4096": ratio(4096),
                       "flows_64_backlog": ratio(64, 8192), "flows_4096_backlog": ratio(4096, 8192)}}


def page(res):
    def bars(rows, title):
        names = list(dict.fromkeys(r["system"] for r in rows))
        groups = list(dict.fromkeys(str(r["flows"]) for r in rows))
        values = {n: {str(r["flows"]): r["ns_per_packet"] for r in rows if r["system"] == n} for n in names}
        ends = {n: {str(r["flows"]): (r["ns_min"], r["ns_max"]) for r in rows if r["system"] == n} for n in names}
        return report.bars(groups, names, values, title, "ns (log scale)", ends, is_log=True)

    schedulers = [r for r in res["rows"] if not r["system"].startswith("queue")]
    plots = [("Near empty: bursts of 8", bars([r for r in schedulers if not r["backlog"]], "Scheduler, nearly empty, by flows")),
             ("8,192 packets queued", bars([r for r in schedulers if r["backlog"]], "Scheduler, 8,192 packets queued, by flows")),
             ("Queues of deadlines", bars([r for r in res["rows"] if r["system"].startswith("queue")],
                                          "Taking the earliest and putting one, by number queued"))]
    return ("Cost of a packet in the scheduler",
            "Nanoseconds for one packet's enqueue and dequeue on one core. Ours keeps exact deadlines and token buckets for every "
            "flow; a flow is a pipe of DPDK's rte_sched, which keeps token buckets and strict classes. Nearly empty: eight packets of "
            "random flows come and are taken. The queues below hold as many flows as the axis says; buckets of 1 us are not exact.",
            plots)
