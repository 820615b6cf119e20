# Delays of pings without and with deadlines: a table on standard output and a plot.
"""usage: delays.py PLOT.svg NAME=WITHOUT:WITH ...   (files of ping's output; a packet without an answer is lost)"""
import re
import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

COLORS = {"without": "#d9822b", "with": "#1464b4"}


def read(path):
    """Answers as (number, ms), and how many were sent."""
    with open(path, errors="replace") as f:
        text = f.read()
    got = [(int(n), float(ms)) for n, ms in re.findall(r"icmp_seq=(\d+) .*time=([0-9.]+) ms", text)]
    sent = re.search(r"(\d+) packets transmitted", text)
    return got, int(sent.group(1)) if sent else len(got)


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def main():
    out, pairs = sys.argv[1], [a.split("=", 1) for a in sys.argv[2:]]
    fig, axes = plt.subplots(1, len(pairs), figsize=(4.2 * len(pairs), 3.2), sharey=True, squeeze=False)
    print(f"{'round trip, ms':16}{'deadlines':>11}{'p50':>9}{'p99':>9}{'max':>9}{'lost':>7}")
    for ax, (name, files) in zip(axes[0], pairs):
        for label, path in zip(("without", "with"), files.split(":")):
            got, sent = read(path)
            ms = [v for _, v in got]
            print(f"{name:16}{label:>11}{percentile(ms, .5):9.1f}{percentile(ms, .99):9.1f}{max(ms, default=float('nan')):9.1f}"
                  f"{sent - len(got):7}")
            ax.plot([n for n, _ in got], ms, ".", ms=3, color=COLORS[label], label=f"{label} deadlines")
        ax.set_yscale("log")
        ax.set_title(name, loc="left", fontsize=11)
        ax.set_xlabel("packet")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("round trip, ms (log scale)")
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="upper right", ncols=2, frameon=False, fontsize=9, markerscale=3)
    fig.tight_layout()
    fig.savefig(out)
    fig.savefig(out.replace(".svg", ".png"), dpi=120)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
