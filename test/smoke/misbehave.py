#!/usr/bin/env python3
"""usage: misbehave.py flood IFACE MAC | misbehave.py deaf|ring|short|reader|leaver SOCKET | misbehave.py sender SOCKET MAC

flood: a burst of frames to a MAC and to everybody, then a frame every few ms, until it is ended.
The others are guests that receive: without buffers (deaf), one ring of them (ring), one of buffers that are too short
(short), all (reader), until some came (leaver).
sender: a guest that sends to a MAC as fast as its ring is read.
"""
import socket
import struct
import sys
import time

import hostile

N_BURST = 300  # frames: more than a sender may have queued, less than a TAP's own queue
N_TAKEN = 100  # frames, before a front-end leaves
GAP_S = 0.002
BODY = struct.pack("!H", 0x88B5) + bytes(986)  # an experimental EtherType: no stack answers it


def flood(iface, to):
    conn = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    conn.bind((iface, 0))
    own = bytes.fromhex(open(f"/sys/class/net/{iface}/address").read().strip().replace(":", ""))
    frames = [bytes.fromhex(to.replace(":", "")) + own + BODY, b"\xff" * 6 + own + BODY]
    n = 0
    while True:
        conn.send(frames[n % 2])
        n += 1
        if n == N_BURST:
            print("burst sent")
        if n >= N_BURST:
            time.sleep(GAP_S)


def offer(f, n, size):
    for i in range(n):
        f.desc(0, i, 0x20000 + i * 2048, size, hostile.WRITE)
    f.avail(0, range(n))


def sender(path, to):
    f = hostile.Frontend(path)
    f.start()
    frame = bytes(12) + bytes.fromhex(to.replace(":", "") + "0200000000ee") + BODY
    for i in range(hostile.N_RING):
        f.put(0x20000 + i * 2048, frame)
        f.desc(1, i, 0x20000 + i * 2048, len(frame))
    f.avail(1, range(hostile.N_RING))
    seen = 0
    while True:
        n = (f.used_idx(1) - seen) & 0xFFFF
        f.avail(1, [(seen + i) % hostile.N_RING for i in range(n)])
        seen += n
        time.sleep(0.0005)


def guest(mode, path):
    f = hostile.Frontend(path)
    f.start()
    if mode != "deaf":
        offer(f, hostile.N_RING, 512 if mode == "short" else 2048)
    seen = 0
    while mode in ("reader", "leaver"):
        n = (f.used_idx(0) - seen) & 0xFFFF
        if mode == "leaver" and n >= N_TAKEN:
            return
        if n and mode == "reader":
            f.avail(0, [(seen + i) % hostile.N_RING for i in range(n)])
            seen += n
        time.sleep(0.001)
    time.sleep(600)


if __name__ == "__main__":
    modes = {"flood": flood, "sender": sender}
    modes[sys.argv[1]](*sys.argv[2:]) if sys.argv[1] in modes else guest(*sys.argv[1:])
