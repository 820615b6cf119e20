# restart: the daemon is killed with -9 under traffic and started again, with two real guests (Linux
# in QEMU). They have a pair of NICs for every combination of socket mode, ring layout and number of
# queues. The time of a pair is from the daemon's exec until packets were delivered in both
# directions. Recovered means that a ping afterwards is answered: QEMU takes the link down
# meanwhile, and Linux looks at such changes once a second at most.
import os
import signal
import statistics
import time

import report
import systems

CASES = [(mode, ring, queues) for mode in ("connect", "listen") for ring in ("split", "packed") for queues in (1, 2)]
RECOVERY_S = 15


def mac(side, k):
    return f"52:54:00:00:{side:02x}:{k:02x}"


class Guests(systems.Guests):
    """Two of them; `start` blocks until both have a shell."""

    def start(self):
        for side in range(2):
            options = ["mem=320", "cpus=2"]
            for k, (mode, ring, queues) in enumerate(CASES):
                options += [f"nic={self.dir}/s{side}-{k}", f"mac={mac(side, k)}", f"queues={queues}",
                            f"mode={'server' if mode == 'connect' else 'client'}",
                            f"packed={'on' if ring == 'packed' else 'off'}"]
            self.boot(f"g{side}", *options)
        for side in range(2):
            self.wait(f"g{side}")
            self.run(side, "; ".join(
                f"n=$(basename $(dirname $(grep -l {mac(side, k)} /sys/class/net/*/address)));"
                f" ethtool -L $n combined {queues} >/dev/null 2>&1;"
                f" ip addr add 10.9.{k}.{side + 1}/24 dev $n; ip link set $n up"
                for k, (_, _, queues) in enumerate(CASES)))

    def run(self, side, command, timeout=60):
        return super().run(f"g{side}", command, timeout)


class Daemon(systems.Rtvswitch):
    """One bridge a pair of NICs. Shares the processors with the guests, so it sleeps when idle."""

    def __init__(self, core, build, hugepages, guests):
        super().__init__(core, build, hugepages)
        self.guests = guests

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        for k, (mode, ring, queues) in enumerate(CASES):
            yield {"method": "bridge.add", "params": {"name": f"br{k}"}}
            for side in range(2):
                yield {"method": "port.add",
                       "params": {"name": f"p{side}-{k}", "bridge": f"br{k}", "mode": mode, "queues": queues,
                                  "socket": f"{self.guests.dir}/s{side}-{k}", "packed": ring == "packed"}}


def wait_links(daemon, seconds):
    rpc = systems.Rpc(daemon.control)
    systems.wait_for("all links", lambda: all(p["link"] == "up" for p in rpc.call("port.list")), seconds)


def watch_recovery(daemon, begin):
    """Seconds after `begin` at which each pair had delivered in both directions; None where it did not."""
    found = {}
    while not os.path.exists(daemon.control) and time.monotonic() - begin < RECOVERY_S:
        time.sleep(0.001)
    rpc = systems.Rpc(daemon.control)
    while len(found) < len(CASES) and time.monotonic() - begin < RECOVERY_S:
        ports = {p["port"]: p for p in rpc.call("stats.get")["ports"]}
        now = time.monotonic() - begin
        for k in range(len(CASES)):
            if k not in found and all(ports[f"p{side}-{k}"]["tx_pkts"] for side in range(2)):
                found[k] = now
        time.sleep(0.001)
    return [found.get(k) for k in range(len(CASES))]


def run(build, quick, rounds, say, hugepages=True):
    n_kills = rounds if quick else max(20, rounds)
    steal = report.Steal()
    guests = Guests(0)
    daemon = Daemon(os.cpu_count() - 1, build, hugepages, guests)
    times = [[] for _ in CASES]
    recovered = [0] * len(CASES)
    try:
        process = daemon.start()
        guests.start()
        say("guests are up")
        wait_links(daemon, 60)
        for k in range(len(CASES)):
            guests.run(0, f"ping -q -i 0.01 10.9.{k}.2 >/dev/null 2>&1 &")
            guests.run(1, f"ping -q -i 0.01 10.9.{k}.1 >/dev/null 2>&1 &")
        for n in range(n_kills):
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            daemon.processes.remove(process)
            os.unlink(daemon.control)
            begin = time.monotonic()
            process = daemon.start()
            for k, t in enumerate(watch_recovery(daemon, begin)):
                if t is not None:
                    times[k].append(t * 1000)
            _, out = guests.run(0, " ".join(
                f"{{ ping -q -c 1 -i 0.1 -w {RECOVERY_S} 10.9.{k}.2 >/dev/null && echo ok{k}; }} &" for k in range(len(CASES)))
                + " wait $(jobs -p | tail -n %d)" % len(CASES))
            for k in range(len(CASES)):
                recovered[k] += f"ok{k}\n" in out
            say(f"restart {n + 1} of {n_kills}: " + " ".join(f"{t[-1]:.0f}" if t else "-" for t in times) + " ms")
    finally:
        guests.stop()
        daemon.stop()
    rows = [{"mode": mode, "ring": ring, "queues": queues, "restarts": n_kills, "recovered": recovered[k],
             "ms_p50": round(statistics.median(times[k]), 1) if times[k] else None,
             "ms_max": round(max(times[k]), 1) if times[k] else None}
            for k, (mode, ring, queues) in enumerate(CASES)]
    connect = [t for k, c in enumerate(CASES) if c[0] == "connect" for t in times[k]]
    return {"bench": "restart",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages, "ports": 2 * len(CASES)},
            "rows": rows,
            "ratios": {"recovered": round(sum(recovered) / (n_kills * len(CASES)), 4),
                       "connect_ms_p50": round(statistics.median(connect), 1) if connect else None}}


def page(res):
    groups = [f"{r['ring']}, {r['queues']}q" for r in res["rows"] if r["mode"] == "connect"]
    values = {m: {f"{r['ring']}, {r['queues']}q": r["ms_p50"] or 0 for r in res["rows"] if r["mode"] == m}
              for m in ("connect", "listen")}
    ends = {m: {f"{r['ring']}, {r['queues']}q": (r["ms_p50"] or 0, r["ms_max"] or 0) for r in res["rows"]
                if r["mode"] == m} for m in ("connect", "listen")}
    return ("From kill -9 to packets again",
            "The daemon is killed under traffic and started again; the time runs from its exec until packets were "
            "delivered in both directions between two guests, for all ports at once. In listen mode QEMU decides when "
            "it tries again (here every 100 ms). Recovered: a ping sent afterwards is answered; a Linux guest may take a "
            "second to notice that its link is back. Bars are medians, whiskers the longest.",
            [("Time to the first delivered packets",
              report.bars(groups, ["connect", "listen"], values, "Restart under traffic", "ms", ends))])
