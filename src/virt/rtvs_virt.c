// rtvs-virt: words of the command line become one command. `rtvsctl virt` runs it, as does
// rtvswitch-libvirt.service.
#include "host.h"
#include "list.h"
#include "listen.h"
#include "plug.h"
#include "rtvs/output.h"
#include "rtvs/units.h"
#include "snippets.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"
#define DEFAULT_TIMEOUT_MS 10000
#define MIN_TIMEOUT_NS UINT64_C(100000000)
#define MAX_TIMEOUT_NS UINT64_C(3600000000000)

enum {
	OPTION_CONFIG = 256,
	OPTION_CURRENT,
	OPTION_LIVE,
	OPTION_TIMEOUT,
};

static void
usage(void)
{
	puts("usage: rtvsctl virt [OPTION...] COMMAND [WORD...]\n"
	     "\n"
	     "  list                             domains, their vhost-user and vdpa interfaces, and their ports\n"
	     "  attach DOMAIN [KEY=VALUE...]     make a port and attach an interface to it; prints name and MAC\n"
	     "  detach DOMAIN INTERFACE          the reverse; the guest has to let go of it\n"
	     "  set DOMAIN INTERFACE KEY=VALUE.. change the port and what the domain says of it; KEY= is the default\n"
	     "  xml [DOMAIN] [KEY=VALUE...]      print what a domain needs, or what this one lacks\n"
	     "  listen                           make ports follow domains, until a signal comes (the service)\n"
	     "\n"
	     "INTERFACE is a MAC, a port's name or libvirt's alias (net0). Keys are parameters of port.set\n"
	     "(rtvsctl help port set); of attach and xml also mac, name, type=vhost|vduse, socket,\n"
	     "mode=client|server; "
	     "onerror=fail|ignore.\n"
	     "\n"
	     "  -c, --connect URI    libvirt's; default " HOST_DEFAULT_URI "\n"
	     "  -s, --socket SOCKET  the daemon's; default $RTVS_SOCKET or " DEFAULT_SOCKET "\n"
	     "      --live, --config, --current\n"
	     "                       what runs, what is stored, or what of them there is first; default: both\n"
	     "      --timeout TIME   for the guest to let go of an interface; 100ms to 1h, default 10s\n"
	     "  -j, --json           print JSON\n"
	     "  -h, --help           print this        -V, --version  print the version\n"
	     "\n"
	     "Exit status: 0 done, 1 refused, 2 wrong usage, 3 libvirt or the daemon is not reachable.");
}

static int
wrong(const char *what, const char *value)
{
	fprintf(stderr, "rtvs-virt: %s%s\nTry 'rtvsctl virt --help'.\n", what, value);
	return CLI_USAGE;
}

static int
run_attach(const struct plug_options *o, int argc, char **argv)
{
	char err[DOMAIN_ERR_SIZE];
	struct words words;

	if (argc < 1)
		return wrong("usage: attach DOMAIN [KEY=VALUE...]", "");
	if (words_parse(argv + 1, argc - 1, WORDS_NEW, &words, err))
		return wrong(err, "");
	return (int)plug_attach(o, argv[0], &words);
}

static int
run_detach(const struct plug_options *o, int argc, char **argv)
{
	if (argc != 2)
		return wrong("usage: detach DOMAIN INTERFACE", "");
	return (int)plug_detach(o, argv[0], argv[1]);
}

static int
run_set(const struct plug_options *o, int argc, char **argv)
{
	char err[DOMAIN_ERR_SIZE];
	struct words words;

	if (argc < 3)
		return wrong("usage: set DOMAIN INTERFACE KEY=VALUE...", "");
	if (words_parse(argv + 2, argc - 2, WORDS_CHANGE, &words, err))
		return wrong(err, "");
	return (int)plug_set(o, argv[0], argv[1], &words);
}

// The stored domain is edited. NULL: with a message on stderr.
static struct edit *
read_stored(const char *uri, const char *domain, char err[DOMAIN_ERR_SIZE])
{
	virConnectPtr conn = host_init() ? NULL : host_connect(uri);
	virDomainPtr dom = conn ? host_domain(conn, domain) : NULL;
	struct edit *e = NULL;
	char *xml = NULL;

	if (dom)
		xml = virDomainGetXMLDesc(dom, virDomainIsPersistent(dom) == 1 ? VIR_DOMAIN_XML_INACTIVE : 0);
	if (!conn || (dom && !xml))
		fprintf(stderr, "rtvs-virt: %s: libvirt: %s\n", conn ? domain : uri, host_error());
	else if (xml && edit_open(xml, &e, err))
		fprintf(stderr, "rtvs-virt: %s: %s\n", domain, err);
	free(xml);
	if (dom)
		(void)virDomainFree(dom);
	if (conn)
		(void)virConnectClose(conn);
	return e;
}

static int
run_xml(const struct plug_options *o, int argc, char **argv)
{
	const char *domain = argc && !strchr(argv[0], '=') ? argv[0] : NULL;
	char err[DOMAIN_ERR_SIZE];
	struct edit *e = NULL;
	struct words words;
	uint64_t random = 0;
	int rc;

	if (words_parse(argv + !!domain, argc - !!domain, WORDS_NEW, &words, err))
		return wrong(err, "");
	if (domain && !(e = read_stored(o->uri, domain, err)))
		return CLI_REFUSED;
	rc = getrandom(&random, sizeof(random), 0) < 0 ? -errno : 0;
	if (!rc)
		rc = snippets_print(e, &words, domain ? domain : "guest", random, stdout);
	edit_close(e);
	if (rc)
		fprintf(stderr, "rtvs-virt: %s\n", strerror(-rc));
	return rc ? CLI_REFUSED : CLI_OK;
}

static int
run_list(const struct plug_options *o, int argc, char **argv)
{
	return argc ? wrong("list: what is ", argv[0]) : (int)list_run(o->uri, o->socket, o->is_json);
}

static int
run_listen(const struct plug_options *o, int argc, char **argv)
{
	return argc ? wrong("listen: what is ", argv[0]) : listen_run(o->uri, o->socket);
}

static int
run(const struct plug_options *o, int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*fn)(const struct plug_options *, int, char **);
	} commands[] = {{"attach", run_attach}, {"detach", run_detach}, {"list", run_list}, {"listen", run_listen},
		{"set", run_set}, {"xml", run_xml}};

	if (argc < 1)
		return wrong("what to do?", "");
	if (o->is_live + o->is_config + o->is_current > 1 && (o->is_current || !o->is_live || !o->is_config))
		return wrong("--current is neither --live nor --config", "");
	for (unsigned i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(commands[i].word, argv[0]))
			return commands[i].fn(o, argc - 1, argv + 1);
	return wrong("there is no command ", argv[0]);
}

static bool
parse_timeout(const char *text, uint64_t *ret_ms)
{
	uint64_t ns;

	if (units_parse_time(text, &ns) || ns < MIN_TIMEOUT_NS || ns > MAX_TIMEOUT_NS)
		return false;
	*ret_ms = ns / 1000000;
	return true;
}

static bool
take_option(int c, const char *value, struct plug_options *o)
{
	switch (c) {
	case 'c':
		o->uri = value;
		return true;
	case 'j':
		o->is_json = true;
		return true;
	case 's':
		o->socket = value;
		return true;
	case OPTION_LIVE:
		o->is_live = true;
		return true;
	case OPTION_CONFIG:
		o->is_config = true;
		return true;
	case OPTION_CURRENT:
		o->is_current = true;
		return true;
	case OPTION_TIMEOUT:
		if (parse_timeout(value, &o->timeout_ms))
			return true;
		return !wrong("--timeout: is not a time from 100ms to 1h: ", value);
	default:
		return !wrong("unknown option", "");
	}
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"config", no_argument, NULL, OPTION_CONFIG},
		{"connect", required_argument, NULL, 'c'}, {"current", no_argument, NULL, OPTION_CURRENT},
		{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'},
		{"live", no_argument, NULL, OPTION_LIVE}, {"socket", required_argument, NULL, 's'},
		{"timeout", required_argument, NULL, OPTION_TIMEOUT}, {"version", no_argument, NULL, 'V'}, {0}};
	const char *env = getenv("RTVS_SOCKET");
	struct plug_options o = {.uri = HOST_DEFAULT_URI,
		.socket = env && *env ? env : DEFAULT_SOCKET,
		.timeout_ms = DEFAULT_TIMEOUT_MS};
	int c;

	output_guard(CLI_REFUSED);
	(void)signal(SIGPIPE, SIG_IGN);
	while ((c = getopt_long(argc, argv, "c:hjs:V", options, NULL)) != -1) {
		if (c == 'h') {
			usage();
			return CLI_OK;
		}
		if (c == 'V') {
			puts("rtvs-virt " RTVS_VERSION);
			return CLI_OK;
		}
		if (!take_option(c, optarg, &o))
			return CLI_USAGE;
	}
	return run(&o, argc - optind, argv + optind);
}
