// Network cards of the kernel's vDPA bus: the daemon is the device (VDUSE). A driver of the bus
// makes it an interface of this host (virtio_vdpa) or a file for a virtual machine (vhost_vdpa).
// vhost_session.c has the port's state, io/vduse_link.c the kernel's requests, io/guest_io.c the
// packets. The device is made with the port and ends with it, but not with the daemon: a driver
// that waits for the next daemon goes on where it was. From the first moment to the last the kernel
// gets answers, whatever the port's state: it would make processes wait for them.
#include "dp_state.h"
#include "io/vduse_device.h"
#include "io/vduse_link.h"
#include "port.h"
#include "port_type.h"
#include "rtvs/log.h"
#include "rtvs/vdpa.h"
#include "vhost_session.h"

#include <rte_malloc.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MGMTDEV "vduse" // who makes devices of this kind

struct vduse_port {
	struct vhost v; // the port's priv
	int device;
};

static struct vduse_port *
port_of(const struct port *port)
{
	return container_of((struct vhost *)port->priv, struct vduse_port, v);
}

static struct vduse_device_cfg
device_of(const struct dp_port_cfg *cfg)
{
	return (struct vduse_device_cfg){.name = cfg->name,
		.features = vhost_session_offers(cfg),
		.mac = cfg->allowed_macs.n ? cfg->allowed_macs.mac[0].b : NULL,
		.mtu = (uint16_t)cfg->mtu};
}

static int
check(const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	if (cfg->n_queues > 1)
		dp_error(err,
			"queues: %u is out of range 1 to 1: drivers need a control queue for more, and no Linux so far "
			"takes one from a VDUSE device",
			cfg->n_queues);
	else if (!strcmp(cfg->name, "control"))
		dp_error(err, "name: the kernel's own file /dev/vduse/control has this name; choose another");
	else
		return 0;
	return -EINVAL;
}

// The kernel asks the device while the bus gets it, which is answered by the thread of connections.
static int
give_to_bus(const char *name, char err[DP_ERR_SIZE])
{
	char text[VDPA_ERR_SIZE] = "";
	struct vdpa_dev there;
	int rc = vdpa_dev_new(name, MGMTDEV, VDPA_TIMEOUT_MS, text);

	if (rc == -EEXIST && !vdpa_dev_get(name, &there, VDPA_TIMEOUT_MS, text)) {
		if (!strcmp(there.mgmtdev, MGMTDEV))
			return 0; // the former daemon's
		snprintf(text, sizeof(text), "the vDPA bus has one of this name, by %s", there.mgmtdev);
	}
	if (rc)
		dp_error(err, "name: no vDPA device '%s': %s", name, text);
	return rc;
}

static void
end_device(struct vduse_port *p)
{
	guest_loop_remove(p->v.port->dp->guests, &p->v.served);
	close(p->device);
	if (!p->v.port->dp->is_ending && vduse_device_destroy(p->v.fixed.name) == -EBUSY)
		log_error("port %s: the vDPA bus still has its device; once it is free, vdpa dev del %s",
			p->v.fixed.name, p->v.fixed.name);
}

// The link closes its own descriptor, whenever the kernel gives the device up.
static int
serve(struct vduse_port *p, char err[DP_ERR_SIZE])
{
	int fd = fcntl(p->device, F_DUPFD_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : guest_loop_connect(p->v.port->dp->guests, &p->v.served, fd);

	if (rc)
		dp_error(err, "cannot serve the VDUSE device: %s", strerror(-rc));
	return rc;
}

static int
open_and_serve(struct vduse_port *p, const struct vduse_device_cfg *cfg, bool *ret_is_stale, char err[DP_ERR_SIZE])
{
	int rc = p->device = vduse_device_open(cfg, ret_is_stale, err);

	if (rc < 0)
		return rc;
	rc = serve(p, err);
	if (rc)
		end_device(p);
	return rc;
}

// What a former daemon left goes on, unless the kernel waited too long for this one, or the port's
// fixed parameters are others. The kernel wants answers also while it takes a device off the bus.
static int
open_device(struct vduse_port *p, const struct vduse_device_cfg *cfg, char err[DP_ERR_SIZE])
{
	char text[VDPA_ERR_SIZE] = "";
	bool is_stale;
	int rc = open_and_serve(p, cfg, &is_stale, err);

	if (rc || !is_stale)
		return rc;
	log_error("port %s: %s; it is made anew, and its interface with it", cfg->name, err);
	rc = vdpa_dev_del(cfg->name, VDPA_TIMEOUT_MS, text);
	end_device(p);
	if (rc) {
		dp_error(err, "name: the VDUSE device '%s' must be made anew, but it stays: %s", cfg->name, text);
		return rc;
	}
	err[0] = '\0';
	return open_and_serve(p, cfg, &is_stale, err);
}

static int
vduse_open(struct port *port, char err[DP_ERR_SIZE])
{
	struct vduse_device_cfg cfg;
	struct vduse_port *p;
	int rc = check(&port->cfg, err);

	if (rc)
		return rc;
	p = rte_zmalloc("vduse", sizeof(*p), RTE_CACHE_LINE_SIZE);
	if (!p) {
		dp_error(err, "no memory for a port");
		return -ENOMEM;
	}
	vhost_session_open(&p->v, port, 0, port->cfg.name);
	cfg = device_of(&port->cfg);
	p->v.served.features = vduse_device_features(&cfg);
	p->v.served.create = vduse_link_create;
	p->v.io.signal = vduse_link_signal;
	atomic_store(&p->v.is_off, true);
	rc = open_device(p, &cfg, err);
	if (rc)
		goto err_session;
	rc = give_to_bus(cfg.name, err);
	if (!rc)
		return 0;
	end_device(p);
err_session:
	vhost_session_close(&p->v);
	rte_free(p);
	return rc;
}

static void
vduse_close(struct port *port)
{
	struct vduse_port *p = port_of(port);
	char text[VDPA_ERR_SIZE] = "";
	int rc = port->dp->is_ending ? 0 : vdpa_dev_del(p->v.fixed.name, VDPA_TIMEOUT_MS, text);

	if (rc && rc != -ENODEV)
		log_error("port %s: its vDPA device stays: %s", p->v.fixed.name, text);
	end_device(p);
	vhost_session_close(&p->v);
	rte_free(p);
}

static int
set_link(struct port *port, bool is_up)
{
	struct vduse_port *p = port_of(port);
	struct vduse_device_cfg cfg = device_of(&port->cfg);

	atomic_store(&p->v.is_off, !is_up);
	guest_loop_refresh(port->dp->guests, &p->v.served);
	return vduse_device_set(p->device, &cfg, is_up);
}

static bool
is_same_mac(const struct dp_port_cfg *a, const struct dp_port_cfg *b)
{
	return a->allowed_macs.n && b->allowed_macs.n &&
		!memcmp(&a->allowed_macs.mac[0], &b->allowed_macs.mac[0], sizeof(a->allowed_macs.mac[0]));
}

// Drivers read both when they are bound. The address of an interface can be changed in its place;
// its MTU can be no larger than what the driver read, and frames above the port's are dropped.
static int
vduse_configure(struct port *port, const struct dp_port_cfg *cfg, char err[DP_ERR_SIZE])
{
	struct vduse_port *p = port_of(port);
	struct vduse_device_cfg device = device_of(cfg);
	int rc;

	if (cfg->mtu == port->cfg.mtu && (!cfg->allowed_macs.n || is_same_mac(cfg, &port->cfg)))
		return 0;
	if (cfg->mtu != port->cfg.mtu && vduse_device_has_driver(p->device)) {
		dp_error(err,
			"mtu: the driver of device %s read it when it was bound: rtvsctl vdpa detach %s, set it, "
			"and attach again",
			cfg->name, cfg->name);
		return -EBUSY;
	}
	rc = vduse_device_set(p->device, &device, !atomic_load(&p->v.is_off));
	if (rc)
		dp_error(err, "%s: the kernel refuses it for VDUSE device '%s': %s",
			cfg->mtu != port->cfg.mtu ? "mtu" : "allowed_macs", cfg->name, strerror(-rc));
	return rc;
}

static int
vduse_start(struct port *port, char err[DP_ERR_SIZE])
{
	int rc = set_link(port, true);

	if (rc)
		dp_error(err, "the kernel refuses the link of VDUSE device '%s': %s", port->cfg.name, strerror(-rc));
	return rc;
}

static void
vduse_stop(struct port *port)
{
	(void)set_link(port, false);
}

static void
vduse_state(const struct port *port, struct dp_port_state *ret_state)
{
	struct vhost *v = port->priv;
	bool is_served;

	ret_state->is_connected = vhost_session_state(v, ret_state);
	is_served = ret_state->n_connects != ret_state->n_disconnects;
	if (!port->cfg.admin_up)
		snprintf(ret_state->detail, sizeof(ret_state->detail), "administratively down");
	else if (!is_served)
		snprintf(ret_state->detail, sizeof(ret_state->detail),
			"the kernel gave the device up: delete the port and add it again");
	else if (!ret_state->is_connected)
		snprintf(ret_state->detail, sizeof(ret_state->detail),
			"no driver has set up /sys/bus/vdpa/devices/%s, or its interface is down", port->cfg.name);
}

const struct port_type port_vduse_type = {
	.open = vduse_open,
	.close = vduse_close,
	.start = vduse_start,
	.stop = vduse_stop,
	.configure = vduse_configure,
	.state = vduse_state,
	.housekeeping = vhost_session_housekeeping,
	.io = &guest_io_ops,
};
