# A flow of UDP datagrams whose receiver records the delay of each: both on one machine, so with one
# clock.
"""usage: flow.py send ADDRESS PORT BYTES PERIOD_MS   a datagram of BYTES every PERIOD_MS, until it is ended
       flow.py receive PORT FILE                  a line for each: number, second when it was sent, ms that it took"""
import itertools
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
HEAD = struct.Struct("=QQ")  # number, ns of CLOCK_REALTIME


def send(address, port, size, period_ms):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((address, port))
    rest = bytes(size - HEAD.size)
    begin = time.monotonic()
    for number in itertools.count():
        time.sleep(max(0, begin + number * period_ms / 1000 - time.monotonic()))
        try:
            sock.send(HEAD.pack(number, time.time_ns()) + rest)
        except OSError:
            pass  # nobody listens, or the switch takes no more: lost


def receive(port, path):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    sock.bind(("0.0.0.0", port))
    with open(path, "w", buffering=1) as out:
        while True:
            data, ancillary, _, _ = sock.recvmsg(2048, 64)
            seconds, ns = struct.unpack("=qq", ancillary[0][2][:16])  # when the kernel got it
            number, sent_ns = HEAD.unpack_from(data)
            out.write(f"{number} {sent_ns / 1e9:.6f} {(seconds * 10**9 + ns - sent_ns) / 1e6:.3f}\n")


def main():
    args = sys.argv[2:]
    if sys.argv[1:2] == ["send"] and len(args) == 4:
        send(args[0], int(args[1]), int(args[2]), float(args[3]))
    elif sys.argv[1:2] == ["receive"] and len(args) == 2:
        receive(int(args[0]), args[1])
    else:
        sys.exit(__doc__)


main()
