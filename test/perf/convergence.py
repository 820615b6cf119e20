# How soon misses end: two daemons, 15 ms apart, and a flow with a deadline of 60 ms from one host
# to the other. At the sender's own uplink bursts of a port with a shorter deadline delay it (stage
# 1). In the network a plain flood does, where a slow link honours DSCPs (stage 2). The flow's
# datagrams carry their times, which the receiver reads: one machine, one clock. The network is the
# kernel's (HTB); the 15 ms are a relay's (relay.c).
import array
import contextlib
import os
import struct
import subprocess
import sys
import time

import report
import systems

DEADLINE_MS = 60
LATENCY_US = 15000
QUIET_NS = 500 * 10**6  # misses further apart are two episodes: recovery tries the state before
LOAD_AFTER = 1
SECONDS, QUICK_SECONDS, LONG_SECONDS = (6, 4), (2.2, 1.2), (62, 60)  # of the flow, of its load
HEADERS = 42  # Ethernet, IPv4, UDP
TUNNEL_BYTES = 86  # with our option
PEER_PORT, PEER_TYPE_OFFSET, PEER_FEEDBACK = 6082, HEADERS + 5, 4
CLOCK_SETTLES_S = 5
CLOCK = {"CLOCK_SHIM_OFFSET_NS": 50 * 10**6, "CLOCK_SHIM_DRIFT_PPB": 50000}  # 50 ms, 50 ppm
UDP_FLOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "udp_flow.py")

SCENES = {
    # 48 packets at once take 50 ms of the uplink, with their headers; with a shorter deadline than
    # the flow's they go first.
    "stage1": {"uplink_rate": "10Mbit", "flow": {"bytes": 208, "period_ms": 2},
               "load": {"bytes": 1172, "count": 48, "period_ms": 110},
               "port": {"deadline": "58ms", "min_rate": "4700kbit", "burst": "64kB", "feedback": "off"}},
    # 39 Mbit/s of plain packets, and a link of 20.
    "stage2": {"uplink_rate": "0", "flow": {"bytes": 472, "period_ms": 1},
               "load": {"bytes": 1372, "count": 7, "period_ms": 2}, "port": {}},
}


def sh(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise systems.Failed(f"{' '.join(args)}: {done.stderr.strip()}")
    return done.stdout


class Hosts(systems.System):
    """Both hosts and what is between them."""

    name = "hosts"

    def __init__(self, build, latency_us=None, clock="system", clock_env=()):
        """latency_us: of the network, one way; None: a bridge. clock_env: of host b's clock, as clock_shim.c has it."""
        super().__init__(0)
        self.build = build
        self.latency_us = latency_us
        self.clock = clock
        self.clock_env = dict(clock_env)
        self.spaces = []
        self.rpc = {}

    def idle(self, name):
        return ["--idle", "busy", "--workers", str("ab".index(name))] if self.latency_us is None else ["--idle", "adaptive"]

    def space(self, name):
        sh("ip", "netns", "add", name)
        self.spaces.append(name)
        sh("ip", "-n", name, "link", "set", "lo", "up")

    def move(self, space, interface, address=None):
        sh("ip", "link", "set", interface, "netns", space)
        if address:
            sh("ip", "-n", space, "address", "add", address, "dev", interface)
        sh("ip", "-n", space, "link", "set", interface, "up")

    def daemon(self, name, address):
        control = os.path.join(self.dir, f"{name}.sock")
        # Both have the machine's clock, which need not be synchronised with anything: the shim says
        # that they agree.
        env = {**os.environ, "LD_PRELOAD": os.path.join(self.build, "test/perf/libclock_shim.so"), "CLOCK_SHIM_ERROR_US": "1"}
        p = self.spawn([os.path.join(self.build, "src/rtvswitchd"), "--socket", control, "--no-huge", *self.idle(name)],
                       env={**env, **(self.clock_env if name == "b" else {})})
        systems.wait_for(f"daemon {name}", lambda: os.path.exists(control), 20, p)
        rpc = self.rpc[name] = systems.Rpc(control)
        rpc.call("bridge.add", name="br0")
        rpc.call("port.add", name=f"up{name}", type="ethdev", devargs=f"net_tap0,iface=up{name}", mtu=1700, address=address)
        return rpc

    def guest(self, rpc, number, name, address, **params):
        rpc.call("port.add", name=name, type="ethdev", devargs=f"net_tap{number},iface={name}", bridge="br0", **params)
        self.space(name)
        self.move(name, name, address)

    def start(self):
        keys = os.path.join(self.dir, "keys")
        with open(os.open(keys, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(f"1 {os.urandom(32).hex()}\n")
        a, b = self.daemon("a", "10.9.0.1/24"), self.daemon("b", "10.9.0.2/24")
        self.space("net")
        for k, name in enumerate("ab"):
            self.move("net", f"up{name}")
            sh("ip", "-n", "net", "link", "set", f"up{name}", "address", f"02:00:00:09:00:0{k + 1}", "mtu", "1700")
        if self.latency_us is None:
            sh("ip", "-n", "net", "link", "add", "lan", "type", "bridge")
            sh("ip", "-n", "net", "link", "set", "lan", "up", "mtu", "1700")
            for name in "ab":
                sh("ip", "-n", "net", "link", "set", f"up{name}", "master", "lan")
        else:
            self.spawn(["ip", "netns", "exec", "net", os.path.join(self.build, "test/perf/relay"), "upa", "upb",
                        str(self.latency_us)])
        self.guest(a, 1, "rt", "10.0.0.1/24", deadline=f"{DEADLINE_MS}ms", min_rate="1600kbit", burst="2kB")
        self.guest(a, 2, "load", "10.0.0.8/24")
        self.guest(b, 3, "sink", "10.0.0.2/24")
        a.call("system.set", dscp_classes="5ms:ef")  # so that the flow begins without one
        self.tunnel = {"type": "geneve", "vni": 100, "bridge": "br0", "key_file": keys, "clock": self.clock, "dscp": "deadline"}
        a.call("port.add", name="tob", uplink="upa", remote="10.9.0.2", **self.tunnel)
        b.call("port.add", name="toa", uplink="upb", remote="10.9.0.1", **self.tunnel)
        systems.wait_for("a way through the network", self.can_ping, 20)
        systems.wait_for("the other daemon", lambda: a.call("peer.list")[0]["clock_known"], 20)

    def can_ping(self):
        return not subprocess.run(["ip", "netns", "exec", "rt", "ping", "-c", "1", "-W", "1", "10.0.0.2"],
                                  stdout=subprocess.DEVNULL).returncode

    def forget(self):
        """As if nothing had been late before: host b's account of flows begins anew, and with it what reports they may cost."""
        self.rpc["b"].call("port.del", name="toa")
        self.rpc["b"].call("port.add", name="toa", uplink="upb", remote="10.9.0.1", **self.tunnel)
        systems.wait_for("a way through the network", self.can_ping, 20)

    def rtt_ms(self):
        """Median of what the daemons measure between them while nothing else is sent."""
        got = []
        for _ in range(10):
            time.sleep(0.12)
            got.append(self.rpc["a"].call("peer.list")[0]["rtt_ns"] / 1e6)
        return report.spread(got)["median"]

    @contextlib.contextmanager
    def slow_network(self):
        tc = ("ip", "netns", "exec", "net", "tc")
        sh(*tc, "qdisc", "add", "dev", "upb", "root", "handle", "1:", "htb", "default", "20")
        sh(*tc, "class", "add", "dev", "upb", "parent", "1:", "classid", "1:1", "htb", "rate", "20mbit")
        sh(*tc, "class", "add", "dev", "upb", "parent", "1:1", "classid", "1:10", "htb", "rate", "10mbit", "ceil", "20mbit", "prio", "0")
        sh(*tc, "class", "add", "dev", "upb", "parent", "1:1", "classid", "1:20", "htb", "rate", "10mbit", "ceil", "20mbit", "prio", "1")
        sh(*tc, "qdisc", "add", "dev", "upb", "parent", "1:10", "pfifo", "limit", "200")
        sh(*tc, "qdisc", "add", "dev", "upb", "parent", "1:20", "pfifo", "limit", "200")
        for dscp in ("0x48", "0x68", "0x88", "0xb8", "0xc0"):  # AF21 to EF, CS6
            sh(*tc, "filter", "add", "dev", "upb", "parent", "1:", "protocol", "ip", "u32", "match", "ip", "tos", dscp, "0xfc",
               "flowid", "1:10")
        try:
            yield
        finally:
            sh(*tc, "qdisc", "del", "dev", "upb", "root")

    def flow(self, space, what, *args):
        return subprocess.Popen(["ip", "netns", "exec", space, sys.executable, UDP_FLOW, what, *map(str, args)],
                                stdout=subprocess.PIPE, text=True)

    def stop(self):
        super().stop()
        for space in self.spaces:
            subprocess.run(["ip", "netns", "del", space], capture_output=True)


class Capture:
    """Peer messages of host b on the network: (time, bytes on the wire, whether it is a report) of each."""

    def __init__(self, hosts):
        self.path = os.path.join(hosts.dir, "messages.pcap")
        self.p = subprocess.Popen(["ip", "netns", "exec", "net", "tcpdump", "-i", "upb", "-U", "-w", self.path, "-s", "64",
                                   f"src host 10.9.0.2 and udp dst port {PEER_PORT}"], stderr=subprocess.DEVNULL)

    def stop(self):
        self.p.terminate()
        self.p.wait()
        with open(self.path, "rb") as f:
            data = f.read()
        out, at = [], 24
        while at + 16 <= len(data):
            s, us, kept, whole = struct.unpack_from("<IIII", data, at)
            out.append((s + us / 1e6, whole, data[at + 16 + PEER_TYPE_OFFSET] == PEER_FEEDBACK))
            at += 16 + kept
        return out


def measure(hosts, scene, feedback, seconds):
    """One congestion: datagrams as (number, sent, received), how many were sent, peer messages, what the controller did."""
    flow_s, load_s = seconds
    a = hosts.rpc["a"]
    a.call("port.set", name="load", **{"deadline": "0", "min_rate": "0", "feedback": "act", **scene["port"]})
    a.call("port.set", name="upa", rate=scene["uplink_rate"])
    a.call("port.set", name="rt", feedback="off")  # the controller begins anew
    hosts.forget()
    a.call("port.set", name="rt", feedback=feedback)
    path = os.path.join(hosts.dir, "datagrams")
    with hosts.slow_network() if scene is SCENES["stage2"] else contextlib.nullcontext():
        capture = Capture(hosts)
        sink = hosts.flow("sink", "receive", 7000, flow_s + 1, path)
        drain = hosts.flow("sink", "receive", 7001, flow_s + 1, path + ".load")
        time.sleep(0.5)
        rt = hosts.flow("rt", "send", "10.0.0.2", 7000, scene["flow"]["bytes"], 1, scene["flow"]["period_ms"], flow_s)
        time.sleep(LOAD_AFTER)
        load = hosts.flow("load", "send", "10.0.0.2", 7001, scene["load"]["bytes"], scene["load"]["count"],
                          scene["load"]["period_ms"], load_s)
        sent = int(rt.communicate()[0])
        for p in (load, sink, drain):
            p.wait()
        said = capture.stop()
    got = array.array("Q")
    with open(path, "rb") as f:
        got.frombytes(f.read())
    return {"datagrams": list(zip(got[0::3], got[1::3], got[2::3])), "sent": sent, "messages": said,
            "bytes": sent * (scene["flow"]["bytes"] + HEADERS + TUNNEL_BYTES)}


def episodes(got):
    """Times of misses (first, last, number), by when they were sent. What is lost is missed, too: when, its neighbour tells."""
    seen = {n: (t, r - t) for n, t, r in got["datagrams"]}
    missed, last = [], 0
    for n in range(got["sent"]):
        t, delay = seen.get(n, (last, None))
        last = t
        if delay is None or delay > DEADLINE_MS * 10**6:
            missed.append(t)
    out = []
    for t in missed:
        if out and t - out[-1][1] < QUIET_NS:
            out[-1] = (out[-1][0], t, out[-1][2] + 1)
        else:
            out.append((t, t, 1))
    return out


def busiest_second(messages):
    times = [t for t, _, _ in messages]
    return max((sum(1 for u in times if t <= u < t + 1) for t in times), default=0)


def timeline(got):
    """Largest delay in ms of each 20 ms, from the first datagram on."""
    begin, out = got["datagrams"][0][1], {}
    for _, t, r in got["datagrams"]:
        k = (t - begin) // (20 * 10**6)
        out[k] = max(out.get(k, 0), (r - t) / 1e6)
    return [[k * 20, round(v, 2)] for k, v in sorted(out.items())]


def row(got):
    found = episodes(got) or [(0, 0, 0)]
    first, last, n_missed = found[0]
    reports = [m for m in got["messages"] if m[2]]
    return {"packets": got["sent"], "missed_at_first": n_missed, "first_to_last_miss_ms": round((last - first) / 1e6, 1),
            "missed_later": sum(e[2] for e in found[1:]), "reports": len(reports), "report_bytes": sum(m[1] for m in reports),
            "flow_bytes": got["bytes"], "messages_in_busiest_second": busiest_second(got["messages"])}


def congestions(build, quick, rounds, say):
    """Rows, timelines and the machine's part of the result: both scenes, without an answer once, then as many rounds with it."""
    hosts = Hosts(build, LATENCY_US)
    rows, lines, notes = [], {}, {}

    def congest(name, scene, feedback, seconds):
        got = measure(hosts, scene, feedback, seconds)
        rows.append({"scene": name, "feedback": feedback, **row(got)})
        say(f"{name}, {feedback}: {rows[-1]['missed_at_first']} missed in {rows[-1]['first_to_last_miss_ms']} ms, later "
            f"{rows[-1]['missed_later']}")
        return got

    try:
        hosts.start()
        notes["rtt_ms"] = round(hosts.rtt_ms(), 2)
        for name, scene in SCENES.items():
            for n in range(rounds + 1):
                feedback = "act" if n else "measure"
                got = congest(name, scene, feedback, QUICK_SECONDS if quick else SECONDS)
                lines.setdefault(name, {})[feedback] = timeline(got)
        if not quick:
            congest("stage2_long", SCENES["stage2"], "act", LONG_SECONDS)
    except systems.Failed as e:
        raise systems.Failed(f"{e}\n{hosts.log_tail()}") from e
    finally:
        hosts.stop()
    return rows, lines, notes


def clock_error(build, seconds, say):
    """Host b's clock is 50 ms ahead and goes 50 ppm too fast: how far from that is what host a measures?"""
    epoch = time.time_ns()
    env = {**{k: str(v) for k, v in CLOCK.items()}, "CLOCK_SHIM_EPOCH_NS": str(epoch)}
    hosts = Hosts(build, clock="peer", clock_env=env)
    errors, outside = [], 0
    try:
        hosts.start()
        time.sleep(CLOCK_SETTLES_S)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            before = time.time_ns()
            peer = hosts.rpc["a"].call("peer.list")[0]
            now = (before + time.time_ns()) / 2
            truth = CLOCK["CLOCK_SHIM_OFFSET_NS"] + (now - epoch) * CLOCK["CLOCK_SHIM_DRIFT_PPB"] / 1e9
            errors.append(abs(peer["offset_ns"] - truth))
            outside += errors[-1] > peer["uncertainty_ns"]
            time.sleep(0.05)
    except systems.Failed as e:
        raise systems.Failed(f"{e}\n{hosts.log_tail()}") from e
    finally:
        hosts.stop()
    errors.sort()
    say(f"clocks: error of {len(errors)} looks: median {errors[len(errors) // 2] / 1000:.1f} us, largest {errors[-1] / 1000:.1f} us, "
        f"{outside} outside of the uncertainty")
    return {"clock_looks": len(errors), "clock_error_p50_us": round(errors[len(errors) // 2] / 1000, 2),
            "clock_error_p99_us": round(errors[len(errors) * 99 // 100] / 1000, 2),
            "clock_error_max_us": round(errors[-1] / 1000, 2), "clock_outside_uncertainty": outside}
