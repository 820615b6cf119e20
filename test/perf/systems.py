# The systems under test as processes: start on one core, stop, freeze. Each offers two vhost-user
# sockets that a generator connects to. A frozen one (SIGSTOP) costs nothing, which is how rounds
# alternate without restarts.
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

MACS = tuple(f"52:54:00:aa:{0xbb + (i >> 8):02x}:{i & 255:02x}" for i in range(1, 4097))
EAL_MEMORY = ["--in-memory", "--single-file-segments"]
LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/lib")
SPARE_MB = 512  # of the machine's memory, beside the guests'


class Failed(Exception):
    pass


def wait_for(what, condition, seconds, process=None):
    end = time.monotonic() + seconds
    while not condition():
        if process and process.poll() is not None:
            raise Failed(f"{what}: the process ended with status {process.returncode}")
        if time.monotonic() > end:
            raise Failed(f"{what}: not there after {seconds} s")
        time.sleep(0.005)


class Rpc:
    """Calls of rtvswitchd's control socket."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.file = self.sock.makefile("rw")

    def call(self, method, **params):
        self.file.write(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n")
        self.file.flush()
        reply = json.loads(self.file.readline())
        if "error" in reply:
            raise Failed(f"{method}: {reply['error']['message']}")
        return reply["result"]


class System:
    """Base: a working directory, processes, and their log files."""

    name = "?"

    n_ports = 2
    parent = None  # of the working directory; None: /tmp

    def __init__(self, core, hugepages=True):
        self.core = core
        self.hugepages = hugepages
        self.dir = tempfile.mkdtemp(prefix=f"rtvs-{self.name}-", dir=self.parent)
        self.processes = []

    def sockets(self):
        return [os.path.join(self.dir, f"vh{i}") for i in range(self.n_ports)]

    def spawn(self, args, **kw):
        log = open(os.path.join(self.dir, f"{os.path.basename(args[0])}.log"), "a")
        p = subprocess.Popen(args, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, **kw)
        log.close()
        self.processes.append(p)
        return p

    def log_tail(self):
        out = []
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                with open(os.path.join(self.dir, name), errors="replace") as f:
                    out.append(f"--- {name}\n" + "".join(f.readlines()[-15:]))
        return "\n".join(out)

    def wait_sockets(self, process):
        wait_for(f"{self.name}'s sockets", lambda: all(map(os.path.exists, self.sockets())), 20, process)

    def freeze(self):
        for p in self.processes:
            os.killpg(p.pid, signal.SIGSTOP)

    def thaw(self):
        for p in self.processes:
            os.killpg(p.pid, signal.SIGCONT)

    def stop(self):
        for p in reversed(self.processes):
            if p.poll() is None:
                os.killpg(p.pid, signal.SIGCONT)
                p.terminate()
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Rtvswitch(System):
    """With learning and, unless told otherwise, the spoof guard on."""

    name = "rtvswitch"

    def __init__(self, core, build, hugepages=True, guard=True, port=None):
        super().__init__(core, hugepages)
        self.build = build
        self.guard = guard
        self.port = port or {}
        self.control = os.path.join(self.dir, "control.sock")

    def calls(self):
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for i, path in enumerate(self.sockets()):
            params = {"name": f"vm{i}", "bridge": "br0", "socket": path, **self.port}
            if self.guard:
                params["allowed_macs"] = [MACS[i]]
            yield {"method": "port.add", "params": params}

    def start(self):
        config = os.path.join(self.dir, "config.json")
        with open(config, "w") as f:
            json.dump(list(self.calls()), f)
        args = [os.path.join(self.build, "src/rtvswitchd"), "--socket", self.control, "--config", config,
                "--workers", str(self.core)]
        if not self.hugepages:
            args.append("--no-huge")
        p = self.spawn(args)
        wait_for("rtvswitchd's control socket", lambda: os.path.exists(self.control), 20, p)
        return p


class Testpmd(System):
    """io-forward between two net_vhost ports: looks nothing up."""

    name = "testpmd"

    def start(self):
        vdevs = [f"--vdev=net_vhost{i},iface={s},queues=1" for i, s in enumerate(self.sockets())]
        memory = EAL_MEMORY if self.hugepages else ["--no-huge", "-m", "256"]
        other = 0 if self.core else 1
        p = self.spawn(["dpdk-testpmd", *memory, "--no-pci", "--no-telemetry", f"--file-prefix=rtvs-pmd-{os.getpid()}",
                        f"--lcores=0@{other},1@{self.core}", "--main-lcore=0", *vdevs, "--", "--forward-mode=io",
                        "--nb-cores=1", "--total-num-mbufs=16384", "--auto-start", "--stats-period=3600"])
        self.wait_sockets(p)
        return p


class OvsDpdk(System):
    """Its normal L2 action between two dpdkvhostuser ports, one PMD thread."""

    name = "ovs-dpdk"
    socket_mem = ["other_config:dpdk-socket-mem=512"]  # MB; empty: its default
    inside = []  # command that it runs in
    config = []  # more words of its configuration

    def port(self, i):
        """Words that tell ovs-vsctl how a port's interface is."""
        return ["type=dpdkvhostuser"]

    def run(self, *args):
        env = {**os.environ, "OVS_RUNDIR": self.dir, "OVS_LOGDIR": self.dir, "OVS_DBDIR": self.dir}
        done = subprocess.run(args, env=env, capture_output=True, text=True, timeout=40)
        if done.returncode:
            raise Failed(f"{args[0]}: {done.stderr.strip()}")
        return done.stdout

    def start(self):
        db = os.path.join(self.dir, "conf.db")
        sock = f"unix:{self.dir}/db.sock"
        schema = "/usr/share/openvswitch/vswitch.ovsschema"
        self.run("ovsdb-tool", "create", db, schema)
        env = {**os.environ, "OVS_RUNDIR": self.dir, "OVS_LOGDIR": self.dir, "OVS_DBDIR": self.dir}
        p = self.spawn(["ovsdb-server", db, f"--remote=punix:{self.dir}/db.sock"], env=env)
        wait_for("ovsdb-server", lambda: os.path.exists(f"{self.dir}/db.sock"), 10, p)
        memory = "--in-memory --single-file-segments" if self.hugepages else "--no-huge --legacy-mem -m 1024"
        self.run("ovs-vsctl", f"--db={sock}", "--no-wait", "init")
        self.run("ovs-vsctl", f"--db={sock}", "--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                 f"other_config:pmd-cpu-mask={1 << self.core:#x}", *(self.socket_mem if self.hugepages else []), *self.config,
                 f'other_config:dpdk-extra="--no-pci --no-telemetry {memory}"')
        daemon = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
        p = self.spawn([*self.inside, daemon if os.path.exists(daemon) else "ovs-vswitchd", sock], env=env)
        ports = [word for i in range(self.n_ports) for word in
                 ("--", "add-port", "br0", f"vh{i}", "--", "set", "interface", f"vh{i}", *self.port(i))]
        self.run("ovs-vsctl", f"--db={sock}", "--timeout=30", "add-br", "br0", "--", "set", "bridge", "br0",
                 "datapath_type=netdev", *ports)
        self.wait_sockets(p)
        return p


class Guests(System):
    """Guests of the test harness (scripts/lib/vm.sh), by their names there."""

    name = "guests"

    def __init__(self, core):
        super().__init__(core)
        self.names = []

    def shell(self, script, *args, timeout=200):
        head = f'set -eu; . "{LIB}/common.sh"; . "{LIB}/processes.sh"; . "{LIB}/vm.sh"; work={self.dir}; '
        return subprocess.run(["bash", "-c", head + script, "bench", *args], capture_output=True, text=True,
                              timeout=timeout)

    def must(self, script, *args):
        done = self.shell(script, *args)
        if done.returncode:
            raise Failed(f"{script}: {done.stderr}")
        return done.stdout

    def check(self, mb):
        """Before anything is started: the image, and memory for guests of so many MB."""
        image = self.must("guest_dir").strip()
        if not os.path.exists(os.path.join(image, "root.sqfs")):
            raise Failed(f"there is no image of a guest in {image}: run scripts/setup")
        with open("/proc/meminfo") as f:
            free = next(int(line.split()[1]) for line in f if line.startswith("MemAvailable")) // 1024
        if free < mb + SPARE_MB:
            raise Failed(f"guests need {mb + SPARE_MB} MB of free memory, the machine has {free}")

    def accelerator(self):
        return self.must("vm_accel").strip()

    def boot(self, name, *options):
        self.names.append(name)
        done = self.shell('vm_start "$@"', name, *options)
        if done.returncode:
            raise Failed(f"guest {name}: {done.stderr}")

    def wait(self, name, seconds=180):
        if self.shell(f"vm_wait {name} {seconds}", timeout=seconds + 20).returncode:
            raise Failed(f"guest {name} did not boot\n{self.log_tail()}")

    def run(self, name, command, timeout=60):
        done = self.shell(f'vm_run {name} {timeout} "$1"', command, timeout=timeout + 10)
        return done.returncode, done.stdout

    def stop(self):
        for name in self.names:
            self.shell(f"stop {name} KILL 5", timeout=30)
        super().stop()


class Generator(System):
    """test/perf/gen.c on its own core, connected to a system's sockets: the first n_active of its guests exchange frames, the
    others are idle; the last one may toggle."""

    name = "generator"

    def __init__(self, core, build, sockets, hugepages=True, has_tunnel=False, queues=1, n_active=None, rings=(), has_toggler=False):
        super().__init__(core, hugepages)
        self.build = build
        self.queues = queues
        self.has_tunnel = has_tunnel
        self.rings = rings
        n_active = len(sockets) if n_active is None else n_active
        self.guests = [f"{path},{MACS[i]}" if i < n_active else path for i, path in enumerate(sockets)]
        if has_toggler:
            self.guests[-1] += ",toggle"

    def start(self):
        with open(os.path.join(self.dir, "gen.log"), "w") as log:
            self.p = subprocess.Popen(["taskset", "-c", str(self.core), os.path.join(self.build, "test/perf/gen"),
                                       *(["-H"] if self.hugepages else []), *(["-t"] if self.has_tunnel else []),
                                       *self.rings, "-q", str(self.queues), *self.guests], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        self.processes.append(self.p)
        self.reply()

    def reply(self):
        while True:
            line = self.p.stdout.readline()
            if not line:
                raise Failed(f"the generator ended\n{self.log_tail()}")
            if line.startswith("{"):  # DPDK says things, too
                break
        reply = json.loads(line)
        if "error" in reply:
            raise Failed(f"the generator: {reply['error']}")
        return reply

    def ask(self, *words):
        print(*words, file=self.p.stdin, flush=True)
        return self.reply()

    def run(self, size, flows, warmup_ms, ms):
        return self.ask("run", size, flows, warmup_ms, ms)

    def delay(self, ms):
        return self.ask("delay", ms)

    def toggle(self, is_on):
        """Returns how many steps there were so far."""
        return self.ask("toggle", int(is_on))["toggles"]
