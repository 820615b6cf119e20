# Records what the daemons of two hosts report about the packets from a port of the first to the
# second.
"""usage: watch.py SOCKET-1 SOCKET-2 PORT FILE   until it is ended; a JSON object a line, "t" is the time"""
import json
import re
import select
import socket
import sys
import time

PERIOD_S = 0.05
UNITS = {"ns": 1e-6, "us": 1e-3, "ms": 1, "s": 1e3}


class Daemon:
    """Its control socket: answers come in order, notifications in between."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)
        self.text = ""
        self.events = []

    def read(self):
        data = self.sock.recv(1 << 16).decode()
        if not data:
            sys.exit("the daemon has ended")
        self.text += data

    def messages(self):
        decoder = json.JSONDecoder()
        while self.text.strip():
            self.text = self.text.lstrip()
            try:
                message, end = decoder.raw_decode(self.text)
            except ValueError:
                return  # not all of it is there yet
            self.text = self.text[end:]
            yield message

    def ask(self, method, **params):
        self.sock.sendall((json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n").encode())
        answer = None
        while answer is None:
            self.read()
            for message in self.messages():
                if "id" in message:
                    answer = message
                else:
                    self.events.append(message)
        if "error" in answer:
            sys.exit(f"{method}: {answer['error']}")
        return answer["result"]

    def wait(self, seconds):
        if select.select([self.sock], [], [], seconds)[0]:
            self.read()
            self.events.extend(m for m in self.messages() if "id" not in m)
        events, self.events = self.events, []
        return events


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)([a-z]*)", text).groups()
    return float(number) * UNITS[unit or "ns"]


def arrived(flow, before):
    """Of the packets since the last look: how many, lost, late, and the largest delay in ms (the top of its bucket)."""
    counts = {b[1]: b[2] for b in flow["delay"]["buckets"]}
    new = [high for high, n in counts.items() if n > before.get("buckets", {}).get(high, 0)]
    change = {k: flow[k] - before.get(k, 0) for k in ("received", "lost", "missed")}
    return change | {"worst_ms": max(new) / 1e6 if new else None}, {"buckets": counts} | {k: flow[k] for k in change}


def growing(two):
    """The flow of which most arrives within a second: daemons name the other host's ports by numbers only."""
    def counts():
        return {(f["tunnel"], f["flow"]): f["received"] for f in two.ask("flow.remote")}

    before = counts()
    time.sleep(1)
    growth = {flow: n - before.get(flow, 0) for flow, n in counts().items()}
    return max(growth, key=growth.get, default=None)


def watch(one, two, port, out):
    def write(what, **fields):
        out.write(json.dumps({"t": time.time(), "what": what} | fields) + "\n")

    one.ask("events.subscribe", events="flow.*")
    write("start")
    which, before = growing(two), {}
    while True:
        for peer in one.ask("peer.list"):
            for flow in peer["flows"]:
                if flow["port"] == port:
                    write("peer", deadline_ms=milliseconds(flow["scheduling_deadline"]), step=flow["step"], dscp=flow["dscp"])
        for flow in two.ask("flow.remote"):
            if (flow["tunnel"], flow["flow"]) == which:
                is_first = not before
                change, before = arrived(flow, before)
                if not is_first:
                    write("arrived", **change)
        for event in one.wait(PERIOD_S):
            if event["params"].get("port") == port:
                write("event", name=event["method"], **event["params"])


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    with open(sys.argv[4], "w", buffering=1) as out:
        watch(Daemon(sys.argv[1]), Daemon(sys.argv[2]), sys.argv[3], out)


main()
