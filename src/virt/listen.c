// One thread, libvirt's event loop. Callbacks only note which domain to look at. A timer does the
// work, so that many events of one domain are one look. The work always uses the present state: a
// lost or late event costs only time. Both connections are made anew when they break, after a time
// that doubles, and then every domain is looked at.
//
// Ports of a domain that does not run are removed. A domain may begin to run meanwhile, and its
// hook make its ports. No port is lost then: libvirt calls a domain active before it runs the hook.
// The list of ports is older than the answer that the domain is not active, and the question is
// repeated after the removal. A port that a QEMU is connected to stays: rtvs-move takes domains to
// another libvirt of this host, and back.
#include "listen.h"

#include "host.h"
#include "ports.h"
#include "qemu_log.h"
#include "rtvs/journal.h"
#include "rtvs/log.h"
#include "rtvswitch/client.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define MAX_DIRTY 64 // domains; more: all are looked at
#define MAX_TOLD 64 // domains whose problems are remembered; of others they are told each time
#define TOLD_SIZE 2048
#define MIN_WAIT_MS 200
#define MAX_LIBVIRT_WAIT_MS 20000 // nothing that runs is the worse for it
// Running guests have no network until the daemon is back and their ports are made.
#define MAX_DAEMON_WAIT_MS 1000
#define AGAIN_MS 30000 // until what was refused is tried again, or a kept port looked at
#define BUSY_MS 2000 // until a port that answers for an unknown interface is looked at again
#define ANSWER_MS 3000
#define NEVER (-1)
#define LOG_DIR "/var/log/libvirt/qemu" // where libvirt keeps what QEMUs write; NAME.log
#define LOG_TAIL_SIZE 4096 // of a log, from the end: what is looked at
#define LOG_WAIT_MS 200 // between two looks, whatever a QEMU writes

// A connection that is made again and again.
struct link {
	int timer;
	int wait_ms, max_ms; // before the next attempt but one; it doubles up to max_ms
	bool is_told; // that it is away
};

struct told {
	char uuid[DOMAIN_UUID_SIZE];
	char text[TOLD_SIZE];
};

struct listener {
	const char *uri, *socket;
	virConnectPtr conn; // NULL: libvirt is away
	struct client *client; // NULL: the daemon is away
	int callbacks[8], n_callbacks;
	int client_watch;
	struct link libvirt, daemon;
	int work_timer, again_timer, log_timer;
	int log_fd, log_watch; // inotify's, of LOG_DIR
	bool is_stopping, is_all_dirty;
	unsigned n_dirty, n_told;
	char dirty[MAX_DIRTY][DOMAIN_UUID_SIZE];
	struct told told[MAX_TOLD];
	// The domain that is looked at.
	const char *name;
	char problems[TOLD_SIZE];
};

static void
tell_systemd(const struct listener *l)
{
	(void)sd_notifyf(0, "READY=1\nSTATUS=libvirt: %s; rtvswitchd: %s", l->conn ? "connected" : "away",
		l->client ? "connected" : "away");
}

static void
work_soon(struct listener *l)
{
	if (l->conn && l->client)
		virEventUpdateTimeout(l->work_timer, 0);
}

static void
retry_later(struct link *link)
{
	virEventUpdateTimeout(link->timer, link->wait_ms);
	link->wait_ms = link->wait_ms * 2 > link->max_ms ? link->max_ms : link->wait_ms * 2;
}

static void
is_up(struct listener *l, struct link *link)
{
	link->wait_ms = MIN_WAIT_MS;
	link->is_told = false;
	virEventUpdateTimeout(link->timer, NEVER);
	l->is_all_dirty = true;
	tell_systemd(l);
	work_soon(l);
}

static void
mark(struct listener *l, virDomainPtr dom)
{
	char uuid[VIR_UUID_STRING_BUFLEN];

	if (virDomainGetUUIDString(dom, uuid))
		return;
	work_soon(l);
	for (unsigned i = 0; i < l->n_dirty; i++)
		if (!strcmp(l->dirty[i], uuid))
			return;
	if (l->n_dirty == MAX_DIRTY)
		l->is_all_dirty = true;
	else
		memcpy(l->dirty[l->n_dirty++], uuid, sizeof(uuid));
}

// An interface that is plugged in before its element makes QEMU wait for its socket, in every
// thread that touches the machine. libvirt waits for QEMU, so nothing can be changed any more, not
// even the element. There is no event for that, but QEMU writes a line in its log. A port without a
// bridge then serves the socket. The plug-in ends, and the interface waits for its element. Any
// QEMU may write the log, so a line is believed only while libvirt waits for that very guest, and
// the port forwards nothing.

static bool
read_tail(const char *domain, char tail[LOG_TAIL_SIZE + 1])
{
	char path[sizeof(LOG_DIR) + NAME_MAX + 2];
	ssize_t len = 0;
	struct stat st;
	int fd;

	(void)snprintf(path, sizeof(path), LOG_DIR "/%.251s.log", domain);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
		len = pread(fd, tail, LOG_TAIL_SIZE, st.st_size > LOG_TAIL_SIZE ? st.st_size - LOG_TAIL_SIZE : 0);
	if (fd >= 0)
		close(fd);
	tail[len > 0 ? len : 0] = '\0';
	return len > 0;
}

// Does libvirt change it at this moment, or wait for its QEMU?
static bool
is_busy(virDomainPtr dom)
{
	virDomainControlInfo info;

	return !virDomainGetControlInfo(dom, &info, 0) &&
		(info.state == VIR_DOMAIN_CONTROL_JOB || info.state == VIR_DOMAIN_CONTROL_OCCUPIED);
}

static void
answer_for_unknown(struct listener *l, virDomainPtr dom, const char *uuid)
{
	struct ports ports = {.client = l->client};
	char tail[LOG_TAIL_SIZE + 1], path[DOMAIN_PATH_SIZE], err[DOMAIN_ERR_SIZE];

	virEventUpdateTimeout(l->again_timer, AGAIN_MS);
	if (!read_tail(virDomainGetName(dom), tail) || !qemu_log_socket(tail, path))
		return;
	virEventUpdateTimeout(l->again_timer, BUSY_MS); // it stays while libvirt is at work
	if (ports_answer(&ports, uuid, path, err) == CLI_REFUSED)
		log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"DOMAIN", virDomainGetName(dom)}),
			"domain %s: QEMU waits for %s, and there can be no port for it: %s", virDomainGetName(dom),
			path, err);
}

static void
mark_waiting(struct listener *l, const char *file)
{
	char name[NAME_MAX + 1], tail[LOG_TAIL_SIZE + 1], path[DOMAIN_PATH_SIZE];
	size_t len = strlen(file);
	virDomainPtr dom;

	if (!l->conn || len <= strlen(".log") || strcmp(file + len - strlen(".log"), ".log"))
		return;
	(void)snprintf(name, sizeof(name), "%.*s", (int)(len - strlen(".log")), file);
	if (!read_tail(name, tail) || !qemu_log_socket(tail, path) || !(dom = virDomainLookupByName(l->conn, name)))
		return;
	if (is_busy(dom))
		mark(l, dom);
	(void)virDomainFree(dom);
}

static void
log_written_cb(int watch, int fd, int events, void *ctx)
{
	_Alignas(struct inotify_event) char buf[4096];
	struct listener *l = ctx;
	ssize_t n = read(fd, buf, sizeof(buf));

	(void)events;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(buf + at);

		if (e->len)
			mark_waiting(l, e->name);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	virEventUpdateHandle(watch, 0);
	virEventUpdateTimeout(l->log_timer, LOG_WAIT_MS);
}

static void
log_again_cb(int timer, void *ctx)
{
	struct listener *l = ctx;

	virEventUpdateTimeout(timer, NEVER);
	virEventUpdateHandle(l->log_watch, VIR_EVENT_HANDLE_READABLE);
}

// libvirt

static int
lifecycle_cb(virConnectPtr conn, virDomainPtr dom, int event, int detail, void *ctx)
{
	(void)conn;
	(void)event;
	(void)detail;
	mark(ctx, dom);
	return 0;
}

static void
device_cb(virConnectPtr conn, virDomainPtr dom, const char *alias, void *ctx)
{
	(void)conn;
	(void)alias;
	mark(ctx, dom);
}

static void
metadata_cb(virConnectPtr conn, virDomainPtr dom, int type, const char *ns, void *ctx)
{
	(void)conn;
	if (type == VIR_DOMAIN_METADATA_ELEMENT && ns && !strcmp(ns, DOMAIN_NAMESPACE))
		mark(ctx, dom);
}

static void
lose_libvirt(struct listener *l)
{
	if (!l->conn)
		return;
	for (int i = 0; i < l->n_callbacks; i++)
		(void)virConnectDomainEventDeregisterAny(l->conn, l->callbacks[i]);
	l->n_callbacks = 0;
	(void)virConnectClose(l->conn);
	l->conn = NULL;
	virEventUpdateTimeout(l->libvirt.timer, MIN_WAIT_MS);
	tell_systemd(l);
}

static void
closed_cb(virConnectPtr conn, int reason, void *ctx)
{
	struct listener *l = ctx;

	(void)conn;
	(void)reason;
	// Not closed from within its own callback.
	log_warning("the connection to libvirt broke");
	l->libvirt.is_told = true;
	virEventUpdateTimeout(l->libvirt.timer, 0);
}

static bool
subscribe(struct listener *l, int event, virConnectDomainEventGenericCallback cb)
{
	int id = virConnectDomainEventRegisterAny(l->conn, NULL, event, cb, l, NULL);

	if (id >= 0)
		l->callbacks[l->n_callbacks++] = id;
	return id >= 0;
}

static bool
connect_libvirt(struct listener *l)
{
	l->conn = host_connect(l->uri);
	if (l->conn && !virConnectRegisterCloseCallback(l->conn, closed_cb, l, NULL) &&
		subscribe(l, VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(lifecycle_cb)) &&
		subscribe(l, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(device_cb)) &&
		subscribe(l, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(device_cb)) &&
		subscribe(l, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(metadata_cb)))
		return true;
	if (!l->libvirt.is_told)
		log_warning("cannot reach libvirt at %s: %s", l->uri, host_error());
	l->libvirt.is_told = true;
	lose_libvirt(l);
	return false;
}

static void
libvirt_cb(int timer, void *ctx)
{
	struct listener *l = ctx;

	(void)timer;
	lose_libvirt(l);
	if (!connect_libvirt(l)) {
		retry_later(&l->libvirt);
		return;
	}
	log_info("connected to libvirt at %s", l->uri);
	if (l->log_fd >= 0) // the first libvirtd of this machine makes the directory
		(void)inotify_add_watch(l->log_fd, LOG_DIR, IN_MODIFY | IN_ONLYDIR);
	is_up(l, &l->libvirt);
}

// The daemon

static void
lose_daemon(struct listener *l)
{
	if (!l->client)
		return;
	(void)virEventRemoveHandle(l->client_watch);
	client_close(l->client);
	l->client = NULL;
	log_warning("rtvswitchd went away");
	l->daemon.is_told = true;
	virEventUpdateTimeout(l->daemon.timer, MIN_WAIT_MS);
	tell_systemd(l);
}

// It sends nothing by itself: readable is the end.
static void
client_cb(int watch, int fd, int events, void *ctx)
{
	(void)watch;
	(void)fd;
	(void)events;
	lose_daemon(ctx);
}

// Whether it answers, without a word: one that was stopped accepts connections.
static bool
is_answering(const char *socket)
{
	json_t *result = NULL, *error = NULL;
	struct rtvs_client *c;
	bool is_well;

	if (rtvs_client_open_within(socket, ANSWER_MS, &c))
		return false;
	is_well = !rtvs_client_call(c, "system.info", NULL, &result, &error);
	json_decref(result);
	json_decref(error);
	rtvs_client_close(c);
	return is_well;
}

static void
daemon_cb(int timer, void *ctx)
{
	struct listener *l = ctx;

	(void)timer;
	if (!is_answering(l->socket) || client_connect(l->socket, ANSWER_MS, &l->client)) {
		if (!l->daemon.is_told)
			log_warning("rtvswitchd does not answer at %s", l->socket);
		l->daemon.is_told = true;
		retry_later(&l->daemon);
		return;
	}
	l->client_watch = virEventAddHandle(client_fd(l->client), VIR_EVENT_HANDLE_READABLE, client_cb, l, NULL);
	log_info("connected to rtvswitchd at %s", l->socket);
	is_up(l, &l->daemon);
}

// The work

static void
ports_cb(void *ctx, bool is_problem, const char *text)
{
	struct listener *l = ctx;
	size_t len = strlen(l->problems);

	if (!is_problem)
		log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"DOMAIN", l->name}), "domain %s: %s", l->name, text);
	else
		(void)snprintf(l->problems + len, sizeof(l->problems) - len, "%s%s", len ? "; " : "", text);
}

static struct told *
find_told(struct listener *l, const char *uuid, bool is_made)
{
	for (unsigned i = 0; i < l->n_told; i++)
		if (!strcmp(l->told[i].uuid, uuid))
			return &l->told[i];
	if (!is_made || l->n_told == MAX_TOLD)
		return NULL;
	(void)snprintf(l->told[l->n_told].uuid, DOMAIN_UUID_SIZE, "%s", uuid);
	return &l->told[l->n_told++];
}

// The same problem is told once.
static void
tell_problems(struct listener *l, const char *uuid)
{
	struct told *told = find_told(l, uuid, l->problems[0]);

	if (l->problems[0] && (!told || strcmp(told->text, l->problems)))
		log_about(
			LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"DOMAIN", l->name}), "domain %s: %s", l->name, l->problems);
	if (l->problems[0])
		virEventUpdateTimeout(l->again_timer, AGAIN_MS);
	if (told && l->problems[0])
		memcpy(told->text, l->problems, TOLD_SIZE);
	else if (told)
		*told = l->told[--l->n_told];
}

static enum cli_exit
look_at_running(struct listener *l, virDomainPtr dom)
{
	struct ports ports = {.client = l->client, .is_running = true, .log = ports_cb, .log_ctx = l};
	char uuid[VIR_UUID_STRING_BUFLEN] = "", err[DOMAIN_ERR_SIZE] = "";
	enum cli_exit rc = CLI_OK;
	struct domain *d = NULL;
	char *xml;

	(void)virDomainGetUUIDString(dom, uuid);
	ports.is_busy = is_busy(dom);
	if (ports.is_busy) // before its XML, for which libvirt waits
		answer_for_unknown(l, dom, uuid);
	xml = virDomainGetXMLDesc(dom, 0);
	if (!xml) { // it ended, or libvirt did, which an event says; or libvirt did not get to it
		virEventUpdateTimeout(l->again_timer, AGAIN_MS);
		return CLI_OK;
	}
	l->name = virDomainGetName(dom);
	l->problems[0] = '\0';
	if (domain_parse(xml, strlen(xml), &d, err))
		ports_cb(l, true, err);
	else
		rc = ports_apply(&ports, d, err);
	domain_free(d);
	free(xml);
	if (rc != CLI_UNREACHABLE)
		tell_problems(l, uuid);
	return rc;
}

static enum cli_exit
look_at(struct listener *l, const char *uuid, const char *name)
{
	struct ports ports = {.client = l->client, .log = ports_cb, .log_ctx = l};
	enum cli_exit rc = CLI_OK;
	bool is_gone = false;

	// A second time when it came to life while its ports were removed.
	for (unsigned i = 0; i < 2 && rc == CLI_OK; i++) {
		virDomainPtr dom = virDomainLookupByUUIDString(l->conn, uuid);
		int active = dom ? virDomainIsActive(dom) : 0;

		// "No such domain" is an answer; that there was none is not.
		if (!dom && virGetLastErrorCode() != VIR_ERR_NO_DOMAIN)
			active = -1;
		if (active > 0)
			rc = look_at_running(l, dom);
		l->name = dom ? virDomainGetName(dom) : name;
		if (!active && !is_gone) {
			l->problems[0] = '\0';
			ports.keeps_used = true;
			rc = ports_remove(&ports, uuid, NULL);
			if (ports.n_kept)
				virEventUpdateTimeout(l->again_timer, AGAIN_MS);
			tell_problems(l, uuid);
			is_gone = true;
		} else {
			i = 2;
		}
		if (dom)
			(void)virDomainFree(dom);
	}
	return rc;
}

static const char *
config_text(const json_t *port, const char *key)
{
	const char *text = json_string_value(json_object_get(json_object_get(port, "config"), key));

	return text ? text : "";
}

static bool
is_in(virDomainPtr *doms, int n, const char *uuid)
{
	char other[VIR_UUID_STRING_BUFLEN];

	for (int i = 0; i < n; i++)
		if (!virDomainGetUUIDString(doms[i], other) && !strcmp(other, uuid))
			return true;
	return false;
}

// Ports first, domains afterwards: a port that is made in between is not in the list.
static enum cli_exit
look_at_all(struct listener *l)
{
	json_t *list = NULL, *error = NULL, *port;
	enum cli_exit rc = client_call(l->client, "port.list", NULL, &list, &error);
	virDomainPtr *doms = NULL;
	int n = rc ? 0 : virConnectListAllDomains(l->conn, &doms, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	size_t i;

	for (int k = 0; k < n && rc == CLI_OK; k++)
		rc = look_at_running(l, doms[k]);
	if (n < 0)
		virEventUpdateTimeout(l->again_timer, AGAIN_MS);
	else
		json_array_foreach (list, i, port) {
			const char *uuid = config_text(port, "domain_uuid");

			if (rc == CLI_OK && *uuid && !is_in(doms, n, uuid))
				rc = look_at(l, uuid, config_text(port, "domain"));
		}
	for (int k = 0; k < n; k++)
		(void)virDomainFree(doms[k]);
	free(doms);
	json_decref(list);
	json_decref(error);
	return rc;
}

static void
work_cb(int timer, void *ctx)
{
	char dirty[MAX_DIRTY][DOMAIN_UUID_SIZE];
	struct listener *l = ctx;
	bool is_all = l->is_all_dirty;
	unsigned n = l->n_dirty;
	enum cli_exit rc = CLI_OK;

	virEventUpdateTimeout(timer, NEVER);
	if (!l->conn || !l->client) // everything is looked at when both are there
		return;
	memcpy(dirty, l->dirty, sizeof(dirty));
	l->n_dirty = 0;
	l->is_all_dirty = false;
	if (is_all)
		rc = look_at_all(l);
	for (unsigned i = 0; i < n && !is_all && rc == CLI_OK; i++)
		rc = look_at(l, dirty[i], dirty[i]);
	if (rc == CLI_UNREACHABLE)
		lose_daemon(l);
}

static void
again_cb(int timer, void *ctx)
{
	struct listener *l = ctx;

	virEventUpdateTimeout(timer, NEVER);
	l->is_all_dirty = true;
	work_soon(l);
}

static void
signal_cb(int watch, int fd, int events, void *ctx)
{
	struct listener *l = ctx;

	(void)watch;
	(void)fd;
	(void)events;
	l->is_stopping = true;
}

static int
set_up(struct listener *l, int fd)
{
	l->libvirt = (struct link){.wait_ms = MIN_WAIT_MS, .max_ms = MAX_LIBVIRT_WAIT_MS};
	l->daemon = (struct link){.wait_ms = MIN_WAIT_MS, .max_ms = MAX_DAEMON_WAIT_MS};
	l->libvirt.timer = virEventAddTimeout(0, libvirt_cb, l, NULL);
	l->daemon.timer = virEventAddTimeout(0, daemon_cb, l, NULL);
	l->work_timer = virEventAddTimeout(NEVER, work_cb, l, NULL);
	l->log_timer = virEventAddTimeout(NEVER, log_again_cb, l, NULL);
	l->log_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	l->log_watch =
		l->log_fd < 0 ? -1 : virEventAddHandle(l->log_fd, VIR_EVENT_HANDLE_READABLE, log_written_cb, l, NULL);
	l->again_timer = virEventAddTimeout(NEVER, again_cb, l, NULL);
	return l->libvirt.timer < 0 || l->daemon.timer < 0 || l->work_timer < 0 || l->again_timer < 0 ||
		l->log_timer < 0 || l->log_watch < 0 ||
		virEventAddHandle(fd, VIR_EVENT_HANDLE_READABLE, signal_cb, l, NULL) < 0;
}

int
listen_run(const char *uri, const char *socket)
{
	struct listener *l = calloc(1, sizeof(*l));
	sigset_t signals;
	int fd, rc;

	log_set_sink(journal_send);
	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	rc = !l || fd < 0 || host_init();
	if (!rc) {
		l->uri = uri;
		l->socket = socket;
		rc = set_up(l, fd);
	}
	if (rc)
		log_error("cannot start: out of memory or descriptors");
	else
		tell_systemd(l);
	while (!rc && !l->is_stopping)
		rc = virEventRunDefaultImpl() < 0;
	(void)sd_notify(0, "STOPPING=1");
	if (l && l->client)
		client_close(l->client);
	if (l && l->conn)
		(void)virConnectClose(l->conn);
	if (fd >= 0)
		close(fd);
	free(l);
	return rc;
}
