// rtvsctl: words of the command line become one RPC call; the answer becomes a table. The embedded
// table (api.h) knows the words, and which parameter needs no name. The daemon knows which values
// are right.
#include "advise.h"
#include "api.h"
#include "help.h"
#include "hint.h"
#include "latency.h"
#include "rtvs/client.h"
#include "rtvs/output.h"
#include "rtvs/render.h"
#include "rtvs/rpc.h"
#include "rtvs/units.h"
#include "top.h"
#include "vdpa.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"
#define MAX_VIRT_WORDS 100
#define UPGRADE_TIMEOUT_MS 90000 // the daemon waits for the new program's start
#define MAX_FILE_BYTES (64u << 20)

struct cli {
	const char *socket;
	unsigned timeout_ms; // for an answer; 0: none
	bool is_json;
	json_t *api;
	struct client *client;
};

static int
wrong(const char *fmt, const char *a, const char *b)
{
	fputs("rtvsctl: ", stderr);
	fprintf(stderr, fmt, a, b);
	fputs("\nTry 'rtvsctl help'.\n", stderr);
	return CLI_USAGE;
}

static void
print_result(const struct cli *cli, const json_t *result)
{
	if (!cli->is_json) {
		render(result, stdout);
		return;
	}
	json_dumpf(result, stdout, JSON_INDENT(1) | JSON_ENCODE_ANY);
	putchar('\n');
}

static int
call_and_print(struct cli *cli, const char *method, json_t *params)
{
	json_t *result = NULL;
	int rc;

	if (!strcmp(method, "system.upgrade") && cli->timeout_ms && cli->timeout_ms < UPGRADE_TIMEOUT_MS)
		client_set_timeout(cli->client, UPGRADE_TIMEOUT_MS);
	rc = (int)client_ask(cli->client, method, params, &result);
	if (!rc && !strcmp(method, "config.dump"))
		cli->is_json = true; // what it prints is a configuration file
	if (!rc)
		print_result(cli, result);
	json_decref(result);
	return rc;
}

static bool
open_client(struct cli *cli)
{
	cli->client = client_open(cli->socket);
	if (cli->client)
		client_set_timeout(cli->client, cli->timeout_ms);
	return cli->client;
}

static int
wrong_param(const json_t *method, const char *name)
{
	const char *near = api_near_param(method, name);

	if (near)
		return wrong("there is no parameter '%s'; did you mean '%s'?", name, near);
	return wrong("%s takes no parameter '%s'", json_string_value(json_object_get(method, "method")), name);
}

static int
wrong_command(const json_t *api, const char *noun, const char *verb)
{
	char hint[128];

	if (hint_command(api, noun, verb, hint, sizeof(hint)))
		return wrong("there is no such command; did you mean 'rtvsctl %s'?%s", hint, "");
	return verb[0] ? wrong("there is no command '%s %s'", noun, verb) : wrong("there is no noun '%s'%s", noun, "");
}

static json_t *
read_calls(const char *path)
{
	FILE *in = strcmp(path, "-") ? fopen(path, "re") : stdin;
	struct rpc_error err = {0};
	char *text = NULL;
	size_t len = 0;
	json_t *root = NULL, *calls;

	if (!in) {
		fprintf(stderr, "rtvsctl: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	if (getdelim(&text, &len, '\0', in) >= 0)
		root = rpc_parse(text, strlen(text), MAX_FILE_BYTES, &err);
	if (!root)
		fprintf(stderr, "rtvsctl: %s: %s\n", path, err.code ? err.message : "is empty");
	if (in != stdin)
		fclose(in);
	free(text);
	calls = json_is_object(root) ? json_incref(json_object_get(root, "calls")) : json_incref(root);
	if (root && !calls)
		fprintf(stderr, "rtvsctl: %s: neither a list of calls nor an object with \"calls\"\n", path);
	json_decref(root);
	return calls;
}

// The text, or for a list of calls "@FILE": what the file has. NULL: told.
static json_t *
word_json(const json_t *param, const char *name, const char *value)
{
	const char *type = json_string_value(json_object_get(param, "type"));
	json_t *json;

	if (type && !strcmp(type, "calls")) {
		if (value[0] == '@')
			return read_calls(value + 1);
		(void)wrong("%s: must be @FILE%s", name, "");
		return NULL;
	}
	json = json_string(value);
	if (!json)
		(void)wrong("%s: the value is not UTF-8%s", name, "");
	return json;
}

// "key=value" words, and one without key for the parameter that is the object's name. CLI_OK or
// CLI_USAGE.
static int
parse_words(const json_t *method, int argc, char **argv, json_t *params)
{
	json_t *key = api_key(method);
	char hint[256];

	for (int i = 0; i < argc; i++) {
		const char *eq = strchr(argv[i], '='), *name = NULL, *value = argv[i];
		char buf[64];

		if (eq && (size_t)(eq - argv[i]) < sizeof(buf)) {
			(void)snprintf(buf, sizeof(buf), "%.*s", (int)(eq - argv[i]), argv[i]);
			name = buf;
			value = eq + 1;
		} else if (key) {
			name = json_string_value(json_object_get(key, "name"));
		}
		if ((!eq || argv[i][0] == '-') && (!name || argv[i][0] == '-' || json_object_get(params, name)) &&
			hint_word(method, params, argc - i, argv + i, hint, sizeof(hint)))
			return wrong("%s%s", hint, "");
		if (!name || !api_param(method, name))
			return wrong_param(method, name ? name : argv[i]);
		if (json_object_get(params, name))
			return wrong("%s is given twice%s", name, "");
		if (json_object_set_new(params, name, word_json(api_param(method, name), name, value)))
			return CLI_USAGE;
	}
	return CLI_OK;
}

// In few words, where the daemon tells.
static void
tell_unsaved(struct cli *cli)
{
	json_t *info = NULL, *error = NULL;
	const json_t *running;

	if (client_connect(cli->socket, cli->timeout_ms, &cli->client))
		return;
	if (!client_call(cli->client, "system.info", NULL, &info, &error)) {
		running = json_object_get(info, "running");
		if (json_is_false(json_object_get(info, "saved")))
			puts("\nWhat runs is not what is saved: see 'rtvsctl config diff'; 'rtvsctl config save' saves "
			     "it.");
		if (json_is_false(json_object_get(running, "kept")))
			printf("\nWhat runs is not kept, and lost with the daemon: %s.\n",
				json_string_value(json_object_get(running, "error")));
	}
	json_decref(info);
	json_decref(error);
}

static bool
is_help(const char *word)
{
	return !strcmp(word, "--help") || !strcmp(word, "-h");
}

static int
run_method(struct cli *cli, const char *noun, int argc, char **argv)
{
	json_t *method, *params;
	char name[128];
	int rc;

	if (argc < 1 || is_help(argv[0])) {
		if (!help_noun(cli->api, noun))
			return wrong_command(cli->api, noun, "");
		if (!strcmp(noun, "config"))
			tell_unsaved(cli);
		return argc ? CLI_OK : CLI_USAGE;
	}
	(void)snprintf(name, sizeof(name), "%s.%s", noun, argv[0]);
	method = api_find(cli->api, name);
	if (!method)
		return wrong_command(cli->api, noun, argv[0]);
	for (int i = 1; i < argc; i++)
		if (is_help(argv[i]))
			return help_method(cli->api, noun, argv[0]) ? CLI_OK : CLI_USAGE;
	params = json_object();
	rc = parse_words(method, argc - 1, argv + 1, params);
	if (!rc && !open_client(cli))
		rc = CLI_UNREACHABLE;
	if (rc) {
		json_decref(params);
		return rc;
	}
	return call_and_print(cli, name, params);
}

static int
run_help(struct cli *cli, int argc, char **argv)
{
	if (argc == 0) {
		help_usage();
		puts("\nMethods:");
		return help_noun(cli->api, NULL) ? CLI_OK : CLI_USAGE;
	}
	if (argc == 1)
		return help_noun(cli->api, argv[0]) ? CLI_OK : wrong_command(cli->api, argv[0], "");
	return help_method(cli->api, argv[0], argv[1]) ? CLI_OK : wrong_command(cli->api, argv[0], argv[1]);
}

static int
run_call(struct cli *cli, int argc, char **argv)
{
	struct rpc_error err = {0};
	json_t *params = NULL;

	if (argc < 1 || argc > 2)
		return wrong("usage: rtvsctl call METHOD [JSON]%s%s", "", "");
	if (argc == 2 && !(params = rpc_parse(argv[1], strlen(argv[1]), 0, &err)))
		return wrong("%s%s", err.message, "");
	if (!open_client(cli)) {
		json_decref(params);
		return CLI_UNREACHABLE;
	}
	return call_and_print(cli, argv[0], params);
}

static int
run_file(struct cli *cli, const char *path)
{
	json_t *calls = read_calls(path), *call;
	int rc = CLI_OK;
	size_t i;

	if (!calls)
		return CLI_USAGE;
	if (!open_client(cli))
		rc = CLI_UNREACHABLE;
	json_array_foreach (calls, i, call) {
		const char *method = json_string_value(json_object_get(call, "method"));

		if (rc)
			break;
		rc = method ? call_and_print(cli, method, json_incref(json_object_get(call, "params"))) :
			      wrong("%s: an element has no method%s", path, "");
		if (rc)
			fprintf(stderr, "rtvsctl: %s: stopped at call %zu\n", path, i + 1);
	}
	json_decref(calls);
	return rc;
}

static int
run_events(struct cli *cli, int argc, char **argv)
{
	json_t *ignored = NULL, *event;
	int rc, end = 0;

	if (argc > 1)
		return wrong("usage: rtvsctl events [NAME,...]%s%s", "", "");
	if (!open_client(cli))
		return CLI_UNREACHABLE;
	rc = (int)client_ask(
		cli->client, "events.subscribe", argc ? json_pack("{s:s}", "events", argv[0]) : NULL, &ignored);
	json_decref(ignored);
	if (rc)
		return rc;
	while (!ferror(stdout) && !(end = client_event_within(cli->client, -1, &event))) {
		if (cli->is_json) {
			json_dumpf(event, stdout, JSON_COMPACT);
		} else {
			char buf[1024];

			printf("%s %s", json_string_value(json_object_get(event, "method")),
				render_cell("", json_object_get(event, "params"), buf, sizeof(buf)));
		}
		putchar('\n');
		fflush(stdout);
		json_decref(event);
	}
	if (end)
		fputs("rtvsctl: the connection to rtvswitchd broke\n", stderr);
	return end ? CLI_UNREACHABLE : CLI_OK;
}

// Takes "key=value" out of the words. NULL: not there.
static const char *
word_value(int argc, char **argv, const char *key)
{
	size_t len = strlen(key);

	for (int i = 0; i < argc; i++)
		if (!strncmp(argv[i], key, len) && argv[i][len] == '=')
			return argv[i] + len + 1;
	return NULL;
}

static bool
are_known_words(int argc, char **argv, const char *const *known)
{
	for (int i = 0; i < argc; i++) {
		bool is_known = false;

		for (unsigned k = 0; known[k]; k++)
			is_known |= !strncmp(argv[i], known[k], strlen(known[k])) && argv[i][strlen(known[k])] == '=';
		if (!is_known)
			return !wrong("unknown word '%s'%s", argv[i], "");
	}
	return true;
}

static int
run_top(struct cli *cli, int argc, char **argv)
{
	static const char *const known[] = {"interval", "count", NULL};
	const char *interval = word_value(argc, argv, "interval"), *count = word_value(argc, argv, "count");
	uint64_t interval_ns = 1000000000, n = 0;

	if (!are_known_words(argc, argv, known))
		return CLI_USAGE;
	if (interval &&
		(units_parse_time(interval, &interval_ns) || interval_ns < 10000000 || interval_ns > 3600000000000))
		return wrong("interval: '%s' is not a time with its unit, from 10ms to 1h%s", interval, "");
	if (count && (units_parse_uint(count, &n) || !n))
		return wrong("count: '%s' is not a number from 1%s", count, "");
	if (!open_client(cli))
		return CLI_UNREACHABLE;
	return (int)top_run(cli->client, interval_ns, n, cli->is_json);
}

static int
run_latency(struct cli *cli, int argc, char **argv)
{
	static const char *const known[] = {"port", "flow", NULL};
	const char *port = word_value(argc - 1, argv + 1, "port"), *flow = word_value(argc - 1, argv + 1, "flow");

	if (argc < 1 || strchr(argv[0], '=') || (port && flow))
		return wrong("usage: rtvsctl latency FROM [port=EGRESS] | TUNNEL [flow=N]%s%s", "", "");
	if (!are_known_words(argc - 1, argv + 1, known))
		return CLI_USAGE;
	if (!open_client(cli))
		return CLI_UNREACHABLE;
	return (int)latency_run(cli->client, argv[0], port, flow, cli->is_json);
}

// The daemon tells more about the machine, but is not needed.
static int
run_advise(struct cli *cli, int argc, char **argv)
{
	if (argc != 1 || !argv[0][0] || argv[0][0] == '-')
		return wrong("usage: rtvsctl advise DOMAIN|PID%s%s", "", "");
	(void)client_connect(cli->socket, cli->timeout_ms, &cli->client);
	return (int)advise_run(cli->client, cli->socket, argv[0], cli->is_json);
}

// A program of its own: not every host of the switch has libvirt.
static int
run_virt(struct cli *cli, int argc, char **argv)
{
	const char *args[MAX_VIRT_WORDS + 5] = {"rtvsctl virt", "--socket", cli->socket};
	const char *dir = getenv("RTVS_LIBEXEC_DIR");
	char path[4096];
	int n = 3;

	if (argc > MAX_VIRT_WORDS)
		return wrong("virt: too many words%s%s", "", "");
	if (cli->is_json)
		args[n++] = "--json";
	for (int i = 0; i < argc; i++)
		args[n++] = argv[i];
	(void)snprintf(path, sizeof(path), "%s/rtvs-virt", dir && *dir ? dir : RTVS_LIBEXEC_DIR);
	execv(path, (char **)args);
	fprintf(stderr, "rtvsctl: virt: %s: %s%s\n", path, strerror(errno),
		errno == ENOENT ? "; rtvswitch was built or installed without libvirt" : "");
	return CLI_REFUSED;
}

static int
run_vdpa(struct cli *cli, int argc, char **argv)
{
	return (int)vdpa_run(cli->socket, cli->timeout_ms, cli->is_json, argc, argv);
}

static _Atomic bool is_interrupted;

static void
on_signal(int sig)
{
	(void)sig;
	is_interrupted = true;
}

// Data that were added to the file since the last time.
static void
copy_new(int from)
{
	char buf[65536];
	ssize_t n;

	while ((n = read(from, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, (size_t)n, stdout);
	fflush(stdout);
}

// A signal would end a call before its answer. What comes meanwhile is taken behind it.
static void
hold_signals(bool is_held)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(is_held ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

// On a connection of its own: the other one has the event with the result. False: the daemon does
// not answer.
static bool
stop_capture(const struct cli *cli, const char *port)
{
	json_t *result = NULL, *error = NULL;
	struct client *client;
	enum cli_exit rc;

	if (client_connect(cli->socket, cli->timeout_ms, &client))
		return false;
	hold_signals(true);
	rc = client_call(client, "capture.stop", json_pack("{s:s}", "port", port), &result, &error);
	hold_signals(false);
	json_decref(result);
	json_decref(error);
	client_close(client);
	return rc != CLI_UNREACHABLE;
}

// Waits for the capture's own end or Ctrl-C, which ends it. follow: a descriptor whose content goes
// to standard output, or -1.
static int
follow_capture(struct cli *cli, const char *port, int follow)
{
	const json_t *params = NULL;
	json_t *event = NULL;
	bool is_stopped = false;

	for (;;) {
		const char *name;
		int rc;

		if (!is_stopped && (is_interrupted || ferror(stdout))) {
			if (!stop_capture(cli, port)) {
				fputs("rtvsctl: the capture may go on (rtvsctl capture list)\n", stderr);
				return CLI_UNREACHABLE;
			}
			is_stopped = true;
		}
		event = NULL;
		rc = client_event_within(cli->client, 50, &event);
		if (rc && rc != -ETIMEDOUT && rc != -EINTR) {
			fputs("rtvsctl: the connection to rtvswitchd broke\n", stderr);
			return CLI_UNREACHABLE;
		}
		if (follow >= 0)
			copy_new(follow);
		params = json_object_get(event, "params");
		name = json_string_value(json_object_get(params, "port"));
		if (name && !strcmp(name, port))
			break;
		json_decref(event);
	}
	fprintf(stderr, "%lld packets, %lld lost\n", (long long)json_integer_value(json_object_get(params, "pkts")),
		(long long)json_integer_value(json_object_get(params, "lost")));
	json_decref(event);
	return CLI_OK;
}

static int
start_capture(struct cli *cli, json_t *params, const char *file)
{
	struct sigaction action = {.sa_handler = on_signal};
	json_t *result = NULL;
	int rc;

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)signal(SIGPIPE, SIG_IGN); // a reader that went ends the capture, too
	(void)json_object_set_new(params, "file", json_string(file));
	hold_signals(true);
	rc = (int)client_ask(cli->client, "events.subscribe", json_pack("{s:s}", "events", "capture.end"), &result);
	json_decref(result);
	result = NULL;
	if (rc)
		json_decref(params);
	else
		rc = (int)client_ask(cli->client, "capture.start", params, &result);
	hold_signals(false);
	json_decref(result);
	return rc;
}

// The daemon writes a file that has no name any more once both ends have it open.
static int
capture_to_stdout(struct cli *cli, const char *port, json_t *params)
{
	char dir[] = "/tmp/rtvsctl-XXXXXX", path[64];
	int rc, fd;

	if (!mkdtemp(dir)) {
		json_decref(params);
		return wrong("cannot make a directory in /tmp: %s%s", strerror(errno), "");
	}
	(void)snprintf(path, sizeof(path), "%s/pcapng", dir);
	rc = start_capture(cli, params, path);
	fd = rc ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	(void)unlink(path);
	(void)rmdir(dir);
	if (rc)
		return rc;
	rc = follow_capture(cli, port, fd);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
capture_to_file(struct cli *cli, const char *port, const char *file, json_t *params)
{
	int rc = start_capture(cli, params, file);

	if (rc)
		return rc;
	fprintf(stderr, "capturing %s to %s; Ctrl-C ends it\n", port, file);
	return follow_capture(cli, port, -1);
}

static int
run_capture(struct cli *cli, int argc, char **argv)
{
	static const char *const known[] = {"filter", "count", "write", "snaplen", NULL};
	const char *file = word_value(argc - 1, argv + 1, "write");
	char cwd[4096], path[8192];
	json_t *params;

	if (argc < 1)
		return wrong(
			"usage: rtvsctl capture PORT [filter=...] [count=N] [write=FILE|-] [snaplen=N]%s%s", "", "");
	if (!are_known_words(argc - 1, argv + 1, known))
		return CLI_USAGE;
	if (!open_client(cli))
		return CLI_UNREACHABLE;
	params = json_pack("{s:s}", "port", argv[0]);
	for (unsigned k = 0; known[k]; k++) {
		const char *value = word_value(argc - 1, argv + 1, known[k]);

		if (value && strcmp(known[k], "write"))
			(void)json_object_set_new(params, known[k], json_string(value));
	}
	if (file && !strcmp(file, "-"))
		return capture_to_stdout(cli, argv[0], params);
	if (!file)
		file = "capture.pcapng";
	// The daemon opens the file: it needs the whole path.
	if (file[0] != '/' && getcwd(cwd, sizeof(cwd))) {
		(void)snprintf(path, sizeof(path), "%s/%s", cwd, file);
		file = path;
	}
	return capture_to_file(cli, argv[0], file, params);
}

static int
run(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *word;
		int (*fn)(struct cli *, int, char **);
	} own[] = {{"help", run_help}, {"call", run_call}, {"events", run_events}, {"top", run_top},
		{"latency", run_latency}, {"capture", run_capture}, {"advise", run_advise}, {"virt", run_virt},
		{"vdpa", run_vdpa}};

	for (unsigned i = 0; i < sizeof(own) / sizeof(*own); i++) {
		char method[64];

		(void)snprintf(method, sizeof(method), "%s.%s", argv[0], argc > 1 ? argv[1] : "");
		if (!strcmp(own[i].word, argv[0]) && !api_find(cli->api, method))
			return own[i].fn(cli, argc - 1, argv + 1);
	}
	return run_method(cli, argv[0], argc - 1, argv + 1);
}

static bool
parse_timeout(const char *text, unsigned *ret_ms)
{
	uint64_t ns;

	if (units_parse_time(text, &ns) || (ns && ns < 1000000) || ns > 3600000000000)
		return false;
	*ret_ms = (unsigned)(ns / 1000000);
	return true;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"file", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'},
		{"socket", required_argument, NULL, 's'}, {"timeout", required_argument, NULL, 't'},
		{"version", no_argument, NULL, 'V'}, {0}};
	const char *env = getenv("RTVS_SOCKET"), *file = NULL;
	struct cli cli = {.socket = env && *env ? env : DEFAULT_SOCKET, .timeout_ms = CLIENT_TIMEOUT_MS};
	int opt, rc;

	output_guard(CLI_REFUSED);
	(void)signal(SIGPIPE, SIG_DFL);
	while ((opt = getopt_long(argc, argv, "+f:hjs:t:V", options, NULL)) != -1) {
		switch (opt) {
		case 'f':
			file = optarg;
			break;
		case 'h':
			help_usage();
			return CLI_OK;
		case 'j':
			cli.is_json = true;
			break;
		case 's':
			cli.socket = optarg;
			break;
		case 't':
			if (!parse_timeout(optarg, &cli.timeout_ms))
				return wrong("--timeout: '%s' is not 0 or a time with its unit, from 1ms to 1h%s",
					optarg, "");
			break;
		case 'V':
			puts("rtvsctl " RTVS_VERSION);
			return CLI_OK;
		default:
			return CLI_USAGE;
		}
	}
	cli.api = api_load();
	// -j is also understood after the words, where people put it.
	if (optind < argc && (!strcmp(argv[argc - 1], "-j") || !strcmp(argv[argc - 1], "--json"))) {
		cli.is_json = true;
		argc--;
	}
	if (file)
		rc = optind < argc ? wrong("-f takes no further words, but there is '%s'%s", argv[optind], "") :
				     run_file(&cli, file);
	else if (optind < argc)
		rc = run(&cli, argc - optind, argv + optind);
	else
		rc = wrong("what to do?%s%s", "", "");
	client_close(cli.client);
	json_decref(cli.api);
	return rc;
}
