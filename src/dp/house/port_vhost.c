// Guests on vhost-user sockets, through librte_vhost: a port's socket, and the control thread's
// work for a port of that type. vhost_session.c has the front-ends that come and go, vhost_io.c the
// packets. Other files do what librte_vhost cannot. connector.c connects without waiting, and
// vhost_ring.c finds a packed ring's position after a crash. vhost_fds.c enforces the rules of
// messages and descriptors, and bus_error.c survives removed guest memory.
#include "connector.h"
#include "dp_state.h"
#include "io/vhost_fds.h"
#include "io/vhost_guard.h"
#include "io/vhost_io.h"
#include "port.h"
#include "port_type.h"
#include "rtvs/claim.h"
#include "vhost_session.h"
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

// The back-end's own channel: BACKEND_REQ, BACKEND_SEND_FD, HOST_NOTIFIER. Nothing here uses it,
// and no socket of a front-end's is taken.
#define NO_PROTOCOL_FEATURES (1ULL << 5 | 1ULL << 10 | 1ULL << 11)

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

#define MAX_REGISTERED 1023 // librte_vhost's MAX_VHOST_SOCKET, less the one of port_vhost_init

static unsigned n_registered; // sockets; ctl

static int
register_socket(struct vhost *v)
{
	const struct dp_port_cfg *cfg = &v->port->cfg;
	// The guest's requests come as flags of a received packet, which gso_take reads. The older
	// way, as flags of one to be sent, loses requests behind all but plain headers. This one
	// executes checksums that it has no flag for.
	uint64_t flags = RTE_VHOST_USER_NET_COMPLIANT_OL_FLAGS |
		(cfg->vhost_mode == DP_VHOST_CONNECT ? RTE_VHOST_USER_CLIENT | RTE_VHOST_USER_NO_RECONNECT : 0);
	uint64_t protocol;

	if (n_registered == MAX_REGISTERED)
		return -EMFILE;
	if (rte_vhost_driver_register(cfg->socket, flags))
		return -ENOMEM;
	v->is_registered = true;
	n_registered++;
	if (rte_vhost_driver_get_protocol_features(cfg->socket, &protocol) ||
		rte_vhost_driver_set_protocol_features(cfg->socket, protocol & ~NO_PROTOCOL_FEATURES) ||
		rte_vhost_driver_disable_features(cfg->socket, features_off(cfg)) ||
		rte_vhost_driver_set_max_queue_num(cfg->socket, cfg->n_queues) ||
		rte_vhost_driver_callback_register(cfg->socket, &vhost_session_ops) ||
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
	// ends its connections through cb_destroy_device
	(void)rte_vhost_driver_unregister(v->port->cfg.socket);
	vhost_fds_unregister_end();
	v->is_registered = false;
	n_registered--;
	vhost_session_clear(v);
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
		if (rc == -EMFILE)
			dp_error(err,
				"socket: there are %u sockets of vhost ports already, which is as many as librte_vhost "
				"has",
				MAX_REGISTERED);
		else
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
		vhost_guard_is_closing(v->port->path.serial);
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
	int rc;

	if (!v) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	v->port = port;
	v->fixed = port->cfg;
	v->io.vid = VHOST_NO_VID;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->claim_lock, NULL);
	for (unsigned i = 0; i < VHOST_MAX_FRONTENDS; i++)
		v->frontend[i].vid = VHOST_NO_VID;
	for (unsigned i = 0; i < DP_MAX_QUEUES; i++)
		v->io.kick_fd[i] = -1;
	rc = vhost_session_add(v, err);
	if (rc) {
		rte_free(v);
		return rc;
	}
	port->priv = v;
	port->path.device.priv = &v->io;
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
	vhost_session_del(v);
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

// Why a front-end does not get the port, which is more than the reason for the port's wait.
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
	int vid = atomic_load(&v->io.vid);
	uint64_t connects = atomic_load(&v->n_connects), gone = atomic_load(&v->n_disconnects);
	int err = atomic_load(&v->connect_errno);
	uint16_t mtu;

	ret_state->n_connects = connects;
	ret_state->n_disconnects = gone;
	ret_state->is_connected = connects != gone;
	ret_state->pid = atomic_load(&v->pid);
	ret_state->n_rings_recovered = atomic_load(&v->n_rings_recovered);
	if (vid != VHOST_NO_VID) {
		ret_state->features = atomic_load(&v->io.features);
		ret_state->is_packed = ret_state->features >> VIRTIO_F_RING_PACKED & 1;
		ret_state->n_queues = vhost_session_n_pairs(atomic_load(&v->io.tx_pairs));
		if (!rte_vhost_get_mtu(vid, &mtu) && mtu)
			ret_state->mtu = RTE_MIN(ret_state->mtu, mtu);
	} else if (!port->cfg.admin_up) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	} else if (ret_state->is_connected) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "waiting for the guest's driver");
	} else if (vhost_session_is_flapping(v)) {
		vhost_session_explain_flaps(v, ret_state->detail, sizeof(ret_state->detail));
	} else if (port->cfg.vhost_mode == DP_VHOST_LISTEN) {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "listening");
	} else {
		snprintf(ret_state->detail, sizeof(ret_state->detail), "connecting: %s", strerror(err));
	}
	if (port->cfg.admin_up)
		describe_claim(v, ret_state->is_connected, ret_state->detail, sizeof(ret_state->detail));
}

// Without a port the library ends its event thread, and waits for it, which takes a second. So it
// always has this one, whose socket accepts no connection.
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
	if (port->type != &port_vhost_type || port->cfg.vhost_mode != DP_VHOST_LISTEN)
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

// A QEMU outlives its port, and goes on with the features that its guest negotiated.
struct saved {
	uint32_t version, zero;
	uint64_t features;
};

#define SAVED_VERSION 1

static size_t
vhost_save(const struct port *port, void *state, size_t size)
{
	const struct vhost *v = port->priv;
	uint64_t features = atomic_load(&v->io.features);
	struct saved saved = {.version = SAVED_VERSION, .features = features ? features : v->used_before};

	if (!saved.features)
		return 0;
	if (size >= sizeof(saved))
		memcpy(state, &saved, sizeof(saved));
	return sizeof(saved);
}

static int
vhost_restore(struct port *port, const void *state, size_t len)
{
	struct vhost *v = port->priv;
	struct saved saved;

	if (len != sizeof(saved))
		return -EINVAL;
	memcpy(&saved, state, sizeof(saved));
	if (saved.version != SAVED_VERSION || saved.zero)
		return -EINVAL;
	v->used_before = saved.features;
	return 0;
}

const struct port_type port_vhost_type = {
	.open = vhost_open,
	.close = vhost_close,
	.start = vhost_start,
	.stop = vhost_stop,
	.state = vhost_state,
	.housekeeping = vhost_housekeeping,
	.save = vhost_save,
	.restore = vhost_restore,
	.io = &vhost_io_ops,
};
