#!/usr/bin/env python3
# usage: prometheus.py query URL EXPR            prints {labels} value of each sample
#        prometheus.py alert URL NAME STATE      is an alert of the name in this state?
#        prometheus.py dashboard URL FILE        does every expression of a dashboard give data?
#        prometheus.py classic <PAGE             an OpenMetrics page in the older text format, which promtool's linter reads
#        prometheus.py untested RULES TESTS      alerts that have no series that makes them fire
# Asks a Prometheus over HTTP, as promtool and Grafana do. Exit status 1: no, or an error, which is
# printed.
import json
import math
import re
import sys
import urllib.parse
import urllib.request

# What Grafana puts in for its variables when everything is selected.
VARIABLES = {"$instance": ".*", "$port": ".*", "$__rate_interval": "1m"}
# Quantiles of nothing are no number: a worker need not stall for this test.
MAY_BE_NAN = "rtvs_worker_stall_seconds_bucket"


def ask(url, path, **params):
    try:
        with urllib.request.urlopen(url + path + "?" + urllib.parse.urlencode(params), timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as e:
        sys.exit("%s: %s" % (params, e.read().decode()))


def samples(url, expr):
    return [(s["metric"], float(s["value"][1])) for s in ask(url, "/api/v1/query", query=expr)["result"]]


def expressions(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "expr":
                yield value
            yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)


def dashboard(url, name):
    board = json.load(open(name))
    found = list(expressions(board))
    empty = []
    for expr in found:
        query = expr
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        data = samples(url, query)
        if MAY_BE_NAN not in query:
            data = [s for s in data if not math.isnan(s[1])]
        if not data:
            empty.append(query)
    for variable in board["templating"]["list"]:
        query = variable["query"]
        match = re.fullmatch(r"label_values\((.*), (\w+)\)", query["query"] if isinstance(query, dict) else query)
        if match and not any(match[2] in s for s in ask(url, "/api/v1/series", **{"match[]": match[1].replace("$instance", ".*")})):
            empty.append(match[0])
    print("%d expressions, no data from:" % len(found), *empty, sep="\n")
    return bool(empty) or not found


# Counters lose nothing but the suffix's place, an info becomes a gauge; UNIT and EOF are not known
# there.
def classic(page):
    for line in page:
        kind = re.match(r"# TYPE (\w+) (\w+)", line)
        if kind:
            suffix = {"counter": "_total", "info": "_info"}.get(kind[2], "")
            name = kind[1]
            line = "# TYPE %s%s %s\n" % (name, suffix, "gauge" if kind[2] == "info" else kind[2])
        elif line.startswith("# HELP "):
            line = re.sub(r"^# HELP \w+", "# HELP " + name + suffix, line)
        elif line.startswith("# UNIT ") or line.startswith("# EOF"):
            continue
        sys.stdout.write(line)


def untested(rules, tests):
    alerts = set(re.findall(r"^ *- alert: (\w+)", open(rules).read(), re.M))
    text = open(tests).read()
    fired = set(re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels", text))
    print(*sorted(alerts ^ fired), sep="\n")
    return not alerts or alerts != fired


def main(command, *args):
    if command == "query":
        data = samples(*args)
        for labels, value in data:
            print(json.dumps(labels, sort_keys=True), value)
        return not data
    if command == "alert":
        url, name, state = args
        return not any(a["labels"]["alertname"] == name and a["state"] == state
                       for a in ask(url, "/api/v1/alerts")["alerts"])
    if command == "dashboard":
        return dashboard(*args)
    if command == "untested":
        return untested(*args)
    return classic(sys.stdin)


sys.exit(main(*sys.argv[1:]))
