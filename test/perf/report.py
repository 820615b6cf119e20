# What every bench shares: the machine's description, stolen time, medians, the JSON file and the HTML page.
# One JSON file a bench: {"bench", "machine", "rows": [...], "ratios": {...}}; the page is made from it alone, so that it can
# be made again from a recorded file.
import html
import io
import json
import os
import statistics
import time

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

COLORS = {"rtvswitch": "#1464b4", "testpmd": "#8a8a8a", "ovs-dpdk": "#d9822b", "rte_sched": "#8a8a8a", "queue: edf.c": "#1464b4",
          "ovs-dpdk, egress-policer": "#d9822b", "ovs-dpdk, trtcm-policer": "#f0b878", "linux bridge, htb": "#8a8a8a",
          "queue: binary heap": "#d9822b", "queue: 4-ary heap": "#f0b878", "queue: tournament tree": "#8a8a8a",
          "queue: buckets of 1 us": "#6aa84f", "rtvswitch-deadlines": "#7fb2e5", "rtvswitch-untimed": "#7fb2e5"}


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


def bars(groups, series, values, title, unit, whiskers=None, is_log=False):
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
        ax.bar(at, ys, width * 0.92, label=name, color=COLORS.get(name), yerr=err, capsize=2,
               error_kw={"elinewidth": 0.8, "ecolor": "#333333"})
    ax.set_xticks(range(len(groups)), groups)
    ax.set_ylabel(unit)
    if is_log:
        ax.set_yscale("log")
    ax.set_title(title, loc="left", fontsize=11)
    ax.spines[["top", "right"]].set_visible(False)
    # Below the groups: it hides no bar.
    ax.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=min(3, len(series)))
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


def svg(fig):
    out = io.StringIO()
    fig.tight_layout()
    fig.savefig(out, format="svg")
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
@media print { body { max-width: none; } h2 { break-after: avoid; } svg { break-inside: avoid; } }
"""


def table(rows):
    keys = list(dict.fromkeys(k for row in rows for k in row))
    head = "".join(f"<th>{html.escape(k)}</th>" for k in keys)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell(row.get(k, '')))}</td>" for k in keys) + "</tr>"
                   for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def cell(value):
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
