// How ports are removed. A port with waiting packets is drained first: the published view has it as
// an egress that its owner serves, but no bridge, tunnel, mirror or queue leads to it. From then on
// no packet arrives, and the waiting ones can only leave. A timer looks at such ports until no
// packet waits, or PORT_DRAIN_MAX_NS have passed. Only then are they closed, and the remaining
// packets dropped as `port_gone`. A port without waiting packets is closed within dp_port_del.
// Invariant: the control thread never waits for packets to leave; each call publishes one view.
#include "port_end.h"

#include "bridge.h"
#include "dp_state.h"
#include "eswitches.h"
#include "kept.h"
#include "path/backpressure.h"
#include "path/schedule.h"
#include "port_rules.h"
#include "port_type.h"
#include "registry.h"
#include "stats.h"
#include "underlay.h"
#include "views.h"

#include <rte_malloc.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

int
port_end_init(struct dp *dp)
{
	dp->drain_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return dp->drain_fd < 0 ? -errno : 0;
}

void
port_end_fini(struct dp *dp)
{
	(void)port_end_now(dp, NULL);
	if (dp->drain_fd >= 0)
		close(dp->drain_fd);
}

void
port_end_free(struct port *port)
{
	struct dp *dp = port->dp;
	uint32_t pos = 0;
	uint16_t sender;

	while (port->schedule && schedule_next_held(port->schedule, &pos, &sender))
		if (dp->port[sender])
			backpressure_release(&dp->port[sender]->path, port->path.id);
	schedule_destroy(port->schedule, dp->worker[port->path.owner]);
	underlay_destroy(port);
	port_rules_free(port);
	free(port->trace);
	mailbox_fini(&port->path.handoff);
	rte_free(port);
}

// No worker knows the port any more.
static void
end(struct dp *dp, struct port *port)
{
	struct dp_event event = {.type = DP_EVENT_DRAINED, .port = port->path.id};
	bool is_told = port->life == PORT_DRAINING;
	uint64_t before = dp->gone.drops[DROP_PORT_GONE];

	port->type->stop(port);
	stats_retire(dp, port);
	kept_save(dp, port);
	port->type->close(port);
	port_life_step(&port->life, PORT_GONE);
	event.value = dp->gone.drops[DROP_PORT_GONE] - before;
	snprintf(event.cause, sizeof(event.cause), "%s", port->cfg.name);
	port_end_free(port);
	if (is_told)
		event_queue_post(&dp->env.events, event);
}

// Those that the last view had no more.
static void
end_unpublished(struct dp *dp)
{
	struct port **at = &dp->removed, *port;

	while ((port = *at)) {
		if (!port->is_over) {
			at = &port->next_removed;
			continue;
		}
		*at = port->next_removed;
		end(dp, port);
	}
}

static void
set_timer(struct dp *dp)
{
	long ns = dp->removed ? PORT_DRAIN_LOOK_NS : 0;
	struct itimerspec at = {.it_value.tv_nsec = ns, .it_interval.tv_nsec = ns};

	(void)timerfd_settime(dp->drain_fd, 0, &at, NULL);
}

// Without memory for a view they stay until the next look.
static void
end_all_over(struct dp *dp)
{
	bool is_any_over = false;

	for (struct port *port = dp->removed; port; port = port->next_removed)
		if (port->is_over) {
			registry_touch(port);
			is_any_over = true;
		}
	if (!is_any_over || views_publish(dp))
		return;
	end_unpublished(dp);
	set_timer(dp);
}

// The counters of packets that left are read first: a packet that is counted in between makes the
// difference larger, never 0. A packet on its way through a worker, from the port's mailbox to its
// schedule, is in neither.
static bool
has_waiting(const struct dp *dp, const struct port *port)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < dp->env.n_workers; i++)
		n -= __atomic_load_n(&dp->worker[i]->port[port->path.id].c.queued_out, __ATOMIC_ACQUIRE);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		n += __atomic_load_n(&dp->worker[i]->port[port->path.id].c.queued_in, __ATOMIC_ACQUIRE);
	return n;
}

void
port_end_turn(struct dp *dp)
{
	uint64_t now_ns, ignored;
	bool is_any_over = false;

	if (!dp->removed || read(dp->drain_fd, &ignored, sizeof(ignored)) != sizeof(ignored))
		return;
	for (struct port *port = dp->removed; port; port = port->next_removed)
		is_any_over |= port->is_over = !has_waiting(dp, port);
	if (is_any_over) // what a worker had in its hands is counted by then
		rcu_wait(&dp->env.rcu);
	now_ns = clock_now_ns(&dp->env.clock);
	for (struct port *port = dp->removed; port; port = port->next_removed)
		port->is_over = (port->is_over && !has_waiting(dp, port)) || now_ns >= port->drain_until_ns;
	end_all_over(dp);
}

bool
port_end_now(struct dp *dp, const char *name)
{
	bool found = false;

	for (struct port *port = dp->removed; port; port = port->next_removed)
		if (!name || !strcmp(port->cfg.name, name))
			found = port->is_over = true;
	end_all_over(dp);
	return found;
}

bool
port_end_has(const struct dp *dp, unsigned id)
{
	for (const struct port *port = dp->removed; port; port = port->next_removed)
		if (port->path.id == id)
			return true;
	return false;
}

int
dp_port_del(struct dp *dp, unsigned id)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct bridge *bridge;

	if (!port)
		return -ENOENT;
	if (eswitches_leave(port))
		return -ENOMEM;
	dp_capture_stop(dp, id, &(uint64_t){0});
	bridge = port->place.bridge;
	port->is_over = port->life != PORT_STARTED || !has_waiting(dp, port);
	port->next_removed = dp->removed;
	dp->removed = port;
	registry_hide(port);
	if (views_publish(dp)) {
		// Without memory for a new view the port stays, which is said, rather than used
		// after it is freed.
		dp->removed = port->next_removed;
		registry_show(port);
		return -ENOMEM;
	}
	registry_del(port);
	if (bridge)
		bridge_forget_port(dp, bridge, port, true);
	port->drain_until_ns = clock_now_ns(&dp->env.clock) + PORT_DRAIN_MAX_NS;
	if (!port->is_over)
		port_life_step(&port->life, PORT_DRAINING);
	end_unpublished(dp);
	set_timer(dp);
	return 0;
}
