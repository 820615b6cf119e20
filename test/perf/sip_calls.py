# SIP calls in a capture, without a clock or a process of its own: response times, their spread, and
# the reasons of the late ones. Times are ns of the capturing machine, so one clock.
import bisect
import math
import re
import statistics

ETH_BYTES = 14
CALL_ID = re.compile(rb"\r\n(?:Call-ID|i) *: *([^\r\n]+)", re.I)
CSEQ = re.compile(rb"\r\nCSeq *: *\d+ +([A-Z]+)", re.I)
OUTLIER_MEDIANS, OUTLIER_MS = 5, 10.0
QUANTILES = [0, 1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9, 100]
MAX_POINTS = 400  # of a plot of every call: the slowest, and of the others every so many


def payload_of(frame):
    """Of a UDP datagram over IPv4 in an Ethernet frame; empty: it is none."""
    if len(frame) < ETH_BYTES + 28 or frame[12:14] != b"\x08\x00" or frame[ETH_BYTES + 9] != 17:
        return b""
    return frame[ETH_BYTES + (frame[ETH_BYTES] & 15) * 4 + 8:]


def calls_of(frames):
    """Of a capture at the client, (ns, frame) each: {"calls": [(INVITE's time, ns to its 200 or None)] in order of the INVITEs, "completed": those whose
    BYE was answered, too, "retransmissions": INVITEs and BYEs that were sent again}."""
    sent, answered, byes, completed, again = {}, {}, set(), set(), 0
    for ns, frame in frames:
        payload = payload_of(frame)
        is_request = payload.startswith((b"INVITE ", b"BYE "))
        call, method = CALL_ID.search(payload), CSEQ.search(payload)
        if not call or not method or not (is_request or payload.startswith(b"SIP/2.0 200")):
            continue
        call, is_bye = call[1], method[1] == b"BYE"
        if not is_request:
            if is_bye:
                completed.add(call)
            else:
                answered.setdefault(call, ns)
        elif is_bye:
            again += call in byes
            byes.add(call)
        else:
            again += call in sent
            sent.setdefault(call, ns)
    return {"calls": sorted((ns, answered[c] - ns if c in answered else None) for c, ns in sent.items()),
            "completed": len(completed), "retransmissions": again}


def quantile(ordered, percent):
    """Nearest rank, of values in order."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def stalls_of(text):
    """Lines of test/perf/stalls: [(name, begin, end)] by begin."""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 4 and all(w.isdigit() for w in words[1:]):
            found.append((words[0], int(words[2]), int(words[3])))
    return sorted(found, key=lambda s: s[1])


def outliers(calls, stalls, median_ns):
    """Of the calls that took longer than 5 medians, or 10 ms: how many, and for how many the stalls during them are at least half
    of what they took beyond the median, by who was kept: the host's first."""
    bound = min(median_ns * OUTLIER_MEDIANS, OUTLIER_MS * 1e6)
    count = {"outliers": 0, "by_host": 0, "by_scheduler": 0}
    begins = [s[1] for s in stalls]
    longest = max((e - b for _, b, e in stalls), default=0)
    for begin, took in calls:
        if took <= bound:
            continue
        count["outliers"] += 1
        # Packets that waited before the call began delay it by the queue that they left behind: a
        # stall so long before still counts.
        share = {"host": 0, "other": 0}
        for name, b, e in stalls[bisect.bisect_left(begins, begin - took - longest):bisect.bisect_right(begins, begin + took)]:
            if e > begin - took:
                key = "host" if name == "host" else "other"
                share[key] += min(e, begin + took) - max(b, begin - took)
        needed = (took - median_ns) / 2
        if share["host"] >= needed:
            count["by_host"] += 1
        elif share["host"] + share["other"] >= needed:
            count["by_scheduler"] += 1
    return count


def points(calls, limit=MAX_POINTS):
    """(s since the first call, ms) of at most about that many calls, the slowest among them."""
    if not calls:
        return []
    first = calls[0][0]
    slow = set(sorted(range(len(calls)), key=lambda n: calls[n][1])[-(limit // 4):])
    step = max(1, -(-len(calls) * 4 // (limit * 3)))
    return [(round((at - first) / 1e9, 3), round(took / 1e6, 3)) for n, (at, took) in enumerate(calls) if n % step == 0 or n in slow]


def summary(capture, wanted, stalls=(), skip_ns=0):
    """One round of one system and load, of which that many calls were wanted. The times of the first skip_ns are not looked at."""
    every = capture["calls"]
    begin = every[0][0] + skip_ns if every else 0
    calls = [c for c in every if c[0] >= begin and c[1] is not None]
    out = {"calls": len(calls), "retransmissions": capture["retransmissions"], "failed": wanted - capture["completed"]}
    if not calls:
        return {**out, "quantiles_ms": [], "points": [], "outliers": 0, "by_host": 0, "by_scheduler": 0}
    took = sorted(t for _, t in calls)
    out.update({"mean_ms": statistics.fmean(took) / 1e6, "sd_ms": statistics.pstdev(took) / 1e6,
                "p50_ms": quantile(took, 50) / 1e6, "p99_ms": quantile(took, 99) / 1e6, "max_ms": took[-1] / 1e6,
                "quantiles_ms": [round(quantile(took, q) / 1e6, 4) for q in QUANTILES], "points": points(calls)})
    return {**out, **outliers(calls, stalls, quantile(took, 50))}


MEDIANS = ("mean_ms", "sd_ms", "p50_ms", "p99_ms", "max_ms")
SUMS = ("calls", "retransmissions", "failed", "outliers", "by_host", "by_scheduler")


def row_of(key, rounds):
    """Of all rounds of one system and load: medians of what each round measured, and counts of all together."""
    row = dict(key)
    for name in MEDIANS:
        values = [r[name] for r in rounds if name in r]
        row[name] = round(statistics.median(values), 3) if values else None
    return {**row, **{name: sum(r[name] for r in rounds) for name in SUMS}}


def find(rows, **key):
    return next((r for r in rows if all(r[k] == v for k, v in key.items())), None)


def highest_load(rows, systems, server):
    """Calls a second that all systems carry without a neighbour and without a failed call; None: no load is."""
    loads = {r["cps"] for r in rows if r["server"] == server and not r["neighbour"]}
    carried = [cps for cps in loads if all(
        (r := find(rows, system=s, cps=cps, neighbour=False, server=server)) and not r["failed"] and r["calls"] for s in systems)]
    return max(carried, default=None)


def ratio(rows, key, system, beside, **where):
    """Of two systems' rows; None: one of them has no such figure."""
    a, b = find(rows, system=system, **where), find(rows, system=beside, **where)
    return round(a[key] / b[key], 4) if a and b and a[key] is not None and b[key] else None


def ratios(rows, systems, neighbour_cps):
    out = {}
    for server, suffix in (("sipp", ""), ("kamailio", "_kamailio")):
        top = highest_load(rows, systems, server)
        out[f"highest_cps{suffix}"] = top
        where = {"server": server, "cps": top, "neighbour": False}
        out[f"sd_e_vs_a{suffix}"] = ratio(rows, "sd_ms", "wakeup", "bridge", **where)
        out[f"max_e_vs_a{suffix}"] = ratio(rows, "max_ms", "wakeup", "bridge", **where)
        out[f"p99_d_vs_b{suffix}"] = ratio(rows, "p99_ms", "deadlines", "ovs", server=server, cps=neighbour_cps, neighbour=True)
    return out
