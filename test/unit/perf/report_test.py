#!/usr/bin/env python3
"""usage: report_test.py REPORT: rows and ratios of rates, and which of them count."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import report  # noqa: E402


def got(mpps, busy=0.5):
    return {"mpps": mpps, "busy": busy, "limit_mpps": mpps / busy, "lost": 1}


class Rates(unittest.TestCase):
    def test_row_is_of_all_rounds(self):
        row = report.rate_row([got(3.0), got(1.0), got(2.0)], system="s", frame="64")
        self.assertEqual((row["system"], row["frame"], row["mpps"], row["mpps_min"], row["mpps_max"], row["rounds"], row["lost"]),
                         ("s", "64", 2.0, 1.0, 3.0, 3, 3))
        self.assertTrue(row["counts"])
        self.assertEqual(row["reason"], "")

    def test_row_of_a_busy_generator_does_not_count(self):
        self.assertTrue(report.rate_row([got(1.0, 0.899)])["counts"])
        row = report.rate_row([got(1.0, 0.9)])
        self.assertFalse(row["counts"])
        self.assertIn("busy, 0.90", row["reason"])

    def test_row_with_a_reason_does_not_count(self):
        row = report.rate_row([got(1.0)], "no third CPU")
        self.assertEqual((row["counts"], row["reason"]), (False, "no third CPU"))

    def test_ratio_is_the_median_of_rounds(self):
        self.assertEqual(report.ratio([got(1.0), got(4.0), got(9.0)], [got(2.0), got(4.0), got(3.0)]), 1.0)

    def test_ratio_leaves_out_rounds_of_a_busy_generator_on_either_side(self):
        ours = [got(1.0), got(9.0, 0.95), got(3.0)]
        theirs = [got(2.0), got(1.0), got(1.0, 0.9)]
        self.assertEqual(report.ratio(ours, theirs), 0.5)

    def test_no_ratio_is_left_when_no_round_counts(self):
        self.assertIsNone(report.ratio([got(1.0, 0.9)], [got(1.0)]))
        self.assertEqual(report.cell(None), "-")


if __name__ == "__main__":
    unittest.main()
