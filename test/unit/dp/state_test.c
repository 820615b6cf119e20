// What one datapath saves, the next one has: here the next one is the same datapath, whose ports
// and bridge were removed and made again in another order. Lies are counted, and do no harm. A test
// inside of the datapath: its facade does not learn a MAC or queue a packet by itself.
#include "bridge.h"
#include "dp_fixture.h"
#include "dp_state.h"
#include "kept.h"
#include "path/rules.h"
#include "path/schedule.h"
#include "path/senders.h"
#include "port_end.h"
#include "port_type.h"
#include "rtvs/dp_rules.h"
#include "rtvs/frame.h"
#include "rtvs/random.h"
#include "state.h"
#include "state_names.h"
#include "tunnel.h"
#include "underlay.h"
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PORTS N_GUESTS
#define OLD_S 10 // age of what is learned here
#define N_MACS 3
#define AT_TIME 16 // in a state's header
#define FILE_MAX 65536
#define SECOND_NS UINT64_C(1000000000)
#define TRANSLATION_NS 10000000 // lost between two clocks, at most: each is read with the kernel's

struct bytes {
	uint8_t *at;
	size_t len;
};

static struct bytes
save(void)
{
	struct bytes saved = {NULL, 0};

	assert_int_equal(dp_state_save(dp, &saved.at, &saved.len), 0);
	return saved;
}

static struct dp_state_loaded
load(const struct bytes *saved)
{
	struct dp_state_loaded told;

	assert_int_equal(dp_state_load(dp, saved->at, saved->len, &told), 0);
	return told;
}

static void
add_ports(const struct dp_port_cfg *cfgs)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		add_port(i, &cfgs[i]);
}

static void
remove_ports(void)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		assert_int_equal(dp_port_del(dp, guest[i].port), 0);
}

// Ports without guests, on a halted datapath.
static void
begin(const struct dp_port_cfg *cfgs)
{
	struct dp_port_cfg plain[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	dp_halt(dp);
	add_ports(cfgs ? cfgs : plain);
}

// As the next process: the last port is the first, so that all numbers are others.
static void
begin_again(const struct dp_port_cfg *cfgs)
{
	struct dp_port_cfg plain[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};

	remove_ports();
	(void)port_end_now(dp, NULL);
	assert_int_equal(dp_bridge_del(dp, bridge), 0);
	assert_int_equal(fixture_add_bridge(NULL), 0);
	memset(&dp->gone, 0, sizeof(dp->gone));
	for (unsigned i = 0; i < dp_n_workers(dp); i++)
		dp->worker[i]->stats = (struct worker_loop_stats){0};
	atomic_store(&dp->env.events.lost, 0);
	for (unsigned i = N_PORTS; i--;)
		add_port(i, cfgs ? &cfgs[i] : &plain[i]);
}

static void
end(const struct bytes *saved)
{
	free(saved->at);
	assert_int_equal(dp_resume(dp), 0);
}

static uint32_t
now_s(void)
{
	return (uint32_t)(clock_now_ns(&dp->env.clock) / 1000000000);
}

static struct bridge *
the_bridge(void)
{
	return dp->bridge[bridge];
}

// As a worker learns, OLD_S ago.
static void
learn(unsigned i, uint64_t mac, uint16_t vlan)
{
	uint16_t old;

	assert_int_equal(mac_table_learn(&the_bridge()->path.macs, mac, vlan, (uint16_t)guest[i].port, true, &old,
				 now_s() - OLD_S),
		MAC_LEARNED);
	dp->port[guest[i].port]->path.n_macs++;
}

static void
learn_some(void)
{
	learn(0, 0x525400000001, 0);
	learn(0, 0x525400000001, 7);
	learn(2, 0x525400000003, 4094);
}

// The learned ones.
static unsigned
list(struct mac_entry *e, unsigned max)
{
	uint32_t pos = 0;
	unsigned n = mac_table_list(&the_bridge()->path.macs, &pos, e, max);

	assert_true(mac_table_is_consistent(&the_bridge()->path.macs));
	return n;
}

static void
learned_macs_are_the_same_ports(void **state)
{
	struct dp_state_loaded told;
	struct mac_entry e[16];
	struct bytes saved;
	char err[DP_ERR_SIZE];

	(void)state;
	begin(NULL);
	learn_some();
	assert_int_equal(dp_mac_add(dp, bridge, &(struct mac){{2, 0, 0, 0, 0, 1}}, 0, guest[1].port, err), 0);
	the_bridge()->path.n_moves = 5;
	saved = save();
	begin_again(NULL);
	told = load(&saved);
	assert_int_equal(told.n_macs, N_MACS);
	assert_int_equal(told.n_refused + told.n_unknown + told.n_macs_refused, 0);
	assert_false(told.is_cut);
	assert_int_equal(list(e, 16), N_MACS); // the static one is configuration
	for (unsigned i = 0; i < N_MACS; i++) {
		assert_int_equal(e[i].port, guest[e[i].mac == 0x525400000001 ? 0 : 2].port);
		assert_int_equal(e[i].mac == 0x525400000001, e[i].vlan != 4094);
		assert_in_range(now_s() - e[i].seen_s, OLD_S, OLD_S + WAIT_S);
		assert_false(e[i].is_static);
	}
	assert_int_equal(dp_port_n_macs(dp, guest[0].port), 2);
	assert_int_equal(dp_port_n_macs(dp, guest[1].port), 0);
	assert_int_equal(dp_port_n_macs(dp, guest[2].port), 1);
	assert_int_equal(dp_bridge_n_moves(dp, bridge), 5);
	// Once more: it has them.
	told = load(&saved);
	assert_int_equal(told.n_macs, 0);
	assert_int_equal(dp_port_n_macs(dp, guest[0].port), 2);
	end(&saved);
}

static void
saving_changes_nothing_and_appends(void **state)
{
	struct bytes saved, again = {malloc(3), 3};

	(void)state;
	begin(NULL);
	learn_some();
	saved = save();
	assert_non_null(again.at);
	memcpy(again.at, "xyz", 3);
	assert_int_equal(dp_state_save(dp, &again.at, &again.len), 0);
	assert_memory_equal(again.at, "xyz", 3);
	assert_int_equal(again.len, saved.len + 3);
	free(again.at);
	end(&saved);
}

static void
macs_keep_to_limits_and_owners(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_state_loaded told;
	struct mac_entry e[16];
	struct bytes saved;

	(void)state;
	begin(NULL);
	learn_some();
	learn(1, 0x525400000009, 0);
	saved = save();
	cfgs[0].mac_limit = 1; // learned two
	cfgs[1].bridge[0] = '\0'; // learned one
	cfgs[1].mtu = 1400;
	cfgs[2].name[1] = '9'; // not the one that learned
	begin_again(cfgs);
	told = load(&saved);
	assert_int_equal(told.n_macs, 1);
	assert_int_equal(told.n_macs_refused, 3);
	assert_true(told.n_refused > 0); // the name, and what is only that port's
	assert_int_equal(list(e, 16), 1);
	assert_int_equal(dp_port_n_macs(dp, guest[0].port), 1);
	end(&saved);
}

static void
macs_of_others_are_not_learned(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct dp_bridge_cfg old_soon = bridge_cfg(0);
	struct mac bound = {{0x52, 0x54, 0, 0, 0, 1}};
	struct dp_state_loaded told;
	struct bytes saved;
	char err[DP_ERR_SIZE];

	(void)state;
	begin(NULL);
	learn_some();
	saved = save();
	cfgs[1].allowed_macs.n = 1;
	cfgs[1].allowed_macs.mac[0] = bound;
	begin_again(cfgs);
	assert_int_equal(dp_mac_add(dp, bridge, &(struct mac){{0x52, 0x54, 0, 0, 0, 3}}, 4094, guest[1].port, err), 0);
	told = load(&saved);
	assert_int_equal(told.n_macs_refused, N_MACS - told.n_macs);
	assert_int_equal(dp_port_n_macs(dp, guest[2].port), 0);
	begin_again(NULL);
	old_soon.mac_age_ns = OLD_S * UINT64_C(1000000000);
	assert_int_equal(dp_bridge_set(dp, bridge, &old_soon, err), 0);
	told = load(&saved);
	assert_int_equal(told.n_macs_refused, N_MACS);
	assert_int_equal(dp_bridge_n_macs(dp, bridge), 0);
	end(&saved);
}

// Port 2 has a rate, and port 1 a guarantee there.
static void
slow_uplink(struct dp_port_cfg cfgs[N_PORTS])
{
	for (unsigned i = 0; i < N_PORTS; i++)
		cfgs[i] = port_cfg(i);
	cfgs[0].max_rate_bps = 80000;
	cfgs[0].burst_bytes = 10000;
	cfgs[1].deadline_ns = SECOND_NS;
	cfgs[1].min_rate_bps = 50000;
	cfgs[1].burst_bytes = 3000;
	cfgs[2].link_rate_bps = DP_RATE_MIN;
}

static struct port_counters *
counters_of(unsigned i)
{
	return &dp->worker[0]->port[guest[i].port].c;
}

static struct port *
port_of(unsigned i)
{
	return dp->port[guest[i].port];
}

static struct senders *
senders_of(unsigned i)
{
	return schedule_senders(port_of(i)->schedule);
}

// As if some packets had passed: each port, worker and sender has something to tell.
static void
use_some(void)
{
	const struct view *view = atomic_load(&dp->env.view);
	struct senders *t = senders_of(2);
	struct worker *w = dp->worker[port_of(2)->path.owner];
	uint32_t place;

	*counters_of(0) = (struct port_counters){.rx_pkts = 10, .rx_bytes = 1000, .drops[DROP_MALFORMED] = 1};
	*counters_of(1) = (struct port_counters){.rx_pkts = 5, .blocked_ns = 77};
	*counters_of(2) = (struct port_counters){.tx_pkts = 10, .drops[DROP_LATE] = 2, .queued_in = 9, .queued_out = 7};
	dp->gone = (struct dp_port_stats){.rx_pkts = 3, .drops[DROP_MTU] = 3};
	port_of(2)->path.device.guest_errors = 6;
	dp->worker[0]->stats = (struct worker_loop_stats){.pkts = 18};
	hist_add(&dp->worker[0]->stats.stalls, 12345);
	atomic_store(&dp->env.events.lost, 4);

	w->now_ns = clock_now_ns(&dp->env.clock);
	senders_set_link(w, view, (uint16_t)guest[2].port, t);
	place = senders_place(w, view, (uint16_t)guest[2].port, t, (uint16_t)guest[1].port);
	t->s.sender[place].stats = (struct sched_sender_stats){1, 2, 3, 4, 5, 6, 7, 8};
	t->s.sender[place].tokens.tokens = 1500 * SECOND_NS;
	t->s.sender[place].tokens.last_ns = w->now_ns - 5000;
	hist_add(&t->delay[place], 500000);
	t->at[place].held.held_ns = 99;
	place = senders_place(w, view, (uint16_t)guest[2].port, t, (uint16_t)guest[0].port);
	t->s.sender[place].stats = (struct sched_sender_stats){.surplus_pkts = 1};
	t->s.sender[place].codel = (struct codel){.first_above_ns = w->now_ns, .count = 2, .is_dropping = true};
	t->s.link.free_ns = w->now_ns + SECOND_NS;
	port_of(0)->path.paid.max_rate = (w->now_ns + SECOND_NS) * RATE_LIMIT_PARTS;
	assert_int_equal(dp_port_set_answer(dp, guest[1].port, 2 * SECOND_NS, 10, DSCP_KEEP), 0);
}

static void
connects_go_on(void **state)
{
	struct dp_state_loaded told;
	struct dp_port_state seen;
	struct bytes saved;

	(void)state;
	begin(NULL);
	port_of(0)->type->go_on(port_of(0), &(struct port_connects){5, 4, 1});
	saved = save();
	begin_again(NULL);
	told = load(&saved);
	assert_int_equal(told.n_refused + told.n_unknown, 0);
	assert_int_equal(dp_port_state(dp, guest[0].port, &seen), 0);
	assert_int_equal(seen.n_connects, 5);
	assert_int_equal(seen.n_disconnects, 5); // its front-end did not go on
	assert_int_equal(seen.n_rings_recovered, 1);
	assert_int_equal(dp_port_state(dp, guest[1].port, &seen), 0);
	assert_int_equal(seen.n_connects, 0);
	end(&saved);
}

static void
put_rule(uint32_t slot, uint16_t port)
{
	const struct dp_rule_change c = {.is_there = true,
		.entry = {.rule = {.slot = slot, .key.l4_dst = port, .mask.l4_dst = UINT16_MAX},
			.action = {.verdict = FLOW_ALLOW, .rate_bps = 8000}}};
	char err[DP_ERR_SIZE];

	assert_int_equal(dp_rules_change(dp, guest[0].port, DP_RULES_HOST, &c, 1, err), 0);
}

// Whatever their numbers are here; what is gone is refused.
static void
rules_go_on(void **state)
{
	struct dp_rule_stats stats;
	struct dp_state_loaded told;
	struct bytes saved;

	(void)state;
	begin(NULL);
	put_rule(0, 1);
	put_rule(5, 2);
	put_rule(6, 3);
	port_of(0)->rules[DP_RULES_HOST]->rule[5]->count[n_workers - 1] = (struct rule_count){3, 300};
	port_of(0)->rules[DP_RULES_HOST]->rule[5]->paid = (clock_now_ns(&dp->env.clock) + SECOND_NS) * RATE_LIMIT_PARTS;
	saved = save();
	begin_again(NULL);
	put_rule(1, 3);
	put_rule(0, 2);
	told = load(&saved);
	assert_int_equal(told.n_refused, 1);
	assert_int_equal(dp_rule_stats(dp, guest[0].port, DP_RULES_HOST, 0, &stats), 0);
	assert_int_equal(stats.packets, 3);
	assert_int_equal(stats.bytes, 300);
	// What was granted is not granted again.
	assert_true(port_of(0)->rules[DP_RULES_HOST]->rule[0]->paid);
	assert_int_equal(dp_rule_stats(dp, guest[0].port, DP_RULES_HOST, 1, &stats), 0);
	assert_int_equal(stats.packets, 0);
	end(&saved);
}

static void
counters_go_on(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct dp_worker_stats worker;
	struct dp_state_loaded told;
	struct dp_port_stats gone;
	struct bytes saved;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	saved = save();
	begin_again(cfgs);
	told = load(&saved);
	assert_int_equal(told.n_refused + told.n_unknown, 0);
	assert_int_equal(stats_of(0).rx_pkts, 10);
	assert_int_equal(stats_of(0).rx_bytes, 1000);
	assert_int_equal(drops_of(0, DROP_MALFORMED), 1);
	assert_int_equal(stats_of(1).blocked_ns, 77);
	assert_int_equal(stats_of(2).tx_pkts, 10);
	assert_int_equal(drops_of(2, DROP_LATE), 2);
	assert_int_equal(stats_of(2).guest_errors, 6);
	// Two are said to wait, and are not in the state.
	assert_int_equal(stats_of(2).queued, 0);
	assert_int_equal(drops_of(2, DROP_NOT_TAKEN_OVER), 2);
	assert_int_equal(told.n_pkts_lost, 2);
	dp_stats_gone(dp, &gone);
	assert_int_equal(gone.rx_pkts, 3);
	assert_int_equal(gone.drops[DROP_MTU], 3);
	assert_int_equal(dp_worker_stats(dp, 0, &worker), 0);
	assert_int_equal(worker.pkts, 18);
	assert_int_equal(worker.stalls.count, 1);
	assert_int_equal(worker.stalls.max, 12345);
	assert_int_equal(worker.events_lost, 4);
	assert_conserved();
	end(&saved);
}

static void
counters_of_a_port_that_is_not_here_are_of_those_gone(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct dp_port_stats gone;
	struct bytes saved;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	saved = save();
	cfgs[2].name[1] = '9';
	begin_again(cfgs);
	(void)load(&saved);
	dp_stats_gone(dp, &gone);
	assert_int_equal(gone.tx_pkts, 10);
	assert_int_equal(gone.drops[DROP_LATE], 2);
	assert_int_equal(gone.drops[DROP_PORT_GONE], 2);
	assert_int_equal(gone.queued, 0);
	assert_int_equal(stats_of(2).tx_pkts, 0);
	assert_conserved();
	end(&saved);
}

// Its device is opened later, or never: then they are of those gone.
static void
counters_of_a_port_that_comes_later_go_on(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct dp_port_stats gone;
	struct bytes saved;
	unsigned id, n;

	(void)state;
	for (unsigned comes = 0; comes < 2; comes++) {
		slow_uplink(cfgs);
		begin(cfgs);
		use_some();
		saved = save();
		id = guest[2].port;
		begin_again(cfgs);
		remove_ports();
		memset(&dp->gone, 0, sizeof(dp->gone));
		assert_int_equal(dp_ids_load(dp, saved.at, saved.len, &n), 0);
		assert_int_equal(n, N_PORTS);
		add_port(0, &cfgs[0]);
		add_port(1, &cfgs[1]);
		(void)load(&saved);
		if (comes) {
			add_port(2, &cfgs[2]);
			assert_int_equal(guest[2].port, id);
		}
		dp_state_end(dp);
		assert_null(dp->wanted_ids);
		refresh_stats();
		dp_stats_gone(dp, &gone);
		assert_int_equal(comes ? stats_of(2).tx_pkts : gone.tx_pkts, 10);
		assert_int_equal(comes ? drops_of(2, DROP_LATE) : gone.drops[DROP_LATE], 2);
		assert_int_equal(comes ? drops_of(2, DROP_NOT_TAKEN_OVER) : gone.drops[DROP_NOT_TAKEN_OVER], 2);
		assert_conserved();
		if (!comes) {
			add_port(2, &cfgs[2]);
			assert_int_equal(stats_of(2).tx_pkts, 0);
		}
		end(&saved);
		remove_ports();
		memset(&dp->gone, 0, sizeof(dp->gone));
	}
}

static void
drop_reason_that_is_not_known_is_counted(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct dp_state_loaded told;
	struct bytes saved;
	uint8_t *name;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	saved = save();
	name = memmem(saved.at, saved.len, "malformed", 9);
	assert_non_null(name);
	name[0] = 'x';
	begin_again(cfgs);
	told = load(&saved);
	assert_int_equal(told.n_refused, 1);
	assert_int_equal(drops_of(0, DROP_MALFORMED), 0);
	assert_int_equal(drops_of(0, DROP_NOT_TAKEN_OVER), 1);
	assert_conserved();
	end(&saved);
}

static void
assert_near(uint64_t a, uint64_t b, uint64_t tolerance)
{
	assert_in_range(a, b - tolerance, b + tolerance);
}

static void
senders_go_on(void **state)
{
	const struct sched_sender_stats stats = {1, 2, 3, 4, 5, 6, 7, 8};
	struct dp_port_cfg cfgs[N_PORTS];
	struct dp_state_loaded told;
	uint64_t at_ns, tokens_ns;
	struct senders *t;
	struct bytes saved;
	uint32_t place;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	at_ns = senders_of(2)->s.link.free_ns;
	tokens_ns = at_ns - SECOND_NS - 5000;
	saved = save();
	begin_again(cfgs);
	told = load(&saved);
	assert_int_equal(told.n_senders, 2);
	t = senders_of(2);
	assert_near(t->s.link.free_ns, at_ns, TRANSLATION_NS);
	place = sender_table_find(&t->table, (uint16_t)guest[1].port);
	assert_int_not_equal(place, SENDER_SHARED);
	assert_memory_equal(&t->s.sender[place].stats, &stats, sizeof(stats));
	assert_int_equal(t->s.sender[place].tokens.tokens, 1500 * SECOND_NS);
	assert_near(t->s.sender[place].tokens.last_ns, tokens_ns, TRANSLATION_NS);
	assert_int_equal(t->delay[place].count, 1);
	assert_int_equal(t->delay[place].max, 500000);
	assert_ptr_equal(t->s.sender[place].delay, &t->delay[place]);
	assert_int_equal(dp_port_held_ns(dp, guest[1].port, guest[2].port), 99);
	// Its deadline is feedback's.
	assert_int_equal(t->s.sender[place].params.deadline_ns, 2 * SECOND_NS);
	place = sender_table_find(&t->table, (uint16_t)guest[0].port);
	assert_int_equal(t->s.sender[place].stats.surplus_pkts, 1);
	assert_int_equal(t->s.sender[place].codel.count, 2);
	assert_int_equal(t->delay[place].count, 0);
	end(&saved);
}

static void
schedule_of_a_former_rate_is_made_again(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct bytes saved;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	saved = save();
	cfgs[1].deadline_ns = cfgs[1].min_rate_bps = cfgs[1].burst_bytes = cfgs[2].link_rate_bps = 0;
	begin_again(cfgs);
	assert_null(port_of(2)->schedule);
	assert_int_equal(load(&saved).n_senders, 2);
	assert_non_null(port_of(2)->schedule);
	end(&saved);
}

static void
debts_and_answers_go_on(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct port_answer answer;
	struct bytes saved;
	uint64_t paid;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	use_some();
	paid = port_of(0)->path.paid.max_rate;
	saved = save();
	begin_again(cfgs);
	(void)load(&saved);
	assert_near(port_of(0)->path.paid.max_rate, paid, (uint64_t)TRANSLATION_NS * RATE_LIMIT_PARTS);
	assert_int_equal(port_of(0)->path.paid.flood, 0); // it has no such limit
	answer = port_answer(port_of(1)->path.answer);
	assert_int_equal(answer.deadline_ns, 2 * SECOND_NS);
	assert_int_equal(answer.dscp, 10);
	assert_int_equal(answer.excess, DSCP_KEEP);
	assert_int_equal(port_of(0)->path.answer, PORT_NO_ANSWER);
	// Without the limit nothing is owed.
	cfgs[0].max_rate_bps = cfgs[0].burst_bytes = 0;
	begin_again(cfgs);
	(void)load(&saved);
	assert_int_equal(port_of(0)->path.paid.max_rate, 0);
	end(&saved);
}

#define MAX_WAITING 512

// Packets that wait for a port, in the order of its schedule and then of its ring.
struct waiting {
	unsigned n, n_pending;
	struct {
		uint32_t len;
		unsigned from; // guest
		uint64_t arrival_ns;
	} pkt[MAX_WAITING];
};

static unsigned
guest_of(unsigned port)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		if (guest[i].port == port)
			return i;
	return N_PORTS;
}

static void
list_waiting_cb(void *arg, struct rte_mbuf *m, bool is_pending)
{
	struct waiting *waiting = arg;
	unsigned i = waiting->n++;

	assert_true(i < MAX_WAITING);
	waiting->n_pending += is_pending;
	waiting->pkt[i].len = m->pkt_len;
	waiting->pkt[i].from = guest_of(m->port);
	waiting->pkt[i].arrival_ns = pkt_item(m)->arrival_ns;
}

static struct waiting
list_waiting(unsigned i)
{
	struct waiting waiting = {.n = 0};

	if (port_of(i)->schedule)
		schedule_each_waiting(port_of(i)->schedule, list_waiting_cb, &waiting);
	return waiting;
}

static void
assert_same_waiting(const struct waiting *a, const struct waiting *b)
{
	assert_int_equal(a->n, b->n);
	assert_int_equal(a->n_pending, b->n_pending);
	for (unsigned i = 0; i < a->n; i++) {
		assert_int_equal(a->pkt[i].len, b->pkt[i].len);
		assert_int_equal(a->pkt[i].from, b->pkt[i].from);
		assert_near(a->pkt[i].arrival_ns, b->pkt[i].arrival_ns, TRANSLATION_NS);
	}
}

static void
begin_with_guests(const struct dp_port_cfg *cfgs)
{
	add_guests(cfgs);
	send_frame(2, BROADCAST, 0, 60); // its place is known
	expect_frame(0, 60);
	expect_frame(1, 60);
}

static void
unplug_all(void)
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		unplug(i);
}

static void
plug_all(void)
{
	for (unsigned i = 0; i < N_GUESTS; i++)
		plug(i, 0, 0);
}

// Of what was sent to guest 2, n packets are neither at its device nor dropped.
static void
wait_queued(int64_t n)
{
	uint64_t limit = wait_limit();

	while (stats_of(2).queued < n && rte_rdtsc() < limit)
		;
	assert_true(stats_of(2).queued >= n);
}

static void
expect_in_order_of_senders(const struct waiting *waiting)
{
	uint32_t last[N_GUESTS] = {0};

	for (unsigned i = 0; i < waiting->n; i++) {
		struct rte_mbuf *m = receive(2);
		unsigned from = rte_pktmbuf_mtod(m, const uint8_t *)[11] - 1u;

		assert_true(from < N_GUESTS);
		assert_true(m->pkt_len > last[from]); // each sent longer and longer ones
		last[from] = m->pkt_len;
		rte_pktmbuf_free(m);
	}
	expect_nothing(2);
}

static void
packets_in_queues_go_on_waiting(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct waiting before, after;
	struct dp_state_loaded told;
	struct bytes saved;

	(void)state;
	slow_uplink(cfgs);
	cfgs[0].max_rate_bps = cfgs[0].burst_bytes = 0;
	begin_with_guests(cfgs);
	for (unsigned i = 0; i < 12; i++)
		send_frame(0, 2, 0, 600 + i);
	for (unsigned i = 0; i < 4; i++)
		send_frame(1, 2, 0, 900 + i);
	wait_queued(12);
	dp_halt(dp);
	before = list_waiting(2);
	assert_true(before.n >= 12);
	saved = save();
	after = list_waiting(2);
	assert_same_waiting(&after, &before);
	unplug_all();
	begin_again(cfgs);
	plug_all();
	told = load(&saved);
	assert_int_equal(told.n_pkts, before.n);
	assert_int_equal(told.n_pkts_lost + told.n_refused, 0);
	after = list_waiting(2);
	assert_same_waiting(&after, &before);
	assert_int_equal(stats_of(2).queued, before.n);
	assert_conserved();
	cfgs[2].link_rate_bps = 0;
	set_port(2, &cfgs[2]);
	end(&saved);
	expect_in_order_of_senders(&before);
	assert_int_equal(stats_of(2).queued, 0);
}

// A guest that takes nothing: some packets were taken out for it.
static void
packets_that_a_device_refused_stay_the_next(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	struct waiting before, after;
	struct bytes saved;
	uint64_t limit = wait_limit();

	(void)state;
	slow_uplink(cfgs);
	cfgs[0].max_rate_bps = cfgs[0].burst_bytes = cfgs[2].link_rate_bps = 0;
	begin_with_guests(cfgs);
	do {
		dp_halt(dp);
		before = list_waiting(2);
		assert_int_equal(dp_resume(dp), 0);
		send_frame(0, 2, 0, 100 + before.n);
	} while ((!before.n_pending || before.n - before.n_pending < 10) && rte_rdtsc() < limit);
	dp_halt(dp);
	before = list_waiting(2);
	assert_true(before.n_pending && before.n > before.n_pending);
	saved = save();
	unplug_all();
	begin_again(cfgs);
	plug_all();
	assert_int_equal(load(&saved).n_pkts, before.n);
	after = list_waiting(2);
	assert_same_waiting(&after, &before);
	assert_conserved();
	end(&saved);
	for (unsigned i = 0; i < before.n; i++)
		expect_frame(2, before.pkt[i].len);
}

// As another worker leaves it for port i: from guest 0.
static struct rte_mbuf *
hand_over(unsigned i, unsigned len)
{
	struct rte_mbuf *frame = make_frame(0, i, 0, len), *m = rte_pktmbuf_copy(frame, dp->env.pool, 0, UINT32_MAX);

	assert_non_null(m);
	rte_pktmbuf_free(frame);
	m->port = (uint16_t)guest[0].port;
	pkt_item(m)->arrival_ns = clock_now_ns(&dp->env.clock);
	*pkt_txq(m) = 0;
	assert_true(mailbox_put(&port_of(i)->path.handoff, m));
	counters_of(0)->rx_pkts++;
	counters_of(i)->queued_in++;
	return m;
}

static void
packets_between_workers_arrive(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct bytes saved, again;

	(void)state;
	begin(cfgs);
	for (unsigned i = 0; i < 5; i++)
		(void)hand_over(1, 100 + i);
	saved = save();
	again = save(); // they are where they were
	assert_int_equal(again.len, saved.len);
	free(again.at);
	begin_again(cfgs);
	plug_all();
	assert_int_equal(load(&saved).n_pkts, 5);
	assert_int_equal(stats_of(1).queued, 5);
	assert_conserved();
	end(&saved);
	for (unsigned i = 0; i < 5; i++)
		expect_frame(1, 100 + i);
	assert_int_equal(stats_of(1).queued, 0);
}

static struct rte_mbuf *
take_handed_over(unsigned i)
{
	struct rte_mbuf *m = NULL;

	assert_int_equal(mailbox_take(&port_of(i)->path.handoff, &m, 1), 1);
	counters_of(i)->queued_out++;
	counters_of(i)->tx_pkts++;
	return m;
}

static void
long_packets_and_their_requests_stay(void **state)
{
	const struct offload good = {.csum_start = 34, .csum_offset = 6, .kind = OFFLOAD_CHECKSUM};
	struct offload got;
	struct bytes saved;
	struct rte_mbuf *m;

	(void)state;
	begin(NULL);
	(void)hand_over(1, 4000);
	pkt_set_offload(hand_over(1, 100), good);
	// outside
	pkt_set_offload(hand_over(1, 100), (struct offload){.csum_start = 99, .csum_offset = 6});
	pkt_set_offload(hand_over(1, 100), (struct offload){.csum_start = 34, .gso_size = 1, .kind = OFFLOAD_TCP4});
	saved = save();
	begin_again(NULL);
	assert_int_equal(load(&saved).n_pkts, 2);
	assert_int_equal(drops_of(1, DROP_NOT_TAKEN_OVER), 2);
	assert_conserved();
	m = take_handed_over(1);
	assert_int_equal(m->pkt_len, 4000);
	assert_true(m->nb_segs > 1);
	assert_false(pkt_asks(m));
	rte_pktmbuf_free(m);
	m = take_handed_over(1);
	assert_true(pkt_asks(m));
	got = pkt_offload(m);
	assert_memory_equal(&got, &good, sizeof(good));
	assert_int_equal(m->port, guest[0].port);
	rte_pktmbuf_free(m);
	end(&saved);
}

static void
packets_without_buffers_are_drops(void **state)
{
	static struct rte_mbuf *all[8192];
	struct dp_state_loaded told;
	struct bytes saved;
	unsigned n = 0;

	(void)state;
	begin(NULL);
	for (unsigned i = 0; i < 5; i++)
		(void)hand_over(1, 100);
	saved = save();
	begin_again(NULL);
	while (n < RTE_DIM(all) && (all[n] = rte_pktmbuf_alloc(dp->env.pool)))
		n++;
	assert_true(n < RTE_DIM(all));
	rte_pktmbuf_free(all[--n]);
	told = load(&saved);
	assert_int_equal(told.n_pkts, 1);
	assert_int_equal(told.n_pkts_lost, 4);
	assert_int_equal(drops_of(1, DROP_NOT_TAKEN_OVER), 4);
	assert_int_equal(stats_of(1).queued, 1);
	assert_conserved();
	rte_pktmbuf_free_bulk(all, n);
	end(&saved);
}

// The limit of its sender's queue, and one more.
static void
packets_beyond_a_limit_are_drops(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS];
	const struct view *view;
	struct bytes saved;

	(void)state;
	slow_uplink(cfgs);
	begin(cfgs);
	view = atomic_load(&dp->env.view);
	for (unsigned i = 0; i < DP_QUEUE_MIN + 1; i++) {
		struct rte_mbuf *m = hand_over(2, 100);

		(void)mailbox_take(&port_of(2)->path.handoff, &m, 1);
		dp->worker[0]->now_ns = clock_now_ns(&dp->env.clock);
		assert_true(schedule_restore(dp->worker[0], view, (uint16_t)guest[2].port, m, false));
	}
	saved = save();
	cfgs[0].queue = DP_QUEUE_MIN;
	begin_again(cfgs);
	assert_int_equal(load(&saved).n_pkts, DP_QUEUE_MIN);
	assert_int_equal(stats_of(2).queued, DP_QUEUE_MIN);
	assert_int_equal(drops_of(2, DROP_NOT_TAKEN_OVER), 1);
	assert_conserved();
	end(&saved);
}

static void
forget_counters(void)
{
	memset(&dp->gone, 0, sizeof(dp->gone));
	for (unsigned i = 0; i < DP_MAX_PORTS; i++)
		if (dp->port[i])
			dp->worker[0]->port[i].c = (struct port_counters){0};
}

#define FLOW 77 // a port's number at the other host

// Port 2 is an uplink, and port 1 a tunnel through it.
static void
with_tunnel(struct dp_port_cfg cfgs[N_PORTS])
{
	for (unsigned i = 0; i < N_PORTS; i++)
		cfgs[i] = port_cfg(i);
	cfgs[2].bridge[0] = '\0';
	cfgs[2].address = (struct prefix){.addr = {10, 9, 0, 1}, .len = 24};
	cfgs[1] = (struct dp_port_cfg){.name = "t",
		.bridge = "br0",
		.type = DP_PORT_GENEVE,
		.admin_up = true,
		.mtu = 1300,
		.uplink = "p2",
		.remote = {.addr = {10, 9, 0, 2}, .len = 32},
		.vni = 5,
		.n_queues = 1,
		.weight = 1,
		.queue = 512};
}

static struct decap_flow *
arrive(uint64_t first_seq, uint32_t n)
{
	struct decap_flow *f = tunnel_measure(dp, port_of(1), FLOW);

	assert_non_null(f);
	for (uint32_t i = 0; i < n; i++)
		flow_delay_add(&f->account,
			&(struct flow_delay_packet){.seq = first_seq + i,
				.delay_ns = 5000,
				.residence_ns = 1000,
				.deadline_ns = 2000,
				.bytes = 100},
			1);
	return f;
}

static void
tunnels_go_on(void **state)
{
	const struct prefix remote = {.addr = {10, 9, 0, 2}};
	const struct mac mac = {{2, 0, 0, 0, 0, 9}};
	struct dp_port_cfg cfgs[N_PORTS];
	struct flow_delay_stats stats;
	struct dp_state_loaded told;
	struct dp_delay delay;
	struct rte_mbuf *m;
	struct bytes saved;
	uint32_t pos = 0;

	(void)state;
	with_tunnel(cfgs);
	dp_halt(dp);
	for (unsigned i = N_PORTS; i--;) // the uplink before its tunnel
		add_port(i, &cfgs[i]);
	assert_true(underlay_restore_hop(port_of(2), &remote, &mac, clock_now_ns(&dp->env.clock)));
	assert_int_equal(views_publish(dp), 0);
	tunnel_seq(port_of(1))[3] = 4711;
	assert_true(tunnel_hear_mtu(port_of(1), 1200, clock_now_ns(&dp->env.clock)));
	stats = arrive(1000, 10)->account.stats;
	assert_int_equal(stats.missed, 10);
	m = hand_over(2, 200);
	m->ol_flags |= pkt_fields.is_tunnelled;
	*pkt_tunnel(m) = (struct pkt_tunnel){guest[1].port, (uint16_t)port_of(1)->path.serial};
	m = hand_over(2, 40); // shorter than the headers that it is said to have
	m->ol_flags |= pkt_fields.is_tunnelled;
	*pkt_tunnel(m) = (struct pkt_tunnel){guest[1].port, (uint16_t)port_of(1)->path.serial};
	saved = save();
	for (unsigned i = 0; i < N_PORTS; i++)
		assert_int_equal(dp_port_del(dp, guest[i].port), 0);
	(void)port_end_now(dp, NULL);
	kept_forget_all(dp);
	memset(&dp->gone, 0, sizeof(dp->gone));
	add_port(2, &cfgs[2]);
	add_port(1, &cfgs[1]);
	add_port(0, &cfgs[0]);
	assert_false(underlay_is_resolved(port_of(1)));
	told = load(&saved);
	assert_int_equal(told.n_flows, 1);
	assert_int_equal(told.n_pkts, 1);
	assert_int_equal(told.n_refused, 1);
	assert_true(underlay_is_resolved(port_of(1)));
	assert_int_equal(tunnel_seq(port_of(1))[3], 4711);
	assert_int_equal(tunnel_mtu(port_of(1)), 1200 - (DP_TUNNEL_OVERHEAD - 20) + GENEVE_META_BYTES);
	assert_int_equal(dp_delay_list(dp, guest[1].port, &pos, &delay, 1), 1);
	assert_int_equal(delay.flow, FLOW);
	assert_memory_equal(&delay.stats, &stats, sizeof(stats));
	assert_int_equal(delay.delay.count, 10);
	assert_int_equal(delay.network.max, 4000);
	assert_int_equal(arrive(1010, 1)->account.stats.lost, 0); // the next number
	assert_int_equal(arrive(1010, 1)->account.stats.duplicates, 1);
	m = take_handed_over(2);
	assert_true(m->ol_flags & pkt_fields.is_tunnelled);
	assert_int_equal(pkt_tunnel(m)->port, guest[1].port);
	assert_int_equal(pkt_tunnel(m)->serial, (uint16_t)port_of(1)->path.serial);
	rte_pktmbuf_free(m);
	// What has begun here is not overwritten.
	told = load(&saved);
	assert_int_equal(told.n_flows, 0);
	rte_pktmbuf_free(take_handed_over(2));
	forget_counters();
	end(&saved);
}

// All that a state has records of: ports 0 to 2 and two more, a tunnel and its uplink.
static unsigned
begin_with_everything(void)
{
	struct dp_port_cfg cfgs[N_PORTS], more[N_PORTS];
	unsigned tunnel;

	slow_uplink(cfgs);
	begin(cfgs);
	with_tunnel(more);
	snprintf(more[2].name, sizeof(more[2].name), "up");
	snprintf(more[2].socket, sizeof(more[2].socket), "%s/up", fixture_dir);
	snprintf(more[1].uplink, sizeof(more[1].uplink), "up");
	(void)new_port(&more[2]);
	tunnel = new_port(&more[1]);
	return tunnel;
}

// Makes the file of a new format: RTVS_WRITE_STATE=FILE test/unit/dp/dp_state_test. A file of a
// format that was released is never written again.
static void
state_is_written_where_asked(void **state)
{
	const struct prefix remote = {.addr = {10, 9, 0, 2}};
	const struct mac mac = {{2, 0, 0, 0, 0, 9}};
	const char *path = getenv("RTVS_WRITE_STATE");
	struct port *uplink, *tunnel;
	struct decap_flow *f;
	struct rte_mbuf *m;
	struct bytes saved;
	FILE *file;

	(void)state;
	if (!path)
		skip();
	tunnel = dp->port[begin_with_everything()];
	uplink = registry_uplink(tunnel);
	learn_some();
	use_some();
	for (unsigned i = 0; i < 3; i++)
		pkt_set_offload(hand_over(1, 100 + i),
			(struct offload){.csum_start = 34, .csum_offset = 6, .kind = OFFLOAD_CHECKSUM});
	m = hand_over(2, 90);
	(void)mailbox_take(&port_of(2)->path.handoff, &m, 1);
	assert_true(schedule_restore(dp->worker[0], atomic_load(&dp->env.view), (uint16_t)guest[2].port, m, false));
	assert_true(underlay_restore_hop(uplink, &remote, &mac, clock_now_ns(&dp->env.clock)));
	assert_int_equal(views_publish(dp), 0);
	tunnel_seq(tunnel)[3] = 4711;
	f = tunnel_measure(dp, tunnel, FLOW);
	assert_non_null(f);
	flow_delay_add(&f->account, &(struct flow_delay_packet){.seq = 7, .delay_ns = 5000, .bytes = 100}, 1);
	saved = save();
	file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(saved.at, 1, saved.len, file), saved.len);
	assert_int_equal(fclose(file), 0);
	end(&saved);
}

static struct bytes
read_file(const char *path)
{
	struct bytes saved = {malloc(FILE_MAX), 0};
	struct clock_pair now = clock_read_pair();
	FILE *file = fopen(path, "rb");

	assert_non_null(file);
	assert_non_null(saved.at);
	saved.len = fread(saved.at, 1, FILE_MAX, file);
	assert_in_range(saved.len, STATE_RECORD_HEADER, FILE_MAX - 1);
	fclose(file);
	memcpy(saved.at + AT_TIME, &now.ns, sizeof(now.ns)); // it was written just now
	return saved;
}

// A process of a later release takes over from one of this release, for ever.
static void
state_of_format_1_is_read(void **state)
{
	struct bytes saved = read_file(STATE_FILES "/state_v1.bin");
	struct dp_state_loaded told;
	struct port *tunnel;

	(void)state;
	tunnel = dp->port[begin_with_everything()];
	told = load(&saved);
	assert_int_equal(told.n_refused + told.n_unknown + told.n_macs_refused, 0);
	assert_false(told.is_cut);
	assert_int_equal(told.n_macs, N_MACS);
	assert_int_equal(told.n_senders, 2);
	assert_int_equal(told.n_flows, 1);
	assert_int_equal(told.n_pkts, 4);
	assert_int_equal(stats_of(0).rx_pkts, 14);
	assert_int_equal(drops_of(2, DROP_LATE), 2);
	assert_int_equal(stats_of(1).queued, 3);
	assert_int_equal(stats_of(2).queued, 1);
	assert_int_equal(list_waiting(2).pkt[0].len, 90);
	assert_int_equal(tunnel_seq(tunnel)[3], 4711);
	assert_true(underlay_is_resolved(tunnel));
	assert_int_equal(port_answer(port_of(1)->path.answer).deadline_ns, 2 * SECOND_NS);
	assert_conserved();
	end(&saved);
}

static void
insert(struct bytes *to, const struct state_writer *w)
{
	to->at = realloc(to->at, to->len + w->len);
	assert_non_null(to->at);
	memmove(to->at + STATE_RECORD_HEADER + w->len, to->at + STATE_RECORD_HEADER, to->len - STATE_RECORD_HEADER);
	memcpy(to->at + STATE_RECORD_HEADER, w->bytes, w->len);
	to->len += w->len;
	free(w->bytes);
}

static void
unknown_types_and_versions_are_skipped(void **state)
{
	struct state_writer w = {.rc = 0};
	struct dp_state_loaded told;
	struct bytes saved;

	(void)state;
	begin(NULL);
	learn_some();
	saved = save();
	state_record_begin(&w, 0xfff0, 1);
	state_record_put(&w, "of a later release", 18);
	state_record_end(&w);
	state_record_begin(&w, STATE_PORT, STATE_NAMES_VERSION + 1);
	state_record_end(&w);
	insert(&saved, &w);
	begin_again(NULL);
	told = load(&saved);
	assert_int_equal(told.n_unknown, 2);
	assert_int_equal(told.n_refused, 0);
	assert_int_equal(told.n_macs, N_MACS);
	end(&saved);
}

static void
other_formats_are_refused(void **state)
{
	struct dp_state_loaded told = {.n_records = 99};
	struct bytes saved;
	unsigned n = 99;

	(void)state;
	begin(NULL);
	saved = save();
	saved.at[8]++;
	assert_int_equal(dp_state_load(dp, saved.at, saved.len, &told), -EPROTO);
	assert_int_equal(dp_ids_load(dp, saved.at, saved.len, &n), -EPROTO);
	assert_int_equal(dp_state_load(dp, saved.at, 0, &told), -EPROTO);
	assert_int_equal(told.n_records, 99);
	assert_int_equal(n, 99);
	end(&saved);
}

// Each length once, from a buffer of exactly that length.
static void
state_that_is_cut_is_loaded_so_far(void **state)
{
	struct bytes saved;

	(void)state;
	begin(NULL);
	learn_some();
	saved = save();
	begin_again(NULL);
	for (size_t len = 0; len < saved.len; len++) {
		struct dp_state_loaded told = {.is_cut = true};
		uint8_t *cut = malloc(len + !len);
		unsigned n;

		assert_non_null(cut);
		memcpy(cut, saved.at, len);
		assert_int_equal(dp_state_load(dp, cut, len, &told), len < STATE_RECORD_HEADER ? -EPROTO : 0);
		assert_true(told.is_cut);
		(void)dp_ids_load(dp, cut, len, &n);
		free(cut);
	}
	forget_counters(); // they were loaded again and again
	assert_int_equal(dp_bridge_n_macs(dp, bridge), N_MACS);
	assert_null(dp->wanted_ids);
	end(&saved);
}

static void
assert_sound(void)
{
	int64_t n_macs = 0;
	struct mac_entry e[64];
	unsigned n = list(e, 64);

	for (unsigned i = 0; i < n; i++)
		assert_true(dp->port[e[i].port]);
	for (unsigned i = 0; i < N_PORTS; i++)
		n_macs += dp_port_n_macs(dp, guest[i].port);
	assert_int_equal(n_macs, n);
}

// n states that differ from the saved one by a few bytes each.
static void
load_lies(const struct bytes *saved, unsigned n_lies)
{
	static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
	uint8_t *lie = malloc(saved->len);
	uint64_t random = 1;

	assert_non_null(lie);
	for (unsigned i = 0; i < n_lies; i++) {
		struct dp_state_loaded told;

		memcpy(lie, saved->at, saved->len);
		for (uint64_t n = 1 + random_below(&random, 3); n; n--) {
			uint64_t at = STATE_RECORD_HEADER + random_below(&random, saved->len - STATE_RECORD_HEADER);

			lie[at] = random_below(&random, 2) ? edges[random_below(&random, 5)] :
							     (uint8_t)(lie[at] ^ 1u << random_below(&random, 8));
		}
		assert_int_equal(dp_state_load(dp, lie, saved->len, &told), 0);
		if (i % 64)
			continue;
		assert_sound();
		(void)dp_mac_flush(dp, bridge);
		assert_sound();
	}
	free(lie);
	forget_counters(); // of lies, which are not conserved
}

static void
states_that_lie_do_no_harm(void **state)
{
	struct dp_port_cfg busy[N_PORTS];
	struct bytes saved;

	(void)state;
	slow_uplink(busy);
	begin(busy);
	learn_some();
	use_some();
	for (unsigned i = 0; i < 4; i++)
		pkt_set_offload(hand_over(2, 80 + i),
			(struct offload){.csum_start = 34, .csum_offset = 6, .kind = OFFLOAD_CHECKSUM});
	saved = save();
	begin_again(busy);
	load_lies(&saved, 20000);
	end(&saved);
}

static void
lies_about_everything_do_no_harm(void **state)
{
	struct bytes saved = read_file(STATE_FILES "/state_v1.bin");

	(void)state;
	(void)begin_with_everything();
	load_lies(&saved, 20000);
	end(&saved);
}

// Is a payload of such a record of one length only?
static bool
is_fixed(uint16_t type)
{
	return type == STATE_MOVES || type == STATE_WORKER || type == STATE_TOTALS || type == STATE_LIMITS ||
		type == STATE_LINK || type == STATE_SENDER || type == STATE_HOP || type == STATE_FLOW;
}

// A state with all names, and one record that is shorter than it was.
static struct dp_state_loaded
load_shorter(const struct bytes *names, const struct state_record *record, size_t len)
{
	struct state_writer w = {.rc = 0};
	struct dp_state_loaded told;

	state_record_put(&w, names->at, names->len);
	state_record_begin(&w, record->type, record->version);
	state_record_put(&w, record->at, len);
	state_record_end(&w);
	assert_int_equal(w.rc, 0);
	told = load(&(struct bytes){w.bytes, w.len});
	free(w.bytes);
	return told;
}

static void
records_that_are_too_short_are_refused(void **state)
{
	struct bytes saved = read_file(STATE_FILES "/state_v1.bin");
	struct state_writer names = {.rc = 0};
	struct state_record record;
	struct state_reader r;
	uint64_t time_ns;

	(void)state;
	(void)begin_with_everything();
	state_record_put(&names, saved.at, STATE_RECORD_HEADER);
	assert_int_equal(state_record_open(&r, saved.at, saved.len, &time_ns), 0);
	while (state_record_next(&r, &record)) {
		if (record.type == STATE_END)
			break;
		for (size_t len = 0; len < record.left; len++) {
			struct dp_state_loaded told =
				load_shorter(&(struct bytes){names.bytes, names.len}, &record, len);

			if (is_fixed(record.type) && told.n_refused != 1)
				fail_msg("type %u is accepted with %zu bytes of %zu", record.type, len, record.left);
		}
		if (record.type != STATE_PORT && record.type != STATE_BRIDGE)
			continue;
		state_record_begin(&names, record.type, record.version);
		state_record_put(&names, record.at, record.left);
		state_record_end(&names);
	}
	assert_sound();
	free(names.bytes);
	forget_counters(); // some were loaded often
	end(&saved);
}

static void
ports_get_the_ids_that_they_had(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct bytes ids = {NULL, 0}, saved;
	unsigned id[N_PORTS], n;

	(void)state;
	begin(NULL);
	for (unsigned i = 0; i < N_PORTS; i++)
		id[i] = guest[i].port;
	assert_int_equal(dp_ids_save(dp, &ids.at, &ids.len), 0);
	saved = save();
	remove_ports();
	assert_int_equal(dp_ids_load(dp, ids.at, ids.len, &n), 0);
	assert_int_equal(n, N_PORTS);
	for (unsigned i = N_PORTS; i--;)
		add_port(i, &cfgs[i]);
	for (unsigned i = 0; i < N_PORTS; i++)
		assert_int_equal(guest[i].port, id[i]);
	assert_null(dp->wanted_ids);
	// The names of a whole state serve, too. What is there already is refused.
	assert_int_equal(dp_port_del(dp, guest[2].port), 0);
	assert_int_equal(dp_ids_load(dp, saved.at, saved.len, &n), 0);
	assert_int_equal(n, 1);
	add_port(2, &cfgs[2]);
	assert_int_equal(guest[2].port, id[2]);
	free(ids.at);
	end(&saved);
}

static void
wanted_ids_are_kept_free_while_others_are(void **state)
{
	struct dp_port_cfg cfgs[N_PORTS] = {port_cfg(0), port_cfg(1), port_cfg(2)};
	struct bytes saved;

	(void)state;
	dp_halt(dp);
	saved = save();
	assert_int_equal(dp_ids_want(dp, "p1", 0), 0);
	assert_int_equal(dp_ids_want(dp, "p9", DP_MAX_PORTS - 1), 0);
	add_port(0, &cfgs[0]);
	assert_int_equal(guest[0].port, 1);
	add_port(1, &cfgs[1]);
	assert_int_equal(guest[1].port, 0);
	(void)load(&saved);
	assert_non_null(dp->wanted_ids); // the port may come yet
	dp_state_end(dp);
	assert_null(dp->wanted_ids);
	// All but one are wanted by others, and that is taken.
	assert_int_equal(dp_port_del(dp, guest[1].port), 0);
	for (unsigned i = 0; i < DP_MAX_PORTS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%u", i);
		if (i != guest[0].port)
			assert_int_equal(dp_ids_want(dp, name, i), 0);
	}
	add_port(2, &cfgs[2]);
	assert_int_equal(guest[2].port, 0);
	dp_state_end(dp);
	end(&saved);
}

static void
ids_that_cannot_be_are_refused(void **state)
{
	char longest[RTVS_NAME_SIZE + 1];

	(void)state;
	begin(NULL);
	memset(longest, 'n', RTVS_NAME_SIZE);
	longest[RTVS_NAME_SIZE] = '\0';
	assert_int_equal(dp_ids_want(dp, "", 9), -EINVAL);
	assert_int_equal(dp_ids_want(dp, longest, 9), -EINVAL);
	assert_int_equal(dp_ids_want(dp, longest + 1, 9), 0);
	assert_int_equal(dp_ids_want(dp, "x", DP_MAX_PORTS), -EINVAL);
	assert_int_equal(dp_ids_want(dp, "x", DP_MAX_PORTS - 1), 0);
	assert_int_equal(dp_ids_want(dp, "x", 10), -EEXIST);
	assert_int_equal(dp_ids_want(dp, "y", DP_MAX_PORTS - 1), -EEXIST);
	assert_int_equal(dp_ids_want(dp, "y", guest[0].port), -EEXIST);
	assert_int_equal(dp_ids_want(dp, "p0", 10), -EEXIST);
	dp_state_end(dp);
	end(&(struct bytes){NULL, 0});
}

static void
counters_of_halted_workers_are_read_at_once(void **state)
{
	(void)state;
	begin(NULL);
	dp->worker[0]->port[guest[0].port].c.rx_pkts = dp->worker[0]->port[guest[0].port].c.drops[DROP_MALFORMED] = 3;
	assert_int_equal(dp_stats_refresh(dp), 0);
	assert_int_equal(stats_of(0).rx_pkts, 3);
	assert_conserved();
	end(&(struct bytes){NULL, 0});
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(learned_macs_are_the_same_ports),
		WITH_BRIDGE(saving_changes_nothing_and_appends),
		WITH_BRIDGE(macs_keep_to_limits_and_owners),
		WITH_BRIDGE(macs_of_others_are_not_learned),
		WITH_BRIDGE(connects_go_on),
		WITH_BRIDGE(rules_go_on),
		WITH_BRIDGE(counters_go_on),
		WITH_BRIDGE(counters_of_a_port_that_is_not_here_are_of_those_gone),
		WITH_BRIDGE(counters_of_a_port_that_comes_later_go_on),
		WITH_BRIDGE(drop_reason_that_is_not_known_is_counted),
		WITH_BRIDGE(senders_go_on),
		WITH_BRIDGE(schedule_of_a_former_rate_is_made_again),
		WITH_BRIDGE(debts_and_answers_go_on),
		WITH_BRIDGE(packets_in_queues_go_on_waiting),
		WITH_BRIDGE(packets_that_a_device_refused_stay_the_next),
		WITH_BRIDGE(packets_between_workers_arrive),
		WITH_BRIDGE(long_packets_and_their_requests_stay),
		WITH_BRIDGE(packets_without_buffers_are_drops),
		WITH_BRIDGE(packets_beyond_a_limit_are_drops),
		WITH_BRIDGE(tunnels_go_on),
		WITH_BRIDGE(state_is_written_where_asked),
		WITH_BRIDGE(state_of_format_1_is_read),
		WITH_BRIDGE(unknown_types_and_versions_are_skipped),
		WITH_BRIDGE(other_formats_are_refused),
		WITH_BRIDGE(state_that_is_cut_is_loaded_so_far),
		WITH_BRIDGE(states_that_lie_do_no_harm),
		WITH_BRIDGE(lies_about_everything_do_no_harm),
		WITH_BRIDGE(records_that_are_too_short_are_refused),
		WITH_BRIDGE(ports_get_the_ids_that_they_had),
		WITH_BRIDGE(wanted_ids_are_kept_free_while_others_are),
		WITH_BRIDGE(ids_that_cannot_be_are_refused),
		WITH_BRIDGE(counters_of_halted_workers_are_read_at_once),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
