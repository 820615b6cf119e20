"""The Python client rtvswitch.py from the method table: what apidoc.py makes of kind "python".

What is the same for all methods is below as it is installed; each noun becomes a class, each verb a method of it.
"""
import keyword
import textwrap

HEAD = r'''"""Control rtvswitchd, a virtual switch that keeps deadlines. Generated from its method table; do not edit.

    import rtvswitch

    with rtvswitch.Client() as client:
        client.bridge.add("br0")
        client.port.add("vm1", bridge="br0", deadline="2ms", min_rate="20Mbit", burst="15kB")
        print(client.port.show("vm1")["stats"])
        for event in client.listen("port.*"):
            print(event.name, event.params)

Each method of rtvswitch-api(7) is one here. Names that Python has for itself end in "_": client.port.del_("vm1"). Times, rates and
sizes are text with a unit, or numbers of nanoseconds, bits per second and bytes. What is None is not sent.
"""
import collections
import json
import socket
import time

SOCKET = "/run/rtvswitch/control.sock"
TIMEOUT = 15  # seconds; systemd restarts a daemon that hangs after 10
EVENTS_MAX = 65536
MESSAGE_BYTES_MAX = 32 << 20

Event = collections.namedtuple("Event", "name params")


class Error(Exception):
    """What all others are."""


class Unreachable(Error):
    """No daemon at the socket, or it closed the connection; __cause__ is the OSError, if there is one."""


class TimedOut(Error):
    """No answer in time. One that comes later is skipped; the connection can be used."""


class Refused(Error):
    """The daemon said no: method, code and message of JSON-RPC, and data, a dict that may be empty."""

    def __init__(self, method, error):
        super().__init__(f"{method}: {error.get('message')}")
        self.method = method
        self.code = error.get("code")
        self.message = error.get("message")
        self.data = error.get("data") or {}


class Client:
    """A connection, for one thread at a time. timeout: seconds that an answer may take; None: any."""

    def __init__(self, path=SOCKET, *, timeout=TIMEOUT):
        self.timeout = timeout
        self._id = 0
        self._received = bytearray()
        self._events = collections.deque(maxlen=EVENTS_MAX)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            self._socket.connect(path)
        except OSError as e:
            self._socket.close()
            raise Unreachable(f"cannot reach rtvswitchd at {path}: {e.strerror or e}") from e
@NOUNS@

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self._socket.close()

    def fileno(self):
        return self._socket.fileno()

    def call(self, method, params=None):
        """Any method by its name; the result."""
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method}
        if params:
            request["params"] = {k: v for k, v in params.items() if v is not None}
        text = json.dumps(request).encode() + b"\n"
        end = None if self.timeout is None else time.monotonic() + self.timeout
        try:
            self._socket.settimeout(self.timeout)
            self._socket.sendall(text)
        except (BrokenPipeError, ConnectionResetError):
            end = 0  # a daemon that has no room for us says so, and closes the connection before it reads the request
        except OSError as e:
            self.close()  # half a request makes nonsense of the next one
            raise Unreachable(f"{method}: {e.strerror or e}") from e
        while True:
            message = self._message(end)
            if "id" not in message:
                self._keep(message)
            elif message["id"] in (self._id, None):
                break
        if "error" in message:
            raise Refused(method, message["error"])
        if "result" not in message:
            raise Error(f"{method}: what came is no answer")
        return message["result"]

    def event(self, timeout=None):
        """The next event of those subscribed to, in at most timeout seconds (None: any, 0: what is there); None when none came.

        Events that come while a call waits for its answer are kept for here, the newest 65536 of them.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while not self._events:
            try:
                message = self._message(end)
            except TimedOut:
                return None
            if "id" not in message:
                self._keep(message)
        return self._events.popleft()

    def listen(self, events=None, *, timeout=None):
        """Subscribes to events ("port.*,worker.stall"; None: all), and iterates over them until none came for timeout seconds."""
        self.call("events.subscribe", {"events": events})
        return iter(lambda: self.event(timeout), None)

    def _keep(self, message):
        self._events.append(Event(message.get("method"), message.get("params") or {}))

    def _message(self, end):
        n_seen = 0
        while (n_line := self._received.find(b"\n", n_seen)) < 0:
            n_seen = len(self._received)
            left = None if end is None else max(end - time.monotonic(), 0)
            try:
                self._socket.settimeout(left)
                data = self._socket.recv(1 << 16)
            except (BlockingIOError, TimeoutError):
                raise TimedOut("rtvswitchd does not answer") from None
            except OSError as e:
                raise Unreachable(f"the connection to rtvswitchd broke: {e.strerror or e}") from e
            if not data:
                raise Unreachable("rtvswitchd closed the connection")
            self._received += data
            if len(self._received) > MESSAGE_BYTES_MAX:
                raise Error("what came is no answer")
        line = bytes(self._received[:n_line])
        del self._received[: n_line + 1]
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            raise Error("what came is no answer")
        return message
'''


def word(name):
    return name + "_" if keyword.iskeyword(name) else name


def wrapped(text, first, rest):
    return textwrap.fill(text, 118, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def method(m, limits):
    keys = [p for p in m["params"] if p["key"]]
    others = sorted((p for p in m["params"] if not p["key"]), key=lambda p: not p["required"])
    args = ["self"] + [word(p["name"]) for p in keys] + ["*"] * bool(others)
    args += [word(p["name"]) + ("" if p["required"] else "=None") for p in others]
    head = wrapped(", ".join(args) + "):", f"    def {word(m['method'].split('.')[1])}(", " " * 12)
    doc = [wrapped(f'r"""{m["help"]}', " " * 8, " " * 8), "", wrapped("Returns: " + m["result"], " " * 8, " " * 8)]
    if m["params"]:
        doc.append("")
    doc += [wrapped(f'{word(p["name"])}: {limits(p)}: {p["help"]}', " " * 8, " " * 12) for p in keys + others]
    doc.append('        """')
    sent = ", ".join(f'"{p["name"]}": {word(p["name"])}' for p in m["params"])
    call = wrapped(f'"{m["method"]}"' + (f", {{{sent}}})" if sent else ")"), "        return self._client.call(", " " * 12)
    return "\n".join([head, *doc, call])


def python(api, limits):
    """limits: what a parameter accepts, as the other documents say it."""
    nouns = {}
    for m in api:
        nouns.setdefault(m["method"].split(".")[0], []).append(m)
    out = [HEAD.replace("@NOUNS@", "\n".join(f"        self.{word(n)} = _{n.title()}(self)" for n in nouns))]
    for noun, methods in nouns.items():
        out.append(f'\nclass _{noun.title()}:\n    def __init__(self, client):\n        self._client = client\n')
        out += [method(m, limits) + "\n" for m in methods]
    return "\n".join(out)
