// Guests on vhost-user sockets, through librte_vhost. A port outlives its front-ends: one has it until it goes or a move to
// another QEMU process was asked for (claim.h); of those that are connected then the one whose driver became ready last has the port.
// What librte_vhost cannot do is done here: connecting without waiting (connector.c), finding a packed ring's position after a crash of
// ours (vhost_ring.c), keeping to the rules of messages and descriptors (vhost_fds.c), surviving guest memory that is taken away.
// Threads: open, close, start, stop, state: control; cb_*: librte_vhost's event thread; rx, tx, rx_wakeup: workers.
#define ALLOW_EXPERIMENTAL_API // rte_vhost_notify_guest
#include "connector.h"
#include "dp_state.h"
#include "gso.h"
#include "port.h"
#include "port_link.h"
#include "rtvs/claim.h"
#include "rtvs/log.h"
#include "vhost_fds.h"
#include "vhost_guard.h"
#include "vhost_ring.h"
#include "vhost_socket.h"

#include <rte_malloc.h>
#include <rte_vhost.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FRONTENDS 4 // connected to one port at a time
#define FITS_ALWAYS 1514 // bytes of a frame that each buffer of a guest must hold (Virtio 1.2, 5.1.6.3.1)
#define FLAP_NS 1000000000 // a front-end that leaves sooner, without a driver that became ready, was refused something
#define FLAPS_TOLD 3 // in a row
#define STUCK_POLLS 1024 // empty ones in a row between two looks at a ring that may stand still
#define NO_VID (-1)
// The back-end's own channel: BACKEND_REQ, BACKEND_SEND_FD, HOST_NOTIFIER. Nothing here uses it, and no socket of a front-end's is taken.
#define NO_PROTOCOL_FEATURES (1ULL << 5 | 1ULL << 10 | 1ULL << 11)
#define RXQ(pair) ((uint16_t)((pair) * 2)) // virtio's receive queue: we give packets to it
#define TXQ(pair) ((uint16_t)((pair) * 2 + 1))

struct frontend {
	int vid; // NO_VID: free
	int socket;
	bool is_ready, was_ready; // new_device came
	bool is_told; // subscribers know of it
	uint64_t since_ns;
	uint32_t rx_enabled, tx_enabled; // bit per queue pair
	pid_t pid; // of the process at the other end
};

struct vhost {
	struct port *port;
	struct dp_port_cfg fixed; // as it was when the port was made: what other threads than control may read
	bool is_registered; // ctl
	pthread_mutex_t lock; // of frontend[]; event thread and control thread
	struct frontend frontend[MAX_FRONTENDS];
	_Atomic int vid; // that workers use; event thread: wo, dp: ro
	_Atomic uint32_t rx_pairs, tx_pairs; // enabled: packets from the guest, to the guest
	_Atomic uint32_t loud_pairs; // whose guests were not told yet that kicks are not needed; event thread, dp: rw
	_Atomic int kick_fd[DP_MAX_QUEUES]; // -1: none
	_Atomic pid_t pid; // of the front-end that has the port, its driver may not be ready yet
	pthread_mutex_t claim_lock; // of claim and fault; any thread, nothing is waited for under it
	struct claim claim;
	char fault[DP_CAUSE_SIZE]; // the last one's cause, "": none since somebody connected
	bool is_fault_told;
	_Atomic uint64_t features;
	_Atomic uint64_t n_connects, n_disconnects, n_rings_recovered;
	_Atomic int connect_errno; // of the last attempt
	uint64_t offered; // of virtio's features; ctl, before there are connections
	uint64_t used_before; // by the guest of a port on the same socket that is gone; ctl
	_Atomic uint32_t n_flaps; // front-ends in a row that left at once; event thread: wo
	uint64_t errors_told; // ctl
	struct empty_polls {
		uint32_t n; // in a row
		bool was_waiting, is_told;
	} empty[DP_MAX_QUEUES]; // dp, the queue's worker
};

// librte_vhost's callbacks know a device by its socket's path only.
static struct vhost *by_path[DP_MAX_PORTS];
static pthread_mutex_t by_path_lock = PTHREAD_MUTEX_INITIALIZER;

// Features that were negotiated at sockets whose port is gone. A QEMU outlives its port, and goes on with them.
static struct {
	char socket[RTVS_PATH_SIZE];
	uint64_t features;
} left_behind[DP_MAX_PORTS];
static unsigned n_left_behind; // ever; ctl

static uint64_t
features_before(const char *socket)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (!strcmp(left_behind[i].socket, socket))
			return left_behind[i].features;
	return 0;
}

static void
remember_features(const char *socket, uint64_t features)
{
	unsigned at = 0;

	while (at < DP_MAX_PORTS && strcmp(left_behind[at].socket, socket))
		at++;
	if (at == DP_MAX_PORTS)
		at = n_left_behind++ % DP_MAX_PORTS;
	snprintf(left_behind[at].socket, sizeof(left_behind[at].socket), "%s", socket);
	left_behind[at].features = features;
}

static struct vhost *
find_path(const char *path)
{
	struct vhost *found = NULL;

	pthread_mutex_lock(&by_path_lock);
	for (unsigned i = 0; i < DP_MAX_PORTS && !found; i++)
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
port_vhost_count_error(const char *line, size_t len)
{
	size_t path_len;

	if (len < 2 || line[0] != '(' || pthread_mutex_trylock(&by_path_lock)) // busy: the library's own count has it
		return;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		const char *path = by_path[i] ? by_path[i]->fixed.socket : "";

		path_len = strlen(path);
		if (path_len && len > path_len + 1 && !memcmp(line + 1, path, path_len) && line[path_len + 1] == ')')
			atomic_fetch_add(&by_path[i]->port->guest_errors, 1);
	}
	pthread_mutex_unlock(&by_path_lock);
}

static struct frontend *
find_frontend(struct vhost *v, int vid)
{
	for (unsigned i = 0; i < MAX_FRONTENDS; i++)
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
	bool was_up = atomic_exchange(&v->port->is_up, false);

	atomic_store(&v->vid, NO_VID);
	atomic_store(&v->rx_pairs, 0);
	atomic_store(&v->tx_pairs, 0);
	for (unsigned i = 0; i < DP_MAX_QUEUES; i++)
		atomic_store(&v->kick_fd[i], -1);
	rcu_wait(&v->port->dp->env.rcu);
	if (was_up)
		port_link_changed(v->port, false);
}

static uint32_t
n_contiguous(uint32_t pairs)
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
	atomic_store(&v->features, features);
	atomic_store(&port->caps, caps_of(features));
	for (uint16_t q = 0; q < v->fixed.n_queues; q++) {
		struct rte_vhost_vring ring;

		if (!(f->tx_enabled >> q & 1))
			continue;
		atomic_store(&v->kick_fd[q], rte_vhost_get_vhost_vring(f->vid, TXQ(q), &ring) ? -1 : ring.kickfd);
	}
	// Queues that take packets are used from the first on, as guests enable them.
	atomic_store(&port->n_txq, RTE_MAX(n_contiguous(f->rx_enabled), 1u));
	atomic_store(&v->loud_pairs, f->tx_enabled);
	atomic_store(&v->rx_pairs, f->tx_enabled);
	atomic_store(&v->tx_pairs, f->rx_enabled);
	atomic_store(&v->vid, f->vid);
	was_up = atomic_exchange(&port->is_up, f->rx_enabled & 1);
	if (was_up != !!(f->rx_enabled & 1))
		port_link_changed(port, !was_up);
	else
		atomic_fetch_add(&port->dp->env.wakeup_gen, 1);
}

void
port_vhost_fault(struct port *port, const char *why, bool is_costly)
{
	struct vhost *v = port->priv;

	pthread_mutex_lock(&v->claim_lock);
	snprintf(v->fault, sizeof(v->fault), "%s", why);
	v->is_fault_told = false;
	if (is_costly)
		claim_ban(&v->claim, clock_now_ns(&port->dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	atomic_fetch_add(&port->guest_errors, 1);
}

// The front-end that is connected and has not gone, NULL: none.
static const struct frontend *
holder(const struct vhost *v)
{
	for (unsigned i = 0; i < MAX_FRONTENDS; i++)
		if (v->frontend[i].vid != NO_VID && !vhost_fds_is_hung_up(v->frontend[i].socket))
			return &v->frontend[i];
	return NULL;
}

// Of all that has the port or may get it, whom port.show names.
static void
update_pid(struct vhost *v)
{
	int vid = atomic_load(&v->vid);
	pid_t pid = 0;

	for (unsigned i = 0; i < MAX_FRONTENDS; i++)
		if (v->frontend[i].vid != NO_VID && (!pid || v->frontend[i].vid == vid))
			pid = v->frontend[i].pid;
	atomic_store(&v->pid, pid);
}

bool
port_vhost_may_connect(const char *path, pid_t pid)
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
	if (!vhost_guard_is_closing(v->port->serial))
		answer = claim_ask(&v->claim, pid, has, has_pid, clock_now_ns(&v->port->dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	if (answer == CLAIM_REFUSED_TELL)
		event_queue_post(&v->port->dp->env.events,
			(struct dp_event){.type = DP_EVENT_REFUSED,
				.port = v->port->id,
				.value = (uint64_t)pid,
				.holder_pid = has_pid});
	return answer == CLAIM_GRANTED;
}

static bool
is_flapping(const struct vhost *v)
{
	return atomic_load(&v->n_flaps) >= FLAPS_TOLD;
}

// QEMU compares what its guest uses with what a port offers itself, and only hangs up: again and again, as it reconnects.
static void
explain_flaps(const struct vhost *v, char *text, size_t size)
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
	explain_flaps(v, why, sizeof(why));
	log_about(LOG_LEVEL_WARNING, LOG_ABOUT(NULL, {"PORT", v->fixed.name}, {"DOMAIN", v->fixed.domain}),
		"port %s: %s", v->fixed.name, why);
}

static void
tell_connection(const struct vhost *v, bool is_up)
{
	event_queue_post(&v->port->dp->env.events,
		(struct dp_event){.type = DP_EVENT_CONNECT, .port = v->port->id, .is_up = is_up});
}

static int
cb_new_connection(int vid)
{
	struct vhost *v = find_vhost(vid);
	struct frontend *f;
	pid_t pid = 0;
	int socket = v ? vhost_fds_adopt(v->port, &pid) : -1;

	if (socket < 0)
		return -1;
	pthread_mutex_lock(&v->lock);
	f = find_frontend(v, NO_VID);
	if (f)
		*f = (struct frontend){.vid = vid,
			.pid = pid,
			.socket = socket,
			.since_ns = clock_now_ns(&v->port->dp->env.clock),
			.is_told = !is_flapping(v)};
	update_pid(v);
	pthread_mutex_unlock(&v->lock);
	if (!f)
		return -1;
	pthread_mutex_lock(&v->claim_lock);
	v->fault[0] = '\0';
	pthread_mutex_unlock(&v->claim_lock);
	atomic_fetch_add(&v->n_connects, 1);
	if (!is_flapping(v)) // changes in this thread only
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
		f->vid = NO_VID;
	}
	update_pid(v);
	for (unsigned i = 0; i < MAX_FRONTENDS; i++)
		is_last &= v->frontend[i].vid == NO_VID;
	pthread_mutex_unlock(&v->lock);
	if (!f)
		return;
	if (is_flap)
		note_flap(v);
	atomic_fetch_add(&v->n_disconnects, 1); // last: whoever sees it sees what was made of it
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
		if (atomic_load(&v->vid) != vid)
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
	if (atomic_load(&v->vid) == vid) {
		disconnect_workers(v);
		for (unsigned i = 0; i < MAX_FRONTENDS; i++)
			if (v->frontend[i].vid != NO_VID && v->frontend[i].is_ready) {
				connect_workers(v, &v->frontend[i]);
				break;
			}
		update_pid(v);
	}
	pthread_mutex_unlock(&v->lock);
}

// The library holds the rings' locks here, which workers wait for: nothing may be called that takes one or waits for workers.
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
		if (f->is_ready && atomic_load(&v->vid) == vid)
			connect_workers(v, f);
	}
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static const struct rte_vhost_device_ops device_ops = {
	.new_device = cb_new_device,
	.destroy_device = cb_destroy_device,
	.vring_state_changed = cb_vring_state_changed,
	.new_connection = cb_new_connection,
	.destroy_connection = cb_destroy_connection,
};

static uint64_t
features_off(const struct dp_port_cfg *cfg)
{
	uint64_t off = (1ULL << VIRTIO_NET_F_HOST_UFO) | (1ULL << VIRTIO_NET_F_GUEST_UFO) |
		(1ULL << VIRTIO_NET_F_HOST_ECN) | (1ULL << VIRTIO_NET_F_GUEST_ECN);

	if (!cfg->packed)
		off |= 1ULL << VIRTIO_F_RING_PACKED;
	if (!cfg->tso || !cfg->csum)
		off |= (1ULL << VIRTIO_NET_F_HOST_TSO4) | (1ULL << VIRTIO_NET_F_HOST_TSO6) |
			(1ULL << VIRTIO_NET_F_GUEST_TSO4) | (1ULL << VIRTIO_NET_F_GUEST_TSO6);
	if (!cfg->csum)
		off |= (1ULL << VIRTIO_NET_F_CSUM) | (1ULL << VIRTIO_NET_F_GUEST_CSUM);
	return off;
}

static int
register_socket(struct vhost *v)
{
	const struct dp_port_cfg *cfg = &v->port->cfg;
	// What the guest asks for comes as flags of a received packet, which gso_take reads. The older way, as flags of one to be sent, loses
	// requests behind all but plain headers; this one executes checksums that it has no flag for.
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS |
		(cfg->vhost_mode == DP_VHOST_CONNECT ? RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT : 0);
	uint64_t protocol;

	if (rte_vhost_driver_register(cfg->socket, flags))
		return -ENOMEM;
	v->is_registered = true;
	if (rte_vhost_driver_get_protocol_features(cfg->socket, &protocol) ||
		rte_vhost_driver_set_protocol_features(cfg->socket, protocol & ~NO_PROTOCOL_FEATURES) ||
		rte_vhost_driver_disable_features(cfg->socket, features_off(cfg)) ||
		rte_vhost_driver_set_max_queue_num(cfg->socket, cfg->n_queues) ||
		rte_vhost_driver_callback_register(cfg->socket, &device_ops) ||
		rte_vhost_driver_get_features(cfg->socket, &v->offered))
		return -EIO;
	return 0;
}

static void
unregister_socket(struct vhost *v)
{
	if (!v->is_registered)
		return;
	vhost_fds_unregister_begin();
	(void)rte_vhost_driver_unregister(v->port->cfg.socket); // ends its connections through cb_destroy_device
	vhost_fds_unregister_end();
	v->is_registered = false;
	pthread_mutex_lock(&v->lock);
	for (unsigned i = 0; i < MAX_FRONTENDS; i++) {
		if (v->frontend[i].vid != NO_VID) // the library does not tell
			atomic_fetch_add(&v->n_disconnects, 1);
		v->frontend[i] = (struct frontend){.vid = NO_VID};
	}
	update_pid(v);
	pthread_mutex_unlock(&v->lock);
}

static int
start_listen(struct vhost *v, char err[DP_ERR_SIZE])
{
	const struct dp_port_cfg *cfg = &v->port->cfg;
	mode_t mask;
	uid_t uid;
	gid_t gid;
	int rc = vhost_socket_check_dir(cfg->socket, err);

	if (!rc)
		rc = vhost_socket_owner(cfg, &uid, &gid, err);
	if (!rc)
		rc = vhost_socket_clear_stale(cfg->socket, err);
	if (rc)
		return rc;
	rc = register_socket(v);
	if (!rc) {
		// The file must never be there with wider permissions than asked for.
		mask = umask(0177 | (0777 & ~cfg->socket_mode));
		rc = rte_vhost_driver_start(cfg->socket) ? -EIO : 0;
		umask(mask);
	}
	if (rc) {
		dp_error(err, "socket: cannot listen on %s", cfg->socket);
		unregister_socket(v);
		return rc;
	}
	if (((uid != (uid_t)-1 || gid != (gid_t)-1) && lchown(cfg->socket, uid, gid)) ||
		chmod(cfg->socket, cfg->socket_mode)) {
		rc = -errno;
		dp_error(err, "socket: owner and mode of %s: %s", cfg->socket, strerror(-rc));
		unregister_socket(v);
	}
	return rc;
}

static bool
is_banned(struct vhost *v)
{
	bool is;

	pthread_mutex_lock(&v->claim_lock);
	is = claim_is_banned(&v->claim, clock_now_ns(&v->port->dp->env.clock)) ||
		vhost_guard_is_closing(v->port->serial);
	pthread_mutex_unlock(&v->claim_lock);
	return is;
}

// One attempt of the connector.
static int
try_connect(struct port *port)
{
	struct vhost *v = port->priv;
	struct stat st;
	int rc = 0;

	unregister_socket(v);
	if (is_banned(v))
		rc = -EAGAIN;
	else if (stat(port->cfg.socket, &st))
		rc = -errno;
	if (!rc)
		rc = register_socket(v);
	if (!rc) {
		vhost_fds_connect_begin();
		rc = rte_vhost_driver_start(port->cfg.socket) ? -ECONNREFUSED : 0;
		vhost_fds_connect_end();
	}
	if (rc)
		unregister_socket(v);
	atomic_store(&v->connect_errno, -rc);
	return rc;
}

static int
vhost_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct vhost *v = rte_zmalloc("vhost", sizeof(*v), RTE_CACHE_LINE_SIZE);

	if (!v) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	v->port = port;
	v->fixed = port->cfg;
	v->vid = NO_VID;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->claim_lock, NULL);
	for (unsigned i = 0; i < MAX_FRONTENDS; i++)
		v->frontend[i].vid = NO_VID;
	for (unsigned i = 0; i < DP_MAX_QUEUES; i++)
		v->kick_fd[i] = -1;
	pthread_mutex_lock(&by_path_lock);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (by_path[i] && !strcmp(by_path[i]->port->cfg.socket, port->cfg.socket)) {
			dp_error(err, "socket: %s is port '%s''s", port->cfg.socket, by_path[i]->port->cfg.name);
			pthread_mutex_unlock(&by_path_lock);
			rte_free(v);
			return -EADDRINUSE;
		}
	by_path[port->id] = v;
	v->used_before = features_before(port->cfg.socket);
	pthread_mutex_unlock(&by_path_lock);
	port->priv = v;
	return 0;
}

static void
vhost_stop(struct port *port)
{
	struct vhost *v = port->priv;

	connector_del(port->dp->connector, port);
	unregister_socket(v);
}

static void
vhost_close(struct port *port)
{
	struct vhost *v = port->priv;

	vhost_stop(port);
	pthread_mutex_lock(&by_path_lock);
	by_path[port->id] = NULL;
	if (atomic_load(&v->features))
		remember_features(port->cfg.socket, atomic_load(&v->features));
	pthread_mutex_unlock(&by_path_lock);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->claim_lock);
	rte_free(v);
}

static int
vhost_start(struct port *port, char err[DP_ERR_SIZE])
{
	struct vhost *v = port->priv;

	if (port->cfg.vhost_mode == DP_VHOST_LISTEN)
		return start_listen(v, err);
	if (port->cfg.socket[0] != '/') {
		dp_error(err, "socket: '%s' must be an absolute path", port->cfg.socket);
		return -EINVAL;
	}
	return connector_add(port->dp->connector, port, port->cfg.socket, try_connect);
}

// Why somebody does not have the port who wants it, which is more than what the port waits for.
static void
describe_claim(struct vhost *v, bool is_held, char *text, size_t size)
{
	pthread_mutex_lock(&v->claim_lock);
	if (is_held && v->claim.is_refusing && v->claim.refused_pid == v->claim.holder_pid)
		snprintf(text, size, "refused a second interface of process %" PRId32 ", which has the port",
			v->claim.refused_pid);
	else if (is_held && v->claim.is_refusing)
		snprintf(text, size, "refused process %" PRId32 ": process %" PRId32 " has the port",
			v->claim.refused_pid, v->claim.holder_pid);
	else if (v->fault[0])
		snprintf(text, size, "hung up on the front-end: %s", v->fault);
	pthread_mutex_unlock(&v->claim_lock);
}

static void
vhost_state(const struct port *port, struct dp_port_state *ret_state)
{
	struct vhost *v = port->priv;
	int vid = atomic_load(&v->vid);
	uint64_t connects = atomic_load(&v->n_connects), gone = atomic_load(&v->n_disconnects);
	int err = atomic_load(&v->connect_errno);
	uint16_t mtu;

	ret_state->n_connects = connects;
	ret_state->n_disconnects = gone;
	ret_state->is_connected = connects != gone;
	ret_state->pid = atomic_load(&v->pid);
	ret_state->n_rings_recovered = atomic_load(&v->n_rings_recovered);
	if (vid != NO_VID) {
		ret_state->features = atomic_load(&v->features);
		ret_state->is_packed = ret_state->features >> VIRTIO_F_RING_PACKED & 1;
		ret_state->n_queues = n_contiguous(atomic_load(&v->tx_pairs));
		if (!rte_vhost_get_mtu(vid, &mtu) && mtu)
			ret_state->mtu = RTE_MIN(ret_state->mtu, mtu);
	} else if (!port->cfg.admin_up) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	} else if (ret_state->is_connected) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "waiting for the guest's driver");
	} else if (is_flapping(v)) {
		explain_flaps(v, ret_state->detail, sizeof(ret_state->detail));
	} else if (port->cfg.vhost_mode == DP_VHOST_LISTEN) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "listening");
	} else {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "connecting: %s", strerror(err));
	}
	if (port->cfg.admin_up)
		describe_claim(v, ret_state->is_connected, ret_state->detail, sizeof(ret_state->detail));
}

// Where the library has no port left it ends its event thread, and waits for it, which takes a second: it always has this one, whose
// socket nobody can connect to.
int
port_vhost_init(void)
{
	return rte_vhost_driver_register("(none)", RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT) ? -ENOMEM : 0;
}

int
dp_port_move(struct dp *dp, unsigned id, uint64_t for_ns)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct vhost *v;

	if (!port)
		return -ENOENT;
	if (port->ops != &port_vhost_ops || port->cfg.vhost_mode != DP_VHOST_LISTEN)
		return -EOPNOTSUPP;
	v = port->priv;
	pthread_mutex_lock(&v->claim_lock);
	claim_move(&v->claim, for_ns, clock_now_ns(&dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	return 0;
}

static void
vhost_housekeeping(struct port *port)
{
	struct vhost *v = port->priv;
	uint64_t errors;

	errors = atomic_load(&port->guest_errors);
	if (errors != v->errors_told) {
		struct dp_event event = {
			.type = DP_EVENT_GUEST_ERROR, .port = port->id, .value = errors - v->errors_told};

		pthread_mutex_lock(&v->claim_lock);
		if (!v->is_fault_told)
			snprintf(event.cause, sizeof(event.cause), "%s", v->fault);
		v->is_fault_told = true;
		pthread_mutex_unlock(&v->claim_lock);
		event_queue_post(&port->dp->env.events, event);
	}
	v->errors_told = errors;
}

// A ring with packets in it of which the library takes none, time after time, has a descriptor that lies: the queue stands still
// until the guest's driver resets it. Split rings only; the library counts no packed ones.
static void
check_stuck(struct vhost *v, int vid, uint16_t q)
{
	struct empty_polls *e = &v->empty[q];
	bool is_packed = atomic_load_explicit(&v->features, memory_order_relaxed) >> VIRTIO_F_RING_PACKED & 1;
	bool is_waiting = !is_packed && rte_vhost_rx_queue_count(vid, TXQ(q));

	if (is_waiting && e->was_waiting && !e->is_told) {
		atomic_fetch_add_explicit(&v->port->guest_errors, 1, memory_order_relaxed);
		e->is_told = true;
	}
	e->was_waiting = is_waiting;
}

static uint16_t
vhost_rx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n)
{
	struct vhost *v = port->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	uint16_t got;

	if (vid == NO_VID || !(atomic_load_explicit(&v->rx_pairs, memory_order_relaxed) >> q & 1))
		return 0;
	if (unlikely(atomic_load_explicit(&v->loud_pairs, memory_order_relaxed) >> q & 1)) {
		atomic_fetch_and(&v->loud_pairs, ~(1u << q));
		(void)rte_vhost_enable_guest_notification(vid, TXQ(q), 0);
	}
	got = rte_vhost_dequeue_burst(vid, TXQ(q), port->dp->env.pool, pkts, n);
	if (got)
		v->empty[q] = (struct empty_polls){0};
	else if (unlikely(++v->empty[q].n % STUCK_POLLS == 0))
		check_stuck(v, vid, q);
	return got;
}

static uint16_t
vhost_tx(struct port *port, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	struct vhost *v = port->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	uint16_t sent, more;

	if (vid == NO_VID || !(atomic_load_explicit(&v->tx_pairs, memory_order_relaxed) >> q & 1))
		return 0;
	sent = rte_vhost_enqueue_burst(vid, RXQ(q), pkts, n);
	// A packet that the library does not take though the guest offers buffers fits into none. The guest may have offered them
	// after the library looked: a further attempt tells.
	while (unlikely(sent < n && pkts[sent]->pkt_len > FITS_ALWAYS &&
		vhost_ring_offers(vid, RXQ(q), atomic_load_explicit(&v->features, memory_order_relaxed)))) {
		more = rte_vhost_enqueue_burst(vid, RXQ(q), pkts + sent, (uint16_t)(n - sent));
		sent = (uint16_t)(sent + more);
		if (!more) {
			port_refuse(refused, sent, DROP_REFUSED);
			break;
		}
	}
	pkt_free_burst(pkts, sent);
	return refused->set ? sent + 1 : sent;
}

static int
vhost_rx_wakeup(struct port *port, uint16_t q, bool is_on)
{
	struct vhost *v = port->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);
	int fd = atomic_load_explicit(&v->kick_fd[q], memory_order_relaxed);

	// Nobody there, or a queue that the guest does not use: the front-end's next message wakes through wakeup_gen.
	if (vid == NO_VID || !(atomic_load_explicit(&v->rx_pairs, memory_order_relaxed) >> q & 1))
		return -2;
	(void)rte_vhost_enable_guest_notification(vid, TXQ(q), is_on);
	return fd >= 0 ? fd : -1;
}

static bool
vhost_ring(struct port *port, uint16_t q, struct chain_ring *ret_ring)
{
	struct vhost *v = port->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);

	return vid != NO_VID &&
		vhost_ring_look(vid, RXQ(q), atomic_load_explicit(&v->features, memory_order_relaxed), ret_ring);
}

static void
vhost_kick(struct port *port, uint16_t q)
{
	struct vhost *v = port->priv;
	int vid = atomic_load_explicit(&v->vid, memory_order_relaxed);

	if (vid != NO_VID)
		rte_vhost_notify_guest(vid, RXQ(q));
}

const struct port_ops port_vhost_ops = {
	.open = vhost_open,
	.close = vhost_close,
	.start = vhost_start,
	.stop = vhost_stop,
	.state = vhost_state,
	.housekeeping = vhost_housekeeping,
	.rx = vhost_rx,
	.tx = vhost_tx,
	.rx_wakeup = vhost_rx_wakeup,
	.ring = vhost_ring,
	.kick = vhost_kick,
};
