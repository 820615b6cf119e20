# Figures of recorded calls: python3 sip_calls_test.py. The frames are made here, as sipp and
# Kamailio send them; recorded/sip.json is a short run of the bench.
import json
import os
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import sip  # noqa: E402
import sip_calls  # noqa: E402

MS = 10**6


def frame(text, options=0):
    payload = text.replace("\n", "\r\n").encode()
    ip = bytes([0x45 + options, 0]) + bytes(7) + b"\x11" + bytes(10 + 4 * options)
    return bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHH", 5070, 5060, 8 + len(payload), 0) + payload


def message(first, call, method, **kw):
    return frame(f"{first}\nVia: SIP/2.0/UDP 10.77.1.1:5070;branch=z9hG4bK-{call}\nCall-ID: {call}@10.77.1.1\nCSeq: 1 {method}\n\n", **kw)


def invite(call, **kw):
    return message("INVITE sip:service@10.77.1.10:5060 SIP/2.0", call, "INVITE", **kw)


def bye(call):
    return message("BYE sip:service@10.77.1.10:5060 SIP/2.0", call, "BYE")


def reply(code, call, method):
    return message(f"SIP/2.0 {code}", call, method)


def whole(call, at, took):
    return [(at, invite(call)), (at + took // 2, reply("180 Ringing", call, "INVITE")), (at + took, reply("200 OK", call, "INVITE")),
            (at + took, message("ACK sip:service@10.77.1.10:5060 SIP/2.0", call, "ACK")), (at + took, bye(call)),
            (at + 2 * took, reply("200 OK", call, "BYE"))]


class Calls(unittest.TestCase):
    def test_a_call_takes_from_invite_to_its_200(self):
        got = sip_calls.calls_of(whole("a", 100, 30))
        self.assertEqual(got, {"calls": [(100, 30)], "completed": 1, "retransmissions": 0})

    def test_calls_are_told_apart_and_ordered(self):
        frames = sorted(whole("b", 200, 50) + whole("a", 100, 300), key=lambda f: f[0])
        self.assertEqual(sip_calls.calls_of(frames)["calls"], [(100, 300), (200, 50)])

    def test_the_first_invite_and_the_first_answer_count(self):
        frames = [(0, invite("a")), (500 * MS, invite("a")), (510 * MS, reply("200 OK", "a", "INVITE")),
                  (520 * MS, reply("200 OK", "a", "INVITE")), (530 * MS, bye("a")), (1030 * MS, bye("a"))]
        self.assertEqual(sip_calls.calls_of(frames), {"calls": [(0, 510 * MS)], "completed": 0, "retransmissions": 2})

    def test_a_call_without_a_200_has_no_time(self):
        frames = [(0, invite("a")), (1, reply("180 Ringing", "a", "INVITE")), (2, reply("503 Busy", "a", "INVITE"))]
        self.assertEqual(sip_calls.calls_of(frames)["calls"], [(0, None)])

    def test_the_200_of_a_bye_answers_no_invite(self):
        self.assertEqual(sip_calls.calls_of([(0, invite("a")), (5, reply("200 OK", "a", "BYE"))])["calls"], [(0, None)])

    def test_other_frames_are_passed_over(self):
        frames = [(0, b""), (0, bytes(60)), (0, invite("a")[:41]), (0, frame("hello")), (0, frame("INVITE without a header")),
                  (0, bytes(12) + b"\x86\xdd" + bytes(60))]
        self.assertEqual(sip_calls.calls_of(frames), {"calls": [], "completed": 0, "retransmissions": 0})

    def test_ip_options_are_skipped(self):
        self.assertEqual(sip_calls.calls_of([(7, invite("a", options=2))])["calls"], [(7, None)])


class Figures(unittest.TestCase):
    def summary(self, times_ms, stalls=(), wanted=None, **kw):
        calls = [(n * 10 * MS, int(t * MS)) for n, t in enumerate(times_ms)]
        return sip_calls.summary({"calls": calls, "completed": len(calls), "retransmissions": 0}, wanted or len(calls), stalls, **kw)

    def test_golden_numbers(self):
        got = self.summary([1, 2, 3, 4, 10], wanted=7)
        self.assertEqual((got["calls"], got["failed"], got["p50_ms"], got["p99_ms"], got["max_ms"]), (5, 2, 3, 10, 10))
        self.assertAlmostEqual(got["mean_ms"], 4)
        self.assertAlmostEqual(got["sd_ms"], 3.1622777, 6)

    def test_nothing_measured_is_said(self):
        got = sip_calls.summary({"calls": [(0, None)], "completed": 0, "retransmissions": 3}, 1)
        self.assertEqual((got["calls"], got["failed"], got["retransmissions"], got["points"]), (0, 1, 3, []))
        self.assertNotIn("mean_ms", got)

    def test_the_beginning_is_left_out(self):
        self.assertEqual(self.summary([50, 1, 1], skip_ns=10 * MS)["max_ms"], 1)

    def test_quantiles_are_of_the_nearest_rank(self):
        values = list(range(1, 101))
        self.assertEqual([sip_calls.quantile(values, q) for q in (0, 1, 50, 99, 99.5, 100)], [1, 1, 50, 99, 100, 100])
        self.assertEqual(sip_calls.quantile([7], 0), 7)

    def test_outliers_from_5_medians_or_10_ms(self):
        self.assertEqual(self.summary([1] * 9 + [5])["outliers"], 0)
        self.assertEqual(self.summary([1] * 9 + [5.1])["outliers"], 1)
        self.assertEqual(self.summary([4] * 9 + [10.1])["outliers"], 1)

    def test_a_stall_explains_an_outlier_that_it_covers_half_of(self):
        late = 90 * MS  # when the tenth call begins
        for stall, by in ((("host", late, late + 8 * MS), (1, 0)), (("vcpu", late, late + 8 * MS), (0, 1)),
                          (("host", late, late + 5 * MS), (0, 0)), (("host", late + 60 * MS, late + 90 * MS), (0, 0)),
                          (("host", late - 20 * MS, late + 1 * MS), (1, 0))):
            got = self.summary([1] * 9 + [13], [stall])
            self.assertEqual((got["outliers"], got["by_host"], got["by_scheduler"]), (1, *by), stall)

    def test_stalls_are_read_and_ordered(self):
        self.assertEqual(sip_calls.stalls_of("vcpu 0 50 60\nnot a stall\nhost 1 10 20\nhost x 1 2\n"), [("host", 10, 20), ("vcpu", 50, 60)])

    def test_points_are_few_and_have_the_slowest(self):
        calls = [(n * MS, (500 if n == 777 else 1) * MS) for n in range(5000)]
        self.assertEqual(sip_calls.points([]), [])
        points = sip_calls.points(calls, 100)
        self.assertLessEqual(len(points), 101)
        self.assertEqual(max(p[1] for p in points), 500.0)

    def test_rows_have_medians_and_sums(self):
        rounds = [self.summary([n, n, n]) for n in (1, 9, 2)]
        row = sip_calls.row_of({"system": "x"}, rounds)
        self.assertEqual((row["mean_ms"], row["max_ms"], row["calls"]), (2, 2, 9))

    def test_ratios_are_taken_at_the_highest_load_that_all_carry(self):
        def row(system, cps, sd, failed=0, neighbour=False):
            return {"system": system, "cps": cps, "server": "sipp", "neighbour": neighbour, "sd_ms": sd, "max_ms": sd * 4,
                    "p99_ms": sd * 2, "failed": failed, "calls": 10}

        rows = [row(s, cps, sd, failed) for cps, failed in ((100, 0), (400, 0), (700, 1))
                for s, sd in (("bridge", 10), ("wakeup", cps / 400))]
        rows += [row("ovs", 400, 100, neighbour=True), row("deadlines", 400, 2, neighbour=True)]
        got = sip_calls.ratios(rows, ("bridge", "wakeup"), 400)
        self.assertEqual((got["highest_cps"], got["sd_e_vs_a"], got["max_e_vs_a"], got["p99_d_vs_b"]), (400, 0.1, 0.1, 0.02))
        self.assertIsNone(got["highest_cps_kamailio"])
        self.assertIsNone(got["sd_e_vs_a_kamailio"])


class Report(unittest.TestCase):
    def setUp(self):
        with open(os.path.join(HERE, "recorded/sip.json")) as f:
            self.recorded = json.load(f)
        got = {}
        for r in self.recorded["rounds"]:
            got.setdefault((r["system"], r["server"], r["cps"], r["neighbour"]), []).append(r)
        self.res = sip.result_of(got, {c: [{**m, "quantiles_ms": [], "points": []}] for c, m in
                                       zip(sip.COMBINATIONS, self.recorded["measures"], strict=False)}, self.recorded["machine"])

    def test_golden_ratios(self):
        with open(os.path.join(HERE, "recorded/sip.golden.json")) as f:
            self.assertEqual(self.res["ratios"], json.load(f))

    def test_rows_are_complete(self):
        keys = {"system", "cps", "neighbour", "server", "mean_ms", "sd_ms", "p50_ms", "p99_ms", "max_ms", "calls", "retransmissions",
                "failed", "outliers", "by_host", "by_scheduler"}
        self.assertEqual(len(self.res["rows"]), 15)
        for row in self.res["rows"]:
            self.assertEqual(set(row), keys)

    def test_the_page_has_everything(self):
        title, intro, plots = sip.page(self.res)
        text = "".join(h + s for h, s in plots)
        self.assertEqual(text.count("<svg"), 3)
        self.assertEqual(sip.paper_rows(self.res)[0]["the paper saw, ms"], "mean about 2, max about 7.5")
        for word in ("OVS-DPDK", "kamailio, 400 call/s", "max about 43", "prewake"):
            self.assertIn(word, title + intro + text)
        self.assertNotIn("http://", text.replace("http://www.w3.org", "").replace("http://purl.org", "").replace("http://creativecommons.org", ""))


if __name__ == "__main__":
    unittest.main()
