# restart: the daemon is killed with -9 under traffic and started again. A pair of guests' ports
# stands for each combination of driver, socket mode, ring layout and number of queues. Linux's
# driver runs in two QEMUs, which have a NIC of each combination; DPDK's way, rings that are polled
# and resume by themselves, in reconnect.c. The time of a pair is from the daemon's exec until
# packets were delivered in both directions. Recovered means that traffic afterwards arrives: QEMU
# takes the link down meanwhile, and Linux looks at such changes once a second at most. With the
# build of another revision (--against), restarts of the two daemons alternate.
import json
import os
import signal
import statistics
import subprocess
import time

import report
import systems

CASES = [(driver, mode, ring, queues) for driver in ("linux", "dpdk") for mode in ("connect", "listen")
         for ring in ("split", "packed") for queues in (1, 4)]
LINUX = [k for k, case in enumerate(CASES) if case[0] == "linux"]
DPDK = [k for k, case in enumerate(CASES) if case[0] == "dpdk"]
RECOVERY_S = 15
RESTARTS, QUICK_RESTARTS = 1000, 4
TRAFFIC_S = 0.1  # before a kill
AGAINST_EVERY = 10  # restarts of the other daemon are so many fewer; in a quick run there are as many


def mac(side, k):
    return f"52:54:00:00:{side:02x}:{k:02x}"


class Guests(systems.Guests):
    """Two of them; `start` blocks until both have a shell."""

    def start(self):
        for side in range(2):
            options = ["mem=320", "cpus=2"]
            for k in LINUX:
                _, mode, ring, queues = CASES[k]
                options += [f"nic={self.dir}/s{side}-{k}", f"mac={mac(side, k)}", f"queues={queues}",
                            f"mode={'server' if mode == 'connect' else 'client'}",
                            f"packed={'on' if ring == 'packed' else 'off'}"]
            self.boot(f"g{side}", *options)
        for side in range(2):
            self.wait(f"g{side}")
            self.run(side, "; ".join(
                f"n=$(basename $(dirname $(grep -l {mac(side, k)} /sys/class/net/*/address)));"
                f" ethtool -L $n combined {CASES[k][3]} >/dev/null 2>&1;"
                f" ip addr add 10.9.{k}.{side + 1}/24 dev $n; ip link set $n up"
                for k in LINUX))

    def send(self):
        for k in LINUX:
            for side in range(2):
                self.run(side, f"ping -q -i 0.01 10.9.{k}.{2 - side} >/dev/null 2>&1 &")

    def run(self, side, command, timeout=60):
        return super().run(f"g{side}", command, timeout)

    def recovered(self):
        """Of the cases, those whose pings are answered."""
        _, out = self.run(0, " ".join(
            f"{{ ping -q -c 1 -i 0.1 -w {RECOVERY_S} 10.9.{k}.2 >/dev/null && echo ok{k}; }} &" for k in LINUX)
            + " wait $(jobs -p | tail -n %d)" % len(LINUX))
        return {k for k in LINUX if f"ok{k}\n" in out}


class Polling(systems.System):
    """The guests of reconnect.c."""

    name = "polling"

    def __init__(self, core, build):
        super().__init__(core)
        self.build = build

    def start(self):
        guests = [f"{self.dir}/s{side}-{k},{'listen' if mode == 'connect' else 'connect'},{ring},{queues},{mac(side, k)}"
                  for k in DPDK for _, mode, ring, queues in [CASES[k]] for side in range(2)]
        with open(os.path.join(self.dir, "reconnect.log"), "w") as log:
            self.p = subprocess.Popen([os.path.join(self.build, "test/perf/reconnect"), *guests], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        self.processes.append(self.p)
        if not self.p.stdout.readline():
            raise systems.Failed(f"reconnect ended\n{self.log_tail()}")

    def recovered(self):
        print("check", RECOVERY_S * 1000, file=self.p.stdin, flush=True)
        got = json.loads(self.p.stdout.readline())["ok"]
        return {k for n, k in enumerate(DPDK) if all(got[2 * n:2 * n + 2])}


class Daemon(systems.Rtvswitch):
    """One bridge a pair of ports. Shares the processors with the guests, so it sleeps when idle."""

    parent = "/dev/shm"  # a tmpfs, as /run: beside its socket the daemon keeps where packed rings stand

    def __init__(self, core, build, hugepages, where):
        super().__init__(core, build, hugepages)
        self.where = where  # the directory of each case's sockets

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        for k, (_, mode, ring, queues) in enumerate(CASES):
            yield {"method": "bridge.add", "params": {"name": f"br{k}"}}
            for side in range(2):
                yield {"method": "port.add",
                       "params": {"name": f"p{side}-{k}", "bridge": f"br{k}", "mode": mode, "queues": queues,
                                  "socket": f"{self.where[k]}/s{side}-{k}", "packed": ring == "packed"}}

    def start(self):
        self.process = super().start()

    def kill(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.processes.remove(self.process)
        os.unlink(self.control)

    def delivered(self):
        """Of the cases, those that packets were delivered of in both directions."""
        ports = {p["port"]: p for p in self.rpc.call("stats.get")["ports"]}
        return {k for k in range(len(CASES)) if all(ports[f"p{side}-{k}"]["tx_pkts"] for side in range(2))}


def restart(daemon):
    """Seconds from exec until each case had delivered in both directions; None where it did not."""
    found = {}
    begin = time.monotonic()
    daemon.start()
    daemon.rpc = systems.Rpc(daemon.control)
    while len(found) < len(CASES) and time.monotonic() - begin < RECOVERY_S:
        for k in daemon.delivered():
            found.setdefault(k, time.monotonic() - begin)
        time.sleep(0.001)
    return [found.get(k) for k in range(len(CASES))]


def order(n_restarts, has_against, quick):
    """Whose restart is next: "own" n_restarts times, and "against" between them."""
    for n in range(n_restarts):
        yield "own"
        if has_against and (quick or n % AGAINST_EVERY == 0):
            yield "against"


def run(build, quick, rounds, say, hugepages=True, against=None):
    n_restarts = QUICK_RESTARTS if quick else max(RESTARTS, rounds)
    steal = report.Steal()
    core = os.cpu_count() - 1
    guests, polling = Guests(0), Polling(0, build)
    where = [guests.dir if case[0] == "linux" else polling.dir for case in CASES]
    daemons = {name: Daemon(core, b, hugepages, where) for name, b in (("own", build), ("against", against)) if b}
    got = {name: [] for name in daemons}  # of each restart: (seconds by case, cases that recovered)
    running = daemons["own"]
    try:
        running.start()
        polling.start()
        guests.start()
        say("guests are up")
        guests.send()
        polling.recovered()
        guests.recovered()
        for n, name in enumerate(order(n_restarts, bool(against), quick)):
            time.sleep(TRAFFIC_S)
            running.kill()
            running = daemons[name]
            times = restart(running)
            got[name].append((times, polling.recovered() | guests.recovered()))
            say(f"restart {n + 1}, {name}: " + " ".join("-" if t is None else f"{t * 1000:.0f}" for t in times) + " ms")
    finally:
        for part in (guests, polling, *daemons.values()):
            part.stop()
    return result(got, {**report.machine(), **steal.result(), "hugepages": hugepages, "ports": 2 * len(CASES)})


def times_of(restarts, cases=range(len(CASES))):
    """ms, of all restarts and cases that delivered."""
    return [times[k] * 1000 for times, _ in restarts for k in cases if times[k] is not None]


def quantile(values, q):
    """None: there are none."""
    return round(sorted(values)[min(len(values) - 1, int(q * len(values)))], 1) if values else None


def vs(ours, theirs):
    """p50 of one by the other's, of all cases; None: there is nothing to compare."""
    a, b = quantile(times_of(ours), 0.5), quantile(times_of(theirs), 0.5)
    return round(a / b, 3) if a and b else None


def result(got, machine):
    own, against = got["own"], got.get("against", [])
    rows = []
    for k, (driver, mode, ring, queues) in enumerate(CASES):
        ms = times_of(own, [k])
        rows.append({"driver": driver, "mode": mode, "ring": ring, "queues": queues, "restarts": len(own),
                     "recovered": sum(k in ok for _, ok in own), "ms_p50": quantile(ms, 0.5), "ms_p99": quantile(ms, 0.99),
                     "ms_max": quantile(ms, 1), "against_ms_p50": quantile(times_of(against, [k]), 0.5)})
    connect = [k for k, case in enumerate(CASES) if case[1] == "connect"]
    return {"bench": "restart", "machine": machine, "rows": rows,
            "ratios": {"recovered": round(statistics.mean(len(ok) / len(CASES) for _, ok in own), 5),
                       "n_restarts": len(own),
                       "ms_p50": quantile(times_of(own), 0.5), "ms_p99": quantile(times_of(own), 0.99),
                       "connect_ms_p50": quantile(times_of(own, connect), 0.5),
                       "p50_vs_before": vs(own, against)}}


def page(res):
    def name(r):
        return f"{r['driver']}\n{r['ring']}, {r['queues']}q"

    groups = list(dict.fromkeys(name(r) for r in res["rows"]))
    modes = ("connect", "listen")
    values = {m: {name(r): r["ms_p50"] or 0 for r in res["rows"] if r["mode"] == m} for m in modes}
    ends = {m: {name(r): (r["ms_p50"] or 0, r["ms_max"] or 0) for r in res["rows"] if r["mode"] == m} for m in modes}
    return ("From kill -9 to packets again",
            "The daemon is killed under traffic and started again; the time runs from its exec until packets were "
            "delivered in both directions between two guests, for all ports at once. In listen mode QEMU decides when "
            "it tries again (here every 100 ms). Recovered: traffic sent afterwards arrives; a Linux guest may take a "
            "second to notice that its link is back. Bars are medians, whiskers the longest. p50_vs_before: against a build "
            "of another revision, whose restarts alternate with these.",
            [("Time to the first delivered packets",
              report.bars(groups, modes, values, "Restart under traffic", "ms", ends))])
