# vni: ends that are processes, on two cores. One sends, one receives, both poll. memif and a Linux
# bridge with veths need no core between them; a vhost-user switch does, so that both of its ends
# share the other core.
import contextlib
import json
import os
import subprocess

import systems
from lab import sh

SEGMENT, SEPARATE, MEMIF, MEMIF_ZERO_COPY, VETH, VHOST = \
    "segment", "segment, separate", "memif", "memif, zero-copy", "veth", "rtvswitchd"
N_PAIRS = 4  # ends that each end sends to at most: 32 ports is what DPDK has in one process


def pairs(nodes):
    """Which sender sends to which receiver: half of the nodes each."""
    half = nodes // 2
    return [(a, (a + k) % half) for k in range(min(half, N_PAIRS)) for a in range(half)]


def mac(end, number):
    return f"52:54:00:{end:02x}:00:{number:02x}"


class Ends(systems.System):
    """test/perf/ends.c over DPDK devices."""

    def __init__(self, name, core, build, vdevs, to, hugepages=True, namespace=None):
        self.name = name
        super().__init__(core, hugepages)
        self.build, self.vdevs, self.to = build, vdevs, to
        self.prefix = ["ip", "netns", "exec", namespace] if namespace else []

    def begin(self):
        memory = systems.EAL_MEMORY if self.hugepages else ["--no-huge", "-m", "512"]
        with open(os.path.join(self.dir, "ends.log"), "w") as log:
            self.p = subprocess.Popen([*self.prefix, os.path.join(self.build, "test/perf/ends"), *memory, "--no-pci", "--no-telemetry",
                                       f"--file-prefix=rtvs-ends-{os.getpid()}-{id(self)}", f"--lcores=0@{self.core}",
                                       *(f"--vdev={v}" for v in self.vdevs), "--", *self.to],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        self.processes.append(self.p)

    def reply(self):
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise systems.Failed(f"{self.name}: the program ended\n{self.log_tail()}")
            if line.startswith("{"):
                return json.loads(line)

    def ask(self, command):
        self.p.stdin.write(command + "\n")
        self.p.stdin.flush()

    def call(self, command):
        self.ask(command)
        return self.reply()


class Couple:
    """Two ends, or one that is both, and what is between them."""

    def __init__(self, name, parts, sender, receiver):
        self.name, self.parts, self.sender, self.receiver = name, parts, sender, receiver

    def start(self):
        for part in self.parts:
            if not isinstance(part, Ends):
                part.start()
        ends = [p for p in self.parts if isinstance(p, Ends)]
        for end in ends:  # one after the other: a client wants its server
            end.begin()
            end.reply()
        for end in ends:
            end.ask("hello")
        for end in ends:
            end.reply()

    def freeze(self):
        for part in self.parts:
            part.freeze()

    def thaw(self):
        for part in self.parts:
            part.thaw()

    def stop(self):
        for part in reversed(self.parts):
            part.stop()

    def throughput(self, frame, warmup, ms):
        if self.sender is self.receiver:
            got = self.sender.call(f"both {frame} {warmup} {ms}")
            sent = got["sent"]
        else:
            self.receiver.ask(f"receive {warmup} {ms}")
            sent = self.sender.call(f"send {frame} {warmup + ms + 20}")["sent"]
            got = self.receiver.reply()
        return {"mpps": got["mpps"], "gbps": got["gbps"], "lost": sent - got["received"], "sent": sent, "stalls_us": got["stalls_us"]}

    def round_trip(self, frame, ms):
        if self.sender is self.receiver:
            return self.sender.call(f"ping-both {frame} {ms}")
        self.receiver.ask("echo")
        got = self.sender.call(f"ping {frame} {ms}")
        self.receiver.reply()
        return got


class Segment(systems.System):
    """rtvs-vni bench: both ends and the measurement in one. What is not measured takes no processor."""

    SLOTS, INBOX = 4096, 1024  # inboxes of 1,024 frames, as memif's rings have

    def __init__(self, build, nodes, separate=False):
        self.name = SEPARATE if separate else SEGMENT
        super().__init__(0)
        self.tool = os.path.join(build, "src/segment/rtvs-vni")
        self.nodes, self.separate = nodes, separate
        self.file = f"/dev/shm/{os.path.basename(self.dir)}"

    def start(self):
        self.call("create", "--nodes", str(max(self.nodes, 2)), "--slots", str(self.SLOTS * self.nodes // 2), "--inbox",
                  str(self.INBOX), *(["--separate"] if self.separate else []))

    def call(self, *args):
        done = subprocess.run([self.tool, *args, self.file], capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise systems.Failed(f"rtvs-vni {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout

    def measure(self, frame, ms):
        return json.loads(self.call("bench", "-j", "--nodes", str(self.nodes), "--frame", str(frame), "--time", str(ms),
                                    "--cpus", "0,1"))

    def stop(self):
        super().stop()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.file)


def memif(build, hugepages, nodes, zero_copy):
    """Rings and buffers are DPDK's default. With zero-copy the receiver is the client, whose memory the frames are copied into: the
    other way around is slower. Without, the sender is."""
    name = MEMIF_ZERO_COPY if zero_copy else MEMIF
    links = pairs(nodes)
    socket = f"/rtvs-vni-{os.getpid()}-{nodes}-{zero_copy}"  # abstract

    def end(role, core):
        extra = ",zero-copy=yes" if zero_copy and role == "client" else ""
        return Ends(name, core, build, [f"net_memif{k},role={role},id={k},socket={socket},socket-abstract=yes{extra}"
                                        for k in range(len(links))], [mac(core, k) for k in range(len(links))], hugepages)

    server, client = end("server", 0 if zero_copy else 1), end("client", 1 if zero_copy else 0)
    return Couple(name, [server, client], *((server, client) if zero_copy else (client, server)))


class Veths(systems.System):
    """A Linux bridge with a veth for each node. The receivers' are in a namespace of their own: in one namespace DPDK's driver uses the
    same number of a fan-out group twice now and then."""

    name = "veth"

    def __init__(self, nodes):
        super().__init__(0)
        self.nodes = nodes

    def interface(self, n):
        return f"ve{self.nodes}p{n}"

    @property
    def namespace(self):
        return f"ve{self.nodes}"

    def start(self):
        bridge = f"vebr{self.nodes}"
        sh("ip", "netns", "add", self.namespace)
        sh("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
        sh("ip", "link", "set", bridge, "up")
        for n in range(self.nodes):
            sh("ip", "link", "add", self.interface(n), "address", mac(0, n), "type", "veth", "peer", "name", f"vb{self.nodes}p{n}")
            sh("ip", "link", "set", f"vb{self.nodes}p{n}", "master", bridge)
            for dev in (f"vb{self.nodes}p{n}", self.interface(n)):
                sh("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
                sh("ip", "link", "set", dev, "up")
            if n >= self.nodes // 2:
                sh("ip", "link", "set", self.interface(n), "netns", self.namespace)
                sh("ip", "-n", self.namespace, "link", "set", self.interface(n), "up")

    def stop(self):
        subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True)
        for n in range(self.nodes):
            subprocess.run(["ip", "link", "del", self.interface(n)], capture_output=True)
        subprocess.run(["ip", "link", "del", f"vebr{self.nodes}"], capture_output=True)
        super().stop()


def veth(build, hugepages, nodes):
    veths = Veths(nodes)
    half = nodes // 2

    def end(first, core):
        return Ends(VETH, core, build, [f"net_af_packet{k},iface={veths.interface(first + k)},qdisc_bypass=1,blocksz=65536,framecnt=1024"
                                        for k in range(half)], [mac(0, half - first + k) for k in range(half)], hugepages,
                    veths.namespace if first else None)

    sender, receiver = end(0, 0), end(half, 1)
    return Couple(VETH, [veths, receiver, sender], sender, receiver)


class VhostSwitch(systems.Rtvswitch):
    def __init__(self, build, hugepages, nodes):
        self.n_ports = nodes
        super().__init__(1, build, hugepages, guard=False)


def vhost(build, hugepages, nodes):
    """The switch has a core; both ends share the other. Even ports send, the one behind each receives."""
    switch = VhostSwitch(build, hugepages, nodes)
    vdevs = [f"net_virtio_user{k},path={path},mac={mac(0, k)},queues=1" for k, path in enumerate(switch.sockets())]
    ends = Ends(VHOST, 0, build, vdevs, [mac(0, k ^ 1) for k in range(nodes)], hugepages)
    return Couple(VHOST, [switch, ends], ends, ends)
