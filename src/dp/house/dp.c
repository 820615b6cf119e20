// The datapath's life: EAL, packet memory, workers, events. EAL can be started once a process, so
// there is one struct dp. Everything here runs on the control thread.
// Invariant: after dp_init has failed, or dp_fini returned, no worker, socket or packet of ours is
// left.
#include "rtvs/dp.h"

#include "base/pkt_pool.h"
#include "bridge.h"
#include "bus_error.h"
#include "connector.h"
#include "dp_log.h"
#include "dp_state.h"
#include "eal.h"
#include "housekeeping.h"
#include "io/guest_loop.h"
#include "io/netdev.h"
#include "io/vhost_guard.h"
#include "kept.h"
#include "kernel_port.h"
#include "link_store.h"
#include "port_end.h"
#include "port_type.h"
#include "priority.h"
#include "ring_states.h"
#include "rtvs/log.h"
#include "state_ids.h"
#include "underlay.h"
#include "views.h"
#include "workers.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_version.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

const char *const dp_idle_names[] = {"busy", "adaptive", NULL};
const char *const dp_priority_names[] = {"normal", "nice", "fifo", NULL};
const char *const dp_vhost_mode_names[] = {"listen", "connect", NULL};
const char *const dp_vlan_mode_names[] = {"access", "trunk", NULL};
const char *const dp_clock_names[] = {"system", "peer", NULL};
const char *const dp_feedback_names[] = {"off", "measure", "act", NULL};
const char *const dp_late_names[] = {"send", "drop", NULL};
const char *const dp_dscp_names[] = {"keep", "deadline", NULL};
const char *const dp_mirror_dir_names[] = {"none", "rx", "tx", "both", NULL};

static bool is_eal_used; // EAL cannot be started twice

static int
epoll_add(int epoll_fd, int fd)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static int
events_start(struct dp *dp)
{
	int rc;

	rc = event_queue_init(&dp->env.events, &dp->env.clock);
	if (rc)
		return rc;
	dp->ctl_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (dp->ctl_epoll_fd < 0)
		return -errno;
	rc = epoll_add(dp->ctl_epoll_fd, dp->env.events.fd);
	if (!rc)
		rc = connector_create(&dp->env.clock, &dp->connector);
	if (!rc)
		rc = epoll_add(dp->ctl_epoll_fd, connector_fd(dp->connector));
	if (!rc)
		rc = netdev_watch_create(&dp->netdevs);
	if (!rc)
		rc = epoll_add(dp->ctl_epoll_fd, netdev_watch_fd(dp->netdevs));
	if (!rc)
		rc = port_end_init(dp);
	if (!rc)
		rc = epoll_add(dp->ctl_epoll_fd, dp->drain_fd);
	return rc;
}

static int
parse_classes(const char *text, struct dscp_table *ret_table, char err[DP_ERR_SIZE])
{
	char wrong[DSCP_ERR_SIZE];
	int rc = dscp_parse(text, ret_table, wrong);

	if (rc)
		dp_error(err, "dscp_classes: %s", wrong);
	return rc;
}

// In memory where there is no file: a hand-over needs them, too.
static int
open_ring_states(struct dp *dp, char err[DP_ERR_SIZE])
{
	const struct dp_system_cfg *cfg = &dp->cfg;

	if (cfg->is_standby && cfg->former_rings > 0) {
		dp->ring_states = ring_states_join(cfg->former_rings);
		if (!dp->ring_states)
			dp_error(err, "hand-over: the former daemon's rings are of another version");
		return dp->ring_states ? 0 : -EPROTO;
	}
	if (cfg->ring_states[0])
		dp->ring_states = ring_states_open(cfg->ring_states);
	if (!dp->ring_states)
		dp->ring_states = ring_states_create();
	return dp->ring_states ? 0 : -ENOMEM;
}

int
dp_hand_rings(const struct dp *dp)
{
	return ring_states_fd(dp->ring_states);
}

int
dp_init(const struct dp_system_cfg *cfg, struct dp **ret_dp, char err[DP_ERR_SIZE])
{
	struct clock_pair begin;
	struct dp *dp;
	int rc;

	if (is_eal_used) {
		dp_error(err, "the datapath can be started once a process");
		return -EBUSY;
	}
	dp = calloc(1, sizeof(*dp));
	if (!dp)
		return -ENOMEM;
	dp->cfg = *cfg;
	dp->env.events.fd = dp->ctl_epoll_fd = dp->drain_fd = -1;
	dp->env.n_mbufs = cfg->n_mbufs;
	dp->env.option_class = (uint16_t)cfg->option_class;
	dp->env.idle = cfg->idle;
	dp->env.idle_ns = cfg->idle_ns;
	err[0] = '\0';
	rc = parse_classes(cfg->dscp_classes, &dp->dscp, err);
	if (!rc && !dp->cfg.workers.n)
		rc = eal_default_workers(&dp->cfg.workers);
	if (!rc)
		rc = dp_log_start(dp);
	if (rc)
		goto err_free;
	is_eal_used = true;
	begin = clock_read_pair();
	rc = eal_start(dp, err);
	if (rc)
		goto err_log;
	clock_start(&dp->env.clock, begin);
	dp->env.pool = pkt_pool_create(dp->cfg.n_mbufs);
	rc = dp->env.pool ? pkt_init() : -rte_errno;
	if (!rc)
		rc = bus_error_install(dp);
	if (!rc)
		rc = vhost_guard_start();
	if (!rc)
		rc = guest_loop_create(&dp->env.rcu, &dp->guests);
	if (!rc)
		rc = open_ring_states(dp, err);
	if (!rc)
		rc = link_store_create(dp);
	if (!rc)
		rc = events_start(dp);
	if (!rc)
		rc = underlay_start(dp);
	if (!rc)
		rc = workers_create(dp);
	if (!rc && !cfg->is_standby)
		rc = dp_resume(dp);
	if (!rc && !cfg->is_standby)
		rc = dp_raise(dp);
	if (rc) {
		if (!err[0])
			dp_error(err, "cannot start the datapath with %u buffers: %s", dp->cfg.n_mbufs, strerror(-rc));
		dp_fini(dp);
		return rc;
	}
	*ret_dp = dp;
	return 0;
err_log:
	dp_log_stop();
err_free:
	if (!err[0])
		dp_error(err, "cannot start the datapath: %s", strerror(-rc));
	free(dp);
	return rc;
}

void
dp_give_fd(struct dp *dp, const char *name, int fd)
{
	if (!kernel_port_give(dp, name, fd))
		link_store_give(dp, name, fd);
}

void
dp_fini(struct dp *dp)
{
	if (!dp)
		return;
	dp->is_ending = true;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i])
			(void)dp_port_del(dp, i);
	port_end_fini(dp);
	for (unsigned i = 0; i < DP_MAX_BRIDGES; i++)
		if (dp->bridge[i])
			(void)dp_bridge_del(dp, i);
	kept_forget_all(dp);
	state_ids_forget(dp);
	link_store_destroy(dp);
	kernel_port_end_given(dp);
	priority_stop(dp->windows);
	dp_halt(dp);
	guest_loop_destroy(dp->guests);
	ring_states_close(dp->ring_states);
	vhost_guard_stop();
	rcu_fini(&dp->env.rcu);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		worker_destroy(dp->worker[i]);
	connector_destroy(dp->connector);
	netdev_watch_destroy(dp->netdevs);
	views_stop(dp);
	underlay_stop(dp);
	event_queue_fini(&dp->env.events);
	rte_mempool_free(dp->env.pool);
	if (dp->ctl_epoll_fd >= 0)
		close(dp->ctl_epoll_fd);
	// Not rte_eal_cleanup: all devices are closed and all memory is anonymous; the process's
	// end frees the rest. DPDK's own threads may log until then.
	(void)rte_openlog_stream(NULL);
}

void
dp_clock_follow(struct dp *dp)
{
	clock_follow_tai(&dp->env.clock);
}

uint64_t
dp_tai_ns(const struct dp *dp)
{
	return clock_tai_ns(&dp->env.clock, clock_now_ns(&dp->env.clock));
}

static int
set_classes(struct dp *dp, const char *text, char err[DP_ERR_SIZE])
{
	struct dscp_table old = dp->dscp;
	int rc;

	if (!strcmp(text, dp->cfg.dscp_classes))
		return 0;
	rc = parse_classes(text, &dp->dscp, err);
	if (rc)
		return rc;
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i])
			registry_touch(dp->port[i]);
	rc = views_publish(dp);
	if (rc) {
		dp->dscp = old;
		dp_error(err, "no memory for the new configuration");
		return rc;
	}
	memcpy(dp->cfg.dscp_classes, text, strlen(text) + 1);
	return 0;
}

int
dp_system_set(struct dp *dp, const struct dp_system_cfg *cfg, char err[DP_ERR_SIZE])
{
	int rc;

	if (cfg->idle > DP_IDLE_ADAPTIVE) {
		dp_error(err, "idle: must be busy or adaptive");
		return -EINVAL;
	}
	rc = set_classes(dp, cfg->dscp_classes, err);
	if (rc)
		return rc;
	dp->cfg.idle = cfg->idle;
	dp->cfg.idle_ns = cfg->idle_ns;
	atomic_store(&dp->env.idle_ns, cfg->idle_ns);
	atomic_store(&dp->env.idle, cfg->idle);
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		waker_wake(&dp->worker[i]->waker);
	return 0;
}

void
dp_system_info(const struct dp *dp, struct dp_system_info *ret_info)
{
	struct rte_malloc_socket_stats stats = {0};

	*ret_info = (struct dp_system_info){
		.page_size = rte_eal_has_hugepages() ? dp->env.pool->mz ? dp->env.pool->mz->hugepage_sz : 0 :
						       (uint64_t)sysconf(_SC_PAGESIZE),
		.n_mbufs = dp->cfg.n_mbufs,
		.n_mbufs_free = rte_mempool_avail_count(dp->env.pool),
		.log_errors = dp->log_errors,
		.bus_errors = dp->bus_errors,
	};
	snprintf(ret_info->dpdk_version, sizeof(ret_info->dpdk_version), "%s", rte_version());
	if (!rte_malloc_get_socket_stats((int)rte_socket_id(), &stats)) {
		ret_info->memory_bytes = stats.heap_totalsz_bytes;
		ret_info->memory_free_bytes = stats.heap_freesz_bytes;
	}
}

int
dp_event_fd(const struct dp *dp)
{
	return dp->ctl_epoll_fd;
}

static bool
next_event(struct dp *dp, struct dp_event *ret_event)
{
	struct port *port;

	if (!event_queue_next(&dp->env.events, ret_event))
		return false;
	if (ret_event->type != DP_EVENT_LINK && ret_event->type != DP_EVENT_CONNECT)
		return true;
	port = dp->port[ret_event->port];
	if (port && ret_event->type == DP_EVENT_LINK)
		bridge_forget_lost_link(dp, port);
	// A guest's memory is to be free for the next guest, also where it is stored.
	if (port && ret_event->type == DP_EVENT_CONNECT && !ret_event->is_up)
		port->type->housekeeping(port);
	return true;
}

bool
dp_event_next(struct dp *dp, struct dp_event *ret_event)
{
	if (next_event(dp, ret_event))
		return true;
	event_queue_clear(&dp->env.events);
	connector_run(dp->connector);
	link_store_run(dp);
	if (netdev_watch_run(dp->netdevs))
		housekeeping_ports(dp);
	port_end_turn(dp);
	// Events between the last look and the read would otherwise wait for the next event.
	return next_event(dp, ret_event);
}

unsigned
dp_n_workers(const struct dp *dp)
{
	return dp->env.n_workers;
}
