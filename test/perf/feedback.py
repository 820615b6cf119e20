# feedback: the cost of tunnels between hosts (overlay.py), the time until misses end, and the error
# of clocks (convergence.py).
import convergence
import overlay
import report


def run(build, quick, rounds, say, hugepages=True):
    steal = report.Steal()
    rates = overlay.run(build, quick, rounds, say, hugepages)
    clock = convergence.clock_error(build, 1 if quick else 60, say)
    rows, lines, notes = convergence.congestions(build, quick, 1 if quick else rounds, say)

    def median(scene, key):
        return report.spread([key(r) for r in rows if r["scene"] == scene and r["feedback"] == "act"])["median"]

    def rtts(scene):
        return round(median(scene, lambda r: r["first_to_last_miss_ms"]) / notes["rtt_ms"], 2)

    return {"bench": "feedback",
            "machine": {**report.machine(), **steal.result(), "hugepages": hugepages, **notes, **clock},
            "rows": overlay.table(rates), "congestions": rows, "timeline": lines,
            "ratios": {"stage1_rtts": rtts("stage1"), "stage2_rtts": rtts("stage2"),
                       "overlay_vs_untimed": overlay.ratio(rates, "rtvswitch-untimed", 1),
                       "overlay_vs_ovs": overlay.ratio(rates, "ovs-dpdk", 1),
                       "overlay_vs_ovs_1000_flows": overlay.ratio(rates, "ovs-dpdk", 1000),
                       "feedback_share": round(median("stage2" if quick else "stage2_long", lambda r: r["report_bytes"] / r["flow_bytes"]), 6)}}


def page(res):
    plots = [(title, report.lines({"without an answer": lines["measure"], "with feedback": lines["act"]}, convergence.DEADLINE_MS,
                                  "ms since the flow began", "largest delay of 20 ms, ms"))
             for title, lines in (("Congestion at the sender's uplink", res["timeline"]["stage1"]),
                                  ("Congestion in the network", res["timeline"]["stage2"]))]
    names = list(dict.fromkeys(r["system"] for r in res["rows"]))
    groups = [f"{size} B, {n} flow{'s' if n > 1 else ''}" for size in overlay.SIZES for n in overlay.FLOWS]

    def by_group(key):
        return {n: dict(zip(groups, [key(r) for r in res["rows"] if r["system"] == n])) for n in names}

    plots.append(("Frames per second through a tunnel, both directions together",
                  report.bars(groups, names, by_group(lambda r: r["mpps"]), "Geneve, one worker", "Mpps",
                              by_group(lambda r: (r["mpps_min"], r["mpps_max"])))))
    plots.append(("Each congestion", report.table(res["congestions"])))
    return ("Between hosts: feedback and tunnels",
            f"A flow with a deadline of {convergence.DEADLINE_MS} ms between two daemons {convergence.LATENCY_US // 1000} ms apart meets "
            "congestion: at its sender's own uplink, where an earlier scheduling deadline helps (stage 1), and in a network that "
            "honours DSCPs, where a higher one does (stage 2). stage1_rtts and stage2_rtts: from the first miss to the last, in round "
            "trips. The overlay's cost is measured between a DPDK guest and a reflector of Geneve packets; rtvswitch-untimed sends no "
            "timestamps.", plots)
