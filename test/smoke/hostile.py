#!/usr/bin/env python3
"""usage: hostile.py list | hostile.py SOCKET ATTACK

A vhost-user front-end that does not keep to the protocol (https://qemu-project.gitlab.io/qemu/interop/vhost-user.html,
rings: virtio 1.3, section 2.7 and 2.8). The attack "good" is the honest one: it sends N_GOOD frames and waits
until the device has taken them.
"""
import array
import ctypes
import mmap
import os
import random
import select
import signal
import socket
import struct
import sys
import threading
import time

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_LOG_BASE = 1, 2, 3, 5, 6
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 8, 9, 10, 11, 12, 13
SET_LOG_FD, SET_VRING_ERR, SET_BACKEND_REQ_FD, POSTCOPY_ADVISE, GET_INFLIGHT_FD, SET_INFLIGHT_FD = 7, 14, 21, 28, 31, 32
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE = 15, 16, 17, 18
GET_MAX_MEM_SLOTS, ADD_MEM_REG = 36, 37
F_MRG, F_LOG_ALL, F_INDIRECT, F_PROTOCOL, F_VERSION_1, F_PACKED = 1 << 15, 1 << 26, 1 << 28, 1 << 30, 1 << 32, 1 << 34
NEXT, WRITE, INDIRECT = 1, 2, 4
SIZE = 4 << 20
BASE = 0x7F0000000000  # the front-end's own address of guest memory: anything, as long as it is consistent
N_RING = 256
N_GOOD = 10
FRAME = bytes(12) + b"\xff" * 6 + bytes.fromhex("0200000000ee") + b"\x88\xb5" + bytes(50)


KEPT = []  # what must stay open


class Frontend:
    def __init__(self, path):
        self.conn = socket.socket(socket.AF_UNIX)
        self.conn.settimeout(5)
        self.conn.connect(path)
        self.path = path
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, SIZE)
        self.mem = mmap.mmap(self.fd, SIZE)
        self.kicks = {}
        self.left = -1  # messages until the line is cut; negative: never

    def send(self, request, payload=b"", fds=(), size=None, flags=1):
        if self.left == 0:
            raise ConnectionResetError("cut on purpose")
        self.left -= 1
        data = struct.pack("<III", request, flags, len(payload) if size is None else size) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.conn.sendmsg([data], rights)

    def ask(self, request, payload=b""):
        self.send(request, payload)
        head = self.conn.recv(12, socket.MSG_WAITALL)
        return self.conn.recv(struct.unpack("<III", head)[2], socket.MSG_WAITALL)

    def features(self, wanted):
        offered = struct.unpack("<Q", self.ask(GET_FEATURES))[0]
        self.send(SET_OWNER)
        if offered & F_PROTOCOL:
            protocol = struct.unpack("<Q", self.ask(GET_PROTOCOL_FEATURES))[0]
            self.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", protocol & 1))
        self.send(SET_FEATURES, struct.pack("<Q", offered & wanted))

    def mem_table(self, regions=None, fds=None, flags=1):
        regions = [(0, SIZE, BASE, 0)] if regions is None else regions
        fds = [self.fd] * len(regions) if fds is None else fds
        body = struct.pack("<II", len(regions), 0) + b"".join(struct.pack("<QQQQ", *region) for region in regions)
        self.send(SET_MEM_TABLE, body, fds, flags=flags)

    # Ring q: descriptors, driver area and device area on pages of their own.
    def area(self, q):
        return 0x2000 + q * 0x4000

    def vring(self, q, num=N_RING, base=0, addrs=None):
        at = BASE + self.area(q)
        desc, used, avail = addrs or (at, at + 0x3000, at + 0x2000)
        self.send(SET_VRING_NUM, struct.pack("<II", q, num))
        self.send(SET_VRING_BASE, struct.pack("<II", q, base))
        self.send(SET_VRING_ADDR, struct.pack("<IIQQQQ", q, 0, desc, used, avail, 0))
        kick = os.eventfd(0)
        self.send(SET_VRING_CALL, struct.pack("<Q", q), [os.eventfd(0)])
        self.send(SET_VRING_KICK, struct.pack("<Q", q), [kick])
        self.kicks[q] = kick

    def enable(self, q, on=1):
        self.send(SET_VRING_ENABLE, struct.pack("<II", q, on))

    def start(self, wanted=F_VERSION_1 | F_PROTOCOL | F_MRG | F_INDIRECT, **kw):
        self.features(wanted)
        self.mem_table()
        for q in (0, 1):
            self.vring(q, **kw)
        for q in (0, 1):
            self.enable(q)

    def put(self, at, data):
        self.mem[at : at + len(data)] = data

    def desc(self, q, i, addr, length, flags=0, follow=0):
        self.put(self.area(q) + i * 16, struct.pack("<QIHH", addr, length, flags, follow))

    def avail(self, q, heads, idx=None):
        at = self.area(q) + 0x2000
        start = struct.unpack("<H", self.mem[at + 2 : at + 4])[0]
        for i, head in enumerate(heads):
            self.put(at + 4 + 2 * ((start + i) % N_RING), struct.pack("<H", head))
        self.put(at + 2, struct.pack("<H", (start + len(heads)) & 0xFFFF if idx is None else idx))
        self.kick(q)

    def kick(self, q):
        os.eventfd_write(self.kicks[q], 1)

    def used_idx(self, q):
        at = self.area(q) + 0x3000
        return struct.unpack("<H", self.mem[at + 2 : at + 4])[0]

    def wait_used(self, q, idx, seconds=5):
        end = time.time() + seconds
        while self.used_idx(q) != idx:
            if time.time() > end:
                raise TimeoutError(f"used index {self.used_idx(q)}, expected {idx}")
            time.sleep(0.01)

    def closed(self, seconds=5):
        """True when the device hangs up, False when it keeps the line."""
        self.conn.settimeout(seconds)
        try:
            while self.conn.recv(4096):
                pass
            return True
        except socket.timeout:
            return False
        except OSError:
            return True

    def must_be_connected(self):
        if select.select([self.conn], [], [], 0)[0]:
            raise ConnectionResetError("the device hung up")

    def wait_used_packed(self, at, flags, seconds=5):
        end = time.time() + seconds
        while struct.unpack("<H", self.mem[at + 14 : at + 16])[0] != flags:
            if time.time() > end:
                raise TimeoutError(f"flags {self.mem[at + 14 : at + 16].hex()}")
            time.sleep(0.01)

    def end(self):
        """Closes what is open, so that one front-end may follow another."""
        self.conn.close()
        self.mem.close()
        os.close(self.fd)

    def linger(self):
        """Time for a worker to fall for what lies in the ring."""
        for _ in range(10):
            for q in self.kicks:
                self.kick(q)
            time.sleep(0.02)


def good(f):
    f.start()
    for i in range(N_GOOD):
        f.put(0x20000 + i * 2048, FRAME)
        f.desc(1, i, 0x20000 + i * 2048, len(FRAME))
    f.avail(1, range(N_GOOD))
    f.wait_used(1, N_GOOD)
    f.ask(GET_VRING_BASE, struct.pack("<II", 1, 0))


def echo(f):
    """An honest one at a device that sends its frames back."""
    f.start(wanted=F_VERSION_1 | F_PROTOCOL)
    for i in range(N_GOOD):
        f.desc(0, i, 0x40000 + i * 2048, 2048, WRITE)
        f.put(0x20000 + i * 2048, FRAME[:-1] + bytes([i]))
        f.desc(1, i, 0x20000 + i * 2048, len(FRAME))
    f.avail(0, range(N_GOOD))
    f.avail(1, range(N_GOOD))
    f.wait_used(0, N_GOOD)
    for i in range(N_GOOD):
        at = 0x40000 + i * 2048
        assert f.mem[at : at + len(FRAME)] == FRAME[:-1] + bytes([i]), f"frame {i} is another"
    f.ask(GET_VRING_BASE, struct.pack("<II", 1, 0))


def hold(f):
    """An honest one that stays; it says "ready" when it has the port, and sends a frame for each line that it reads."""
    f.start()
    f.ask(GET_FEATURES)
    print("ready", flush=True)
    f.put(0x20000, FRAME)
    for sent, _ in enumerate(sys.stdin):
        f.must_be_connected()
        f.desc(1, 0, 0x20000, len(FRAME))
        f.avail(1, [0])
        f.wait_used(1, sent + 1)
        print("sent", flush=True)


def hold_packed(f):
    """The same with packed rings."""
    f.start(F_VERSION_1 | F_PROTOCOL | F_PACKED, base=0x80008000)
    f.ask(GET_FEATURES)
    print("ready", flush=True)
    f.put(0x20000, FRAME)
    for sent, _ in enumerate(sys.stdin):
        f.must_be_connected()
        at, odd = f.area(1) + sent % N_RING * 16, sent // N_RING % 2
        f.put(at, struct.pack("<QIHH", 0x20000, len(FRAME), 7, 0x8000 if odd else 0x80))
        f.kick(1)
        f.wait_used_packed(at, 0 if odd else 0x8080)
        print("sent", flush=True)


def hold_half(f):
    """An honest one that stays in the middle of a message, and says when it was hung up on."""
    f.start()
    f.ask(GET_FEATURES)
    print("ready", flush=True)
    sys.stdin.readline()
    f.conn.sendall(b"\x01\x00\x00")
    print("sent", flush=True)
    assert f.closed(30)
    print("closed", flush=True)


def halves(f):
    """Messages that stop in the middle, one connection after another, until it is ended."""
    while True:
        try:
            f.send(SET_MEM_TABLE, size=264)
            f.closed()
        except OSError:
            pass
        f.conn.close()
        f.conn = socket.socket(socket.AF_UNIX)
        f.conn.connect(f.path)


def garbage(f):
    rng = random.Random(1)
    f.conn.sendall(rng.randbytes(4000))


def silent(f):
    time.sleep(1)


def half_header(f):
    f.conn.sendall(b"\x01\x00\x00")
    time.sleep(1)


def no_payload(f):
    f.send(SET_MEM_TABLE, size=264)
    time.sleep(2)


def must_hang_up(f):
    assert f.closed(), "the device keeps the line"


def reads_no_answers(f):
    f.conn.settimeout(5)
    while True:
        f.send(GET_FEATURES)


def huge_size(f):
    f.send(SET_FEATURES, size=0xFFFFFFFF)
    time.sleep(0.3)


def short_payload(f):
    f.send(SET_FEATURES, b"\0" * 3)


def unknown_requests(f):
    for request in (0, 7, 43, 44, 200, 0xFFFFFFFF):
        f.send(request, b"\0" * 8)


def wrong_version(f):
    f.send(GET_FEATURES, flags=2)


def too_many_fds(f):
    f.send(SET_OWNER, fds=[f.fd] * 30)


def fd_flood(f):
    for _ in range(300):
        f.send(SET_VRING_CALL, struct.pack("<Q", 0), [os.dup(f.fd)])


def bad_regions(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table([(0, 1 << 62, BASE, 0)])


def wrapping_region(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table([(0, (1 << 64) - 4096, BASE, 8192)])


def region_beyond_file(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table([(0, SIZE * 16, BASE, 0)])
    for q in (0, 1):
        f.vring(q, addrs=(BASE + SIZE * 8, BASE + SIZE * 8 + 0x3000, BASE + SIZE * 8 + 0x2000))
        f.enable(q)
    f.linger()


def regions_without_fds(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table([(0, SIZE, BASE, 0), (SIZE, SIZE, BASE + SIZE, 0)], [])


def too_many_regions(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.send(SET_MEM_TABLE, struct.pack("<II", 4000, 0) + bytes(32 * 8), [f.fd])


def region_is_no_memory(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table(fds=[f.conn.fileno()])


def truncated_memory(f):
    f.start()
    f.desc(1, 0, 0x20000, len(FRAME))
    os.ftruncate(f.fd, 0)
    for q in (0, 1):
        f.kick(q)
    time.sleep(1)


def truncated_buffers(f):
    f.start()
    for i in range(64):
        f.desc(1, i, SIZE - 8192, 1000)
        f.desc(0, i, SIZE - 8192, 2048, WRITE)
    f.avail(0, range(64))
    f.mem.flush()
    os.ftruncate(f.fd, 1 << 20)
    f.avail(1, range(64))
    f.linger()


def ring_addresses_lie(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table()
    for q, at in ((0, 0), (1, BASE + SIZE - 8)):
        f.vring(q, addrs=(at, at, at))
        f.enable(q)
    f.linger()


def ring_addresses_unaligned(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.mem_table()
    for q in (0, 1):
        at = BASE + f.area(q) + 3
        f.vring(q, addrs=(at, at + 0x3001, at + 0x2003))
        f.enable(q)
    f.linger()


def ring_sizes_lie(f):
    for num in (0, 3, 255, 65535, 1 << 31):
        f.send(SET_VRING_NUM, struct.pack("<II", 0, num))


def ring_indexes_lie(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    for q in (9, 255, 100000):
        f.send(SET_VRING_NUM, struct.pack("<II", q, 256))
        f.send(SET_VRING_ENABLE, struct.pack("<II", q, 1))
        f.send(SET_VRING_KICK, struct.pack("<Q", q & 0xFF), [f.fd])


def base_lies(f):
    f.start(base=0xFFFFFFFF)
    f.avail(1, [0])
    f.linger()


def avail_index_lies(f):
    f.start()
    f.avail(1, [], idx=40000)
    f.avail(0, [], idx=40000)
    f.linger()


def avail_index_races(f):
    f.start()
    for i in range(N_RING):
        f.desc(1, i, 0x20000, len(FRAME))
    end = time.time() + 0.5
    while time.time() < end:
        f.put(f.area(1) + 0x2002, os.urandom(2))
        f.kick(1)


def heads_lie(f):
    f.start()
    f.avail(1, [0xFFFF, 256, 257, 0x8000])
    f.avail(0, [0xFFFF, 256])
    f.linger()


def addresses_lie(f):
    f.start()
    for i, addr in enumerate((SIZE, SIZE - 10, 1 << 63, (1 << 64) - 1, BASE)):
        f.desc(1, i, addr, 1000)
        f.desc(0, i, addr, 2048, WRITE)
    f.avail(0, range(5))
    f.avail(1, range(5))
    f.linger()


def lengths_lie(f):
    f.start()
    for i, length in enumerate((0, 1, 11, 12, 13, 0xFFFFFFFF, 0x80000000, SIZE)):
        f.desc(1, i, 0x20000, length)
        f.desc(0, i, 0x20000, length, WRITE)
    f.avail(0, range(8))
    f.avail(1, range(8))
    f.linger()


def chain_loops(f):
    f.start()
    f.desc(1, 0, 0x20000, 64, NEXT, 1)
    f.desc(1, 1, 0x20000, 64, NEXT, 0)
    f.desc(1, 2, 0x20000, 64, NEXT, 2)
    f.desc(1, 3, 0x20000, 64, NEXT, 60000)
    f.avail(1, [0, 2, 3])
    f.linger()


def chain_is_long(f):
    f.start()
    for i in range(N_RING - 1):
        f.desc(1, i, 0x20000, 65535, NEXT, i + 1)
    f.desc(1, N_RING - 1, 0x20000, 65535)
    f.avail(1, [0])
    f.linger()


def indirect_lies(f):
    f.start()
    f.put(0x40000, struct.pack("<QIHH", 0x40000, 32, INDIRECT | NEXT, 1) * 4)  # indirect in indirect, looping
    f.desc(1, 0, 0x40000, 64, INDIRECT)
    f.desc(1, 1, 0x40000, 7, INDIRECT)
    f.desc(1, 2, SIZE - 8, 64, INDIRECT)
    f.desc(1, 3, 0x40000, 0xFFFFFFF0, INDIRECT)
    f.avail(1, range(4))
    f.linger()


def headers_lie(f):
    """virtio-net headers that promise segments and checksums which the frame does not have."""
    f.start(F_VERSION_1 | F_PROTOCOL | F_MRG | F_INDIRECT | 0x7FFF)
    rng = random.Random(2)
    for i in range(N_RING):
        f.put(0x20000 + i * 256, rng.randbytes(12) + FRAME[12:])
        f.desc(1, i, 0x20000 + i * 256, rng.choice((20, 26, 30, 60, 74, 200)))
    f.avail(1, range(N_RING - 1))
    f.linger()


def frames_are_random(f):
    f.start(F_VERSION_1 | F_PROTOCOL | F_MRG | F_INDIRECT | 0x7FFF)
    rng = random.Random(3)
    types = (b"\x08\x00", b"\x08\x06", b"\x86\xdd", b"\x81\x00", b"\x88\xa8", b"\x00\x10")
    for i in range(N_RING):
        f.put(0x20000 + i * 512, bytes(12) + rng.randbytes(12) + rng.choice(types) + rng.randbytes(300))
        f.desc(1, i, 0x20000 + i * 512, rng.randrange(12, 320))
    f.avail(1, range(N_RING - 1))
    f.linger()


def frames_are_long(f):
    f.start()
    for i in range(20):
        f.put(0x20000, FRAME)
        f.desc(1, i, 0x20000, 200000 if i % 2 else 70000)
    f.avail(1, range(20))
    f.linger()


def packed_lies(f):
    f.start(F_VERSION_1 | F_PROTOCOL | F_PACKED | F_INDIRECT, base=0x80008000)
    rng = random.Random(4)
    for i in range(N_RING):
        f.put(f.area(1) + i * 16, struct.pack("<QIHH", rng.choice((0x20000, SIZE - 4, 1 << 63)),
            rng.choice((0, 10, 100, 0xFFFFFFFF)), rng.randrange(65536), rng.choice((0x80, 0x81, 0x84, 0x8080, 0x85))))
    f.linger()


def packed_chain_never_ends(f):
    f.start(F_VERSION_1 | F_PROTOCOL | F_PACKED, base=0x80008000)
    for i in range(N_RING):
        f.put(f.area(1) + i * 16, struct.pack("<QIHH", 0x20000, 64, i, 0x80 | NEXT))
    f.linger()


def restarts_rings(f):
    f.start()
    for i in range(40):
        f.enable(1, i & 1)
        f.ask(GET_VRING_BASE, struct.pack("<II", 1, 0))
        f.vring(1)


def memory_replaced_while_running(f):
    f.start()
    for i in range(30):
        f.mem_table([(0, SIZE // (1 + i % 3), BASE, 0)])
        f.kick(1)


def log_lies(f):
    f.features(F_VERSION_1 | F_PROTOCOL | F_LOG_ALL)
    tiny = os.memfd_create("log")
    f.send(SET_LOG_BASE, struct.pack("<QQ", 1 << 40, 1 << 60), [tiny])


def kick_is_a_file(f):
    f.start()
    f.send(SET_VRING_KICK, struct.pack("<Q", 1), [os.open("/dev/zero", os.O_RDONLY)])
    time.sleep(0.5)


def full_eventfd():
    """At its maximum: a write to it waits until somebody reads, which nobody does."""
    fd = os.eventfd(0)
    os.eventfd_write(fd, (1 << 64) - 2)
    return fd


def full_pipe():
    end = os.pipe2(os.O_NONBLOCK)[1]
    try:
        while True:
            os.write(end, bytes(4096))
    except BlockingIOError:
        pass
    os.set_blocking(end, True)
    return end


def full_socket():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(4096))
    except BlockingIOError:
        pass
    ours.setblocking(True)
    KEPT.append(theirs)
    return ours.detach()


def watched_eventfd():
    """So many wait for it that a write to it takes its writer milliseconds."""
    fd = os.eventfd(0)
    copies = [os.dup(fd) for _ in range(300)]
    for _ in range(300):
        KEPT.append(select.epoll())
        for copy in copies:
            KEPT[-1].register(copy, select.EPOLLIN)
    return fd


def lingering(kept):
    """A TCP socket whose closing waits, for the reader of what it has sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    ours = socket.socket()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    ours.connect(listener.getsockname())
    kept.append(listener.accept()[0])
    ours.setblocking(False)
    try:
        while True:
            ours.send(bytes(65536))
    except BlockingIOError:
        pass
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
    return ours


def call_takes_nothing(f):
    f.start()
    for q in (0, 1):
        f.send(SET_VRING_CALL, struct.pack("<Q", q), [full_eventfd()])
    f.ask(GET_FEATURES)  # the calls are in use
    for i in range(64):
        f.desc(1, i, 0x20000, len(FRAME))
    f.put(0x20000, FRAME)
    f.avail(1, range(64))
    f.wait_used(1, 64)  # a worker does not wait for it


def call_is_filled_later(f):
    f.start()
    calls = [os.eventfd(0, os.EFD_NONBLOCK) for _ in (0, 1)]
    for q in (0, 1):
        f.send(SET_VRING_CALL, struct.pack("<Q", q), [calls[q]])
    f.put(0x20000, FRAME)
    for i in range(64):
        f.desc(1, i, 0x20000, len(FRAME))
    f.avail(1, [0])
    f.wait_used(1, 1)
    for call in calls:
        if select.select([call], [], [], 0)[0]:
            os.eventfd_read(call)
        os.eventfd_write(call, (1 << 64) - 2)
        os.set_blocking(call, True)
    f.avail(1, range(1, 64))
    must_hang_up(f)


def call_is_costly(f):
    f.start()
    call = watched_eventfd()
    for q in (0, 1):
        f.send(SET_VRING_CALL, struct.pack("<Q", q), [call])
    f.put(0x20000, FRAME)
    for i in range(N_RING):
        f.desc(1, i, 0x20000, len(FRAME))
    f.conn.setblocking(False)
    end = time.time() + 5
    while time.time() < end:
        f.avail(1, [0])
        try:
            assert f.conn.recv(1) == b""
            return
        except BlockingIOError:
            time.sleep(0.001)
    raise AssertionError("the device keeps the line")


def is_served(path):
    end = time.time() + 5
    while time.time() < end:
        try:
            f = Frontend(path)
            f.ask(GET_FEATURES)
            f.end()
            return True
        except (OSError, struct.error):
            time.sleep(0.01)
    return False


def stop(pid):
    """Until each thread has stopped, which takes the signal a moment."""
    os.kill(pid, signal.SIGSTOP)
    end = time.time() + 5
    tasks = f"/proc/{pid}/task"
    while any(open(f"{tasks}/{t}/stat").read().rsplit(")", 1)[1].split()[0] != "T" for t in os.listdir(tasks)):
        assert time.time() < end, "it goes on"


def while_it_stands_still(pid, way, f):
    """False where that waits for the daemon: for a place among those that wait to be accepted."""

    def wake(*_):
        raise TimeoutError

    signal.signal(signal.SIGALRM, wake)
    try:
        stop(pid)
        signal.setitimer(signal.ITIMER_REAL, 2)
        way(f)
        return True
    except TimeoutError:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(pid, signal.SIGCONT)


def last_reference_waits(path):
    """The device drops the last reference of a socket that lingers, wherever that can lie: its neighbours do not notice."""
    kept = []

    def head(request, size):
        return struct.pack("<III", request, 1, size)

    def send(conn, data, n=1):
        socks = [lingering(kept) for _ in range(n)]
        try:
            socket.send_fds(conn, [data], [s.fileno() for s in socks])
        except OSError:
            for s in socks:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
            raise
        for s in socks:
            s.close()

    def send_nested(conn, data):
        """In the queue of the socket that is sent."""
        ours, theirs = socket.socketpair()
        send(ours, b"x")
        socket.send_fds(conn, [data], [theirs.fileno()])
        theirs.close()
        kept.append(ours)

    def unread(f):
        f.conn.sendall(head(POSTCOPY_ADVISE, 0))
        send(f.conn, head(SET_OWNER, 0))

    def of_payload(f):
        f.conn.sendall(head(SET_FEATURES, 8))
        send(f.conn, bytes(8))

    def too_many(f):
        send(f.conn, head(SET_OWNER, 0), n=10)

    def refused(f):
        second = socket.socket(socket.AF_UNIX)
        second.connect(path)
        send(second, head(SET_OWNER, 0))
        kept.append(second)

    def wrong(f):
        send_nested(f.conn, head(SET_VRING_CALL, 8) + bytes(8))

    def backend_channel(f):
        for _ in range(2):
            send_nested(f.conn, head(SET_BACKEND_REQ_FD, 0))

    for way in (unread, of_payload, too_many, refused, wrong, backend_channel):
        for _ in range(5):
            assert is_served(path), f"before {way.__name__}"
            f = Frontend(path)
            f.ask(GET_FEATURES)
            pid = struct.unpack("iII", f.conn.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
            # What is closed meanwhile is not the last reference.
            is_done = while_it_stands_still(pid, way, f)
            assert is_served(os.path.dirname(path) + "/peer.sock"), f"{way.__name__} holds up its neighbours"
            f.end()
            while kept:
                kept.pop().close()
            if is_done:
                break
        assert is_done, f"{way.__name__} waits for the daemon"


def descriptors_are_wrong(path):
    """Each message that has descriptors, with each kind that it must not have."""
    KEPT.append(select.epoll())
    wrong = [full_pipe(), os.open("/dev/zero", os.O_RDWR), os.open("/dev/null", os.O_WRONLY), KEPT[-1].fileno()]
    memory, event, line = os.memfd_create("guest"), os.eventfd(0), full_socket()
    os.ftruncate(memory, SIZE)
    table = struct.pack("<II", 1, 0) + struct.pack("<QQQQ", 0, SIZE, BASE, 0)
    for request, payload, others in (
        (SET_MEM_TABLE, table, [event, line]),
        (SET_LOG_BASE, struct.pack("<QQ", SIZE, 0), [event, line]),
        (SET_LOG_FD, b"", [memory, line]),
        (SET_VRING_KICK, bytes(8), [memory, line]),
        (SET_VRING_CALL, bytes(8), [memory, line]),
        (SET_VRING_ERR, bytes(8), [memory, line]),
        (SET_BACKEND_REQ_FD, b"", [memory, event, line]),
        (SET_INFLIGHT_FD, bytes(24), [memory]),
    ):
        for fd in wrong + others:
            f = Frontend(path)
            f.send(request, payload, [fd])
            must_hang_up(f)


def all_messages(path):
    """Each type of message, with each number of descriptors, of a ring that there is and of one that there is not."""
    memory, event = os.memfd_create("guest"), os.eventfd(0)
    os.ftruncate(memory, SIZE)
    for request in range(46):
        for n in range(9):
            for ring in (0, 300):
                f = Frontend(path)
                try:
                    f.send(request, struct.pack("<QQQ", ring, ring, ring), [(memory, event)[request in (7, 12, 13, 14)]] * n)
                    f.send(GET_QUEUE_NUM)
                    f.conn.shutdown(socket.SHUT_WR)
                    f.closed()
                except OSError:
                    pass  # it had hung up before
                f.end()


def regions_that_cannot_be_mapped(f):
    """Each is refused, and none of their descriptors stays."""
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.send(SET_PROTOCOL_FEATURES, struct.pack("<Q", 1 << 3))  # REPLY_ACK
    for _ in range(200):
        f.mem_table([(0, 1 << 62, BASE, 0)], flags=1 | 8)
        assert f.conn.recv(20, socket.MSG_WAITALL)[12] == 1


def many_rings(f):
    f.features(F_VERSION_1 | F_PROTOCOL)
    for ring in range(256):
        f.send(SET_VRING_KICK, struct.pack("<Q", ring), [os.eventfd(0)])
    must_hang_up(f)


def postcopy(f):
    """Whoever answers it lets the front-end hold up page faults."""
    f.features(F_VERSION_1 | F_PROTOCOL)
    f.send(POSTCOPY_ADVISE)
    must_hang_up(f)


def huge_inflight(f):
    f.send(GET_INFLIGHT_FD, struct.pack("<QQHHI", 0, 0, 60000, 32768, 0))
    must_hang_up(f)


class Fuse:
    """A file whose server answers until it is open, and never again (include/uapi/linux/fuse.h)."""
    INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14

    def __init__(self, at):
        self.at = at
        os.makedirs(at, exist_ok=True)
        self.dev = os.open("/dev/fuse", os.O_RDWR)
        self.libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.dev},rootmode=40000,user_id=0,group_id=0,allow_other"
        if self.libc.mount(b"hostile", at.encode(), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "mount")
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        def attr(node):
            mode = 0o40755 if node == 1 else 0o100666
            return struct.pack("<6Q10I", node, SIZE, SIZE // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)
        while True:
            request = os.read(self.dev, 1 << 20)
            _, opcode, unique, node = struct.unpack("<IIQQ", request[:24])
            body = {
                self.INIT: lambda: struct.pack("<IIIIHHIIHHIIIIIII", 7, 31, 0, 0, 8, 8, 65536, 1, 16, 0, *[0] * 7),
                self.LOOKUP: lambda: struct.pack("<QQQQII", 2, 0, 9, 9, 0, 0) + attr(2),
                self.GETATTR: lambda: struct.pack("<QII", 9, 0, 0) + attr(node),
                self.OPEN: lambda: struct.pack("<QII", 0, 0, 0),
            }.get(opcode)
            if body:
                os.write(self.dev, struct.pack("<IiQ", 16 + len(body()), 0, unique) + body())

    def gone(self):
        self.libc.umount2(self.at.encode(), 2)
        os.close(self.dev)  # whoever waits for an answer has an error


def memory_of_fuse(path):
    """Each access to it waits for an answer, mapping and closing included."""
    if not os.path.exists("/dev/fuse"):
        return
    fuse = Fuse(path + ".fuse")
    fd = os.open(path + ".fuse/memory", os.O_RDWR)
    try:
        for request in (SET_MEM_TABLE, SET_VRING_KICK, SET_LOG_BASE):
            f = Frontend(path)
            try:
                f.send(request, struct.pack("<QQQQQ", 1, 0, SIZE, BASE, 0), [fd])
            except OSError:
                pass  # the port is not free while the first is not closed
            must_hang_up(f)
    finally:
        fuse.gone()


def messages_doubled(f):
    """Those that are not answered, each twice: the device serves its guest all the same."""
    once = f.send

    def twice(request, *args, **kw):
        once(request, *args, **kw)
        if request not in (GET_FEATURES, GET_PROTOCOL_FEATURES, GET_VRING_BASE):
            once(request, *args, **kw)

    f.send = twice
    good(f)


def messages_in_any_order(path):
    """Those of an honest front-end, shuffled."""
    rng = random.Random(5)
    for _ in range(100):
        f = Frontend(path)
        sent = []
        once = f.send
        f.send = lambda *args, **kw: sent.append((args, kw))
        f.send(SET_FEATURES, struct.pack("<Q", F_VERSION_1 | F_PROTOCOL))
        f.mem_table()
        for q in (0, 1):
            f.vring(q)
            f.enable(q)
            f.send(GET_VRING_BASE, struct.pack("<II", q, 0))
        rng.shuffle(sent)
        f.send = once
        try:
            for args, kw in sent:
                f.send(*args, **kw)
            f.ask(GET_FEATURES)
        except (OSError, struct.error):
            pass  # it had hung up before
        for fd in (fd for args, _ in sent for fd in (args[2] if len(args) > 2 else ()) if fd != f.fd):
            os.close(fd)
        f.end()


def enable_toggled(f):
    f.start()
    end = time.time() + 2
    while time.time() < end:
        for on in (0, 1):
            f.enable(1, on)
        f.ask(GET_FEATURES)


def regions_one_too_many(f):
    """As many as a QEMU may have, one by one."""
    f.features(F_VERSION_1 | F_PROTOCOL)
    slots = struct.unpack("<Q", f.ask(GET_MAX_MEM_SLOTS))[0]
    assert slots == 509, slots
    for i in range(slots + 1):
        if i == slots:
            f.ask(GET_FEATURES)  # there is a line until then
        f.send(ADD_MEM_REG, struct.pack("<QQQQQ", 0, i * 8192, 4096, BASE + i * 8192, i * 4096), [f.fd])
    must_hang_up(f)


def memory_is_huge(f):
    """Of a file without a page: others would find no addresses."""
    f.features(F_VERSION_1 | F_PROTOCOL)
    os.ftruncate(f.fd, 1 << 46)
    f.mem_table([(0, 1 << 46, 0, 0)])
    must_hang_up(f)


def send_packed(f):
    """A frame in the first descriptor. What the device made of it: length, id, flags."""
    f.put(0x20000, FRAME)
    f.put(f.area(1), struct.pack("<QIHH", 0x20000, len(FRAME), 7, 0x80))
    f.kick(1)
    end = time.time() + 5
    while True:
        _, *used = struct.unpack("<QIHH", f.mem[f.area(1) : f.area(1) + 16])
        if used[2] & 0x8000:
            return tuple(used)
        assert time.time() < end, "it was not taken"
        time.sleep(0.01)


def send_split(f):
    f.put(0x20000, FRAME)
    f.desc(1, 0, 0x20000, len(FRAME))
    f.avail(1, [0])
    f.wait_used(1, 1)


def receive_buffers_lie(path):
    """Frames of a neighbour for buffers that are chained, in tables, empty or not to be written: they come whole, as
    the only buffer of the frame and without what was not negotiated, or not at all."""
    peer = Frontend(os.path.dirname(path) + "/peer.sock")
    peer.start()
    table, rest, frame = 0x40000, 0x50000, 0x60000
    for n, (packed, kind) in enumerate((p, k) for p in (0, 1) for k in ("chain", "table", "empty", "readable")):
        f = Frontend(path)
        f.start(F_VERSION_1 | F_PROTOCOL | F_INDIRECT | packed * F_PACKED, base=0x80008000 if packed else 0)

        def desc(at, addr, length, flags, follow):
            mark = 0x80 if packed and at < table else 0
            f.put(at, struct.pack("<QIHH", addr, length, *((0, flags | mark) if packed else (flags, follow))))

        f.put(frame, bytes(4096))
        flags = 0 if kind == "readable" else WRITE
        at = table if kind == "table" else f.area(0)
        parts = table + 16 if kind == "table" else at + 16
        desc(parts, rest, 2000, flags, 0)
        desc(at, frame, 0 if kind == "empty" else 30, flags | NEXT, 1)
        if kind == "table":
            desc(f.area(0), table, 32, INDIRECT, 0)
        before = f.mem[table : table + 32]
        if not packed:
            f.avail(0, [0])
        # An answer says that the messages were read. Whose frame was taken can be reached, too.
        (send_packed if packed else send_split)(f)
        sent = bytearray(FRAME)
        sent[1] = 3  # gso_type: UDP, which was not offered
        peer.put(0x20000, bytes(FRAME))
        peer.put(0x21000, bytes(sent))
        for i, addr in enumerate((0x21000, 0x20000)):
            peer.desc(1, i, addr, len(FRAME))
        peer.avail(1, [0, 1])
        peer.wait_used(1, 2 * (n + 1))
        comes = kind in ("chain", "table")
        end = time.time() + (5 if comes else 0.1)
        while time.time() < end and not (f.mem[f.area(0) + 15] & 0x80 if packed else f.used_idx(0)):
            time.sleep(0.01)
        got = f.mem[frame : frame + 30] + f.mem[rest : rest + len(FRAME) - 30]
        assert f.mem[table : table + 32] == before, f"{kind}: the table was written"
        if comes:
            assert got[1] == 0 and got[10:12] == b"\1\0", f"{kind}: header {got[:12].hex()}"
            assert got[12:] == FRAME[12:], f"{kind}: frame {got.hex()}"
        else:
            assert not any(f.mem[frame : frame + 4096]), f"{kind}: written"
        f.end()
    peer.end()


def packed_sends_are_used_without_length(f):
    """A device has written nothing into what the driver sent."""
    f.start(F_VERSION_1 | F_PROTOCOL | F_PACKED, base=0x80008000)
    assert send_packed(f) == (0, 7, 0x8080)


def no_kick(f):
    f.start()
    f.send(SET_VRING_KICK, struct.pack("<Q", 1 | 0x100))
    time.sleep(0.2)


def cut(f, messages):
    f.left = messages
    good(f)


HELPERS = (Frontend, Fuse, good, echo, hold, hold_packed, hold_half, halves, cut, send_packed, send_split, must_hang_up, full_eventfd,
    full_pipe, full_socket, watched_eventfd, lingering, is_served, stop, while_it_stands_still)
ATTACKS = {name: value for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and value not in HELPERS}
# they make their connections themselves
OF_THEIR_OWN = (descriptors_are_wrong, all_messages, memory_of_fuse, last_reference_waits, messages_in_any_order,
    receive_buffers_lie)


def main(path, name):
    if name in ("good", "echo", "hold", "hold_packed", "hold_half", "halves"):
        globals()[name](Frontend(path))
        return
    try:
        if name == "cut":
            for messages in range(1, 25):
                try:
                    cut(Frontend(path), messages)
                except ConnectionResetError:
                    pass
        else:
            attack = globals()[name]
            attack(path if attack in OF_THEIR_OWN else Frontend(path))
    except (OSError, struct.error) as error:
        print("the device hung up:", error)  # which is an answer it may give


if __name__ == "__main__":
    if sys.argv[1:] == ["list"]:
        print("\n".join(["cut"] + list(ATTACKS)))
    else:
        main(*sys.argv[1:])
