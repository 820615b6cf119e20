// libvirt migrates the domain, peer to peer: the source's daemon drives it, whatever becomes of
// this process. So libvirt's rules decide which QEMU runs the guest. The destination's is started
// stopped, the source's has stopped before it sends the last of its state, and goes on when the
// destination does not run. This program adds what libvirt has no word for: the capability
// x-ignore-shared at both ends, and one file of memory for both (arrival.h).
//
//   step      what is there after it                    if this program is killed behind it
//   start     the destination has the memory, waits     libvirt finishes the migration
//   send      libvirt says that it is done               the guest runs in the destination
//   confirm   the destination runs                      all is done
//
// Before start the destination lacks the capability, and libvirt ends it when the state comes.
#include "domain_move.h"

#include "arrival.h"
#include "cmdline.h"
#include "dxml.h"
#include "move_one.h"
#include "permit.h"
#include "process.h"
#include "steps.h"

#include <dirent.h>
#include <errno.h>
#include <libvirt/libvirt-qemu.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HAND_OVER_MS 60000.0 // without a copy; libvirt and QEMU need one second
#define SETTLE_MS 10000.0 // for the source to go on after a failure
#define MEMORY_DIR "libvirt/qemu" // that libvirt makes in memory_backing_dir

struct run {
	const struct options *o;
	virConnectPtr from, to;
	virDomainPtr dom;
	char uuid[VIR_UUID_STRING_BUFLEN];
	char *xml, *dir;
	char qmp_path[108], migration_uri[128]; // a unix socket's path is no longer
	uint64_t ram_bytes;
	bool is_persistent, is_capable; // is_capable: the source got the capability
	int is_autostarted;
	struct process process; // of the source; pidfd -1, no more than its words
	struct cmdline *cmdline;
	struct permit permit;
	struct arrival arrival;
	struct reasons reasons, messages;
	double begin_ms, wall_ms;
	atomic_bool is_over;
};

static double
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void
pause_ms(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

static void
be_quiet(void *ctx, virErrorPtr error)
{
	(void)ctx;
	(void)error;
}

static const char *
libvirt_error(void)
{
	const char *text = virGetLastErrorMessage();

	return text ? text : "unknown error";
}

// A step is done. RTVS_MOVE_STOP is that of steps.c.
static void
done(const struct run *r, const char *name, const char *text)
{
	const char *stop = getenv("RTVS_MOVE_STOP");

	if (!r->o->is_json) {
		printf("%8.1f ms  %-8s %s\n", now_ms() - r->begin_ms, name, text);
		fflush(stdout);
	}
	if (stop && !strcmp(stop, name))
		(void)raise(SIGSTOP);
}

static const char *
way_name(const struct run *r)
{
	return plan_way_name(r->o->is_plain ? PLAN_PLAIN : PLAN_IGNORE_SHARED);
}

static json_t *
texts_of(const struct reasons *r)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < r->n; i++)
		json_array_append_new(list, json_string(r->text[i]));
	return list;
}

static int
print_json(json_t *object)
{
	int rc = object ? json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) : -1;

	putchar('\n');
	json_decref(object);
	return rc;
}

static int
refuse(const struct run *r, int status)
{
	if (r->o->is_json) {
		(void)print_json(json_pack("{s:n, s:o}", "way", "reasons", texts_of(&r->reasons)));
		return status;
	}
	for (unsigned i = 0; i < r->reasons.n; i++)
		fprintf(stderr, "rtvs-move: %s\n", r->reasons.text[i]);
	return status;
}

// ---- what is in the way

// The QEMU of a domain has its UUID as an argument.
static bool
has_uuid(const struct process *p, const char *uuid)
{
	const char *word = p->words, *end = p->words + p->words_len;
	bool is_next = false;

	while (word && word < end && memchr(word, '\0', (size_t)(end - word))) {
		if (is_next && !strcmp(word, uuid))
			return true;
		is_next = !strcmp(word, "-uuid");
		word += strlen(word) + 1;
	}
	return false;
}

static bool
find_process(struct run *r)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;
	bool is_found = false;

	while (dir && !is_found && (entry = readdir(dir))) {
		struct process p = {.pid = (pid_t)strtol(entry->d_name, NULL, 10), .pidfd = -1, .cwd = "/"};

		if (p.pid <= 0 || process_read_words(p.pid, &p.words, &p.words_len))
			continue;
		is_found = has_uuid(&p, r->uuid);
		if (is_found)
			r->process = p;
		else
			process_free(&p);
	}
	if (dir)
		(void)closedir(dir);
	return is_found;
}

static void
take_memory(struct run *r, const struct cmdline_option *object, const char *kind)
{
	char id[CMDLINE_VALUE_SIZE] = "?", path[CMDLINE_VALUE_SIZE];

	(void)cmdline_get(object, "id", id);
	if (strcmp(kind, "memory-backend-file") != 0 || !cmdline_is_on(object, "share"))
		reasons_add(&r->reasons,
			"memory %.60s is in no file that is shared: the domain runs with other settings than it has",
			id);
	else if (cmdline_is_on(object, "discard-data"))
		reasons_add(&r->reasons, "memory %.60s is emptied at the end (discard-data)", id);
	else if (!cmdline_get(object, "mem-path", path) || !process_has_mapped(&r->process, path))
		reasons_add(&r->reasons, "memory %.60s: %.200s is not the file that QEMU has", id, path);
	else if (r->arrival.n_files == ARRIVAL_MAX_FILES)
		reasons_add(&r->reasons, "there are more than %u files of memory", ARRIVAL_MAX_FILES);
	else
		r->arrival.files[r->arrival.n_files++] = strdup(path);
}

// The destination's directory, on the file system of the source's and not the same one.
static void
check_dir(struct run *r)
{
	struct stat dir, file, parent;
	char text[CMDLINE_VALUE_SIZE], *slash;

	if (!r->o->memory) {
		reasons_add(&r->reasons,
			"--memory is missing: memory_backing_dir of the destination's qemu.conf, without which memory "
			"is copied (--plain)");
		return;
	}
	if (asprintf(&r->dir, "%s/" MEMORY_DIR, r->o->memory) < 0 || stat(r->dir, &dir)) {
		reasons_add(&r->reasons, "%.200s/" MEMORY_DIR ": %s: is it memory_backing_dir of the destination?",
			r->o->memory, strerror(errno));
		return;
	}
	for (unsigned i = 0; i < r->arrival.n_files; i++) {
		snprintf(text, sizeof(text), "%s", r->arrival.files[i]);
		for (unsigned k = 0; k < 2 && (slash = strrchr(text, '/')); k++)
			*slash = '\0';
		if (stat(r->arrival.files[i], &file) || file.st_dev != dir.st_dev)
			reasons_add(&r->reasons, "%.200s is in another file system than %.200s", r->arrival.files[i],
				r->o->memory);
		else if (!stat(text, &parent) && parent.st_ino == dir.st_ino)
			reasons_add(&r->reasons, "both daemons have the memory_backing_dir %.200s: each needs its own",
				r->o->memory);
	}
	if (snprintf(r->qmp_path, sizeof(r->qmp_path), "%s/rtvs-%s.qmp", r->dir, r->uuid) >= (int)sizeof(r->qmp_path))
		reasons_add(&r->reasons, "%.200s is too long for a socket's path", r->o->memory);
}

// The memory's directory would be another domain's, too.
static void
check_names(struct run *r)
{
	const char *name = virDomainGetName(r->dom);
	virDomainPtr *doms = NULL;
	char uuid[VIR_UUID_STRING_BUFLEN] = "";
	int n = virConnectListAllDomains(r->to, &doms, 0);

	if (!arrival_is_plain_name(name))
		reasons_add(&r->reasons, "the domain's name has other characters than letters, digits and -_.+");
	for (int i = 0; i < n; i++) {
		(void)virDomainGetUUIDString(doms[i], uuid);
		if (strcmp(uuid, r->uuid) != 0 && !strncmp(virDomainGetName(doms[i]), name, ARRIVAL_SHORT_NAME))
			reasons_add(&r->reasons, "domain %.60s of the destination has the same first %u characters",
				virDomainGetName(doms[i]), ARRIVAL_SHORT_NAME);
		(void)virDomainFree(doms[i]);
	}
	free(doms);
}

static void
check_process(struct run *r)
{
	char kind[CMDLINE_VALUE_SIZE], err[CMDLINE_ERROR_SIZE] = "";
	const struct cmdline_option *object;
	unsigned cursor = 0;
	int rc;

	if (!find_process(r)) {
		reasons_add(&r->reasons, "its QEMU is no process that is seen here: is --from a daemon of this host?");
		return;
	}
	rc = cmdline_parse(r->process.words, r->process.words_len, &r->cmdline, err);
	if (rc) {
		reasons_add(&r->reasons, "%s", *err ? err : strerror(-rc));
		return;
	}
	(void)permit_find(r->o->socket, r->cmdline, &r->process, &r->permit, &r->reasons);
	if (r->o->is_plain)
		return;
	while ((object = cmdline_next(r->cmdline, "object", &cursor)))
		if (cmdline_get(object, "qom-type", kind) && !strncmp(kind, "memory-backend-", 15))
			take_memory(r, object, kind);
	check_dir(r);
	check_names(r);
}

// Whether a domain of this UUID is active there; -1: it is not known.
static int
is_active(virConnectPtr conn, const char *uuid)
{
	virDomainPtr dom = virDomainLookupByUUIDString(conn, uuid);
	int rc = dom ? virDomainIsActive(dom) : virGetLastErrorCode() == VIR_ERR_NO_DOMAIN ? 0 : -1;

	if (dom)
		(void)virDomainFree(dom);
	return rc;
}

static bool
is_state(virDomainPtr dom, int state)
{
	int now = -1, reason;

	return dom && !virDomainGetState(dom, &now, &reason, 0) && now == state;
}

// MOVE_OK, with all reasons against a move; or a status that was told.
static int
look(struct run *r)
{
	virDomainInfo info;

	r->from = virConnectOpen(r->o->from);
	if (!r->from) {
		reasons_add(&r->reasons, "libvirt at %.100s: %s", r->o->from, libvirt_error());
		return refuse(r, MOVE_UNREACHABLE);
	}
	r->dom = virDomainLookupByName(r->from, r->o->source);
	if (!r->dom)
		r->dom = virDomainLookupByUUIDString(r->from, r->o->source);
	if (!r->dom) {
		reasons_add(&r->reasons, "libvirt at %.100s has no domain '%.100s'", r->o->from, r->o->source);
		return refuse(r, MOVE_UNREACHABLE);
	}
	if (virDomainGetUUIDString(r->dom, r->uuid) || virDomainGetInfo(r->dom, &info) ||
		!(r->xml = virDomainGetXMLDesc(r->dom, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE))) {
		reasons_add(&r->reasons, "libvirt at %.100s: %s", r->o->from, libvirt_error());
		return refuse(r, MOVE_UNREACHABLE);
	}
	r->ram_bytes = (uint64_t)info.maxMem * 1024;
	r->is_persistent = virDomainIsPersistent(r->dom) > 0;
	(void)virDomainGetAutostart(r->dom, &r->is_autostarted);
	r->to = virConnectOpen(r->o->target);
	if (!r->to) {
		reasons_add(&r->reasons, "the destination, libvirt at %.100s: %s", r->o->target, libvirt_error());
		return refuse(r, MOVE_UNREACHABLE);
	}
	if (info.state != VIR_DOMAIN_RUNNING)
		reasons_add(&r->reasons, "the domain does not run");
	if (info.state == VIR_DOMAIN_SHUTOFF)
		return refuse(r, MOVE_REFUSED);
	if (is_active(r->to, r->uuid)) {
		reasons_add(&r->reasons, "the destination runs this domain: --to is the same daemon as --from");
		return refuse(r, MOVE_REFUSED);
	}
	(void)dxml_check(r->xml, r->o->is_plain, &r->reasons);
	check_process(r);
	return r->reasons.n ? refuse(r, MOVE_REFUSED) : MOVE_OK;
}

// ---- the move

// Through libvirt, in whose hands the source's QMP is. It calls the domain tainted from the first
// time on (custom-monitor).
static int
set_source_capability(struct run *r, bool is_on)
{
	char *text = NULL, *answer = NULL;
	json_t *command = json_pack("{s:s, s:{s:[{s:s, s:b}]}}", "execute", "migrate-set-capabilities", "arguments",
		       "capabilities", "capability", "x-ignore-shared", "state", (int)is_on),
	       *object = NULL;
	int rc;

	text = command ? json_dumps(command, JSON_COMPACT) : NULL;
	rc = text ? virDomainQemuMonitorCommand(r->dom, text, &answer, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) : -1;
	object = answer ? json_loads(answer, 0, NULL) : NULL;
	if (rc)
		reasons_add(&r->reasons, "source: %s", libvirt_error());
	else if (!json_object_get(object, "return"))
		reasons_add(&r->reasons, "source: it has no capability x-ignore-shared");
	rc = rc || !json_object_get(object, "return") ? -EREMOTE : 0;
	json_decref(object);
	json_decref(command);
	free(text);
	free(answer);
	return rc;
}

static void
on_ready(void *ctx)
{
	done(ctx, "start", "the destination has the memory, and waits");
}

static void *
arrive(void *ctx)
{
	arrival_run(ctx);
	return NULL;
}

// Ends a copy when a signal came, and a move without a copy that takes for ever.
static void *
watch(void *ctx)
{
	struct run *r = ctx;
	double end_ms = now_ms() + HAND_OVER_MS;

	while (!r->is_over) {
		if (r->o->is_plain ? steps_are_interrupted() : now_ms() > end_ms) {
			(void)virDomainAbortJob(r->dom);
			pause_ms(1000);
		}
		pause_ms(50);
	}
	return NULL;
}

// libvirt's part; it blocks. -1: its error says why not.
static int
migrate(struct run *r, const char *dxml)
{
	unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PEER2PEER | VIR_MIGRATE_UNSAFE;
	virTypedParameterPtr params = NULL;
	int n = 0, max = 0, rc;
	char *persistent = NULL;

	// The disks are those of one host, so that any cache is coherent: UNSAFE is not. A
	// definition that stays could be started while the domain runs elsewhere.
	if (r->is_persistent) {
		flags |= VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
		persistent = virDomainGetXMLDesc(
			r->dom, VIR_DOMAIN_XML_MIGRATABLE | VIR_DOMAIN_XML_SECURE | VIR_DOMAIN_XML_INACTIVE);
	}
	rc = virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_DEST_XML, dxml);
	if (!rc && r->migration_uri[0])
		rc = virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_URI, r->migration_uri);
	if (!rc && persistent)
		rc = virTypedParamsAddString(&params, &n, &max, VIR_MIGRATE_PARAM_PERSIST_XML, persistent);
	if (!rc)
		rc = virDomainMigrateToURI3(r->dom, r->o->target, params, (unsigned)n, flags);
	virTypedParamsFree(params, n);
	free(persistent);
	return rc;
}

// With the destination prepared on the side. err: libvirt's, or why the destination was not ready.
static int
hand_over(struct run *r, const char *dxml, char err[ARRIVAL_ERROR_SIZE])
{
	pthread_t arriving, watching;
	bool has_watch, has_arrival = false;
	int rc;

	has_watch = !pthread_create(&watching, NULL, watch, r);
	if (!r->o->is_plain)
		has_arrival = !pthread_create(&arriving, NULL, arrive, &r->arrival);
	rc = has_watch && (r->o->is_plain || has_arrival) ? migrate(r, dxml) : -1;
	if (rc)
		snprintf(err, ARRIVAL_ERROR_SIZE, "%.500s", has_watch ? libvirt_error() : "no thread");
	r->is_over = true;
	r->arrival.is_over = true;
	if (has_arrival)
		(void)pthread_join(arriving, NULL);
	if (has_watch)
		(void)pthread_join(watching, NULL);
	if (rc && r->arrival.err[0])
		snprintf(err, ARRIVAL_ERROR_SIZE, "%s", r->arrival.err);
	return rc;
}

// libvirt lets the source go on by itself. A source that is stopped is resumed when the destination
// has no such domain.
static int
go_back(struct run *r, const char *err)
{
	double end_ms = now_ms() + SETTLE_MS;

	while (!is_state(r->dom, VIR_DOMAIN_RUNNING) && now_ms() < end_ms)
		pause_ms(20);
	if (is_state(r->dom, VIR_DOMAIN_PAUSED) && !is_active(r->to, r->uuid))
		(void)virDomainResume(r->dom);
	if (r->is_capable)
		(void)set_source_capability(r, false);
	if (!is_state(r->dom, VIR_DOMAIN_RUNNING)) {
		reasons_add(&r->reasons, "%.400s. The source does not run the guest: look at both daemons", err);
		return refuse(r, MOVE_LOST);
	}
	reasons_add(&r->reasons, "the guest goes on where it was: %.400s", err);
	return refuse(r, MOVE_REFUSED);
}

static double
number_of(virTypedParameterPtr params, int n, const char *name)
{
	unsigned long long value = 0;

	(void)virTypedParamsGetULLong(params, n, name, &value);
	return (double)value;
}

static int
report(struct run *r, virDomainPtr dom)
{
	virTypedParameterPtr params = NULL;
	int n = 0, type;
	double total_ms, downtime_ms, copied, ram_mib = (double)r->ram_bytes / 1048576;
	bool is_copied;

	(void)virDomainGetJobStats(dom, &type, &params, &n, VIR_DOMAIN_JOB_STATS_COMPLETED);
	total_ms = number_of(params, n, VIR_DOMAIN_JOB_TIME_ELAPSED);
	downtime_ms = number_of(params, n, VIR_DOMAIN_JOB_DOWNTIME);
	copied = number_of(params, n, VIR_DOMAIN_JOB_MEMORY_PROCESSED);
	is_copied = n == 0 || copied * 100 >= (double)r->ram_bytes;
	virTypedParamsFree(params, n);
	if (!r->o->is_json) {
		printf("moved to %s: %.0f ms, of which the guest stood still for %.0f; %.2f of %.0f MiB sent%s\n",
			r->o->target, total_ms, downtime_ms, copied / 1048576, ram_mib, is_copied ? ": copied" : "");
		for (unsigned i = 0; i < r->messages.n; i++)
			printf("%s\n", r->messages.text[i]);
		return MOVE_OK;
	}
	return print_json(json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:b, s:i, s:o}", "way", way_name(r), "total_ms",
		       total_ms, "downtime_ms", downtime_ms, "copied_mib", copied / 1048576, "ram_mib", ram_mib,
		       "wall_ms", r->wall_ms, "copied", (int)is_copied, "pid", (int)r->arrival.pid, "messages",
		       texts_of(&r->messages))) ?
		MOVE_REFUSED :
		MOVE_OK;
}

// The guest left the source.
static int
confirm(struct run *r)
{
	virDomainPtr dom = virDomainLookupByUUIDString(r->to, r->uuid);
	char err[QMP_ERROR_SIZE];
	int rc;

	if (!is_state(dom, VIR_DOMAIN_RUNNING)) {
		reasons_add(&r->reasons, "libvirt says that the guest was moved, and the destination does not run it");
		rc = refuse(r, MOVE_LOST);
	} else {
		if (r->is_autostarted && virDomainSetAutostart(dom, 1))
			reasons_add(&r->messages, "it is not started by itself there: %s", libvirt_error());
		// Or its next migration, to another host, would leave the memory behind.
		if (!r->o->is_plain &&
			(!r->arrival.qmp ||
				qmp_call(r->arrival.qmp, "migrate-set-capabilities",
					json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "x-ignore-shared",
						"state", 0),
					ATTEMPT_ANSWER_MS, NULL, err)))
			reasons_add(&r->messages, "set x-ignore-shared to off in the destination by hand");
		done(r, "confirm", "it runs in the destination");
		r->wall_ms = now_ms() - r->begin_ms;
		rc = report(r, dom);
	}
	if (dom)
		(void)virDomainFree(dom);
	return rc;
}

static int
prepare(struct run *r)
{
	int rc = permit_give(&r->permit);

	if (rc) {
		reasons_add(&r->reasons, "rtvswitchd does not permit a second connection");
		return rc;
	}
	if (r->o->is_plain) {
		// The destination's own name may be none that is resolved.
		(void)snprintf(r->migration_uri, sizeof(r->migration_uri), "tcp://127.0.0.1");
		return 0;
	}
	(void)snprintf(r->migration_uri, sizeof(r->migration_uri), "unix://%.*s.sock",
		(int)(strlen(r->qmp_path) - strlen(".qmp")), r->qmp_path);
	(void)unlink(r->qmp_path);
	(void)unlink(r->migration_uri + strlen("unix://"));
	r->arrival.dir = r->dir;
	r->arrival.name = virDomainGetName(r->dom);
	r->arrival.qmp_path = r->qmp_path;
	r->arrival.ready = on_ready;
	r->arrival.ctx = r;
	rc = arrival_begin(&r->arrival);
	if (rc) {
		reasons_add(&r->reasons, "%.200s: %s", r->dir, strerror(-rc));
		return rc;
	}
	r->is_capable = true;
	return set_source_capability(r, true);
}

static int
move(struct run *r)
{
	unsigned n_renamed = 0;
	char err[ARRIVAL_ERROR_SIZE] = "", *dxml;
	int rc;

	r->begin_ms = now_ms();
	if (steps_are_interrupted()) {
		reasons_add(&r->reasons, "the guest goes on where it was: interrupted");
		return refuse(r, MOVE_REFUSED);
	}
	dxml = dxml_make(r->xml, r->o->is_plain ? NULL : r->qmp_path, &n_renamed);
	rc = dxml ? 0 : -ENOMEM;
	if (rc)
		reasons_add(&r->reasons, "no memory");
	if (!rc)
		rc = prepare(r);
	if (rc) {
		free(dxml);
		return go_back(r, "it could not be prepared");
	}
	if (n_renamed)
		reasons_add(&r->messages,
			"%u socket(s) of consoles have another path there, with or without " DXML_SUFFIX
			": see its XML",
			n_renamed);
	rc = hand_over(r, dxml, err);
	free(dxml);
	if (rc && is_active(r->to, r->uuid) > 0 && !is_state(r->dom, VIR_DOMAIN_RUNNING)) {
		reasons_add(&r->messages, "libvirt: %.400s", err);
		rc = 0;
	}
	if (rc)
		return go_back(r, err);
	done(r, "send", "the guest is handed over");
	return confirm(r);
}

static void
say_plan(const struct run *r)
{
	printf("domain %s, %.0f MiB, moves to %s by %s: %s\n", virDomainGetName(r->dom), (double)r->ram_bytes / 1048576,
		r->o->target, way_name(r),
		r->o->is_plain ? "its memory is copied" :
				 "libvirt will call it tainted: custom-monitor here, custom-argv there");
	fflush(stdout);
}

static void
run_end(struct run *r)
{
	arrival_end(&r->arrival);
	if (r->qmp_path[0] && r->migration_uri[0] && !r->o->is_plain) {
		(void)unlink(r->qmp_path);
		(void)unlink(r->migration_uri + strlen("unix://"));
	}
	permit_end(&r->permit);
	cmdline_destroy(r->cmdline);
	process_free(&r->process);
	for (unsigned i = 0; i < r->arrival.n_files; i++)
		free(r->arrival.files[i]);
	free(r->dir);
	free(r->xml);
	if (r->dom)
		(void)virDomainFree(r->dom);
	if (r->to)
		(void)virConnectClose(r->to);
	if (r->from)
		(void)virConnectClose(r->from);
}

int
domain_move_run(const struct options *o)
{
	struct run *r = calloc(1, sizeof(*r));
	int rc;

	if (!r)
		return MOVE_REFUSED;
	r->o = o;
	r->process.pidfd = -1;
	r->arrival.fd = -1;
	virSetErrorFunc(NULL, be_quiet);
	steps_catch_signals();
	rc = look(r);
	if (!rc) {
		if (!o->is_json)
			say_plan(r);
		if (o->is_check && o->is_json)
			(void)print_json(json_pack("{s:s, s:[]}", "way", way_name(r), "reasons"));
		if (!o->is_check)
			rc = move(r);
	}
	run_end(r);
	free(r);
	return rc;
}
