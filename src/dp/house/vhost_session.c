// What the thread of connections reports of a port's front-ends becomes the state of the port, and
// the rings that its workers have.
// Threads: everything runs under the loop's lock (guest_loop.h); the header names the threads of
// the other functions.
#include "vhost_session.h"

#include "connector.h"
#include "dp_state.h"
#include "io/guest_recover.h"
#include "io/vhost_guard.h"
#include "io/vhost_link.h"
#include "port_link.h"
#include "port_type.h"
#include "rtvs/guest_state.h"
#include "rtvs/log.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>

// A front-end that leaves sooner, without a driver that became ready, was refused a feature.
#define FLAP_NS 1000000000
#define FLAPS_TOLD 3 // in a row
#define FIRST_PAIR 3u // rings
#define BIT(n) (UINT64_C(1) << (n))
#define RINGS                                                                          \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_F_IN_ORDER) | \
		BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define CSUM (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM))
#define TSO                                                                                  \
	(BIT(VIRTIO_NET_F_GSO) | BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
		BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6))

static struct vhost *
vhost_of(struct guest_port *served)
{
	return container_of(served, struct vhost, served);
}

static struct frontend *
find_frontend(struct vhost *v, const struct guest_link *link)
{
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link == link)
			return &v->frontend[i];
	return NULL;
}

static uint32_t
caps_of(uint64_t features)
{
	uint32_t caps = PORT_CAP_SEGS;

	if (features & (1ULL << VIRTIO_NET_F_GUEST_CSUM)) {
		caps |= PORT_CAP_CSUM | PORT_CAP_ANYWHERE;
		if (features & (1ULL << VIRTIO_NET_F_GUEST_TSO4))
			caps |= PORT_CAP_TSO4;
		if (features & (1ULL << VIRTIO_NET_F_GUEST_TSO6))
			caps |= PORT_CAP_TSO6;
	}
	return caps;
}

// Of enabled rings, the pairs whose ring `first` is, up to the first pair where it is not.
static uint32_t
n_pairs(uint32_t enabled, unsigned first)
{
	uint32_t n = 0;

	while (n < DP_MAX_QUEUES && enabled >> (2 * n + first) & 1)
		n++;
	return n;
}

static unsigned
n_others(const struct vhost *v, const struct frontend *f)
{
	unsigned n = 0;

	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		n += v->frontend[i].link && &v->frontend[i] != f;
	return n;
}

static void
set_up(struct port *port, bool is_up)
{
	struct vhost *v = port->priv;

	atomic_store(&port->path.device.is_away, atomic_load(&v->away_until_ns));
	if (atomic_exchange(&port->path.device.is_up, is_up) != is_up)
		port_link_changed(port, is_up);
	else
		port_link_rings_changed(port);
}

// A guest that ran until now, while there is another front-end where it may go on, is on its way.
static uint64_t
away_until_ns(const struct vhost *v, bool does_run)
{
	if (does_run || !atomic_load(&v->port->path.device.is_up) || atomic_load(&v->is_off))
		return 0;
	if (atomic_load(&v->away_until_ns) || n_others(v, NULL) < 2)
		return atomic_load(&v->away_until_ns);
	return clock_now_ns(&v->port->dp->env.clock) + VHOST_AWAY_NS;
}

// Workers use the rings that the front-end runs and has enabled.
static void
tell_workers(struct vhost *v)
{
	struct port *port = v->port;
	const struct guest_link *link = v->has ? v->has->link : NULL;
	uint32_t enabled = link ? guest_link_enabled(link) : 0;
	uint64_t features = link ? guest_link_features(link) : 0;
	bool does_run = (enabled & FIRST_PAIR) == FIRST_PAIR;

	atomic_store(&v->away_until_ns, away_until_ns(v, does_run));
	if (link) {
		atomic_store(&v->features, features);
		atomic_store(&port->path.device.caps, caps_of(features));
	}
	// Queues that take packets are used from the first on, as guests enable them.
	atomic_store(&port->path.device.n_txq, RTE_MAX(n_pairs(enabled, GUEST_TO(0)), 1u));
	atomic_store(&v->n_pairs, n_pairs(enabled, GUEST_TO(0)));
	atomic_store(&v->mtu, link ? (uint32_t)guest_link_mtu(link) : 0);
	atomic_store(&v->is_ready, link);
	set_up(port, does_run || atomic_load(&v->away_until_ns));
}

// Of all that has the port or may get it, whom port.show names.
static void
update_pid(struct vhost *v)
{
	pid_t pid = 0;

	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link && (!pid || &v->frontend[i] == v->has))
			pid = v->frontend[i].pid;
	atomic_store(&v->pid, pid);
}

// NULL: nobody has the port from here on.
static void
give(struct vhost *v, struct frontend *f)
{
	if (v->has && v->has != f)
		guest_link_hide(v->has->link);
	v->has = f;
	update_pid(v);
	if (f) {
		guest_link_show(f->link, &v->io);
		f->enabled = guest_link_enabled(f->link);
	}
	tell_workers(v);
}

static struct frontend *
find_ready(struct vhost *v)
{
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link && v->frontend[i].is_ready)
			return &v->frontend[i];
	return NULL;
}

static void
fault(struct vhost_client *client, const char *why, bool is_costly)
{
	struct vhost *v = container_of(client, struct vhost, served.client);

	pthread_mutex_lock(&v->claim_lock);
	snprintf(v->fault, sizeof(v->fault), "%s", why);
	v->is_fault_told = false;
	if (is_costly)
		claim_ban(&v->claim, clock_now_ns(&v->port->dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	atomic_fetch_add(&v->port->path.device.guest_errors, 1);
}

// The front-end that is connected and has not gone, NULL: none.
static const struct frontend *
holder(const struct vhost *v)
{
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		if (v->frontend[i].link && !guest_link_is_hung_up(v->frontend[i].link))
			return &v->frontend[i];
	return NULL;
}

static bool
may_connect(struct guest_port *served, pid_t pid)
{
	struct vhost *v = vhost_of(served);
	const struct frontend *has = holder(v);
	pid_t has_pid = has ? has->pid : 0;
	enum claim_answer answer = CLAIM_BANNED;

	pthread_mutex_lock(&v->claim_lock);
	if (!vhost_guard_is_closing(v->port->path.serial))
		answer = claim_ask(&v->claim, pid, has, has_pid, clock_now_ns(&v->port->dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	if (answer == CLAIM_REFUSED_TELL)
		event_queue_post(&v->port->dp->env.events,
			(struct dp_event){.type = DP_EVENT_REFUSED,
				.port = v->port->path.id,
				.value = (uint64_t)pid,
				.holder_pid = has_pid});
	return answer == CLAIM_GRANTED;
}

bool
vhost_session_is_flapping(const struct vhost *v)
{
	return atomic_load(&v->n_flaps) >= FLAPS_TOLD;
}

// QEMU compares what its guest uses with what a port offers itself, and only hangs up: again and
// again, as it reconnects.
void
vhost_session_explain_flaps(const struct vhost *v, char *text, size_t size)
{
	static const struct {
		const char *param;
		uint64_t features;
	} params[] = {
		{" tso",
			1ULL << VIRTIO_NET_F_HOST_TSO4 | 1ULL << VIRTIO_NET_F_HOST_TSO6 |
				1ULL << VIRTIO_NET_F_GUEST_TSO4 | 1ULL << VIRTIO_NET_F_GUEST_TSO6},
		{" csum", 1ULL << VIRTIO_NET_F_CSUM | 1ULL << VIRTIO_NET_F_GUEST_CSUM},
		{" packed", 1ULL << VIRTIO_F_RING_PACKED},
	};
	const char *found[RTE_DIM(params)] = {"", "", ""};
	bool is_known = false;

	for (unsigned i = 0; i < RTE_DIM(params); i++)
		if (v->used_before & ~v->served.features & params[i].features) {
			found[i] = params[i].param;
			is_known = true;
		}
	snprintf(text, size,
		"QEMU leaves at once: its guest %s%s%s%s, which the port does not offer; power it off and on (a reboot "
		"does not do), or add the port as it was",
		is_known ? "uses" : "perhaps uses tso, csum, packed or queues", found[0], found[1], found[2]);
}

static void
note_flap(struct vhost *v)
{
	char why[DP_DETAIL_SIZE];

	if (atomic_fetch_add(&v->n_flaps, 1) + 1 != FLAPS_TOLD)
		return;
	vhost_session_explain_flaps(v, why, sizeof(why));
	log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", v->fixed.name}, {"DOMAIN", v->fixed.domain}),
		"port %s: %s", v->fixed.name, why);
}

static void
tell_connection(const struct vhost *v, bool is_up)
{
	event_queue_post(&v->port->dp->env.events,
		(struct dp_event){.type = DP_EVENT_CONNECT, .port = v->port->path.id, .is_up = is_up});
}

static void
opened(struct guest_port *served, struct guest_link *link, pid_t pid)
{
	struct vhost *v = vhost_of(served);
	struct frontend *f = find_frontend(v, NULL);

	v->n_changes++;
	// The loop has no more links of a port than there are places.
	*f = (struct frontend){.link = link,
		.pid = pid,
		.is_second = n_others(v, f),
		.since_ns = clock_now_ns(&v->port->dp->env.clock),
		.is_told = !vhost_session_is_flapping(v)};
	update_pid(v);
	pthread_mutex_lock(&v->claim_lock);
	v->fault[0] = '\0';
	pthread_mutex_unlock(&v->claim_lock);
	atomic_fetch_add(&v->n_connects, 1);
	if (f->is_told)
		tell_connection(v, true);
}

static void
closed(struct guest_port *served, struct guest_link *link, const char *why)
{
	struct vhost *v = vhost_of(served);
	struct frontend *f = find_frontend(v, link);
	bool is_last = !n_others(v, f), was_away;

	v->n_changes++;
	if (why)
		fault(&served->client, why, false);
	f->is_ready = false;
	was_away = is_last && atomic_exchange(&v->away_until_ns, 0);
	if (v->has == f || was_away)
		give(v, find_ready(v));
	f->link = NULL;
	update_pid(v);
	// A move that fails leaves at once, too.
	if (!f->was_ready && !f->is_second && clock_now_ns(&v->port->dp->env.clock) - f->since_ns < FLAP_NS)
		note_flap(v);
	atomic_fetch_add(&v->n_disconnects, 1); // last: its reader sees all that was done before
	if (f->is_told)
		tell_connection(v, false);
	if (is_last && v->fixed.vhost_mode == DP_VHOST_CONNECT)
		connector_lost(v->port->dp->connector, v->port);
}

// A guest's driver is ready, or still is.
static void
set_ready(struct vhost *v, struct frontend *f)
{
	if (!f->is_ready) {
		f->is_ready = f->was_ready = true;
		if (!f->is_told)
			tell_connection(v, true);
		f->is_told = true;
		atomic_store(&v->n_flaps, 0);
		give(v, f);
	} else if (v->has == f && (!guest_link_is_shown(f->link) || f->enabled != guest_link_enabled(f->link)))
		give(v, f);
	else if (v->has == f)
		guest_link_show(f->link, &v->io); // its calls may be others
	atomic_store(&v->mtu, (uint32_t)guest_link_mtu(f->link));
}

static void
changed(struct guest_port *served, struct guest_link *link)
{
	struct vhost *v = vhost_of(served);
	struct frontend *f = find_frontend(v, link);

	v->n_changes++;
	if ((guest_link_running(link) & FIRST_PAIR) == FIRST_PAIR && !atomic_load(&v->is_off)) {
		set_ready(v, f);
		return;
	}
	f->is_ready = false;
	if (v->has == f)
		give(v, find_ready(v));
}

static void
announce(void *arg, const uint8_t mac[6])
{
	struct vhost *v = vhost_of(arg);

	guest_io_announce(&v->io, mac);
}

// Two front-ends are connected while a guest moves from one to the other. It runs in one.
static bool
do_others_run(const struct vhost *v, const struct guest_link *link)
{
	bool do_run = false;

	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++) {
		const struct guest_link *other = v->frontend[i].link;

		do_run |= other && other != link && guest_link_running(other);
	}
	return do_run;
}

static void
prepare(void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	struct vhost *v = vhost_of(arg);
	struct guest_ring_pos said = cfg->pos;

	if (v->record && !do_others_run(v, link))
		cfg->state = &v->record->ring[ring];
	if (!is_first || (!guest_state_resume(cfg) && !guest_recover(cfg)) ||
		(said.avail == cfg->pos.avail && said.avail_wrap == cfg->pos.avail_wrap) ||
		atomic_load(&v->port->dp->is_taking_over)) // no crash
		return;
	atomic_fetch_add(&v->n_rings_recovered, 1);
	log_about(LOG_LEVEL_INFO, LOG_ABOUT(NULL, {"PORT", v->fixed.name}),
		"port %s: packed ring %u goes on at %u, wrap %u (front-end said %u, wrap %u)", v->fixed.name, ring,
		cfg->pos.avail, cfg->pos.avail_wrap, said.avail, said.avail_wrap);
}

uint64_t
vhost_session_offers(const struct dp_port_cfg *cfg)
{
	return RINGS | (cfg->packed ? BIT(VIRTIO_F_RING_PACKED) : 0) | (cfg->csum ? CSUM : 0) |
		(cfg->csum && cfg->tso ? TSO : 0);
}

void
vhost_session_connects(const struct vhost *v, struct port_connects *ret_connects)
{
	*ret_connects = (struct port_connects){.n_connects = atomic_load(&v->n_connects),
		.n_disconnects = atomic_load(&v->n_disconnects),
		.n_rings_recovered = atomic_load(&v->n_rings_recovered)};
}

void
vhost_session_go_on(struct vhost *v, const struct port_connects *connects)
{
	atomic_fetch_add(&v->n_connects, connects->n_connects);
	atomic_fetch_add(&v->n_disconnects, connects->n_connects);
	atomic_fetch_add(&v->n_rings_recovered, connects->n_rings_recovered);
	v->has_former = connects->n_connects > connects->n_disconnects;
}

void
vhost_session_adopted(struct vhost *v)
{
	if (!v->has_former)
		return;
	v->has_former = false;
	atomic_fetch_sub(&v->n_connects, 1);
	atomic_fetch_sub(&v->n_disconnects, 1);
}

bool
vhost_session_state(struct vhost *v, struct dp_port_state *ret_state)
{
	uint64_t connects = atomic_load(&v->n_connects), gone = atomic_load(&v->n_disconnects);
	uint32_t mtu = atomic_load(&v->mtu);

	ret_state->n_connects = connects;
	ret_state->n_disconnects = gone;
	ret_state->is_connected = connects != gone;
	ret_state->pid = atomic_load(&v->pid);
	ret_state->n_rings_recovered = atomic_load(&v->n_rings_recovered);
	if (!atomic_load(&v->is_ready))
		return false;
	ret_state->features = atomic_load(&v->features);
	ret_state->is_packed = ret_state->features >> VIRTIO_F_RING_PACKED & 1;
	ret_state->n_queues = atomic_load(&v->n_pairs);
	if (mtu)
		ret_state->mtu = RTE_MIN(ret_state->mtu, mtu);
	return true;
}

// The guest did not come: there is no receiver.
static void
end_away(struct vhost *v)
{
	uint64_t until_ns = atomic_load(&v->away_until_ns);

	if (!until_ns || clock_now_ns(&v->port->dp->env.clock) < until_ns)
		return;
	guest_loop_lock(v->port->dp->guests);
	if (atomic_load(&v->away_until_ns) == until_ns) {
		atomic_store(&v->away_until_ns, 0);
		set_up(v->port, false);
	}
	guest_loop_unlock(v->port->dp->guests);
}

void
vhost_session_housekeeping(struct port *port)
{
	struct vhost *v = port->priv;
	uint64_t errors;

	end_away(v);
	errors = atomic_load(&port->path.device.guest_errors);
	if (errors != v->errors_told) {
		struct dp_event event = {
			.type = DP_EVENT_GUEST_ERROR, .port = port->path.id, .value = errors - v->errors_told};

		pthread_mutex_lock(&v->claim_lock);
		if (!v->is_fault_told)
			snprintf(event.cause, sizeof(event.cause), "%s", v->fault);
		v->is_fault_told = true;
		pthread_mutex_unlock(&v->claim_lock);
		event_queue_post(&port->dp->env.events, event);
	}
	v->errors_told = errors;
}

void
vhost_session_open(struct vhost *v, struct port *port, uint64_t offered, const char *far_end)
{
	v->port = port;
	v->fixed = port->cfg;
	v->record = ring_states_take(port->dp->ring_states, far_end);
	pthread_mutex_init(&v->claim_lock, NULL);
	port->priv = v;
	port->path.device.priv = &v->io;
	v->io.signal = vhost_guard_notify;
	v->served = (struct guest_port){.client.fault = fault,
		.serial = v->port->path.serial,
		.features = offered,
		.n_pairs = v->fixed.n_queues,
		.create = vhost_link_create,
		.may_connect = may_connect,
		.opened = opened,
		.changed = changed,
		.closed = closed,
		.announce = announce,
		.prepare = prepare};
}

void
vhost_session_close(struct vhost *v)
{
	ring_states_release(v->port->dp->ring_states, v->record);
	pthread_mutex_destroy(&v->claim_lock);
}
