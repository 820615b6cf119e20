// rtvs-vni create.
#include "command.h"
#include "rtvs/segment_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_SIZE (UINT64_C(64) << 20)
#define DEFAULT_NODES 16
#define DEFAULT_SLOT_BYTES 2048
// 2 MiB was a TCP connection's window, of 31 super-frames, and some were lost; with four times as
// much none (two containers).
#define DEFAULT_INBOX 4096
#define DEFAULT_MODE 0660

enum {
	OPTION_FORCE = 256,
	OPTION_GROUP,
	OPTION_IF_MISSING,
	OPTION_INBOX,
	OPTION_MODE,
	OPTION_NODES,
	OPTION_NONCOHERENT,
	OPTION_SEPARATE,
	OPTION_SIZE,
	OPTION_SLOT_BYTES,
	OPTION_SLOTS,
};

static const struct option options[] = {
	{"force", no_argument, NULL, OPTION_FORCE},
	{"group", required_argument, NULL, OPTION_GROUP},
	COMMAND_HELP,
	{"if-missing", no_argument, NULL, OPTION_IF_MISSING},
	{"inbox", required_argument, NULL, OPTION_INBOX},
	COMMAND_IVSHMEM,
	{"mode", required_argument, NULL, OPTION_MODE},
	{"nodes", required_argument, NULL, OPTION_NODES},
	{"noncoherent", no_argument, NULL, OPTION_NONCOHERENT},
	{"separate", no_argument, NULL, OPTION_SEPARATE},
	{"size", required_argument, NULL, OPTION_SIZE},
	{"slot-bytes", required_argument, NULL, OPTION_SLOT_BYTES},
	{"slots", required_argument, NULL, OPTION_SLOTS},
	{0},
};

static struct segment_create create = {
	.geometry = {.n_nodes = DEFAULT_NODES, .slot_bytes = DEFAULT_SLOT_BYTES, .inbox_size = DEFAULT_INBOX},
	.mode = DEFAULT_MODE,
};
static bool if_missing;

static bool
parse_mode(const char *text, uint32_t *ret_mode)
{
	char *end;
	unsigned long mode = strtoul(text, &end, 8);

	if (!*text || *end || mode > 0777) {
		(void)command_wrong("--mode: '%s' is not an octal mode from 0 to 0777", text);
		return false;
	}
	*ret_mode = (uint32_t)mode;
	return true;
}

static bool
parse(int c, const char *value)
{
	struct segment_geometry *g = &create.geometry;

	switch (c) {
	case OPTION_FORCE:
		create.is_forced = true;
		return true;
	case OPTION_GROUP:
		create.group = value;
		return true;
	case OPTION_IF_MISSING:
		if_missing = true;
		return true;
	case OPTION_INBOX:
		return command_number("--inbox", value, SEGMENT_MIN_INBOX, SEGMENT_MAX_INBOX, &g->inbox_size);
	case OPTION_MODE:
		return parse_mode(value, &create.mode);
	case OPTION_NODES:
		return command_number("--nodes", value, 2, SEGMENT_MAX_NODES, &g->n_nodes);
	case OPTION_NONCOHERENT:
		g->memory = SEGMENT_NONCOHERENT;
		return true;
	case OPTION_SEPARATE:
		g->buffers = SEGMENT_SEPARATE;
		return true;
	case OPTION_SIZE:
		return command_size("--size", value, &create.size);
	case OPTION_SLOT_BYTES:
		return command_number(
			"--slot-bytes", value, SEGMENT_MIN_SLOT_BYTES, SEGMENT_MAX_SLOT_BYTES, &g->slot_bytes);
	case OPTION_SLOTS:
		return command_number("--slots", value, SEGMENT_MIN_SLOTS, SEGMENT_MAX_SLOTS, &g->n_slots);
	default:
		return false; // not reached
	}
}

static bool
is_there(void)
{
	struct segment_file *file = NULL;
	char err[SEGMENT_ERR_SIZE];
	int rc = segment_file_open(create.path, true, &file, err);

	segment_file_close(file);
	return !rc;
}

static int
run(const struct command_args *args)
{
	char err[SEGMENT_ERR_SIZE];
	int rc;

	create.path = args->path;
	if (!create.size && !create.geometry.n_slots && !segment_file_is_device(create.path))
		create.size = DEFAULT_SIZE;
	if (segment_file_create_check(&create, err))
		return command_wrong("%s", err);
	if (if_missing && is_there())
		return COMMAND_OK;
	rc = segment_file_create(&create, err);
	if (rc == -EEXIST && if_missing && is_there())
		rc = 0; // another process was faster
	return rc ? command_refused(err) : COMMAND_OK;
}

const struct command command_create = {"create", run, "makes a segment",
	"usage: rtvs-vni create [OPTION...] FILE\n"
	"       rtvs-vni create [OPTION...] /dev/daxN.M\n"
	"       rtvs-vni create [OPTION...] --ivshmem [PCI-ADDRESS]\n"
	"\n"
	"Makes a segment in a file of a tmpfs (/dev/shm) or hugetlbfs, or in a device.\n"
	"\n"
	"      --size SIZE      of the file, such as 64M (default) or 2GiB; a power of two for ivshmem\n"
	"      --slots N        buffers in the pool, 64 to 2097152; default: as many as SIZE has room for\n"
	"      --nodes N        that may join, 2 to 64; default 16\n"
	"      --slot-bytes N   of a buffer, a power of two from 2048 (default) to 65536\n"
	"      --inbox N        buffers that wait for a node at most, a power of two from 64 to 65536; default 4096\n"
	"      --separate       buffers of their own for each pair of nodes, instead of one pool: for comparison\n"
	"      --noncoherent    for CXL 2.0, where hosts do not see each other's caches\n"
	"      --mode MODE      of the file; default 0660        --group GROUP  of the file, a name or a number\n"
	"      --if-missing     a segment that is there stays as it is, with its nodes\n"
	"      --force          over a segment that is there: its nodes are cut off\n"
	"      --ivshmem        the device of a virtual machine, instead of a file\n",
	":h", options, parse};
