#include "registry.h"

#include "bridge.h"
#include "dp_state.h"
#include "port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint32_t
bucket_of(const char *text)
{
	uint32_t hash = 2166136261; // FNV-1a

	for (const char *c = text; *c; c++)
		hash = (hash ^ (uint8_t)*c) * 16777619;
	return hash % REGISTRY_BUCKETS;
}

static struct port_name *
find(const struct dp *dp, const char *text)
{
	struct port_name *name;

	LIST_FOREACH (name, &dp->names[bucket_of(text)], in_bucket)
		if (!strcmp(name->text, text))
			return name;
	return NULL;
}

// "" is no name: *ret_name is NULL then.
static int
use(struct dp *dp, const char *text, struct port_name **ret_name)
{
	struct port_name *name = text[0] ? find(dp, text) : NULL;

	if (text[0] && !name) {
		name = calloc(1, sizeof(*name));
		if (!name)
			return -ENOMEM;
		memcpy(name->text, text, strlen(text) + 1);
		LIST_INSERT_HEAD(&dp->names[bucket_of(text)], name, in_bucket);
	}
	if (name)
		name->n_uses++;
	*ret_name = name;
	return 0;
}

static void
release(struct port_name *name)
{
	if (!name || --name->n_uses)
		return;
	LIST_REMOVE(name, in_bucket);
	free(name);
}

struct port *
registry_port(const struct dp *dp, const char *name)
{
	struct port_name *found = find(dp, name);

	return found ? found->port : NULL;
}

struct bridge *
registry_bridge(const struct dp *dp, const char *name)
{
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (dp->bridge[i] && !strcmp(dp->bridge[i]->cfg.name, name))
			return dp->bridge[i];
	return NULL;
}

struct port *
registry_mirror_to(const struct port *port)
{
	return port->place.mirror_to ? port->place.mirror_to->port : NULL;
}

struct port *
registry_uplink(const struct port *port)
{
	return port->place.uplink ? port->place.uplink->port : NULL;
}

void
registry_touch(struct port *port)
{
	port_set_add(&port->dp->stale, port->path.id);
}

static void
touch_named(struct port_name *name)
{
	if (name && name->port)
		registry_touch(name->port);
}

void
registry_touch_tunnels(struct port *uplink)
{
	struct port *tunnel;

	LIST_FOREACH (tunnel, &uplink->place.name->tunnels, place.tunnels)
		registry_touch(tunnel);
}

// The port comes or goes.
static void
touch_around(struct port *port)
{
	struct port *source;

	registry_touch(port);
	registry_touch_tunnels(port);
	LIST_FOREACH (source, &port->place.name->mirrors, place.mirrors)
		registry_touch(source);
	touch_named(port->place.mirror_to);
	touch_named(port->place.uplink);
}

static void
link_in(struct port *port)
{
	struct port_place *place = &port->place;

	place->bridge = port->cfg.bridge[0] ? registry_bridge(port->dp, port->cfg.bridge) : NULL;
	if (place->bridge)
		LIST_INSERT_HEAD(&place->bridge->ports, port, place.of_bridge);
	if (place->mirror_to)
		LIST_INSERT_HEAD(&place->mirror_to->mirrors, port, place.mirrors);
	if (place->uplink)
		LIST_INSERT_HEAD(&place->uplink->tunnels, port, place.tunnels);
}

static void
unlink_from(struct port *port)
{
	if (port->place.bridge)
		LIST_REMOVE(port, place.of_bridge);
	if (port->place.mirror_to)
		LIST_REMOVE(port, place.mirrors);
	if (port->place.uplink)
		LIST_REMOVE(port, place.tunnels);
}

static int
use_mirror(const struct port *port, struct port_name **ret_name)
{
	return use(port->dp, port->cfg.mirror ? port->cfg.mirror_to : "", ret_name);
}

int
registry_add(struct port *port)
{
	struct port_place *place = &port->place;
	int rc = use(port->dp, port->cfg.name, &place->name);

	if (!rc)
		rc = use_mirror(port, &place->mirror_to);
	if (!rc)
		rc = use(port->dp, port_has(port->cfg.type, PORT_IS_TUNNEL) ? port->cfg.uplink : "", &place->uplink);
	if (rc)
		registry_del(port);
	else
		registry_show(port);
	return rc;
}

int
registry_set(struct port *port)
{
	struct port_name *old = port->place.mirror_to, *mirror_to;
	int rc = use_mirror(port, &mirror_to);

	if (rc)
		return rc;
	unlink_from(port);
	port->place.mirror_to = mirror_to;
	link_in(port);
	registry_touch(port);
	if (mirror_to != old) {
		touch_named(mirror_to);
		touch_named(old);
	}
	release(old);
	return 0;
}

void
registry_show(struct port *port)
{
	link_in(port);
	port->place.name->port = port;
	port->dp->port[port->path.id] = port;
	touch_around(port);
}

void
registry_hide(struct port *port)
{
	touch_around(port);
	unlink_from(port);
	port->place.name->port = NULL;
	port->dp->port[port->path.id] = NULL;
}

void
registry_del(struct port *port)
{
	release(port->place.name);
	release(port->place.mirror_to);
	release(port->place.uplink);
	port->place = (struct port_place){0};
}
