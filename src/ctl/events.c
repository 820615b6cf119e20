// All events come together here: changes of the model, the datapath's event ring, captures that
// end. A guest can cause events at will. Lines in the log are limited per port, subscribers by
// their backlog (server.c).
#include "events.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "rtvs/units.h"

#include <assert.h>
#include <ctype.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t
events_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void
events_add_time(json_t *params, uint64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / 1000000000u);
	struct tm tm;
	char date[32], text[64];

	if (!gmtime_r(&seconds, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return;
	(void)snprintf(text, sizeof(text), "%s.%09uZ", date, (unsigned)(time_ns % 1000000000u));
	(void)json_object_set_new(params, "time", json_string(text));
}

#define NAME(id, name, when) [DP_EVENT_##id] = name,
#define FURTHER_NAME(id, name, when) ", " name
static const char *const names[] = {EVENT_LIST(NAME)};
static const char all_names[] = EVENT_LIST(FURTHER_NAME);
const char *const events_names = all_names + sizeof(", ") - 1;

// The next of the patterns. False: there is none. One that is too long is cut: it matches nothing.
static bool
next_pattern(const char **patterns, char buf[SERVER_MAX_PATTERNS])
{
	const char *from = *patterns;
	size_t len = strcspn(from, ",");

	if (!*from)
		return false;
	*patterns += len + (from[len] == ',');
	(void)snprintf(buf, SERVER_MAX_PATTERNS, "%.*s", (int)len, from);
	return true;
}

bool
events_match(const char *patterns, const char *name)
{
	char pattern[SERVER_MAX_PATTERNS];

	if (!patterns[0])
		return true;
	while (next_pattern(&patterns, pattern))
		if (fnmatch(pattern, name, 0) == 0)
			return true;
	return false;
}

static bool
is_known(const char *pattern)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fnmatch(pattern, names[i], 0) == 0)
			return true;
	return false;
}

bool
events_check(const char *patterns, char buf[SERVER_MAX_PATTERNS])
{
	while (next_pattern(&patterns, buf))
		if (!is_known(buf))
			return false;
	return true;
}

static void
emit_at(struct ctl *ctl, const char *name, json_t *params, uint64_t time_ns)
{
	json_t *message = NULL;

	assert(is_known(name));
	if (params) {
		events_add_time(params, time_ns);
		message = json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", name, "params", params);
	}
	for (struct server_client *c = ctl->server.clients; message && c; c = c->next) {
		if (!c->is_subscribed || !events_match(c->patterns, name))
			continue;
		server_send(c, message);
		ctl->events.n_sent++;
	}
	json_decref(message);
	json_decref(params);
}

void
events_emit(struct ctl *ctl, const char *name, json_t *params)
{
	emit_at(ctl, name, params, events_now_ns());
}

// What the datapath has told, when it happened.
static void
pass_on(struct ctl *ctl, const struct dp_event *ev, json_t *params)
{
	emit_at(ctl, names[ev->type], params, ev->time_ns);
}

// The virtual machine of the port; NULL: none, or no such port.
static const char *
domain_of(const struct ctl *ctl, const char *noun, const char *name)
{
	const struct model_port *port = strcmp(noun, "port") ? NULL : model_port_find(ctl->plane.live, name);

	return port ? port->cfg.domain : NULL;
}

// A guest can change the ports of its eswitch at will.
static void
log_changed(struct ctl *ctl, const char *what, const char *name, const struct log_about *about)
{
	const struct model_port *port = strcmp(what, "port.set") ? NULL : model_port_find(ctl->plane.live, name);
	int vf;

	if (port && model_eswitch_of(ctl->plane.live, name, &vf))
		events_log(ctl, port->id, LOG_LEVEL_INFO, about, "%s %s", what, name);
	else
		log_about(LOG_LEVEL_INFO, about, "%s%s%s", what, name[0] ? " " : "", name);
}

void
events_changed(void *arg, const char *what, const char *name)
{
	size_t noun = strcspn(what, ".");
	char key[16] = "", field[16] = "";

	memcpy(key, what, noun < sizeof(key) ? noun : sizeof(key) - 1);
	for (size_t i = 0; key[i]; i++)
		field[i] = (char)toupper((unsigned char)key[i]);
	log_changed(arg, what, name, LOG_ABOUT(NULL, {field, name}, {"DOMAIN", domain_of(arg, key, name)}));
	events_emit(arg, what, name[0] ? json_pack("{s:s}", key, name) : json_object());
}

bool
events_limit_pass(struct events_limit *limit, uint32_t *ret_suppressed, uint64_t now_ns)
{
	*ret_suppressed = 0;
	if (limit->window_ns == 0 || now_ns - limit->window_ns >= EVENTS_LOG_WINDOW_NS) {
		*ret_suppressed = limit->n_suppressed;
		*limit = (struct events_limit){.window_ns = now_ns};
	}
	if (limit->n_lines == EVENTS_LOG_BURST) {
		limit->n_suppressed++;
		return false;
	}
	limit->n_lines++;
	return true;
}

void
events_log(struct ctl *ctl, unsigned port, enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	uint32_t n_suppressed;
	char text[512];
	va_list args;

	if (!events_limit_pass(&ctl->events.limits[port], &n_suppressed, ctl_now_ns()))
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n_suppressed > 0)
		log_about(level, about, "%s (%u lines about it were suppressed)", text, n_suppressed);
	else
		log_about(level, about, "%s", text);
}

#define ABOUT_PORT(cfg, id) LOG_ABOUT(id, {"PORT", (cfg)->name}, {"DOMAIN", (cfg)->domain}, {"BRIDGE", (cfg)->bridge})

// The kernel's name of a process, which is read without waiting for the process; its command line
// is not.
static void
read_command(uint64_t pid, char text[32])
{
	char path[40];
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%llu/comm", (unsigned long long)pid);
	f = fopen(path, "re");
	if (!f || !fgets(text, 32, f))
		(void)snprintf(text, 32, "?");
	text[strcspn(text, "\n")] = '\0';
	if (f)
		(void)fclose(f);
}

static void
on_refused(struct ctl *ctl, const struct dp_event *ev, const struct dp_port_cfg *cfg)
{
	char command[32];

	read_command(ev->value, command);
	events_log(ctl, ev->port, LOG_LEVEL_WARNING, ABOUT_PORT(cfg, LOG_ID_FRONT_END_REFUSED),
		"port %s: refused process %llu (%s): process %d has the port. Give each interface a port and a socket "
		"of its own "
		"(libvirt: <source path='%s'/> of the interface; QEMU: path= of its -chardev), or ask for a move: "
		"rtvsctl port move %s",
		cfg->name, (unsigned long long)ev->value, command, (int)ev->holder_pid, cfg->socket, cfg->name);
	pass_on(ctl, ev,
		json_pack("{s:s, s:I, s:s, s:i}", "port", cfg->name, "pid", (json_int_t)ev->value, "command", command,
			"holder", (int)ev->holder_pid));
}

// cfg: of the port that is held back.
static void
on_hold(struct ctl *ctl, const struct dp_event *ev, const struct dp_port_cfg *cfg)
{
	const struct model_port *by = ev->value < DP_MAX_PORTS ? ctl->plane.live->port_by_id[ev->value] : NULL;

	if (!by)
		return;
	events_log(ctl, ev->port, LOG_LEVEL_INFO, ABOUT_PORT(cfg, NULL),
		"port %s: sends faster than port %s, which holds it back for moments", cfg->name, by->cfg.name);
	pass_on(ctl, ev, json_pack("{s:s, s:s}", "port", cfg->name, "by", by->cfg.name));
}

static void
on_link(struct ctl *ctl, const struct dp_event *ev, const struct dp_port_cfg *cfg)
{
	const char *link = ev->is_up ? "up" : "down";
	struct dp_port_state state = {0};

	channels_link(&ctl->channels, cfg->name, ev->is_up);
	if (!ev->is_up)
		(void)dp_port_state(ctl->plane.dp, ev->port, &state);
	events_log(ctl, ev->port, LOG_LEVEL_INFO, ABOUT_PORT(cfg, NULL), "port %s: link %s%s%s", cfg->name, link,
		state.detail[0] ? ": " : "", state.detail);
	pass_on(ctl, ev,
		json_pack("{s:s, s:s, s:s*}", "port", cfg->name, "link", link, "detail",
			state.detail[0] ? state.detail : NULL));
}

static void
on_port_event(struct ctl *ctl, const struct dp_event *ev, const struct dp_port_cfg *cfg)
{
	unsigned long long value = (unsigned long long)ev->value;
	const char *port = cfg->name;

	switch (ev->type) {
	case DP_EVENT_LINK:
		on_link(ctl, ev, cfg);
		break;
	case DP_EVENT_CONNECT:
		events_log(ctl, ev->port, LOG_LEVEL_INFO,
			ABOUT_PORT(cfg, ev->is_up ? LOG_ID_GUEST_CONNECTED : LOG_ID_GUEST_LEFT),
			"port %s: front-end %s", port, ev->is_up ? "connected" : "left");
		pass_on(ctl, ev, json_pack("{s:s, s:b}", "port", port, "connected", ev->is_up));
		break;
	case DP_EVENT_MAC_LIMIT:
		events_log(ctl, ev->port, LOG_LEVEL_WARNING, ABOUT_PORT(cfg, NULL), "port %s: MAC limit reached (%llu)",
			port, value);
		pass_on(ctl, ev, json_pack("{s:s, s:I}", "port", port, "limit", (json_int_t)ev->value));
		break;
	case DP_EVENT_GUEST_ERROR:
		events_log(ctl, ev->port, LOG_LEVEL_WARNING, ABOUT_PORT(cfg, LOG_ID_GUEST_ERROR),
			"port %s: guest or front-end broke the rules %llu times%s%s", port, value,
			ev->cause[0] ? ", last: " : "", ev->cause);
		pass_on(ctl, ev,
			json_pack("{s:s, s:I, s:s}", "port", port, "count", (json_int_t)ev->value, "cause", ev->cause));
		break;
	case DP_EVENT_REFUSED:
		on_refused(ctl, ev, cfg);
		break;
	case DP_EVENT_HOLD:
		on_hold(ctl, ev, cfg);
		break;
	case DP_EVENT_PATH_MTU:
		events_log(ctl, ev->port, ev->is_up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, ABOUT_PORT(cfg, NULL),
			ev->is_up ? "port %s: takes packets of %llu bytes again" :
				    "port %s: takes packets of %llu bytes at most for 10 minutes, says the network",
			port, value);
		pass_on(ctl, ev,
			json_pack(
				"{s:s, s:I, s:b}", "port", port, "mtu", (json_int_t)ev->value, "lowered", !ev->is_up));
		break;
	default: // nothing for the log, nor to be said in words
		pass_on(ctl, ev, json_pack("{s:s, s:I}", "port", port, "value", (json_int_t)ev->value));
		break;
	}
}

static void
on_stall(struct ctl *ctl, const struct dp_event *ev)
{
	char time[UNITS_TEXT_SIZE], worker[16];

	(void)snprintf(worker, sizeof(worker), "%u", (unsigned)ev->worker);
	events_log(ctl, DP_MAX_PORTS, LOG_LEVEL_WARNING, LOG_ABOUT(LOG_ID_WORKER_STALL, {"WORKER", worker}),
		"worker %s: lost its core for %s", worker, units_format_time(ev->value, time));
	pass_on(ctl, ev, json_pack("{s:i, s:I}", "worker", (int)ev->worker, "stall_ns", (json_int_t)ev->value));
}

// The port is not in the model any more, and its number may be another's.
static void
on_drained(struct ctl *ctl, const struct dp_event *ev)
{
	events_log(ctl, DP_MAX_PORTS, LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", ev->cause}),
		"port %s: closed; %llu packets that waited for it were dropped", ev->cause,
		(unsigned long long)ev->value);
	pass_on(ctl, ev, json_pack("{s:s, s:I}", "port", ev->cause, "dropped", (json_int_t)ev->value));
}

static void
on_mac_moves(struct ctl *ctl, const struct dp_event *ev)
{
	for (unsigned i = 0; i < ctl->plane.live->n_bridges; i++) {
		const struct dp_bridge_cfg *cfg = &ctl->plane.live->bridges[i]->cfg;

		if (ctl->plane.live->bridges[i]->id != ev->bridge)
			continue;
		events_log(ctl, DP_MAX_PORTS, LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"BRIDGE", cfg->name}),
			"bridge %s: %llu MACs a second move between its ports: a loop, or two guests with one MAC",
			cfg->name, (unsigned long long)ev->value);
		pass_on(ctl, ev,
			json_pack("{s:s, s:I, s:I}", "bridge", cfg->name, "per_s", (json_int_t)ev->value, "limit",
				(json_int_t)cfg->mac_moves));
	}
}

static void
on_dp_event(struct ctl *ctl, const struct dp_event *ev)
{
	const struct model_port *port = ev->port < DP_MAX_PORTS ? ctl->plane.live->port_by_id[ev->port] : NULL;

	if (ev->type == DP_EVENT_STALL) {
		on_stall(ctl, ev);
	} else if (ev->type == DP_EVENT_DRAINED) {
		on_drained(ctl, ev);
	} else if (ev->type == DP_EVENT_MAC_MOVES) {
		on_mac_moves(ctl, ev);
	} else if (port) {
		on_port_event(ctl, ev, &port->cfg);
	} else if (ev->type == DP_EVENT_MAC_LIMIT) {
		events_log(ctl, DP_MAX_PORTS, LOG_LEVEL_WARNING, NULL, "a bridge has reached its MAC limit");
		pass_on(ctl, ev, json_pack("{s:I}", "limit", (json_int_t)ev->value));
	}
	// Else the port went while its event was on the way.
}

void
events_drain(struct ctl *ctl)
{
	struct dp_event ev;

	while (dp_event_next(ctl->plane.dp, &ev))
		on_dp_event(ctl, &ev);
}
