# vdpa: ports on the kernel's vDPA bus (VDUSE) beside vhost-user and TAP ports of the same daemon.
# All runs in one guest, whose kernel has that bus: the daemon on one processor, the ends on the
# other.
#   generators  two ports of one switch are driven by DPDK's virtio-user (ends.c): over vhost-user
#               sockets, and over /dev/vhost-vdpa-N. A fixed number of frames is on its way.
#   containers  two namespaces have an interface of virtio_vdpa each, a TAP, and a veth at a Linux
#               bridge: TCP by iperf3, round trips of a byte by netperf (UDP_RR)
# Frames by one and by the other generator alternate every few hundredths of a second: the guest is
# often emulated, and shares its processors.
import json
import os
import shutil
import statistics

import netperf
import report
import systems

GUEST_MB = 1280
FRAMES = (64, 1518)
VHOST, VDPA = "virtio-user, vhost-user", "virtio-user, vhost-vdpa"
CONTAINERS = {"vdpa": "containers, virtio_vdpa", "tap": "containers, TAP", "veth": "containers, veth and Linux bridge"}
LOOK_US = 100
MAX_AWAY = 0.9  # of a measurement: else too little of it is left, and that of the other generator beside it goes, too

FULL = {"warmup": 20, "ms": 80, "pairs": 12, "trip": 200, "seconds": 2, "frames": FRAMES}
QUICK = {"warmup": 10, "ms": 40, "pairs": 12, "trip": 100, "seconds": 1, "frames": FRAMES[:1]}
QUICK_ROUNDS = 2  # of containers


class Guest(systems.Guests):
    def __init__(self, build):
        super().__init__(0)
        self.build = build

    def start(self):
        self.check(GUEST_MB)
        files = os.path.join(self.dir, "files.tar")
        here = os.path.dirname(os.path.abspath(__file__))
        script = shutil.copy(os.path.join(here, "vdpa_guest.sh"), os.path.join(self.dir, "vdpa_guest"))
        self.must('vm_pack "$@"', files, *(os.path.join(self.build, p) for p in ("src/rtvswitchd", "src/cli/rtvsctl", "test/perf/ends")),
                  script, "pmd=net_virtio", "pmd=net_tap")
        self.boot("g", f"mem={GUEST_MB}", "cpus=2", "append=tsc=reliable", "append=ipv6.disable=1", f"files={files}")
        self.wait("g")
        self.do("tar -xf /dev/vdb -C / && vdpa_guest start")

    def do(self, command, timeout=90):
        rc, out = self.run("g", command, timeout)
        if rc:
            raise systems.Failed(f"in the guest: {command}: ended with {rc}: {out}")
        return out

    def generators(self, what, *args):
        """The answers of the one and of the other, lists of as many."""
        got = [json.loads(line) for line in self.do(f"vdpa_guest {what} {' '.join(map(str, args))}").splitlines()]
        return got[0::2], got[1::2]

    def containers(self, path, seconds):
        stream = json.loads(self.do(f"vdpa_guest stream {path} {seconds}"))
        trip = netperf.parse(self.do(f"vdpa_guest rr {path} {seconds}"), ("P50_LATENCY", "P99_LATENCY"))
        return {"gbps": stream["end"]["sum_received"]["bits_per_second"] / 1e9, "rr_p50_us": trip["p50_us"], "rr_p99_us": trip["p99_us"]}

    def machine(self):
        return {"guest_kernel": self.do("uname -r").strip(), "guest_cpus": 2, "accelerator": self.accelerator()}


def run(build, quick, rounds, say, hugepages=False, times=None):
    times = times or (QUICK if quick else FULL)
    rates = {(path, frame): [] for frame in times["frames"] for path in (VHOST, VDPA)}
    trips, containers = {VHOST: [], VDPA: []}, {path: [] for path in CONTAINERS}
    steal = report.Steal()
    guest = Guest(build)
    try:
        guest.start()
        say("the guest is up: switch, generators, containers")
        for n in range(rounds):
            for frame in times["frames"]:
                vhost, vdpa = guest.generators("loops", frame, times["warmup"], times["ms"], LOOK_US, times["pairs"])
                for pair in zip(vhost, vdpa):
                    if max(g["away"] for g in pair) <= MAX_AWAY:
                        for path, got in zip(trips, pair):
                            rates[path, frame].append(got)
            for path, got in zip(trips, guest.generators("trips", times["trip"])):
                trips[path] += got
            if not quick or n < QUICK_ROUNDS:
                for path, got in containers.items():
                    got.append(guest.containers(path, times["seconds"]))
            say(f"round {n + 1} of {rounds}: " + ", ".join(f"{path} {g[-1]['mpps']:.3f} Mpps" for (path, _), g in rates.items() if g) + "; TCP: " + ", ".join(
                f"{path} {got[-1]['gbps']:.2f} Gbit/s" for path, got in containers.items()))
        if not all(rates.values()):
            raise systems.Failed("the processors were away nearly all the time: other programs use them")
        machine = {**report.machine(), **guest.machine(), **steal.result(), "pair_ms": times["ms"]}
    finally:
        guest.stop()
    return result(rates, trips, containers, machine)


def median(got, key):
    return round(report.spread([g[key] for g in got])["median"], 3)


def result(rates, trips, containers, machine):
    rows = []
    for (path, frame), got in rates.items():
        trip = {f"rr_{p}_us": round(statistics.median(t[f"rtt_{p}_us"] for t in trips[path]), 1) if frame == 64 else None
                for p in ("p50", "p99")}
        row = report.rate_row(got, path=path, frame=frame)
        rows.append({"path": path, "frame": frame, "mpps": row["mpps"], "gbps": median(got, "gbps"), **trip, **row,
                     "away": median(got, "away")})
    for path, got in containers.items():
        rate = report.spread([g["gbps"] for g in got])
        rows.append({"path": CONTAINERS[path], "frame": 1514, "mpps": None, "gbps": round(rate["median"], 3),
                     "rr_p50_us": median(got, "rr_p50_us"), "rr_p99_us": median(got, "rr_p99_us"), "gbps_min": round(rate["min"], 3),
                     "gbps_max": round(rate["max"], 3), "rounds": rate["rounds"]})
    return {"bench": "vdpa", "machine": machine, "rows": rows,
            "ratios": {"vdpa_vs_vhost": report.ratio(rates[VDPA, 64], rates[VHOST, 64]),
                       "container_vs_tap": report.ratio_of(containers["vdpa"], containers["tap"], "gbps")}}


def page(res):
    users = [r for r in res["rows"] if r["mpps"] is not None]
    boxes = [r for r in res["rows"] if r["mpps"] is None]
    names = list(dict.fromkeys(r["path"] for r in users))
    frames = [str(f) for f in dict.fromkeys(r["frame"] for r in users)]
    plots = [("Two ports driven by virtio-user", report.bars(
        frames, names, {n: {str(r["frame"]): r["mpps"] for r in users if r["path"] == n} for n in names}, "Rate, by bytes of a frame", "Mpps"))]
    names = [r["path"] for r in boxes]
    for title, key, unit in (("TCP between two containers", "gbps", "Gbit/s"), ("Round trip of UDP, median", "rr_p50_us", "us")):
        plots.append((title, report.bars([title], names, {r["path"]: {title: r[key]} for r in boxes}, title, f"{unit}, log scale", is_log=True)))
    return ("Ports on the vDPA bus",
            "One guest with two processors has the switch, whose worker has one, and all ends. Two ports of a switch exchange frames as fast "
            "as it can, driven by DPDK's virtio-user over vhost-user sockets and over /dev/vhost-vdpa-N; rr_: one frame there and back. "
            "away: the share of time in which a processor was away, which is not counted. Containers: TCP, and rr_ by netperf's UDP_RR. Where the guest is emulated (accelerator tcg) only ratios carry over.", plots)
