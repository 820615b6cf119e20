// rtvswitchd: arguments, wiring, start, wait, stop in reverse. An error is reported in one line.
// The exit status tells systemd whether a restart could help (1) or only a changed configuration
// (2).
#include "rtvs/ctl.h"
#include "rtvs/geneve.h"
#include "rtvs/log.h"
#include "rtvs/output.h"
#include "rtvs/units.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_CONFIG 2
#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"

enum option_id {
	OPT_API = 256,
	OPT_BUFFERS,
	OPT_EAL,
	OPT_FRESH,
	OPT_GROUP,
	OPT_IDLE,
	OPT_IDLE_AFTER,
	OPT_LOG_LEVEL,
	OPT_MEMORY,
	OPT_METRICS,
	OPT_MONITOR_SOCKET,
	OPT_NO_HUGE,
	OPT_TAKE_OVER,
	OPT_WORKER_PRIORITY,
	OPT_WORKERS,
};

static const struct option options[] = {
	{"api", no_argument, NULL, OPT_API},
	{"buffers", required_argument, NULL, OPT_BUFFERS},
	{"config", required_argument, NULL, 'c'},
	{"eal", required_argument, NULL, OPT_EAL},
	{"fresh", no_argument, NULL, OPT_FRESH},
	{"group", required_argument, NULL, OPT_GROUP},
	{"help", no_argument, NULL, 'h'},
	{"idle", required_argument, NULL, OPT_IDLE},
	{"idle-after", required_argument, NULL, OPT_IDLE_AFTER},
	{"log-level", required_argument, NULL, OPT_LOG_LEVEL},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"metrics", required_argument, NULL, OPT_METRICS},
	{"monitor-socket", required_argument, NULL, OPT_MONITOR_SOCKET},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},
	{"socket", required_argument, NULL, 's'},
	{"take-over", required_argument, NULL, OPT_TAKE_OVER},
	{"version", no_argument, NULL, 'V'},
	{"worker-priority", required_argument, NULL, OPT_WORKER_PRIORITY},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{0},
};

static const char help[] =
	"usage: rtvswitchd [OPTION...]\n"
	"\n"
	"A virtual switch that keeps deadlines. It runs in the foreground; rtvsctl(1) controls it.\n"
	"\n"
	"  -c, --config FILE          calls to execute at start (see rtvswitch-api(7))\n"
	"      --fresh                forget the configuration that ran before a crash or restart (PATH.running)\n"
	"  -s, --socket PATH          control socket; default " DEFAULT_SOCKET "\n"
	"      --monitor-socket PATH  second socket, for methods that change nothing\n"
	"      --group NAME           group that may use the sockets\n"
	"      --metrics ADDRESS      OpenMetrics at 127.0.0.1:PORT, [::1]:PORT or unix:PATH\n"
	"      --workers CPUS         datapath CPUs, like 2,4-5; default: the last one it may use\n"
	"      --worker-priority fifo (default): before all other threads, which get 6 % of a worker's CPU;\n"
	"                         nice: at nice -20; normal: as other threads. What the kernel refuses becomes\n"
	"                         the next one\n"
	"      --idle POLICY          busy (default): never sleep; adaptive: sleep after --idle-after\n"
	"      --idle-after TIME      default 200us\n"
	"      --buffers N            packet buffers of 2 KiB; default 16384\n"
	"      --memory SIZE          packet memory; default: what the buffers need\n"
	"      --no-huge              plain pages even if hugepages are free\n"
	"      --eal ARGS             further arguments for DPDK, like '-a 0000:01:00.0'\n"
	"      --log-level LEVEL      error, warning, info (default) or debug\n"
	"      --take-over FD         for the use of 'rtvsctl system upgrade': goes on where that daemon stops\n"
	"      --api                  print the RPC methods as JSON and exit\n"
	"  -V, --version              print the version and exit\n"
	"  -h, --help                 print this and exit\n"
	"\n"
	"Exit status: 0 stopped, 1 failed, 2 wrong arguments or configuration.\n";

struct args {
	struct ctl_params ctl;
	enum log_level log_level;
};

// Position of text in a NULL-terminated list, -1: not there.
static int
find_name(const char *const *names, const char *text)
{
	for (int i = 0; names[i]; i++)
		if (!strcmp(names[i], text))
			return i;
	return -1;
}

static int
bad_value(const char *option, const char *value, const char *expected)
{
	fprintf(stderr, "rtvswitchd: --%s: '%s' is not %s\n", option, value, expected);
	return -EINVAL;
}

static int
parse_value(struct args *args, int opt, const char *value)
{
	struct dp_system_cfg *system = &args->ctl.system;
	uint64_t n;
	int i;

	switch (opt) {
	case OPT_BUFFERS:
		if (units_parse_uint(value, &n) || n < 1024 || n > (1u << 24))
			return bad_value("buffers", value, "a number from 1024 to 16777216");
		system->n_mbufs = (uint32_t)n;
		return 0;
	case OPT_EAL:
		if (strlen(value) >= sizeof(system->eal))
			return bad_value("eal", value, "at most 255 characters");
		snprintf(system->eal, sizeof(system->eal), "%s", value);
		return 0;
	case OPT_IDLE:
		i = find_name(dp_idle_names, value);
		if (i < 0)
			return bad_value("idle", value, "busy or adaptive");
		system->idle = (uint32_t)i;
		return 0;
	case OPT_IDLE_AFTER:
		if (units_parse_time(value, &n) || n < 1000 || n > 1000000000)
			return bad_value("idle-after", value, "a time from 1us to 1s");
		system->idle_ns = n;
		return 0;
	case OPT_LOG_LEVEL:
		i = find_name(log_level_names, value);
		if (i < 0)
			return bad_value("log-level", value, "error, warning, info or debug");
		args->log_level = (enum log_level)i;
		return 0;
	case OPT_MEMORY:
		if (units_parse_size(value, &n) || n < (1 << 20))
			return bad_value("memory", value, "a size from 1MiB");
		system->memory_bytes = n;
		return 0;
	case OPT_TAKE_OVER:
		if (units_parse_uint(value, &n) || n < 3 || n > INT_MAX)
			return bad_value("take-over", value, "a descriptor that 'rtvsctl system upgrade' made");
		args->ctl.take_over = (int)n;
		return 0;
	case OPT_WORKER_PRIORITY:
		i = find_name(dp_priority_names, value);
		if (i < 0)
			return bad_value("worker-priority", value, "fifo, nice or normal");
		system->worker_priority = (uint32_t)i;
		return 0;
	case OPT_WORKERS:
		if (units_parse_cpus(value, &system->workers) || !system->workers.n)
			return bad_value("workers", value, "a list of at most 16 CPUs, like 2,4-5");
		return 0;
	default:
		return -EINVAL;
	}
}

// 0: go on; 1: done, exit well; negative: wrong arguments, told.
static int
parse_args(struct args *args, int argc, char **argv)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "c:hs:V", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			args->ctl.config = optarg;
			break;
		case 's':
			args->ctl.socket = optarg;
			break;
		case OPT_FRESH:
			args->ctl.is_fresh = true;
			break;
		case OPT_GROUP:
			args->ctl.group = optarg;
			break;
		case OPT_METRICS:
			args->ctl.metrics = optarg;
			break;
		case OPT_MONITOR_SOCKET:
			args->ctl.monitor_socket = optarg;
			break;
		case OPT_NO_HUGE:
			args->ctl.system.hugepages = false;
			break;
		case 'h':
			fputs(help, stdout);
			return 1;
		case 'V':
			puts("rtvswitchd " RTVS_VERSION);
			return 1;
		case OPT_API: {
			json_t *api = rpc_discover(ctl_api());

			json_dumpf(api, stdout, JSON_INDENT(1));
			putchar('\n');
			json_decref(api);
			return 1;
		}
		case '?':
			fputs("Try 'rtvswitchd --help'.\n", stderr);
			return -EINVAL;
		default:
			if (parse_value(args, opt, optarg))
				return -EINVAL;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "rtvswitchd: unexpected argument '%s'\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct args args = {
		.ctl = {.version = RTVS_VERSION,
			.socket = DEFAULT_SOCKET,
			.system = {.idle = DP_IDLE_BUSY,
				.idle_ns = 200000,
				.worker_priority = DP_PRIORITY_FIFO,
				.n_mbufs = 16384,
				.hugepages = true,
				.dscp_classes = DSCP_DEFAULT,
				.option_class = GENEVE_CLASS_DEFAULT}},
		.log_level = LOG_LEVEL_INFO,
	};
	char err[DP_ERR_SIZE] = "", program[RTVS_PATH_SIZE] = "";
	struct ctl *ctl = NULL;
	int rc;

	// A package replaces the file: later the link names one that was deleted.
	if (readlink("/proc/self/exe", program, sizeof(program) - 1) > 0)
		args.ctl.program = program;
	args.ctl.argv = argv;
	output_guard(EXIT_FAILURE);
	rc = parse_args(&args, argc, argv);
	if (rc)
		return rc > 0 ? EXIT_SUCCESS : EXIT_CONFIG;
	log_set_level(args.log_level);
	rc = ctl_create(&args.ctl, &ctl, err);
	if (rc) {
		bool is_config = rc == -EINVAL || rc == -ENOENT || rc == -EEXIST;

		log_about(LOG_LEVEL_ERROR,
			LOG_ABOUT(is_config ? LOG_ID_CONFIG_REFUSED : NULL, {"FILE", args.ctl.config}), "%s",
			err[0] ? err : strerror(-rc));
		rc = is_config ? EXIT_CONFIG : EXIT_FAILURE;
		if (args.ctl.take_over) // nothing is ended that may be the former daemon's
			_exit(rc);
		return rc;
	}
	rc = ctl_run(ctl);
	if (ctl_is_handed_over(ctl))
		_exit(rc ? EXIT_FAILURE : EXIT_SUCCESS);
	ctl_destroy(ctl);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
