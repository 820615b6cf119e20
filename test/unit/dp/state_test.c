// What one datapath saves, the next one has: here the next one is the same datapath, whose ports
// and bridge were removed and made again in another order. Lies are counted, and do no harm. A test
// inside of the datapath: its facade does not learn a MAC or queue a packet by itself.
#include "bridge.h"
#include "dp_fixture.h"
#include "dp_state.h"
#include "rtvs/frame.h"
#include "rtvs/random.h"
#include "state.h"
#include "state_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_PORTS N_GUESTS
#define OLD_S 10 // age of what is learned here
#define N_MACS 3

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
	assert_int_equal(dp_bridge_del(dp, bridge), 0);
	assert_int_equal(fixture_add_bridge(NULL), 0);
	memset(&dp->gone, 0, sizeof(dp->gone));
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
	assert_memory_equal(
		again.at + 3 + STATE_RECORD_HEADER, saved.at + STATE_RECORD_HEADER, saved.len - STATE_RECORD_HEADER);
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
	assert_int_equal(told.n_refused, 1); // the name
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

static void
states_that_lie_do_no_harm(void **state)
{
	uint64_t random = 1;
	struct bytes saved;
	uint8_t *lie;

	(void)state;
	begin(NULL);
	learn_some();
	saved = save();
	begin_again(NULL);
	lie = malloc(saved.len);
	assert_non_null(lie);
	for (unsigned i = 0; i < 20000; i++) {
		struct dp_state_loaded told;

		memcpy(lie, saved.at, saved.len);
		for (uint64_t n = 1 + random_below(&random, 3); n; n--) {
			static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff};
			uint64_t at = STATE_RECORD_HEADER + random_below(&random, saved.len - STATE_RECORD_HEADER);

			lie[at] = random_below(&random, 2) ? edges[random_below(&random, 5)] :
							     (uint8_t)(lie[at] ^ 1u << random_below(&random, 8));
		}
		assert_int_equal(dp_state_load(dp, lie, saved.len, &told), 0);
		if (i % 64)
			continue;
		assert_sound();
		(void)dp_mac_flush(dp, bridge);
		assert_sound();
	}
	free(lie);
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
	// The wish of a port that does not come ends with the state's loading.
	(void)load(&saved);
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
	(void)load(&saved);
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
		WITH_BRIDGE(unknown_types_and_versions_are_skipped),
		WITH_BRIDGE(other_formats_are_refused),
		WITH_BRIDGE(state_that_is_cut_is_loaded_so_far),
		WITH_BRIDGE(states_that_lie_do_no_harm),
		WITH_BRIDGE(ports_get_the_ids_that_they_had),
		WITH_BRIDGE(wanted_ids_are_kept_free_while_others_are),
		WITH_BRIDGE(ids_that_cannot_be_are_refused),
		WITH_BRIDGE(counters_of_halted_workers_are_read_at_once),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
