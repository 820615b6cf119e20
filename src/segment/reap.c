// rtvs-vni reap: one sweep for dead nodes, as each node does all the time, on an operator's
// request.
#include "command.h"
#include "rtvs/segment_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int
run(const struct command_args *args)
{
	const struct timespec pause = {.tv_nsec = (long)SEGMENT_TEND_NS};
	struct segment_pool_info before, after;
	char err[SEGMENT_ERR_SIZE];
	struct segment_file *file;
	unsigned n_dead = 0;
	uint32_t n_swept;

	if (segment_file_open(args->path, false, &file, err))
		return command_refused(err);
	segment_look_pool(segment_file_segment(file), &before);
	// Hearts of other hosts must have been silent for so long.
	for (uint64_t ns = 0; ns < SEGMENT_SILENCE_NS + 3 * SEGMENT_TEND_NS; ns += SEGMENT_TEND_NS) {
		n_dead += segment_file_tend(file);
		(void)nanosleep(&pause, NULL);
	}
	n_swept = segment_sweep(segment_file_segment(file));
	segment_look_pool(segment_file_segment(file), &after);
	printf(args->is_json ? "{\"dead_nodes\": %u, \"slots_reaped\": %" PRIu64 ", \"slots_swept\": %" PRIu32
			       ", \"slots_free\": %" PRIu32 "}\n" :
			       "dead nodes: %u, slots of dead nodes taken back: %" PRIu64 ", of nobody: %" PRIu32
			       ", free: %" PRIu32 "\n",
		n_dead, after.n_reaped - before.n_reaped, n_swept, after.n_free);
	segment_file_close(file);
	return COMMAND_OK;
}

static const struct option options[] = {COMMAND_HELP, COMMAND_IVSHMEM, COMMAND_JSON, {0}};
const struct command command_reap = {"reap", run, "takes back what dead nodes had",
	"usage: rtvs-vni reap [-j] FILE\n"
	"       rtvs-vni reap [-j] --ivshmem [PCI-ADDRESS]\n"
	"\n"
	"Looks for dead nodes for 0.75 s, takes back every slot that no living node has, and says how many. Nodes do "
	"so\n"
	"themselves all the time; this is for segments without nodes, and for doubt.\n"
	"\n"
	"  -j, --json     print JSON\n"
	"      --ivshmem  the device of a virtual machine, instead of a file\n",
	":hj", options};
