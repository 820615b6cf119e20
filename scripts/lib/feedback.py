# The reaction of two daemons to congestion: a picture over time, and the result in words.
"""usage: feedback.py PLOT.svg DEADLINE_MS RECORD [PACKETS]
RECORD: what watch.py wrote, and of the script {"what": "begin"|"end", "of": LABEL, "t": SECONDS}, congestion of its own host first
PACKETS: what flow.py wrote; without it delays are what the receiving daemon measured (the top of a histogram's bucket)"""
import json
import math
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

BIN_S = 0.1
SETTLE_S = 0.2  # what is on its way when an answer is given still arrives
BLUE, RED, GREEN, VIOLET = "#1464b4", "#c0392b", "#3d8b57", "#8a5ea8"
SHADES = ("#dfe9dc", "#f6dfc9")
DSCPS = {-1: "default", 10: "AF11", 18: "AF21", 26: "AF31", 34: "AF41", 46: "EF"}


class Run:
    def __init__(self, deadline_ms, record, packets):
        self.deadline_ms = deadline_ms
        self.rows = []
        with open(record) as f:
            self.rows = [json.loads(line) for line in f if line.endswith("\n")]
        self.rows.sort(key=lambda r: r["t"])
        self.zero = next(r["t"] for r in self.rows if r["what"] == "start")
        for row in self.rows:
            row["t"] -= self.zero
        self.end = self.rows[-1]["t"]
        self.is_measured_by_daemon = packets is None
        self.delays, self.lost = self.of_daemon() if packets is None else self.of_packets(packets)  # (s, ms) and seconds

    def of(self, what):
        return [r for r in self.rows if r["what"] == what]

    def of_daemon(self):
        rows = self.of("arrived")
        delays = [(r["t"], r["worst_ms"]) for r in rows if r["worst_ms"]]
        return delays, [r["t"] for r in rows for _ in range(max(r["lost"], 0))]

    def of_packets(self, path):
        with open(path) as f:
            rows = [line.split() for line in f if line.endswith("\n")]
        rows = sorted((int(n), float(s) - self.zero, float(ms)) for n, s, ms in rows)
        lost = []
        for (n, s, _), (after, later, _) in zip(rows, rows[1:]):
            lost += [s + (later - s) * i / (after - n) for i in range(1, after - n)]
        return [(s, ms) for _, s, ms in rows if 0 <= s < self.end], [s for s in lost if 0 <= s < self.end]

    def missed(self):
        """Seconds of the packets that were late or lost; of the daemon's figures, how many were is in "missed"."""
        if self.is_measured_by_daemon:
            late = [r["t"] for r in self.of("arrived") for _ in range(r["missed"])]
        else:
            late = [s for s, ms in self.delays if ms > self.deadline_ms]
        return sorted(late + self.lost)

    def periods(self):
        """(label, begin, end) of each load, in order of their begins."""
        ends = {r["of"]: r["t"] for r in self.of("end")}
        return [(r["of"], r["t"], ends.get(r["of"], self.end)) for r in self.of("begin")]


def binned(delays):
    worst = {}
    for s, ms in delays:
        n = math.floor(s / BIN_S)
        worst[n] = max(ms, worst.get(n, 0))
    return [(n + 0.5) * BIN_S for n in sorted(worst)], [worst[n] for n in sorted(worst)]


def shade(axes, periods):
    for ax in axes:
        for (_, begin, end), color in zip(periods, SHADES):
            ax.axvspan(begin, end, color=color, lw=0, zorder=0)
    labels = [(label, begin) for label, begin, _ in periods] + [("congestion is over", max(end for _, _, end in periods))]
    for (label, s), height in zip(labels, (1.02, 1.08, 1.02)):
        axes[0].text(s, height, f"\u25be {label}", transform=axes[0].get_xaxis_transform(), fontsize=9, color="#444444")


def draw_delay(ax, run):
    ax.plot(*binned(run.delays), ".-", color=BLUE, ms=4, lw=0.8, label=f"largest delay in 0.1 s, {'daemon' if run.is_measured_by_daemon else 'application'}")
    ax.axhline(run.deadline_ms, color="black", ls="--", lw=1, label=f"deadline, {run.deadline_ms:g} ms")
    late = [(s, ms) for s, ms in zip(*binned(run.delays)) if ms > run.deadline_ms]
    ax.plot([s for s, _ in late], [ms for _, ms in late], "o", color=RED, ms=5, label="later than the deadline")
    if run.lost:
        ax.plot(run.lost, [0.84] * len(run.lost), "x", color=RED, ms=4, transform=ax.get_xaxis_transform(), label="lost")
    ax.set_yscale("log")
    ax.set_ylim(top=max(ms for _, ms in run.delays) * 8)  # room for the legend
    ax.set_ylabel("a to d, ms (log)")


def draw_answer(deadline, ladder, run):
    # Before the first report there is nothing to show: the flow is as it was configured.
    peers = [{"t": 0, "deadline_ms": run.deadline_ms, "step": 0, "dscp": -1}] + run.of("peer")
    seconds = [r["t"] for r in peers]
    deadline.step(seconds, [r["deadline_ms"] for r in peers], where="post", color=GREEN, lw=1.5)
    deadline.set_ylim(0, run.deadline_ms * 1.15)
    deadline.set_ylabel("scheduling\ndeadline, ms")
    ladder.step(seconds, [r["step"] for r in peers], where="post", color=VIOLET, lw=1.5)
    names = {r["step"]: DSCPS.get(r["dscp"], str(r["dscp"])) for r in peers + run.of("event")}
    top = max(list(names) + [1])
    ladder.set_yticks(sorted(names), [names[n] for n in sorted(names)])
    ladder.set_ylim(-0.3, top + 0.4)
    ladder.set_ylabel("DSCP")
    ladder.set_xlabel("time, s")
    for event in run.of("event"):
        ax, value = (ladder, event["step"]) if is_of_ladder(event, run) else (deadline, event["scheduling_deadline_ns"] / 1e6)
        is_back = event["name"] in ("flow.relaxed", "flow.recovered")
        ax.plot([event["t"]], [value], "v" if is_back else "^", ms=6, color=GREEN if is_back else RED, clip_on=False, zorder=5)


def is_of_ladder(event, run):
    """Whether it changed the step, and not the scheduling deadline."""
    if event["name"] in ("flow.raised", "flow.escalated"):
        return True
    before = [r["step"] for r in run.of("event") if r["t"] < event["t"]]
    return bool(before) and before[-1] != event["step"]


def draw(run, out):
    fig, axes = plt.subplots(3, 1, figsize=(9, 6), sharex=True, gridspec_kw={"height_ratios": (3, 1.3, 1)})
    shade(axes, run.periods())
    draw_delay(axes[0], run)
    draw_answer(axes[1], axes[2], run)
    axes[1].plot([], [], "^", color=RED, label="answer to misses")
    axes[1].plot([], [], "v", color=GREEN, label="step back")
    axes[0].legend(loc="upper right", ncols=4, frameon=False, fontsize=9)
    axes[1].legend(loc="lower right", frameon=False, fontsize=9)
    axes[0].set_xlim(0, run.end)
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    fig.align_ylabels(axes)
    fig.tight_layout()
    fig.savefig(out)
    fig.savefig(out.replace(".svg", ".png"), dpi=120)


def answer(event):
    if event["name"] == "flow.raised":
        return f"raised to {DSCPS.get(event['dscp'], event['dscp'])}"
    return f"scheduled for {event['scheduling_deadline_ns'] / 1e6:.1f} ms"


def describe_period(run, label, begin, end, missed):
    """When packets missed their deadline: before an answer had its effect, because a step back was tried too soon, or else."""
    events = [e for e in run.of("event") if begin <= e["t"] < end]
    answers = [e for e in events if e["name"] in ("flow.shortened", "flow.raised")]
    missed = [s for s in missed if begin <= s < end]
    if not answers:
        return f"{label}: {len(missed)} packets missed their deadline; the answer stayed as it was"
    settled = answers[0]["t"] + SETTLE_S
    tries = [e["t"] for e in events if e["name"] in ("flow.relaxed", "flow.recovered")]
    ends = [next((a["t"] + SETTLE_S for a in answers if a["t"] > s), end) for s in tries]
    first = [s for s in missed if s < settled]
    tried = [s for s in missed if s >= settled and any(b <= s < e for b, e in zip(tries, ends))]
    text = f"{label}: {len(first)} packets missed their deadline in the first {(settled - begin) * 1000:.0f} ms, then a was {answer(answers[0])}"
    if tries:
        text += f"; {len(tried)} more when it tried to go back ({len(tries)} times)"
    return text + f"; {len(missed) - len(first) - len(tried)} otherwise"


def describe_recovery(run, over):
    ladder = [r["t"] for r in run.of("peer") if r["t"] > over and r["step"] > 0]
    back = next((e["t"] for e in run.of("event") if e["name"] == "flow.recovered" and e["t"] > over), None)
    if back is None:
        return f"congestion over: not as before yet, after {run.end - over:.0f} s"
    return f"congestion over: DSCP as before after {max(ladder, default=over) - over:.1f} s, scheduling deadline after {back - over:.1f} s"


def describe(run):
    missed = run.missed()
    periods = run.periods()
    for i, (label, begin, end) in enumerate(periods):
        print(describe_period(run, label, begin, min([end] + [b for _, b, _ in periods[i + 1:]]), missed))
    print(describe_recovery(run, max(end for _, _, end in periods)))


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    run = Run(float(sys.argv[2]), sys.argv[3], sys.argv[4] if len(sys.argv) == 5 else None)
    draw(run, sys.argv[1])
    describe(run)


if __name__ == "__main__":
    main()
