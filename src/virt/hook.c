// usage: rtvs-hook [--socket PATH] GUEST OPERATION SUB-OPERATION EXTRA <DOMAIN.xml
//
// libvirt runs this program when a guest starts, stops or moves (https://libvirt.org/hooks.html,
// the part for QEMU). It makes, checks and removes the ports that the domain's metadata ask for.
// libvirt waits for it, so it must not call libvirt. A start, a restore and a migration to this
// host may be refused, with a line on stderr, which libvirt shows. They are refused while the
// daemon does not answer, since QEMU would wait for its socket without a message. Nothing else is
// refused: running guests continue, stopping ones stop. A port that a QEMU is connected to is not
// removed: it is that of another libvirt of this host, which has the domain (rtvs-move).
#include "ports.h"
#include "rtvs/journal.h"
#include "rtvs/output.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_SOCKET "/run/rtvswitch/control.sock"
#define TIMEOUT_MS 3000 // for each answer: libvirt holds the domain meanwhile
// The daemon needs some ms to see that a QEMU has ended. After a migration a connected QEMU is
// expected.
#define N_LOOKS 50
#define N_LOOKS_MIGRATED 10
#define LOOK_MS 20

enum action {
	ACTION_NONE,
	ACTION_APPLY, // refusal ends the start
	ACTION_CHECK, // refusal ends the migration or restore, before anything happens
	ACTION_RESTORE_PORTS, // the guest runs, whatever comes of it
	ACTION_REMOVE
};

static enum action
action_of(const char *operation, const char *sub_operation)
{
	static const struct {
		const char *operation, *sub_operation;
		enum action action;
	} table[] = {{"prepare", "begin", ACTION_APPLY}, {"restore", "begin", ACTION_CHECK},
		{"migrate", "begin", ACTION_CHECK}, {"reconnect", "begin", ACTION_RESTORE_PORTS},
		{"release", "end", ACTION_REMOVE}};

	for (unsigned i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (!strcmp(operation, table[i].operation) && !strcmp(sub_operation, table[i].sub_operation))
			return table[i].action;
	return ACTION_NONE;
}

// All of it, so that libvirt can write it, but no more than DOMAIN_MAX_BYTES + 1 are kept.
static size_t
read_all(char **ret_text)
{
	size_t size = DOMAIN_MAX_BYTES + 1, len = 0;
	char *text = malloc(size);
	char rest[4096];
	ssize_t n;

	while (text && len < size &&
		((n = read(STDIN_FILENO, text + len, size - len)) > 0 || (n < 0 && errno == EINTR)))
		len += n > 0 ? (size_t)n : 0;
	while (len == size && read(STDIN_FILENO, rest, sizeof(rest)) > 0)
		;
	*ret_text = text;
	return text ? len : 0;
}

// Only to the journal: what is on stderr libvirt shows to who starts the guest.
static void
say(enum log_level level, const char *id, const char *domain, const char *text)
{
	char line[DOMAIN_NAME_SIZE + DOMAIN_ERR_SIZE + 16];

	(void)snprintf(line, sizeof(line), "domain %s: %s", domain, text);
	journal_send(level, line, LOG_ABOUT(id, {"DOMAIN", domain}));
}

static void
log_line(void *ctx, bool is_problem, const char *text)
{
	const struct domain *d = ctx;

	say(is_problem ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, NULL, d->name, text);
}

// A QEMU that is connected may be that of the same domain below another libvirt of this host: it
// was moved there, or could not be moved here (rtvs-move).
static enum cli_exit
remove_unused(struct ports *ports, const char *uuid, bool is_migrated, char err[DOMAIN_ERR_SIZE])
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
	unsigned n = is_migrated ? N_LOOKS_MIGRATED : N_LOOKS;
	enum cli_exit rc;

	ports->keeps_used = true;
	for (unsigned i = 0; !(rc = ports_remove(ports, uuid, err)) && ports->n_kept && i < n; i++)
		(void)nanosleep(&pause, NULL);
	return rc;
}

static enum cli_exit
act(enum action action, const char *socket, const struct domain *d, bool is_migrated, char err[DOMAIN_ERR_SIZE])
{
	struct ports ports = {.is_running = action == ACTION_RESTORE_PORTS, .log = log_line, .log_ctx = (void *)d};
	enum cli_exit rc;

	(void)snprintf(err, DOMAIN_ERR_SIZE, "rtvswitchd does not answer at %s (systemctl status rtvswitchd)", socket);
	if (client_connect(socket, TIMEOUT_MS, &ports.client))
		return CLI_UNREACHABLE;
	if (action == ACTION_REMOVE)
		rc = remove_unused(&ports, d->uuid, is_migrated, err);
	else if (action == ACTION_CHECK)
		rc = ports_check(&ports, d, err);
	else
		rc = ports_apply(&ports, d, err);
	client_close(ports.client);
	return rc;
}

static int
run(enum action action, const char *socket, const char *guest, bool is_migrated)
{
	char err[DOMAIN_ERR_SIZE] = "out of memory";
	struct domain *d = NULL;
	bool is_fatal = action == ACTION_APPLY || action == ACTION_CHECK;
	enum cli_exit rc = CLI_OK;
	char *text = NULL;
	size_t len = read_all(&text);

	if (action == ACTION_NONE || (text && !len)) {
		free(text);
		return EXIT_SUCCESS;
	}
	if (!text || domain_parse(text, len, &d, err))
		rc = CLI_REFUSED;
	else if (is_fatal && d->mtu_line) {
		// Its own words would be: Cannot set interface MTU on '': No such device.
		(void)snprintf(err, sizeof(err),
			"line %u: <mtu>: libvirt sets it at a vhost-user interface only through Open vSwitch, and "
			"would not start the "
			"guest; give its <port> mtu='...' instead, and see rtvs-virt(1) for what the guest is told",
			d->mtu_line);
		rc = CLI_REFUSED;
	} else if (d->n_ports || d->n_sockets || action == ACTION_REMOVE)
		rc = act(action, socket, d, is_migrated, err);
	free(text);
	domain_free(d);
	if (!rc)
		return EXIT_SUCCESS;
	say(is_fatal ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, is_fatal ? LOG_ID_GUEST_REFUSED : NULL, guest, err);
	if (!is_fatal)
		return EXIT_SUCCESS;
	fprintf(stderr, "rtvswitch: domain %s: %s\n", guest, err);
	return EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'},
		{"socket", required_argument, NULL, 's'}, {"version", no_argument, NULL, 'V'}, {0}};
	const char *socket = DEFAULT_SOCKET;
	int opt;

	output_guard(EXIT_FAILURE);
	while ((opt = getopt_long(argc, argv, "+hs:V", options, NULL)) != -1) {
		switch (opt) {
		case 's':
			socket = optarg;
			break;
		case 'h':
			puts("usage: rtvs-hook [--socket PATH] GUEST OPERATION SUB-OPERATION EXTRA <DOMAIN.xml\n\n"
			     "Makes, checks and removes the ports of a libvirt domain; libvirt runs it (see "
			     "rtvs-virt(1)).");
			return EXIT_SUCCESS;
		case 'V':
			puts("rtvs-hook " RTVS_VERSION);
			return EXIT_SUCCESS;
		default:
			return 2;
		}
	}
	if (argc - optind < 3) {
		fputs("rtvs-hook: needs GUEST OPERATION SUB-OPERATION, as libvirt gives them\n", stderr);
		return 2;
	}
	return run(action_of(argv[optind + 1], argv[optind + 2]), socket, argv[optind],
		argc - optind > 3 && !strcmp(argv[optind + 3], "migrated"));
}
