# vni: ends that are virtual machines. Two guests have both: an ivshmem device, over whose memory
# rtvs-vni carries frames to a TAP, and an emulated e1000, the NIC of a guest without a better one:
# no driver of its own, no switch. netperf between them, one network after the other.
import contextlib
import os

import netperf
import systems
from lab import sh

IVSHMEM, E1000 = "segment", "e1000"
NETWORKS = {IVSHMEM: 1, E1000: 2}
NAMES = ("g1", "g2")
DEVICE = "0000:00:10.0"  # where vm_start puts it
MTU = 1500
STREAM_BYTES = 131072


def address(network, k):
    return f"10.79.{NETWORKS[network]}.{k + 1}"


class Guests(systems.Guests):
    def __init__(self, build):
        super().__init__(0)
        self.build = build

    def start(self):
        """Returns while they boot."""
        tool = os.path.join(self.build, "src/segment/rtvs-vni")
        self.file = f"/dev/shm/{os.path.basename(self.dir)}"
        files = os.path.join(self.dir, "files.tar")
        os.link(tool + ".static", os.path.join(self.dir, "rtvs-vni"))
        sh("tar", "-cf", files, "-C", self.dir, "rtvs-vni")
        sh(tool, "create", self.file)
        for k, name in enumerate(NAMES):
            end = "on" if k == 0 else "off,reconnect-ms=100"
            self.boot(name, f"segment={self.file}", f"files={files}", "append=ipv6.disable=1", "qemu=-netdev",
                      f"qemu=stream,id=e,server={end},addr.type=unix,addr.path={self.dir}/e1000.sock",
                      "qemu=-device", f"qemu=e1000,netdev=e,mac=52:54:00:79:00:0{k + 1}")

    def ready(self):
        for name in NAMES:
            self.wait(name)
        for k, name in enumerate(NAMES):
            self.do(name, f"tar -xf /dev/vdb -C /usr/bin; modprobe -a tun e1000; (setsid rtvs-vni join --ivshmem {DEVICE} --tap vni0 --name {name} >/tmp/vni.log 2>&1 &);"
                          " for i in $(seq 100); do grep -q 'joined as' /tmp/vni.log && break; sleep 0.1; done; cat /tmp/vni.log;"
                          f" ip addr add {address(IVSHMEM, k)}/24 dev vni0; ip link set vni0 mtu {MTU} up;"
                          f" d=$(basename $(dirname $(grep -l 52:54:00:79:00:0{k + 1} /sys/class/net/*/address)));"
                          f" ip addr add {address(E1000, k)}/24 dev $d; ip link set $d up; netserver -4")
        for network in NETWORKS:
            self.do(NAMES[0], f"for i in $(seq 20); do ping -c 1 -W 1 {address(network, 1)} >/dev/null && break; done; [ $i -lt 20 ] ||"
                              " ! cat /tmp/vni.log")

    def do(self, name, command, timeout=60):
        rc, out = self.run(name, command, timeout)
        if rc:
            raise systems.Failed(f"guest {name}: {command}: ended with {rc}: {out}")
        return out

    def netperf(self, network, test, seconds, fields):
        sizes = f"-m {STREAM_BYTES} -M {STREAM_BYTES}" if test == "TCP_STREAM" else ""
        out = self.do(NAMES[0], f"netperf -H {address(network, 1)} -t {test} -l {seconds} -P 0 -j -- {sizes} -o {','.join(fields)}", seconds + 60)
        return netperf.parse(out, fields)

    def measure(self, network, seconds):
        trip = self.netperf(network, "UDP_RR", seconds, netperf.RR_FIELDS)
        return {"gbps": self.netperf(network, "TCP_STREAM", seconds, ("THROUGHPUT",))["per_s"] / 1000,
                "rtt_p50_us": trip["p50_us"], "rtt_p99_us": trip["p99_us"]}

    def stop(self):
        super().stop()
        with contextlib.suppress(AttributeError, FileNotFoundError):
            os.unlink(self.file)
