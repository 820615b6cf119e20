"""usage: frames.py IFACE tagged VLAN N | from MAC N | broadcast N | macs N

Sends raw frames that a kernel's own network stack would not: with a VLAN tag, from a foreign or from
many source MACs.
"""
import socket
import struct
import sys


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def main(iface, kind, *args):
    conn = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    conn.bind((iface, 0))
    own = mac(open(f"/sys/class/net/{iface}/address").read().strip())
    everyone = b"\xff" * 6
    body = struct.pack("!H", 0x88B5) + bytes(60)  # an experimental EtherType: no stack answers it
    for i in range(int(args[-1])):
        if kind == "tagged":
            frame = everyone + own + struct.pack("!HH", 0x8100, int(args[0])) + body
        elif kind == "from":
            frame = everyone + mac(args[0]) + body
        elif kind == "macs":
            frame = everyone + struct.pack("!IH", 0x02770000, i) + body
        else:
            frame = everyone + own + body
        conn.send(frame)


if __name__ == "__main__":
    main(*sys.argv[1:])
