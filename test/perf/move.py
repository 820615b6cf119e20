# move: a running guest goes to another QEMU process of the same host. Systems:
#   rtvs-move     its memory stays: a file with a name that both processes open
#   plain         QEMU's ordinary migration, which copies the memory: `migrate` over a unix socket,
#                 with all parameters as QEMU has them but an unlimited max-bandwidth. rtvs-move
#                 --plain starts the second process and sends the commands that an operator types.
#   cpr-transfer  rtvs-move, of a guest whose memory is a descriptor; in full runs, of one size
# The first two move the same guest in turn. It is Linux, with a vhost-user NIC, and its memory is
# full of data. It is idle, or a program in it writes WRITE_MIB_S of its memory a second (writer.c).
#
# A flow goes to the guest meanwhile (sender.c). lost: frames that the switch took from the sender,
# without those that the guest's NIC counted (rx_packets). The rate is the first of RATES at which
# the guest, writing, loses none while it is not moved: an emulated one is slow. That is measured
# again before each series of moves (lost_at_rest).
#
# Two other guests (sender.c) exchange NEAR_PPS frames a second each way over a bridge of their own,
# with a deadline and a guaranteed rate. near_missed: their frames that left the switch too late, of
# near_sent, in the same time; near_missed_at_rest: of near_sent_at_rest.
#
# cpu_s: processor time from the start of the command rtvs-move to its end. Of the first QEMU: until
# it is gone. Of the second: all, so that of its start, too. The guest runs in them meanwhile and
# takes the flow; guest_cpu is its share of a processor when it is not moved. The time of rtvs-move,
# and of what that starts to look at the target, is mover_cpu_s. It is in cpu_s, but not in that of
# plain, which needs no such program. cpu_percent: cpu_s by the time of the command. total_ms,
# downtime_ms, copied_mib: QEMU's words. wall_ms: from the start of the second process to the end of
# the first.
import contextlib
import ctypes
import io
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import report
import systems

sys.path.insert(0, systems.LIB)
import guest as console  # noqa: E402

MOVE, PLAIN, CPR = "rtvs-move", "plain", "cpr-transfer"
RATES = (10000, 5000, 2000, 1000)  # packets a second
REST_S, QUICK_REST_S = 2, 0.4  # of the flow while the guest is not moved
WRITE_MIB_S = 64
WRITE_SHARE = 4  # of its memory, it writes the fourth part
AROUND_S = 0.1  # of the flow, before and after a move
RING = 1024  # descriptors of the guest's NIC: a tenth of a second of the flow
MOVE_S = 180  # at most
SETTLE_S, QUIET_S = 5, 0.2  # until the guest has counted what is on its way: at most; when it counts nothing for so long
FAILED_MAX = 5  # moves that failed, of all
BOTH = (MOVE, PLAIN)
PLAIN_ROUNDS = 20  # at most, of a series: it takes seconds
# Series of moves: memory, MiB; whether the guest writes; systems; rounds. Ratios are of MIDDLE,
# idle, and of LARGE by it.
MIDDLE, LARGE = 1024, 4096
FULL = [*((mib, is_writing, BOTH, n) for mib, n in ((256, 20), (MIDDLE, 100), (LARGE, 10)) for is_writing in (False, True)),
        (MIDDLE, False, (CPR,), 20), (MIDDLE, True, (CPR,), 20)]
QUICK = [(MIDDLE, False, BOTH, 4), (MIDDLE, True, BOTH, 2), (LARGE, False, (MOVE,), 4)]
QUICK_S = 34  # of a quick run; no second round of anything begins after that
MOVE_KEYS = ("total_ms", "downtime_ms", "copied_mib", "cpu_s")
MORE_KEYS = ("wall_ms", "mover_cpu_s", "cpu_percent", "pps")
NEAR = ("near-a", "near-b")
NEAR_PPS = 1000
NEAR_PORT = {"deadline": "2ms", "min_rate": "10Mbit", "burst": "15kB", "rate": "1Gbit"}
PR_SET_CHILD_SUBREAPER = 36


def cpu_s(pid):
    """CLOCK_PROCESS_CPUTIME_ID of another process: exact, with threads that ended (Linux' posix-timers.h)."""
    return time.clock_gettime((~pid << 3) | 2)


class Daemon(systems.Rtvswitch):
    """A bridge for each guest, and the port of its sender. It shares the processors with the guests, so it sleeps when idle."""

    def __init__(self, core, build, hugepages, names):
        super().__init__(core, build, hugepages)
        self.names = names

    def socket(self, kind, name):
        return os.path.join(self.dir, f"{kind}-{name}")

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        for name in self.names:
            yield {"method": "bridge.add", "params": {"name": name}}
            for kind in ("from", "to"):
                yield {"method": "port.add", "params": {"name": f"{kind}-{name}", "bridge": name, "socket": self.socket(kind, name)}}
        yield {"method": "bridge.add", "params": {"name": "near"}}
        for name in NEAR:
            yield {"method": "port.add", "params": {"name": name, "bridge": "near", "socket": self.socket("vh", name), **NEAR_PORT}}

    def start(self):
        super().start()
        self.rpc = systems.Rpc(self.control)

    def counts(self, name):
        """Frames that it took of the sender; drops of both ports, by reason."""
        taken = self.rpc.call("stats.get", port=f"from-{name}")["ports"][0]["rx_pkts"]
        drops = {}
        for port in self.rpc.call("stats.drops"):
            if port["port"] in (f"from-{name}", f"to-{name}"):
                for drop in port["drops"]:
                    drops[drop["reason"]] = drops.get(drop["reason"], 0) + drop["count"]
        return taken, drops


    def near(self):
        """Guaranteed frames between the two other guests so far, and those of them that left too late."""
        flows = [f for f in self.rpc.call("flow.list") if f["port"] in NEAR]
        return sum(f["guaranteed_pkts"] + f["surplus_pkts"] for f in flows), sum(f["missed_pkts"] for f in flows)


class Sender(systems.System):
    name = "sender"

    def __init__(self, build, path, mac, own="52:54:00:00:ff:01"):
        super().__init__(0)
        self.args = [os.path.join(build, "test/perf/sender"), f"{path},connect,split,1,{own}", mac]

    def start(self):
        with open(os.path.join(self.dir, "sender.log"), "w") as log:
            self.p = subprocess.Popen(self.args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)
        self.processes.append(self.p)
        self.reply()

    def reply(self):
        line = self.p.stdout.readline()
        if not line:
            raise systems.Failed(f"sender ended\n{self.log_tail()}")
        return json.loads(line)

    def begin(self, pps):
        print("begin", pps, file=self.p.stdin, flush=True)

    def end(self):
        print("end", file=self.p.stdin, flush=True)
        return self.reply()


class Guests(systems.Guests):
    """One of each size, and of each kind of memory: a file, full if it is to be copied, or for cpr-transfer a descriptor."""

    def __init__(self, build, switch, kinds):
        super().__init__(0)
        self.build, self.switch = build, switch
        self.kinds = kinds  # {name: (MiB, systems)}
        self.memory = None
        self.pids = {}
        self.qemu = shutil.which("qemu-system-x86_64")

    def mac(self, name):
        return f"52:54:00:00:fe:{list(self.kinds).index(name):02x}"

    def start(self):
        sizes = [mib for mib, _ in self.kinds.values()]
        copy = max((mib for mib, systems_of in self.kinds.values() if PLAIN in systems_of), default=0)
        self.check(sum(sizes) + copy)
        self.memory = tempfile.mkdtemp(prefix="rtvs-move-", dir="/dev/shm")
        room = os.statvfs(self.memory)
        if room.f_bavail * room.f_frsize < (sum(sizes) + copy) << 20:
            raise systems.Failed(f"/dev/shm has no room for {sum(sizes) + copy} MiB")
        files = os.path.join(self.dir, "files.tar")
        self.must('vm_pack "$@"', files, os.path.join(self.build, "test/perf/writer"))
        for name, (mib, systems_of) in self.kinds.items():
            memory = os.path.join(self.memory, name)
            if PLAIN in systems_of:
                fill(memory, mib)
            self.boot(name, f"mem={mib}", f"nic={self.switch.socket('to', name)}", f"mac={self.mac(name)}", f"with=rx_queue_size={RING}",
                      "ip=10.79.0.1/24", f"files={files}", "append=ipv6.disable=1", "append=tsc=reliable",
                      "machine=q35,aux-ram-share=on" if CPR in systems_of else f"memory={memory}")
        for name in self.kinds:
            self.wait(name)
            self.do(name, "tar -xf /dev/vdb -C /")
            with open(os.path.join(self.dir, f"{name}.pid")) as f:
                self.pids[name] = int(f.read())

    def do(self, name, command, timeout=60):
        """As run, but by no process: it is used before and after each move."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            rc = console.run(os.path.join(self.dir, f"{name}.con"), timeout, command)
        if rc:
            raise systems.Failed(f"guest {name}: {command}: ended with {rc}: {out.getvalue()}{err.getvalue()}")
        return out.getvalue()

    def version(self):
        return subprocess.run([self.qemu, "--version"], capture_output=True, text=True).stdout.splitlines()[0]

    def received(self, name):
        return int(self.do(name, "cat /sys/class/net/eth0/statistics/rx_packets"))

    @contextlib.contextmanager
    def writing(self, name, is_on):
        if is_on:
            mib = self.kinds[name][0] // WRITE_SHARE
            self.do(name, f"setsid writer {mib} {WRITE_MIB_S} >/dev/null 2>&1 & sleep 0.2; pgrep -x writer")
        yield
        if is_on:
            self.do(name, "pkill -x writer")

    def command(self, name, *options):
        return [os.path.join(self.build, "src/move/rtvs-move"), "qemu", str(self.pids[name]), "--to", self.qemu, "--json",
                "-s", self.switch.control, *options]

    def first_move(self, name):
        """The process that vm_start began is no child of this program, which could not ask for its times."""
        done = subprocess.run(self.command(name), capture_output=True, text=True, timeout=MOVE_S)
        if done.returncode:
            raise systems.Failed(f"rtvs-move: {done.stdout}{done.stderr}")
        self.pids[name] = json.loads(done.stdout)["pid"]

    def move(self, name, system):
        """What rtvs-move says, and the times of processors; {"failed": why} when the guest is where it was."""
        pid = self.pids[name]
        before, begin = cpu_s(pid), time.monotonic()
        with open(os.path.join(self.dir, "rtvs-move.log"), "w+") as log:
            with subprocess.Popen(self.command(name, *(["--plain"] if system == PLAIN else [])), stdout=log, stderr=subprocess.STDOUT) as p:
                mover = end_of(p, MOVE_S)
            seconds = time.monotonic() - begin
            log.seek(0)
            said = log.read()
        if p.returncode == 1:
            return {"failed": said.strip()}
        if p.returncode:
            raise systems.Failed(f"rtvs-move ended with {p.returncode}: {said}")
        got = json.loads(said)
        self.pids[name] = got["pid"]
        used = cpu_s(got["pid"]) + cpu_of(os.wait4(pid, 0)[2]) - before + (0 if system == PLAIN else mover)
        return {**got, "cpu_s": used, "mover_cpu_s": mover, "cpu_percent": 100 * used / seconds}

    def stop(self):
        for name, pid in self.pids.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        super().stop()
        if self.memory:
            shutil.rmtree(self.memory, ignore_errors=True)


def fill(path, mib):
    """What a guest does not write stays in its memory: no page is empty, which a copy would leave out."""
    block = os.urandom(1 << 20)
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(block)


def cpu_of(usage):
    return usage.ru_utime + usage.ru_stime


def end_of(p, seconds):
    """Processor time of a child and of its own children. When it takes too long it gets SIGINT, which takes a copy back."""
    end = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(p.pid, os.WNOHANG)
        if pid:
            p.returncode = os.waitstatus_to_exitcode(status)
            return cpu_of(usage)
        if time.monotonic() > end:
            p.send_signal(signal.SIGINT)
            end = math.inf
        time.sleep(0.002)


class Series:
    """Moves of one guest, idle or writing."""

    def __init__(self, mib, is_writing, systems_of, n):
        self.name = f"{'d' if CPR in systems_of else 'g'}{mib}"
        self.mib, self.is_writing, self.n = mib, is_writing, n
        self.got = {system: [] for system in systems_of}
        self.rest = None

    def __str__(self):
        return f"{self.mib} MiB, {self.dirtying()}"

    def dirtying(self):
        return "writing" if self.is_writing else "idle"


class Bench:
    def __init__(self, build, hugepages, kinds, rest_s, say):
        self.daemon = Daemon(os.cpu_count() - 1, build, hugepages, list(kinds))
        self.guests = Guests(build, self.daemon, kinds)
        self.senders = {name: Sender(build, self.daemon.socket("from", name), self.guests.mac(name)) for name in kinds}
        macs = [f"52:54:00:00:fd:0{i}" for i in (1, 2)]
        self.near = [Sender(build, self.daemon.socket("vh", name), macs[1 - i], macs[i]) for i, name in enumerate(NEAR)]
        self.rest_s = rest_s
        self.say = say
        self.pps, self.n_failed = 0, 0

    def start(self):
        self.daemon.start()
        for sender in [*self.senders.values(), *self.near]:
            sender.start()
        for sender in self.near:
            sender.begin(NEAR_PPS)
        self.guests.start()
        self.say(f"{len(self.guests.kinds)} guests are up")
        # Programs that rtvs-move leaves behind are this program's children from here on.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
        for name in self.guests.kinds:
            self.guests.first_move(name)

    def stop(self):
        self.guests.stop()
        for sender in [*self.senders.values(), *self.near]:
            sender.stop()
        self.daemon.stop()

    def during(self, name, what):
        """What it returned, with what became of the flow meanwhile."""
        received, (taken, drops) = self.guests.received(name), self.daemon.counts(name)
        near = self.daemon.near()
        self.senders[name].begin(self.pps)
        time.sleep(AROUND_S)
        said = what()
        time.sleep(AROUND_S)
        sent = self.senders[name].end()
        near_sent, near_missed = (b - a for a, b in zip(near, self.daemon.near()))
        taken = self.daemon.counts(name)[0] - taken
        if taken != sent["sent"]:
            raise systems.Failed(f"the switch took {taken} of {sent['sent']} frames of the sender")
        lost = self.settle(name, received + taken)
        drops = {reason: count - drops.get(reason, 0) for reason, count in self.daemon.counts(name)[1].items()}
        return {**said, "near_sent": near_sent, "near_missed": near_missed, "sent": taken, "pps": taken / sent["seconds"], "lost": lost, "drops": {k: n for k, n in drops.items() if n}}

    def settle(self, name, expected):
        """Frames that the guest did not count, when it counts no more."""
        n, end = self.guests.received(name), time.monotonic() + SETTLE_S
        while n < expected and time.monotonic() < end:
            time.sleep(QUIET_S)
            before, n = n, self.guests.received(name)
            if n == before:
                break
        return expected - n

    def rest(self, name):
        """What is lost, and what a guest takes of a processor, while it is not moved."""
        def look():
            before, begin = cpu_s(self.guests.pids[name]), time.monotonic()
            time.sleep(self.rest_s)
            return {"guest_cpu": (cpu_s(self.guests.pids[name]) - before) / (time.monotonic() - begin)}

        return self.during(name, look)

    def choose_rate(self, name):
        with self.guests.writing(name, True):
            for self.pps in RATES:
                lost = self.rest(name)["lost"]
                self.say(f"{self.pps} frames a second to a guest that writes and is not moved: {lost} are lost")
                if not lost:
                    break

    def round(self, series):
        with self.guests.writing(series.name, series.is_writing):
            series.rest = series.rest or self.rest(series.name)
            for system, got in series.got.items():
                if system == PLAIN and len(got) >= PLAIN_ROUNDS:
                    continue
                move = self.during(series.name, lambda name=system: self.guests.move(series.name, name))
                if "failed" not in move:
                    got.append(move)
                    continue
                self.n_failed += 1
                self.say(f"{series}, {system}: a move failed, the guest is where it was: {move['failed']}")
                if self.n_failed > FAILED_MAX:
                    raise systems.Failed(f"{self.n_failed} moves failed")
        self.say(f"{series}: " + "; ".join(
            f"{system} {got[-1]['total_ms']:.0f} ms, stood still for {got[-1]['downtime_ms']:.0f}, {got[-1]['cpu_s']:.2f} s of processors, "
            f"{got[-1]['lost']} frames lost" for system, got in series.got.items() if got))


def run(build, quick, rounds, say, hugepages=False, plan=None):
    plan = [Series(*of, n if quick else max(n, rounds)) for *of, n in plan or (QUICK if quick else FULL)]
    begin = time.monotonic()
    kinds = {}
    for series in plan:
        kinds[series.name] = (series.mib, kinds.get(series.name, (0, set()))[1] | set(series.got))
    steal = report.Steal()
    bench = Bench(build, hugepages, kinds, QUICK_REST_S if quick else REST_S, say)
    try:
        bench.start()
        bench.choose_rate(f"g{MIDDLE}")
        for k in range(max(series.n for series in plan)):
            for series in plan:
                if k < series.n and not (quick and k and time.monotonic() - begin > QUICK_S):
                    bench.round(series)
        machine = {**report.machine(), **steal.result(), "accelerator": bench.guests.accelerator(), "qemu": bench.guests.version(),
                   "pps": bench.pps, "failed": bench.n_failed}
    finally:
        bench.stop()
    return result(plan, machine)


def row(series, system, got):
    median = {key: statistics.median(g[key] for g in got) for key in MOVE_KEYS + MORE_KEYS}
    drops = {reason: sum(g["drops"].get(reason, 0) for g in got) for g in got for reason in g["drops"]}
    return {"system": system, "mib": series.mib, "dirtying": series.dirtying(), **{key: round(median[key], 3) for key in MOVE_KEYS},
            "lost": sum(g["lost"] for g in got), "moves": len(got), "lost_max": max(g["lost"] for g in got),
            "total_ms_max": max(g["total_ms"] for g in got), "downtime_ms_max": max(g["downtime_ms"] for g in got),
            **{key: round(median[key], 2) for key in MORE_KEYS}, "dropped": ", ".join(f"{reason}: {n}" for reason, n in drops.items()),
            "near_sent": sum(g["near_sent"] for g in got), "near_missed": sum(g["near_missed"] for g in got),
            "near_sent_at_rest": series.rest["near_sent"], "near_missed_at_rest": series.rest["near_missed"],
            "lost_at_rest": series.rest["lost"], "guest_cpu": round(series.rest["guest_cpu"], 3)}


def find(rows, system, mib, dirtying="idle"):
    return next((r for r in rows if (r["system"], r["mib"], r["dirtying"]) == (system, mib, dirtying)), None)


def result(plan, machine):
    rows = [row(series, system, got) for series in plan for system, got in series.got.items() if got]
    middle = next(series.got for series in plan if series.mib == MIDDLE and not series.is_writing and PLAIN in series.got)

    def vs(key):
        """None: theirs was 0, as a time of less than a ms is, or no round has both."""
        pairs = [(a, b) for a, b in zip(middle[MOVE], middle[PLAIN]) if b[key]]
        return report.ratio_of(*zip(*pairs), key) if pairs else None

    large, small = (find(rows, MOVE, mib) for mib in (LARGE, MIDDLE))
    return {"bench": "move", "machine": machine, "rows": rows,
            "ratios": {"time_vs_plain": vs("total_ms"), "cpu_vs_plain": vs("cpu_s"), "downtime_vs_plain": vs("downtime_ms"),
                       "wall_vs_plain": vs("wall_ms"), "time_4g_vs_1g": round(large["total_ms"] / small["total_ms"], 3),
                       "lost": sum(r["lost"] for r in rows if r["system"] == MOVE)}}


def paper_rows(res):
    ours, plain = (find(res["rows"], system, MIDDLE) for system in (MOVE, PLAIN))
    return [{"1 GiB": "moved, s", "the paper saw": "0.5", "here": ours["wall_ms"] / 1000, "here, copied": plain["wall_ms"] / 1000},
            {"1 GiB": "time by that of the ordinary way", "the paper saw": "0.72", "here": res["ratios"]["wall_vs_plain"], "here, copied": 1},
            {"1 GiB": "processors in use, %", "the paper saw": "98, and 346 in the ordinary way", "here": ours["cpu_percent"],
             "here, copied": plain["cpu_percent"]}]


def page(res):
    groups = list(dict.fromkeys(f"{r['mib']} MiB,\n{r['dirtying']}" for r in res["rows"]))
    names = list(dict.fromkeys(r["system"] for r in res["rows"]))

    def bars(title, key, unit):
        values = {n: {f"{r['mib']} MiB,\n{r['dirtying']}": r[key] for r in res["rows"] if r["system"] == n} for n in names}
        return report.bars(groups, names, values, title, f"{unit}, log scale", is_log=True, is_labelled=True)

    return ("A running guest in another QEMU process",
            "rtvs-move: the guest's memory stays where it is; cpr-transfer: the same for memory without a name; plain: QEMU's ordinary "
            "migration over a unix socket, which copies the memory. Guests are full of data; one that writes does so with "
            f"{WRITE_MIB_S} MiB a second. Figures are medians of moves. total and downtime are QEMU's words; wall is from the start of the "
            "second process to the end of the first. cpu_s is the time of processors of both QEMUs, in which the guest runs on "
            "(guest_cpu of a processor), and of rtvs-move, but not for plain. lost: frames of a flow to the guest of pps, of all moves; "
            "dropped: what the switch dropped, by its reasons; lost_at_rest: without a move. near_missed: frames of two other guests, with a "
            "deadline of 2 ms, that left the switch too late meanwhile; near_missed_at_rest: without a move.",
            [("Time of a move", bars("From the first to the last that QEMU sends", "total_ms", "ms")),
             ("Time in which the guest stands still", bars("Downtime", "downtime_ms", "ms")),
             ("Processors", bars("Processor time of a move, and of the guest meanwhile", "cpu_s", "s")),
             ("Beside the paper", report.table(paper_rows(res)) + '<p class="note">There a virtualization system beside another one takes the '
              "mapping of the guest's memory over; the ordinary way is a live migration through the virtual network. Here: wall_ms, "
              "cpu_percent.</p>")])
