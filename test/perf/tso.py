# A stream of TCP between two guests (Linux in QEMU) whose segments leave the one, and come to the
# other, unsegmented: through rtvswitch, and through OVS-DPDK with userspace-tso-enable. Both guests
# have a NIC at each switch, and the switch that is not measured is stopped.
import os

import report
import systems

N_GUESTS = 2


class Rtvswitch(systems.Rtvswitch):
    """Shares the processors with the guests, so it sleeps when idle."""

    number = 1

    def __init__(self, core, build, hugepages, guests):
        super().__init__(core, build, hugepages, guard=False)
        self.guests = guests

    def calls(self):
        yield {"method": "system.init", "params": {"idle": "adaptive"}}
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        for side in range(N_GUESTS):
            yield {"method": "port.add", "params": {"name": f"vm{side}", "bridge": "br0", "mode": "connect",
                                                    "socket": self.guests.socket(side, self.number)}}


class Ovs(systems.OvsDpdk):
    """Ports that listen have no TSO there."""

    number = 2
    config = ["other_config:userspace-tso-enable=true"]
    inside = ["unshare", "--net"]  # lab.py's has a device named ovs-netdev, too

    def __init__(self, core, hugepages, guests):
        super().__init__(core, hugepages)
        self.guests = guests

    def port(self, side):
        return ["type=dpdkvhostuserclient", f"options:vhost-server-path={self.guests.socket(side, self.number)}"]

    def wait_sockets(self, process):
        pass


class Guests(systems.Guests):
    def socket(self, side, number):
        return os.path.join(self.dir, f"s{side}-{number}")

    def start(self):
        for side in range(N_GUESTS):
            words = [word for number in (Rtvswitch.number, Ovs.number)
                     for word in (f"nic={self.socket(side, number)}", f"mac={self.mac(side, number)}", "mode=server")]
            self.boot(f"t{side}", "mem=256", "append=ipv6.disable=1", *words)

    @staticmethod
    def mac(side, number):
        return f"52:54:00:88:{number:02x}:{side:02x}"

    def ready(self):
        for side in range(N_GUESTS):
            self.wait(f"t{side}")
            self.do(side, "netserver >/dev/null; " + "; ".join(
                f"n=$(basename $(dirname $(grep -l {self.mac(side, number)} /sys/class/net/*/address)));"
                f" ip addr add 10.88.{number}.{side + 1}/24 dev $n; ip link set $n up;"
                f" ip neigh replace 10.88.{number}.{2 - side} lladdr {self.mac(1 - side, number)} dev $n;"
                " ethtool -k $n | grep -q '^tcp-segmentation-offload: on'" for number in (Rtvswitch.number, Ovs.number)))

    def do(self, side, command, timeout=60):
        rc, out = self.run(f"t{side}", command, timeout)
        if rc:
            raise systems.Failed(f"guest {side}: {command}: ended with {rc}: {out}")
        return out


def gbps(text):
    """Of netperf's last word: 10^6 bit/s."""
    try:
        return float(text.split()[-1]) / 1000
    except (IndexError, ValueError):
        raise systems.Failed(f"netperf: {text[-300:]}") from None


def run(build, seconds, rounds, say, hugepages):
    """Gbit/s by system, a list of rounds each."""
    guests = Guests(0)
    core = os.cpu_count() - 1
    switches = [Rtvswitch(core, build, hugepages, guests), Ovs(core, hugepages, guests)]
    got = {s.name: [] for s in switches}
    try:
        guests.start()
        for switch in switches:
            switch.start()
        guests.ready()
        for switch in switches:
            switch.freeze()
        for n in range(rounds):
            for switch in switches:
                switch.thaw()
                got[switch.name].append(gbps(guests.do(0, f"netperf -H 10.88.{switch.number}.2 -t TCP_STREAM -l {seconds} -P 0"
                                                          " -- -o THROUGHPUT", seconds + 40)))
                switch.freeze()
            say(f"tso, round {n + 1} of {rounds}: " + ", ".join(f"{name} {g[-1]:.2f} Gbit/s" for name, g in got.items()))
    finally:
        for part in (*switches, guests):
            part.stop()
    return got


def rows(got):
    return [{"system": name, "test": "TSO_STREAM", "received_mbit": round(report.spread(g)["median"] * 1000, 1)}
            for name, g in got.items()]


def ratio(got):
    """By round, then the median."""
    return round(report.spread([a / b for a, b in zip(got["rtvswitch"], got["ovs-dpdk"])])["median"], 3)
