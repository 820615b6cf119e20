#!/usr/bin/env python3
"""usage: footprint_test.py FOOTPRINT: rows and ratios of the bench of memory."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import footprint  # noqa: E402


def got(*mb):
    return [{"memory_mb": value, "idle_percent": 1.0} for value in mb]


ROUNDS = {("rtvswitch", "none"): got(50.0, 70.0, 60.0), ("rtvswitch", "2 MB"): got(40.0, 45.0, 41.0),
          ("rtvswitch", "1 GB"): got(1024.0), ("ovs-dpdk", "2 MB"): got(120.0)}


class Footprint(unittest.TestCase):
    def test_memory_with_four_ports_is_the_median_with_2_mb_pages(self):
        self.assertEqual(footprint.result(ROUNDS, {})["ratios"]["rss_4_ports_mb"], 41.0)

    def test_pages_of_1_gb_are_in_no_ratio(self):
        ratios = footprint.result(ROUNDS, {})["ratios"]
        self.assertEqual((ratios["memory_mb"], ratios["memory_vs_ovs"]), (60.0, 0.5))

    def test_machine_without_2_mb_pages_has_no_figure_of_them(self):
        self.assertIsNone(footprint.result({**ROUNDS, ("rtvswitch", "2 MB"): []}, {})["ratios"]["rss_4_ports_mb"])


if __name__ == "__main__":
    unittest.main()
