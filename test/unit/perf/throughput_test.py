#!/usr/bin/env python3
"""usage: throughput_test.py THROUGHPUT: rows and ratios of the bench of rates."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import report  # noqa: E402
import throughput  # noqa: E402


def got(mpps, busy=0.5):
    return [{"mpps": mpps, "busy": busy, "limit_mpps": 99.0, "lost": 0}]


def rows(**changes):
    """What a run with --quick measures, all at 10 Mpps but for the changes."""
    every = [(size, flows) for size in throughput.QUICK_SIZES for flows in throughput.FLOWS]
    out = {(name, *what): got(10.0) for name in ("rtvswitch", "testpmd", "ovs-dpdk") for what in every}
    for make in throughput.OURS[1:]:
        out.update({(make.name, *what): got(10.0) for what in make.only})
    out.update({tuple(k.split("/")[:2]) + (int(k.split("/")[2]),): v for k, v in changes.items()})
    return out


class Throughput(unittest.TestCase):
    def ratios(self, reasons=(), **changes):
        measured = rows(**changes)
        reasons = {name: "" for name, _, _ in measured} | dict(reasons)
        self.result = throughput.result(measured, reasons, report.Steal(), True)
        return self.result["ratios"]

    def test_each_ratio_is_of_its_rows(self):
        self.assertEqual(set(self.ratios().values()), {1.0})
        self.assertEqual(list(self.ratios()), ["vs_testpmd", "vs_testpmd_1518", "vs_testpmd_imix", "vs_ovs", "vs_ovs_1518",
                                               "deadlines_vs_plain", "packed_vs_split", "in_order_vs_split", "queues_4"])
        for row, name in (("testpmd/64/1", "vs_testpmd"), ("testpmd/1518/1", "vs_testpmd_1518"),
                          ("testpmd/imix/1", "vs_testpmd_imix"), ("ovs-dpdk/64/1", "vs_ovs"), ("ovs-dpdk/1518/1", "vs_ovs_1518")):
            changed = {k: v for k, v in self.ratios(**{row: got(20.0)}).items() if v != 1.0}
            self.assertEqual(changed, {name: 0.5})
        for row, name in (("rtvswitch-deadlines/64/1", "deadlines_vs_plain"), ("rtvswitch-packed/64/1", "packed_vs_split"),
                          ("rtvswitch-in-order/64/1", "in_order_vs_split"), ("rtvswitch-4q/64/1000", "queues_4")):
            changed = {k: v for k, v in self.ratios(**{row: got(5.0)}).items() if v != 1.0}
            self.assertEqual(changed, {name: 0.5})

    def test_busy_generator_leaves_no_ratio(self):
        ratios = self.ratios(**{"testpmd/64/1": got(20.0, busy=0.9)})
        self.assertIsNone(ratios["vs_testpmd"])
        self.assertEqual(ratios["vs_testpmd_1518"], 1.0)

    def test_page_draws_what_counts(self):
        self.ratios()
        self.assertEqual(len(throughput.page(self.result)[2]), len(throughput.FLOWS))
        self.ratios(**{f"{n}/{size}/1000": got(10.0, busy=1.0) for n, size, flows in rows() if flows == 1000})
        self.assertEqual(len(throughput.page(self.result)[2]), 1)

    def test_shared_cpu_is_the_reason_of_its_row_alone(self):
        self.ratios({"rtvswitch-2w": "two CPUs"})
        self.assertEqual({r["system"]: r["reason"] for r in self.result["rows"] if not r["counts"]}, {"rtvswitch-2w": "two CPUs"})


if __name__ == "__main__":
    unittest.main()
