#include "traces.h"

#include "dp_state.h"
#include "path/trace.h"
#include "views.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PREWAKE_INTERVAL_NS UINT64_C(50000000) // between two measurements of a guest's wake-up

int
traces_prepare(struct port *port)
{
	if (port->trace || !(port->cfg.prewake || port->is_traced))
		return 0;
	port->trace = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN_CEIL(sizeof(*port->trace), RTE_CACHE_LINE_SIZE));
	if (!port->trace)
		return -ENOMEM;
	memset(port->trace, 0, sizeof(*port->trace));
	chain_init(&port->trace->chain, PREWAKE_INTERVAL_NS);
	return 0;
}

int
dp_trace_start(struct dp *dp, unsigned id, uint32_t rate, char err[DP_ERR_SIZE])
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	struct chain_record ignored;
	bool was_traced;
	int rc;

	if (!port)
		return -ENOENT;
	if (port->cfg.device[0]) {
		dp_error(err, "port: " DP_OFFLOADED, port->cfg.device);
		return -EINVAL;
	}
	if (!port->path.device.io || !port->path.device.io->look) {
		dp_error(err, "port: '%s' is no guest's: ports of type vhost are traced", port->cfg.name);
		return -EINVAL;
	}
	was_traced = port->is_traced;
	port->is_traced = true;
	rc = traces_prepare(port);
	if (!rc && !was_traced) {
		// Unread records are no part of this trace, nor are records from before it.
		while (chain_next(&port->trace->chain, &ignored))
			;
		port->trace->since_ns = clock_now_ns(&dp->env.clock);
		port->trace->lost_before = atomic_load(&port->trace->chain.lost);
		registry_touch(port);
		rc = views_publish(dp);
	}
	if (rc)
		port->is_traced = was_traced;
	else
		atomic_store(&port->trace->chain.interval_ns, UINT64_C(1000000000) / RTE_MAX(rate, 1u));
	return rc;
}

void
dp_trace_stop(struct dp *dp, unsigned id)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	if (!port || !port->is_traced)
		return;
	port->is_traced = false;
	atomic_store(&port->trace->chain.interval_ns, PREWAKE_INTERVAL_NS);
	registry_touch(port);
	(void)views_publish(dp); // no memory for a view: it goes on
}

bool
dp_trace_is_on(const struct dp *dp, unsigned id)
{
	return id < DP_MAX_PORTS && dp->port[id] && dp->port[id]->is_traced;
}

uint64_t
traces_wake_ns(const struct port *port)
{
	return port->cfg.prewake && port->trace ?
		atomic_load_explicit(&port->trace->chain.wake_ns, memory_order_relaxed) :
		0;
}

static uint64_t
monotonic_ns(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

bool
dp_trace_next(struct dp *dp, unsigned id, struct chain_record *ret_record)
{
	struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;
	uint64_t *const times[] = {&ret_record->arrived_ns, &ret_record->queued_ns, &ret_record->prewoken_ns,
		&ret_record->put_ns, &ret_record->kicked_ns, &ret_record->consumed_ns, &ret_record->answered_ns,
		&ret_record->left_ns};
	uint64_t offset_ns;

	if (!port || !port->trace)
		return false;
	do {
		if (!chain_next(&port->trace->chain, ret_record))
			return false;
	} while (ret_record->queued_ns < port->trace->since_ns);
	offset_ns = monotonic_ns() - clock_now_ns(&dp->env.clock);
	for (unsigned i = 0; i < RTE_DIM(times); i++)
		if (*times[i])
			*times[i] += offset_ns;
	return true;
}

uint64_t
dp_trace_lost(const struct dp *dp, unsigned id)
{
	const struct port *port = id < DP_MAX_PORTS ? dp->port[id] : NULL;

	return port && port->trace ? atomic_load(&port->trace->chain.lost) - port->trace->lost_before : 0;
}
