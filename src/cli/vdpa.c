// Words and tables of "rtvsctl vdpa"; vdpa_attach.c has the steps.
#include "vdpa.h"

#include "rtvs/render.h"
#include "rtvs/units.h"
#include "vdpa_attach.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANY_MS 3600000 // a user who wants no limit waits an hour at most

enum {
	OPTION_DRIVER = 256,
	OPTION_MAC,
	OPTION_NAME,
	OPTION_NETNS,
};

struct vdpa_words {
	const char *socket;
	bool is_json, is_guest; // is_guest: --driver vhost
	unsigned ms; // the daemon's
	struct vdpa_attach_options o;
	bool has_options;
};

static void
usage(void)
{
	puts("usage: rtvsctl vdpa attach PORT [--netns POD] [--name eth0] [--mac MAC] [--driver virtio|vhost]\n"
	     "       rtvsctl vdpa detach PORT\n"
	     "       rtvsctl vdpa list\n"
	     "\n"
	     "Devices of the kernel's vDPA bus, as ports of the switch are, for containers and virtual machines. PORT "
	     "is the\n"
	     "device's name. The kernel does all this: it needs root, and not the daemon.\n"
	     "\n"
	     "  attach   make the device a network interface in a container's namespace, up; what is done already "
	     "stays\n"
	     "           as it is. With --driver vhost make it a file for QEMU, and print QEMU's arguments.\n"
	     "  detach   take it away again, from whatever namespace it is in\n"
	     "  list     devices, their drivers, and interfaces that are in this namespace\n"
	     "\n"
	     "      --netns POD      a name (ip netns list), a process, or a path; without it the interface stays "
	     "here\n"
	     "      --name NAME      the interface's name there\n"
	     "      --mac MAC        its address, where the switch allows it (allowed_macs)\n"
	     "      --driver DRIVER  virtio (default): for containers; vhost: for virtual machines\n"
	     "  -j, --json           print JSON\n"
	     "  -h, --help           print this\n"
	     "\n"
	     "Each step waits for the kernel as long as --timeout of rtvsctl says. Exit status: 0 done, 1 refused, 2 "
	     "wrong\n"
	     "usage.");
}

__attribute__((format(printf, 1, 2))) static enum cli_exit
wrong(const char *format, ...)
{
	va_list args;

	fputs("rtvsctl: vdpa: ", stderr);
	va_start(args, format);
	(void)vfprintf(stderr, format, args);
	va_end(args);
	fputs("\nTry 'rtvsctl vdpa --help'.\n", stderr);
	return CLI_USAGE;
}

static void
print(const struct vdpa_words *w, const json_t *result)
{
	if (!w->is_json) {
		render(result, stdout);
		return;
	}
	(void)json_dumpf(result, stdout, JSON_INDENT(1));
	putchar('\n');
}

// The type of the daemon's port of that name, new; NULL: there is none, or no daemon.
static char *
port_type(const struct vdpa_words *w)
{
	json_t *result = NULL, *error = NULL;
	struct client *client = NULL;
	const char *type = NULL;
	char *copy = NULL;

	if (client_connect(w->socket, w->ms, &client))
		return NULL;
	if (!client_call(client, "port.show", json_pack("{s:s}", "name", w->o.device), &result, &error))
		type = json_string_value(json_object_get(json_object_get(result, "config"), "type"));
	if (type)
		copy = strdup(type);
	json_decref(result);
	json_decref(error);
	client_close(client);
	return copy;
}

static enum cli_exit
refused(const struct vdpa_words *w, int rc, const char *err)
{
	char *type = rc == -ENODEV ? port_type(w) : NULL;

	if (type)
		fprintf(stderr, "rtvsctl: port %s is of type %s, and has no device on the vDPA bus\n", w->o.device,
			type);
	else
		fprintf(stderr, "rtvsctl: %s\n", err);
	free(type);
	return CLI_REFUSED;
}

// For a shell: what QEMU needs, on lines of their own.
static void
print_guest(const json_t *result)
{
	const json_t *words = json_object_get(result, "qemu"), *word;
	size_t i;

	json_array_foreach ((json_t *)(uintptr_t)words, i, word)
		printf("%s%s", json_string_value(word), i % 2 ? "\n" : " ");
	puts("-object memory-backend-memfd,id=mem,size=1G,share=on -machine memory-backend=mem");
}

static enum cli_exit
run_attach(struct vdpa_words *w)
{
	char err[VDPA_ERR_SIZE] = "";
	json_t *result = NULL;
	int rc;

	if (w->is_guest && (w->o.netns || w->o.name))
		return wrong("--netns and --name are for containers: a virtual machine has no interface on this host");
	rc = w->is_guest ? vdpa_attach_guest(&w->o, &result, err) : vdpa_attach_container(&w->o, &result, err);
	if (rc)
		return refused(w, rc, err);
	if (w->is_guest && !w->is_json)
		print_guest(result);
	else
		print(w, result);
	json_decref(result);
	return CLI_OK;
}

static enum cli_exit
run_detach(struct vdpa_words *w)
{
	char err[VDPA_ERR_SIZE] = "";
	int rc;

	if (w->has_options)
		return wrong("detach takes the port alone");
	rc = vdpa_bus_bind("", w->o.device, "", w->o.timeout_ms, err);
	return rc ? refused(w, rc, err) : CLI_OK;
}

static json_t *
row_of(const struct vdpa_words *w, const char *device)
{
	char driver[VDPA_NAME_SIZE] = "", child[VDPA_NAME_SIZE], err[VDPA_ERR_SIZE], mac[UNITS_TEXT_SIZE] = "";
	char path[VDPA_NAME_SIZE + 8] = "";
	bool is_here;
	struct vdpa_dev dev = {0};
	struct vdpa_link link = {0};

	(void)vdpa_bus_driver("", device, driver);
	if (vdpa_dev_get(device, &dev, w->o.timeout_ms, err))
		fprintf(stderr, "rtvsctl: %s: %s\n", device, err);
	is_here = vdpa_attach_interface(device, &link, w->o.timeout_ms);
	if (is_here || dev.has_mac)
		units_format_mac(is_here ? &link.mac : &dev.mac, mac);
	if (!vdpa_bus_child("", device, "vhost-vdpa-", child))
		(void)snprintf(path, sizeof(path), "/dev/%s", child);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:s}", "device", device, "made_by", dev.mgmtdev, "driver",
		driver, "interface", link.name, "path", path, "mac", mac, "mtu", (int)(is_here ? link.mtu : dev.mtu),
		"link",
		!dev.has_link	       ? "" :
			dev.is_link_up ? "up" :
					 "down");
}

static enum cli_exit
run_list(struct vdpa_words *w)
{
	char(*names)[VDPA_NAME_SIZE] = NULL;
	int n = vdpa_bus_list("", &names);
	json_t *rows = json_array();

	if (n < 0)
		fprintf(stderr, "rtvsctl: /sys/bus/vdpa: %s\n", strerror(-n));
	for (int i = 0; i < n; i++)
		(void)json_array_append_new(rows, row_of(w, names[i]));
	if (n > 0 || (!n && w->is_json))
		print(w, rows);
	free(names);
	json_decref(rows);
	return n < 0 ? CLI_REFUSED : CLI_OK;
}

static bool
is_interface_name(const char *name)
{
	return name[0] && strlen(name) < IF_NAMESIZE && strcmp(name, ".") && strcmp(name, "..") &&
		!strpbrk(name, "/: \t\n");
}

static enum cli_exit
take_option(struct vdpa_words *w, int c, const char *value)
{
	w->has_options |= c >= OPTION_DRIVER;
	switch (c) {
	case 'j':
		w->is_json = true;
		return CLI_OK;
	case OPTION_DRIVER:
		w->is_guest = !strcmp(value, "vhost");
		return w->is_guest || !strcmp(value, "virtio") ? CLI_OK :
								 wrong("--driver: is virtio or vhost, not '%s'", value);
	case OPTION_MAC:
		w->o.has_mac = !units_parse_mac(value, &w->o.mac) && !(w->o.mac.b[0] & 1);
		return w->o.has_mac ?
			CLI_OK :
			wrong("--mac: '%s' is no address of one interface, like 52:54:00:00:00:01", value);
	case OPTION_NAME:
		w->o.name = value;
		return is_interface_name(value) ?
			CLI_OK :
			wrong("--name: '%s' is no name of an interface, of 1 to %d bytes", value, IF_NAMESIZE - 1);
	case OPTION_NETNS:
		w->o.netns = value;
		return value[0] ? CLI_OK : wrong("--netns: is empty");
	default:
		return wrong("unknown option");
	}
}

enum cli_exit
vdpa_run(const char *socket, unsigned timeout_ms, bool is_json, int argc, char **argv)
{
	static const struct option options[] = {{"driver", required_argument, NULL, OPTION_DRIVER},
		{"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, 'j'},
		{"mac", required_argument, NULL, OPTION_MAC}, {"name", required_argument, NULL, OPTION_NAME},
		{"netns", required_argument, NULL, OPTION_NETNS}, {0}};
	static const struct {
		const char *word;
		int n_words;
		enum cli_exit (*fn)(struct vdpa_words *);
	} verbs[] = {{"attach", 1, run_attach}, {"detach", 1, run_detach}, {"list", 0, run_list}};
	struct vdpa_words w = {.socket = socket,
		.ms = timeout_ms,
		.is_json = is_json,
		.o.timeout_ms = timeout_ms ? timeout_ms : ANY_MS};
	enum cli_exit rc = CLI_OK;
	int c;

	optind = 0; // the words before were read with the same function
	argv--; // it skips the first word
	argc++;
	while (rc == CLI_OK && (c = getopt_long(argc, argv, "hj", options, NULL)) != -1) {
		if (c == 'h') {
			usage();
			return CLI_OK;
		}
		rc = take_option(&w, c, optarg);
	}
	if (rc)
		return rc;
	argc -= optind;
	argv += optind;
	if (argc < 1)
		return wrong("what to do?");
	for (unsigned i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		if (strcmp(verbs[i].word, argv[0]))
			continue;
		if (argc != 1 + verbs[i].n_words)
			return wrong("usage: rtvsctl vdpa %s%s", argv[0], verbs[i].n_words ? " PORT" : "");
		w.o.device = verbs[i].n_words ? argv[1] : NULL;
		return verbs[i].fn(&w);
	}
	return wrong("there is no verb '%s'", argv[0]);
}
