# A flow of UDP datagrams with their times, for the benches.
"""usage: udp_flow.py send ADDRESS PORT BYTES COUNT PERIOD_MS SECONDS   COUNT datagrams at once, each PERIOD_MS
       udp_flow.py receive PORT SECONDS FILE                       writes (number, sent, received) of each, 3 x 64 bits
BYTES: of UDP payload, from 16. Times: ns of CLOCK_REALTIME, of arrival the kernel's."""
import array
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
HEAD = struct.Struct("=QQ")


def send(address, port, size, count, period_ms, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
    rest = bytes(size - HEAD.size)
    begin = time.monotonic()
    n = 0
    for turn in range(int(seconds * 1000 / period_ms)):
        wait = begin + turn * period_ms / 1000 - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        for _ in range(count):
            sock.send(HEAD.pack(n, time.time_ns()) + rest)
            n += 1
    print(n)


def receive(port, seconds, path):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("0.0.0.0", port))
    sock.settimeout(0.1)
    out = array.array("Q")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            data, ancillary, _, _ = sock.recvmsg(2048, 64)
        except TimeoutError:
            continue
        s, ns = struct.unpack("=qq", ancillary[0][2][:16])
        out.extend(HEAD.unpack_from(data))
        out.append(s * 10**9 + ns)
    with open(path, "wb") as f:
        out.tofile(f)


def main():
    args = sys.argv[2:]
    if sys.argv[1:2] == ["send"] and len(args) == 6:
        send(args[0], int(args[1]), int(args[2]), int(args[3]), float(args[4]), float(args[5]))
    elif sys.argv[1:2] == ["receive"] and len(args) == 3:
        receive(int(args[0]), float(args[1]), args[2])
    else:
        sys.exit(__doc__)


main()
