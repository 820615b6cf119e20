# Calls of the SIP laboratory (test/perf/lab.py), few of them, for sip_test.sh: sip.py BUILD FILE.
# Through the Linux bridge and through rtvswitchd, with and without deadlines. FILE gets the
# measurements, as JSON.
import json
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../perf"))

import lab  # noqa: E402
import sip  # noqa: E402

CPS, SECONDS = 50, 1.5
MANY_CPS, MANY = 250, 2000


def use_of(pid):
    """Descriptors and resident kB of a process."""
    with open(f"/proc/{pid}/status") as f:
        rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
    return {"fds": len(os.listdir(f"/proc/{pid}/fd")), "rss_kb": rss}


def main(build, path):
    begin = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - begin:5.1f} s] {text}", flush=True)

    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, lambda number, _: (signal.signal(number, signal.SIG_IGN), sys.exit(128 + number)))
    room = lab.Lab(build, False, ("bridge", "plain", "deadlines"))
    rows = []
    try:
        room.start(say)
        daemon = room.switches["rtvswitch"].processes[0].pid
        for server, name, neighbour in (("sipp", "bridge", False), ("sipp", "plain", False), ("kamailio", "plain", True),
                                        ("kamailio", "deadlines", True), ("kamailio", "deadlines", False)):
            got = sip.measure(room, name, server, CPS, SECONDS, neighbour)
            rows.append({"system": name, "server": server, "neighbour": neighbour, "wanted": int(CPS * SECONDS), **got})
            say(f"{name}, {server}{', neighbour' if neighbour else ''}: {got['calls']} calls looked at, {got['failed']} failed, median "
                f"{got.get('p50_ms', 0):.1f} ms")
        before = use_of(daemon)
        many = sip.measure(room, "deadlines", "kamailio", MANY_CPS, MANY / MANY_CPS, False)
        say(f"{MANY} calls: {many['failed']} failed")
        with open(path, "w") as f:
            json.dump({"rows": rows, "many": many, "wanted": MANY, "before": before, "after": use_of(daemon),
                       "drops": room.switches["rtvswitch"].rpc.call("stats.drops")}, f)
    finally:
        room.stop()


main(*sys.argv[1:])
