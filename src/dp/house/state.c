// The state of a datapath for the process that takes over: the order of its records, and who takes
// them. The records themselves are in the files state_*.c. Nothing is taken out of the datapath
// that saves, which may have to go on.
#include "state.h"

#include "state_connects.h"
#include "state_counters.h"
#include "state_flows.h"
#include "state_hops.h"
#include "state_ids.h"
#include "state_limits.h"
#include "state_macs.h"
#include "state_names.h"
#include "state_packets.h"
#include "state_rules.h"
#include "state_senders.h"
#include "state_types.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

// The newest version of each type that is read here; older ones have rows of their own.
static const struct {
	uint16_t type, version;
	state_load_fn *load;
} loaders[] = {
	{STATE_PORT, STATE_NAMES_VERSION, state_names_load_port},
	{STATE_BRIDGE, STATE_NAMES_VERSION, state_names_load_bridge},
	{STATE_MACS, 1, state_macs_load},
	{STATE_MOVES, 1, state_macs_load_moves},
	{STATE_DROP, STATE_NAMES_VERSION, state_counters_load_drop},
	{STATE_COUNTERS, 1, state_counters_load_port},
	{STATE_WORKER, 1, state_counters_load_worker},
	{STATE_TOTALS, 1, state_counters_load_totals},
	{STATE_LIMITS, 1, state_limits_load},
	{STATE_LINK, 1, state_senders_load_link},
	{STATE_SENDER, 1, state_senders_load},
	{STATE_PACKET, 1, state_packets_load},
	{STATE_HOP, 1, state_hops_load},
	{STATE_TYPE, 1, state_types_load},
	{STATE_FLOW, 1, state_flows_load},
	{STATE_CONNECTS, 1, state_connects_load},
	{STATE_RULE, 1, state_rules_load},
};

static int64_t
to_monotonic_ns(const struct dp *dp)
{
	struct clock_pair now = clock_read_pair();

	return (int64_t)(now.ns - clock_tsc_to_ns(&dp->env.clock, now.tsc));
}

int
dp_state_save(struct dp *dp, uint8_t **buf, size_t *len)
{
	struct state_save s = {.dp = dp,
		.out = {.bytes = *buf, .len = *len, .room = *len},
		.now_ns = clock_now_ns(&dp->env.clock),
		.to_monotonic_ns = to_monotonic_ns(dp)};

	assert(!dp->is_running);
	state_record_header(&s.out, s.now_ns + (uint64_t)s.to_monotonic_ns);
	state_names_save(&s);
	state_macs_save(&s);
	state_types_save(&s);
	state_hops_save(&s); // packets of tunnels are as long as headers, at least
	state_flows_save(&s);
	state_counters_save(&s);
	state_connects_save(&s);
	state_rules_save(&s);
	state_limits_save(&s); // answers of feedback are parameters of senders
	state_senders_save(&s);
	state_packets_save(&s);
	state_record_begin(&s.out, STATE_END, 1);
	state_record_end(&s.out);
	*buf = s.out.bytes;
	if (!s.out.rc)
		*len = s.out.len;
	return s.out.rc;
}

static void
load(struct state_load *l, struct state_record *record)
{
	for (unsigned i = 0; i < RTE_DIM(loaders); i++)
		if (loaders[i].type == record->type && loaders[i].version == record->version) {
			l->told->n_refused += !loaders[i].load(l, record);
			return;
		}
	l->told->n_unknown++;
}

int
dp_state_load(struct dp *dp, const uint8_t *buf, size_t len, struct dp_state_loaded *ret)
{
	struct dp_state_loaded told = {.is_cut = true};
	struct state_record record;
	struct state_reader r;
	struct state_load *l;
	uint64_t saved_ns, now_ns;
	int rc = state_record_open(&r, buf, len, &saved_ns);

	assert(!dp->is_running);
	if (rc)
		return rc;
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->dp = dp;
	l->told = &told;
	l->now_ns = clock_now_ns(&dp->env.clock);
	l->to_monotonic_ns = to_monotonic_ns(dp);
	now_ns = l->now_ns + (uint64_t)l->to_monotonic_ns;
	l->passed_ns = now_ns > saved_ns ? now_ns - saved_ns : 0;
	for (unsigned i = 0; i < dp->env.n_workers; i++)
		dp->worker[i]->now_ns = l->now_ns; // as in a turn
	while (state_record_next(&r, &record)) {
		if (record.type == STATE_END) {
			told.is_cut = false;
			break;
		}
		told.n_records++;
		load(l, &record);
	}
	state_counters_finish(l);
	free(l);
	*ret = told;
	return 0;
}
