// Servers of server.c, one for each eswitch. The model opens and closes them, so a channel exists
// as long as its eswitch does.
#include "channels.h"

#include "methods.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct rpc_noun nouns[] = {{rpc_nic_methods, 0}, {rpc_nic_flow_methods, 0}, {0}};
static const struct rpc_api api = {nouns};

static const struct server_limits limits = {
	.n_clients = 1,
	.is_newest_alone = true,
	.line_bytes = CHANNELS_LINE_BYTES,
	.line_text = CHANNELS_LINE_TEXT,
	.backlog_bytes = CHANNELS_BACKLOG_BYTES,
	.n_batch = CHANNELS_BATCH,
	.calls_per_tick = CHANNELS_CALLS,
	.calls_burst = CHANNELS_BURST,
	.has_hello = true,
};

void
channels_init(struct channels *channels, struct plane *plane, struct loop *loop, const struct rpc_session *host)
{
	*channels = (struct channels){.plane = plane, .loop = loop, .host = *host};
}

static struct channel *
find(const struct channels *channels, const char *name, unsigned *ret_pos)
{
	for (unsigned i = 0; i < channels->n; i++)
		if (!strcmp(channels->list[i]->name, name)) {
			*ret_pos = i;
			return channels->list[i];
		}
	return NULL;
}

int
channels_open(void *arg, const struct model_eswitch *eswitch, char err[DP_ERR_SIZE])
{
	struct channels *channels = arg;
	struct channel *channel = calloc(1, sizeof(*channel));
	const struct server_socket file = {.path = eswitch->control,
		.owner = eswitch->socket_owner,
		.group = eswitch->socket_group,
		.mode = eswitch->socket_mode};
	int rc;

	if (!channel)
		return model_fail(-ENOMEM, err, "out of memory");
	channel->channels = channels;
	memcpy(channel->name, eswitch->name, sizeof(channel->name));
	server_init(&channel->server, channels->loop, &api, channel);
	channel->server.limits = limits;
	channel->server.n_calls_left = CHANNELS_BURST;
	rc = server_listen(&channel->server, &file, false, err);
	if (rc < 0) {
		free(channel);
		return rc;
	}
	channels->list[channels->n++] = channel;
	return 0;
}

void
channels_close(void *arg, const char *name)
{
	struct channels *channels = arg;
	unsigned pos;
	struct channel *channel = find(channels, name, &pos);

	if (!channel)
		return;
	server_fini(&channel->server);
	guest_rules_fini(&channel->rules);
	channels->list[pos] = channels->list[--channels->n];
	free(channel);
}

void
channels_fini(struct channels *channels)
{
	while (channels->n > 0)
		channels_close(channels, channels->list[0]->name);
}

static bool
has_session(const struct channel *channel)
{
	for (const struct server_client *c = channel->server.clients; c; c = c->next)
		if (c->is_greeted && !c->is_dead)
			return true;
	return false;
}

// message is stolen.
static void
send_event(struct channel *channel, json_t *message)
{
	for (struct server_client *c = message ? channel->server.clients : NULL; c; c = c->next)
		if (c->is_subscribed)
			server_send(c, message);
	json_decref(message);
}

// The rules go with the mode, and with the guest's program, which may have died.
static void
follow(struct channel *channel)
{
	const struct model_eswitch *eswitch = channels_eswitch(channel);

	channel->alone_s = has_session(channel) ? 0 : channel->alone_s + 1;
	if (channel->alone_s == CHANNELS_RULES_S &&
		guest_rules_del_all(&channel->rules, channel->channels->plane->live, eswitch))
		channel->alone_s--; // without memory it is tried again
	if (channel->n_sets == eswitch->n_sets)
		return;
	channel->n_sets = eswitch->n_sets;
	send_event(channel, json_pack("{s:s, s:s, s:{}}", "jsonrpc", "2.0", "method", "nic.changed", "params"));
}

void
channels_tick(struct channels *channels)
{
	for (unsigned i = 0; i < channels->n; i++) {
		server_tick(&channels->list[i]->server);
		server_reap(&channels->list[i]->server);
		follow(channels->list[i]);
	}
}

void
channels_flushed(void *arg, const char *name)
{
	unsigned pos;
	struct channel *channel = find(arg, name, &pos);

	if (channel)
		guest_rules_forget(&channel->rules);
}

// The guest's driver of the PF has ended, as in a reboot, which its serial port does not tell. A
// program that lives on is told, and brings its rules again.
static void
guest_is_gone(struct channel *channel, const struct model_eswitch *eswitch)
{
	if (!channel->rules.n || guest_rules_del_all(&channel->rules, channel->channels->plane->live, eswitch))
		return;
	channel->n_sets = eswitch->n_sets - 1;
}

void
channels_link(struct channels *channels, const char *port, bool is_up)
{
	unsigned pos;
	int vf;
	const struct model_eswitch *eswitch = model_eswitch_of(channels->plane->live, port, &vf);
	struct channel *channel = eswitch ? find(channels, eswitch->name, &pos) : NULL;

	if (channel && vf >= 0)
		send_event(channel,
			json_pack("{s:s, s:s, s:{s:i}}", "jsonrpc", "2.0", "method", is_up ? "vf.up" : "vf.down",
				"params", "vf", vf));
	else if (channel && !is_up && !strcmp(port, eswitch->pf))
		guest_is_gone(channel, eswitch);
}

json_t *
channels_json(const struct channels *channels, const char *name)
{
	unsigned pos;
	const struct channel *channel = find(channels, name, &pos);
	struct server_stats stats = channel ? server_stats(&channel->server) : (struct server_stats){0};
	bool is_connected = false, is_greeted = channel && has_session(channel);

	for (const struct server_client *c = channel ? channel->server.clients : NULL; c; c = c->next)
		is_connected |= !c->is_dead;
	return json_pack("{s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:i, s:I}", "connected", is_connected,
		"greeted", is_greeted, "connects", (json_int_t)stats.n_accepted, "replaced",
		(json_int_t)stats.n_replaced, "calls", (json_int_t)stats.n_calls, "refused", (json_int_t)stats.n_errors,
		"skipped", (json_int_t)stats.n_skipped, "too_long", (json_int_t)stats.n_too_long, "paused",
		(json_int_t)stats.n_paused, "refusal", channel ? channel->refusal : "", "rules",
		channel ? (int)channel->rules.n : 0, "rules_refused",
		channel ? (json_int_t)channel->rules.n_refused : 0);
}
