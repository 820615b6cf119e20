// What a change costs in views, counted: entries of ports that are built, and bytes of all that is.
#include "dp_fixture.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

#define FEW 2
#define MANY RTE_MIN(DP_MAX_PORTS - 16u, 1000u)

static struct dp_port_cfg
idle_cfg(unsigned i)
{
	struct dp_port_cfg cfg = port_cfg(i);

	cfg.admin_up = false;
	return cfg;
}

static unsigned
add(const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";
	unsigned id = UINT32_MAX;

	if (dp_port_add(dp, cfg, &id, err))
		fail_msg("%s: %s", cfg->name, err);
	return id;
}

static void
set(unsigned id, const struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_port_set(dp, id, cfg, err))
		fail_msg("%s: %s", cfg->name, err);
}

// Ports that are on the bridge of port_cfg, the last of them `first` + n - 1.
static void
add_others(unsigned first, unsigned n)
{
	for (unsigned i = first; i < first + n; i++) {
		struct dp_port_cfg cfg = idle_cfg(i);

		(void)add(&cfg);
	}
}

static struct views_cost
cost_since(struct views_cost before)
{
	return (struct views_cost){.n_entries = views_cost(dp).n_entries - before.n_entries,
		.n_bytes = views_cost(dp).n_bytes - before.n_bytes};
}

// A change of the port: each of them leaves another configuration than it finds.
static void
set_queue(unsigned id, struct dp_port_cfg *cfg)
{
	cfg->queue++;
	set(id, cfg);
}

static void
set_isolated(unsigned id, struct dp_port_cfg *cfg)
{
	cfg->isolated = !cfg->isolated;
	set(id, cfg);
}

static void
set_admin_up(unsigned id, struct dp_port_cfg *cfg)
{
	cfg->admin_up = !cfg->admin_up;
	set(id, cfg);
}

static void
set_mtu(unsigned id, struct dp_port_cfg *cfg)
{
	cfg->mtu++;
	set(id, cfg);
}

static void
set_max_rate(unsigned id, struct dp_port_cfg *cfg)
{
	cfg->max_rate_bps += 1000000;
	set(id, cfg);
}

static void
trace(unsigned id, struct dp_port_cfg *cfg)
{
	char err[DP_ERR_SIZE];

	(void)cfg;
	assert_int_equal(dp_trace_start(dp, id, 1, err), 0);
	dp_trace_stop(dp, id);
}

static void
capture(unsigned id, struct dp_port_cfg *cfg)
{
	uint64_t lost;
	char err[DP_ERR_SIZE];

	(void)cfg;
	assert_int_equal(dp_capture_start(dp, id, "", 0, err), 0);
	dp_capture_stop(dp, id, &lost);
}

static void
a_change_of_one_port_costs_the_same_whatever_else_there_is(void **state)
{
	static void (*const changes[])(unsigned, struct dp_port_cfg *) = {
		set_queue, set_isolated, set_admin_up, set_mtu, set_max_rate, trace, capture};
	struct dp_port_cfg cfg = idle_cfg(0);
	unsigned id = add(&cfg), first = 1;
	struct views_cost few[RTE_DIM(changes)];

	(void)state;
	add_others(first, FEW);
	for (unsigned i = 0; i < RTE_DIM(changes); i++) {
		struct views_cost before = views_cost(dp);

		changes[i](id, &cfg);
		few[i] = cost_since(before);
		assert_in_range(few[i].n_entries, 1, 2); // on and off are two
	}
	add_others(first + FEW, MANY);
	for (unsigned i = 0; i < RTE_DIM(changes); i++) {
		struct views_cost before = views_cost(dp), many;

		changes[i](id, &cfg);
		many = cost_since(before);
		assert_int_equal(many.n_entries, few[i].n_entries);
		assert_int_equal(many.n_bytes, few[i].n_bytes);
	}
}

static void
a_change_that_is_refused_costs_nothing(void **state)
{
	struct dp_port_cfg cfg = idle_cfg(0);
	unsigned id = add(&cfg);
	struct views_cost before = views_cost(dp);
	char err[DP_ERR_SIZE];

	(void)state;
	cfg.mtu = DP_MTU_MAX + 1;
	assert_int_equal(dp_port_set(dp, id, &cfg, err), -EINVAL);
	cfg = idle_cfg(0);
	cfg.n_queues = DP_MAX_QUEUES + 1;
	assert_int_equal(dp_port_set(dp, id, &cfg, err), -EINVAL);
	cfg = idle_cfg(1);
	cfg.weight = 0;
	assert_int_equal(dp_port_add(dp, &cfg, &id, err), -EINVAL);
	assert_int_equal(dp_port_del(dp, DP_MAX_PORTS), -ENOENT);
	dp_housekeeping(dp);
	assert_int_equal(cost_since(before).n_entries, 0);
	assert_int_equal(cost_since(before).n_bytes, 0);
}

static void
an_answer_of_feedback_builds_nothing(void **state)
{
	struct dp_port_cfg cfg = idle_cfg(0);
	unsigned id = add(&cfg);
	struct views_cost before = views_cost(dp);

	(void)state;
	assert_int_equal(dp_port_set_answer(dp, id, 1000000, 46, 34), 0);
	assert_int_equal(dp_port_set_answer(dp, id, 0, DSCP_KEEP, DSCP_KEEP), 0);
	assert_int_equal(dp_port_set_answer(dp, id, DP_DEADLINE_MAX_NS, 46, 34), 0);
	assert_int_equal(dp_port_set_answer(dp, id, DP_DEADLINE_MAX_NS + 1, 46, 34), -EINVAL);
	assert_int_equal(cost_since(before).n_bytes, 0);
	assert_int_equal(dp_port_set_answer(dp, id + 1, 0, DSCP_KEEP, DSCP_KEEP), -ENOENT);
}

static void
a_port_that_comes_or_goes_builds_what_refers_to_it(void **state)
{
	struct dp_port_cfg source = idle_cfg(0), target = idle_cfg(1), other = idle_cfg(2);
	struct views_cost before;
	unsigned id;

	(void)state;
	source.mirror = DP_MIRROR_RX;
	memcpy(source.mirror_to, target.name, sizeof(source.mirror_to));
	(void)add(&source);
	before = views_cost(dp);
	(void)add(&other);
	assert_int_equal(cost_since(before).n_entries, 1);
	before = views_cost(dp);
	id = add(&target);
	assert_int_equal(cost_since(before).n_entries, 2);
	before = views_cost(dp);
	assert_int_equal(dp_port_del(dp, id), 0);
	assert_int_equal(cost_since(before).n_entries, 1);
}

static void
lists_of_one_bridge_cost_nothing_for_ports_of_others(void **state)
{
	struct dp_port_cfg cfg = idle_cfg(0);
	struct views_cost before, few;
	unsigned id = add(&cfg);

	(void)state;
	cfg.allowed_macs.n = 1;
	cfg.allowed_macs.mac[0] = guest_mac(0);
	before = views_cost(dp);
	set(id, &cfg);
	few = cost_since(before);
	for (unsigned i = 1; i <= MANY; i++) {
		struct dp_port_cfg other = idle_cfg(i);

		other.bridge[0] = 0;
		other.allowed_macs = cfg.allowed_macs;
		(void)add(&other);
	}
	cfg.allowed_macs.mac[0] = guest_mac(1);
	before = views_cost(dp);
	set(id, &cfg);
	assert_int_equal(cost_since(before).n_entries, few.n_entries);
	assert_int_equal(cost_since(before).n_bytes, few.n_bytes);
}

static void
ports_that_come_change_and_go_under_traffic_leave_nothing(void **state)
{
	struct dp_port_cfg cfg = idle_cfg(N_GUESTS);
	uint64_t n_live = 0;
	unsigned id;

	(void)state;
	plain_guests();
	for (unsigned i = 0; i < 1000; i++) {
		send_frame(0, i % 5 ? 1 : BROADCAST, 0, 60);
		id = add(&cfg);
		set_queue(id, &cfg);
		assert_int_equal(dp_port_del(dp, id), 0);
		for (unsigned k = 0; k < N_GUESTS; k++) {
			struct rte_mbuf *m[64];

			rte_pktmbuf_free_bulk(m, rte_eth_rx_burst(guest[k].dev, 0, m, 64));
		}
		if (!i)
			n_live = views_cost(dp).n_live;
	}
	assert_int_equal(views_cost(dp).n_live, n_live);
	assert_conserved();
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(a_change_of_one_port_costs_the_same_whatever_else_there_is),
		WITH_BRIDGE(a_change_that_is_refused_costs_nothing),
		WITH_BRIDGE(an_answer_of_feedback_builds_nothing),
		WITH_BRIDGE(a_port_that_comes_or_goes_builds_what_refers_to_it),
		WITH_BRIDGE(lists_of_one_bridge_cost_nothing_for_ports_of_others),
		WITH_BRIDGE(ports_that_come_change_and_go_under_traffic_leave_nothing),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
