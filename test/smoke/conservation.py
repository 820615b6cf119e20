"""Reads the result of stats.get and checks that every packet is accounted for: 0 yes, 1 no, 3 ask again."""
import json
import sys

KEYS = ("rx_pkts", "replicated", "tx_pkts", "queued", "to_daemon", "drops")


def main():
    stats = json.load(sys.stdin)
    total = stats["total"]
    values = {key: sum(total[key].values()) if isinstance(total[key], dict) else total[key] for key in KEYS}
    left = values["rx_pkts"] + values["replicated"]
    right = values["tx_pkts"] + values["queued"] + values["to_daemon"] + values["drops"]
    print(values, "difference", left - right, "consistent", stats["consistent"])
    if not stats["consistent"]:
        return 3
    return 0 if left == right and left > 0 else 1


sys.exit(main())
