// Start, turn and stop of the control plane. Order of the start: the configuration that the daemon
// before kept, or else the file, is read and tried on a dry model, the datapath starts, the calls
// are executed, the sockets open last. So a socket that exists means a switch that works.
#include "ctl.h"

#include "capture.h"
#include "config.h"
#include "ctl_clock.h"
#include "datagrams.h"
#include "metrics.h"
#include "peer_reports.h"
#include "rpc_trace.h"
#include "rtvs/journal.h"
#include "rtvs/log.h"

#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define BEAT_NS 20000000 // between two turns of what goes on with other hosts

static void
on_beat(struct loop_source *source, uint32_t events)
{
	struct ctl *ctl = LOOP_OWNER(source, struct ctl, beat);
	uint64_t n;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) != sizeof(n))
		return;
	dp_clock_follow(ctl->plane.dp);
	peer_reports_send(ctl);
	peers_turn(ctl);
	probes_turn(ctl);
	// Last: a worker that shares this CPU sends the request when this thread is done, so that
	// its time is known precisely.
	peers_ask_clocks(ctl);
}

static void
set_beat(struct ctl *ctl, bool is_on)
{
	const struct itimerspec beat = {.it_interval = {.tv_nsec = BEAT_NS}, .it_value = {.tv_nsec = BEAT_NS}};

	if (is_on == (ctl->beat.fd >= 0))
		return;
	if (!is_on) {
		loop_close(&ctl->loop, &ctl->beat);
		return;
	}
	ctl->beat = (struct loop_source){
		.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), .on_ready = on_beat};
	if (ctl->beat.fd < 0 || timerfd_settime(ctl->beat.fd, 0, &beat, NULL) ||
		loop_add(&ctl->loop, &ctl->beat, EPOLLIN))
		log_warning("peers: no timer: %s", strerror(errno));
}

static void
on_changed(void *arg, const char *what, const char *name)
{
	struct ctl *ctl = arg;

	if (strcmp(what, "port.del") == 0)
		(void)capture_stop(ctl, name, "the port was removed");
	events_changed(ctl, what, name);
	if (strncmp(what, "port.", strlen("port.")) == 0)
		set_beat(ctl, peers_sync(ctl)); // stamps need the clock, peers or none
}

static void
on_signal(struct loop_source *source, uint32_t events)
{
	struct ctl *ctl = LOOP_OWNER(source, struct ctl, signal);
	struct signalfd_siginfo info;

	(void)events;
	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	ctl->system.is_stopping = true;
	ctl->has_sigterm = info.ssi_signo == SIGTERM;
}

static void
on_tick(struct loop_source *source, uint32_t events)
{
	struct ctl *ctl = LOOP_OWNER(source, struct ctl, tick);
	uint64_t n;

	(void)events;
	if (read(source->fd, &n, sizeof(n)) != sizeof(n))
		return;
	dp_housekeeping(ctl->plane.dp);
	datagrams_drain(ctl);
	server_tick(&ctl->server);
	channels_tick(&ctl->channels);
	metrics_tick(ctl->metrics);
	rpc_trace_tick(&ctl->trace);
	running_tick(&ctl->running);
	notify_tick(&ctl->notify, ctl->plane.dp, ctl_now_ns());
}

static void
on_dp_events(struct loop_source *source, uint32_t events)
{
	struct ctl *ctl = LOOP_OWNER(source, struct ctl, dp_events);

	(void)events;
	events_drain(ctl);
	datagrams_drain(ctl);
}

// Before the datapath's threads start: they inherit the mask, so signals come here.
static int
open_signals(struct ctl *ctl)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	(void)signal(SIGPIPE, SIG_IGN);
	ctl->signal.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return ctl->signal.fd < 0 ? -errno : loop_add(&ctl->loop, &ctl->signal, EPOLLIN);
}

static int
open_sources(struct ctl *ctl)
{
	const struct itimerspec second = {.it_interval = {.tv_sec = 1}, .it_value = {.tv_sec = 1}};
	int rc;

	ctl->tick.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (ctl->tick.fd < 0 || timerfd_settime(ctl->tick.fd, 0, &second, NULL) < 0)
		return -errno;
	rc = loop_add(&ctl->loop, &ctl->tick, EPOLLIN);
	if (rc < 0)
		return rc;
	ctl->dp_events.fd = dp_event_fd(ctl->plane.dp);
	return loop_add(&ctl->loop, &ctl->dp_events, EPOLLIN);
}

// Error of a call of the file as this process's exit needs it.
static int
file_error(const struct ctl *ctl, struct rpc_error *error, char err[DP_ERR_SIZE])
{
	const char *name = json_string_value(json_object_get(error->data, "errno"));
	int rc = -EINVAL;

	(void)snprintf(err, DP_ERR_SIZE, "%.80s: %.170s", ctl->params.config, error->message);
	if (name && strcmp(name, "ENOMEM") == 0)
		rc = -ENOMEM;
	json_decref(error->data);
	return rc;
}

// An empty model and its datapath.
static int
open_dp(struct ctl *ctl, const struct dp_system_cfg *system, char err[DP_ERR_SIZE])
{
	int rc;

	ctl->plane.live = model_create(system);
	rc = ctl->plane.live ? dp_init(&ctl->plane.live->system, &ctl->plane.dp, err) : -ENOMEM;
	if (rc < 0)
		return rc;
	notify_give_stored(ctl->plane.dp);
	ctl->plane.model = ctl->plane.live;
	ctl->plane.live->dp = ctl->plane.dp;
	ctl->plane.live->changed = on_changed;
	ctl->plane.live->changed_arg = ctl;
	ctl->plane.live->open_channel = channels_open;
	ctl->plane.live->flushed = channels_flushed;
	ctl->plane.live->close_channel = channels_close;
	ctl->plane.live->channels = &ctl->channels;
	ctl->plane.live->is_starting = true;
	return 0;
}

// The datapath, in the state that the file describes. calls NULL: no file.
static int
start_dp(struct ctl *ctl, json_t *calls, char err[DP_ERR_SIZE])
{
	struct rpc_error error = {0};
	struct model *target = NULL;
	unsigned n_changes;
	int rc;

	if (calls && config_check(ctl, calls, true, &target, &error) < 0)
		return file_error(ctl, &error, err);
	ctl->running.source = calls ? RUNNING_SAVED : RUNNING_EMPTY;
	ctl->running.started = target ? target->system : ctl->params.system;
	rc = open_dp(ctl, &ctl->running.started, err);
	if (!rc && target && config_install(ctl, target, calls, &n_changes, &error) < 0)
		rc = file_error(ctl, &error, err);
	if (!rc)
		ctl->plane.live->is_starting = false;
	model_destroy(target);
	return rc;
}

// What is fixed while a daemon runs: from the command line and the saved configuration, so that
// both can be changed for the next start. Where the latter is not what the daemon before knew, or
// has an error, that daemon's values serve.
static struct dp_system_cfg
kept_system(struct ctl *ctl, json_t *saved, const struct running_log *kept)
{
	struct dp_system_cfg system = ctl->params.system;
	char present[RUNNING_LOG_ID_SIZE];
	struct rpc_error error = {0};
	struct model *target = NULL;
	json_t *calls;

	config_fingerprint(ctl->params.config, present);
	if (strcmp(present, kept->saved) == 0) {
		if (!saved || config_check(ctl, saved, true, &target, &error) == 0) {
			system = target ? target->system : system;
			model_destroy(target);
			return system;
		}
		log_warning("%s: %s: not saved again since", ctl->params.config, error.message);
		json_decref(error.data);
	} else if (ctl->params.config) {
		log_warning("%s was changed since the daemon read it: not applied after a crash; 'rtvsctl config diff' "
			    "compares",
			ctl->params.config);
	}
	calls = json_pack("[{s:s, s:O}]", "method", "system.init", "params", kept->system);
	error = (struct rpc_error){0};
	if (calls && config_check(ctl, calls, true, &target, &error) == 0)
		system = target->system;
	json_decref(error.data);
	json_decref(calls);
	model_destroy(target);
	return system;
}

// The ports that are handed over are made, then the former daemon stops. What it had open until
// then is left for the whole target.
static int
take_over_between(struct ctl *ctl, const struct model *target, char err[DP_ERR_SIZE])
{
	struct model *first = take_over_first(&ctl->take_over, target);
	json_t *ignored = json_array();
	int rc = first && ignored ? 0 : -ENOMEM;

	if (!rc) {
		take_over_ids(ctl);
		// The former daemon has the sockets of channels until it releases what it could not
		// share.
		ctl->plane.live->has_no_channels = true;
		config_follow(ctl, first, ignored);
		rc = take_over_run(ctl, err);
		if (!rc)
			model_eswitch_open_channels(ctl->plane.live);
	}
	model_destroy(first);
	json_decref(ignored);
	return rc;
}

// The datapath, as near to the state of the daemon before as it goes. saved: calls of the file,
// NULL: none.
static int
start_kept(struct ctl *ctl, json_t *saved, const struct running_log *kept, char err[DP_ERR_SIZE])
{
	json_t *refused = json_array();
	struct model *target;
	int rc = -ENOMEM;

	if (ctl->take_over.fd < 0)
		log_info("goes on with the configuration of the daemon before, %s.running", ctl->params.socket);
	ctl->running.source = RUNNING_KEPT;
	ctl->running.started = kept_system(ctl, saved, kept);
	target = config_gather(ctl, &ctl->running.started, kept->calls, refused);
	if (target)
		rc = open_dp(ctl, &target->system, err);
	if (!rc && ctl->take_over.fd >= 0)
		rc = take_over_between(ctl, target, err);
	if (!rc) {
		config_follow(ctl, target, refused);
		if (ctl->params.take_over)
			take_over_peers(ctl);
		dp_state_end(ctl->plane.dp);
		ctl->plane.live->is_starting = false;
		ctl->running.n_refused = (unsigned)json_array_size(refused);
		running_set_aside(&ctl->running, LOG_LEVEL_WARNING, refused);
	}
	model_destroy(target);
	json_decref(refused);
	return rc;
}

// The state of the daemon before, if it kept one for this start, else that of the file. A file with
// an error is only an error when it is needed.
static int
start(struct ctl *ctl, char err[DP_ERR_SIZE])
{
	struct running_log kept;
	bool is_kept = true;
	json_t *calls = NULL;
	int rc = 0;

	if (ctl->take_over.fd >= 0)
		rc = take_over_hello(ctl, &kept, err);
	else
		is_kept = running_load(&ctl->running, ctl->params.config, ctl->params.is_fresh, &kept);
	if (rc)
		return rc;
	if (ctl->params.config)
		calls = config_load(ctl->params.config, &rc, err);
	if (is_kept) {
		if (rc)
			log_warning("%s", err);
		err[0] = '\0';
		rc = start_kept(ctl, calls, &kept, err);
		running_log_fini(&kept);
	} else if (!rc) {
		rc = start_dp(ctl, calls, err);
	}
	json_decref(calls);
	return rc;
}

// fd: of a former daemon, -1: there is none.
static int
open_socket(struct ctl *ctl, const char *path, int fd, bool is_read_only, char err[DP_ERR_SIZE])
{
	const struct server_socket file = {.path = path, .group = ctl->params.group, .mode = 0660};

	return fd >= 0 ? server_take(&ctl->server, fd, path, is_read_only) :
			 server_listen(&ctl->server, &file, is_read_only, err);
}

static int
open_sockets(struct ctl *ctl, char err[DP_ERR_SIZE])
{
	const struct ctl_params *p = &ctl->params;
	int rc = 0;

	if (p->metrics)
		rc = metrics_create(ctl, p->metrics, &ctl->metrics, err);
	if (rc && ctl->take_over.is_begun) {
		log_error("%s: no metrics until the next start", err);
		rc = 0;
	}
	if (rc == 0 && p->monitor_socket)
		rc = open_socket(ctl, p->monitor_socket, ctl->take_over.monitor, true, err);
	if (rc == 0)
		rc = open_socket(ctl, p->socket, ctl->take_over.control, false, err);
	return rc;
}

// /run is empty after a boot, and only systemd makes our directory there.
static void
make_directory(const char *socket)
{
	char path[RTVS_PATH_SIZE];

	(void)snprintf(path, sizeof(path), "%s", socket);
	(void)mkdir(dirname(path), 0755);
}

void
ctl_done(void *ctx, const struct rpc_method *method, const json_t *params, int rc)
{
	struct ctl *ctl = ctx;

	running_done(&ctl->running, method, params, rc);
}

int
ctl_create(const struct ctl_params *params, struct ctl **ret_ctl, char err[DP_ERR_SIZE])
{
	struct ctl *ctl = calloc(1, sizeof(*ctl));
	int rc = 0;

	err[0] = '\0';
	log_set_sink(journal_send);
	if (!ctl)
		return -ENOMEM;
	ctl->params = *params;
	(void)snprintf(
		ctl->params.system.ring_states, sizeof(ctl->params.system.ring_states), "%s.rings", params->socket);
	if (notify_has_store())
		ctl->params.system.fd_store =
			(struct dp_fd_store){.store = notify_store, .forget = notify_forget, .barrier = notify_barrier};
	running_init(&ctl->running, &ctl->plane, params->socket);
	take_over_init(&ctl->take_over, params->take_over ? params->take_over : -1);
	ctl->params.system.is_standby = params->take_over;
	upgrade_init(&ctl->upgrade);
	ctl->system = (struct rpc_system){.plane = &ctl->plane,
		.server = &ctl->server,
		.ctl = ctl,
		.running = &ctl->running,
		.version = params->version,
		.start_ns = ctl_now_ns()};
	ctl->config = (struct rpc_config){
		.plane = &ctl->plane, .ctl = ctl, .api = ctl_api(), .running = &ctl->running, .file = params->config};
	ctl->trace.plane = &ctl->plane;
	ctl->signal = (struct loop_source){.fd = -1, .on_ready = on_signal};
	ctl->tick = (struct loop_source){.fd = -1, .on_ready = on_tick};
	ctl->dp_events = (struct loop_source){.fd = -1, .on_ready = on_dp_events};
	ctl->beat.fd = -1;
	rc = sodium_init() < 0 ? -ENOSYS : loop_init(&ctl->loop);
	server_init(&ctl->server, &ctl->loop, ctl->config.api, ctl);
	ctl->server.done = ctl_done;
	channels_init(&ctl->channels, &ctl->plane, &ctl->loop,
		&(struct rpc_session){.api = ctl->config.api, .ctx = ctl, .deny_flags = RPC_STARTUP, .done = ctl_done});
	notify_init(&ctl->notify);
	if (rc < 0)
		goto err_ctl;
	make_directory(params->socket);
	if (!params->take_over)
		rc = server_probe(params->socket, err);
	if (rc == 0)
		rc = open_signals(ctl);
	if (rc == 0)
		rc = start(ctl, err);
	if (rc == 0)
		rc = open_sources(ctl);
	if (rc == 0)
		rc = open_sockets(ctl, err);
	if (rc < 0)
		goto err_ctl;
	running_begin(&ctl->running);
	take_over_clients(ctl);
	*ret_ctl = ctl;
	return 0;

err_ctl:
	if (!err[0])
		(void)snprintf(err, DP_ERR_SIZE, "start: %s", strerror(-rc));
	if (params->take_over)
		take_over_fail(&ctl->take_over, err);
	// With the guests, another start helps, whatever the error is.
	if (params->take_over)
		return ctl->take_over.is_begun ? -EIO : rc;
	ctl_destroy(ctl);
	return rc;
}

static int
next_timeout(struct ctl *ctl)
{
	int capture_ms = capture_poll(ctl);
	int metrics_ms = metrics_timeout(ctl->metrics);

	if (capture_ms < 0 || metrics_ms < 0)
		return capture_ms < 0 ? metrics_ms : capture_ms;
	return capture_ms < metrics_ms ? capture_ms : metrics_ms;
}

int
ctl_run(struct ctl *ctl)
{
	char status[64];
	int rc = 0;

	(void)snprintf(
		status, sizeof(status), "%u ports on %u bridges", ctl->plane.live->n_ports, ctl->plane.live->n_bridges);
	log_info("ready: %s, %u workers, socket %s", status, dp_n_workers(ctl->plane.dp), ctl->params.socket);
	notify_ready(status);
	while (!ctl->system.is_stopping && rc == 0) {
		rc = loop_turn(&ctl->loop, next_timeout(ctl));
		server_reap(&ctl->server);
		if (ctl->metrics)
			metrics_run(ctl->metrics);
	}
	if (ctl_is_handed_over(ctl))
		return ctl->upgrade.is_lost ? -EPIPE : 0;
	notify_stopping();
	if (rc == 0)
		running_end(&ctl->running, !ctl->has_sigterm);
	log_info("stopping");
	return rc;
}

bool
ctl_is_handed_over(const struct ctl *ctl)
{
	return ctl->upgrade.is_done || ctl->upgrade.is_lost;
}

void
ctl_destroy(struct ctl *ctl)
{
	if (!ctl)
		return;
	if (ctl->plane.dp)
		capture_stop_all(ctl);
	server_fini(&ctl->server);
	channels_fini(&ctl->channels);
	metrics_destroy(ctl->metrics);
	running_fini(&ctl->running);
	probes_fini(ctl);
	peers_fini(ctl);
	ctl->dp_events.fd = -1; // the datapath's own
	loop_close(&ctl->loop, &ctl->beat);
	loop_close(&ctl->loop, &ctl->tick);
	loop_close(&ctl->loop, &ctl->signal);
	dp_fini(ctl->plane.dp);
	model_destroy(ctl->plane.live);
	loop_fini(&ctl->loop);
	free(ctl);
}
