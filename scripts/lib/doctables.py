#!/usr/bin/env python3
"""usage: doctables.py API.json

Compares a table that people wrote in docs/ with what the sources say: docs/libvirt.md names no attribute
of a libvirt domain's <rtvs:port> that is none.
"""
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


def main():
    api = json.load(open(sys.argv[1]))
    attributes = {p["name"] for p in apidoc.guest_attributes(api)} | {"mac", "name", "type", "socket", "mode", "onerror", "vdpa"}
    documented = first_column("docs/libvirt.md", "| attribute | meaning |")
    wrong = [f"docs/libvirt.md: no attribute is called {d}" for d in documented if d not in attributes]
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
