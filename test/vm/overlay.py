"""usage: overlay.py COMMAND: what the test of guests behind tunnels does with captures (pcap, as tcpdump writes it) and frames.

  compare A B UNDERLAY MARK  packets with MARK in them, in the order of their sender: those in A and B must be the same bytes, and
                             be in UNDERLAY as Geneve with our option. Prints "N INNER-TOS OUTER-TOS" of each combination
  find UNDERLAY PORT FROM    the last UDP datagram to PORT from that address: its payload in base64
  send IFACE MAC FROM TO PORT PAYLOAD   it again, into the underlay
  load TO MBIT               UDP without an end, paced, to a port where nobody is
"""
import base64
import collections
import os
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../smoke"))
import underlay

GENEVE_PORT = 6081
OPTION = bytes.fromhex("fff50108") # docs/wire.md: class, type, length


def frames(path):
    with open(path, "rb") as file:
        data = file.read()
    order = {0xA1B2C3D4: "<", 0xA1B23C4D: "<"}.get(struct.unpack("<I", data[:4])[0], ">")
    pos = 24
    while pos + 16 <= len(data):
        n = struct.unpack(order + "I", data[pos + 8:pos + 12])[0]
        yield data[pos + 16:pos + 16 + n]
        pos += 16 + n


def udp_of(frame):
    """(source address, destination port, payload) of an IPv4 UDP datagram, or None."""
    if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
        return None
    ip_len = (frame[14] & 15) * 4
    port, length = struct.unpack("!HH", frame[16 + ip_len:20 + ip_len])
    return socket.inet_ntoa(frame[26:30]), port, frame[22 + ip_len:14 + ip_len + length]


def by_sender(path, mark):
    senders = collections.defaultdict(list)
    for frame in frames(path):
        if mark in frame and frame[12:14] == b"\x08\x00":
            senders[frame[6:12].hex(":")].append(frame)
    return senders


def tunnelled(path, mark):
    """Inner frame: outer TOS. Ours all have the option, once."""
    found = {}
    for frame in frames(path):
        datagram = udp_of(frame)
        if mark not in frame or not datagram or datagram[1] != GENEVE_PORT:
            continue
        payload = datagram[2]
        inner = payload[8 + (payload[0] & 63) * 4:]
        if payload[8:12] != OPTION or payload[0] & 63 != 9:
            sys.exit(f"on the underlay without our option alone: {payload[:48].hex()}")
        found[inner] = frame[15]
    return found


def compare(a, b, path, mark):
    mark = mark.encode()
    at_a, at_b, outer = by_sender(a, mark), by_sender(b, mark), tunnelled(path, mark)
    if at_a.keys() != at_b.keys():
        sys.exit(f"senders {list(at_a)} at one guest, {list(at_b)} at the other")
    seen = collections.Counter()
    for sender, sent in at_a.items():
        if len(sent) != len(at_b[sender]):
            sys.exit(f"{sender}: {len(sent)} packets at one guest, {len(at_b[sender])} at the other")
        for one, other in zip(sent, at_b[sender]):
            # Whoever is given a frame gets 60 bytes at least, zeroes behind what was sent.
            if one.ljust(60, b"\0") != other.ljust(60, b"\0"):
                sys.exit(f"{sender}: not the same:\n{one.hex()}\n{other.hex()}")
            if one not in outer:
                sys.exit(f"{sender}: did not go through the tunnel like this: {one.hex()}")
            seen[one[15], outer[one]] += 1
    for (inner, tos), n in sorted(seen.items()):
        print(n, inner, tos)


def find(path, port, source):
    last = None
    for frame in frames(path):
        datagram = udp_of(frame)
        if datagram and datagram[:2] == (source, int(port)):
            last = datagram[2]
    if last is None:
        sys.exit("there is none")
    print(base64.b64encode(last).decode())


def send(iface, mac, source, to, port, payload):
    underlay.Host(iface, mac).send(underlay.ipv4(source, to, underlay.udp(int(port), base64.b64decode(payload), sport=int(port))))


def load(to, mbit):
    conn = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    packet, sent, begin = bytes(1400), 0, time.monotonic()
    while True:
        due = (time.monotonic() - begin) * float(mbit) * 1e6 / (8 * len(packet))
        # Packets that could not be sent in time are not made up for: a burst would tell nothing of
        # the network.
        sent = max(sent, due - 50)
        while sent < due:
            try:
                conn.sendto(packet, (to, 9))
            except OSError:
                pass # nobody is there, says the receiver; or the queue is full
            sent += 1
        time.sleep(0.005)


if __name__ == "__main__":
    commands = {"compare": compare, "find": find, "send": send, "load": load}
    commands[sys.argv[1]](*sys.argv[2:])
