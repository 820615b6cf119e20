// Callbacks of librte_vhost's event thread about connections, drivers and rings become the state of
// a port, and the device that its workers use. The library knows a device by its socket's path
// only: a table of all ports finds the port.
// Threads: cb_* run on the event thread, and cb_vring_state_changed under the library's ring locks.
// The header names the threads of the other functions.
#include "vhost_session.h"

#include "connector.h"
#include "dp_state.h"
#include "io/vhost_fds.h"
#include "io/vhost_guard.h"
#include "io/vhost_ring.h"
#include "port_link.h"
#include "rtvs/log.h"

#include <rte_vhost.h>

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>

// A front-end that leaves sooner, without a driver that became ready, was refused a feature.
#define FLAP_NS 1000000000
#define FLAPS_TOLD 3 // in a row

// librte_vhost's callbacks know a device by its socket's path only.
static struct vhost *by_path[DP_MAX_PORTS];
static unsigned n_by_path; // all ids that were ever used are below
static pthread_mutex_t by_path_lock = PTHREAD_MUTEX_INITIALIZER;

static struct vhost *
find_path(const char *path)
{
	struct vhost *found = NULL;

	pthread_mutex_lock(&by_path_lock);
	for (unsigned i = 0; i < n_by_path && !found; i++)
		if (by_path[i] && !strcmp(by_path[i]->fixed.socket, path))
			found = by_path[i];
	pthread_mutex_unlock(&by_path_lock);
	return found;
}

static struct vhost *
find_vhost(int vid)
{
	char path[RTVS_PATH_SIZE + 1];

	return rte_vhost_get_ifname(vid, path, sizeof(path)) ? NULL : find_path(path);
}

void
vhost_session_count_error(const char *line, size_t len)
{
	size_t path_len;

	// busy: the library's own count has it
	if (len < 2 || line[0] != '(' || pthread_mutex_trylock(&by_path_lock))
		return;
	for (unsigned i = 0; i < n_by_path; i++) {
		const char *path = by_path[i] ? by_path[i]->fixed.socket : "";

		path_len = strlen(path);
		if (path_len && len > path_len + 1 && !memcmp(line + 1, path, path_len) && line[path_len + 1] == ')')
			atomic_fetch_add(&by_path[i]->port->path.device.guest_errors, 1);
	}
	pthread_mutex_unlock(&by_path_lock);
}

static struct frontend *
find_frontend(struct vhost *v, int vid)
{
	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
		if (v->frontend[i].vid == vid)
			return &v->frontend[i];
	return NULL;
}

static uint32_t
caps_of(uint64_t features)
{
	uint32_t caps = PORT_CAP_SEGS;

	if (features & (1ULL << VIRTIO_NET_F_GUEST_CSUM)) {
		caps |= PORT_CAP_CSUM;
		if (features & (1ULL << VIRTIO_NET_F_GUEST_TSO4))
			caps |= PORT_CAP_TSO4;
		if (features & (1ULL << VIRTIO_NET_F_GUEST_TSO6))
			caps |= PORT_CAP_TSO6;
	}
	return caps;
}

static void
disconnect_workers(struct vhost *v)
{
	bool was_up = atomic_exchange(&v->port->path.device.is_up, false);

	atomic_store(&v->io.vid, VHOST_NO_VID);
	atomic_store(&v->io.rx_pairs, 0);
	atomic_store(&v->io.tx_pairs, 0);
	for (unsigned i = 0; i < DP_MAX_QUEUES; i++)
		atomic_store(&v->io.kick_fd[i], -1);
	rcu_wait(&v->port->dp->env.rcu);
	if (was_up)
		port_link_changed(v->port, false);
}

uint32_t
vhost_session_n_pairs(uint32_t pairs)
{
	uint32_t n = 0;

	while (n < DP_MAX_QUEUES && (pairs >> n & 1))
		n++;
	return n;
}

// Workers use what the front-end has enabled.
static void
connect_workers(struct vhost *v, const struct frontend *f)
{
	struct port *port = v->port;
	uint64_t features = 0;
	bool was_up;

	(void)rte_vhost_get_negotiated_features(f->vid, &features);
	atomic_store(&v->io.features, features);
	atomic_store(&port->path.device.caps, caps_of(features));
	for (uint16_t q = 0; q < v->fixed.n_queues; q++) {
		struct rte_vhost_vring ring;

		if (!(f->tx_enabled >> q & 1))
			continue;
		atomic_store(
			&v->io.kick_fd[q], rte_vhost_get_vhost_vring(f->vid, VHOST_TXQ(q), &ring) ? -1 : ring.kickfd);
	}
	// Queues that take packets are used from the first on, as guests enable them.
	atomic_store(&port->path.device.n_txq, RTE_MAX(vhost_session_n_pairs(f->rx_enabled), 1u));
	atomic_store(&v->io.loud_pairs, f->tx_enabled);
	atomic_store(&v->io.rx_pairs, f->tx_enabled);
	atomic_store(&v->io.tx_pairs, f->rx_enabled);
	atomic_store(&v->io.vid, f->vid);
	was_up = atomic_exchange(&port->path.device.is_up, f->rx_enabled & 1);
	if (was_up != !!(f->rx_enabled & 1))
		port_link_changed(port, !was_up);
	else
		atomic_fetch_add(&port->dp->env.wakeup_gen, 1);
}

static void
fault(struct vhost_client *client, const char *why, bool is_costly)
{
	struct vhost *v = container_of(client, struct vhost, client);

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
	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
		if (v->frontend[i].vid != VHOST_NO_VID && !vhost_fds_is_hung_up(v->frontend[i].socket))
			return &v->frontend[i];
	return NULL;
}

// Of all that has the port or may get it, whom port.show names.
static void
update_pid(struct vhost *v)
{
	int vid = atomic_load(&v->io.vid);
	pid_t pid = 0;

	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
		if (v->frontend[i].vid != VHOST_NO_VID && (!pid || v->frontend[i].vid == vid))
			pid = v->frontend[i].pid;
	atomic_store(&v->pid, pid);
}

bool
vhost_session_may_connect(const char *path, pid_t pid)
{
	struct vhost *v = find_path(path);
	enum claim_answer answer = CLAIM_BANNED;
	const struct frontend *has;
	pid_t has_pid;

	if (!v)
		return true;
	pthread_mutex_lock(&v->lock);
	has = holder(v);
	has_pid = has ? has->pid : 0;
	pthread_mutex_unlock(&v->lock);
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
		if (v->used_before & ~v->offered & params[i].features) {
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

static int
cb_new_connection(int vid)
{
	struct vhost *v = find_vhost(vid);
	struct frontend *f;
	pid_t pid = 0;
	int socket = v ? vhost_fds_adopt(&v->client, &pid) : -1;

	if (socket < 0)
		return -1;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, VHOST_NO_VID);
	if (f)
		*f = (struct frontend){.vid = vid,
			.pid = pid,
			.socket = socket,
			.since_ns = clock_now_ns(&v->port->dp->env.clock),
			.is_told = !vhost_session_is_flapping(v)};
	update_pid(v);
	pthread_mutex_unlock(&v->lock);
	if (!f)
		return -1;
	pthread_mutex_lock(&v->claim_lock);
	v->fault[0] = '\0';
	pthread_mutex_unlock(&v->claim_lock);
	atomic_fetch_add(&v->n_connects, 1);
	if (!vhost_session_is_flapping(v)) // changes in this thread only
		tell_connection(v, true);
	return 0;
}

static void
cb_destroy_connection(int vid)
{
	struct vhost *v = find_vhost(vid);
	struct frontend *f;
	bool is_last = true, is_flap = false, is_told = false;

	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, vid);
	if (f) {
		is_flap = !f->was_ready && clock_now_ns(&v->port->dp->env.clock) - f->since_ns < FLAP_NS;
		is_told = f->is_told;
		f->vid = VHOST_NO_VID;
	}
	update_pid(v);
	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
		is_last &= v->frontend[i].vid == VHOST_NO_VID;
	pthread_mutex_unlock(&v->lock);
	if (!f)
		return;
	if (is_flap)
		note_flap(v);
	atomic_fetch_add(&v->n_disconnects, 1); // last: its reader sees all that was done before
	if (is_told)
		tell_connection(v, false);
	if (is_last && v->fixed.vhost_mode == DP_VHOST_CONNECT)
		connector_lost(v->port->dp->connector, v->port);
}

// A guest's driver is ready.
static int
cb_new_device(int vid)
{
	struct vhost *v = find_vhost(vid);
	struct frontend *f;

	if (!v)
		return -1;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, vid);
	if (f) {
		f->is_ready = f->was_ready = true;
		if (!f->is_told)
			tell_connection(v, true);
		f->is_told = true;
		atomic_store(&v->n_flaps, 0);
		if (atomic_load(&v->io.vid) != vid)
			disconnect_workers(v);
		connect_workers(v, f);
		update_pid(v);
	}
	pthread_mutex_unlock(&v->lock);
	return f ? 0 : -1;
}

static void
cb_destroy_device(int vid)
{
	struct vhost *v = find_vhost(vid);
	struct frontend *f;

	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, vid);
	if (f)
		f->is_ready = false;
	if (atomic_load(&v->io.vid) == vid) {
		disconnect_workers(v);
		for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
			if (v->frontend[i].vid != VHOST_NO_VID && v->frontend[i].is_ready) {
				connect_workers(v, &v->frontend[i]);
				break;
			}
		update_pid(v);
	}
	pthread_mutex_unlock(&v->lock);
}

// The library holds the rings' locks here, which workers wait for: nothing may be called that takes
// one or waits for workers.
static int
cb_vring_state_changed(int vid, uint16_t queue, int enable)
{
	struct vhost *v = find_vhost(vid);
	uint16_t pair = queue / 2;
	struct frontend *f;

	if (!v)
		return -1;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, vid);
	if (f && pair < v->fixed.n_queues) {
		uint32_t *bits = queue & 1 ? &f->tx_enabled : &f->rx_enabled;

		if (enable) {
			if (vhost_ring_recover(vid, queue, v->fixed.name))
				atomic_fetch_add(&v->n_rings_recovered, 1);
			*bits |= 1u << pair;
		} else {
			*bits &= ~(1u << pair);
		}
		if (f->is_ready && atomic_load(&v->io.vid) == vid)
			connect_workers(v, f);
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

const struct rte_vhost_device_ops vhost_session_ops = {
	.new_device = cb_new_device,
	.destroy_device = cb_destroy_device,
	.vring_state_changed = cb_vring_state_changed,
	.new_connection = cb_new_connection,
	.destroy_connection = cb_destroy_connection,
};

void
vhost_session_clear(struct vhost *v)
{
	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++) {
		if (v->frontend[i].vid != VHOST_NO_VID) // the library does not tell
			atomic_fetch_add(&v->n_disconnects, 1);
		v->frontend[i] = (struct frontend){.vid = VHOST_NO_VID};
	}
	update_pid(v);
	pthread_mutex_unlock(&v->lock);
}

int
vhost_session_add(struct vhost *v, char err[DP_ERR_SIZE])
{
	struct port *port = v->port;
	int rc = 0;

	v->client = (struct vhost_client){port->path.serial, fault};
	pthread_mutex_lock(&by_path_lock);
	for (unsigned i = 0; i < n_by_path && !rc; i++)
		if (by_path[i] && !strcmp(by_path[i]->port->cfg.socket, port->cfg.socket)) {
			dp_error(err, "socket: %s is port '%s''s", port->cfg.socket, by_path[i]->port->cfg.name);
			rc = -EADDRINUSE;
		}
	if (!rc)
		by_path[port->path.id] = v;
	n_by_path = RTE_MAX(n_by_path, port->path.id + 1u);
	pthread_mutex_unlock(&by_path_lock);
	return rc;
}

void
vhost_session_del(struct vhost *v)
{
	struct port *port = v->port;

	pthread_mutex_lock(&by_path_lock);
	by_path[port->path.id] = NULL;
	pthread_mutex_unlock(&by_path_lock);
}
