// Methods of the noun events: subscriptions. The sending is in events.c.
#include "answer.h"
#include "events.h"
#include "methods.h"

#include <errno.h>
#include <stdio.h>

struct events_params {
	char events[SERVER_MAX_PATTERNS];
};

static int
events_subscribe(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct server *server = ctx;
	const struct events_params *p = params;
	struct server_client *c = server->caller;
	char unknown[SERVER_MAX_PATTERNS], text[64];

	(void)present;
	(void)ret_result;
	if (!events_check(p->events, unknown)) {
		rpc_error_set(err, RPC_INVALID_PARAMS, "events: no event is called '%s'; there are %s", unknown,
			events_names);
		return -1;
	}
	if (!c)
		return ctl_refuse(err, -ENOTCONN, "events.subscribe works on a connection only");
	if (server_subscribe(c, p->events) < 0) {
		(void)snprintf(text, sizeof(text), "too many subscribers: %u at most", SERVER_MAX_SUBSCRIBERS);
		return ctl_refuse(err, -EUSERS, text);
	}
	return 0;
}

static int
events_unsubscribe(void *ctx, const void *params, uint64_t present, json_t **ret_result, struct rpc_error *err)
{
	const struct server *server = ctx;
	struct server_client *c = server->caller;

	(void)params;
	(void)present;
	(void)ret_result;
	if (!c)
		return ctl_refuse(err, -ENOTCONN, "events.unsubscribe works on a connection only");
	c->is_subscribed = false;
	return 0;
}

static const struct rpc_param subscribe_params[] = {
	RPC_PARAM(struct events_params, events, RPC_STR, .def = "",
		.help = "names or patterns, separated by commas (\"port.*,worker.stall\"); empty: all"),
};

const struct rpc_method rpc_events_methods[] = {
	{"events.subscribe", "Send this connection a notification for every event from here on.",
		"true; then notifications whose method is the event's name.", events_subscribe, subscribe_params, 1,
		sizeof(struct events_params), RPC_READ_ONLY},
	{"events.unsubscribe", "Send this connection no more events.", "true", events_unsubscribe, NULL, 0, 0,
		RPC_READ_ONLY},
	{0},
};
