#!/usr/bin/env python3
"""usage: crowd.py SOCKET: more clients than the daemon has places for, until it is killed.

Each of eight processes keeps as many as a process may: of them a quarter is silent, asked once, sent half a request, or reads no
answers. One says "full" on standard output when all are connected, or wait to be.
"""
import os
import signal
import socket
import sys

PROCESSES, PER_PROCESS = 8, 32
LIST = b'{"jsonrpc":"2.0","id":1,"method":"port.list"}\n'
DISCOVER = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n'
HOLDS = (b"", LIST, LIST[:9], DISCOVER * 20)


def hold():
    clients = []
    for i in range(PER_PROCESS):
        client = socket.socket(socket.AF_UNIX)
        client.connect(sys.argv[1])
        try:
            client.sendall(HOLDS[i % len(HOLDS)])
        except OSError:
            pass  # it had to go meanwhile
        clients.append(client)
    return clients


end, own = os.pipe()
done, said = os.pipe()
for _ in range(PROCESSES):
    if os.fork() == 0:
        os.close(own)
        clients = hold()
        os.write(said, b"x")
        os.read(end, 1)
        os._exit(0)
n = 0
while n < PROCESSES:
    n += len(os.read(done, PROCESSES))
print("full", flush=True)
signal.pause()
