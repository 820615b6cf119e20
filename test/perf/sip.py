# sip: response times of SIP calls, INVITE to 200, as the client's end of the link sees them
# (tcpdump, by Call-ID). sipp's built-in client calls at a steady rate and hangs up at once; sipp's
# built-in server or Kamailio answers in a guest. lab.py has the set-up.
import contextlib
import math
import signal
import statistics
import subprocess
import time

import lab
import report
import sip_calls

CLIENT_PORT = 5070
SKIP_S = 0.25  # of each measurement: the guest has just been woken
SETTLE_S = 0.3
PATIENCE_S = 2.5  # calls that are not over then have failed
PAPER_LOADS = (100, 400, 500, 700)  # call/s
# Measured there, ms: a server under KVM behind a Linux bridge and vhost-net (docs/operations.md).
PAPER = {100: "mean about 2, max about 7.5", 400: "min about 1, max about 43", 500: "saw-tooth, max about 380",
         700: "grows, past 500 retransmissions and loss"}
PAPER_AWAKE = "400 call/s, vCPU never yields: mean about 1, sd 0.13, max 17 (at the start)"
SCALES = (1, 0.8, 0.6, 0.4, 0.2)
SECONDS, QUICK_SECONDS = 1.5, 0.8
QUICK_ROUNDS, QUICK_SCALE = 2, 1
WARM_CPS = 100
MEASURE_CPS = 400
COMBINATIONS = [(), *[(m,) for m in lab.MEASURES], lab.WAKEUP]
OVS_SLEEPS = (0, 500)  # us; polling all the time takes a CPU that guest and client share


def call(room, server, cps, seconds, neighbour):
    """One measurement of the system that is awake: sip_calls.summary."""
    switch, guest = room.awake
    n, wanted = switch.number, int(cps * seconds)
    with contextlib.ExitStack() as stack:
        capture = stack.enter_context(lab.Capture(n, CLIENT_PORT))
        if neighbour:
            stack.enter_context(lab.flooded(n, seconds + PATIENCE_S + 2))
        watcher = stack.enter_context(room.watched())
        time.sleep(SETTLE_S)
        with lab.process(lab.in_client("sipp", "-sn", "uac", f"{guest.address(n)}:{lab.SERVERS[server]}", "-i", lab.address(n, 1),
                                       "-p", str(CLIENT_PORT), "-d", "0", "-r", str(cps), "-m", str(wanted), "-l", "100000",
                                       "-nostdin"), end=signal.SIGKILL, cwd=switch.dir, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sipp:
            with contextlib.suppress(subprocess.TimeoutExpired):
                sipp.wait(seconds + PATIENCE_S)
        watcher.terminate()
        stalls = sip_calls.stalls_of(watcher.communicate(timeout=10)[0])
        return sip_calls.summary(sip_calls.calls_of(capture.read()), wanted, stalls, int(SKIP_S * 1e9))


def measure(room, name, server, cps, seconds, neighbour, measures=None):
    _, guest = room.use(name, measures)
    guest.only(server)
    result = call(room, server, cps, seconds, neighbour)
    if not result["calls"]:  # sipp's server ends now and then, in the measurement before: nobody answered at all
        guest.again(server)
        result = {**call(room, server, cps, seconds, neighbour), "repeated": True}
    if result["failed"] or result["retransmissions"]:
        guest.again(server)
    return result


def warm(room, say):
    """A guest's first calls are its programs' first ways through the emulator."""
    for server in lab.SERVERS:
        for name in ("bridge", "wakeup"):
            measure(room, name, server, WARM_CPS, 1, False)
    say("guests are warm")


def find_scale(room, say):
    """Of the papers' loads: the largest at which the bridge completes every call of the highest at its first attempt."""
    for scale in SCALES:
        cps = int(PAPER_LOADS[-1] * scale)
        got = measure(room, "bridge", "sipp", cps, 1, False)
        say(f"bridge, {cps} call/s: {got['failed']} failed, {got['retransmissions']} retransmissions")
        if not got["failed"] and not got["retransmissions"]:
            break
    return scale


def choose_ovs_sleep(room, say):
    """Of OVS's two ways to wait for packets the one with the smaller standard deviation."""
    found = {us: [] for us in OVS_SLEEPS}
    for _ in range(3):
        for us in OVS_SLEEPS:
            room.use("ovs")
            room.switch("ovs").sleep_max(us)
            found[us].append(measure(room, "ovs", "kamailio", MEASURE_CPS, 1, False).get("sd_ms", math.inf))
    chosen = min(OVS_SLEEPS, key=lambda us: statistics.median(found[us]))
    room.switch("ovs").sleep_max(chosen)
    say("OVS, standard deviation with " + ", ".join(f"pmd-sleep-max={us}: {statistics.median(sd):.2f} ms" for us, sd in found.items())
        + f"; {chosen} it is")
    return chosen


def cells_of(loads, quick):
    """(server, cps, neighbour) that each system is measured at in a round."""
    middle = loads[1]
    if quick:
        return [("sipp", loads[0], False), ("kamailio", PAPER_LOADS[1], False), ("kamailio", PAPER_LOADS[0], True)]
    return [*[("sipp", cps, False) for cps in loads], ("sipp", middle, True),
            *[("kamailio", cps, False) for cps in PAPER_LOADS[1::2]], ("kamailio", middle, True)]


def run(build, quick, rounds, say, hugepages=True):
    seconds = QUICK_SECONDS if quick else SECONDS
    rounds = QUICK_ROUNDS if quick else rounds
    steal = report.Steal()
    room = lab.Lab(build, hugepages)
    got, measured = {}, {c: [] for c in COMBINATIONS}
    try:
        room.start(say)
        warm(room, say)
        scale = QUICK_SCALE if quick else find_scale(room, say)
        sleep_us = OVS_SLEEPS[0] if quick else choose_ovs_sleep(room, say)
        loads = [int(cps * scale) for cps in PAPER_LOADS]
        cells = cells_of(loads, quick)
        for n in range(rounds):
            for server, cps, neighbour in cells:
                told = []
                for name in lab.SYSTEMS:
                    result = measure(room, name, server, cps, seconds, neighbour)
                    got.setdefault((name, server, cps, neighbour), []).append(result)
                    told.append(f"{result['p50_ms']:.1f}/{result['max_ms']:.1f}" if "p50_ms" in result else "-")
                say(f"round {n + 1} of {rounds}, {server}, {cps} call/s{', neighbour' if neighbour else ''}: median/max ms "
                    f"{' '.join(told)}")
            if quick and n:
                break
            for combination in (COMBINATIONS[0], COMBINATIONS[-1]) if quick else COMBINATIONS:
                measured[combination].append(measure(room, "deadlines", "kamailio", MEASURE_CPS, seconds, False, combination))
            say(f"round {n + 1} of {rounds}, measures: standard deviation "
                + " ".join(f"{r[-1].get('sd_ms', 0):.2f}" for r in measured.values() if r) + " ms")
    finally:
        room.stop()
    return result_of(got, measured, {**report.machine(), **steal.result(), "hugepages": hugepages, "link_bit_s": lab.LINK,
                                     "fifo_ms": lab.FIFO_MS, "scale_of_sipp_loads": scale, "seconds": seconds, "rounds": rounds,
                                     "ovs_pmd_sleep_max_us": sleep_us,
                                     "repeated_without_an_answer": sum(r.get("repeated", False) for rs in got.values() for r in rs),
                                     "idle_policy": "rtvswitchd: adaptive, after 200 us; wake-up: after 20 us"})


def name_of(combination):
    return " + ".join(combination) or "none"


def result_of(got, measured, machine):
    rows = [sip_calls.row_of({"system": s, "cps": cps, "neighbour": neighbour, "server": server}, r)
            for (s, server, cps, neighbour), r in got.items()]
    measures = [sip_calls.row_of({"measures": name_of(c), "cps": MEASURE_CPS, "server": "kamailio"}, r)
                for c, r in measured.items() if r]
    disturbed = {k: min((r["cps"] for r in rows if r["neighbour"] and r["server"] == k), default=None) for k in lab.SERVERS}
    everything = {}
    for server in lab.SERVERS:
        one = sip_calls.ratios(rows, lab.SYSTEMS, disturbed[server])
        everything.update({k: v for k, v in one.items() if k.endswith("_kamailio") == (server == "kamailio")})
    return {"bench": "sip", "machine": machine, "rows": rows, "ratios": everything, "measures": measures,
            "quantiles": sip_calls.QUANTILES,
            "rounds": [{"system": s, "cps": cps, "neighbour": neighbour, "server": server, "round": n, **r}
                       for (s, server, cps, neighbour), rs in got.items() for n, r in enumerate(rs)]}


def middle_round(res, **key):
    """The round whose maximum is the median."""
    found = [r for r in res["rounds"] if all(r[k] == v for k, v in key.items()) and r["points"]]
    return sorted(found, key=lambda r: r["max_ms"])[len(found) // 2] if found else None


def page(res):
    cells = list(dict.fromkeys((r["server"], r["cps"], r["neighbour"]) for r in res["rows"]))

    def title(server, cps, neighbour):
        return f"{server}, {cps} call/s{', neighbour' if neighbour else ''}"

    plots = []
    for is_disturbed in (False, True):
        chosen = [c for c in cells if c[2] == is_disturbed]
        panels = [[(middle_round(res, system=s, server=c[0], cps=c[1], neighbour=c[2]) or {"points": []})["points"]
                   for s in lab.SYSTEMS] for c in chosen]
        plots.append(("Response time of each call" + (" beside a neighbour" if is_disturbed else ""),
                      report.grid([title(*c) for c in chosen], [lab.LABELS[s] for s in lab.SYSTEMS], panels, "s", "ms, log scale")))
    plots.append(("How many calls are answered within a time", report.shares(
        [title(*c) for c in cells],
        [{lab.LABELS[s]: quantiles_of(res, system=s, server=c[0], cps=c[1], neighbour=c[2]) for s in lab.SYSTEMS} for c in cells],
        res["quantiles"])))
    plots.append(("Beside the paper", report.table(paper_rows(res)) + "<p class=\"note\">There: one server under KVM, behind a Linux "
                  f"bridge and vhost-net; {PAPER_AWAKE}. Here loads of sipp's server are scaled by "
                  f"{res['machine']['scale_of_sipp_loads']:g}, figures are mean / standard deviation / maximum in ms.</p>"))
    plots.append(("What keeps the server awake", report.table(res["measures"]) + "<ul class=\"note\">" + "".join(
        f"<li><b>{k}</b>: {v}</li>" for k, v in lab.MEASURES.items()) + "</ul>"))
    return ("Response times of SIP calls",
            "INVITE to 200 at the client's end of a link of 100 Mbit/s, from the kernel's times of both packets. The client is sipp's "
            "built-in scenario with calls of 0 ms; sipp's built-in server or Kamailio answers in a guest. The neighbour sends 1.5 times "
            "the link's rate in the same direction as the answers. Outliers are calls beyond 5 medians or 10 ms: by_host are those that a "
            "stolen CPU explains, by_scheduler those for which a thread of the path was ready, but something else ran. "
            "bridge: Linux bridge and tap; plain, deadlines, wakeup: rtvswitchd.", plots)


def quantiles_of(res, **key):
    """Medians over the rounds."""
    found = [r["quantiles_ms"] for r in res["rounds"] if all(r[k] == v for k, v in key.items()) and r["quantiles_ms"]]
    return [statistics.median(column) for column in zip(*found)]


def paper_rows(res):
    plain = [r for r in res["rows"] if not r["neighbour"]]
    rows = []
    for paper in PAPER_LOADS:
        for server in lab.SERVERS:
            cps = int(paper * res["machine"]["scale_of_sipp_loads"]) if server == "sipp" else paper
            if not sip_calls.find(plain, server=server, cps=cps):
                continue
            row = {"paper's load": paper, "the paper saw, ms": PAPER[paper], "server": server, "call/s": cps}
            for s in lab.SYSTEMS:
                r = sip_calls.find(plain, server=server, cps=cps, system=s)
                row[lab.LABELS[s]] = f"{r['mean_ms']:.1f} / {r['sd_ms']:.1f} / {r['max_ms']:.0f}" if r and r["calls"] else "-"
            rows.append(row)
    return rows
