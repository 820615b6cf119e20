// Until the former daemon has said `go`, and this one has put itself into the shared page, the
// guests are the former's: this process must end then without ending a connection, a socket or a
// file. So it ends at once (src/main.c).
#include "take_over.h"

#include "ctl.h"
#include "ctl_clock.h"
#include "hand_over.h"
#include "peers_state.h"
#include "rtvs/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define FORMER_MS 30000 // between two messages of it
#define MAX_CLIENTS SERVER_MAX_CLIENTS

void
take_over_init(struct take_over *t, int fd)
{
	char pid[16];

	*t = (struct take_over){.fd = fd, .control = -1, .monitor = -1, .clients = fd >= 0 ? json_array() : NULL};
	if (fd < 0)
		return;
	// The service manager's watchdog is for this process from the commit on.
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (getenv("WATCHDOG_PID"))
		(void)setenv("WATCHDOG_PID", pid, 1);
}

static int
refuse(int rc, const char *text, char err[DP_ERR_SIZE])
{
	(void)snprintf(err, DP_ERR_SIZE, "%s", text);
	return rc;
}

int
take_over_hello(struct ctl *ctl, struct running_log *ret_log, char err[DP_ERR_SIZE])
{
	struct take_over *t = &ctl->take_over;
	char log_err[RUNNING_LOG_ERR_SIZE], *text = NULL;
	struct hand_over_message m;
	int rc = hand_over_receive(t->fd, FORMER_MS, &m), page, file, ids;
	size_t len = 0;

	if (rc)
		return refuse(rc, "--take-over: the former daemon says nothing", err);
	if (!hand_over_is(&m, "hello") || json_integer_value(json_object_get(m.body, "format")) != HAND_OVER_FORMAT ||
		m.n_fds < 5) {
		hand_over_fini(&m);
		(void)snprintf(err, DP_ERR_SIZE, "hand-over: this version knows format %d alone", HAND_OVER_FORMAT);
		return -EPROTO;
	}
	t->hands = hand_over_hands(&m);
	page = hand_over_take_fd(&m);
	file = hand_over_take_fd(&m);
	ctl->params.system.former_rings = hand_over_take_fd(&m);
	ids = hand_over_take_fd(&m);
	t->control = hand_over_take_fd(&m);
	t->monitor = hand_over_take_fd(&m);
	hand_over_fini(&m);
	t->page = hand_over_map(page);
	text = hand_over_read(file, &len);
	t->ids = hand_over_read(ids, &t->n_ids);
	close(page);
	close(file);
	close(ids);
	if (!t->page || !text || !t->ids)
		rc = refuse(-ENOMEM, "hand-over: no memory", err);
	else if (running_take(&ctl->running, text, len, ret_log, log_err))
		rc = refuse(-EPROTO, log_err, err);
	free(text);
	return rc;
}

static bool
has_handed_ports(const struct take_over *t, const struct model *m, const struct model_eswitch *eswitch)
{
	const struct model_port *port = model_port_find(m, eswitch->pf);
	char name[RTVS_NAME_SIZE];

	if (!port || !dp_port_is_handed(&port->cfg, t->hands))
		return false;
	for (unsigned pos = 0; model_eswitch_next(eswitch, &pos, name);) {
		port = model_port_find(m, name);
		if (!port || !dp_port_is_handed(&port->cfg, t->hands))
			return false;
	}
	return true;
}

struct model *
take_over_first(const struct take_over *t, const struct model *target)
{
	struct model *first = model_clone(target);
	char ignored[DP_ERR_SIZE];

	for (unsigned i = first ? first->n_eswitches : 0; i-- > 0;)
		if (!has_handed_ports(t, first, first->eswitches[i]))
			(void)model_eswitch_del(first, first->eswitches[i]->name, ignored);
	for (unsigned rank = MODEL_PORT_RANKS; first && rank-- > 0;)
		for (unsigned i = first->n_ports; i-- > 0;) {
			const struct dp_port_cfg *cfg = &first->ports[i]->cfg;
			const struct model_port *uplink = model_port_find(first, cfg->uplink);

			if (model_port_rank(cfg) == rank &&
				(!dp_port_is_handed(cfg, t->hands) ||
					(uplink && !dp_port_is_handed(&uplink->cfg, t->hands))))
				(void)model_port_del(first, cfg->name, ignored);
		}
	return first;
}

// Until the former daemon has stopped.
static int
read_until_go(struct ctl *ctl, char err[DP_ERR_SIZE])
{
	struct take_over *t = &ctl->take_over;
	struct pollfd p[] = {{.fd = t->fd, .events = POLLIN}, {.fd = ctl->signal.fd, .events = POLLIN}};
	bool is_go = false;
	int rc = 0;

	while (!rc && !is_go) {
		struct hand_over_message m;
		const char *name;

		if (poll(p, 2, FORMER_MS) <= 0 || p[1].revents)
			return refuse(-EINTR,
				p[1].revents ? "hand-over: stopped by a signal" :
					       "hand-over: the former daemon says nothing",
				err);
		rc = hand_over_receive(t->fd, 0, &m);
		if (rc)
			return refuse(rc, "hand-over: the former daemon is gone", err);
		name = json_string_value(json_object_get(m.body, "name"));
		is_go = hand_over_is(&m, "go");
		if (hand_over_is(&m, "prepared"))
			rc = dp_warm(ctl->plane.dp, err);
		if (!rc && hand_over_is(&m, "prepared")) {
			hand_over_hurry(true); // `go` comes next
			rc = hand_over_send(t->fd, json_pack("{s:s}", "type", "warm"), NULL, 0);
		}
		if (is_go && m.n_fds)
			t->state = hand_over_read(m.fd[0], &t->n_state);
		if (hand_over_is(&m, "fd") && name && m.n_fds == 1) {
			dp_give_fd(ctl->plane.dp, name, hand_over_take_fd(&m));
		} else if (hand_over_is(&m, "client") && m.n_fds == 1 && json_array_size(t->clients) < MAX_CLIENTS) {
			(void)json_object_set_new(m.body, "fd", json_integer(hand_over_take_fd(&m)));
			(void)json_array_append(t->clients, m.body);
		}
		hand_over_fini(&m);
	}
	return rc;
}

// What the former daemon could not share comes now. It may have died: then it holds nothing either.
static void
wait_released(struct ctl *ctl)
{
	struct hand_over_message m;

	if (!hand_over_receive(ctl->take_over.fd, FORMER_MS, &m)) {
		if (hand_over_is(&m, "released") && m.n_fds)
			ctl->take_over.peers = hand_over_read(m.fd[0], &ctl->take_over.n_peers);
		hand_over_fini(&m);
	}
	close(ctl->take_over.fd);
	ctl->take_over.fd = -1;
	notify_alive();
}

void
take_over_ids(struct ctl *ctl)
{
	struct take_over *t = &ctl->take_over;
	unsigned n;

	if (dp_ids_load(ctl->plane.dp, (const uint8_t *)t->ids, t->n_ids, &n))
		log_warning("hand-over: the numbers of ports are unknown: other hosts see new flows");
	free(t->ids);
	t->ids = NULL;
}

// What cannot be used is lost, as with a restart: the guests wait.
static void
load_state(struct ctl *ctl)
{
	struct take_over *t = &ctl->take_over;
	struct dp_state_loaded loaded = {0};
	int rc = t->state ? dp_state_load(ctl->plane.dp, (const uint8_t *)t->state, t->n_state, &loaded) : -ENOMEM;

	if (rc)
		log_warning("hand-over: MAC tables, counters and waiting packets are lost: %s", strerror(-rc));
	else if (loaded.is_cut || loaded.n_unknown)
		log_warning("hand-over: %u of %u records of the former daemon are unknown", loaded.n_unknown,
			loaded.n_records);
	free(t->state);
	t->state = NULL;
}

int
take_over_run(struct ctl *ctl, char err[DP_ERR_SIZE])
{
	struct take_over *t = &ctl->take_over;
	uint32_t owner = HAND_OVER_FORMER;
	uint64_t resumed_ns;
	int rc = hand_over_send(t->fd,
		json_pack("{s:s, s:s, s:b, s:b}", "type", "ready", "version", ctl->params.version, "taps", 1, "xdp", 1),
		NULL, 0);

	if (!rc)
		rc = read_until_go(ctl, err);
	if (rc)
		return rc;
	if (!atomic_compare_exchange_strong(&t->page->owner, &owner, HAND_OVER_NEXT))
		return refuse(-ETIMEDOUT, "hand-over: the former daemon did not wait any longer", err);
	t->is_begun = true;
	load_state(ctl);
	rc = dp_take_over(ctl->plane.dp);
	if (rc)
		return refuse(rc, "hand-over: the datapath does not start", err);
	resumed_ns = ctl_now_ns();
	hand_over_hurry(false);
	(void)hand_over_send(
		t->fd, json_pack("{s:s, s:I}", "type", "taken", "resumed_ns", (json_int_t)resumed_ns), NULL, 0);
	wait_released(ctl);
	if (dp_raise(ctl->plane.dp))
		log_error("hand-over: a worker has not begun in time; workers are ordinary threads");
	return 0;
}

void
take_over_peers(struct ctl *ctl)
{
	struct take_over *t = &ctl->take_over;
	json_t *state = t->peers ? json_loadb(t->peers, t->n_peers, 0, NULL) : NULL;

	peers_state_load(ctl, state);
	json_decref(state);
	free(t->peers);
	t->peers = NULL;
}

void
take_over_fail(struct take_over *t, const char *why)
{
	if (t->fd >= 0)
		(void)hand_over_send(t->fd, json_pack("{s:s, s:s}", "type", "error", "text", why), NULL, 0);
}

void
take_over_clients(struct ctl *ctl)
{
	json_t *client;
	size_t i;

	json_array_foreach (ctl->take_over.clients, i, client)
		server_adopt_handed(&ctl->server, (int)json_integer_value(json_object_get(client, "fd")), client);
	json_decref(ctl->take_over.clients);
	ctl->take_over.clients = NULL;
}
