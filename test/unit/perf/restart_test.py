#!/usr/bin/env python3
"""usage: restart_test.py RESTART: cases, order, rows and ratios of the bench of restarts."""
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(sys.argv.pop()).parent))
import restart  # noqa: E402

N = len(restart.CASES)
EVERY = set(range(N))


def took(seconds, ok=EVERY):
    return [seconds] * N, ok


class Restart(unittest.TestCase):
    def ratios(self, own, against=()):
        self.result = restart.result({"own": own, **({"against": list(against)} if against else {})}, {})
        return self.result["ratios"]

    def test_cases_are_all_combinations(self):
        self.assertEqual(len(set(restart.CASES)), 16)
        self.assertEqual([{c[i] for c in restart.CASES} for i in range(4)],
                         [{"linux", "dpdk"}, {"connect", "listen"}, {"split", "packed"}, {1, 4}])

    def test_quick_restarts_alternate(self):
        self.assertEqual(list(restart.order(2, True, True)), ["own", "against"] * 2)
        self.assertEqual(list(restart.order(2, False, True)), ["own"] * 2)

    def test_full_run_restarts_the_other_seldom(self):
        names = list(restart.order(restart.RESTARTS, True, False))
        self.assertEqual((names.count("own"), names.count("against")), (1000, 100))

    def test_recovered_is_the_share_of_all_cases(self):
        self.assertEqual(self.ratios([took(0.1), took(0.1)])["recovered"], 1.0)
        self.assertEqual(self.ratios([took(0.1), took(0.1, EVERY - {3})])["recovered"], round(31 / 32, 5))
        self.assertEqual([r["recovered"] for r in self.result["rows"]], [2, 2, 2, 1] + [2] * 12)

    def test_times_are_quantiles_in_ms(self):
        ratios = self.ratios([took(s / 1000) for s in range(1, 101)])
        self.assertEqual([ratios[k] for k in ("n_restarts", "ms_p50", "ms_p99", "connect_ms_p50", "p50_vs_before")],
                         [100, 51.0, 100.0, 51.0, None])

    def test_other_build_is_compared_by_medians(self):
        self.assertEqual(self.ratios([took(0.1), took(0.3), took(0.2)], [took(0.4), took(0.1), took(0.4)])["p50_vs_before"], 0.5)
        self.assertEqual(self.result["rows"][0]["against_ms_p50"], 400.0)

    def test_case_that_never_delivered_has_no_time(self):
        times = [None] + [0.1] * (N - 1)
        self.ratios([(times, EVERY - {0})])
        row = self.result["rows"][0]
        self.assertEqual((row["ms_p50"], row["recovered"]), (None, 0))
        restart.page(self.result)


if __name__ == "__main__":
    unittest.main()
