# Runs one bench: python3 bench.py NAME --build DIR --out DIR [--quick] [--rounds N]. scripts/bench
# is the command for people.
import argparse
import importlib
import json
import os
import resource
import signal
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import report  # noqa: E402
import systems  # noqa: E402

MIN_ROUNDS = 5


def main():
    p = argparse.ArgumentParser()
    p.add_argument("name")
    p.add_argument("--build", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--rounds", type=int, default=MIN_ROUNDS)
    p.add_argument("--no-huge", action="store_true")
    p.add_argument("--against")
    args = p.parse_args()
    bench = importlib.import_module(args.name)

    def end(number, _):
        # Once: what runs is put away, and a second Ctrl-C does not stop that half way.
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, signal.SIG_IGN)
        sys.exit(128 + number)

    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, end)
    # A switch with a thousand ports has several descriptors for each.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    begin = time.monotonic()

    def say(text):
        print(f"[{time.monotonic() - begin:5.1f} s] {text}", flush=True)

    more = {"against": args.against} if args.against else {}
    try:
        res = bench.run(args.build, args.quick, max(args.rounds, MIN_ROUNDS), say, not args.no_huge, **more)
    except systems.Failed as e:
        print(f"bench {args.name}: {e}", file=sys.stderr)
        return 1
    res["machine"]["quick"] = args.quick
    path = os.path.join(args.out, f"{args.name}.json")
    title, intro, plots = bench.page(res)
    report.write(path, res, title, intro, plots)
    print(json.dumps(res["ratios"]))
    say(f"wrote {path} and {path.replace('.json', '.html')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
