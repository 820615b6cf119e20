// Guests on vhost-user sockets: a port's socket, and the control thread's work for a port of that
// type. vhost_session.c has the front-ends that come and go, io/guest_loop.c their connections,
// io/guest_io.c the packets.
#include "connector.h"
#include "dp_state.h"
#include "eal.h"
#include "io/vdpa_device.h"
#include "io/vdpa_link.h"
#include "io/vhost_guard.h"
#include "link_store.h"
#include "port.h"
#include "port_type.h"
#include "rtvs/claim.h"
#include "vhost_session.h"
#include "vhost_socket.h"

#include <rte_malloc.h>

#include <errno.h>
#include <inttypes.h>
#include <linux/virtio_net.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIT(n) (UINT64_C(1) << (n))
// Beside rings and offloads.
#define OFFERED                                                                                                 \
	(BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | \
		BIT(VIRTIO_NET_F_GUEST_ANNOUNCE))

static void
stop_serving(struct vhost *v)
{
	guest_loop_remove(v->port->dp->guests, &v->served);
	if (v->is_bound)
		(void)unlink(v->port->cfg.socket);
	v->is_bound = false;
}

static int
start_listen(struct vhost *v, char err[DP_ERR_SIZE])
{
	int fd = link_store_take_listener(v), rc;

	if (fd < 0)
		fd = vhost_socket_listen(&v->port->cfg, err);
	if (fd < 0)
		return fd;
	v->is_bound = true;
	(void)link_store_adopt(v); // before another front-end is accepted
	rc = guest_loop_listen(v->port->dp->guests, &v->served, fd);
	if (rc) {
		dp_error(err, "socket: cannot listen on %s: %s", v->port->cfg.socket, strerror(-rc));
		stop_serving(v);
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
	int rc;

	if (link_store_adopt(v))
		return 0;
	rc = is_banned(v) ? -EAGAIN : vhost_socket_connect(port->cfg.socket);
	if (rc >= 0)
		rc = guest_loop_connect(port->dp->guests, &v->served, rc);
	atomic_store(&v->connect_errno, -rc);
	return rc;
}

// Of two ports on one socket none would know which has a guest. A removed one that is still
// draining has its socket, too.
static const struct port *
find_socket(const struct dp *dp, const char *path)
{
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i] && dp->port[i]->type == &port_vhost_type && !strcmp(dp->port[i]->cfg.socket, path))
			return dp->port[i];
	for (const struct port *port = dp->removed; port; port = port->next_removed)
		if (port->type == &port_vhost_type && !strcmp(port->cfg.socket, path))
			return port;
	return NULL;
}

static uint64_t
hidden_features(const struct dp_port_cfg *cfg)
{
	struct dp_port_cfg all = {.packed = true, .csum = true, .tso = true};

	return vhost_session_offers(&all) & ~vhost_session_offers(cfg);
}

// Workers have neither the guest's rings nor anything else of the port.
static int
open_device(struct vhost *v, char err[DP_ERR_SIZE])
{
	struct vdpa_device_cfg cfg = {.id = v->port->path.id,
		.devargs = v->fixed.device,
		.hidden = hidden_features(&v->fixed),
		.n_pairs = v->fixed.n_queues};
	int rc;

	eal_need_drivers();
	rc = vdpa_device_open(&cfg, &v->device, err);
	v->served.create = vdpa_link_create;
	v->served.device = v->device;
	v->port->path.device.io = NULL;
	return rc;
}

static int
vhost_open(struct port *port, char err[DP_ERR_SIZE])
{
	const struct port *other = find_socket(port->dp, port->cfg.socket);
	struct vhost *v;
	int rc;

	if (other) {
		dp_error(err, "socket: %s is port '%s''s", port->cfg.socket, other->cfg.name);
		return -EADDRINUSE;
	}
	v = rte_zmalloc("vhost", sizeof(*v), RTE_CACHE_LINE_SIZE);
	if (!v) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	vhost_session_open(v, port, vhost_session_offers(&port->cfg) | OFFERED, port->cfg.socket);
	v->served.is_kept = port->dp->link_store && v->record && !port->cfg.device[0];
	rc = port->cfg.device[0] ? open_device(v, err) : 0;
	if (rc) {
		vhost_session_close(v);
		rte_free(v);
	}
	return rc;
}

static void
vhost_stop(struct port *port)
{
	struct vhost *v = port->priv;

	connector_del(port->dp->connector, port);
	link_store_end(v);
	stop_serving(v);
}

static void
vhost_close(struct port *port)
{
	struct vhost *v = port->priv;

	vhost_stop(port);
	vdpa_device_close(v->device);
	vhost_session_close(v);
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

static void
vhost_housekeeping(struct port *port)
{
	vhost_session_housekeeping(port);
	link_store_look(port->priv);
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
describe_device(const char *device, char detail[DP_DETAIL_SIZE])
{
	char rest[DP_DETAIL_SIZE];

	memcpy(rest, detail, sizeof(rest));
	snprintf(detail, DP_DETAIL_SIZE, "offloaded to %.64s%s%.100s", device, rest[0] ? ": " : "", rest);
}

static void
vhost_state(const struct port *port, struct dp_port_state *ret_state)
{
	struct vhost *v = port->priv;
	int err = atomic_load(&v->connect_errno);

	if (vhost_session_state(v, ret_state)) {
		ret_state->detail[0] = '\0';
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
	if (v->device)
		describe_device(port->cfg.device, ret_state->detail);
}

unsigned
dp_port_device_stats(const struct dp *dp, unsigned id, struct dp_device_stat *ret_stats, unsigned max)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	const struct vhost *v = port && port->cfg.device[0] ? port->priv : NULL;

	return v ? vdpa_device_stats(v->device, ret_stats, max) : 0;
}

static int
vhost_move(struct port *port, uint64_t for_ns)
{
	struct vhost *v = port->priv;

	if (port->cfg.vhost_mode != DP_VHOST_LISTEN || port->cfg.device[0])
		return -EOPNOTSUPP; // a device has one guest's rings
	pthread_mutex_lock(&v->claim_lock);
	claim_move(&v->claim, for_ns, clock_now_ns(&port->dp->env.clock));
	pthread_mutex_unlock(&v->claim_lock);
	return 0;
}

static int
vhost_hand(struct port *port, const struct dp_fd_store *to, bool is_last, char err[DP_ERR_SIZE])
{
	return link_store_hand(port->priv, to, is_last, err);
}

static int
vhost_warm(struct port *port, char err[DP_ERR_SIZE])
{
	return link_store_warm(port->priv, err);
}

static void
vhost_connects(const struct port *port, struct port_connects *ret_connects)
{
	vhost_session_connects(port->priv, ret_connects);
}

static void
vhost_go_on(struct port *port, const struct port_connects *connects)
{
	vhost_session_go_on(port->priv, connects);
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
	uint64_t features = atomic_load(&v->features);
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
	.move = vhost_move,
	.hand = vhost_hand,
	.warm = vhost_warm,
	.save = vhost_save,
	.restore = vhost_restore,
	.connects = vhost_connects,
	.go_on = vhost_go_on,
	.io = &guest_io_ops,
};
