// The command around machine.h's facts and advice.h's decisions: finds the guest, asks the daemon
// for its workers and interfaces, prints. Changes nothing. Measuring takes a second.
#include "advise.h"

#include "advice.h"
#include "qemu.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WINDOW_S 1
#define MAX_LISTED 64 // guests in a refusal

static void
list_guests(const struct qemu_process *list, int n, char problem[ADVISE_PROBLEM_SIZE])
{
	size_t at = strlen(problem);

	if (!n)
		(void)snprintf(problem + at, ADVISE_PROBLEM_SIZE - at, "; no QEMU process is to be seen");
	for (int i = 0; i < n && i < MAX_LISTED && at < ADVISE_PROBLEM_SIZE; i++, at = strlen(problem))
		(void)snprintf(problem + at, ADVISE_PROBLEM_SIZE - at, "%s%s (pid %d)",
			i ? ", " : "; there are: ", list[i].name[0] ? list[i].name : "one without a name", list[i].pid);
}

// Of the list, by name. The number of those that are called so; the last one's pid.
static unsigned
find_name(const struct qemu_process *list, int n, const char *guest, int *ret_pid)
{
	unsigned found = 0;

	for (int i = 0; i < n; i++)
		if (!strcmp(list[i].name, guest)) {
			*ret_pid = list[i].pid;
			found++;
		}
	return found;
}

static bool
parse_pid(const char *text, int *ret_pid)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n < 1 || n > INT32_MAX)
		return false;
	*ret_pid = (int)n;
	return true;
}

int
advise_find(const char *root, const char *guest, char problem[ADVISE_PROBLEM_SIZE], int *ret_pid)
{
	struct qemu_process *list = calloc(QEMU_MAX, sizeof(*list));
	int pid = 0, ignored, n = list ? qemu_list(root, list, QEMU_MAX, &ignored) : -ENOMEM, rc = 0;
	struct qemu_options options;
	unsigned found = find_name(list, n, guest, &pid);

	if (n < 0) {
		(void)snprintf(problem, ADVISE_PROBLEM_SIZE, "%s/proc: %s", root, strerror(-n));
		rc = -ENOENT;
	} else if (found > 1) {
		(void)snprintf(problem, ADVISE_PROBLEM_SIZE, "%u guests are called '%.*s': give a pid", found,
			QEMU_NAME_SIZE, guest);
		rc = -ENOENT;
	} else if (!found && parse_pid(guest, &pid)) {
		rc = qemu_read(root, pid, &options);
		if (rc)
			(void)snprintf(problem, ADVISE_PROBLEM_SIZE,
				rc == -ESRCH ? "there is no process %d" : "process %d is not QEMU", pid);
	} else if (!found) {
		(void)snprintf(problem, ADVISE_PROBLEM_SIZE, "there is no guest '%.*s'", QEMU_NAME_SIZE, guest);
		rc = -ENOENT;
	}
	if (rc && n >= 0)
		list_guests(list, n, problem);
	free(list);
	if (!rc)
		*ret_pid = pid;
	return rc ? -ENOENT : 0;
}

// The interface of a device that the kernel drives: "net_af_xdp0,iface=eth1".
static bool
take_interface(const char *devargs, char *name, size_t size)
{
	const char *iface = strstr(devargs, ",iface=");
	size_t len = iface ? strcspn(iface + 7, ",") : 0;

	if ((strncmp(devargs, "net_af_xdp", 10) && strncmp(devargs, "net_af_packet", 13) &&
		    strncmp(devargs, "net_tap", 7)) ||
		!len || len >= size)
		return false;
	memcpy(name, iface + 7, len);
	name[len] = '\0';
	return true;
}

static void
take_daemon(const json_t *workers, const json_t *ports, struct machine_facts *m)
{
	json_t *element;
	size_t i;

	json_array_foreach (workers, i, element) {
		json_int_t cpu = json_integer_value(json_object_get(element, "cpu"));
		const char *priority = json_string_value(json_object_get(element, "priority"));
		struct machine_worker *w = &m->workers[m->n_workers];

		if (m->n_workers == MACHINE_MAX_WORKERS || cpu < 0 || cpu >= CPUS_MAX)
			continue;
		w->cpu = (unsigned)cpu;
		(void)snprintf(w->priority, sizeof(w->priority), "%s", priority ? priority : "");
		m->n_workers++;
	}
	json_array_foreach (ports, i, element) {
		const char *devargs = json_string_value(json_object_get(element, "devargs"));
		const char *port = json_string_value(json_object_get(element, "name"));
		struct machine_device *d = &m->devices[m->n_devices];

		if (m->n_devices == MACHINE_MAX_DEVICES || !devargs || !port ||
			!take_interface(devargs, d->name, sizeof(d->name)))
			continue;
		(void)snprintf(d->port, sizeof(d->port), "%s", port);
		m->n_devices++;
	}
}

static void
ask_daemon(struct client *c, const char *socket, struct machine_facts *m)
{
	json_t *workers = NULL, *ports = NULL;

	if (!c || client_ask(c, "worker.list", NULL, &workers) || client_ask(c, "port.list", NULL, &ports)) {
		(void)snprintf(
			m->daemon_problem, sizeof(m->daemon_problem), "rtvswitchd does not answer at %.120s", socket);
	} else {
		m->is_daemon_known = true;
		take_daemon(workers, ports, m);
	}
	json_decref(workers);
	json_decref(ports);
}

static json_t *
setting(const char *text)
{
	return text[0] ? json_string(text) : json_null();
}

static void
print_json(const struct advice *a)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < a->n; i++) {
		const struct advice_finding *f = &a->findings[i];

		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s, s:o, s:o, s:s}", "id", f->id, "severity",
				advice_severity_name(f->severity), "finding", f->text, "libvirt", setting(f->libvirt),
				"shell", setting(f->shell), "why", f->why));
	}
	json_dumpf(list, stdout, JSON_INDENT(1));
	putchar('\n');
	json_decref(list);
}

static void
print_text(const struct machine_facts *m, const struct advice *a)
{
	unsigned n_problems = advice_count(a, ADVICE_PROBLEM), n_hints = advice_count(a, ADVICE_HINT);

	printf("%s (pid %d); other guests: %u, workers of rtvswitchd: %u\n\n",
		m->name[0] ? m->name : "a guest without a name", m->pid, m->n_others, m->n_workers);
	for (unsigned i = 0; i < a->n; i++) {
		const struct advice_finding *f = &a->findings[i];
		bool is_long = f->severity == ADVICE_PROBLEM || f->severity == ADVICE_HINT;

		printf("%-8s %-14s %s\n", advice_severity_name(f->severity), f->id, f->text);
		if (is_long)
			printf("%23s why      %s\n", "", f->why);
		if (f->severity != ADVICE_OK && f->libvirt[0])
			printf("%23s libvirt  %s\n", "", f->libvirt);
		if (f->severity != ADVICE_OK && f->shell[0])
			printf("%23s shell    %s\n", "", f->shell);
	}
	printf("\n%u problem%s, %u hint%s\n", n_problems, n_problems == 1 ? "" : "s", n_hints, n_hints == 1 ? "" : "s");
}

enum cli_exit
advise_report(
	const struct machine_source *source, struct client *c, const char *socket, const char *guest, bool is_json)
{
	struct machine_facts *m = calloc(1, sizeof(*m));
	struct advice *a = calloc(1, sizeof(*a));
	char problem[ADVISE_PROBLEM_SIZE] = "out of memory";
	int pid = 0, rc = m && a ? advise_find(source->root, guest, problem, &pid) : -ENOMEM;

	if (!rc) {
		ask_daemon(c, socket, m);
		rc = machine_read(source, pid, m);
		if (rc)
			(void)snprintf(problem, sizeof(problem), "process %d: %s", pid,
				rc == -ESRCH || rc == -EXDEV ? "it ended while it was looked at" : strerror(-rc));
	}
	if (rc) {
		fprintf(stderr, "rtvsctl: %s\n", problem);
	} else {
		advice_make(m, a);
		if (is_json)
			print_json(a);
		else
			print_text(m, a);
	}
	free(m);
	free(a);
	return rc ? CLI_REFUSED : CLI_OK;
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static uint64_t
wait_window(void *ctx)
{
	uint64_t begin_ns = now_ns();

	(void)ctx;
	(void)nanosleep(&(struct timespec){.tv_sec = WINDOW_S}, NULL);
	return now_ns() - begin_ns;
}

static void
ask_coalescing(void *ctx, struct machine_device *ret_device)
{
	struct ethtool_coalesce coalesce = {.cmd = ETHTOOL_GCOALESCE};
	struct ifreq request = {.ifr_data = (char *)&coalesce};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)ctx;
	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ret_device->name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request)) {
		ret_device->rx_usecs = ret_device->adaptive_rx = -errno;
	} else {
		ret_device->rx_usecs = coalesce.rx_coalesce_usecs;
		ret_device->adaptive_rx = coalesce.use_adaptive_rx_coalesce != 0;
	}
	if (fd >= 0)
		close(fd);
}

enum cli_exit
advise_run(struct client *c, const char *socket, const char *guest, bool is_json)
{
	const struct machine_source source = {.root = "", .wait = wait_window, .coalesce = ask_coalescing};

	return advise_report(&source, c, socket, guest, is_json);
}
