#!/usr/bin/env python3
"""usage: tso_test.py TSO: rows and ratio of the stream between two guests."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import systems  # noqa: E402
import tso  # noqa: E402

GOT = {"rtvswitch": [1.0, 4.0, 9.0], "ovs-dpdk": [2.0, 4.0, 3.0]}


class Tso(unittest.TestCase):
    def test_ratio_is_the_median_of_rounds(self):
        self.assertEqual(tso.ratio(GOT), 1.0)

    def test_rows_are_medians_in_mbit(self):
        self.assertEqual([(r["system"], r["received_mbit"]) for r in tso.rows(GOT)], [("rtvswitch", 4000.0), ("ovs-dpdk", 3000.0)])

    def test_last_line_of_netperf_is_read(self):
        self.assertEqual(tso.gbps("enable_enobufs failed: getprotobyname\n2500.50\n"), 2.5005)

    def test_netperf_that_failed_is_told(self):
        with self.assertRaises(systems.Failed):
            tso.gbps("establish control: are you sure there is a netserver listening?")


if __name__ == "__main__":
    unittest.main()
