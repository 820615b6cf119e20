#!/usr/bin/env python3
"""usage: numbered.py INTERFACE ADDRESS END SECONDS   numbered packets, and answers to them
       numbered.py echo ADDRESS                      answers

The first sends a numbered packet each SECONDS to the second at ADDRESS, through a socket that is bound to INTERFACE,
until the file END is there. It says "answered" at the first answer. Then it waits for answers that are still to come, for 5 s at most without one, and says
"N sent, N lost, N doubled"."""
import collections
import os
import selectors
import socket
import sys
import time

PORT, PATIENCE_S = 7777, 5


def echo(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((address, PORT))
    while True:
        data, sender = s.recvfrom(64)
        s.sendto(data, sender)


def numbered(interface, address, end, every):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    s.connect((address, PORT))
    answers, n, last = collections.Counter(), 0, time.monotonic()
    selector = selectors.DefaultSelector()
    selector.register(s, selectors.EVENT_READ)
    is_sending = True
    while is_sending or (len(answers) < n and time.monotonic() < last + PATIENCE_S):
        is_sending = is_sending and not os.path.exists(end)
        if is_sending:
            s.send(b"%d" % n)
            n, last = n + 1, time.monotonic()
        until = time.monotonic() + float(every)
        while (left := until - time.monotonic()) > 0:
            if selector.select(left):
                if not answers:
                    print("answered", flush=True)
                answers[int(s.recv(64))] += 1
                last = time.monotonic()
    print(f"{n} sent, {n - len(answers)} lost, {sum(answers.values()) - len(answers)} doubled", flush=True)


if sys.argv[1] == "echo":
    echo(sys.argv[2])
else:
    numbered(*sys.argv[1:])
