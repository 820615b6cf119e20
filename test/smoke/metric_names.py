#!/usr/bin/env python3
# usage: metric_names.py PAGE [FILE...]
# Is every metric that the files name, and every reason they select drops by, on the page that the
# daemon exported?
import re
import sys

page = open(sys.argv[1]).read()
exported = set(re.findall(r"^(rtvs_\w+)", page, re.M))
reasons = set(re.findall(r'reason="(\w+)"', page))
missing = []
for name in sys.argv[2:]:
    # In a dashboard the quotes of an expression are escaped.
    text = re.sub(r"^\s*#.*", "", open(name).read().replace('\\"', '"'), flags=re.M)
    used = set(re.findall(r"\brtvs_\w+", text))
    if not used:
        missing.append("%s names no metric" % name)
    missing += ["%s: %s" % (name, m) for m in sorted(used - exported)]
    for selected in re.findall(r'reason=~?"([^"]*)"', text):
        missing += ["%s: reason %s" % (name, r) for r in selected.split("|") if r not in reasons]
print("\n".join(missing))
sys.exit(bool(missing))
