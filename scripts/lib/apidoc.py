#!/usr/bin/env python3
"""usage: apidoc.py attributes|c|completion|man|md|python|rng API.json OUTPUT

From the table that `rtvswitchd --api` prints makes the CLI's C string, docs/rpc.md, the manual page
rtvswitch-api(7), the shell completion, the Python client, or what a libvirt domain may say of its ports: the hook's C table and the schema.
"""
import html
import json
import pathlib
import re
import sys

import python_client

EVENT_LIST = pathlib.Path(__file__).resolve().parents[2] / "include/rtvs/event_list.h"


def c(api):
    text = json.dumps(api, separators=(",", ":"))
    parts = [text[i:i + 100] for i in range(0, len(text), 100)]
    quoted = "\n".join("\t" + json.dumps(p) for p in parts)
    return f'#include "api.h"\n\nconst char api_json[] =\n{quoted};\n'


def limits(p):
    out = ["|".join(p["names"])] if "names" in p else [p["type"]]
    if p["type"] == "uint" and "max" in p:
        out.append(f"{p['min']} to {p['max']}")
    if p.get("default"):
        out.append(f"default {p['default']}")
    if p["required"]:
        out.append("required")
    if p.get("only_for"):
        out.append("only " + " or ".join(p["only_for"]))
    if p.get("fixed"):
        out.append("fixed")
    return ", ".join(out)


def md(api):
    out = ["# RPC methods", "",
           "Generated from the method table; do not edit. JSON-RPC 2.0, one message a line, on the control socket. Units are",
           "accepted as people write them (`\"2ms\"`, `\"20Mbit\"`, `\"64MiB\"`); numbers are in base units (ns, bit/s, bytes).",
           "What is *only* for some types is refused at others; what is *fixed* stays for the life of its object.",
           "`rtvsctl help NOUN VERB` shows the same.", ""]
    for m in api:
        flags = [f.replace("_", "-") for f in m["flags"]]
        out += [f"## {m['method']}", "", m["help"] + (f" *({', '.join(flags)})*" if flags else ""), "",
                f"Returns: {m['result']}", ""]
        if m["params"]:
            out += ["| parameter | value | meaning |", "|---|---|---|"]
            out += [f"| `{p['name']}` | {limits(p).replace('|', chr(92) + '|')} | {p['help']} |" for p in m["params"]]
            out.append("")
    out += ["## Events", "", "Notifications of `events.subscribe`.", "", "| event | when |", "|---|---|"]
    out += [f"| `{name}` | {when} |" for name, when in events()]
    return "\n".join(out).rstrip() + "\n"


# Of the table in the header: [(name, when)].
def events():
    return re.findall(r'^\tX\([A-Z_]+, +"([^"]+)", +"([^"]+)"', EVENT_LIST.read_text(), re.M)


def roff(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text[:1] in ".'" else text


def man(api):
    out = ['.TH RTVSWITCH-API 7 "2026-11-21" "rtvswitch" "Miscellaneous Information"', ".SH NAME",
           "rtvswitch-api \\- methods of the rtvswitchd control socket", ".SH DESCRIPTION",
           "JSON\\-RPC 2.0, one message a line, on a unix socket. The configuration file is a list of the same calls:", ".PP",
           ".nf", '[{"method": "bridge.add", "params": {"name": "br0"}}]', ".fi", ".PP",
           "Times, rates and sizes are accepted as people write them; numbers are nanoseconds, bits per second and bytes.",
           ".SH METHODS"]
    for m in api:
        out += [f".SS {roff(m['method'])}", roff(m["help"]), ".PP", "Returns: " + roff(m["result"])]
        for p in m["params"]:
            out += [".TP", f".B {roff(p['name'])}", f"({roff(limits(p))})", ".br", roff(p["help"])]
    out += [".SH EVENTS", "Notifications of events.subscribe."]
    for name, when in events():
        out += [".TP", f".B {roff(name)}", roff(when)]
    out += [".SH SEE ALSO", ".BR rtvsctl (1),", ".BR rtvswitchd (8)"]
    return "\n".join(out) + "\n"


# What an <rtvs:port> in a libvirt domain may say: what port.set can change of a guest's port, less
# what is the host's business, and as many queues as an interface that is attached later may have.
NOT_A_GUESTS = {"address", "admin_up", "domain", "domain_uuid", "gateway", "stamp"}


def guest_attributes(api):
    methods = {m["method"]: m["params"] for m in api}
    names = {p["name"] for p in methods["port.set"] if not p["key"] and "type=vhost" in p.get("only_for", ["type=vhost"])}
    names = names - NOT_A_GUESTS | {"queues"}
    return [p for p in methods["port.add"] if p["name"] in names]


def attributes(api):
    rows = "\n".join(f'\t{{{json.dumps(p["name"])}, {json.dumps(p.get("default", ""))}}},' for p in guest_attributes(api))
    return f'#include "domain.h"\n\nconst struct domain_attribute domain_attributes[] = {{\n{rows}\n\t{{0}},\n}};\n'


MAC = "[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"
PATTERNS = {
    "path": "/.+",
    "str": ".+",
    "name": "([A-Za-z0-9][A-Za-z0-9_.:\\-]*)?",
    "time": "0|[0-9]+(\\.[0-9]+)?(ns|us|ms|s|min|h|d)",
    "rate": "0|[0-9]+(\\.[0-9]+)?([kMGT]|[kMGT]?(bit|bps|bit/s))",
    "size": "0|[0-9]+(\\.[0-9]+)?([kMGT]?B|[KMGT]iB)",
    "macs": f"({MAC}(,{MAC})*)?",
    "prefixes": "([0-9A-Fa-f.:]+(/[0-9]+)?(,[0-9A-Fa-f.:]+(/[0-9]+)?)*)?",
    "vlans": "([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?",
}


def rng_value(p):
    names = p.get("names") or (["true", "false", "on", "off", "yes", "no"] if p["type"] == "bool" else None)
    if names:
        return "<choice>" + "".join(f"<value>{n}</value>" for n in names) + "</choice>"
    if p["type"] == "uint":
        return (f'<data type="unsignedLong"><param name="minInclusive">{p["min"]}</param>'
                f'<param name="maxInclusive">{p["max"]}</param></data>')
    return f'<data type="string"><param name="pattern">{PATTERNS[p["type"]]}</param></data>'


def rng(api):
    params = [{"name": "mac", "help": "address of the interface that it is for", "type": "mac", "required": True},
              {"name": "name", "help": "name of the port; else the socket's file name without .sock", "type": "name"},
              {"name": "type", "names": ["vhost", "vduse"], "type": "enum",
               "help": "vduse for an interface of type='vdpa'; said only of one that is not there yet"},
              {"name": "socket", "help": "of an interface that is not there yet; else its own", "type": "path"},
              {"name": "mode", "names": ["listen", "connect"], "type": "enum", "help": "the same: connect where QEMU makes the socket"},
              {"name": "vdpa", "type": "str",
               "help": "device that moves the guest's packets itself, or pool:NAME; with bridge='', and nothing that a switch does"},
              {"name": "onerror", "names": ["fail", "ignore"], "type": "enum",
               "help": "a port that cannot be: the guest does not start, or it starts and the port has no bridge"}]
    out = ['<?xml version="1.0" encoding="UTF-8"?>',
           "<!-- What rtvswitch reads in the metadata of a libvirt domain. Generated from the table of port.set. -->",
           '<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="urn:rtvswitch:domain:1"',
           '    xmlns:a="http://relaxng.org/ns/compatibility/annotations/1.0"',
           '    datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">', '  <start>', '    <element name="ports">',
           '      <zeroOrMore>', '        <element name="port">']
    for p in params + guest_attributes(api):
        is_required = p.get("required") or p["name"] == "bridge"  # "" if that is meant
        value = (f'<data type="string"><param name="pattern">{MAC}</param></data>' if p["type"] == "mac" else rng_value(p))
        attribute = (f'<attribute name="{p["name"]}" ns=""><a:documentation>{html.escape(p["help"])}</a:documentation>'
                     f'{value}</attribute>')
        out.append("          " + (attribute if is_required else f"<optional>{attribute}</optional>"))
    out += ['          <zeroOrMore>', '            <element name="rule"><a:documentation>rule of what it sends, as in rule.add'
            '</a:documentation><text/></element>', '          </zeroOrMore>', '        </element>', '      </zeroOrMore>', '    </element>', '  </start>', '</grammar>']
    return "\n".join(out) + "\n"


COMPLETION = r'''# bash completion for rtvsctl; generated from the method table
_rtvsctl_words() { # NOUN VERB
	case "$1 $2" in
@CASES@
	"latency "*) echo "port= flow=" ;;
	"vdpa attach") echo "--driver --mac --name --netns" ;;
	esac
}

_rtvsctl_values() { # KEY
	case $1 in
@VALUES@
	port | mirror_to | uplink) rtvsctl "${options[@]}" -j port list 2>/dev/null | sed -n 's/^  "name": "\(.*\)",$/\1/p' ;;
	bridge) rtvsctl "${options[@]}" -j bridge list 2>/dev/null | sed -n 's/^  "name": "\(.*\)",$/\1/p' ;;
	esac
}

_rtvsctl_names() { # NOUN VERB: what the word after them may be
	case "$1 $2" in
@NAMES@
	"vdpa --driver") echo "virtio vhost" ;;
	"vdpa --netns") ls /run/netns 2>/dev/null ;;
	"vdpa attach" | "vdpa detach") ls /sys/bus/vdpa/devices 2>/dev/null ;;
	esac
}

_rtvsctl_guests() {
	local file
	for file in $(grep -lsa '^[^ ]*qemu-' /proc/[0-9]*/cmdline); do
		tr '\0' '\n' <"$file" 2>/dev/null | sed -n '/^-name$/{n;s/^guest=//;s/,.*//;p}'
	done
}

_rtvsctl() {
	local cur=${COMP_WORDS[COMP_CWORD]} words=() options=() i
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in -s | --socket) options=(-s "${COMP_WORDS[++i]-}") ;; -f | --file | -t | --timeout) i=$((i + 1)) ;; -*) ;; *) words+=("${COMP_WORDS[i]}") ;; esac
	done
	if [ "$cur" = = ] || [ "${COMP_WORDS[COMP_CWORD - 1]}" = = ]; then
		local key=${COMP_WORDS[COMP_CWORD - 2]}
		[ "$cur" = = ] && key=${COMP_WORDS[COMP_CWORD - 1]} cur=
		mapfile -t COMPREPLY < <(compgen -W "$(_rtvsctl_values "$key")" -- "$cur")
		return
	fi
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--driver) words=(vdpa --driver) ;;
	--netns) words=(vdpa --netns) ;;
	esac
	case ${#words[@]} in
	0) mapfile -t COMPREPLY < <(compgen -W "@WORDS@" -- "$cur") ;;
	1)
		case ${words[0]} in
@VERBS@
		advise) mapfile -t COMPREPLY < <(compgen -W "$(_rtvsctl_guests)" -- "$cur") ;;
		latency) mapfile -t COMPREPLY < <(compgen -W "$(_rtvsctl_values port)" -- "$cur") ;;
		help) mapfile -t COMPREPLY < <(compgen -W "@NOUNS@" -- "$cur") ;;
		vdpa) mapfile -t COMPREPLY < <(compgen -W "attach detach list" -- "$cur") ;;
		virt) mapfile -t COMPREPLY < <(compgen -W "attach detach list set xml" -- "$cur") ;;
		top) mapfile -t COMPREPLY < <(compgen -W "interval= count=" -- "$cur"); compopt -o nospace ;;
		esac
		;;
	*)
		local list
		list=
		[ ${#words[@]} != 2 ] || list=$(_rtvsctl_names "${words[0]}" "${words[1]}")
		[ -n "$list" ] || list=$(_rtvsctl_words "${words[0]}" "${words[1]}")
		mapfile -t COMPREPLY < <(compgen -W "$list" -- "$cur")
		[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
		;;
	esac
}
complete -F _rtvsctl rtvsctl
'''


def completion(api):
    nouns, cases, values, names = {}, [], {}, []
    for m in api:
        noun, verb = m["method"].split(".")
        nouns.setdefault(noun, []).append(verb)
        words = " ".join(f"{p['name']}=" for p in m["params"] if not p["key"])
        if words:
            cases.append(f'\t"{noun} {verb}") echo "{words}" ;;')
        for p in m["params"]:
            choice = p.get("names") or (["yes", "no"] if p["type"] == "bool" else None)
            if choice:
                values.setdefault(" ".join(choice), set()).add(p["name"])
            kind = noun if p["name"] == "name" else p["name"]
            if p["key"] and kind in ("port", "bridge") and (kind, verb) != (noun, "add"):
                names.append(f'\t"{noun} {verb}") _rtvsctl_values {kind} ;;')
    return (COMPLETION.replace("@CASES@", "\n".join(cases)).replace("@NAMES@", "\n".join(names))
            .replace("@VALUES@", "\n".join(f'\t{" | ".join(sorted(k))}) echo "{v}" ;;' for v, k in values.items()))
            .replace("@VERBS@", "\n".join(
                f'\t\t{n}) mapfile -t COMPREPLY < <(compgen -W "{" ".join(v)}'
                + (" $(_rtvsctl_values port)" if n == "capture" else "") + '" -- "$cur") ;;' for n, v in nouns.items()))
            .replace("@NOUNS@", " ".join(nouns))
            .replace("@WORDS@", " ".join(dict.fromkeys([*nouns, "help", "top", "latency", "events", "capture", "advise", "vdpa", "virt", "call"]))))


def main():
    kinds = {"attributes": attributes, "rng": rng, "c": c, "md": md, "man": man, "completion": completion,
             "python": lambda api: python_client.python(api, limits)}
    if len(sys.argv) != 4 or sys.argv[1] not in kinds:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    with open(sys.argv[2]) as f:
        api = json.load(f)
    with open(sys.argv[3], "w") as f:
        f.write(kinds[sys.argv[1]](api))
    return 0


if __name__ == "__main__":
    sys.exit(main())
