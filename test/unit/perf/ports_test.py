#!/usr/bin/env python3
"""usage: ports_test.py PORTS: rows and ratios of the bench of idle guests."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import ports  # noqa: E402
import report  # noqa: E402


def got(mpps, delay, turn):
    return {"mpps": mpps, "busy": 0.5, "limit_mpps": 9.0, "lost": 0, "turn_ns": turn, "delay_p50_us": delay,
            "delay_p99_us": 2 * delay}


ROUNDS = {("rtvswitch", 2): [got(8.0, 1.0, 50.0), got(9.0, 2.0, 60.0)],
          ("rtvswitch", 256): [got(4.0, 3.0, 70.0), got(4.5, 6.0, 80.0)],
          ("ovs-dpdk", 2): [got(6.0, 1.0, 90.0)] * 2,
          ("ovs-dpdk", 256): [got(3.0, 4.0, 90.0)] * 2}
POLLS = {"own_ns": [1.0, 2.0, 9.0], "librte_ns": [8.0, 10.0, 9.0]}
BESIDE = [(got(8.0, 1.0, 50.0), {**got(6.0, 1.0, 50.0), "toggles": 99}),
          (got(9.0, 1.0, 50.0), {**got(9.0, 1.0, 50.0), "toggles": 99})]
REFUSED = {("ovs-dpdk", 1024): "refused: no more"}


class Ports(unittest.TestCase):
    def setUp(self):
        self.result = ports.result(ROUNDS, REFUSED, BESIDE, POLLS, report.Steal(), True)
        self.rows = {(r["system"], r["ports"]): r for r in self.result["rows"]}

    def test_rows_are_medians(self):
        row = self.rows["rtvswitch", 2]
        self.assertEqual([row[k] for k in ("mpps", "turn_ns", "delay_p50_us", "delay_p99_us")], [8.5, 55.0, 1.5, 3.0])

    def test_ratios_are_of_many_ports_against_two(self):
        self.assertEqual(self.result["ratios"], {"idle_ring_vs_librte": 0.2, "idle_turn_vs_librte": round(20 / 254 / 9, 3),
                                                 "idle_255_rate": 0.5, "idle_255_delay": 3.0,
                                                 "ovs_idle_255_rate": 0.5, "ovs_idle_255_delay": 4.0,
                                                 "rate_beside_toggler": 0.875})

    def test_refused_row_says_why(self):
        row = self.rows["ovs-dpdk", 1024]
        self.assertIsNone(row["mpps"])
        self.assertEqual((row["counts"], row["reason"]), (False, "refused: no more"))
        ports.page(self.result)

    def test_polls_are_rows_of_their_own(self):
        self.assertEqual(self.rows["rtvswitch", "one idle ring"]["poll_ns"], 2.0)
        self.assertEqual(self.rows["librte_vhost", "one idle ring"]["poll_ns"], 9.0)

    def test_toggler_has_a_row_and_no_bar(self):
        row = self.rows["rtvswitch", "beside a guest that toggles"]
        self.assertEqual((row["mpps"], row["toggles"]), (7.5, 99))
        self.assertNotIn("toggles", "".join(svg for _, svg in ports.page(self.result)[2]))

    def test_quick_has_what_ratios_need(self):
        self.assertLessEqual({ports.FEW, ports.MANY}, set(ports.QUICK_COUNTS))
        self.assertLessEqual(set(ports.QUICK_COUNTS), set(ports.COUNTS))


if __name__ == "__main__":
    unittest.main()
