"""usage: running.py SOCKET FROM

Changes two ports as fast as it can until the daemon is gone: a change of vm1 alone, then one of vm1
and vm2 together, and so on, with numbers from FROM. Prints "begun" after the first answer, "a
thousand" after so many, and at the end the last number that was answered and the last one sent.
"""
import json
import socket
import sys


def call(method, **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def main():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    stream = s.makefile("rw")
    first = sent = answered = int(sys.argv[2])
    try:
        while True:
            sent += 1
            rate = sent * 1000
            if sent % 2:
                request = call("port.set", name="vm1", max_rate=rate)
            else:
                calls = [{"method": "port.set", "params": {"name": name, "max_rate": rate}} for name in ("vm1", "vm2")]
                request = call("config.apply", calls=calls, replace=False)
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            answer = stream.readline()
            if not answer.endswith("\n"):
                break
            if "error" in json.loads(answer):
                sys.exit(answer)
            answered = sent
            if answered - first in (1, 1000):
                print("begun" if answered - first == 1 else "a thousand", flush=True)
    except (BrokenPipeError, ConnectionResetError):
        pass
    print(answered, sent)


main()
