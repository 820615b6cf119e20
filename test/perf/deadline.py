# deadline: guests with deadlines and guaranteed rates, one above its reservation and one that
# floods, together twice the rate of a shaped uplink of 100 Mbit/s. The systems are rtvswitch,
# OVS-DPDK with its policers, and a Linux bridge with HTB on the uplink. Every packet carries its
# sending time (flows.c); a packet that is late or never arrives is missed. Misses that a core's
# absence explains are counted apart: the generator knows its own absences, rtvswitch's workers
# publish theirs.
import contextlib
import json
import os
import subprocess
import sys
import threading

import report
import systems

LINK = 100000000  # bit/s: what a Linux bridge carries on one core beside the generator
# kind, sent bit/s, packet bytes, deadline us, reserved bit/s
FLOWS = [("rt", 9.5e6, 125, 1000, 10e6), ("rt", 9.5e6, 250, 2000, 10e6), ("rt", 9.5e6, 125, 5000, 10e6),
         ("above", 20e6, 500, 5000, 10e6), ("bulk", 151.5e6, 1500, 0, 0)]
BURST = 5000  # bytes
POLL_S = 0.2


def mac(i):
    return f"52:54:00:0d:00:{i:02x}"


class Rtvswitch(systems.Rtvswitch):
    n_ports = len(FLOWS) + 1

    def calls(self):
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for i, path in enumerate(self.sockets()):
            params = {"name": f"vm{i}", "bridge": "br0", "socket": path}
            if i == len(FLOWS):
                params["rate"] = LINK
            elif FLOWS[i][4]:
                params.update(deadline=f"{FLOWS[i][3]}us", min_rate=int(FLOWS[i][4]), burst=BURST)
            yield {"method": "port.add", "params": params}


class Ovs(systems.OvsDpdk):
    """One process; which policer is on the uplink is changed between measurements."""

    n_ports = len(FLOWS) + 1

    def vsctl(self, *args):
        self.run("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--timeout=20", *args)

    def start(self):
        p = super().start()
        for i, flow in enumerate(FLOWS):
            self.run("ovs-ofctl", "--timeout=10", "add-flow", f"{self.dir}/br0.mgmt",
                     f"priority=10,dl_src={mac(i)},actions=set_queue:{1 if flow[4] else 0},normal")
        return p

    def police(self, policer):
        port = f"vh{len(FLOWS)}"
        self.vsctl("--", "clear", "port", port, "qos")
        self.vsctl("--", "--all", "destroy", "qos", "--", "--all", "destroy", "queue")
        qos = ["--", "set", "port", port, "qos=@q", "--", "--id=@q", "create", "qos", f"type={policer}",
               f"other-config:cir={LINK // 8}", "other-config:cbs=64000"]
        if policer == "trtcm-policer":
            reserved = int(sum(f[4] for f in FLOWS) / 8)
            qos += ["queues:0=@q0", "queues:1=@q1", "--", "--id=@q0", "create", "queue",
                    f"other-config:cir={LINK // 8 - reserved}", "other-config:cbs=64000", "--", "--id=@q1", "create", "queue",
                    f"other-config:cir={reserved}", "other-config:cbs=64000"]
        self.vsctl(*qos)


class LinuxHtb(systems.System):
    """Bridge, veth pairs, HTB with a class for each flow on the uplink; no process of its own."""

    name = "linux bridge, htb"
    n_ports = len(FLOWS) + 1

    def ip(self, *args):
        done = subprocess.run(args, capture_output=True, text=True, timeout=20)
        if done.returncode:
            raise systems.Failed(f"{' '.join(args)}: {done.stderr.strip()}")

    def devices(self):
        # More frames than HTB queues: a full ring makes the driver wait, and all flows with it.
        return [f"net_af_packet{i},iface=rb{i}g,framecnt=4096,qpairs=1" for i in range(self.n_ports)]

    def start(self):
        self.ip("ip", "link", "add", "rbbr", "type", "bridge")
        self.ip("ip", "link", "set", "rbbr", "up")
        for i in range(self.n_ports):
            self.ip("ip", "link", "add", f"rb{i}", "type", "veth", "peer", "name", f"rb{i}g", "address", mac(i))
            self.ip("ip", "link", "set", f"rb{i}", "master", "rbbr")
            self.ip("ip", "link", "set", f"rb{i}", "up")
            self.ip("ip", "link", "set", f"rb{i}g", "up")
            # The bridge works on the switch's core, as the others do.
            with open(f"/sys/class/net/rb{i}/queues/rx-0/rps_cpus", "w") as f:
                f.write(f"{1 << self.core:x}")
        up = f"rb{len(FLOWS)}"
        self.ip("tc", "qdisc", "add", "dev", up, "root", "handle", "1:", "htb", "default", "20")
        self.ip("tc", "class", "add", "dev", up, "parent", "1:", "classid", "1:1", "htb", "rate", f"{LINK}bit")
        for i, flow in enumerate(FLOWS):
            rate = int(flow[4]) or int(LINK - sum(f[4] for f in FLOWS))
            self.ip("tc", "class", "add", "dev", up, "parent", "1:1", "classid", f"1:{10 + i}", "htb", "rate", f"{rate}bit",
                    "ceil", f"{LINK}bit", "burst", str(BURST), "prio", "0" if flow[4] else "1")
            # Packets that wait here are charged to the sender's socket, which blocks at about a
            # hundred packets, and the generator with it.
            self.ip("tc", "qdisc", "add", "dev", up, "parent", f"1:{10 + i}", "pfifo", "limit", "50")
            self.ip("tc", "filter", "add", "dev", up, "parent", "1:", "protocol", "all", "prio", "1", "u32", "match", "ether",
                    "src", mac(i), "flowid", f"1:{10 + i}")

    def stop(self):
        for name in ["rbbr"] + [f"rb{i}" for i in range(self.n_ports)]:
            subprocess.run(["ip", "link", "del", name], capture_output=True)
        super().stop()


class Flows(systems.Generator):
    """test/perf/flows.c on the sockets, or devices, of a system."""

    name = "flows"

    def __init__(self, core, build, system, hugepages):
        super().__init__(core, build, [], hugepages)
        self.system = system

    def start(self):
        devices = self.system.devices() if isinstance(self.system, LinuxHtb) else [
            f"net_virtio_user{i},path={s},mac={mac(i)},queues=1" for i, s in enumerate(self.system.sockets())]
        memory = systems.EAL_MEMORY if self.hugepages else ["--no-huge", "-m", "192"]
        with open(os.path.join(self.dir, "flows.log"), "w") as log:
            self.p = subprocess.Popen([os.path.join(self.build, "test/perf/flows"), *memory, "--no-pci", "--no-telemetry",
                                       f"--file-prefix=rtvs-flows-{os.getpid()}-{id(self)}", f"--lcores=0@{self.core}",
                                       *[f"--vdev={d}" for d in devices]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=log, text=True, start_new_session=True)
        self.processes.append(self.p)
        self.keep_core()
        self.reply()
        for i, (_, rate, size, deadline, _) in enumerate(FLOWS):
            self.p.stdin.write(f"flow {i} {int(rate / 1000)} {size} {deadline}\n")

    def keep_core(self):
        """The generator measures, whichever the system is: other programs get its core last."""
        os.setpriority(os.PRIO_PROCESS, self.p.pid, -20)
        with contextlib.suppress(OSError):  # a kernel that does not group threads by session
            with open(f"/proc/{self.p.pid}/autogroup", "w") as f:
                f.write("-20")

    def run(self, warmup_ms, ms):
        self.p.stdin.write(f"run {warmup_ms} {ms}\n")
        self.p.stdin.flush()
        return self.reply()


class Stalls(threading.Thread):
    """Collects what rtvswitch's worker says of its stalls: when, and how long."""

    def __init__(self, control):
        super().__init__(daemon=True)
        self.rpc = systems.Rpc(control)
        self.seen = []  # (begin, end) in ns of CLOCK_REALTIME
        self.is_over = threading.Event()

    def run(self):
        pos = self.rpc.call("worker.stalls")["next"]
        while True:
            is_last = self.is_over.wait(POLL_S)
            got = self.rpc.call("worker.stalls", pos=pos)
            self.seen += [(s["time_ns"] - s["stall_ns"], s["time_ns"]) for s in got["stalls"]]
            if got["next"] - pos > len(got["stalls"]):
                raise systems.Failed("stalls were overwritten before they were read")
            pos = got["next"]
            if is_last:
                return

    def explain(self, begin, end, late_ns):
        """Was the worker away when these packets were on their way, or so shortly before that what had come meanwhile was still
        on the link? And for as long as they were late: what came while it was away needs the reserved share of the link."""
        away_ns = sum(e - b for b, e in self.seen if b < end and begin < 2 * e - b)
        return late_ns <= away_ns * (1 + sum(f[4] for f in FLOWS) / LINK)


def measure(system, gen, warmup, ms):
    stalls = Stalls(system.control) if isinstance(system, Rtvswitch) else None
    if stalls:
        stalls.start()
    got = gen.run(warmup, ms)
    if stalls:
        stalls.is_over.set()
        stalls.join()
        unexplained = [s for s in got["late_spans"] if not stalls.explain(s[0], s[1], s[3])]
        got["unexplained"] = sum(n for _, _, n, _ in unexplained)
        got["explained"] = sum(n for _, _, n, _ in got["late_spans"]) - got["unexplained"]
        for begin, end, n, late in unexplained:
            near = [(b - begin, e - b) for b, e in stalls.seen if b < end + 20e6 and e > begin - 20e6]
            print(f"unexplained: {n} packets, {late / 1000:.0f} us late, {(end - begin) / 1000:.0f} us; stalls (begin, ns) {near}",
                  file=sys.stderr)
    return got


def run(build, quick, rounds, say, hugepages=True):
    warmup, ms = (100, 500) if quick else (500, 4000)
    ours_ms = ms if quick else 90000  # 10 million packets of the three
    steal = report.Steal()
    running, couples, got = [], [], {}
    try:
        for system in (Rtvswitch(1, build, hugepages, guard=False), Ovs(1, hugepages), LinuxHtb(1, hugepages)):
            running.append(system)
            try:
                system.start()
                gen = Flows(0, build, system, hugepages)
                running.append(gen)
                gen.start()
            except systems.Failed as e:
                raise systems.Failed(f"{system.name}: {e}\n{system.log_tail()}") from e
            for part in (gen, system):
                part.freeze()
            for policer in ("egress-policer", "trtcm-policer") if isinstance(system, Ovs) else (None,):
                couples.append((f"{system.name}, {policer}" if policer else system.name, policer, system, gen))
            say(f"started {system.name}")
        for n in range(rounds):
            for name, policer, system, gen in couples:
                for part in (system, gen):
                    part.thaw()
                if policer:
                    system.police(policer)
                result = measure(system, gen, warmup, ours_ms if isinstance(system, Rtvswitch) else ms)
                got.setdefault(name, []).append(result)
                for part in (gen, system):
                    part.freeze()
                rt = [f for k, f in enumerate(result["flows"]) if FLOWS[k][0] == "rt"]
                say(f"round {n + 1} of {rounds}, {name}: real-time packets {sum(f['sent'] for f in rt)}, missed "
                    f"{sum(f['late'] + f['sent'] - f['received'] for f in rt)}, worst {max(f['max'] for f in rt) / 1000:.0f} us")
    finally:
        for part in reversed(running):
            part.stop()
    return result_of(got, steal, hugepages)


def quantile(flows, per_100k):
    """Of all rounds together, from the histograms' buckets (within 6.25 %)."""
    buckets = {}
    for f in flows:
        for high, n in f["buckets"]:
            buckets[high] = buckets.get(high, 0) + n
    rank = sum(buckets.values()) * per_100k / 100000
    for high in sorted(buckets):
        rank -= buckets[high]
        if rank <= 0:
            return high
    return 0


def result_of(got, steal, hugepages):
    rows, cdf = [], {}
    for name, rounds in got.items():
        for k, (kind, _, size, deadline, reserved) in enumerate(FLOWS):
            flows = [r["flows"][k] for r in rounds]
            sent, received = sum(f["sent"] for f in flows), sum(f["received"] for f in flows)
            late, stalled = sum(f["late"] for f in flows), sum(f["late_in_stall"] for f in flows)
            rates = [f["bytes"] * 8 / r["seconds"] for f, r in zip(flows, rounds)]
            rate = report.spread(rates)["median"]
            # A conforming flow is owed what it sent, up to its reservation.
            offered = report.spread([f["sent"] * size * 8 / r["seconds"] for f, r in zip(flows, rounds)])["median"]
            rows.append({"system": name, "flow": k, "kind": kind, "deadline_us": deadline, "sent": sent,
                         "missed": late + sent - received if deadline else 0, "lost": sent - received,
                         "refused": sum(f["refused"] for f in flows), "missed_in_stall": stalled,
                         "p50_us": quantile(flows, 50000) / 1000, "p99_us": quantile(flows, 99000) / 1000,
                         "p999_us": quantile(flows, 99900) / 1000, "max_us": max(f["max"] for f in flows) / 1000,
                         "rate_mbit": round(rate / 1e6, 1),
                         "rate_ratio": round(rate / min(reserved, offered), 4) if reserved and offered else None})
            cdf[name, k] = flows
    ours = got["rtvswitch"]
    used = [sum(f["bytes"] for f in r["flows"]) * 8 / r["seconds"] / LINK for r in ours]
    conforming = [k for k, f in enumerate(FLOWS) if f[0] == "rt"]
    lost = sum(r["flows"][k]["sent"] - r["flows"][k]["received"] for r in ours for k in conforming)
    return {"bench": "deadline",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages, "link_bit_s": LINK,
                        "late_explained_by_worker_stalls": sum(r["explained"] for r in ours),
                        "conforming_lost": lost, "generator_stalls": sum(r["stalls"] for r in ours)},
            "rows": rows,
            "ratios": {"utilization": round(report.spread(used)["median"], 4),
                       "missed_outside_stalls": sum(r["unexplained"] for r in ours) + lost}}


def page(res):
    names = list(dict.fromkeys(r["system"] for r in res["rows"]))
    groups = [f"{r['kind']}, {r['deadline_us'] / 1000:g} ms" if r["deadline_us"] else r["kind"]
              for r in res["rows"] if r["system"] == names[0]]

    def values(key):
        return {n: dict(zip(groups, [max(r[key] or 0, 0.01) for r in res["rows"] if r["system"] == n])) for n in names}

    missed = {n: dict(zip(groups, [100 * r["missed"] / max(r["sent"], 1) for r in res["rows"] if r["system"] == n]))
              for n in names}
    plots = [("99.9 % of packets come within", report.bars(groups, names, values("p999_us"), "Delay, 99.9th percentile",
                                                            "us (log scale)", is_log=True)),
             ("Missed deadlines, lost packets included", report.bars(groups, names, missed, "Missed", "% of packets sent")),
             ("Rate", report.bars(groups, names, values("rate_mbit"), "Received", "Mbit/s"))]
    return ("Deadlines on a link with twice its load",
            "Five guests send through an uplink of 100 Mbit/s: three keep their reservations of 10 Mbit/s, one sends twice its "
            "reservation, one floods. A packet that comes after its deadline or never is missed. OVS-DPDK polices, so it loses what "
            "exceeds the rate, whoever sent it; HTB queues by class.", plots)
