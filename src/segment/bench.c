// rtvs-vni bench: the rate of the segment on this machine, at this moment, beside its other users.
#include "command.h"
#include "measure.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>

#define DEFAULT_MS 1000
#define WARMUP_PART 5 // of the time
#define MIN_MS 10
#define MAX_MS 60000
#define MIN_FRAME 64

enum {
	OPTION_CPUS = 256,
	OPTION_FRAME,
	OPTION_NODES,
	OPTION_TIME,
};

static const struct option options[] = {
	{"cpus", required_argument, NULL, OPTION_CPUS},
	{"frame", required_argument, NULL, OPTION_FRAME},
	COMMAND_HELP,
	COMMAND_JSON,
	{"nodes", required_argument, NULL, OPTION_NODES},
	{"time", required_argument, NULL, OPTION_TIME},
	{0},
};

static bool
parse_cpus(const char *text, unsigned ret_cpu[2])
{
	char rest;

	if (sscanf(text, "%u,%u%c", &ret_cpu[0], &ret_cpu[1], &rest) == 2 && ret_cpu[0] < CPU_SETSIZE &&
		ret_cpu[1] < CPU_SETSIZE && ret_cpu[0] != ret_cpu[1])
		return true;
	(void)command_wrong("--cpus: '%s' is not two CPUs, such as 0,1", text);
	return false;
}

// The first two that this process may use.
static bool
find_cpus(unsigned ret_cpu[2])
{
	unsigned n = 0;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return false;
	for (unsigned i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &cpus))
			ret_cpu[n++] = i;
	return n == 2;
}

static struct measure_spec spec = {.n_nodes = 2, .frame = MIN_FRAME, .ms = DEFAULT_MS};

static bool
parse(int c, const char *value)
{
	switch (c) {
	case OPTION_CPUS:
		return parse_cpus(value, spec.cpu);
	case OPTION_FRAME:
		return command_number("--frame", value, MIN_FRAME, SEGMENT_MAX_FRAME + MEASURE_FCS, &spec.frame);
	case OPTION_NODES:
		if (!command_number("--nodes", value, 2, SEGMENT_MAX_NODES, &spec.n_nodes))
			return false;
		if (spec.n_nodes % 2)
			(void)command_wrong("--nodes: half of them send, half receive: an even number");
		return spec.n_nodes % 2 == 0;
	case OPTION_TIME:
		return command_number("--time", value, MIN_MS, MAX_MS, &spec.ms);
	default:
		return false; // not reached
	}
}

static void
print(const struct measure_result *r, bool is_json)
{
	if (is_json)
		printf("{\"nodes\": %u, \"frame\": %" PRIu32 ", \"mpps\": %.4f, \"gbps\": %.4f, \"rtt_p50_us\": %.3f, "
		       "\"rtt_p99_us\": %.3f, \"sent\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"pings\": %" PRIu64
		       ", \"pings_lost\": %" PRIu64 ", \"stalls_us\": %" PRIu64 "}\n",
			spec.n_nodes, spec.frame, r->mpps, r->gbps, r->rtt_p50_us, r->rtt_p99_us, r->sent, r->lost,
			r->pings, r->pings_lost, r->stalls_us);
	else
		printf("%u nodes, frames of %" PRIu32 " bytes: %.2f Mpps, %.2f Gbit/s, lost %" PRIu64 " of %" PRIu64
		       "\nround trip: median %.2f us, 99 %% within %.2f us, lost %" PRIu64 " of %" PRIu64 "\n",
			spec.n_nodes, spec.frame, r->mpps, r->gbps, r->lost, r->sent, r->rtt_p50_us, r->rtt_p99_us,
			r->pings_lost, r->pings + r->pings_lost);
}

static int
run(const struct command_args *args)
{
	struct measure_result result;
	char err[SEGMENT_ERR_SIZE];

	spec.path = args->path;
	if (spec.cpu[0] == spec.cpu[1] && !find_cpus(spec.cpu))
		return command_refused("bench needs two CPUs: one sends, one receives");
	spec.warmup_ms = spec.ms / WARMUP_PART;
	if (measure_run(&spec, &result, err))
		return command_refused(err);
	print(&result, args->is_json);
	return COMMAND_OK;
}

const struct command command_bench = {"bench", run, "measures what a segment carries between two processes",
	"usage: rtvs-vni bench [OPTION...] FILE\n"
	"\n"
	"Nodes join, half of them in a process that sends, half in one that receives; both poll, each on a CPU of its "
	"own.\n"
	"Then one frame at a time goes there and back. Other nodes of the segment are served meanwhile, but slower.\n"
	"\n"
	"      --nodes N    an even number from 2 (default); the segment must have as many free\n"
	"      --frame N    bytes as on a wire, 64 (default) to 65557\n"
	"      --time MS    of each of the two measurements, 10 to 60000; default 1000\n"
	"      --cpus A,B   who sends, who receives; default: the first two of those that the process may use\n"
	"  -j, --json       for programs\n",
	":hj", options, parse};
