// Queues that a worker does not poll, under virtual time: they are asked for a wake-up, none that
// comes is lost, and none is waited for without a limit. The worker and its devices are made by
// hand.
#include "eal_fixture.h"
#include "path/idle.h"

#include <rte_cycles.h>

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define N_PORTS 20 // of one block of a view; more wake-ups than a look sees
#define MS UINT64_C(1000000)
#define N_MBUFS 127
#define NO_FD (-1)
#define NOBODY (-2)

static struct env env;
static struct view *view;
static struct worker w;
static struct port_path port[N_PORTS];
static struct view_port entry[N_PORTS];
static struct view_block ports;
static struct view_worker *mine;

static struct {
	int fd; // what arm returns
	bool is_armed;
	unsigned n_polls, n_arms, n_pkts; // packets that wait
	bool puts_when_armed; // a packet comes while the queue is being armed, without a kick
	uint64_t takes_ns; // arming it, and likewise the opposite
} device[N_PORTS];

static int
fake_arm(struct device *d, uint16_t q, bool is_on)
{
	unsigned i = (unsigned)(uintptr_t)d->priv;

	(void)q;
	rte_delay_us_block((unsigned)(device[i].takes_ns / 1000));
	device[i].n_arms += is_on;
	device[i].is_armed = is_on;
	device[i].n_pkts += is_on && device[i].puts_when_armed;
	return device[i].fd;
}

static const struct port_io fake_io = {.arm = fake_arm};

static unsigned
fake_poll(struct worker *worker, const struct view *ignored, struct poll_queue *q)
{
	unsigned n = device[q->port].n_pkts;

	(void)ignored;
	device[q->port].n_polls++;
	device[q->port].n_pkts = 0;
	if (n)
		poll_set_found(q, worker->now_ns);
	return n;
}

static int
start(void **state)
{
	struct clock_pair begin_pair = clock_read_pair();

	(void)state;
	view = calloc(1, sizeof(*view) + sizeof(view->worker[0]));
	mine = calloc(1, sizeof(*mine) + N_PORTS * sizeof(mine->rxq[0]));
	w.env = &env;
	w.polls.queue = calloc(N_PORTS, sizeof(*w.polls.queue));
	w.epoll_fd = -1;
	if (!view || !mine || !w.polls.queue || waker_init(&w.waker) || start_eal(N_MBUFS))
		return -1;
	w.pool = pool;
	view->block[0] = &ports;
	view->worker[0] = mine;
	env.view = view;
	clock_start(&env.clock, begin_pair);
	if (event_queue_init(&env.events, &env.clock) || rcu_init(&env.rcu, 1))
		return -1;
	rcu_begin(&env.rcu, 0);
	return 0;
}

static int
stop(void **state)
{
	waker_fini(&w.waker);
	free(w.polls.queue);
	free(mine);
	free(view);
	(void)close(w.epoll_fd);
	rcu_end(&env.rcu, 0);
	rcu_fini(&env.rcu);
	event_queue_fini(&env.events);
	return stop_eal(state);
}

static int
begin(void **state)
{
	(void)state;
	memset(device, 0, sizeof(device));
	w.now_ns = 7 * MS;
	for (unsigned i = 0; i < N_PORTS; i++) {
		device[i].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (device[i].fd < 0)
			return -1;
		port[i] =
			(struct port_path){.id = (uint16_t)i, .device = {.io = &fake_io, .priv = (void *)(uintptr_t)i}};
		entry[i] = (struct view_port){.port = &port[i]};
		ports.port[i] = &entry[i];
		mine->rxq[i] = (struct view_rxq){.port = (uint16_t)i};
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	assert_true(poll_set_is_consistent(&w.polls));
	for (unsigned i = 0; i < N_PORTS; i++)
		if (device[i].fd >= 0)
			(void)close(device[i].fd);
	return 0;
}

static void
apply(unsigned n)
{
	mine->n_rxq = (uint16_t)n;
	idle_apply(&w, view, env.wakeup_gen);
}

// A turn that takes as long as there is between two looks.
static unsigned
turn(void)
{
	struct poll_queue *q = w.polls.round.first;
	unsigned n = 0;

	w.now_ns += POLL_LOOK_NS;
	for (uint32_t i = w.polls.round.n; i; i--, q = q->next)
		n += fake_poll(&w, view, q);
	return n + idle_look(&w, view, fake_poll);
}

static void
turns_ns(uint64_t ns)
{
	for (uint64_t end_ns = w.now_ns + ns; w.now_ns < end_ns;)
		assert_int_equal(turn(), 0);
}

static void
kick(unsigned i)
{
	assert_int_equal(eventfd_write(device[i].fd, 1), 0);
}

static bool
is_idle(unsigned i)
{
	return w.polls.queue[i].is_idle;
}

static void
idle_queue_is_armed_and_its_kick_brings_it_back(void **state)
{
	(void)state;
	apply(2);
	turns_ns(POLL_IDLE_NS + 2 * POLL_LOOK_NS);
	assert_true(is_idle(0) && is_idle(1) && device[0].is_armed && device[1].is_armed);
	for (unsigned k = 0; k < 3; k++) {
		unsigned n_polls = device[1].n_polls;

		device[0].n_pkts = 5;
		w.n_looks = 0;
		kick(0);
		assert_int_equal(turn() + turn(), 5);
		assert_true(w.n_looks); // sleeps stay short, should the worker sleep next
		assert_false(is_idle(0) || device[0].is_armed);
		assert_true(is_idle(1) && device[1].is_armed);
		assert_in_range(device[1].n_polls, n_polls, n_polls + 1);
		turns_ns(POLL_IDLE_NS + 2 * POLL_LOOK_NS);
		assert_true(is_idle(0) && device[0].is_armed);
	}
}

static void
queue_that_has_something_all_the_time_is_never_armed(void **state)
{
	(void)state;
	apply(1);
	for (unsigned k = 0; k < 1000; k++) {
		device[0].n_pkts = k % 20 == 0;
		assert_int_equal(turn(), k % 20 == 0);
	}
	assert_int_equal(device[0].n_arms, 0);
}

static void
one_queue_leaves_at_a_look(void **state)
{
	(void)state;
	apply(N_PORTS);
	turns_ns(POLL_IDLE_NS);
	for (unsigned k = 1; k < 5; k++)
		turns_ns(POLL_LOOK_NS);
	assert_in_range(w.polls.n_idle, 4, 5);
}

static void
packet_that_comes_while_the_queue_is_armed_is_seen(void **state)
{
	(void)state;
	apply(1);
	device[0].puts_when_armed = true;
	w.now_ns += POLL_IDLE_NS;
	assert_int_equal(turn(), 1);
	assert_int_equal(device[0].n_arms, 1);
	assert_false(is_idle(0) || device[0].is_armed);
}

// Packets that find no buffer wait in their rings, and nobody kicks for them again.
static void
queue_is_not_armed_while_there_are_no_buffers(void **state)
{
	struct rte_mbuf *pkts[N_MBUFS];

	(void)state;
	apply(1);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, pkts, N_MBUFS), 0);
	turns_ns(2 * POLL_IDLE_NS);
	assert_int_equal(device[0].n_arms, 0);
	pkt_free_burst(pkts, N_MBUFS);
	turns_ns(POLL_LOOK_NS);
	assert_true(is_idle(0));
}

static void
guest_that_does_not_kick_waits_for_a_look(void **state)
{
	uint64_t begin_ns;

	(void)state;
	apply(N_PORTS);
	turns_ns(POLL_IDLE_NS + (N_PORTS + 2) * POLL_LOOK_NS);
	for (unsigned i = 0; i < N_PORTS; i++) {
		device[i].n_pkts = 1;
		for (begin_ns = w.now_ns; !turn();)
			;
		assert_true(w.now_ns - begin_ns <= POLL_LOST_NS + POLL_LOOK_NS);
		assert_false(is_idle(i) || device[i].is_armed);
	}
}

static void
guest_that_kicks_for_nothing_is_polled_for_a_while(void **state)
{
	(void)state;
	apply(2);
	turns_ns(POLL_IDLE_NS + 2 * POLL_LOOK_NS);
	kick(0);
	turns_ns(POLL_GRACE_NS - POLL_LOOK_NS);
	assert_false(is_idle(0) || device[0].is_armed);
	kick(0); // it is not asked for, and is good for the same time
	turns_ns(POLL_GRACE_NS - POLL_LOOK_NS);
	assert_false(is_idle(0) || device[0].is_armed);
	turns_ns(3 * POLL_LOOK_NS);
	assert_true(is_idle(0) && device[0].is_armed);
	assert_true(is_idle(1));
}

static void
more_wakeups_than_a_look_sees_are_seen_by_the_next(void **state)
{
	(void)state;
	apply(N_PORTS);
	turns_ns(POLL_IDLE_NS + (N_PORTS + 2) * POLL_LOOK_NS);
	for (unsigned i = 0; i < N_PORTS; i++)
		kick(i);
	turns_ns(2 * POLL_LOOK_NS);
	assert_int_equal(w.polls.n_idle, 0);
}

static void
queue_without_a_wakeup_is_looked_at_in_time(void **state)
{
	(void)state;
	(void)close(device[0].fd);
	device[0].fd = NO_FD;
	apply(1);
	turns_ns(POLL_IDLE_NS + POLL_LOOK_NS);
	assert_true(is_idle(0) && w.has_polled_queues);
	device[0].n_pkts = 1;
	w.now_ns += POLL_BLIND_NS - POLL_LOOK_NS;
	assert_int_equal(turn(), 1);
	assert_false(is_idle(0));
}

static void
queues_that_share_a_descriptor_are_both_looked_at(void **state)
{
	(void)state;
	(void)close(device[1].fd);
	device[1].fd = device[0].fd;
	apply(2);
	turns_ns(POLL_IDLE_NS + 2 * POLL_LOOK_NS);
	assert_true(is_idle(0) && is_idle(1) && !w.has_polled_queues);
	device[1].n_pkts = 1;
	kick(1);
	assert_int_equal(turn() + turn(), 1);
	device[1].fd = NO_FD; // closed once
}

static void
queue_that_nobody_uses_costs_no_looks(void **state)
{
	unsigned n_polls;

	(void)state;
	(void)close(device[0].fd);
	device[0].fd = NOBODY;
	apply(1);
	turns_ns(POLL_IDLE_NS + POLL_LOOK_NS);
	assert_true(is_idle(0) && !w.has_polled_queues);
	n_polls = device[0].n_polls;
	turns_ns(POLL_LOST_NS);
	assert_in_range(device[0].n_polls, n_polls + 1, n_polls + 3);
}

static void
descriptors_that_change_put_all_queues_back(void **state)
{
	(void)state;
	apply(3);
	turns_ns(POLL_IDLE_NS + 4 * POLL_LOOK_NS);
	assert_int_equal(w.polls.n_idle, 3);
	ports.port[2] = &view_no_port; // it is gone
	apply(2);
	assert_int_equal(w.polls.round.n, 2);
	assert_false(device[0].is_armed || device[1].is_armed);
	// The next descriptors are waited for.
	(void)close(device[0].fd);
	device[0].fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	apply(2);
	turns_ns(POLL_IDLE_NS + 4 * POLL_LOOK_NS);
	device[0].n_pkts = 1;
	kick(0);
	assert_int_equal(turn() + turn(), 1);
}

static bool
poll_nothing(struct worker *worker, const struct view *ignored)
{
	(void)worker, (void)ignored;
	return false;
}

// Time went on while the worker slept, and a device may show its packet a little after the wake-up.
static void
queue_that_ends_a_sleep_is_polled_for_a_while_from_then_on(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) { // a queue of the round, an idle one
		uint64_t before_ns = clock_now_ns(&env.clock);

		eventfd_t ignored;

		(void)eventfd_read(device[0].fd, &ignored); // or it tells when it is added again
		w.now_ns = 7 * MS; // as of long before
		apply(2);
		if (i)
			turns_ns(POLL_IDLE_NS + 3 * POLL_LOOK_NS);
		assert_int_equal(is_idle(0), i);
		kick(0);
		assert_true(idle_sleep(&w, view, poll_nothing));
		assert_true(w.now_ns >= before_ns);
		assert_false(is_idle(0) || device[0].is_armed);
		assert_int_equal(w.polls.queue[0].awake_until_ns, w.now_ns + POLL_GRACE_NS);
	}
}

// Wherever it is then, also between its clock's readings.
static void
sleeper_that_loses_its_core_counts_a_stall(void **state)
{
	(void)state;
	apply(2);
	for (unsigned i = 0; i < 2; i++) {
		hist_init(&w.stats.stalls);
		device[i].takes_ns = 2 * MS;
		w.n_looks = 1; // a short sleep
		w.step.tsc = rte_rdtsc();
		(void)idle_sleep(&w, view, poll_nothing);
		assert_int_equal(w.stats.stalls.count, 1);
		assert_in_range(w.stats.stalls.max, 2 * (i + 1) * 2 * MS, UINT64_MAX);
	}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(idle_queue_is_armed_and_its_kick_brings_it_back),
		CASE(queue_that_has_something_all_the_time_is_never_armed),
		CASE(one_queue_leaves_at_a_look),
		CASE(packet_that_comes_while_the_queue_is_armed_is_seen),
		CASE(queue_is_not_armed_while_there_are_no_buffers),
		CASE(guest_that_does_not_kick_waits_for_a_look),
		CASE(guest_that_kicks_for_nothing_is_polled_for_a_while),
		CASE(more_wakeups_than_a_look_sees_are_seen_by_the_next),
		CASE(queue_without_a_wakeup_is_looked_at_in_time),
		CASE(queues_that_share_a_descriptor_are_both_looked_at),
		CASE(queue_that_nobody_uses_costs_no_looks),
		CASE(descriptors_that_change_put_all_queues_back),
		CASE(queue_that_ends_a_sleep_is_polled_for_a_while_from_then_on),
		CASE(sleeper_that_loses_its_core_counts_a_stall),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
