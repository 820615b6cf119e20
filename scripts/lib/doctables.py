#!/usr/bin/env python3
"""usage: doctables.py API.json

Compares tables that people wrote in docs/ with what the sources say: each event has a row in docs/monitoring.md, each attribute of a
libvirt domain's <rtvs:port> one in docs/libvirt.md; and no row names another.
"""
import fnmatch
import json
import pathlib
import re
import sys

import apidoc

TOP = pathlib.Path(__file__).resolve().parents[2]


# The words in the first column of the table whose head is `head`.
def first_column(path, head):
    lines = (TOP / path).read_text().split("\n")
    at = lines.index(head) + 2
    words = []
    for line in lines[at:]:
        if not line.startswith("|"):
            return words
        words += re.findall(r"`([^`]+)`", line.split("|")[1])
    return words


# A document may name many by a pattern.
def differences(path, what, documented, real):
    wrong = [f"{path}: no {what} is called {d}" for d in documented if not fnmatch.filter(real, d)]
    wrong += [f"{path}: no row for {what} {r}" for r in sorted(real) if not any(fnmatch.fnmatchcase(r, d) for d in documented)]
    return wrong


# Of the table in the header.
def events():
    return set(re.findall(r'^\tX\("([^"]+)"', (TOP / "src/ctl/events.h").read_text(), re.M))


def main():
    api = json.load(open(sys.argv[1]))
    attributes = {p["name"] for p in apidoc.guest_attributes(api)} | {"mac", "name", "socket", "mode", "onerror"}
    wrong = differences("docs/monitoring.md", "event", first_column("docs/monitoring.md", "| event | when |"), events())
    wrong += differences("docs/libvirt.md", "attribute", first_column("docs/libvirt.md", "| attribute | meaning |"), attributes)
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
