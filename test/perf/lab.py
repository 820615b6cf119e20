# The laboratory of sip and netperf: a client behind one network link, five systems, and a server in
# a guest.
#
#   namespace client    the link: veth, TBF at both ends   a system                  guest
#   sipp, tcpdump,
#   sink       c1 ======================== l1  [Linux bridge | switch]  virtio-net  sipp, Kamailio,
#                                                  |                                netserver
#                                              n1  namespace bulk: the neighbour,
#                                                  1.5 times the link's rate
#
# The systems:
#   bridge         Linux bridge and tap; vhost-net where the kernel has it, else QEMU's own back end
#   ovs            OVS-DPDK, vhost-user; the uplink is DPDK's tap
#   plain          rtvswitchd, the same
#   deadlines      the same daemon: the uplink's rate is just below the link's, the guest's port has
#                  a deadline and a guarantee
#   wakeup         the same, and settings that keep the way to the server awake (MEASURES)
# There is one link, client, neighbour and image for all. The first guest has a NIC for each of the
# first four systems. The second differs by idle=poll alone, and is wakeup's. Systems that are not
# being measured are stopped.
import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import time

import systems

LINK = 100000000  # bit/s
LINK_BURST = 3100  # bytes: two frames
FIFO_MS = 100  # what waits in the link's device at most
BULK_RATIO = 1.5
BULK_BYTES, BULK_BURST = 1400, 20  # of a frame; frames at once
SHAPED = 0.95  # of the link: the daemon's uplink, so that nothing waits behind it
DEADLINE = {"deadline": "5ms", "min_rate": "20Mbit", "burst": "30kB"}
NO_DEADLINE = {"deadline": "0", "min_rate": "0"}
PREWAKE = {"prewake": True}  # of the guest's port: the daemon wakes its processor ahead of a packet that waits
# What keeps the way to the server awake. Each is also measured alone.
MEASURES = {
    "prewake": "the daemon kicks a sleeping guest ahead of a packet that waits in its scheduler",
    "poll": "guest kernel with idle=poll: HLT is never executed, as with KVM's cpu-pm=on",
    "pinned": "the guest's processor has a CPU of its own, and nice -20; everything else has the others",
    "priority": "worker and QEMU's main thread have real-time priority; the worker sleeps after 20 us without work",
    "busy_poll": "guest: net.core.busy_poll and busy_read of 50 us",
}
WAKEUP = tuple(MEASURES)  # together they are the steadiest on two CPUs
# Stateless: answers what the client's built-in scenario sends, without a database.
KAMAILIO = """
fork=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:0.0.0.0:5062
loadmodule "sl.so"
request_route {
	if (method == "INVITE") { sl_send_reply("180", "Ringing"); sl_send_reply("200", "OK"); }
	else if (method == "BYE") sl_send_reply("200", "OK");
}
"""
SYSTEMS = ("bridge", "ovs", "plain", "deadlines", "wakeup")
LABELS = {"bridge": "Linux bridge", "ovs": "OVS-DPDK", "plain": "rtvswitch", "deadlines": "rtvswitch, deadlines",
          "wakeup": "rtvswitch, deadlines, wake-up"}
SERVERS = {"sipp": 5060, "kamailio": 5062}
START = {"sipp": "{ setsid sipp -sn uas -i 0.0.0.0 -p 5060 -nostdin >/dev/null 2>&1 & }",
         "kamailio": "{ setsid kamailio -f k.cfg -DD -E -m 32 -M 4 >k.log 2>&1 & }"}
CLIENT, BULK = "client", "bulk"
WORKER_PRIORITY, DAEMON_PRIORITY, QEMU_PRIORITY, CLIENT_PRIORITY = 40, 45, 50, 10
IDLE_AFTER, IDLE_AFTER_DEFAULT = "20us", "200us"
UDP_FLOW = os.path.join(os.path.dirname(os.path.abspath(__file__)), "udp_flow.py")


def sh(*args, timeout=30, **kw):
    done = subprocess.run(args, capture_output=True, text=True, timeout=timeout, **kw)
    if done.returncode:
        raise systems.Failed(f"{' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def client_mac(n):
    return f"52:54:00:77:{n:02x}:01"


def guest_mac(n, guest):
    return f"52:54:00:77:{n:02x}:{0x10 + guest:02x}"


def address(n, host):
    return f"10.77.{n}.{host}"


class Cables(systems.System):
    """The namespaces and links, one link a switch; no process of its own."""

    name = "cables"

    def start(self):
        for key in ("all", "default"):
            with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{key}/disable_ipv6", "w") as f:
                f.write("1")
        for ns in (CLIENT, BULK):
            sh("ip", "netns", "add", ns)
            sh("ip", "-n", ns, "link", "set", "lo", "up")
            sh("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1",
               "net.ipv6.conf.default.disable_ipv6=1")

    def link(self, n):
        """l<n> here, c<n> in the client's namespace, a bridge lb<n> that l<n> belongs to."""
        sh("ip", "link", "add", f"l{n}", "type", "veth", "peer", "name", f"c{n}", "address", client_mac(n), "netns", CLIENT)
        sh("ip", "link", "add", f"lb{n}", "type", "bridge", "mcast_snooping", "0")
        for dev in (f"l{n}", f"lb{n}"):
            sh("ip", "link", "set", dev, "up")
        sh("ip", "link", "set", f"l{n}", "master", f"lb{n}")
        self.give(CLIENT, f"c{n}", address(n, 1))
        for where, dev in ((("-n", CLIENT), f"c{n}"), ((), f"l{n}")):
            sh("tc", *where, "qdisc", "add", "dev", dev, "root", "tbf", "rate", f"{LINK}bit", "burst", str(LINK_BURST), "limit",
               str(LINK // 8 * FIFO_MS // 1000))

    def give(self, ns, dev, own):
        sh("ip", "-n", ns, "address", "add", f"{own}/24", "dev", dev)
        sh("ip", "-n", ns, "link", "set", dev, "up")

    def know(self, ns, dev, peer, mac):
        sh("ip", "-n", ns, "neighbour", "replace", peer, "lladdr", mac, "dev", dev, "nud", "permanent")

    def neighbour(self, n, dev):
        """dev becomes the neighbour's; its sink is nobody's address beside the client, so it is dropped there."""
        sh("ip", "link", "set", dev, "netns", BULK)
        self.give(BULK, dev, address(n, 3))
        self.know(BULK, dev, address(n, 4), client_mac(n))

    def dropped(self, n):
        out = json.loads(sh("tc", "-j", "-s", "qdisc", "show", "dev", f"l{n}"))
        return out[0]["drops"]

    def stop(self):
        for ns in (CLIENT, BULK):
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        for n in range(1, 4):
            for dev in (f"l{n}", f"lb{n}", f"g{n}", f"n{n}"):
                subprocess.run(["ip", "link", "del", dev], capture_output=True)
        super().stop()


class Bridge(systems.System):
    """The link's own bridge is the switch: the guest's tap and the neighbour join it."""

    name = "bridge"
    number = 1

    def threads(self):
        return {}

    def start(self):
        sh("ip", "tuntap", "add", "g1", "mode", "tap")
        sh("ip", "link", "add", "b1", "type", "veth", "peer", "name", "n1")
        for dev in ("g1", "b1"):
            sh("ip", "link", "set", dev, "master", "lb1")
            sh("ip", "link", "set", dev, "up")


def threads_named(pid, begin):
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{tid}/comm") as f:
            if f.read().startswith(begin):
                found["switch"] = int(tid)
    return found


def uplink_joins(n):
    systems.wait_for(f"up{n}", lambda: os.path.exists(f"/sys/class/net/up{n}"), 20)
    sh("ip", "link", "set", f"up{n}", "master", f"lb{n}")
    sh("ip", "link", "set", f"up{n}", "up")


class Ovs(systems.OvsDpdk):
    n_ports = 1
    number = 2

    def sleep_max(self, us):
        """How long a PMD without packets sleeps at most; 0, its default: it polls all the time."""
        self.vsctl("set", "Open_vSwitch", ".", f"other_config:pmd-sleep-max={us}")

    def start(self):
        p = super().start()
        for k, dev in enumerate(("up2", "n2")):
            # The PMD and the main thread each have a queue to send by, and a tap has as many to
            # receive by.
            self.vsctl("add-port", "br0", dev, "--", "set", "interface", dev, "type=dpdk",
                       f"options:dpdk-devargs=net_tap{k},iface={dev}", "options:n_rxq=2")
        uplink_joins(2)
        return p

    def threads(self):
        return threads_named(self.processes[-1].pid, "pmd-")

    def vsctl(self, *args):
        self.run("ovs-vsctl", f"--db=unix:{self.dir}/db.sock", "--timeout=30", *args)


class Rtvswitch(systems.Rtvswitch):
    """Serves plain, deadlines and wakeup: what differs is set by port.set."""

    n_ports = 2
    number = 3

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive", "worker_priority": "normal"}}  # place() gives priorities
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for k, dev in enumerate(("up3", "n3")):
            yield {"method": "port.add", "params": {"name": dev, "bridge": "br0", "type": "ethdev",
                                                    "devargs": f"net_tap{k},iface={dev}"}}
        for k, path in enumerate(self.sockets()):
            yield {"method": "port.add", "params": {"name": f"vm{k}", "bridge": "br0", "socket": path}}

    def threads(self):
        return {"daemon": self.processes[-1].pid, **threads_named(self.processes[-1].pid, "dpdk-worker")}

    def start(self):
        p = super().start()
        self.rpc = systems.Rpc(self.control)
        uplink_joins(3)
        return p

    def configure(self, guest, has_deadline, measures):
        """For the guest of that number; without deadlines the uplink is not shaped either."""
        self.rpc.call("port.set", name="up3", rate=int(LINK * SHAPED) if has_deadline else 0)
        for k in sorted(range(self.n_ports), key=lambda k: k == guest):  # what the other had is free by then
            own = k == guest
            self.rpc.call("port.set", name=f"vm{k}", **(DEADLINE if own and has_deadline else NO_DEADLINE),
                          **{key: value if own and "prewake" in measures else False for key, value in PREWAKE.items()})
        self.rpc.call("system.set", idle_after=IDLE_AFTER if "priority" in measures else IDLE_AFTER_DEFAULT)


class Guest(systems.Guests):
    """Number 0: all systems but wakeup. Number 1: idle=poll."""

    def __init__(self, number, nics, append=()):
        super().__init__(0)
        self.number = number
        self.serves, self.busy_poll_us = None, 0
        self.nics = nics  # (number of the link, vm_start's words)
        self.append = append

    def start(self):
        # A guest notices a clock that stood still while the guest was stopped, and takes another
        # one that costs an exit.
        options = ["mem=256", *[f"append={word}" for word in ("ipv6.disable=1", "tsc=reliable", *self.append)]]
        for n, word in self.nics:
            options += [word, f"mac={guest_mac(n, self.number)}"]
        self.boot("g", *options)

    def ready(self):
        self.wait("g")
        self.do("".join(
            f"d=$(basename $(dirname $(grep -l {guest_mac(n, self.number)} /sys/class/net/*/address)));"
            f" ip addr add {self.address(n)}/24 dev $d; ip link set $d up;"
            f" ip neigh replace {address(n, 1)} lladdr {client_mac(n)} dev $d;" for n, _ in self.nics))
        with open(os.path.join(self.dir, "g.pid")) as f:
            self.pid = int(f.read())
        cpus = json.loads(self.shell("vm_qmp g query-cpus-fast").stdout)
        self.threads = {"vcpu": cpus[0]["thread-id"], "qemu": self.pid}

    def begin_servers(self):
        """sipp on port 5060, Kamailio on 5062; netserver."""
        self.do(f"cd /tmp; echo '{KAMAILIO}' >k.cfg; netserver >/dev/null;"
                f" {START['sipp']}; {START['kamailio']};"
                " for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; n=$(grep -c ':13C[46] ' /proc/net/udp); [ $n -ge 2 ] && break; done;"
                " [ $n -ge 2 ] || { cat k.log; false; }")
        self.only("sipp")

    def busy_poll(self, us):
        if us != self.busy_poll_us:
            self.do(f"sysctl -qw net.core.busy_poll={us} net.core.busy_read={us}")
            self.busy_poll_us = us

    def again(self, server):
        """What a server had in hand when calls failed is not the next measurement's."""
        self.do(f"pkill -KILL {server}; sleep 0.3; cd /tmp; {START[server]};"
                f" for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3; grep -q ':{SERVERS[server]:04X} ' /proc/net/udp && break; done")

    def only(self, server):
        """The others do not run beside it."""
        if server == self.serves:
            return
        self.serves = server
        self.do("".join(f"pkill -{'CONT' if s == server else 'STOP'} {s};" for s in SERVERS))

    def do(self, command, timeout=60):
        rc, out = self.run("g", command, timeout)
        if rc:
            raise systems.Failed(f"guest {self.number}: {command}: ended with {rc}: {out}")
        return out

    def address(self, n):
        return address(n, 10 + self.number)

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.pid, signal.SIGCONT)


class Lab:
    """All of it: started, then one system at a time is awake."""

    def __init__(self, build, hugepages, names=SYSTEMS):
        self.build = build
        self.cables = Cables(0)
        self.running = [self.cables]
        self.names = names
        worker = os.cpu_count() - 1
        self.bridge = Bridge(worker)
        self.switches = {"bridge": self.bridge}
        if "ovs" in names:
            self.switches["ovs"] = Ovs(worker, hugepages)
        if {"plain", "deadlines", "wakeup"} & set(names):
            self.switches["rtvswitch"] = Rtvswitch(worker, build, hugepages, guard=False)
        self.guests = []
        self.awake = None

    def switch(self, name):
        return self.switches.get(name) or self.switches["rtvswitch"]

    def start(self, say):
        self.cables.start()
        for switch in self.switches.values():
            self.running.append(switch)
            self.cables.link(switch.number)
            try:
                switch.start()
            except systems.Failed as e:
                raise systems.Failed(f"{LABELS.get(switch.name, switch.name)}: {e}\n{switch.log_tail()}") from e
            self.cables.neighbour(switch.number, f"n{switch.number}")
        say(f"switches are up: {', '.join(s.name for s in self.switches.values())}")
        nics = [(s.number, f"tap=g{s.number}" if s is self.bridge else f"nic={s.sockets()[0]}") for s in self.switches.values()]
        self.guests.append(Guest(0, nics))
        if "wakeup" in self.names:  # the same guest, but for idle=poll
            self.guests.append(Guest(1, [(3, f"nic={self.switches['rtvswitch'].sockets()[1]}")], ["idle=poll"]))
        self.running += self.guests
        for guest in self.guests:
            guest.start()
        for guest in self.guests:
            guest.ready()
            guest.begin_servers()
            for n, _ in guest.nics:
                self.cables.know(CLIENT, f"c{n}", guest.address(n), guest_mac(n, guest.number))
            guest.freeze()
        say(f"{len(self.guests)} guests are up")
        for switch in self.switches.values():
            switch.freeze()

    def use(self, name, measures=None):
        """Wakes a system, and puts the others to sleep. measures: of MEASURES; None: those that belong to the system."""
        measures = (WAKEUP if name == "wakeup" else ()) if measures is None else measures
        switch = self.switch(name)
        guest = self.guests["poll" in measures]
        if self.awake != (switch, guest):
            for part in self.awake or ():
                part.freeze()
            switch.thaw()
            guest.thaw()
            self.awake = switch, guest
        if isinstance(switch, Rtvswitch):
            switch.configure(guest.number, name != "plain", measures)
        self.place(measures)
        guest.busy_poll(50 if "busy_poll" in measures else 0)
        return switch, guest

    def place(self, measures):
        """Who may run where, and how urgently. What the bench starts from here on inherits its CPUs."""
        switch, guest = self.awake
        every = set(range(os.cpu_count()))
        others = every - {0} if "pinned" in measures else every
        os.sched_setaffinity(0, others)
        threads = self.threads()
        for tid in os.listdir(f"/proc/{guest.pid}/task"):
            os.sched_setaffinity(int(tid), others)
        if "pinned" in measures:
            os.sched_setaffinity(threads["vcpu"], {0})
        os.setpriority(os.PRIO_PROCESS, threads["vcpu"], -20 if "pinned" in measures else 0)
        for who, priority in (("switch", WORKER_PRIORITY), ("daemon", DAEMON_PRIORITY), ("qemu", QEMU_PRIORITY)):
            if who in threads:
                urgent = "priority" in measures
                os.sched_setscheduler(threads[who], os.SCHED_FIFO if urgent else os.SCHED_OTHER,
                                      os.sched_param(priority if urgent else 0))

    def threads(self):
        """NAME=TID of those that a packet meets here."""
        switch, guest = self.awake
        return {**guest.threads, **switch.threads()}

    def watched(self):
        """The stall watcher of these threads."""
        return process([os.path.join(self.build, "test/perf/stalls"), *[f"{k}={v}" for k, v in self.threads().items()]],
                       stdout=subprocess.PIPE, text=True)

    def stop(self):
        os.sched_setaffinity(0, range(os.cpu_count()))
        for part in reversed(self.running):
            with contextlib.suppress(OSError, AttributeError):  # it had not started
                part.thaw()
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # the others are to be stopped, and results to be written
                part.stop()


class Capture:
    """UDP frames of a port at the client's end of a link, with the kernel's times. They wait in the socket until they are read, so
    that nobody wakes up for them while something is measured."""

    SO_TIMESTAMPNS, SO_RCVBUFFORCE, SO_ATTACH_FILTER = 35, 33, 26
    BUFFER = 128 << 20
    SNAP = 600  # bytes of a frame

    def __init__(self, n, port):
        with inside(CLIENT):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, self.SO_TIMESTAMPNS, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, self.SO_RCVBUFFORCE, self.BUFFER)
        # Classic BPF: IPv4 without options, UDP, from or to the port.
        program = [(0x28, 0, 0, 12), (0x15, 0, 7, 0x0800), (0x30, 0, 0, 23), (0x15, 0, 5, 17), (0x28, 0, 0, 34), (0x15, 2, 0, port),
                   (0x28, 0, 0, 36), (0x15, 0, 1, port), (0x06, 0, 0, self.SNAP), (0x06, 0, 0, 0)]
        code = b"".join(struct.pack("HBBI", *word) for word in program)
        self.code = ctypes.create_string_buffer(code)
        self.sock.setsockopt(socket.SOL_SOCKET, self.SO_ATTACH_FILTER,
                             struct.pack("HL", len(program), ctypes.addressof(self.code)))
        self.sock.bind((f"c{n}", 0x0003))  # ETH_P_ALL
        self.sock.setblocking(False)

    def read(self):
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, ancillary, _, _ = self.sock.recvmsg(self.SNAP, 64)
                seconds, ns = struct.unpack("=qq", ancillary[0][2][:16])
                yield seconds * 10**9 + ns, frame

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@contextlib.contextmanager
def inside(ns):
    """The calling thread is in that network namespace meanwhile."""
    with open("/proc/thread-self/ns/net") as here, open(f"/run/netns/{ns}") as there:
        os.setns(there.fileno(), os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(here.fileno(), os.CLONE_NEWNET)


def in_client(*args):
    """The client stands for another machine: it does not wait for what works here."""
    return ["chrt", "-f", str(CLIENT_PRIORITY), "ip", "netns", "exec", CLIENT, *args]


@contextlib.contextmanager
def process(args, end=signal.SIGTERM, **kw):
    """Runs beside what is in the with statement, and ends with it."""
    p = subprocess.Popen(args, **kw)
    try:
        yield p
    finally:
        if p.poll() is None:
            p.send_signal(end)
        try:
            p.wait(10)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        for stream in (p.stdout, p.stderr):
            if stream:
                stream.close()


@contextlib.contextmanager
def flooded(n, seconds):
    """The neighbour sends until the link's FIFO, or what is in its place, is full."""
    wire = BULK_BYTES * 8 / (LINK * BULK_RATIO) * 1000
    args = ["ip", "netns", "exec", BULK, "python3", UDP_FLOW, "send", address(n, 4), "9", str(BULK_BYTES - 42), str(BULK_BURST),
            str(BULK_BURST * wire), str(seconds)]
    with process(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        time.sleep(4 * FIFO_MS / 1000)
        yield
