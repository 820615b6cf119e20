// rtvs-vni join: a TAP interface on a segment. Two threads carry frames (carry.c); this one tends.
// It beats the node's heart, takes back the slots of dead nodes, and follows the interface's
// address. It joins again when others took the node for dead while it did not run.
#include "carry.h"
#include "command.h"
#include "rtvs/segment_file.h"
#include "rtvs/text.h"
#include "rtvs/units.h"
#include "service.h"
#include "tap.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

// A node that was just killed is dead for others after SEGMENT_SILENCE_NS; join waits for its name
// and number.
#define PATIENCE_NS (3 * SEGMENT_SILENCE_NS)
#define TEND_MS ((int)(SEGMENT_TEND_NS / 1000000))
#define TURNS_PER_LOOK 20 // the file's path is looked at once a second

enum {
	OPTION_BRIDGE = 256,
	OPTION_MAC,
	OPTION_MTU,
	OPTION_NAME,
	OPTION_NODE,
	OPTION_POLL,
	OPTION_TAP,
};

static const struct option options[] = {
	{"bridge", no_argument, NULL, OPTION_BRIDGE},
	COMMAND_HELP,
	COMMAND_IVSHMEM,
	{"mac", required_argument, NULL, OPTION_MAC},
	{"mtu", required_argument, NULL, OPTION_MTU},
	{"name", required_argument, NULL, OPTION_NAME},
	{"node", required_argument, NULL, OPTION_NODE},
	{"poll", no_argument, NULL, OPTION_POLL},
	{"tap", required_argument, NULL, OPTION_TAP},
	{0},
};

struct join {
	const char *path;
	struct tap_options wanted;
	struct segment_identity identity;
	int node; // -1: any
	struct carry carry;
	struct tap interface;
	struct mac mac;
	int signals;
	bool has_uso; // the interface may hand over UDP super-frames: every node takes them
	bool has_said_refused, has_said_removed;
	bool is_out; // left, and could not join again yet
};

static bool
is_name(const char *name)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:-";

	return *name && !strchr("_.:-", *name) && !name[strspn(name, letters)];
}

// As the kernel's dev_valid_name.
static bool
is_interface_name(const char *name)
{
	size_t len = strcspn(name, "/: \t\n");

	return len && len < IFNAMSIZ && !name[len] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static struct join state = {.node = -1};

static bool
parse(int c, const char *value)
{
	struct join *j = &state;
	uint32_t number;

	switch (c) {
	case OPTION_BRIDGE:
		j->identity.flags |= SEGMENT_BRIDGE;
		return true;
	case OPTION_MAC:
		j->wanted.has_mac = true;
		if (!units_parse_mac(value, &j->wanted.mac) && !(j->wanted.mac.b[0] & 1))
			return true;
		(void)command_wrong(
			"--mac: '%s' is not the address of one interface, such as 52:54:00:00:00:01", value);
		return false;
	case OPTION_MTU:
		return command_number("--mtu", value, TAP_MIN_MTU, TAP_MAX_MTU, &j->wanted.mtu);
	case OPTION_NAME:
		if (is_name(value) && text_copy(j->identity.name, sizeof(j->identity.name), value))
			return true;
		(void)command_wrong(
			"--name: '%s' is not a name of 1 to %d letters, digits and _.:-", value, RTVS_NAME_SIZE - 1);
		return false;
	case OPTION_NODE:
		if (!command_number("--node", value, 0, SEGMENT_MAX_NODES - 1, &number))
			return false;
		j->node = (int)number;
		return true;
	case OPTION_POLL:
		j->carry.is_polling = true;
		return true;
	case OPTION_TAP:
		j->wanted.name = value;
		if (is_interface_name(value))
			return true;
		(void)command_wrong("--tap: '%s' is not the name of an interface, 1 to %d letters without / and :",
			value, IFNAMSIZ - 1);
		return false;
	default:
		return false; // not reached
	}
}

// HOST:TAP, as far as a name may be so.
static void
choose_name(struct join *j)
{
	char host[RTVS_NAME_SIZE - IFNAMSIZ - 1] = "";

	if (j->identity.name[0])
		return;
	(void)gethostname(host, sizeof(host) - 1);
	(void)snprintf(
		j->identity.name, sizeof(j->identity.name), "%s%s%s", host, host[0] ? ":" : "", j->interface.name);
	if (!is_name(j->identity.name))
		(void)snprintf(j->identity.name, sizeof(j->identity.name), "node-%d", (int)getpid());
}

static void
say(const struct join *j, const char *what)
{
	fprintf(stderr, "rtvs-vni: %s: %s\n", j->path, what);
}

static void
say_joined(const struct join *j, const char *how)
{
	char mac[UNITS_TEXT_SIZE];
	int self = segment_self(segment_file_segment(j->carry.file));

	fprintf(stderr, "rtvs-vni: %s: %s as node %d, %s: interface %s, %s\n", j->path, how, self, j->identity.name,
		j->interface.name, units_format_mac(&j->mac, mac));
	service_tell("READY=1\nSTATUS=Node %d of %s, interface %s", self, j->path, j->interface.name);
}

// -EBUSY and -EEXIST may come from a node that died a moment ago.
static int
join_patiently(struct join *j, char *err)
{
	struct pollfd fd = {.fd = j->signals, .events = POLLIN};
	int rc = segment_file_join(j->carry.file, j->node, &j->identity, err);

	if (rc == -EBUSY || rc == -EEXIST)
		fprintf(stderr, "rtvs-vni: %s: %s; waits for %.1f s, since it may have died just now\n", j->path, err,
			(double)PATIENCE_NS / 1e9);
	for (uint64_t ns = 0; (rc == -EBUSY || rc == -EEXIST) && ns < PATIENCE_NS && poll(&fd, 1, TEND_MS) <= 0;
		ns += SEGMENT_TEND_NS) {
		(void)segment_file_tend(j->carry.file);
		rc = segment_file_join(j->carry.file, j->node, &j->identity, err);
	}
	return rc;
}

// The others took this node for dead: it was stopped, or its machine was. The threads start anew
// without any slots.
static void
come_back(struct join *j)
{
	char err[SEGMENT_ERR_SIZE] = "no threads";
	int rc;

	if (!j->is_out) {
		say(j, "the other nodes took this one for dead, since it did not run");
		carry_stop(&j->carry);
	}
	rc = segment_file_rejoin(j->carry.file, err);
	if (!rc)
		rc = carry_start(&j->carry);
	if (!rc) {
		// its present one
		(void)segment_set_macs(segment_file_segment(j->carry.file), &j->mac, 1);
		say_joined(j, "back");
	} else if (!j->is_out) {
		say(j, err);
	}
	j->is_out = rc;
}

static void
follow_mac(struct join *j, const struct mac *mac)
{
	if (!memcmp(mac, &j->mac, sizeof(j->mac)))
		return;
	j->mac = *mac;
	(void)segment_set_macs(segment_file_segment(j->carry.file), mac, 1);
}

// A few that were on their way to a node that came are lost.
static void
follow_uso(struct join *j)
{
	bool has_uso = segment_file_all_have(j->carry.file, SEGMENT_USO);

	if (has_uso != j->has_uso)
		tap_offload(&j->interface, has_uso);
	j->has_uso = has_uso;
}

// Once a second. False: nodes that come by this path would not meet this node.
static bool
look_at_path(struct join *j)
{
	bool is_removed = access(j->path, F_OK) && errno == ENOENT;

	if (is_removed && !j->has_said_removed)
		say(j,
			"the file was removed: only nodes that have it already are reached; create it again, then join "
			"again");
	j->has_said_removed = is_removed;
	return !segment_file_is_replaced(j->carry.file, j->path);
}

// Until a signal comes. COMMAND_OK, or what went wrong was said.
static int
tend(struct join *j)
{
	struct pollfd fd = {.fd = j->signals, .events = POLLIN};

	for (unsigned turn = 1; poll(&fd, 1, TEND_MS) <= 0; turn++) {
		unsigned n_dead = segment_file_tend(j->carry.file);
		struct mac mac;

		if (n_dead)
			fprintf(stderr, "rtvs-vni: %s: nodes died: %u; their slots were taken back\n", j->path, n_dead);
		if (!j->has_said_refused && atomic_load(&j->carry.n_refused)) {
			say(j, "the interface does not take frames: is it up?");
			j->has_said_refused = true;
		}
		if (segment_file_is_broken(j->carry.file)) {
			say(j, "the file was truncated, or its memory failed: create the segment again");
			return COMMAND_REFUSED;
		}
		if (!tap_mac(j->interface.fd, &mac)) {
			say(j, "the interface is gone");
			return COMMAND_REFUSED;
		}
		if (turn % TURNS_PER_LOOK == 0 && !look_at_path(j)) {
			say(j, "another segment has this path by now: join again");
			return COMMAND_REFUSED;
		}
		if (j->is_out ? turn % TURNS_PER_LOOK == 0 : segment_is_expelled(segment_file_segment(j->carry.file)))
			come_back(j);
		if (!j->is_out)
			follow_mac(j, &mac);
		follow_uso(j);
	}
	return COMMAND_OK;
}

static int
carry_on(struct join *j)
{
	int rc = carry_start(&j->carry);

	if (rc)
		return command_refused(strerror(-rc));
	say_joined(j, "joined");
	rc = tend(j);
	service_tell("STOPPING=1");
	if (!j->is_out)
		carry_stop(&j->carry);
	if (atomic_load(&j->carry.n_refused))
		fprintf(stderr, "rtvs-vni: %s: frames that the interface did not take: %" PRIu64 "\n", j->path,
			atomic_load(&j->carry.n_refused));
	return rc;
}

static int
join(struct join *j)
{
	char err[SEGMENT_ERR_SIZE];
	sigset_t set;
	int rc;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	j->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (j->signals < 0)
		return command_refused(strerror(errno));
	if (segment_file_open(j->path, false, &j->carry.file, err))
		return command_refused(err);
	(void)segment_file_populate(j->carry.file, SIZE_MAX);
	if (tap_open(&j->wanted, &j->interface, err)) {
		rc = command_refused(err);
		goto err_file;
	}
	j->carry.tap = j->interface.fd;
	choose_name(j);
	(void)tap_mac(j->interface.fd, &j->mac);
	j->identity.n_macs = 1;
	j->identity.mac[0] = j->mac;
	if (j->interface.has_uso)
		j->identity.flags |= SEGMENT_USO;
	j->has_uso = j->interface.has_uso;
	j->identity.mtu = j->interface.mtu;
	rc = join_patiently(j, err) ? command_refused(err) : carry_on(j);
	close(j->interface.fd);
err_file:
	segment_file_close(j->carry.file);
	close(j->signals);
	return rc;
}

static int
run(const struct command_args *args)
{
	state.path = args->path;
	return state.wanted.name ? join(&state) :
				   command_wrong("join: --tap NAME is needed: the interface that programs will use");
}

const struct command command_join = {"join", run, "attaches a TAP interface to a segment, until it is ended",
	"usage: rtvs-vni join FILE --tap NAME [OPTION...]\n"
	"       rtvs-vni join --ivshmem [PCI-ADDRESS] --tap NAME [OPTION...]\n"
	"\n"
	"Makes the interface NAME, or takes the TAP of that name, and carries its frames over the segment. Runs in "
	"the\n"
	"foreground; SIGTERM and Ctrl-C leave the segment. Killed and started again it has its place at once.\n"
	"\n"
	"      --tap NAME    the interface, 1 to 15 letters\n"
	"      --name NODE   what the node is called, the only one so; default HOST:TAP\n"
	"      --node N      its number, 0 to 63; default: any that is free\n"
	"      --bridge      takes frames for addresses that no node has: the interface is in a bridge\n"
	"      --mtu N       of the interface, 68 to 65521        --mac ADDRESS  of the interface\n"
	"      --poll        the receiving thread never sleeps: less latency for a processor\n"
	"      --ivshmem     the device of a virtual machine, instead of a file\n",
	":h", options, parse};
