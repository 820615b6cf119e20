#!/usr/bin/env python3
"""Stands between a daemon and the program that takes over from it, and does something at one message.

The daemon is told to start this as that program. It starts the real one ($RTVS_RELAY_PROGRAM) with a
socket of its own, and passes every message on with its descriptors. $RTVS_RELAY is a file with
"MESSAGE WHEN WHAT": at the first message of that type, before, after or instead of passing it on,
  kill-next, stop-next, kill-former, term-former, stop-former: a signal to one of the two
  format: another format in hello
  hide-taps, hide-xdp: from there on neither says that it knows of TAPs, of AF_XDP, as versions before did
  lose-taps, lose-xdp: from there on no descriptor of a TAP, of an AF_XDP port is passed on
"none" passes all on. It says "done" in $RTVS_RELAY.done when it did it, with the process of the next daemon."""
import array
import json
import os
import selectors
import signal
import socket
import subprocess
import sys

program, order = os.environ["RTVS_RELAY_PROGRAM"], os.environ["RTVS_RELAY"]
with open(order, encoding="ascii") as f:
    at, when, what = (f.read().split() + ["", "", ""])[:3]
former = socket.socket(fileno=3)
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
os.dup2(theirs.fileno(), 10)
theirs.close()
args = [a for a in sys.argv[1:] if not a.startswith("--take-over")]
loses, hides = (), None # prefixes of descriptors; a word of hello and ready
child = subprocess.Popen([program, *args, "--take-over=10"], pass_fds=[10])
os.close(10)
former_pid = os.getppid()


def act(body):
    global at, hides, loses
    at = ""
    with open(order + ".done", "w", encoding="ascii") as f:
        f.write(f"done {child.pid}\n")
    if what == "format":
        return {**body, "format": 99}
    verb, kind = what.split("-")
    if verb == "hide":
        hides = kind
        return body
    if verb == "lose":
        loses = ("tap.",) if kind == "taps" else ("xdp.", "xdm.")
        return body
    os.kill(child.pid if kind == "next" else former_pid,
            {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM}[verb])
    return body


def pass_on(source, sink):
    data, ancillary, _, _ = source.recvmsg(1 << 18, socket.CMSG_SPACE(64 * 4))
    if not data:
        return False
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:len(content) - len(content) % fds.itemsize])
    body = json.loads(data)
    is_it = body["type"] == at
    if is_it and when != "after":
        body = act(body)
        if when == "instead":
            return False
    body.pop(hides, None)
    if loses and body.get("name", "").startswith(loses):
        return True
    sink.sendmsg([json.dumps(body).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
    for fd in fds:
        os.close(fd)
    if is_it and when == "after":
        act(body)
    return True


selector = selectors.DefaultSelector()
selector.register(former, selectors.EVENT_READ, ours)
selector.register(ours, selectors.EVENT_READ, former)
try:
    while all([pass_on(key.fileobj, key.data) for key, _ in selector.select()]):
        pass
except OSError:
    pass # one of the two is gone; the other one sees it from our end
