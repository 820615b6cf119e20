// rtvs-vf: the program of a guest whose NIC has virtual functions that the host's switch lets it
// control. It needs only the C library and jansson, in one static file for any guest.
#include "agent.h"
#include "cni.h"
#include "flows.h"
#include "session.h"
#include "words.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S 5
#define MAX_TIMEOUT_S 3600

enum {
	DONE,
	REFUSED,
	WRONG_USAGE,
	UNREACHABLE,
};

struct options {
	const char *channel; // NULL: the agent's socket, or the first serial port
	const char *agent, *pf;
	unsigned timeout_ms;
	bool is_json, sets_mode;
};

static void
help(void)
{
	puts("usage: rtvs-vf [OPTION...] show [N]\n"
	     "       rtvs-vf [OPTION...] set N WORD VALUE...\n"
	     "       rtvs-vf [OPTION...] ip link set [dev] IF vf N WORD VALUE...\n"
	     "       rtvs-vf [OPTION...] watch\n"
	     "       rtvs-vf [OPTION...] agent [--switchdev] [--pf IF]\n"
	     "       rtvs-vf [OPTION...] flows | stats\n"
	     "\n"
	     "In a guest: shows and changes the virtual functions of its NIC, within the limits of the host.\n"
	     "\n"
	     "  show     the physical function, its virtual functions, and the host's limits\n"
	     "  set      changes virtual function N; what is not named stays\n"
	     "  ip       the same in the words of iproute2; IF is not looked at, the channel says which NIC it is\n"
	     "  watch    prints when a virtual function is enabled or disabled, until it is ended\n"
	     "  agent    makes representors of the virtual functions and of the uplink, and keeps the filters (tc) of\n"
	     "           their ingress in the host's switch, until it is ended. --switchdev: changes the NIC's mode\n"
	     "  flows    those filters: what the switch executes (hw) or leaves to this kernel (trap), and its "
	     "counters\n"
	     "  stats    of the agent\n"
	     "\n"
	     "  mac ADDRESS                 vlan ID (qos 0, proto 802.1Q)\n"
	     "  spoofchk on|off             trust on|off (the opposite of spoofchk)\n"
	     "  state auto|enable|disable   max_tx_rate, min_tx_rate in Mbit/s\n"
	     "  deadline TIME (2ms)         where the host permits it\n"
	     "\n"
	     "  --channel PATH   serial port, or unix socket (" SESSION_CHANNEL ")\n"
	     "  --agent PATH     the agent's socket (" SESSION_AGENT "); used in place of the\n"
	     "                   channel while the agent runs, if --channel is not given\n"
	     "  --timeout S      for an answer of the host (5)\n"
	     "  -j, --json       for programs\n"
	     "  --version, --help\n"
	     "\n"
	     "As a CNI plugin (\"type\": \"rtvs-vf\") behind host-device it sets a container's virtual function by\n"
	     "the keys of sriov-cni: vlan, mac, spoofchk, trust, link_state, min_tx_rate, max_tx_rate.\n"
	     "\n"
	     "Exit status: 0 done, 1 refused, 2 wrong usage, 3 there is no channel, or nobody answers.");
}

static int __attribute__((format(printf, 2, 3)))
complain(int status, const char *fmt, ...)
{
	va_list args;

	(void)fputs("rtvs-vf: ", stderr);
	va_start(args, fmt);
	(void)vfprintf(stderr, fmt, args);
	va_end(args);
	(void)fputs(status == WRONG_USAGE ? " (rtvs-vf --help)\n" : "\n", stderr);
	return status;
}

static void
print_json(const json_t *value)
{
	(void)json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	(void)putchar('\n');
}

static const char *
on_off(const json_t *row, const char *key)
{
	return json_is_true(json_object_get(row, key)) ? "on" : "off";
}

static void
print_row(const char *name, const json_t *row)
{
	const char *mac = json_string_value(json_object_get(row, "mac"));
	const char *state = json_string_value(json_object_get(row, "link_state"));
	const char *deadline = json_string_value(json_object_get(row, "deadline"));

	printf("%-4s %-18s %5lld %-9s %-6s %-8s %8lld %8lld %9s  %s\n", name, mac ? mac : "-",
		(long long)json_integer_value(json_object_get(row, "vlan")), on_off(row, "spoofchk"),
		on_off(row, "trust"), state ? state : "-",
		(long long)json_integer_value(json_object_get(row, "min_tx_rate")),
		(long long)json_integer_value(json_object_get(row, "max_tx_rate")), deadline ? deadline : "-",
		json_is_true(json_object_get(row, "enabled")) ? "yes" : "no");
}

static void
print_limits(const json_t *limits)
{
	const char *macs = json_string_value(json_object_get(limits, "allowed_macs"));
	const char *vlans = json_string_value(json_object_get(limits, "vlans"));

	printf("\nlimits of the host: MACs %s; VLANs %s%s; max_tx_rate %lld Mbit/s; min_tx_rate %lld Mbit/s in all%s\n",
		macs && macs[0] ? macs : "none", vlans && vlans[0] ? vlans : "none",
		json_is_true(json_object_get(limits, "untagged")) ? " and 0" : "",
		(long long)json_integer_value(json_object_get(limits, "max_rate")),
		(long long)json_integer_value(json_object_get(limits, "min_rate")),
		json_is_true(json_object_get(limits, "deadlines")) ? "; deadlines are the guest's" : "");
}

static int
print_nic(const json_t *nic, json_int_t vf, bool is_json)
{
	const json_t *vfs = json_object_get(nic, "vfs");
	char name[24];

	if (vf >= (json_int_t)json_array_size(vfs))
		return complain(REFUSED, "vf: %lld is out of range 0 to %zu", (long long)vf, json_array_size(vfs) - 1);
	if (is_json) {
		print_json(vf < 0 ? nic : json_array_get(vfs, (size_t)vf));
		return DONE;
	}
	printf("%-4s %-18s %5s %-9s %-6s %-8s %8s %8s %9s  %s\n", "VF", "MAC", "VLAN", "SPOOFCHK", "TRUST", "STATE",
		"MIN_TX", "MAX_TX", "DEADLINE", "ENABLED");
	if (vf < 0)
		print_row("pf", json_object_get(nic, "pf"));
	for (size_t i = 0; i < json_array_size(vfs); i++) {
		(void)snprintf(name, sizeof(name), "%zu", i);
		if (vf < 0 || vf == (json_int_t)i)
			print_row(name, json_array_get(vfs, i));
	}
	if (vf < 0)
		print_limits(json_object_get(nic, "limits"));
	return DONE;
}

// params is stolen. *ret_result: new reference.
static int
call(const struct options *options, const char *method, json_t *params, json_t **ret_result)
{
	char err[SESSION_ERR_SIZE];
	struct session session;
	int rc = vf_session_open(
		&session, vf_session_channel(options->channel, options->agent), options->timeout_ms, false, err);

	if (rc) {
		json_decref(params);
		return complain(UNREACHABLE, "%s", err);
	}
	rc = vf_session_call(&session, method, params, ret_result, err);
	vf_session_close(&session);
	return rc ? complain(rc < 0 ? UNREACHABLE : REFUSED, "%s", err) : DONE;
}

static int
show(const struct options *options, char *const *words, unsigned n)
{
	json_int_t vf = -1;
	json_t *nic = NULL;
	int status;

	if (n > 1 || (n && vf_words_number(words[0], &vf)))
		return complain(WRONG_USAGE, "show takes the number of a virtual function, or nothing");
	status = call(options, "nic.get", NULL, &nic);
	if (status == DONE)
		status = print_nic(nic, vf, options->is_json);
	json_decref(nic);
	return status;
}

static int
set(const struct options *options, char *const *words, unsigned n)
{
	char err[WORDS_ERR_SIZE];
	json_t *params, *result = NULL;
	json_int_t vf;
	int status;

	if (!n || vf_words_number(words[0], &vf))
		return complain(WRONG_USAGE, "the number of a virtual function is needed, like 0");
	params = vf_words_parse(words + 1, n - 1, err);
	if (!params)
		return complain(WRONG_USAGE, "%s", err);
	(void)json_object_set_new(params, "vf", json_integer(vf));
	status = call(options, "vf.set", params, &result);
	if (status == DONE && options->is_json)
		print_json(result);
	json_decref(result);
	return status;
}

// "link set [dev] IF vf N ...", as `ip` has it.
static int
set_as_ip(const struct options *options, char *const *words, unsigned n)
{
	unsigned at = 3;

	if (n < 2 || strcmp(words[0], "link") != 0 || strcmp(words[1], "set") != 0)
		return complain(WRONG_USAGE, "of ip, only 'link set [dev] IF vf N ...' is known");
	if (n > 2 && !strcmp(words[2], "dev"))
		at++;
	if (n <= at || strcmp(words[at], "vf") != 0)
		return complain(WRONG_USAGE, "'vf N' must follow the name of the interface");
	return set(options, words + at + 1, n - at - 1);
}

static int
watch(const struct options *options)
{
	char err[SESSION_ERR_SIZE];
	struct session session;
	int rc = vf_session_open(
		&session, vf_session_channel(options->channel, options->agent), options->timeout_ms, true, err);

	while (!rc) {
		json_t *event = NULL;

		rc = vf_session_event(&session, &event, err);
		if (!rc && options->is_json)
			(void)json_dumpf(event, stdout, JSON_COMPACT);
		else if (!rc)
			printf("%s %lld", json_string_value(json_object_get(event, "method")),
				(long long)json_integer_value(json_object_get(json_object_get(event, "params"), "vf")));
		if (!rc)
			(void)putchar('\n');
		(void)fflush(stdout);
		json_decref(event);
	}
	vf_session_close(&session);
	return complain(UNREACHABLE, "%s", err);
}

// ---- switchdev mode

static int
run_agent(const struct options *options)
{
	struct agent_options agent = {.channel = options->channel ? options->channel : SESSION_CHANNEL,
		.socket = options->agent,
		.pf = options->pf,
		.timeout_ms = options->timeout_ms,
		.sets_mode = options->sets_mode};

	return agent_run(&agent);
}

static void
print_flows(const json_t *flows)
{
	printf("%-5s %12s %15s %-7s %s\n", "STATE", "PACKETS", "BYTES", "IN", "RULE");
	for (size_t i = 0; i < json_array_size(flows); i++) {
		const json_t *flow = json_array_get(flows, i);
		const char *reason = json_string_value(json_object_get(flow, "reason"));

		printf("%-5s %12lld %15lld %-7s %s%s%s%s\n", json_string_value(json_object_get(flow, "state")),
			(long long)json_integer_value(json_object_get(flow, "packets")),
			(long long)json_integer_value(json_object_get(flow, "bytes")),
			json_string_value(json_object_get(flow, "in")),
			json_string_value(json_object_get(flow, "rule")), reason ? " (" : "", reason ? reason : "",
			reason ? ")" : "");
	}
}

static int
flows(const struct options *options)
{
	char err[SESSION_ERR_SIZE];
	json_t *rows = NULL;
	int rc = vf_flows_list(options->agent, options->timeout_ms, &rows, err);

	if (rc)
		return complain(rc < 0 ? UNREACHABLE : REFUSED, "%s", err);
	if (options->is_json)
		print_json(rows);
	else
		print_flows(rows);
	json_decref(rows);
	return DONE;
}

static int
stats(const struct options *options)
{
	char err[SESSION_ERR_SIZE];
	json_t *agent = NULL, *value;
	const char *key;
	int rc = vf_flows_agent(options->agent, options->timeout_ms, &agent, err);

	if (rc)
		return complain(rc < 0 ? UNREACHABLE : REFUSED, "%s", err);
	if (options->is_json)
		print_json(agent);
	else
		json_object_foreach (agent, key, value) {
			char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);

			printf("%-12s %s\n", key, text ? text : "");
			free(text);
		}
	json_decref(agent);
	return DONE;
}

static int
run(const struct options *options, char *const *words, unsigned n)
{
	if (!n)
		return complain(WRONG_USAGE, "show, set, ip, watch, agent, flows or stats is needed");
	if (strcmp(words[0], "agent") != 0 && (options->sets_mode || options->pf))
		return complain(WRONG_USAGE, "--switchdev and --pf are for agent");
	if (n > 1 && (!strcmp(words[0], "agent") || !strcmp(words[0], "flows") || !strcmp(words[0], "stats")))
		return complain(WRONG_USAGE, "%s takes no words", words[0]);
	if (!strcmp(words[0], "agent"))
		return run_agent(options);
	if (!strcmp(words[0], "flows"))
		return flows(options);
	if (!strcmp(words[0], "stats"))
		return stats(options);
	if (!strcmp(words[0], "show"))
		return show(options, words + 1, n - 1);
	if (!strcmp(words[0], "set"))
		return set(options, words + 1, n - 1);
	if (!strcmp(words[0], "ip"))
		return set_as_ip(options, words + 1, n - 1);
	if (!strcmp(words[0], "watch"))
		return n > 1 ? complain(WRONG_USAGE, "watch takes no words") : watch(options);
	return complain(
		WRONG_USAGE, "'%.60s' is not known; show, set, ip, watch, agent, flows and stats are", words[0]);
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {{"channel", required_argument, NULL, 'c'},
		{"timeout", required_argument, NULL, 't'}, {"agent", required_argument, NULL, 'a'},
		{"pf", required_argument, NULL, 'p'}, {"switchdev", no_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {"version", no_argument, NULL, 'v'},
		{0}};
	struct options options = {.agent = SESSION_AGENT, .timeout_ms = TIMEOUT_S * 1000};
	json_int_t seconds;
	int c;

	if (argc == 1 && vf_cni_is_called())
		return vf_cni_run(options.timeout_ms);
	while ((c = getopt_long(argc, argv, "jh", known, NULL)) != -1) {
		switch (c) {
		case 'c':
			options.channel = optarg;
			break;
		case 't':
			if (vf_words_number(optarg, &seconds) || !seconds || seconds > MAX_TIMEOUT_S)
				return complain(WRONG_USAGE, "--timeout: '%.60s' is not 1 to %d seconds", optarg,
					MAX_TIMEOUT_S);
			options.timeout_ms = (unsigned)seconds * 1000;
			break;
		case 'a':
			options.agent = optarg;
			break;
		case 'p':
			options.pf = optarg;
			break;
		case 's':
			options.sets_mode = true;
			break;
		case 'j':
			options.is_json = true;
			break;
		case 'h':
			help();
			return DONE;
		case 'v':
			puts("rtvs-vf " RTVS_VERSION);
			return DONE;
		default:
			return WRONG_USAGE;
		}
	}
	return run(&options, argv + optind, (unsigned)(argc - optind));
}
