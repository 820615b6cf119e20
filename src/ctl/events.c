// Where events come together: changes of the model, the datapath's event ring, captures that end. A guest can cause
// events at will; lines in the log are limited per port, subscribers by their backlog (server.c).
#include "events.h"

#include "ctl.h"
#include "rtvs/log.h"
#include "rtvs/units.h"

#include <fnmatch.h>
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

bool
events_match(const char *patterns, const char *name)
{
	char pattern[SERVER_MAX_PATTERNS];

	if (!patterns[0])
		return true;
	while (*patterns) {
		size_t len = strcspn(patterns, ",");
		if (len < sizeof(pattern)) {
			memcpy(pattern, patterns, len);
			pattern[len] = '\0';
			if (fnmatch(pattern, name, 0) == 0)
				return true;
		}
		patterns += len + (patterns[len] == ',');
	}
	return false;
}

static void
emit_at(struct ctl *ctl, const char *name, json_t *params, uint64_t time_ns)
{
	json_t *message = NULL;

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

void
events_changed(void *arg, const char *what, const char *name)
{
	size_t noun = strcspn(what, ".");
	char key[16] = "";

	memcpy(key, what, noun < sizeof(key) ? noun : sizeof(key) - 1);
	log_info("%s%s%s", what, name[0] ? " " : "", name);
	events_emit(arg, what, name[0] ? json_pack("{s:s}", key, name) : json_object());
	if (!strcmp(key, "port"))
		peers_sync(arg);
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

// One line about a port (or, past the last one, about the switch), unless there were too many.
static void
log_limited(struct ctl *ctl, unsigned port, enum log_level level, const char *text)
{
	uint32_t n_suppressed;

	if (!events_limit_pass(&ctl->events.limits[port], &n_suppressed, ctl_now_ns()))
		return;
	if (n_suppressed > 0)
		log_write(level, "%s (%u lines about it were suppressed)", text, n_suppressed);
	else
		log_write(level, "%s", text);
}

static void
on_port_event(struct ctl *ctl, const struct dp_event *ev, const char *port)
{
	char text[160];

	switch (ev->type) {
	case DP_EVENT_LINK:
		(void)snprintf(text, sizeof(text), "port %s: link %s", port, ev->is_up ? "up" : "down");
		log_limited(ctl, ev->port, LOG_LEVEL_INFO, text);
		emit_at(ctl, "port.link", json_pack("{s:s, s:s}", "port", port, "link", ev->is_up ? "up" : "down"),
			ev->time_ns);
		break;
	case DP_EVENT_CONNECT:
		(void)snprintf(text, sizeof(text), "port %s: front-end %s", port, ev->is_up ? "connected" : "left");
		log_limited(ctl, ev->port, LOG_LEVEL_INFO, text);
		emit_at(ctl, "port.connect", json_pack("{s:s, s:b}", "port", port, "connected", ev->is_up),
			ev->time_ns);
		break;
	case DP_EVENT_MAC_LIMIT:
		(void)snprintf(
			text, sizeof(text), "port %s: MAC limit reached (%llu)", port, (unsigned long long)ev->value);
		log_limited(ctl, ev->port, LOG_LEVEL_WARNING, text);
		emit_at(ctl, "mac.limit", json_pack("{s:s, s:I}", "port", port, "limit", (json_int_t)ev->value),
			ev->time_ns);
		break;
	case DP_EVENT_GUEST_ERROR:
		(void)snprintf(text, sizeof(text), "port %s: guest or front-end broke the rules (%llu times so far)",
			port, (unsigned long long)ev->value);
		log_limited(ctl, ev->port, LOG_LEVEL_WARNING, text);
		emit_at(ctl, "guest.error", json_pack("{s:s, s:I}", "port", port, "count", (json_int_t)ev->value),
			ev->time_ns);
		break;
	case DP_EVENT_STALL:
		break;
	}
}

static void
on_dp_event(struct ctl *ctl, const struct dp_event *ev)
{
	const struct model_port *port = ev->port < DP_MAX_PORTS ? ctl->live->port_by_id[ev->port] : NULL;
	char time[UNITS_TEXT_SIZE], text[160];

	if (ev->type == DP_EVENT_STALL) {
		(void)snprintf(text, sizeof(text), "worker %u: lost its core for %s", ev->worker,
			units_format_time(ev->value, time));
		log_limited(ctl, DP_MAX_PORTS, LOG_LEVEL_WARNING, text);
		emit_at(ctl, "worker.stall",
			json_pack("{s:i, s:I}", "worker", (int)ev->worker, "stall_ns", (json_int_t)ev->value),
			ev->time_ns);
	} else if (port) {
		on_port_event(ctl, ev, port->cfg.name);
	} else if (ev->type == DP_EVENT_MAC_LIMIT) {
		log_limited(ctl, DP_MAX_PORTS, LOG_LEVEL_WARNING, "a bridge has reached its MAC limit");
		emit_at(ctl, "mac.limit", json_pack("{s:I}", "limit", (json_int_t)ev->value), ev->time_ns);
	}
	// Else the port went while its event was on the way.
}

void
events_drain(struct ctl *ctl)
{
	struct dp_event ev;

	while (dp_event_next(ctl->dp, &ev))
		on_dp_event(ctl, &ev);
}
