# wake: the cost of looking, the sum of the stages, and the gain of waking ahead.
#   watch      eight guests that exchange frames as fast as they can, with and without rtvs-wake
#              looking at all of them
#   add_up     a real guest answers pings; the stages of rtvs-wake against the time on the wire of
#              the switch's other side
#   prewake    a real guest, halted between packets that wait for its egress: with and without
#              prewake, in turn
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import time

import lab
import report
import systems

GUESTS = 8
RATE = 100  # packets of each guest followed a second: rtvs-wake's default
PING_S, PINGS_PER_S = 6, 100
EGRESS = 8000000  # bit/s to the guest
FRAME = 1000  # bytes: one leaves each ms
BURST, BURST_MS = 4, 20
CLIENT, GUEST = "10.78.0.1", "10.78.0.2"
GUEST_MAC = "52:54:00:78:00:02"
MODES = ("off", "prewake")


class Eight(systems.Rtvswitch):
    n_ports = GUESTS


class One(systems.Rtvswitch):
    """A guest, and a client on a veth, which the worker polls without help of signals."""

    n_ports = 1

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "busy"}}
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        yield {"method": "port.add", "params": {"name": "t0", "bridge": "br0", "type": "ethdev", "devargs": "net_af_packet0,iface=wk0"}}
        yield {"method": "port.add", "params": {"name": "vm0", "bridge": "br0", "socket": self.sockets()[0]}}

    def start(self):
        lab.sh("ip", "netns", "add", lab.CLIENT)
        lab.sh("ip", "netns", "exec", lab.CLIENT, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        lab.sh("ip", "link", "add", "wk0", "type", "veth", "peer", "name", "wk1", "netns", lab.CLIENT)
        lab.sh("ip", "link", "set", "wk0", "up")
        lab.sh("ip", "netns", "exec", lab.CLIENT, "ethtool", "-K", "wk1", "tx", "off")
        lab.sh("ip", "-n", lab.CLIENT, "address", "add", f"{CLIENT}/24", "dev", "wk1")
        lab.sh("ip", "-n", lab.CLIENT, "link", "set", "wk1", "up")
        lab.sh("ip", "-n", lab.CLIENT, "neighbour", "replace", GUEST, "lladdr", GUEST_MAC, "dev", "wk1", "nud", "permanent")
        p = super().start()
        self.rpc = systems.Rpc(self.control)
        return p

    def stop(self):
        subprocess.run(["ip", "netns", "del", lab.CLIENT], capture_output=True)
        super().stop()


@contextlib.contextmanager
def watching(build, control, core, *args):
    """rtvs-wake looks at all guests meanwhile; what it yields is called for its report, after."""
    with subprocess.Popen(["taskset", "-c", str(core), os.path.join(build, "src/wake/rtvs-wake"), "-s", control, "-j", "--all", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        time.sleep(0.7)  # it has begun to look
        begun, begin = cpu_s(p.pid), time.monotonic()
        got = {}
        try:
            yield got
        finally:
            used, seconds = cpu_s(p.pid) - begun, time.monotonic() - begin
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=20)
            if p.returncode not in (0, 130) or not out:
                raise systems.Failed(f"rtvs-wake ended with {p.returncode}: {err}")
            got.update(json.loads(out), cpu_s=used, seconds=seconds)


def forwarded(gen, rpc, times):
    """Mpps, and the worker's cycles for a packet: medians of short looks, some of which others on this machine disturb."""
    looks = []
    for _ in range(times):
        before = rpc.call("worker.list")[0]
        mpps = gen.run("64", 1, 50, 150)["mpps"]
        after = rpc.call("worker.list")[0]
        looks.append((mpps, (after["cycles_busy"] - before["cycles_busy"]) / (after["pkts"] - before["pkts"])))
    return [statistics.median(v) for v in zip(*looks)]


def watch(build, quick, rounds, say, hugepages):
    times = 3 if quick else 9
    running, ratios, cycles, rows, cpu, chains = [], [], [], [], [], 0
    try:
        switch = Eight(1, build, hugepages)
        running.append(switch)
        switch.start()
        rpc = systems.Rpc(switch.control)
        gen = systems.Generator(0, build, switch.sockets(), hugepages)
        running.append(gen)
        gen.start()
        say(f"watch: {GUESTS} guests exchange frames")
        for _ in range(rounds if quick else 2 * rounds):
            before = forwarded(gen, rpc, times)
            with watching(build, switch.control, 0) as seen:
                watched = forwarded(gen, rpc, times)
            after = forwarded(gen, rpc, times)
            plain = [(a + b) / 2 for a, b in zip(before, after)]
            chains += sum(sum(p["chains"].values()) for p in seen["ports"])
            cpu.append(seen["cpu_s"] / seen["seconds"])
            ratios.append(watched[0] / plain[0])
            cycles.append(watched[1] / plain[1])
            rows.append((watched[0], plain[0]))
    finally:
        for part in reversed(running):
            part.stop()
    out = {"guests": GUESTS, "rate": RATE, "followed": chains, "cpu_of_rtvs_wake": round(statistics.median(cpu), 4), "mpps_watched": round(statistics.median(r[0] for r in rows), 3),
           "mpps_plain": round(statistics.median(r[1] for r in rows), 3), "ratio": round(statistics.median(ratios), 4),
           "cycles_per_packet": round(statistics.median(cycles), 4), "ratio_min": round(min(ratios), 4), "ratio_max": round(max(ratios), 4)}
    say(f"watch: {chains} packets followed, {out['mpps_watched']} of {out['mpps_plain']} Mpps")
    return out


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Frames:
    """Requests and answers as the client's end of the veth sees them."""

    def __enter__(self):
        with lab.inside(lab.CLIENT):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.sock.bind(("wk1", 3))
        self.sock.setsockopt(socket.SOL_SOCKET, lab.Capture.SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, lab.Capture.SO_RCVBUFFORCE, lab.Capture.BUFFER)
        self.sock.setblocking(False)
        return self

    def __exit__(self, *_):
        self.sock.close()

    def round_trips(self):
        """When a ping left, CLOCK_MONOTONIC, and its round trip, ns."""
        to_monotonic = time.monotonic_ns() - time.time_ns()
        asked, out = {}, []
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = self.sock.recvmsg(256, 64)
                if len(frame) < 42 or frame[23] != 1:
                    continue
                seconds, ns = (int.from_bytes(ancillary[0][2][i:i + 8], "little") for i in (0, 8))
                if frame[34] == 8:
                    asked[frame[38:42]] = seconds * 10**9 + ns
                elif frame[34] == 0 and frame[38:42] in asked:
                    begin = asked.pop(frame[38:42])
                    out.append((begin + to_monotonic, seconds * 10**9 + ns - begin))
        return out


def add_up(build, switch, quick, say):
    """Each ping that was followed: what it took on the wire, and from its arrival in the switch to the answer's leaving."""
    seconds = 2 if quick else PING_S
    record = os.path.join(switch.dir, "record")
    with Frames() as frames, watching(build, switch.control, 0, "-r", "10000", "--record", record) as seen:
        lab.sh(*lab.in_client("ping", "-q", "-c", str(seconds * PINGS_PER_S), "-i", str(1 / PINGS_PER_S), GUEST), timeout=seconds + 30)
        trips = frames.round_trips()
    port = seen["ports"][0]
    answered = port["answered"]
    with open(record) as f:
        chains = [c for c in map(json.loads, f) if c["kind"] == "chain" and c["left_ns"]]
    pairs = [(trip / 1000, (c["left_ns"] - c["arrived_ns"]) / 1000) for c in chains for begin, trip in trips
             if begin <= c["arrived_ns"] < begin + trip]
    if not pairs:
        raise systems.Failed("add_up: no ping was followed")
    wire, stages = (statistics.mean(p[i] for p in pairs) for i in (0, 1))
    stage_rows = {k: v for k, v in answered["stages"].items() if v}
    say(f"add_up: {len(pairs)} of {len(trips)} followed; stages {stages:.0f} us, on the wire {wire:.0f} us")
    return {"pings": len(trips), "followed": len(pairs), "wire_mean_us": round(wire, 1),
            "stages_mean_us": round(stages, 1), "sum_of_means_us": round(answered["sum_of_means_ns"] / 1000, 1),
            "missing": [m["tracepoint"] for m in seen["missing"]], "stages": stage_rows,
            "fluctuates_most": answered["fluctuates_most"]}


def measure(switch, guest, mode, seconds):
    """Bursts to the guest. us from queued to consumed, and from put to consumed, of packets that had to wait; CPU of both processes."""
    pids = (switch.processes[-1].pid, guest.pid)
    switch.rpc.call("port.set", name="vm0", prewake=mode == "prewake", rate=EGRESS)
    time.sleep(0.3)
    switch.rpc.call("trace.start", port="vm0", rate=10000)
    with lab.process([*lab.in_client("python3", lab.UDP_FLOW), "send", GUEST, "9", str(FRAME - 42), str(BURST), str(BURST_MS),
                      str(seconds + 1)], stdout=subprocess.DEVNULL):
        time.sleep(1)  # the wake-up is measured, where it is used
        before = [cpu_s(p) for p in pids]
        switch.rpc.call("trace.read")
        time.sleep(seconds)
        chains = switch.rpc.call("trace.read")["ports"][0]["chains"]
        cpu = [b - a for a, b in zip(before, map(cpu_s, pids))]
    switch.rpc.call("trace.stop", port="vm0")
    waited = [c for c in chains if c["consumed_ns"] and c["put_ns"] - c["queued_ns"] > 200000]
    return {"whole": [(c["consumed_ns"] - c["queued_ns"]) / 1000 for c in waited],
            "wake": [(c["consumed_ns"] - c["put_ns"]) / 1000 for c in waited], "cpu_guest": cpu[1] / seconds, "cpu_switch": cpu[0] / seconds,
            "prewoken": sum(c["prewoken_ns"] > 0 for c in waited)}


def percentile(values, p):
    return sorted(values)[min(len(values) - 1, int(len(values) * p / 100))] if values else 0


def prewake(switch, guest, quick, rounds, say):
    got = {mode: [] for mode in MODES}
    for n in range(rounds):
        for mode in MODES:
            got[mode].append(measure(switch, guest, mode, 2 if quick else 8))
        say(f"prewake: round {n + 1} of {rounds}: " + ", ".join(
            f"{mode} p99 {percentile(got[mode][-1]['wake'], 99):.0f} us of {len(got[mode][-1]['wake'])}" for mode in MODES))
    rows = []
    for mode in MODES:
        row = {"mode": mode, "packets": sum(len(g["wake"]) for g in got[mode]), "prewoken": sum(g["prewoken"] for g in got[mode])}
        for key in ("whole", "wake"):
            for p in (50, 90, 99):
                row[f"{key}_p{p}_us"] = round(percentile([v for g in got[mode] for v in g[key]], p), 1)
        for key in ("cpu_guest", "cpu_switch"):
            row[key] = round(statistics.median(g[key] for g in got[mode]), 3)
        rows.append(row)
    samples = {mode: sorted(round(v, 1) for g in got[mode] for v in g["wake"]) for mode in MODES}
    off, ahead = rows
    return rows, samples, {f"prewake_{key}_p{p}": round(ahead[f"{key}_p{p}_us"] / off[f"{key}_p{p}_us"], 3)
                           for key, p in (("whole", 99), ("wake", 50), ("wake", 90))}


def run(build, quick, rounds, say, hugepages=True):
    steal = report.Steal()
    watched = watch(build, quick, rounds, say, hugepages)
    switch = One(1, build, hugepages)
    guest = systems.Guests(0)
    try:
        switch.start()
        guest.boot("g", "mem=256", "append=ipv6.disable=1", f"nic={switch.sockets()[0]}", f"mac={GUEST_MAC}", f"ip={GUEST}/24")
        guest.wait("g")
        with open(os.path.join(guest.dir, "g.pid")) as f:
            guest.pid = int(f.read())
        guest.run("g", "setsid socat UDP4-LISTEN:9,fork PIPE >/dev/null 2>&1 & sleep 0.5")
        for tid in os.listdir(f"/proc/{guest.pid}/task"):  # the worker has the other one
            os.sched_setaffinity(int(tid), {0})
        say("the guest is up")
        sums = add_up(build, switch, quick, say)
        rows, samples, ratios = prewake(switch, guest, quick, rounds, say)
    finally:
        guest.stop()
        switch.stop()
    return {"bench": "wake", "machine": {**report.machine(), **steal.result(), "hugepages": hugepages}, "rows": rows, "watch": watched,
            "add_up": sums, "samples": samples,
            "ratios": {"watched_vs_plain": watched["ratio"], "stages_vs_wire": round(sums["stages_mean_us"] / sums["wire_mean_us"], 3),
                       **ratios}}


def page(res):
    fig, ax = report.plt.subplots(figsize=(7.2, 3.2))
    for mode, color in zip(MODES, ("#d9822b", "#1464b4")):
        values = res["samples"][mode]
        ax.plot(values, [100 * (i + 1) / len(values) for i in range(len(values))], lw=1.4, color=color,
                label={"off": "kicked when it is in the ring", "prewake": "woken ahead"}[mode])
    ax.set_xscale("log")
    ax.set_xlabel("us from put into the ring until consumed")
    ax.set_ylabel("% of packets")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9)
    plots = [("A halted guest, woken ahead or not", report.svg(fig))]
    stages = {k: v for k, v in res["add_up"]["stages"].items() if v["count"]}
    values = {name: {s: v[key] / 1000 for s, v in stages.items()} for name, key in (("median", "p50_ns"), ("p99", "p99_ns"))}
    plots.append(("Where a ping's time goes", report.bars(list(stages), list(values), values, "Stages of a ping", "us", is_log=True)))
    return ("Waking guests, and looking at it",
            "A packet to a guest is followed from its arrival in the switch until the answer has left. prewake: packets leave for a guest "
            f"at {EGRESS // 1000000} Mbit/s in bursts of {BURST}, {FRAME} bytes each, and the guest sleeps in between; with prewake it is "
            "kicked ahead of each by half of the measured time of its wake-up. watched_vs_plain: frames per second between eight guests while "
            "rtvs-wake looks at them, to those while it does not. stages_vs_wire: the sum of the stages' means to the mean round trip at "
            "the client's end of the cable.", plots)
