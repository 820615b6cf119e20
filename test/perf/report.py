# Shared by all benches: the machine's description, stolen time, medians, the JSON file and the HTML
# page. One JSON file a bench: {"bench", "machine", "rows": [...], "ratios": {...}}; the page is
# made from it alone, so that it can be made again from a recorded file.
import html
import io
import json
import os
import statistics
import time

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib.ticker import LogLocator  # noqa: E402

COLORS = {"rtvswitch": "#1464b4", "testpmd": "#8a8a8a", "ovs-dpdk": "#d9822b", "rte_sched": "#8a8a8a", "queue: edf.c": "#1464b4",
          "ovs-dpdk, egress-policer": "#d9822b", "ovs-dpdk, trtcm-policer": "#f0b878", "linux bridge, htb": "#8a8a8a",
          "queue: binary heap": "#d9822b", "queue: 4-ary heap": "#f0b878", "queue: tournament tree": "#8a8a8a",
          "queue: buckets of 1 us": "#6aa84f", "rtvswitch-deadlines": "#7fb2e5", "rtvswitch-4q": "#0b2a55",
          "rtvswitch-packed": "#6aa84f", "rtvswitch-in-order": "#b6d7a8",
          "rtvswitch-untimed": "#7fb2e5",
          "segment": "#1464b4", "segment, separate": "#7fb2e5", "memif": "#d9822b", "memif, zero-copy": "#f0b878",
          "veth": "#8a8a8a", "rtvswitchd": "#0b2a55", "e1000": "#8a8a8a",
          "rtvs-move": "#1464b4", "plain": "#8a8a8a", "cpr-transfer": "#7fb2e5"}


def cpu_ticks():
    """Ticks of all CPUs together: user, nice, system, idle, iowait, irq, softirq, steal."""
    with open("/proc/stat") as f:
        return [int(x) for x in f.readline().split()[1:9]]


def machine():
    def first(path, key):
        with open(path) as f:
            for line in f:
                if line.startswith(key):
                    return line.split(":", 1)[1].strip()
        return "?"

    return {
        "cpu": first("/proc/cpuinfo", "model name"),
        "cpus": os.cpu_count(),
        "memory_kb": int(first("/proc/meminfo", "MemTotal").split()[0]),
        "kernel": os.uname().release,
        "is_virtual": "hypervisor" in first("/proc/cpuinfo", "flags").split(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


class Steal:
    """Share of the machine that its own host, and everybody outside the bench, took while the bench ran."""

    def __init__(self):
        self.begin = cpu_ticks()
        self.load = os.getloadavg()[0]

    def result(self):
        delta = [b - a for a, b in zip(self.begin, cpu_ticks())]
        total = sum(delta) or 1
        return {"steal_share": round(delta[7] / total, 5), "load_before": self.load}


def spread(values):
    """Median and the two outer values of what the rounds measured."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": len(values)}


# A generator that is busier than this may have been slower than the switch.
MAX_BUSY = 0.9


def counts(got):
    """Whether the rate of one measurement is the switch's."""
    return got["busy"] < MAX_BUSY


def rate_row(got, reason="", **what):
    """A row of what all rounds measured; reason: why its rate does not count, if that is known."""
    s = spread([g["mpps"] for g in got])
    busy = spread([g["busy"] for g in got])["median"]
    if not reason and busy >= MAX_BUSY:
        reason = f"the generator was busy, {busy:.2f} of its time"
    return {**what, "mpps": round(s["median"], 3), "mpps_min": round(s["min"], 3), "mpps_max": round(s["max"], 3),
            "rounds": s["rounds"], "generator_busy": round(busy, 3),
            "generator_limit_mpps": round(spread([g["limit_mpps"] for g in got])["median"], 3),
            "lost": sum(g["lost"] for g in got), "counts": not reason, "reason": reason}


def ratio(ours, theirs, key="mpps"):
    """By round, then the median: what disturbed one round disturbed both systems of it. Rounds whose
    rates do not count are left out; None: all are."""
    pairs = [(a, b) for a, b in zip(ours, theirs) if counts(a) and counts(b)]
    return ratio_of(*zip(*pairs), key) if pairs else None


def ratio_of(ours, theirs, key):
    """The same of what always counts."""
    return round(statistics.median(a[key] / b[key] for a, b in zip(ours, theirs)), 3)


def bars(groups, series, values, title, unit, whiskers=None, is_log=False, is_labelled=False):
    """Grouped bars as SVG text. values[series][group], whiskers likewise as (low, high)."""
    fig, ax = plt.subplots(figsize=(7.2, 3.4))
    width = 0.8 / len(series)
    for k, name in enumerate(series):
        at = [i + (k - (len(series) - 1) / 2) * width for i in range(len(groups))]
        ys = [values[name].get(g, 0) for g in groups]
        err = None
        if whiskers:
            err = [[y - whiskers[name].get(g, (y, y))[0] for y, g in zip(ys, groups)],
                   [whiskers[name].get(g, (y, y))[1] - y for y, g in zip(ys, groups)]]
        drawn = ax.bar(at, ys, width * 0.92, label=name, color=COLORS.get(name), yerr=err, capsize=2,
               error_kw={"elinewidth": 0.8, "ecolor": "#333333"})
        if is_labelled:
            ax.bar_label(drawn, fmt=lambda y: f"{y:.0f}" if y >= 100 else f"{y:.2g}", fontsize=8, padding=2)
    ax.set_xticks(range(len(groups)), groups)
    ax.set_ylabel(unit)
    if is_log:
        ax.set_yscale("log")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    # Below the groups and all lines of their names: it hides no bar.
    below = 0.1 * max(name.count("\n") + 1 for name in groups)
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -below), ncols=min(3, len(series)))
    return svg(fig)


def lines(series, limit, x_title, y_title):
    """Values over time as SVG text: series[name] is a list of (x, y), limit a dashed line."""
    fig, ax = plt.subplots(figsize=(7.2, 3.0))
    for (name, points), color in zip(series.items(), ("#d9822b", "#1464b4")):
        ax.plot(*zip(*points), lw=1.2, color=color, label=name)
    ax.axhline(limit, color="black", ls="--", lw=1, label="deadline")
    ax.set_ylim(0)
    ax.set_xlabel(x_title)
    ax.set_ylabel(y_title)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    return svg(fig)


# Blue is ours; the more that is done about time, the darker.
SERIES = ("#8a8a8a", "#d9822b", "#8fbfe8", "#1464b4", "#0b2a55")


def grid(rows, columns, panels, x_title, y_title):
    """Points of each pair of a row and a column, on the same scales, the vertical one logarithmic: panels[row][column] is a list of
    (x, y)."""
    fig, axes = plt.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False,
                             figsize=(1.9 * len(columns), 1.15 * len(rows) + 0.6))
    for r, row in enumerate(rows):
        for c, column in enumerate(columns):
            ax = axes[r][c]
            if panels[r][c]:
                # A picture of the points: thousands of them as shapes would make the page slow.
                ax.plot(*zip(*panels[r][c]), ".", ms=2.2, color=SERIES[c % len(SERIES)], rasterized=True)
            ax.set_yscale("log")
            ax.yaxis.set_major_formatter(lambda y, _: f"{y:g}")
            ax.grid(axis="y", lw=0.4, color="#dddddd")
            ax.tick_params(labelsize=7)
            ax.spines[["top", "right"]].set_visible(False)
            if r == 0:
                ax.set_title(column.replace(", ", ",\n", 1), fontsize=8, loc="left")
            if c == len(columns) - 1:
                ax.text(1.02, 0.5, row.replace(", ", ",\n"), fontsize=7, transform=ax.transAxes, va="center")
        axes[r][0].set_ylabel(y_title, fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel(x_title, fontsize=7)
    return svg(fig, dpi=200)


def shares(titles, curves, quantiles):
    """Cumulative shares, a panel each: curves[n][name] are the values at the quantiles (percent)."""
    columns = min(3, len(titles))
    rows = -(-len(titles) // columns)
    fig, axes = plt.subplots(rows, columns, sharey=True, squeeze=False, figsize=(3.2 * columns, 2.3 * rows + 0.5))
    for n, ax in enumerate(axes.flat):
        if n >= len(titles):
            ax.set_visible(False)
            continue
        for (name, values), color in zip(curves[n].items(), SERIES):
            if values:
                ax.plot(values, quantiles, lw=1.3, color=color, label=name)
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        ax.xaxis.set_minor_formatter(lambda x, _: "")
        ax.set_title(titles[n], fontsize=9, loc="left")
        ax.set_xlabel("ms, log scale", fontsize=8)
        ax.tick_params(labelsize=7)
        ax.grid(lw=0.4, color="#dddddd")
        ax.spines[["top", "right"]].set_visible(False)
    for row in axes:
        row[0].set_ylabel("% of calls", fontsize=8)
    fig.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=min(5, len(curves[0])), frameon=False, fontsize=8)
    return svg(fig, bottom=0.35 / (2.3 * rows + 0.5))


def svg(fig, dpi=100, bottom=0):
    out = io.StringIO()
    fig.tight_layout(rect=(0, bottom, 1, 1))
    fig.savefig(out, format="svg", dpi=dpi)
    plt.close(fig)
    text = out.getvalue()
    return text[text.index("<svg"):]


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 52rem; padding: 1rem; color: #1b1b1b; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
svg { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.note { color: #555; font-size: .9rem; }
li { margin: .2rem 0; }
@page { size: A4; margin: 14mm; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; } svg, tr { break-inside: avoid; }
 .wide { overflow: visible; } table { font-size: 6.5pt; } th, td { padding: .1rem .25rem; } }
"""


def table(rows):
    keys = list(dict.fromkeys(k for row in rows for k in row))
    head = "".join(f"<th>{html.escape(k)}</th>" for k in keys)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell(row.get(k, '')))}</td>" for k in keys) + "</tr>"
                   for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def cell(value):
    if value is None:
        return "-"
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def write(path, result, title, intro, plots):
    """JSON, then the page beside it. plots: list of (heading, svg)."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    m = result["machine"]
    ratios = [{"ratio": k, "value": v} for k, v in result["ratios"].items()]
    parts = [f"<h1>{html.escape(title)}</h1>", f"<p>{html.escape(intro)}</p>", table(ratios)]
    parts += [f"<h2>{html.escape(h)}</h2>{s}" for h, s in plots]
    parts += ["<h2>Numbers</h2>", table(result["rows"]), "<h2>Machine</h2>",
              table([{"what": k, "value": str(v)} for k, v in m.items()]),
              '<p class="note">Ratios are medians of rounds that alternate between the systems; absolute figures '
              "belong to this machine. Stolen time is what the host of a virtual machine gave to others.</p>"]
    page = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
            f"<style>{STYLE}</style><body>{''.join(parts)}</body></html>\n")
    with open(path.replace(".json", ".html"), "w") as f:
        f.write(page)
