// Ports and guests that come, go and share; chains find their own guest.
#include "../unit.h"
#include "wake_script.h"
#include "watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct stages_chain chain = {.arrived_ns = 1000,
	.queued_ns = 1010,
	.put_ns = 1030,
	.kicked_ns = 1060,
	.consumed_ns = 1500,
	.answered_ns = 1800,
	.left_ns = 1805,
	.is_kicked = true};

static void
take(void *arg, const struct event *e)
{
	watch_event(arg, e);
}

static struct watch *
with_guest(const char *port, uint32_t pid)
{
	struct watch *w = watch_create(0, SCRIPT_SWITCH, true);
	bool is_new;

	assert_non_null(w);
	assert_int_equal(watch_guest(w, port, pid, 10, &is_new), 0);
	assert_true(is_new);
	return w;
}

static const struct tally *
tally_of(const struct watch *w, const char *port)
{
	return &watch_find(w, port)->tally;
}

static void
two_guests_interleaved_are_told_apart(void **state)
{
	struct watch *w = with_guest("a", SCRIPT_QEMU);
	bool is_new;

	(void)state;
	assert_int_equal(watch_guest(w, "b", SCRIPT_QEMU + 1000, 10, &is_new), 0);
	wake_script_each("1070 waking cpu0 by switch; 1075 waking g1.cpu0 by switch; 1100 in g1.cpu0; 1300 in cpu0;"
			 "1310 out g1.cpu0; 1900 out cpu0",
		0, take, w);
	assert_int_equal(watch_chain(w, "a", &chain), 0);
	assert_int_equal(watch_chain(w, "b", &chain), 0);
	assert_int_equal(tally_figures(&tally_of(w, "a")->answered.stages[STAGE_RUN]).max, 230);
	assert_int_equal(tally_figures(&tally_of(w, "b")->answered.stages[STAGE_RUN]).max, 25);
	assert_int_equal(tally_figures(&tally_of(w, "a")->answered.stages[STAGE_WAKE]).max, 10);
	assert_int_equal(tally_figures(&tally_of(w, "b")->answered.stages[STAGE_WAKE]).max, 15);
	watch_destroy(w);
}

static void
two_ports_of_one_guest_share_it(void **state)
{
	struct watch *w = with_guest("a", SCRIPT_QEMU);
	bool is_new;

	(void)state;
	assert_int_equal(watch_guest(w, "b", SCRIPT_QEMU, 10, &is_new), 0);
	assert_false(is_new);
	wake_script_each("1070 waking cpu0 by switch; 1100 in cpu0", 0, take, w);
	assert_int_equal(watch_chain(w, "a", &chain), 0);
	assert_int_equal(watch_guest(w, "a", 0, 0, &is_new), 0);
	assert_true(watch_has_guest(w, SCRIPT_QEMU));
	assert_int_equal(watch_chain(w, "b", &chain), 0);
	assert_int_equal(tally_of(w, "a")->results[STAGES_ANSWERED], 1);
	assert_int_equal(tally_of(w, "b")->results[STAGES_ANSWERED], 1);
	assert_int_equal(watch_guest(w, "b", 0, 0, &is_new), 0);
	assert_false(watch_has_guest(w, SCRIPT_QEMU));
	watch_destroy(w);
}

static void
guest_that_is_gone_is_survived(void **state)
{
	struct watch *w = with_guest("a", SCRIPT_QEMU);
	struct stages_chain c = chain;
	const struct event_counts counts = {.halts = 5};
	bool is_new;

	(void)state;
	wake_script_each("1070 waking cpu0 by switch; 1100 in cpu0", 0, take, w);
	watch_counts(w, SCRIPT_QEMU, &counts);
	assert_int_equal(watch_guest(w, "a", 0, 0, &is_new), 0);
	wake_script_each("1200 out cpu0", 0, take, w);
	c.consumed_ns = c.answered_ns = c.left_ns = 0;
	assert_int_equal(watch_chain(w, "a", &c), 0);
	assert_int_equal(tally_of(w, "a")->results[STAGES_UNCONSUMED], 1);
	assert_int_equal(watch_chain(w, "a", &chain), 0);
	assert_int_equal(tally_of(w, "a")->results[STAGES_BLIND], 1);
	// The next one begins anew, and what its predecessor did still counts.
	assert_int_equal(watch_guest(w, "a", SCRIPT_QEMU + 1000, 5000, &is_new), 0);
	assert_true(is_new);
	assert_int_equal(watch_chain(w, "a", &chain), 0); // from before
	assert_int_equal(tally_of(w, "a")->results[STAGES_BLIND], 1);
	assert_int_equal(watch_halts(watch_find(w, "a")).halts, 5);
	assert_int_equal(watch_find(w, "a")->n_guests, 2);
	watch_destroy(w);
}

static void
lost_events_make_chains_blind(void **state)
{
	struct watch *w = with_guest("a", SCRIPT_QEMU);

	(void)state;
	wake_script_each("1070 waking cpu0 by switch; 1100 in cpu0", 0, take, w);
	watch_event_loss(w, 3, 1400, 1600);
	assert_int_equal(watch_chain(w, "a", &chain), 0);
	assert_int_equal(tally_of(w, "a")->results[STAGES_BLIND], 1);
	assert_int_equal(w->events_lost, 3);
	watch_destroy(w);
}

static void
chains_lost_go_on_when_a_daemon_begins_anew(void **state)
{
	struct watch *w = with_guest("a", SCRIPT_QEMU);
	struct watch_port *port = watch_find(w, "a");

	(void)state;
	watch_chains_lost(port, 4);
	watch_chains_lost(port, 6);
	watch_chains_lost(port, 1);
	watch_chains_lost(port, 1);
	assert_int_equal(port->lost, 7);
	watch_destroy(w);
}

static void
without_the_scheduler_chains_are_cut_all_the_same(void **state)
{
	struct watch *w = watch_create(0, SCRIPT_SWITCH, false);
	bool is_new;

	(void)state;
	assert_int_equal(watch_guest(w, "a", SCRIPT_QEMU, 10, &is_new), 0);
	assert_int_equal(watch_chain(w, "a", &chain), 0);
	assert_int_equal(tally_figures(&tally_of(w, "a")->answered.stages[STAGE_CONSUME]).max, 440);
	watch_destroy(w);
}

static void
limits_are_kept(void **state)
{
	struct watch *w = watch_create(0, 0, true);
	char name[WATCH_NAME_SIZE + 1];
	bool is_new;

	(void)state;
	assert_int_equal(watch_chain(w, "a", &chain), -ENOENT);
	memset(name, 'x', WATCH_NAME_SIZE);
	name[WATCH_NAME_SIZE] = '\0';
	assert_int_equal(watch_guest(w, name, 0, 0, &is_new), -EINVAL);
	name[WATCH_NAME_SIZE - 1] = '\0';
	assert_int_equal(watch_guest(w, name, 0, 0, &is_new), 0);
	for (unsigned i = 1; i < WATCH_MAX_PORTS; i++) {
		(void)snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(watch_guest(w, name, 0, 0, &is_new), 0);
	}
	assert_int_equal(watch_guest(w, "more", 0, 0, &is_new), -ENOSPC);
	for (unsigned i = 0; i < WATCH_MAX_MISSING + 1; i++)
		watch_miss(w, "x", "y", "z");
	assert_int_equal(w->n_missing, WATCH_MAX_MISSING);
	watch_destroy(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_guests_interleaved_are_told_apart),
		cmocka_unit_test(two_ports_of_one_guest_share_it),
		cmocka_unit_test(guest_that_is_gone_is_survived),
		cmocka_unit_test(lost_events_make_chains_blind),
		cmocka_unit_test(chains_lost_go_on_when_a_daemon_begins_anew),
		cmocka_unit_test(without_the_scheduler_chains_are_cut_all_the_same),
		cmocka_unit_test(limits_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
