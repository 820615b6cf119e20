#!/usr/bin/env python3
"""usage: guest.py run SOCKET SECONDS COMMAND | guest.py qmp SOCKET COMMAND [JSON-ARGUMENTS]

Talks to a test guest: run executes a shell command through the guest's virtio console and ends with
its exit code (124: no answer in time); qmp executes one QMP command and prints its result.
"""
import json
import random
import re
import socket
import sys
import time


def connect(path, seconds):
    conn = socket.socket(socket.AF_UNIX)
    conn.settimeout(seconds)
    conn.connect(path)
    return conn


def run(path, seconds, command):
    conn = connect(path, 5)
    mark = "M%08d" % random.randrange(10**8)
    # The marks are split in the command so that the terminal's echo of it cannot match.
    script = "\nstty -echo; PS1=; echo '%s''B'; { %s\n} </dev/null 2>&1; echo '%s''E'$?\n"
    end = time.time() + seconds
    conn.sendall((script % (mark, command, mark)).encode())
    pattern = re.compile((mark + r"B\r?\n(.*?)" + mark + r"E(\d+)\r?\n").encode(), re.S)
    seen = b""
    while time.time() < end:
        conn.settimeout(max(0.1, min(1.0, end - time.time())))
        try:
            data = conn.recv(65536)
        except socket.timeout:
            continue
        if not data:
            break
        seen += data
        match = pattern.search(seen)
        if match:
            sys.stdout.write(match[1].decode(errors="replace").replace("\r", ""))
            return int(match[2])
    sys.stderr.write("no answer from the guest within %g s: %s\n" % (seconds, command))
    return 124


def qmp(path, command, arguments):
    stream = connect(path, 20).makefile("rw")
    stream.readline()
    for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
        stream.write(json.dumps(request) + "\n")
        stream.flush()
        while True:
            answer = json.loads(stream.readline())
            if "return" in answer or "error" in answer:
                break
    print(json.dumps(answer.get("return", answer.get("error"))))
    return 1 if "error" in answer else 0


def main(args):
    if len(args) == 4 and args[0] == "run":
        return run(args[1], float(args[2]), args[3])
    if len(args) in (3, 4) and args[0] == "qmp":
        return qmp(args[1], args[2], json.loads(args[3]) if len(args) == 4 else {})
    print(__doc__.strip())
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
