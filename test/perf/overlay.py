# The cost of a tunnel: a guest and the far end of a Geneve tunnel on one core, the switch with
# one worker on the other, both directions at once. rtvswitch runs with timestamps, which are read
# on the way back, and without. OVS-DPDK has its own Geneve between a bridge with the guest and one
# with the network.
import report
import systems

LOCAL, REMOTE, VNI = "10.9.0.1", "10.9.0.2", 100
SIZES = ("64", "1400")  # of the guest's frames
FLOWS = (1, 1000)


class Rtvswitch(systems.Rtvswitch):
    def __init__(self, core, build, hugepages, timestamps):
        super().__init__(core, build, hugepages)
        self.timestamps = "on" if timestamps else "off"
        self.name = "rtvswitch" if timestamps else "rtvswitch-untimed"

    def calls(self):
        guest, network = self.sockets()
        yield {"method": "bridge.add", "params": {"name": "br0"}}
        yield {"method": "port.add", "params": {"name": "vm0", "bridge": "br0", "socket": guest, "allowed_macs": [systems.MACS[0]]}}
        yield {"method": "port.add", "params": {"name": "up0", "socket": network, "mtu": 1700, "address": f"{LOCAL}/24"}}
        yield {"method": "port.add", "params": {"name": "tun0", "type": "geneve", "uplink": "up0", "remote": REMOTE, "vni": VNI,
                                                "bridge": "br0", "timestamps": self.timestamps}}


class Ovs(systems.OvsDpdk):
    def start(self):
        super().start()
        db = f"--db=unix:{self.dir}/db.sock"

        def vsctl(*args):
            self.run("ovs-vsctl", db, "--timeout=30", *args)

        # vh1 is the network's: it moves to a bridge that has the tunnel's address.
        vsctl("del-port", "br0", "vh1")
        vsctl("add-br", "phy", "--", "set", "bridge", "phy", "datapath_type=netdev", "--", "add-port", "phy", "vh1", "--", "set",
              "interface", "vh1", "type=dpdkvhostuser", "mtu_request=1700")
        self.run("ip", "address", "add", f"{LOCAL}/24", "dev", "phy")
        self.run("ip", "link", "set", "phy", "up", "mtu", "1700")
        vsctl("add-port", "br0", "tun0", "--", "set", "interface", "tun0", "type=geneve", f"options:remote_ip={REMOTE}",
              f"options:key={VNI}")
        self.wait_sockets(self.processes[-1])


def start(make, build, hugepages, running):
    system = make()
    running.append(system)
    try:
        system.start()
        gen = systems.Generator(0, build, system.sockets(), hugepages, has_tunnel=True)
        running.append(gen)
        gen.start()
    except systems.Failed as e:
        raise systems.Failed(f"{system.name}: {e}\n{system.log_tail()}") from e
    return system, gen


def run(build, quick, rounds, say, hugepages):
    """Measured frames by (system, size, flows), a list of rounds each."""
    warmup, ms = (30, 120) if quick else (200, 1000)
    running, couples, rows = [], [], {}
    try:
        for make in (lambda: Rtvswitch(1, build, hugepages, True), lambda: Rtvswitch(1, build, hugepages, False),
                     lambda: Ovs(1, hugepages)):
            couple = start(make, build, hugepages, running)
            couple[1].run("64", 1, 1500, 50)  # neighbours are looked for, addresses learned
            for part in couple:
                part.freeze()
            couples.append(couple)
            say(f"started {couple[0].name}")
        for n in range(rounds):
            say(f"overlay, round {n + 1} of {rounds}")
            for system, gen in couples:
                for part in (system, gen):
                    part.thaw()
                for size in SIZES:
                    for flows in FLOWS:
                        rows.setdefault((system.name, size, flows), []).append(gen.run(size, flows, warmup, ms))
                for part in (gen, system):
                    part.freeze()
    finally:
        for part in reversed(running):
            part.stop()
    return rows


def table(rows):
    return [report.rate_row(got, system=name, frame=size, flows=flows) for (name, size, flows), got in rows.items()]


def ratio(rows, peer, flows):
    """With timestamps against the peer, 64 bytes."""
    return report.ratio(rows["rtvswitch", "64", flows], rows[peer, "64", flows])
