# offload, in a guest: pods behind iptables as Kubernetes has them, behind Open vSwitch, and on
# virtual functions in both modes. All of them are in one guest of one processor, whose NICs are
# ports of one daemon, and talk to one client, a namespace behind a TAP of that daemon. The daemon's
# worker has one processor of the machine, and the guest the other one.
#   rr       round trips of a byte between the client and a pod (netperf UDP_RR), one pod
#   tx       UDP of 1,472 bytes from all pods at once, as fast as they can: what the client received
#   rx       the highest rate, of those tried, of which pods lost LOSS at most
# guest_ns_per_packet: time of the guest's virtual processor by packets that arrived.
import concurrent.futures
import json
import math
import os
import shutil
import statistics
import subprocess
import time

import lab
import netperf
import report
import systems

PODS = 4  # at most
HOST, OVS_SYSTEM = "host", "ovs"
SYSTEMS = {HOST: "the guest's NIC, no pod", "iptables": "pods: veth, routing, iptables", "ovs": "pods: veth, Open vSwitch", "legacy": "pods: virtual functions",
           "switchdev": "pods: virtual functions, switchdev"}
SUBNET = {HOST: "10.78.0", "iptables": "10.244.0", "ovs": "10.79.0", "legacy": "10.77.0", "switchdev": "10.77.0"}
BASE = "iptables"
CLIENT, CLIENT_DEV = "pods-client", "pods0"
CLIENT_MAC = "52:54:00:88:00:01"
PF, NIC, OVS = "52:54:00:88:01:00", "52:54:00:88:02:00", "52:54:00:88:03:00"
VFS = [f"52:54:00:88:01:{i + 1:02x}" for i in range(PODS)]
BYTES, FRAME, BURST = 1472, 1514, 2  # of payload; of the frame; datagrams at once
SETTLE_S = 0.2
LOSS = 0.005
RX_FROM, RX_TO = 1 / 16, 2
RR_FIELDS = ("P50_LATENCY", "P99_LATENCY", "MAX_LATENCY")


class Switch(systems.Rtvswitch):
    name = "rtvswitch-pods"

    def __init__(self, core, build, hugepages, n):
        super().__init__(core, build, hugepages, guard=False)
        self.macs = VFS[:n]

    def path(self, name):
        return os.path.join(self.dir, name)

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for name, mac in (("pf", PF), ("nic", NIC), ("ovs", None), *((f"vf{i}", mac) for i, mac in enumerate(self.macs))):
            yield {"method": "port.add", "params": {"name": name, "bridge": "br0", "socket": self.path(name),
                                                    **({"allowed_macs": [mac]} if mac else {})}}
        yield {"method": "port.add", "params": {"name": "up", "bridge": "br0", "type": "eswitch"}}
        yield {"method": "port.add", "params": {"name": "client", "bridge": "br0", "type": "ethdev",
                                                "devargs": f"net_tap0,iface={CLIENT_DEV},mac={CLIENT_MAC}"}}
        yield {"method": "eswitch.add", "params": {"name": "e", "pf": "pf", "uplink": "up", "control": self.path("ctl"),
                                                   "vfs": ",".join(f"vf{i}" for i in range(len(self.macs))),
                                                   "allowed_macs": "52:54:00:88:01:00/40"}}

    def start(self):
        super().start()
        self.rpc = systems.Rpc(self.control)
        systems.wait_for(CLIENT_DEV, lambda: os.path.exists(f"/sys/class/net/{CLIENT_DEV}"), 20)
        lab.sh("ip", "netns", "add", CLIENT)
        lab.sh("ip", "link", "set", CLIENT_DEV, "netns", CLIENT)
        ns = ("ip", "-n", CLIENT)
        lab.sh(*ns, "link", "set", "lo", "up")
        lab.sh(*ns, "link", "set", CLIENT_DEV, "address", CLIENT_MAC, "up")
        for net in ("10.77.0", "10.78.0", "10.79.0"):
            lab.sh(*ns, "addr", "add", f"{net}.1/24", "dev", CLIENT_DEV)
        lab.sh(*ns, "neigh", "replace", "10.78.0.10", "lladdr", NIC, "dev", CLIENT_DEV)
        lab.sh(*ns, "route", "add", "10.244.0.0/24", "via", "10.78.0.10")
        for i, mac in enumerate(self.macs):
            lab.sh(*ns, "neigh", "replace", f"10.77.0.1{i}", "lladdr", mac, "dev", CLIENT_DEV)
        lab.sh("ip", "netns", "exec", CLIENT, "netserver")

    def qemu(self):
        """Words of its command line."""
        return [word for line in self.rpc.call("eswitch.qemu", name="e") for word in line.split(" ", 1)]

    def received(self):
        return next(p for p in self.rpc.call("stats.get", port="client")["ports"])["tx_pkts"]

    def stop(self):
        for pid in subprocess.run(["ip", "netns", "pids", CLIENT], capture_output=True, text=True).stdout.split():
            os.kill(int(pid), 15)
        subprocess.run(["ip", "netns", "del", CLIENT], capture_output=True)
        super().stop()


class Guest(systems.Guests):
    def __init__(self, build, switch, has_ovs):
        super().__init__(0)
        self.build, self.switch, self.has_ovs = build, switch, has_ovs

    def start(self):
        files = os.path.join(self.dir, "files.tar")
        here = os.path.dirname(os.path.abspath(__file__))
        script = shutil.copy(os.path.join(here, "pods_guest.sh"), os.path.join(self.dir, "pods_guest"))
        vf = shutil.copy(os.path.join(self.build, "src/vf/rtvs-vf.static"), os.path.join(self.dir, "rtvs-vf"))
        self.must('vm_pack "$@"', files, script, vf)
        self.boot("g", "mem=512", "release=backports", "append=tsc=reliable", "append=ipv6.disable=1", f"files={files}",
                  f"nic={self.switch.path('nic')}", f"mac={NIC}", f"nic={self.switch.path('ovs')}", f"mac={OVS}",
                  *(f"qemu={word}" for word in self.switch.qemu()))
        self.wait("g")
        with open(os.path.join(self.dir, "g.pid")) as f:
            pid = int(f.read())
        cpus = json.loads(self.shell("vm_qmp g query-cpus-fast").stdout)
        self.vcpu = f"/proc/{pid}/task/{cpus[0]['thread-id']}/schedstat"
        self.do("tar -xf /dev/vdb -C / && mkdir -p /dev/virtio-ports; for p in /sys/class/virtio-ports/*; do"
                ' ln -sf "/dev/${p##*/}" "/dev/virtio-ports/$(cat "$p/name")"; done')
        self.do(f"pods_guest start {len(self.switch.macs)} {PF} {NIC} {OVS if self.has_ovs else '-'} {CLIENT_MAC} {' '.join(self.switch.macs)}")

    def do(self, command, timeout=90):
        rc, out = self.run("g", command, timeout)
        if rc:
            raise systems.Failed(f"in the guest: {command}: ended with {rc}: {out}")
        return out

    def cpu_ns(self):
        with open(self.vcpu) as f:
            return int(f.read().split()[0])


class Pods:
    def __init__(self, build, hugepages, running, n, has_ovs=True):
        self.n = n
        self.switch = Switch(os.cpu_count() - 1, build, hugepages, n)
        running.append(self.switch)
        self.switch.start()
        self.guest = Guest(build, self.switch, has_ovs)
        running.append(self.guest)
        self.guest.start()
        self.has_rules = False

    def use(self, system):
        if system in ("legacy", "switchdev") and self.has_rules != (system == "switchdev"):
            self.has_rules = system == "switchdev"
            self.guest.do(f"pods_guest rules {self.n}" if self.has_rules else "pods_guest no-rules")
            if not self.has_rules:
                self.switch.rpc.call("eswitch.set", name="e", mode="legacy")

    def tx(self, system, n, seconds):
        cpu, packets = self.guest.cpu_ns(), self.switch.received()
        out = self.guest.do(f"pods_guest tx {system} {n} {seconds}", seconds + 60)
        packets, cpu = self.switch.received() - packets, self.guest.cpu_ns() - cpu
        return {"mbit": sum(float(line) for line in out.split()), "guest_ns_per_packet": cpu / max(packets, 1)}

    def got(self, system, n):
        return [int(line) for line in self.guest.do(f"pods_guest got {system} {n}").split()]

    def lost(self, system, n, mbit, seconds):
        """Share, of datagrams at that rate to all pods together."""
        period = BURST * FRAME * 8 * n / (mbit * 1000)
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            sent = list(pool.map(lambda pod: int(self.in_client("python3", lab.UDP_FLOW, "send", f"{SUBNET[system]}.1{pod}", "9", str(BYTES),
                                                                str(BURST), str(period), str(seconds), timeout=seconds + 60).stdout), range(n)))
        time.sleep(SETTLE_S)
        before, self.counted = self.counted, sum(self.got(system, n))
        return 1 - (self.counted - before) / max(sum(sent), 1)

    def rx(self, system, n, seconds, about, steps):
        """Bisects the rates from RX_FROM to RX_TO of what these pods sent, by their logarithm."""
        self.counted = sum(self.got(system, n))
        low, high, best = math.log(about * RX_FROM), math.log(about * RX_TO), 0
        for _ in range(steps):
            rate = math.exp((low + high) / 2)
            if self.lost(system, n, rate, seconds) <= LOSS:
                low, best = math.log(rate), rate
            else:
                high = math.log(rate)
        return {"mbit": best}

    def rr(self, system, seconds):
        done = self.in_client("netperf", "-H", f"{SUBNET[system]}.10", "-t", "UDP_RR", "-l", str(seconds), "-P", "0", "-j", "--", "-o",
                              ",".join(RR_FIELDS), timeout=seconds + 60)
        got = netperf.parse(done.stdout, RR_FIELDS)
        return {"rr_p50_us": got["p50_us"], "rr_p99_us": got["p99_us"], "rr_max_us": got["max_us"]}

    def in_client(self, *args, timeout):
        done = subprocess.run(["ip", "netns", "exec", CLIENT, *args], capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise systems.Failed(f"{' '.join(args)}: {done.stderr or done.stdout}")
        return done

FULL = {"pods": (1, 2, 4), "tx": 5, "rx": 2, "steps": 5, "rr": 60, "systems": tuple(SYSTEMS)}
QUICK = {"pods": (1,), "tx": 1, "rx": 0.4, "steps": 2, "rr": 1, "systems": tuple(s for s in SYSTEMS if s != OVS_SYSTEM)}


def measure(pods, system, times):
    """(number of pods, direction): what was measured."""
    got = {}
    pods.use(system)
    for n in times["pods"] if system != HOST else (1,):
        tx = got[n, "tx"] = pods.tx(system, n, times["tx"])
        got[n, "rx"] = pods.rx(system, n, times["rx"], tx["mbit"], times["steps"])
    got[1, "rr"] = pods.rr(system, times["rr"])
    return got


def run(build, quick, rounds, say, hugepages, running):
    times = QUICK if quick else FULL
    rows = {}
    pods = Pods(build, hugepages, running, max(times["pods"]), OVS_SYSTEM in times["systems"])
    say(f"a guest is up, with {pods.n} pods of each kind")
    for n in range(1 if quick else rounds):
        for system in times["systems"]:
            say(f"round {n + 1}: {SYSTEMS[system]}")
            for key, got in measure(pods, system, times).items():
                rows.setdefault((system, *key), []).append(got)
    machine = {"guest_kernel": pods.guest.do("uname -r").strip(), "guest_cpus": 1, "accelerator": pods.guest.accelerator()}
    return rows, machine


def result(rows):
    """Rows and ratios. A rate is the median of the rounds, the longest round trip is that of all of them."""
    def of(system, n, direction, key, how=statistics.median):
        return how([got[key] for got in rows[system, n, direction]])

    table = []
    for (system, n, direction), rounds in rows.items():
        row = {"system": system, "pods": n, "direction": direction}
        for key in rounds[0]:
            row[key] = round(of(system, n, direction, key, max if key == "rr_max_us" else statistics.median), 2)
            row[f"{key}_rounds"] = [round(got[key], 2) for got in rounds]
        table.append(row)
    ratios = {"throughput_vs_before": ("tx", "mbit", statistics.median), "throughput_rx_vs_before": ("rx", "mbit", statistics.median),
              "latency_vs_before": ("rr", "rr_max_us", max), "latency_p99_vs_before": ("rr", "rr_p99_us", statistics.median)}
    return table, {**{name: by(of("switchdev", 1, *what), of(BASE, 1, *what)) for name, what in ratios.items()},
                   "throughput_host_vs_before": by(of(HOST, 1, "tx", "mbit"), of(BASE, 1, "tx", "mbit"))}


def by(ours, theirs):
    return round(ours / theirs, 3) if theirs else None


def plots(rows):
    rows = [row for row in rows if "direction" in row]
    rates = {"tx": "UDP from pods to the client, as fast as they can", "rx": f"UDP to pods, the highest rate with {LOSS:.1%} lost at most"}
    drawn = [(text, bars(rows, direction, {f"{n} pods" if n > 1 else "1 pod": (n, "mbit") for n in sorted({row["pods"] for row in rows})},
                         "Mbit/s")) for direction, text in rates.items()]
    trips = {"median": (1, "rr_p50_us"), "99 %": (1, "rr_p99_us"), "longest": (1, "rr_max_us")}
    return [*drawn, ("Round trips of one byte", bars(rows, "rr", trips, "us"))]


def bars(rows, direction, groups, unit):
    """groups: a name, the number of pods and the key of the rows."""
    values, ends = {}, {}
    for system, name in SYSTEMS.items():
        own = {row["pods"]: row for row in rows if row["system"] == system and row["direction"] == direction}
        if not own:
            continue
        values[name] = {g: own[n][key] for g, (n, key) in groups.items() if n in own}
        ends[name] = {g: (min(own[n][f"{key}_rounds"]), max(own[n][f"{key}_rounds"])) for g, (n, key) in groups.items() if n in own}
    return report.bars(list(groups), list(values), values, "", unit, ends, is_labelled=True)
