// rtvs-wake: words of the command line become a watch, live or out of a record, and its report.
// live.h does the watching, report.h the output.
#include "live.h"
#include "record.h"
#include "report.h"
#include "rtvs/output.h"
#include "rtvs/units.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"
#define DEFAULT_RATE 100u
#define MAX_RATE 10000u
#define MIN_DURATION_NS UINT64_C(100000000)
#define MAX_DURATION_NS (UINT64_C(86400) * 1000000000)

enum {
	OPTION_HIST = 256,
	OPTION_RECORD,
	OPTION_REPLAY,
};

struct options {
	const char *socket, *record, *replay;
	uint64_t rate;
	bool is_json, is_all;
	struct live_options live;
};

static void
usage(void)
{
	puts("usage: rtvs-wake [-s SOCKET] [-j] [-d SECONDS] [-r RATE] [--hist] [--record FILE] [PORT...|--all]\n"
	     "       rtvs-wake [-j] [--hist] --replay FILE\n"
	     "\n"
	     "Shows where packets to guests and the answers spend their time: in the switch, in the vring, until the "
	     "guest\n"
	     "is kicked, until a virtual processor is runnable and runs, in the guest, and in the switch again. Guests "
	     "are\n"
	     "not touched. PORT may be a libvirt domain: its ports. Without PORT: all vhost ports.\n"
	     "\n"
	     "  -d, --duration TIME  100ms to 24h, a bare number is seconds; default: until Ctrl-C\n"
	     "  -r, --rate N         packets a second that are followed for each port, 1 to 10000; default 100\n"
	     "      --hist           a histogram of each stage, too\n"
	     "      --record FILE    write what is seen, a line of JSON each\n"
	     "      --replay FILE    show what was recorded\n"
	     "  -s, --socket SOCKET  the daemon's; default $RTVS_SOCKET or " DEFAULT_SOCKET "\n"
	     "  -j, --json           print JSON\n"
	     "  -a, --all            all vhost ports\n"
	     "  -h, --help           print this        -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0 done, 1 refused, 2 wrong usage, 3 the daemon is not reachable.");
}

static int
wrong(const char *what, const char *value)
{
	fprintf(stderr, "rtvs-wake: %s%s\nTry 'rtvs-wake --help'.\n", what, value);
	return CLI_USAGE;
}

static bool
parse_duration(const char *text, uint64_t *ret_ns)
{
	uint64_t ns;

	if (!units_parse_uint(text, &ns) && ns <= MAX_DURATION_NS / 1000000000)
		ns *= 1000000000;
	else if (units_parse_time(text, &ns))
		return false;
	if (ns < MIN_DURATION_NS || ns > MAX_DURATION_NS)
		return false;
	*ret_ns = ns;
	return true;
}

// CLI_OK, or what wrong() returned.
static int
parse_option(int c, const char *value, struct options *o)
{
	switch (c) {
	case 'a':
		o->is_all = true;
		return CLI_OK;
	case 'd':
		return parse_duration(value, &o->live.duration_ns) ?
			CLI_OK :
			wrong("--duration: is not a time from 100ms to 24h: ", value);
	case 'j':
		o->is_json = true;
		return CLI_OK;
	case 'r':
		if (!units_parse_uint(value, &o->rate) && o->rate && o->rate <= MAX_RATE)
			return CLI_OK;
		return wrong("--rate: is not a number from 1 to 10000: ", value);
	case 's':
		o->socket = value;
		return CLI_OK;
	case OPTION_HIST:
		o->live.has_hist = true;
		return CLI_OK;
	case OPTION_RECORD:
		o->record = value;
		return CLI_OK;
	case OPTION_REPLAY:
		o->replay = value;
		return CLI_OK;
	default:
		return wrong("unknown option", "");
	}
}

static int
cannot(const char *path, const char *why)
{
	fprintf(stderr, "rtvs-wake: %s: %s\n", path, why);
	return CLI_REFUSED;
}

static int
show(const struct options *o, const struct watch *w, uint64_t end_ns)
{
	json_t *report;
	int rc;

	if (!o->is_json) {
		report_print(w, end_ns, o->live.has_hist, stdout);
		return CLI_OK;
	}
	report = report_json(w, end_ns);
	rc = report ? json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)) : -1;
	putchar('\n');
	json_decref(report);
	return rc ? cannot("report", strerror(ENOMEM)) : CLI_OK;
}

static int
replay(const struct options *o)
{
	FILE *in = strcmp(o->replay, "-") ? fopen(o->replay, "re") : stdin;
	char err[RECORD_ERROR_SIZE];
	struct watch *w = NULL;
	uint64_t end_ns;
	int rc;

	if (!in)
		return cannot(o->replay, strerror(errno));
	rc = record_read(in, &w, &end_ns, err) ? cannot(o->replay, err) : show(o, w, end_ns);
	watch_destroy(w);
	if (in != stdin)
		fclose(in);
	return rc;
}

// A record that is not whole is a failure.
static int
close_record(const struct options *o)
{
	bool is_bad = o->live.record && ferror(o->live.record);

	if (o->live.record && fclose(o->live.record))
		is_bad = true;
	return is_bad ? cannot(o->record, "could not be written") : CLI_OK;
}

static int
watch_live(struct options *o, const char *const *names, unsigned n_names)
{
	struct session *session = NULL;
	struct watch *w = NULL;
	uint64_t end_ns = 0;
	int rc, closed;

	rc = (int)session_open(o->socket, names, n_names, o->rate, &session);
	if (rc)
		return rc;
	if (o->record && !(o->live.record = fopen(o->record, "we"))) {
		rc = cannot(o->record, strerror(errno));
		session_close(session);
		return rc;
	}
	o->live.is_screen = !o->is_json && isatty(STDOUT_FILENO);
	rc = (int)live_run(session, &o->live, &w, &end_ns);
	session_close(session);
	closed = close_record(o);
	if (o->live.is_screen)
		putchar('\n');
	if (!rc)
		rc = show(o, w, end_ns);
	watch_destroy(w);
	return rc ? rc : closed;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {{"all", no_argument, NULL, 'a'},
		{"duration", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'},
		{"hist", no_argument, NULL, OPTION_HIST}, {"json", no_argument, NULL, 'j'},
		{"rate", required_argument, NULL, 'r'}, {"record", required_argument, NULL, OPTION_RECORD},
		{"replay", required_argument, NULL, OPTION_REPLAY}, {"socket", required_argument, NULL, 's'},
		{"version", no_argument, NULL, 'V'}, {NULL, 0, NULL, 0}};
	const char *env = getenv("RTVS_SOCKET");
	struct options o = {.socket = env && *env ? env : DEFAULT_SOCKET, .rate = DEFAULT_RATE};
	int c, n;

	output_guard(CLI_REFUSED);
	(void)signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "ad:hjr:s:V", long_options, NULL)) != -1) {
		if (c == 'h') {
			usage();
			return CLI_OK;
		}
		if (c == 'V') {
			puts("rtvs-wake " RTVS_VERSION);
			return CLI_OK;
		}
		if (parse_option(c, optarg, &o))
			return CLI_USAGE;
	}
	n = argc - optind;
	if (o.is_all && n)
		return wrong("--all takes no port, but there is ", argv[optind]);
	if (o.replay && (n || o.is_all || o.record || o.live.duration_ns))
		return wrong("--replay takes no port, duration or --record", "");
	if (n > SESSION_MAX_PORTS)
		return wrong("there are too many ports", "");
	return o.replay ? replay(&o) : watch_live(&o, (const char *const *)argv + optind, (unsigned)n);
}
