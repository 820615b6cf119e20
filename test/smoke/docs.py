#!/usr/bin/env python3
# usage: docs.py list           a line for each case: its identifier, a tab, its name
#        docs.py run CASE       runs it; exit status 0 done, 77 skipped
#
# Whether the commands in the documents work. Convention of README.md, CONTRIBUTING.md and
# docs/*.md:
#
#   - An indented block, or a fenced one named sh, is commands, run from the first line to the last
#     with bash.
#   - A fenced block names its kind. text is ignored. console has commands behind "# ", and its
#     output is not compared. ini, yaml and xml are files, which the programs that read them must
#     accept.
#   - `code` in a sentence that begins with one of our programs, or with "--", is compared with the
#     programs' help.
#
# A command is run as it is, with REPLACE applied, unless NOT_HERE lists it: then the listed check
# runs. A command that no table lists is run, and fails where it does not work. Blocks of a document
# run in its order, in one place that begins with a daemon and FIXTURES. The place is
# test/smoke/systemd.sh's: its process 1 is $PLACE, files are below $WORK, installed programs below
# $PREFIX.
import glob
import json
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WORK, PREFIX, PLACE = (os.environ.get(name, "") for name in ("WORK", "PREFIX", "PLACE"))
PROGRAMS = ("rtvswitchd", "rtvsctl", "rtvs-move", "rtvs-wake", "rtvs-sim", "rtvs-vni", "rtvs-vf")
TIME_LIMIT = 60

# Placeholders, and what is there in their place.
REPLACE = [
    (r"^rtvs-vf ", "rtvs-vf --channel /run/rtvswitch/web1.ctl "), # here is no guest
    (r"\bdevargs=0000:01:00\.0", "devargs=net_tap9,iface=uplink"),
    (r"\bdevargs=0000:02:00\.0", "devargs=net_tap10,iface=fast"),
    # A machine for the options that are shown: without a disk it stays in its firmware.
    (r"^qemu-system-x86_64 \.\.\.", "qemu-system-x86_64 -nodefaults -display none -M q35 -accel tcg -m 64 -name "
     "guest=web1,debug-threads=on -daemonize -pidfile $WORK/qemu.pid"),
    (r"\bsize=1G,share=on", "size=64M,share=on"),
    (r"^rtvs-wake -d \d+", "rtvs-wake -d 2"),
    (r"(?<![\w/])/tmp/", "$WORK/"),
    (r"/usr/(local/)?share/(doc/)?rtvswitch", r"$PREFIX/share/\2rtvswitch"),
    (r"(run )(overload|feedback)\.json", r"\1$PREFIX/share/doc/rtvswitch/examples/sim/\2.json"),
    (r"> report\.json|\bvm1\.jsonl|\b(overload|feedback)\.svg",
     lambda m: m[0].replace("> ", "> $WORK/") if m[0][0] == ">" else "$WORK/" + m[0]),
]

# What runs until somebody ends it: the signal of Ctrl-C after so many seconds.
ENDLESS = [
    (r"^rtvsctl top(?!.*count=)", 1),
    (r"^rtvsctl (-j )?events", 1),
    (r"^rtvsctl capture (?!start|stop)", 1),
    (r"^rtvs-wake (?!.*(--replay|-d))", 2),
    (r"^rtvswitchd ", 3),
    (r"^rtvs-vf .*\bwatch", 2),
    (r"^(ip netns exec \S+ )?rtvs-vni (join|watch)(?!.*&$)", 2),
]

# The state before a document's first block, which is saved. Then the preconditions of commands.
PORTS = "rtvsctl bridge add br0; for p in vm1 vm2; do rtvsctl port add $p bridge=br0; done; " \
    "rtvsctl port add uplink bridge=br0 type=ethdev devargs=net_tap9,iface=uplink"
UNDERLAY = "rtvsctl port add up type=ethdev devargs=net_tap11,iface=up mtu=1700 address=198.51.100.1/24; " \
    "rtvsctl port add host2 type=geneve uplink=up remote=198.51.100.2 vni=7 bridge=br0"
QEMU = "qemu-system-x86_64 -nodefaults -display none -M q35 -accel tcg -m 64 -name guest=web1,debug-threads=on -daemonize " \
    "-pidfile $WORK/qemu.pid"
FIXTURES = {
    "docs/operations.md": PORTS + "; rtvsctl port add probe bridge=br0",
    "docs/tuning.md": PORTS,
    "docs/monitoring.md": PORTS,
    "docs/troubleshooting.md": PORTS + "; " + UNDERLAY + "; rtvsctl port set uplink rate=1Gbit; "
        "rtvsctl port add seg bridge=br0 type=segment path=/dev/shm/net0",
    "docs/comparison.md": PORTS + "; rtvsctl port add server bridge=br0",
    "docs/vf.md": "rtvsctl bridge add br0",
    "docs/man/rtvs-wake.1": PORTS,
}
PREPARE = [
    (r"^rtvsctl bridge add br0", "rtvsctl call config.apply '{\"calls\": []}'"),
    (r"^rtvsctl latency host2", "rtvsctl -j port show host2 >/dev/null 2>&1 || { " + UNDERLAY + "; }"),
    (r"^rtvsctl capture .*write=/tmp/", "rm -f $WORK/vm1.pcapng"),
    (r"^rtvsctl port add uplink .*address=", "rtvsctl port del uplink"),
    (r"^rtvsctl port add host2", "! rtvsctl -j port show host2 >/dev/null 2>&1 || rtvsctl port del host2"),
    (r"^rtvs-vni create /dev/shm/net0", "rm -f /dev/shm/net0"),
    (r"^rtvs-vni (list|watch|reap)", "rtvs-vni create --if-missing /dev/shm/net0"),
    (r"^rtvsctl advise web1", "[ -e $WORK/qemu.pid ] || " + QEMU),
    (r"^promtool check config", "mkdir -p /etc/prometheus; cp $WORK/block.yaml /etc/prometheus/prometheus.yml"),
    (r"^ls -l /etc/libvirt/hooks", "mkdir -p /etc/libvirt/hooks/qemu.d"),
]
# What must hold afterwards, within 10 s.
THEN = [
    (r"^qemu-system-x86_64 .*path=/run/rtvswitch/(\w+)\.sock", r"""rtvsctl -j port show \1 | grep -q '"connected": true'"""),
    (r"systemctl (enable --now|restart) rtvswitchd", "systemctl is-active rtvswitchd && rtvsctl port list"),
    (r"^rtvsctl capture (\w+) .*write=(\S+)", r"test -s \2"),
    (r"^adduser (\S+) (\S+)", r"id -nG \1 | grep -qw \2"),
    (r"^printf .*> (\S+)", r"chmod 600 \1; test -s \1"),
    (r"systemctl enable --now (rtvs-vni@\w+)", r"systemctl is-active \1 && systemctl disable --now \1"),
    (r"^ip netns exec (\S+) rtvs-vni join .*--tap (\S+) .*&$", r"ip -n \1 link show \2 | grep -q LOWER_UP"),
    (r"^rtvsctl config save", "grep -q br0 /etc/rtvswitch/rtvswitch.json"),
]


# Checks of what cannot run here. Each gets the command and returns what is wrong with it, or None.
def exists(command):
    program = os.path.join(TOP, command.removeprefix("sudo ").split()[0])
    return None if os.access(program, os.X_OK) else "%s is not there" % program


def script(command):
    words = command.removeprefix("sudo ").split()
    return exists(command) or unknown_options(words, run([os.path.join(TOP, words[0]), "--help"]).stdout)


def meson(command):
    if command.startswith("meson setup"):
        known = json.loads(run(["meson", "introspect", "--buildoptions", os.environ["BUILD"]]).stdout)
        return next((w for w in command.split() if w.startswith("--") and w[2:].split("=")[0] not in [o["name"] for o in known]), None)
    return None if "install" in run(["ninja", "-C", os.environ["BUILD"], "-t", "targets", "all"]).stdout else "no target"


# The word is known, and a script with a real libvirtd uses it, by its own names for both programs.
def virsh(command):
    word = (command.split() + ["help"])[1]
    return None if inside("virsh help " + word).returncode == 0 else "virsh does not know it"


def virsh_used(command):
    return virsh(command) or is_in("test/vm/libvirt_test.sh", "v %s " % command.split()[1])(command)


def virt_used(command):
    words = command.split()
    return rtvsctl(words) or is_in("test/vm/libvirt_test.sh", "virt %s " % words[2])(command)


def vdpa_used(command):
    words = command.replace("-j ", "").split()
    return is_in("test/vm/vdpa_test.sh", "vdpa %s" % " ".join(words[2:3]))(command) or inside("rtvsctl vdpa --help | grep -q ' vdpa %s'" % words[2]).returncode and "no verb"


def move_used(command):
    words = command.split()
    return unknown_options(words, inside("rtvs-move help %s" % words[1]).stdout)


def is_in(name, *texts):
    def check(_command):
        text = open(os.path.join(TOP, name)).read()
        return next(("not in %s: %s" % (name, t) for t in texts if t not in text), None)
    return check


NOT_HERE = [
    (r"^(sudo )?scripts/(setup|demo|test|check|enter|bench|package)\b", "it is what runs this test, or takes minutes", script),
    (r"^meson setup|^(sudo )?(ninja|meson install)", "the installed files are those of a build before", meson),
    (r"^scripts/sdn-reroute", "test/smoke/sdn_test.sh runs it with an Open vSwitch", is_in("test/smoke/sdn_test.sh", "scripts/sdn-reroute")),
    (r"^tshark", "test/smoke/wire_test.sh runs it, as somebody else than root", is_in("test/smoke/wire_test.sh", "lua_script", "rtvs.meta")),
    (r"libvirtd$|rtvswitch-libvirt$", "test/vm/libvirt_test.sh has a libvirtd, test/smoke/package_test.sh the listener's service",
     is_in("test/smoke/package_test.sh", "rtvswitch-libvirt")),
    (r"^virsh", "test/vm/libvirt_test.sh has a libvirtd with guests", virsh_used),
    (r"^rtvsctl virt", "test/vm/libvirt_test.sh has a libvirtd with guests", virt_used),
    (r"^modprobe -a v", "this kernel has no vDPA, that of test/vm/vdpa_test.sh has", is_in("test/vm/vdpa_test.sh", "modprobe -a vduse virtio_vdpa")),
    (r"^rtvsctl (-j )?vdpa", "this kernel has no vDPA, that of test/vm/vdpa_test.sh has", vdpa_used),
    (r"type=vduse|^ls /sys/bus/vdpa", "this kernel has no vDPA, that of test/vm/vduse_test.sh has",
     is_in("test/vm/vduse_test.sh", "type=vduse bridge=br0", "ls -d /sys/bus/vdpa/devices/")),
    (r"path=/dev/vhost-vdpa", "this kernel has no vDPA, that of test/vm/vhost_vdpa_test.sh has",
     is_in("test/vm/vhost_vdpa_test.sh", "devargs=net_virtio_user0,path=")),
    (r"\bvdpa=", "there is no such hardware; test/smoke/offload_test.sh has a fake",
     is_in("test/smoke/offload_test.sh", "ctl port add", "vdpa=pool:fast", "ctl pool add fast devices=")),
    (r"^rtvs-move", "test/vm/move_test.sh and move_host_test.sh move guests, by their own names for the QEMUs", move_used),
    (r"^(sudo )?(apt|apt-get|dpkg) ", "test/smoke/package_test.sh installs the packages", is_in("test/smoke/package_test.sh", "apt-get install")),
]


def run(argv, **kwargs):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          timeout=TIME_LIMIT, **kwargs)


def inside(command):
    env = dict(os.environ, PATH="%s/bin:%s/bin:%s/sbin:%s" % (WORK, PREFIX, PREFIX, os.environ["PATH"]), HOME=WORK, LC_ALL="C.UTF-8")
    try:
        return run(["nsenter", "--target", PLACE, "--mount", "--pid", "--uts", "--cgroup", "--root", "--wd", "--", "bash", "-c",
                    "set -euo pipefail; cd %s; %s" % (TOP, command)], env=env)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(command, 124, "%sno end after %d s" % ((e.stdout or b"").decode(), TIME_LIMIT))


def match(table, command):
    return next((row for row in table if re.search(row[0], command)), None)


# ---- what the documents have

def documents():
    names = ["README.md", "CONTRIBUTING.md"] + sorted(glob.glob("docs/*.md", root_dir=TOP))
    # Made from the method table: there is nothing to run in it.
    return [n for n in names if n != "docs/rpc.md"]


class Block:
    def __init__(self, name, line, kind):
        self.name, self.line, self.kind, self.lines = name, line, kind, []

    def case(self):
        return "%s:%d" % (self.name, self.line)

    def commands(self):
        lines = self.lines
        if self.kind == "console":
            lines = [text[2:] for text in lines if text.startswith("# ")]
        joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
        return [c for c in (re.sub(r"\s+#( .*)?$", "", text).strip() for text in joined.split("\n")) if c]


# Indented blocks follow an empty line or a heading, so a list's second line is none; those of a
# list are indented by two more.
def blocks_of(name):
    found, block, fence, before = [], None, False, ""
    for number, text in enumerate(open(os.path.join(TOP, name)), 1):
        text = text.rstrip("\n")
        if text.startswith("```"):
            fence = not fence
            if fence:
                block = Block(name, number, {"": "nothing", "sh": "commands"}.get(text[3:], text[3:]))
                found.append(block)
            else:
                block = None
        elif fence:
            block.lines.append(text)
        elif re.match(r" {4,}\S", text) and (block or not before or before.startswith("#")):
            if not block:
                block = Block(name, number, "commands")
                found.append(block)
            block.lines.append(text.strip() if not block.lines or not block.lines[-1].endswith("\\") else text)
        else:
            block = None
        before = text
    return found


def manual_blocks(name):
    found = re.search(r"^\.SH EXAMPLES\n(.*?)\.SH", open(os.path.join(TOP, name)).read(), re.M | re.S)
    if not found:
        return []
    block = Block(name, 1, "commands")
    block.lines = [text.replace("\\-", "-").replace("\\e", "\\") for text in found[1].split("\n") if text and text[0] != "."]
    return [block]


def all_blocks():
    manuals = sorted(glob.glob("docs/man/*", root_dir=TOP))
    return [b for n in documents() for b in blocks_of(n)] + [b for n in manuals for b in manual_blocks(n)]


def name_of(block):
    if block.kind not in ("commands", "console"):
        what = {"text": "text, not looked at", "c": "c, not looked at"}
        return "%s: %s" % (block.case(), what.get(block.kind, block.kind + ", checked"))
    commands = block.commands()
    reasons = [row[1] for row in (match(NOT_HERE, c) for c in commands) if row]
    what = "%d commands" % len(commands) if len(commands) != 1 else commands[0][:60].split(" -")[0]
    if reasons:
        what += ", %d checked, not run: %s" % (len(reasons), "; ".join(sorted(set(reasons))))
    return "%s: %s" % (block.case(), what)


# ---- blocks

def expand(command):
    for pattern, text in REPLACE:
        command = re.sub(pattern, text, command)
    return command.replace("$WORK", WORK).replace("$PREFIX", PREFIX)


def execute(command):
    text = re.sub(r"&$", ">/dev/null 2>&1 &", expand(command))
    endless = match(ENDLESS, command)
    if endless:
        text = "timeout --preserve-status --signal=INT %d %s" % (endless[1], text)
    print("+ " + text)
    done = inside(text)
    print(done.stdout, end="")
    return None if done.returncode == 0 or (endless and done.returncode == 130) else "status %d" % done.returncode


def do(command):
    prepare, then, row = match(PREPARE, command), match(THEN, command), match(NOT_HERE, command)
    if row:
        print("? " + command)
        return row[2](command)
    if prepare:
        done = inside(expand(prepare[1]))
        if done.returncode != 0:
            return "what it needs: %s%s" % (done.stdout, prepare[1])
    wrong = execute(command)
    if not wrong and then:
        after = expand(re.search(then[0], command).expand(then[1]))
        done = inside("for i in $(seq 100); do ! { %s; } >/dev/null 2>&1 || exit 0; sleep 0.1; done; exit 1" % after)
        wrong = "afterwards not: " + after if done.returncode != 0 else None
    return wrong


# RTVSWITCHD_OPTIONS and HUGEPAGES_*: --version after the options is reached when each of them was
# accepted.
def check_ini(block):
    text = "\n".join(block.lines)
    path = os.path.join(WORK, "block.ini")
    open(path, "w").write(text + "\n")
    if "RTVSWITCHD_OPTIONS" in text:
        options = re.search(r'RTVSWITCHD_OPTIONS="(.*)"', text)[1]
        # Of a machine with more CPUs.
        return execute("rtvswitchd %s --version" % options)
    if "HUGEPAGES" in text:
        root = os.path.join(WORK, "pages")
        for size in ("2048", "1048576"):
            os.makedirs("%s/sys/devices/system/node/node0/hugepages/hugepages-%skB" % (root, size), exist_ok=True)
            open("%s/sys/devices/system/node/node0/hugepages/hugepages-%skB/nr_hugepages" % (root, size), "w").write("0")
        return execute("rtvswitch-hugepages --config $WORK/block.ini --root $WORK/pages")
    if "SEGMENT=" in text:
        # Of the service that the next block starts.
        return execute("mkdir -p /etc/rtvs-vni; cp $WORK/block.ini /etc/rtvs-vni/vni0.conf")
    return "nobody knows what reads this"


# Our elements of a domain, by the schema that is installed.
def check_ports(text):
    for ports in re.findall(r"<(?:rtvs:)?ports\b.*?</(?:rtvs:)?ports>", text, re.S):
        open(os.path.join(WORK, "ports.xml"), "w").write(ports)
        wrong = execute("xmllint --noout --relaxng $PREFIX/share/rtvswitch/domain.rng $WORK/ports.xml")
        if wrong:
            return wrong
    return None


def check_file(block):
    path = os.path.join(WORK, "block." + block.kind)
    text = expand("\n".join(block.lines)) + "\n"
    if block.kind == "xml":
        # What was left out: "...". Several elements may stand beside each other.
        open(path, "w").write("<document xmlns:rtvs='urn:rtvswitch:domain:1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
                              "%s</document>\n" % text)
        return execute("xmllint --noout $WORK/block.xml") or check_ports(text)
    if block.kind == "json":
        json.loads(text)
        return None
    open(path, "w").write(text)
    return execute("promtool check config $WORK/block.yaml") if block.kind == "yaml" else None


def run_block(block):
    if block.kind in ("commands", "console"):
        if not block.commands():
            return "there is no command in it"
        for command in block.commands():
            wrong = do(command)
            if wrong:
                return "%s: %s" % (command, wrong)
        return None
    if block.kind == "text":
        return None
    if block.kind == "ini":
        return check_ini(block)
    if block.kind in ("xml", "yaml", "json"):
        return check_file(block)
    if block.kind == "c":
        return None
    if block.kind == "python":
        open(os.path.join(WORK, "block.py"), "w").write("\n".join(block.lines) + "\n")
        return execute("python3 $WORK/block.py")
    return "a fenced block must say what it is: sh, console, text, ini, yaml, xml, json, c or python"


# ---- code in sentences

def unknown_options(words, known):
    return next(("no option %s" % w for w in words[1:] if re.match(r"--?[a-zA-Z]", w) and
                 not re.search(r"(?<![\w-])%s(?![\w-])" % re.escape(w.split("=")[0]), known)), None)


def helps():
    texts = {p: run([PREFIX_OF[p], "--help"]).stdout for p in PROGRAMS if p in PREFIX_OF}
    for program in ("rtvs-move", "rtvs-vni"):
        for command in re.findall(r"^  (\w+) ", texts.get(program, ""), re.M):
            texts[program] += run([PREFIX_OF[program], "help", command]).stdout
    for path in glob.glob(os.path.join(TOP, "scripts", "*")):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            texts["scripts/" + os.path.basename(path)] = open(path).read()
    return texts


PREFIX_OF = {p: path for p in PROGRAMS for path in glob.glob("%s/root%s/*bin/%s" % (WORK, PREFIX, p))}
# Commands of rtvsctl that are no methods, with their parameters.
COMMANDS = {"top": {"interval", "count"}, "latency": {"port", "flow"}, "events": set(), "help": None, "call": None, "advise": set(),
            "capture": {"filter", "count", "write", "snaplen"}, "vdpa": None, "virt": None}


def api():
    return {m["method"]: [p["name"] for p in m["params"]] for m in json.loads(run([PREFIX_OF["rtvswitchd"], "--api"]).stdout)}


# What is wrong with the words of a command, as far as the table of methods tells.
def rtvsctl(words):
    methods = api()
    rest = [w for w in words[1:] if not w.startswith("-")]
    if not rest or len(rest) == 1 and rest[0] not in COMMANDS:
        return None
    method = ".".join(rest[:2])
    if method in methods:
        known, rest = methods[method], rest[2:]
    elif rest[0] in COMMANDS:
        known, rest = COMMANDS[rest[0]], rest[1:]
    else:
        return "no method %s" % method
    keys = [w.split("=")[0] for w in rest if re.match(r"[a-z_]+=", w)]
    return next(("%s: no parameter %s" % (method, k) for k in keys if known is not None and k not in known), None)


def sentence(span, texts):
    words = span.split()
    first = words[0]
    if first.startswith("--"):
        return None if any(not unknown_options(["", first], text) for text in texts.values()) else "no program has it"
    if first == "rtvsctl":
        return rtvsctl(words)
    if first in PROGRAMS:
        return unknown_options(words, texts[first])
    if first.startswith("scripts/"):
        wrong = exists(span) if os.path.splitext(first)[1] == "" and "lib/" not in first else None
        name = next((w for w in words[1:] if w[0] not in "-<"), None)
        if not wrong and first == "scripts/bench" and name and not re.search(r'say "%s ' % name, texts[first]):
            wrong = "no bench of that name"
        return wrong or unknown_options(words, texts.get(first, ""))
    if first == "man":
        return None if glob.glob("%s/root%s/share/man/man*/%s.*" % (WORK, PREFIX, words[1])) else "no such page"
    if first == "systemctl":
        return None if re.search(r"^  %s\b" % words[1], run(["systemctl", "--help"]).stdout, re.M) else "no such command"
    if first == "virsh":
        return virsh(span)
    return None


def spans_of(name):
    text = re.sub(r"^```.*?^```", "", open(os.path.join(TOP, name)).read(), flags=re.M | re.S)
    return sorted(set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)))


def run_sentences(name):
    texts = helps()
    wrong = [(span, sentence(span, texts)) for span in spans_of(name)]
    return "\n".join("`%s`: %s" % w for w in wrong if w[1]) or None


# ---- tables that must be complete, links that must lead somewhere

def anchors(path):
    found = set()
    for text in open(path):
        heading = re.match(r"#+ (.*)", text)
        if heading:
            found.add(re.sub(r"[^\w\- ]", "", heading[1].lower()).replace(" ", "-"))
    return found


def run_links():
    wrong = []
    for name in documents() + ["docs/rpc.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", open(os.path.join(TOP, name)).read()):
            if "://" in target:
                continue
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(TOP, os.path.dirname(name), path)) if path else os.path.join(TOP, name)
            if not os.path.exists(path):
                wrong.append("%s: %s is not there" % (name, target))
            elif anchor and anchor not in anchors(path):
                wrong.append("%s: %s has no such heading" % (name, target))
    return "\n".join(wrong) or None


def run_tables():
    def text(name):
        return open(os.path.join(TOP, name)).read()

    def rows(name):
        return set(re.findall(r"`([\w.]+)`", "\n".join(re.findall(r"^\| ([^|]*)\|", text(name), re.M))))

    wrong = []
    for what, names, document in (
            ("reason", re.findall(r'X\(DROP_\w+,\s+"(\w+)"', text("include/rtvs/drop.h")), "docs/troubleshooting.md"),
            ("alert", re.findall(r"- alert: (\w+)", text("conf/prometheus-alerts.yml")), "docs/monitoring.md"),
            ("message", re.findall(r'LOG_ID_\w+ "(\w+)"', text("include/rtvs/log.h")), "docs/monitoring.md")):
        wrong += ["%s: no row for %s %s" % (document, what, n) for n in names if n not in rows(document)]
        if not names:
            wrong.append("there is no %s" % what)
    ids = set(re.findall(r'LOG_ID_\w+ "(\w+)"', text("include/rtvs/log.h")))
    for name in documents():
        wrong += ["%s: %s is no message's" % (name, i) for i in re.findall(r"\b[0-9a-f]{32}\b", text(name)) if i not in ids]
    return "\n".join(wrong) or None


# ---- cases

def begin(name):
    reset = "if [ -e $WORK/qemu.pid ]; then kill -KILL $(cat $WORK/qemu.pid) || :; rm $WORK/qemu.pid; fi; systemctl stop rtvswitchd; " \
        "systemctl reset-failed; echo '[]' >/etc/rtvswitch/rtvswitch.json; " \
        "echo 'RTVSWITCHD_OPTIONS=\"--no-huge --idle adaptive --metrics 127.0.0.1:9475\"' >/etc/default/rtvswitchd; systemctl start rtvswitchd; "
    done = inside(expand(reset + FIXTURES.get(name, ":") + "; rtvsctl config save"))
    print(done.stdout, end="")
    return "what the document begins with" if done.returncode != 0 else None


def cases():
    name = ""
    for block in all_blocks():
        if block.name != name:
            name = block.name
            yield "begin " + name, "%s: a daemon to begin with" % name, lambda n=name: begin(n)
        yield "block " + block.case(), name_of(block), lambda b=block: run_block(b)
    for name in documents():
        n = sum(1 for span in spans_of(name) if span.split() and (span.split()[0] in PROGRAMS or re.match(r"--|scripts/|man |systemctl |virsh ", span)))
        if n:
            yield "sentences " + name, "%s: %d commands and options in sentences, checked" % (name, n), lambda n=name: run_sentences(n)
    yield "links", "links of all documents lead somewhere", run_links
    yield "tables", "tables of drops, alerts and messages are complete", run_tables


def main(action, case=None):
    if action == "list":
        for identifier, name, _ in cases():
            print("%s\t%s" % (identifier, name))
        return 0
    wrong = next(function for identifier, _, function in cases() if identifier == case)()
    if wrong:
        print("WRONG " + wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
