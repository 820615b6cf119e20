# sip: response times of SIP calls, INVITE to 200, as the client's end of the link sees them (tcpdump, by Call-ID). sipp's built-in
# client calls at a steady rate and hangs up at once; sipp's built-in server or Kamailio answers in a guest. lab.py has the set-up.
import contextlib
import os
import signal
import subprocess
import tempfile
import time

import lab
import report
import sip_calls
import systems

CLIENT_PORT = 5070
SKIP_S = 0.25  # of each measurement: the guest has just been woken
SETTLE_S = 0.3
PATIENCE_S = 2.5  # calls that are not over then have failed


def call(room, server, cps, seconds, neighbour):
    """One measurement of the system that is awake: sip_calls.summary."""
    switch, guest = room.awake
    n, wanted = switch.number, int(cps * seconds)
    with tempfile.TemporaryDirectory(prefix="rtvs-sip-") as work, contextlib.ExitStack() as stack:
        pcap = os.path.join(work, "calls.pcap")
        if neighbour:
            stack.enter_context(lab.flooded(n, seconds + PATIENCE_S + 2))
        watcher = stack.enter_context(room.watched())
        with lab.process(lab.in_client("tcpdump", "-Z", "root", "-i", f"c{n}", "-w", pcap, "-s", "700", "-B", "8192",
                                       "--time-stamp-precision=nano", f"udp port {CLIENT_PORT}"), stderr=subprocess.PIPE,
                         text=True) as tcpdump:
            if "listening" not in tcpdump.stderr.readline():
                raise systems.Failed(f"tcpdump: {tcpdump.stderr.read()}")
            time.sleep(SETTLE_S)
            with lab.process(lab.in_client("sipp", "-sn", "uac", f"{guest.address(n)}:{lab.SERVERS[server]}", "-i",
                                           lab.address(n, 1), "-p", str(CLIENT_PORT), "-d", "0", "-r", str(cps), "-m", str(wanted),
                                           "-l", "100000", "-nostdin"), end=signal.SIGKILL, cwd=work, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sipp:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    sipp.wait(seconds + PATIENCE_S)
        watcher.terminate()
        stalls = sip_calls.stalls_of(watcher.communicate(timeout=10)[0])
        with open(pcap, "rb") as f:
            return sip_calls.summary(sip_calls.calls_of(f.read()), wanted, stalls, int(SKIP_S * 1e9))
