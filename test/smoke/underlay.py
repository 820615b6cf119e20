"""usage: underlay.py IFACE MAC COMMAND: a host on the underlay that is not nice, and one that measures.

  hostile OWN-IP DAEMON-IP VNI N   N Geneve packets of each kind that is to be refused
  ecn OWN-IP DAEMON-IP VNI TOS     one good packet with that outer TOS and an inner one that cannot be marked
  stamp OWN-IP DAEMON-IP N         N STAMP test packets; prints how many good replies came
  watch DAEMON-IP SECONDS          prints "TOS VNI OPTIONS INNER-TOS" of Geneve packets with IPv4 inside that the daemon sends
MAC is the daemon's. IPv4 without a kernel's help: frames are made and read here.
"""
import random
import socket
import struct
import sys
import time


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(src, dst, payload, tos=0, proto=17, ttl=64, fragment=0, bad=False):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, tos, 20 + len(payload), 0, fragment, ttl, proto, 0, socket.inet_aton(src),
                       socket.inet_aton(dst))
    return head[:10] + struct.pack("!H", checksum(head) ^ (1 if bad else 0)) + head[12:] + payload


def udp(port, payload, sport=50000, check=0, length=None):
    return struct.pack("!HHHH", sport, port, 8 + len(payload) if length is None else length, check) + payload


def geneve(vni, inner, first=0, flags=0, proto=0x6558, options=b"", option_words=None):
    words = len(options) // 4 if option_words is None else option_words
    return struct.pack("!BBHI", first << 6 | words, flags, proto, vni << 8) + options + inner


class Host:
    def __init__(self, iface, mac):
        self.conn = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.conn.bind((iface, 0))
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.own = self.conn.getsockname()[4]

    def send(self, packet):
        self.conn.send(self.mac + self.own + b"\x08\x00" + packet)

    def packets(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.conn.settimeout(max(end - time.monotonic(), 0.001))
            try:
                frame = self.conn.recv(2048)
            except TimeoutError:
                return
            if frame[12:14] == b"\x08\x00" and frame[23] == 17:
                yield frame[14:]


def inner_frame(tos=0):
    return b"\xff" * 6 + b"\x02\x88\x00\x00\x00\x01" + b"\x08\x00" + ipv4("10.0.0.77", "10.0.0.255", udp(9, b"discard"), tos)


def hostile(host, own, daemon, vni, n):
    good = inner_frame()
    critical = struct.pack("!HBB", 0x0123, 0x80, 1) + bytes(4)
    bad_length = struct.pack("!HBB", 0x0123, 0x00, 5) + bytes(4)
    kinds = {
        "version": udp(6081, geneve(vni, good, first=1)),
        "control": udp(6081, geneve(vni, good, flags=0x80)),
        "not ethernet": udp(6081, geneve(vni, good, proto=0x0800)),
        "critical": udp(6081, geneve(vni, good, flags=0x40, options=critical)),
        "option beyond": udp(6081, geneve(vni, good, options=bad_length)),
        "options beyond": udp(6081, geneve(vni, b"", option_words=63)),
        "short inner": udp(6081, geneve(vni, good[:13])),
        "udp length": udp(6081, geneve(vni, good), length=2000),
        "udp checksum": udp(6081, geneve(vni, good), check=1),
        "truncated": udp(6081, b"\0\0\x65"),
    }
    for _ in range(n):
        for packet in kinds.values():
            host.send(ipv4(own, daemon, packet))
        host.send(ipv4(own, daemon, udp(6081, geneve(vni, good)), fragment=0x2000))
        host.send(ipv4(own, daemon, udp(6081, geneve(vni, good)), bad=True))
    rng = random.Random(1)
    for _ in range(n * 100):
        junk = rng.randbytes(rng.randrange(0, 200))
        host.send(ipv4(own, daemon, udp(rng.choice((6081, 6081, 6082, 862)), junk + b"\0" * (len(junk) % 2))))


def stamp(host, own, daemon, n):
    good = 0
    for seq in range(n):
        host.send(ipv4(own, daemon, udp(862, struct.pack("!IIIH", seq, 1, 2, 0x0101) + bytes(30 + seq % 8), sport=40000 + seq),
                       ttl=255))
        for packet in host.packets(1):
            sport, dport = struct.unpack("!HH", packet[20:24])
            if sport != 862 or dport != 40000 + seq:
                continue
            body = packet[28:]
            echoed = struct.unpack("!III", body[24:36])
            good += packet[8] == 255 and len(body) == 44 + seq % 8 and echoed == (seq, 1, 2) and body[40] == 255
            break
    print(good)


def watch(host, daemon, seconds):
    for packet in host.packets(seconds):
        if packet[12:16] != socket.inet_aton(daemon) or struct.unpack("!H", packet[22:24])[0] != 6081:
            continue
        words = packet[28] & 63
        vni = int.from_bytes(packet[32:35], "big")
        inner = packet[36 + words * 4:]
        if inner[12:14] == b"\x08\x00":
            print(packet[1], vni, words * 4, inner[15], flush=True)


def main(iface, mac, command, *args):
    host = Host(iface, mac)
    if command == "hostile":
        hostile(host, args[0], args[1], int(args[2]), int(args[3]))
    elif command == "ecn":
        host.send(ipv4(args[0], args[1], udp(6081, geneve(int(args[2]), inner_frame())), tos=int(args[3])))
    elif command == "stamp":
        stamp(host, args[0], args[1], int(args[2]))
    else:
        watch(host, args[0], float(args[1]))


if __name__ == "__main__":
    main(*sys.argv[1:])
