# vni: ends that are containers: two network namespaces, netperf between them. A Linux bridge with
# veths, TAPs of rtvs-vni on a segment, and rtvswitchd between two TAPs. All systems exist from the
# beginning; those that are not being measured are stopped.
import contextlib
import os
import subprocess

import netperf
import systems
from lab import sh

BRIDGE, SEGMENT, SWITCH = "veth", "segment", "rtvswitchd"
STREAM = "TCP_STREAM"
TESTS = {STREAM: ("THROUGHPUT",), "UDP_RR": netperf.RR_FIELDS, "TCP_RR": netperf.RR_FIELDS}
STREAM_BYTES = 131072  # that the programs hand to the kernel and take from it at once, as iperf3's do
MTU = 1500
DATA_PORT = 12867


class Containers(systems.System):
    """A pair of namespaces with an interface each, by the names of the system."""

    number = 0

    def __init__(self, build, hugepages=True):
        super().__init__(os.cpu_count() - 1, hugepages)
        self.build = build

    def namespace(self, k):
        return f"ct{self.number}{k}"

    def interface(self, k):
        return f"ci{self.number}{k}"

    def address(self, k):
        return f"10.78.{self.number}.{k + 1}"

    def make_namespaces(self):
        for k in range(2):
            ns = self.namespace(k)
            sh("ip", "netns", "add", ns)
            sh("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            sh("ip", "-n", ns, "link", "set", "lo", "up")

    def give(self, k):
        ns, dev = self.namespace(k), self.interface(k)
        sh("ip", "-n", ns, "address", "add", f"{self.address(k)}/24", "dev", dev)
        sh("ip", "-n", ns, "link", "set", dev, "mtu", str(MTU), "up")

    def serve(self):
        self.spawn(["ip", "netns", "exec", self.namespace(1), "netserver", "-D", "-4"])
        systems.wait_for(f"{self.name}: the other container", self.answers, 10)
        systems.wait_for("netserver", lambda: self.run("netperf", "-H", self.address(1), "-t", "UDP_RR", "-l", "-1").returncode == 0, 10)

    def run(self, *args, timeout=60):
        return subprocess.run(["ip", "netns", "exec", self.namespace(0), *args], capture_output=True, text=True, timeout=timeout)

    def answers(self):
        return self.run("ping", "-c", "1", "-W", "1", self.address(1)).returncode == 0

    def measure(self, test, seconds):
        sizes = ["-m", str(STREAM_BYTES), "-M", str(STREAM_BYTES)] if test == STREAM else []
        done = self.run("netperf", "-H", self.address(1), "-t", test, "-l", str(seconds), "-P", "0", "-j", "--", *sizes,
                        "-P", f",{DATA_PORT}", "-o", ",".join(TESTS[test]), timeout=seconds + 60)
        if done.returncode:
            raise systems.Failed(f"netperf {test}, {self.name}: {done.stderr or done.stdout}")
        return netperf.parse(done.stdout, TESTS[test])

    def stop(self):
        super().stop()
        for k in range(2):
            subprocess.run(["ip", "netns", "del", self.namespace(k)], capture_output=True)


class Bridge(Containers):
    name = BRIDGE
    number = 1

    def start(self):
        self.make_namespaces()
        sh("ip", "link", "add", "cbr1", "type", "bridge", "mcast_snooping", "0")
        sh("ip", "link", "set", "cbr1", "up")
        for k in range(2):
            sh("ip", "link", "add", f"cb1{k}", "type", "veth", "peer", "name", self.interface(k), "netns", self.namespace(k))
            sh("ip", "link", "set", f"cb1{k}", "master", "cbr1")
            sh("ip", "link", "set", f"cb1{k}", "up")
            self.give(k)
        self.serve()

    def stop(self):
        super().stop()
        subprocess.run(["ip", "link", "del", "cbr1"], capture_output=True)


class Segment(Containers):
    """The default segment; rtvs-vni as a container would run it."""

    name = SEGMENT
    number = 2

    def start(self):
        tool = os.path.join(self.build, "src/segment/rtvs-vni")
        self.file = f"/dev/shm/{os.path.basename(self.dir)}"
        self.make_namespaces()
        sh(tool, "create", self.file)
        for k in range(2):
            p = self.spawn(["ip", "netns", "exec", self.namespace(k), tool, "join", self.file, "--tap", self.interface(k)])
            systems.wait_for(self.interface(k), lambda k=k: self.has_interface(k), 10, p)
            self.give(k)
        self.serve()

    def has_interface(self, k):
        return not subprocess.run(["ip", "-n", self.namespace(k), "link", "show", self.interface(k)], capture_output=True).returncode

    def stop(self):
        super().stop()
        with contextlib.suppress(AttributeError, FileNotFoundError):
            os.unlink(self.file)


class Switch(Containers):
    """With adaptive idling: a worker that polls all the time takes a CPU from the containers' kernel."""

    name = SWITCH
    number = 3

    def start(self):
        daemon = self.daemon = SwitchDaemon(self.core, self.build, self.hugepages, guard=False)
        self.make_namespaces()
        daemon.interfaces = [self.interface(k) for k in range(2)]
        daemon.start()
        for k in range(2):
            systems.wait_for(self.interface(k), lambda k=k: os.path.exists(f"/sys/class/net/{self.interface(k)}"), 10)
            sh("ip", "link", "set", self.interface(k), "netns", self.namespace(k))
            self.give(k)
        self.serve()

    def freeze(self):
        self.daemon.freeze()
        super().freeze()

    def thaw(self):
        self.daemon.thaw()
        super().thaw()

    def stop(self):
        super().stop()
        with contextlib.suppress(AttributeError):
            self.daemon.stop()

    def log_tail(self):
        return self.daemon.log_tail()


class SwitchDaemon(systems.Rtvswitch):
    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for k, dev in enumerate(self.interfaces):
            yield {"method": "port.add", "params": {"name": dev, "bridge": "br0", "type": "ethdev", "devargs": f"net_tap{k},iface={dev}"}}


ALL = (Segment, Bridge, Switch)
