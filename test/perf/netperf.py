# netperf: round trips and a stream between the client and a guest's netserver, through the systems
# of lab.py. UDP_RR and TCP_RR exchange one byte at a time: their latencies are those of one
# request. UDP_STREAM sends frames of 1,400 bytes to the guest. TSO_STREAM is between two guests
# (tso.py).
import subprocess

import lab
import report
import systems
import tso

RR_FIELDS = ("THROUGHPUT", "MIN_LATENCY", "MEAN_LATENCY", "P50_LATENCY", "P99_LATENCY", "MAX_LATENCY")
STREAM_FIELDS = ("LOCAL_SEND_THROUGHPUT", "REMOTE_RECV_THROUGHPUT")
TESTS = {"UDP_RR": RR_FIELDS, "TCP_RR": RR_FIELDS, "UDP_STREAM": STREAM_FIELDS}
NAMES = {"THROUGHPUT": "per_s", "MIN_LATENCY": "min_us", "MEAN_LATENCY": "mean_us", "P50_LATENCY": "p50_us",
         "P99_LATENCY": "p99_us", "MAX_LATENCY": "max_us", "LOCAL_SEND_THROUGHPUT": "sent_mbit",
         "REMOTE_RECV_THROUGHPUT": "received_mbit"}
PORTS = 12866  # of the data connection
SECONDS, QUICK_SECONDS = 2, 1
QUICK_ROUNDS = 2


def parse(text, fields):
    """The last line of netperf's comma separated output, by our names."""
    lines = [line for line in text.splitlines() if line and line[0] in "0123456789-"]
    if not lines:
        raise systems.Failed(f"netperf: {text[-300:]}")
    values = lines[-1].split(",")
    if len(values) != len(fields):
        raise systems.Failed(f"netperf: {lines[-1]}")
    return {NAMES[f]: float(v) for f, v in zip(fields, values)}


def measure(room, name, test, seconds):
    switch, guest = room.use(name)
    guest.only("none")
    size = ["-m", str(lab.BULK_BYTES - 42)] if test == "UDP_STREAM" else []
    done = subprocess.run(lab.in_client("netperf", "-H", guest.address(switch.number), "-t", test, "-l", str(seconds), "-P", "0",
                                        "-j", "--", *size, "-P", f",{PORTS}", "-o", ",".join(TESTS[test])),
                          capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise systems.Failed(f"netperf {test}, {name}: {done.stderr or done.stdout}")
    return parse(done.stdout, TESTS[test])


def run(build, quick, rounds, say, hugepages=True):
    seconds = QUICK_SECONDS if quick else SECONDS
    rounds = QUICK_ROUNDS if quick else rounds
    steal = report.Steal()
    streams = tso.run(build, seconds, rounds, say, hugepages)
    room = lab.Lab(build, hugepages)
    got = {}
    try:
        room.start(say)
        for n in range(rounds):
            for test in TESTS:
                told = []
                for name in lab.SYSTEMS:
                    result = measure(room, name, test, seconds)
                    got.setdefault((name, test), []).append(result)
                    told.append(f"{result['mean_us']:.0f} us" if "mean_us" in result else f"{result['received_mbit']:.0f} Mbit/s")
                say(f"round {n + 1} of {rounds}, {test}: {', '.join(told)}")
    finally:
        room.stop()
    return result_of(got, streams, {**report.machine(), **steal.result(), "hugepages": hugepages, "link_bit_s": lab.LINK,
                           "seconds": seconds, "rounds": rounds})


def result_of(got, streams, machine):
    rows = [{"system": name, "test": test, **{key: round(report.spread([r[key] for r in rounds])["median"], 1) for key in rounds[0]}}
            for (name, test), rounds in got.items()]

    def ratio(test, key, a, b):
        values = {r["system"]: r[key] for r in rows if r["test"] == test}
        return round(values[a] / values[b], 4) if values.get(b) and a in values else None

    return {"bench": "netperf", "machine": machine, "rows": rows + tso.rows(streams),
            "ratios": {"udp_rr_mean_e_vs_a": ratio("UDP_RR", "mean_us", "wakeup", "bridge"),
                       "udp_rr_max_e_vs_a": ratio("UDP_RR", "max_us", "wakeup", "bridge"),
                       "tcp_rr_mean_e_vs_a": ratio("TCP_RR", "mean_us", "wakeup", "bridge"),
                       "stream_e_vs_b": ratio("UDP_STREAM", "received_mbit", "wakeup", "ovs"),
                       "tso_vs_ovs": tso.ratio(streams)},
            "rounds": [{"system": name, "test": test, "round": n, **r}
                       for (name, test), rounds in got.items() for n, r in enumerate(rounds)]}


def page(res):
    names = [s for s in lab.SYSTEMS if any(r["system"] == s for r in res["rows"])]
    streams = [r for r in res["rows"] if r["test"] == "TSO_STREAM"]
    rr = [t for t in ("UDP_RR", "TCP_RR")]

    def values(key, tests):
        return {lab.LABELS[s]: {t: next(r[key] for r in res["rows"] if r["system"] == s and r["test"] == t) for t in tests}
                for s in names}

    labels = [lab.LABELS[s] for s in names]
    plots = [(title, report.bars(rr, labels, values(key, rr), title, "us (log scale)", is_log=True))
             for title, key in (("Round trip, mean", "mean_us"), ("Round trip, 99th percentile", "p99_us"),
                                ("Round trip, longest", "max_us"))]
    plots.append(("UDP stream to the guest", report.bars(["UDP_STREAM"], labels, values("received_mbit", ["UDP_STREAM"]),
                                                         "Received by the guest", "Mbit/s")))
    plots.append(("TSO stream between two guests",
                  report.bars(["TSO_STREAM"], [r["system"] for r in streams],
                              {r["system"]: {"TSO_STREAM": r["received_mbit"]} for r in streams}, "Received", "Mbit/s")))
    return ("netperf through five systems",
            "Client and guest as in the bench sip: the client behind a link of 100 Mbit/s, netserver in a guest. Latencies of round "
            "trips of one byte, medians of rounds. TSO_STREAM: TCP between two guests whose segments are not cut.", plots)
