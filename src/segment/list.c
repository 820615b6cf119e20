// rtvs-vni list: the state of a segment, for people and for programs.
#include "command.h"
#include "picture.h"
#include "rtvs/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void
print_macs(const struct segment_identity *identity, FILE *out)
{
	char mac[UNITS_TEXT_SIZE];

	fprintf(out, "%s", identity->n_macs ? units_format_mac(&identity->mac[0], mac) : "-");
	if (identity->n_macs > 1)
		fprintf(out, " +%u", identity->n_macs - 1u);
	fputs(identity->flags & SEGMENT_BRIDGE ? " bridge\n" : "\n", out);
}

static void
print_table(const struct picture *p, FILE *out)
{
	int width = 4;

	for (unsigned i = 0; i < p->geometry.n_nodes; i++)
		if (p->is_there[i] && (int)strlen(p->node[i].identity.name) > width)
			width = (int)strlen(p->node[i].identity.name);
	fprintf(out, "%4s %-*s %-8s %7s %12s %12s %9s %6s %6s  %s\n", "NODE", width, "NAME", "STATE", "PID", "SENT",
		"RECEIVED", "DROPPED", "INBOX", "HOLDS", "MAC");
	for (unsigned i = 0; i < p->geometry.n_nodes; i++) {
		const struct segment_node_info *node = &p->node[i];

		if (!p->is_there[i])
			continue;
		fprintf(out,
			"%4u %-*s %-8s %7" PRIu32 " %12" PRIu64 " %12" PRIu64 " %9" PRIu64 " %6" PRIu32 " %6" PRIu32
			"  ",
			i, width, node->identity.name, picture_state(p, i), node->identity.pid,
			node->counters.tx_frames, node->counters.rx_frames, picture_dropped(&node->counters),
			node->inbox_depth, p->pool.n_held[i]);
		print_macs(&node->identity, out);
	}
}

static void
print_json_node(const struct picture *p, unsigned i, FILE *out)
{
	const struct segment_node_info *node = &p->node[i];
	const struct segment_identity *identity = &node->identity;
	const struct segment_counters *c = &node->counters;
	const struct {
		const char *name;
		uint64_t value;
	} numbers[] = {{"tx_frames", c->tx_frames}, {"tx_bytes", c->tx_bytes}, {"tx_no_slot", c->tx_no_slot},
		{"tx_inbox_full", c->tx_inbox_full}, {"tx_nobody", c->tx_nobody}, {"tx_gone", c->tx_gone},
		{"rx_frames", c->rx_frames}, {"rx_bytes", c->rx_bytes}, {"rx_stale", c->rx_stale},
		{"rx_bad", c->rx_bad}, {"rx_refused", c->rx_refused}};
	char mac[UNITS_TEXT_SIZE];

	fprintf(out,
		"{\"node\": %u, \"name\": \"%s\", \"state\": \"%s\", \"pid\": %" PRIu32
		", \"is_bridge\": %s, \"mtu\": %" PRIu32 ", \"macs\": [",
		i, identity->name, picture_state(p, i), identity->pid,
		identity->flags & SEGMENT_BRIDGE ? "true" : "false", identity->mtu);
	for (unsigned m = 0; m < identity->n_macs; m++)
		fprintf(out, "%s\"%s\"", m ? ", " : "", units_format_mac(&identity->mac[m], mac));
	fprintf(out, "], \"inbox\": %" PRIu32 ", \"slots_held\": %" PRIu32, node->inbox_depth, p->pool.n_held[i]);
	for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]); n++)
		fprintf(out, ", \"%s\": %" PRIu64, numbers[n].name, numbers[n].value);
	fputs("}", out);
}

static void
print_json(const struct picture *p, const char *path, FILE *out)
{
	const char *separator = "";

	fputs("{\"file\": \"", out);
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\')
			fprintf(out, "\\u%04x", (unsigned)(unsigned char)*c);
		else
			fputc(*c, out);
	fprintf(out,
		"\", \"version\": %d, \"memory\": \"%s\", \"buffers\": \"%s\", \"bytes\": %zu, \"max_nodes\": %" PRIu32
		", \"slots\": %" PRIu32 ", \"slot_bytes\": %" PRIu32 ", \"inbox_size\": %" PRIu32
		", \"slots_free\": %" PRIu32 ", \"slots_reaped\": %" PRIu64 ", \"nodes\": [",
		SEGMENT_VERSION, p->geometry.memory == SEGMENT_COHERENT ? "coherent" : "noncoherent",
		p->geometry.buffers == SEGMENT_POOL ? "pool" : "separate", segment_bytes(&p->geometry),
		p->geometry.n_nodes, p->geometry.n_slots, p->geometry.slot_bytes, p->geometry.inbox_size,
		p->pool.n_free, p->pool.n_reaped);
	for (unsigned i = 0; i < p->geometry.n_nodes; i++) {
		if (!p->is_there[i])
			continue;
		fputs(separator, out);
		print_json_node(p, i, out);
		separator = ", ";
	}
	fputs("]}\n", out);
}

static int
run(const struct command_args *args)
{
	static struct picture picture;
	char err[SEGMENT_ERR_SIZE];
	struct segment_file *file;

	if (segment_file_open(args->path, true, &file, err))
		return command_refused(err);
	picture_take(file, &picture);
	if (args->is_json) {
		print_json(&picture, args->path, stdout);
	} else {
		picture_print_segment(&picture, args->path, stdout);
		print_table(&picture, stdout);
	}
	segment_file_close(file);
	return COMMAND_OK;
}

static const struct option options[] = {COMMAND_HELP, COMMAND_IVSHMEM, COMMAND_JSON, {0}};
const struct command command_list = {"list", run, "shows a segment and its nodes",
	"usage: rtvs-vni list [-j] FILE\n"
	"       rtvs-vni list [-j] --ivshmem [PCI-ADDRESS]\n"
	"\n"
	"The segment's geometry, how much of its pool is in use, and a line for each node: SENT, RECEIVED and DROPPED "
	"are\n"
	"frames since it joined, INBOX slots that wait for it, HOLDS slots that it has, up to 64 in reserve. The JSON "
	"has the\n"
	"drops by reason.\n"
	"\n"
	"  -j, --json     print JSON\n"
	"      --ivshmem  the device of a virtual machine, instead of a file\n",
	":hj", options};
