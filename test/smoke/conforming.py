"""usage: conforming.py echo ADDRESS PORT | conforming.py send ADDRESS PORT N RATE BURST

send: N frames of FRAME_BYTES to who echoes them, as fast as a token bucket of RATE bit/s and BURST bytes allows where the switch reads them,
and prints the ns from the first one until the last one's echo. A frame is read between its sending and its echo. So the bucket
counts those without an echo as if they came now, and the others as if they came with their echo: however long the sender, the
kernel, the switch or the echo have no processor, what the switch reads conforms. One without an echo for WAIT_S is an error.
"""
import socket
import sys
import time

WAIT_S = 20
PAYLOAD = bytes(500)
FRAME_BYTES = 14 + 20 + 8 + len(PAYLOAD)
NS_PER_S = 1_000_000_000


def echo(conn, address):
    conn.bind(address)
    while True:
        conn.sendto(*conn.recvfrom(2048))


def send(conn, address, n, rate_bps, burst_bytes):
    """In tokens: of a byte NS_PER_S, so that a ns brings as many as the rate has bytes a second."""
    rate, full, cost = rate_bps // 8, burst_bytes * NS_PER_S, FRAME_BYTES * NS_PER_S
    assert cost <= full
    conn.connect(address)
    first_ns = at_ns = time.monotonic_ns()
    tokens, n_sent, n_echoed = full, 0, 0
    while n_echoed < n:
        now_ns = time.monotonic_ns()
        missing = (n_sent - n_echoed + 1) * cost - min(full, tokens + rate * (now_ns - at_ns))
        if n_sent < n and missing <= 0:
            conn.send(PAYLOAD)
            n_sent += 1
            continue
        # Tokens come by waiting for them, unless all that the bucket holds is on its way.
        by_waiting = n_sent < n and (n_sent - n_echoed + 1) * cost <= full
        conn.settimeout((missing // rate + 1) / NS_PER_S if by_waiting else WAIT_S)
        try:
            conn.recv(2048)
        except TimeoutError:
            if by_waiting:
                continue
            sys.exit(f"{n_sent} frames sent, no echo after {n_echoed}")
        now_ns = time.monotonic_ns()
        tokens, at_ns = min(full, tokens + rate * (now_ns - at_ns)) - cost, now_ns
        n_echoed += 1
    print(at_ns - first_ns)


def main(mode, address, port, *args):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as conn:
        if mode == "echo":
            echo(conn, (address, int(port)))
        else:
            send(conn, (address, int(port)), *(int(arg) for arg in args))


if __name__ == "__main__":
    main(*sys.argv[1:])
