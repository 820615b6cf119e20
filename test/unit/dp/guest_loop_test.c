// The thread of connections with real sockets, ports made by hand, and a worker whose turns the
// test ends.
#include "base/rcu.h"
#include "eal_fixture.h"
#include "front_end.h"
#include "io/guest_loop.h"
#include "io/vhost_guard.h"
#include "io/vhost_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define F(bit) (UINT64_C(1) << (bit))
#define WAIT_S 20
#define N_PORTS 9u
// Messages. A sanitizer makes each of them many times slower.
#define N_HOSTILE (UNIT_HAS_TSAN ? 5000u : UNIT_HAS_ASAN ? 100000u : 200000u)

struct port {
	struct guest_port served;
	struct guest_io io;
	struct guest_link *has;
	_Atomic unsigned n_changed, n_opened, n_closed, n_hidden, n_faults;
	_Atomic bool refuses;
	char why[120];
};

static struct rcu rcu;
static struct guest_loop *loop;
static struct port ports[N_PORTS];

static struct port *
port_of(struct guest_port *served)
{
	return (struct port *)(void *)((char *)served - offsetof(struct port, served));
}

static bool
may_connect(struct guest_port *served, pid_t pid)
{
	assert_int_equal(pid, getpid());
	return !atomic_load(&port_of(served)->refuses);
}

static void
opened(struct guest_port *served, struct guest_link *link, pid_t pid)
{
	(void)link;
	(void)pid;
	atomic_fetch_add(&port_of(served)->n_opened, 1);
}

static void
changed(struct guest_port *served, struct guest_link *link)
{
	struct port *p = port_of(served);

	atomic_fetch_add(&p->n_changed, 1);
	if ((guest_link_running(link) & 3) != 3)
		return;
	if (p->has && p->has != link)
		guest_link_hide(p->has);
	if (p->has == link && !guest_link_is_shown(link))
		atomic_fetch_add(&p->n_hidden, 1);
	p->has = link;
	guest_link_show(link, &p->io);
}

static void
closed(struct guest_port *served, struct guest_link *link, const char *why)
{
	struct port *p = port_of(served);

	guest_link_hide(link);
	if (p->has == link)
		p->has = NULL;
	if (why)
		snprintf(p->why, sizeof(p->why), "%s", why);
	atomic_fetch_add(&p->n_closed, 1);
}

static void
fault(struct vhost_client *client, const char *why, bool is_costly)
{
	struct port *p = (struct port *)(void *)((char *)client - offsetof(struct port, served.client));

	(void)why;
	assert_true(is_costly);
	atomic_fetch_add(&p->n_faults, 1);
}

static void
announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	(void)mac;
}

static void
prepare(void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	(void)arg;
	(void)link;
	(void)ring;
	(void)cfg;
	(void)is_first;
}

static unsigned n_fds_before;

#define UNTIL(condition)                                           \
	do {                                                       \
		time_t end_ = time(NULL) + WAIT_S;                 \
		while (!(condition)) {                             \
			if (time(NULL) > end_)                     \
				fail_msg("never: %s", #condition); \
			(void)poll(NULL, 0, 1);                    \
		}                                                  \
	} while (0)

static bool
is_nothing_left(void)
{
	return front_n_fds() == n_fds_before && !front_n_maps();
}

static int
begin(void **state)
{
	(void)state;
	memset(ports, 0, sizeof(ports));
	for (unsigned i = 0; i < N_PORTS; i++) {
		ports[i].io.signal = vhost_guard_notify;
		ports[i].served = (struct guest_port){.client.fault = fault,
			.serial = i + 1,
			.features = F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_RING_PACKED),
			.create = vhost_link_create,
			.n_pairs = FRONT_PAIRS,
			.may_connect = may_connect,
			.opened = opened,
			.changed = changed,
			.closed = closed,
			.announce = announce,
			.prepare = prepare};
	}
	n_fds_before = front_n_fds();
	assert_int_equal(rcu_init(&rcu, 1), 0);
	rcu_begin(&rcu, 0);
	return guest_loop_create(&rcu, &loop);
}

// The worker ends its turns until the next resume.
static int
end(void **state)
{
	(void)state;
	rcu_pause(&rcu, 0);
	for (unsigned i = 0; i < N_PORTS; i++) {
		guest_loop_remove(loop, &ports[i].served);
		assert_int_equal(ports[i].n_opened, ports[i].n_closed);
	}
	guest_loop_destroy(loop);
	rcu_end(&rcu, 0);
	rcu_fini(&rcu);
	UNTIL(is_nothing_left());
	return 0;
}

// A front-end.

static int
connect_to(struct port *p)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(guest_loop_connect(loop, &p->served, pair[1]), 0);
	return pair[0];
}

static bool
has_answer(int socket)
{
	struct pollfd p = {.fd = socket, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

static void
get_answer(int socket, uint32_t request)
{
	uint8_t answer[20];

	assert_int_equal(recv(socket, answer, sizeof(answer), MSG_WAITALL), sizeof(answer));
	assert_memory_equal(answer, &request, sizeof(request));
}

// The loop has handled all that was sent before.
static void
is_served(int socket)
{
	assert_true(front_say(socket, 1, NULL, 0, -1));
	get_answer(socket, 1);
}

static int
connect_guest(struct port *p)
{
	int socket = connect_to(p);

	assert_true(front_start(socket, 2));
	is_served(socket);
	UNTIL(p->io.queue[1]); // the answer comes before it
	return socket;
}

static void
a_front_end_comes_through_a_socket_that_listens(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(sa_family_t);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), line;
	uint8_t byte;

	(void)state;
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, len), 0); // a name that is free
	len = sizeof(addr);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(guest_loop_listen(loop, &ports[0].served, listener), 0);
	for (unsigned i = 0; i < 2; i++) {
		atomic_store(&ports[0].refuses, i);
		line = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(line, (struct sockaddr *)&addr, len), 0);
		if (i)
			assert_true(recv(line, &byte, 1, 0) <= 0);
		else
			is_served(line);
		assert_int_equal(ports[0].n_opened, 1);
		close(line);
	}
	UNTIL(ports[0].n_closed == 1);
	assert_string_equal(ports[0].why, "");
}

static void
links_of_a_port_are_bounded(void **state)
{
	int line[GUEST_LOOP_LINKS], pair[2];

	(void)state;
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		line[i] = connect_to(&ports[0]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(guest_loop_connect(loop, &ports[0].served, pair[1]), -EMFILE);
	assert_int_equal(recv(pair[0], &(char){0}, 1, 0), 0); // it was hung up on
	close(pair[0]);
	close(connect_to(&ports[1]));
	close(line[0]);
	UNTIL(ports[0].n_closed == 1);
	rcu_quiescent(&rcu, 0);
	for (unsigned i = 1; i < GUEST_LOOP_LINKS; i++)
		is_served(line[i]);
	line[0] = connect_to(&ports[0]);
	for (unsigned i = 0; i < GUEST_LOOP_LINKS; i++)
		close(line[i]);
}

// Its front-end's message takes memory away that a worker may still be using.
static int
park(struct port *p, int neighbour)
{
	int line = connect_guest(p);

	assert_true(front_say_memory(line));
	assert_true(front_say(line, 1, NULL, 0, -1));
	UNTIL(!atomic_load(&p->io.queue[1]));
	for (unsigned i = 0; i < 1000; i++)
		is_served(neighbour);
	assert_false(has_answer(line));
	assert_int_equal(front_n_maps(), 1);
	return line;
}

static void
refreshed_port_hears_of_its_links(void **state)
{
	int socket = connect_to(&ports[0]);
	unsigned n = atomic_load(&ports[0].n_changed);

	(void)state;
	rcu_pause(&rcu, 0);
	guest_loop_refresh(loop, &ports[1].served);
	assert_int_equal(atomic_load(&ports[0].n_changed), n);
	guest_loop_refresh(loop, &ports[0].served);
	assert_int_equal(atomic_load(&ports[0].n_changed), n + 1);
	close(socket);
	UNTIL(atomic_load(&ports[0].n_closed) == 1);
	guest_loop_refresh(loop, &ports[0].served);
	assert_int_equal(atomic_load(&ports[0].n_changed), n + 1);
	rcu_resume(&rcu, 0);
}

static void
a_worker_that_does_not_end_its_turn_parks_one_link_only(void **state)
{
	int neighbour = connect_to(&ports[1]), line = park(&ports[0], neighbour);

	(void)state;
	rcu_quiescent(&rcu, 0);
	get_answer(line, 1);
	UNTIL(ports[0].io.queue[1]);
	UNTIL(front_n_maps() == 1); // the new table: another thread unmaps the former one
	close(line);
	close(neighbour);
}

static void
a_parked_link_that_hangs_up_ends_with_the_turn(void **state)
{
	int neighbour = connect_to(&ports[1]), line = park(&ports[0], neighbour), again;

	(void)state;
	close(line);
	// Its QEMU need not wait for that.
	again = connect_to(&ports[0]);
	is_served(again);
	assert_int_equal(ports[0].n_closed, 0);
	assert_int_equal(front_n_maps(), 1);
	rcu_quiescent(&rcu, 0);
	UNTIL(ports[0].n_closed == 1);
	rcu_pause(&rcu, 0);
	UNTIL(!front_n_maps());
	rcu_resume(&rcu, 0);
	close(again);
	close(neighbour);
}

static void *
remove_port(void *arg)
{
	guest_loop_remove(loop, &ports[0].served);
	atomic_store((_Atomic bool *)arg, true);
	return NULL;
}

static void
a_port_is_removed_while_its_link_is_parked(void **state)
{
	int neighbour = connect_to(&ports[1]), line = park(&ports[0], neighbour);
	_Atomic bool is_removed = false;
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, remove_port, (void *)&is_removed), 0);
	UNTIL(ports[0].n_closed == 1);
	for (unsigned i = 0; i < 1000; i++)
		is_served(neighbour);
	assert_false(is_removed);
	assert_int_equal(front_n_maps(), 1);
	rcu_quiescent(&rcu, 0);
	pthread_join(thread, NULL);
	UNTIL(!front_n_maps());
	is_served(neighbour);
	close(line);
	close(neighbour);
}

static void
a_link_that_broke_a_rule_is_kept_until_the_turn_ends(void **state)
{
	int line = connect_guest(&ports[0]);

	(void)state;
	assert_true(front_say_u64(line, 16, UINT64_MAX, -1));
	UNTIL(ports[0].n_closed == 1);
	assert_string_equal(ports[0].why, "protocol features that were not offered");
	assert_null(ports[0].io.queue[1]);
	assert_int_equal(front_n_maps(), 1);
	rcu_quiescent(&rcu, 0);
	UNTIL(!front_n_maps());
	assert_true(recv(line, &(char){0}, 1, 0) <= 0);
	close(line);
}

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void
workers_lose_rings_so_often_at_most(void **state)
{
	int neighbour = connect_to(&ports[1]), line = connect_guest(&ports[0]);
	uint64_t since = now_ns();

	(void)state;
	rcu_pause(&rcu, 0); // it is always at the end of a turn
	for (unsigned i = 0; i < 3 * GUEST_LOOP_CHANGES; i++) {
		assert_true(front_say_state(line, 18, 0, 0));
		is_served(line);
		is_served(neighbour);
		assert_int_equal(ports[0].n_hidden, i + 1);
		assert_true(now_ns() - since >= i / GUEST_LOOP_CHANGES * (uint64_t)GUEST_LOOP_CHANGES_NS);
	}
	rcu_resume(&rcu, 0);
	close(line);
	close(neighbour);
}

// As QEMU says it: features for each pair, all else for each ring, here with a look at the state
// after each message.
static void
a_qemu_with_all_pairs_of_queues_starts_within_that_bound(void **state)
{
	int line = connect_guest(&ports[0]);

	(void)state;
	rcu_pause(&rcu, 0);
	for (uint32_t i = 2; i < 2 * FRONT_PAIRS; i++) {
		if (i % 2 == 0) {
			front_say_u64(line, 2, F(VIRTIO_F_VERSION_1) | F(VHOST_USER_F_PROTOCOL_FEATURES), -1);
			is_served(line);
		}
		for (unsigned k = 0; k < 6; k++) {
			assert_true(k == 0     ? front_say_state(line, 8, i, FRONT_RING_SIZE) :
					k == 1 ? front_say_state(line, 10, i, 0) :
					k == 2 ? front_say_addr(line, i) :
					k == 3 ? front_say_event(line, 12, i) :
					k == 4 ? front_say_event(line, 13, i) :
						 front_say_state(line, 18, i, 1));
			is_served(line);
		}
		UNTIL(ports[0].io.queue[i]);
	}
	assert_in_range(ports[0].n_hidden, 1, GUEST_LOOP_CHANGES - 1);
	rcu_resume(&rcu, 0);
	close(line);
}

// It fills its eventfd, and clears O_NONBLOCK after it has sent it.
static void
a_front_end_whose_eventfd_makes_the_thread_wait_is_hung_up_on(void **state)
{
	int neighbour = connect_to(&ports[1]), line = connect_guest(&ports[0]);
	int full = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	(void)state;
	rcu_pause(&rcu, 0);
	assert_true(front_say_u64(line, 13, 0, full));
	is_served(line);
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1 - 1), 0);
	assert_int_equal(fcntl(full, F_SETFL, 0), 0);
	assert_true(front_say_event(line, 12, 0)); // the ring starts anew, which its driver is told
	UNTIL(ports[0].n_closed == 1);
	assert_int_equal(ports[0].n_faults, 1);
	is_served(neighbour);
	rcu_resume(&rcu, 0);
	close(full);
	close(line);
	close(neighbour);
}

// Hostile messages.

static uint64_t random_state;

static uint32_t
any(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32) % n;
}

#define N_LINES 16u // at a time, two of each port
#define N_OF_LINE 48u // messages, at most
// Bytes that the C library keeps of threads that have ended: as many as closed at one time.
#define THREADS_HEAP 8192u

static int fds_of[4]; // an eventfd, memory, shorter memory, a pipe's end

// An honest front-end's at another time, of any ring; one in five is changed.
static bool
say_anything(int socket)
{
	static const uint64_t words[] = {0, 1, 2, 7, 15, 16, 255, 256, 0x101, FRONT_RING_SIZE, FRONT_MEM_BYTES,
		FRONT_USER, FRONT_USER + FRONT_RING_BYTES, UINT64_C(1) << 62, UINT64_MAX, UINT64_C(1) << 32,
		F(VIRTIO_F_VERSION_1), F(VIRTIO_F_VERSION_1) | F(VHOST_USER_F_PROTOCOL_FEATURES),
		VHOST_USER_PROTOCOL_FEATURES};
	const struct front_message *m = &front_session[any(front_n_messages)];
	uint32_t header[3] = {m->request, any(2) * 8 + 1, m->n_bytes}, n_fds = m->n_fds, n = m->n_bytes, times = 1;
	uint8_t bytes[12 + 300] = {0};
	int fds[10];
	bool is_sent = true;

	memcpy(bytes + 12, m->word, sizeof(m->word));
	for (unsigned i = 0; i < RTE_DIM(fds); i++)
		fds[i] = fds_of[m->kind == FRONT_MEMORY];
	if (m->names_ring && any(2))
		bytes[12] = (uint8_t)any(2 * FRONT_PAIRS);
	switch (any(64)) {
	case 0:
		header[0] = any(2) ? any(41) : any(UINT32_MAX);
		break;
	case 1:
		header[1] = any(16);
		break;
	case 2:
		header[2] = n = any(300);
		break;
	case 3:
		header[2] = any(UINT32_MAX);
		break;
	case 4:
		n_fds = any(RTE_DIM(fds));
		break;
	case 5:
		fds[0] = fds_of[any(RTE_DIM(fds_of))];
		break;
	case 6:
		times = 2;
		break;
	case 7:
		n = any(1 + n);
		break;
	case 8 ... 11:
		memcpy(bytes + 12 + 8 * any(1 + n / 8), &words[any(RTE_DIM(words))], sizeof(words[0]));
		break;
	default:
		break;
	}
	memcpy(bytes, header, sizeof(header));
	for (uint32_t i = 0; is_sent && i < times; i++)
		is_sent = front_send(socket, bytes, 12 + n, fds, n_fds);
	return is_sent;
}

static void
read_all(int socket)
{
	uint8_t bytes[1024];

	while (recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

struct line {
	int socket;
	unsigned n_left; // messages to say
};

static void
open_line(struct line *line, struct port *p)
{
	UNTIL(p->n_opened - p->n_closed < GUEST_LOOP_LINKS);
	line->socket = connect_to(p);
	line->n_left = 1 + any(N_OF_LINE);
	if (!any(4))
		(void)front_start(line->socket, any(4));
}

// A message is counted that could be sent: the neighbour's answer comes behind what the loop does
// with those before it.
static void
attack(unsigned n_messages, int neighbour)
{
	struct line line[N_LINES];

	for (unsigned i = 0; i < N_LINES; i++)
		open_line(&line[i], &ports[1 + i / 2]);
	for (unsigned n = 0; n < n_messages;) {
		for (unsigned i = 0; i < N_LINES; i++) {
			if (line[i].n_left && say_anything(line[i].socket)) {
				line[i].n_left--;
				n++;
				if (any(4))
					read_all(line[i].socket);
				continue;
			}
			close(line[i].socket);
			open_line(&line[i], &ports[1 + i / 2]);
		}
		is_served(neighbour);
	}
	for (unsigned i = 0; i < N_LINES; i++)
		close(line[i].socket);
	for (unsigned i = 1; i < N_PORTS; i++)
		UNTIL(ports[i].n_opened == ports[i].n_closed);
	UNTIL(!front_n_maps());
}

static void
hostile_messages_leave_nothing_behind(void **state)
{
	int pipes[2], neighbour = connect_to(&ports[0]);
	unsigned n_fds;
	size_t n_heap;

	(void)state;
	random_state = (uint64_t)time(NULL) * 2654435761 | 1;
	print_message("seed %#lx\n", (unsigned long)random_state);
	assert_int_equal(pipe(pipes), 0);
	fds_of[0] = eventfd(0, EFD_NONBLOCK);
	fds_of[1] = front_memory(FRONT_MEM_BYTES);
	fds_of[2] = front_memory(100);
	fds_of[3] = pipes[1];
	rcu_pause(&rcu, 0);
	attack(N_HOSTILE / 50, neighbour);
	n_fds = front_n_fds();
	n_heap = mallinfo2().uordblks;
	attack(N_HOSTILE, neighbour);
	UNTIL(front_n_fds() <= n_fds);
	UNTIL(mallinfo2().uordblks <= n_heap + THREADS_HEAP);
	rcu_resume(&rcu, 0);
	for (unsigned i = 0; i < RTE_DIM(fds_of); i++)
		close(fds_of[i]);
	close(pipes[0]);
	close(neighbour);
}

static int
start(void **state)
{
	(void)state;
	return start_eal(63) || vhost_guard_start();
}

static int
stop(void **state)
{
	vhost_guard_stop();
	return stop_eal(state);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		CASE(a_front_end_comes_through_a_socket_that_listens),
		CASE(links_of_a_port_are_bounded),
		CASE(refreshed_port_hears_of_its_links),
		CASE(a_worker_that_does_not_end_its_turn_parks_one_link_only),
		CASE(a_parked_link_that_hangs_up_ends_with_the_turn),
		CASE(a_port_is_removed_while_its_link_is_parked),
		CASE(a_link_that_broke_a_rule_is_kept_until_the_turn_ends),
		CASE(workers_lose_rings_so_often_at_most),
		CASE(a_qemu_with_all_pairs_of_queues_starts_within_that_bound),
		CASE(a_front_end_whose_eventfd_makes_the_thread_wait_is_hung_up_on),
		CASE(hostile_messages_leave_nothing_behind),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
