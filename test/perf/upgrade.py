# upgrade: the daemon hands its guests to another process (rtvsctl system upgrade) under traffic.
# Pairs of guests (handover.c) stand for each combination of socket mode, ring layout and number of
# queues; they number their frames. A gap is the longest time that one guest waited for a frame
# around one hand-over, as it saw it. The loads: `flood`, each pair with 128 frames on their way at
# all times; `10kpps`, 10,000 frames a second from each guest; `tcp`, a connection of the kernel's
# TCP for each pair, 5 Mbit/s both ways (handover_tcp.c), whose `sent` and `lost` are segments;
# `deadline`, 10kpps from ports with a deadline and a guaranteed rate to ports with a rate.
# `restart` is 10kpps with a daemon that is killed and started again; what is lost then is no
# finding.
#
# With two processors for guests, daemon, and the program that starts, a guest would wait for the
# processor longer than for the daemon. The guests' thread therefore has real-time priority, and
# naps between its turns; stall_p99_ms is how long it did not run for all that.
import json
import math
import os
import select
import signal
import subprocess
import time

import report
import systems

PAIRS = [(mode, ring, queues) for mode in ("connect", "listen") for ring in ("split", "packed") for queues in (1, 4)]
RATE = ["handover", "--pps", "10000"]
LOADS = {"flood": ["handover", "--window", "128"], "10kpps": RATE, "tcp": ["handover_tcp", "--mbit", "5"], "deadline": RATE, "restart": RATE}
PORT = {"deadline": {"deadline": "2ms", "min_rate": "10Mbit", "rate": "1Gbit"}}
UPGRADES, QUICK_UPGRADES = 1000, 20
QUICK_S = 7  # of a load, at most
RESTARTS, QUICK_RESTARTS = 50, 5
AROUND_S = 0.02  # of traffic, before and after
START_S = 20
SAY_EVERY = 50


class Daemon(systems.Rtvswitch):
    """One bridge a pair. It shares the processors with the guests, so it sleeps when idle."""

    parent = "/dev/shm"  # a tmpfs, as /run: beside its socket the daemon keeps where packed rings stand

    def __init__(self, core, build, hugepages, load):
        super().__init__(core, build, hugepages)
        self.more = PORT.get(load, {})
        self.fd = -1  # of the process that has the guests

    def guests(self):
        """As handover.c wants them."""
        return [f"{self.dir}/s{side}-{k},{'listen' if mode == 'connect' else 'connect'},{ring},{queues},"
                f"52:54:00:00:{side:02x}:{k:02x}" for k, (mode, ring, queues) in enumerate(PAIRS) for side in range(2)]

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        for k, (mode, ring, queues) in enumerate(PAIRS):
            yield {"method": "bridge.add", "params": {"name": f"br{k}"}}
            for side in range(2):
                yield {"method": "port.add",
                       "params": {"name": f"p{side}-{k}", "bridge": f"br{k}", "mode": mode, "queues": queues,
                                  "socket": f"{self.dir}/s{side}-{k}", "packed": ring == "packed", **self.more}}

    def start(self):
        self.follow(super().start().pid)
        self.rpc = systems.Rpc(self.control)

    def follow(self, pid):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = os.pidfd_open(pid)

    def upgrade(self):
        """What the daemon says of it: the process that ends then, so that the next one has another connection."""
        got = self.rpc.call("system.upgrade")
        self.follow(got["pid"])
        self.rpc = systems.Rpc(self.control)
        return got

    def drops(self):
        """By reason, of all ports."""
        found = {}
        for port in self.rpc.call("stats.drops"):
            for drop in port["drops"]:
                found[drop["reason"]] = found.get(drop["reason"], 0) + drop["count"]
        return found

    def end(self, number):
        signal.pidfd_send_signal(self.fd, number)
        if not select.select([self.fd], [], [], 5)[0]:
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)
            select.select([self.fd], [], [], 5)

    def restart(self):
        self.end(signal.SIGKILL)
        os.unlink(self.control)
        self.start()
        systems.wait_for("delivery after a restart", lambda: all(p["tx_pkts"] for p in self.rpc.call("stats.get")["ports"]),
                         START_S)

    def stop(self):
        if self.fd >= 0:
            try:
                self.end(signal.SIGTERM)
            except ProcessLookupError:
                pass
            os.close(self.fd)
        super().stop()


class Guests(systems.System):
    name = "handover"

    def __init__(self, build, load, ends):
        super().__init__(0)
        program, *load_args = LOADS[load]
        self.args = ["chrt", "-f", "1", "taskset", "-c", str(self.core), os.path.join(build, "test/perf", program), *load_args, *ends]

    def start(self):
        with open(os.path.join(self.dir, "handover.log"), "w") as log:
            self.p = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                      start_new_session=True)
        self.processes.append(self.p)
        self.reply()
        end = time.monotonic() + START_S
        while True:
            got = self.during(lambda: None)[1]
            if not got["silent"] and not got["lost"]:
                break
            if time.monotonic() > end:
                raise systems.Failed(f"{got['silent']} guests receive nothing, {got['lost']} frames are lost")

    def reply(self):
        line = self.p.stdout.readline()
        if not line:
            raise systems.Failed(f"handover ended\n{self.log_tail()}")
        return json.loads(line)

    def during(self, what):
        """What it returned, and what guests saw meanwhile."""
        print("begin", file=self.p.stdin, flush=True)
        time.sleep(AROUND_S)
        said = what()
        time.sleep(AROUND_S)
        print("end", file=self.p.stdin, flush=True)
        return said, self.reply()


def measure(build, load, n, seconds, hugepages, say):
    """Of each hand-over, or restart: what the daemon said, and what guests saw. And what the daemon dropped."""
    daemon = Daemon(os.cpu_count() - 1, build, hugepages, load)
    guests = Guests(build, load, daemon.guests())
    got = []
    try:
        daemon.start()
        guests.start()
        dropped = daemon.drops()
        until = time.monotonic() + seconds
        while len(got) < n and time.monotonic() < until:
            got.append(guests.during(daemon.restart if load == "restart" else daemon.upgrade))
            if load != "restart" and got[-1][1]["lost"]:
                say(f"{load}: hand-over {len(got)} lost {where(got[-1:])}")
            if len(got) % SAY_EVERY == 0:
                say(f"{load}: {len(got)} of {n}, longest gap so far {quantile(gaps(got), 1)} ms")
        say(f"{load}: {len(got)} done, longest gap {quantile(gaps(got), 1)} ms")
        drops = {reason: count - dropped.get(reason, 0) for reason, count in daemon.drops().items()}
    finally:
        guests.stop()
        daemon.stop()
    return got, {reason: count for reason, count in drops.items() if count > 0}


def where(got):
    """By pair, the frames that were lost."""
    lost = [sum(seen["lost_of"][2 * k] + seen["lost_of"][2 * k + 1] for _, seen in got) for k in range(len(PAIRS))]
    return ", ".join(f"{mode} {ring} {queues}q: {n}" for (mode, ring, queues), n in zip(PAIRS, lost) if n)


def gaps(got):
    """ms, of all receivers."""
    return [gap / 1e6 for _, seen in got for gap in seen["gap_ns"]]


def quantile(values, q):
    return round(sorted(values)[min(len(values) - 1, int(q * len(values)))], 2)


def run(build, quick, rounds, say, hugepages=True):
    steal = report.Steal()
    got = {}
    for load in LOADS:
        full, short = (RESTARTS, QUICK_RESTARTS) if load == "restart" else (UPGRADES, QUICK_UPGRADES)
        got[load] = measure(build, load, short if quick else max(full, rounds), QUICK_S if quick else math.inf, hugepages, say)
    return result(got, {**report.machine(), **steal.result(), "hugepages": hugepages, "ports": 2 * len(PAIRS)})


def row(load, got, drops):
    is_restart = load == "restart"
    total = {key: sum(seen[key] for _, seen in got) for key in ("sent", "lost", "duplicated", "reordered")}
    return {"load": load, "upgrades": 0 if is_restart else len(got), "restarts": len(got) if is_restart else 0, **total,
            **{f"gap_{name}_ms": quantile(gaps(got), q) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1))},
            "daemon_gap_p50_ms": None if is_restart else quantile([said["gap_ns"] / 1e6 for said, _ in got], 0.5),
            "stall_p99_ms": quantile([seen["stall_ns"] / 1e6 for _, seen in got], 0.99),
            "lost_where": where(got), "dropped": "" if is_restart else ", ".join(f"{reason}: {n}" for reason, n in drops.items())}


def result(got, machine):
    rows = {load: row(load, *of) for load, of in got.items()}
    return {"bench": "upgrade", "machine": machine, "rows": list(rows.values()),
            "ratios": {"lost": sum(r["lost"] for load, r in rows.items() if load != "restart"),
                       "gap_vs_restart": round(rows["10kpps"]["gap_p99_ms"] / rows["restart"]["gap_p50_ms"], 4)}}


def page(res):
    loads = [r["load"] for r in res["rows"]]
    names = ("p50", "p99", "max")
    values = {n: {r["load"]: r[f"gap_{n}_ms"] for r in res["rows"]} for n in names}
    return ("The daemon replaced under traffic",
            "While guests exchange numbered frames, the daemon hands them to another process; in the last case it is "
            "killed and started again. A gap is the longest time that one guest waited for a frame, of all guests "
            "and hand-overs; dropped is what the daemon dropped, by its reasons. "
            "gap_vs_restart: p99 of 10kpps by the median of restarts.",
            [("The longest time without a frame",
              report.bars(loads, names, values, "Around each hand-over", "ms", is_log=True, is_labelled=True))])
