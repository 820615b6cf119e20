// The thread of connections with real sockets, ports made by hand, and a worker whose turns the
// test ends.
#include "base/rcu.h"
#include "base/tsan.h"
#include "eal_fixture.h"
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
#define N_PAIRS 8u
#define RING_BYTES 0x4000u // a ring's three parts
#define RING_SIZE 256u
#define MEM_BYTES (2 * N_PAIRS * RING_BYTES)
#define USER (UINT64_C(1) << 40) // of the memory in the front-end
#define WAIT_S 20
#ifdef RTVS_TSAN
#define N_HOSTILE 5000u
#else
#define N_HOSTILE 100000u
#endif

struct port {
	struct guest_port served;
	struct guest_io io;
	struct guest_link *has;
	_Atomic unsigned n_opened, n_closed, n_hidden, n_faults;
	_Atomic bool refuses;
	char why[120];
};

static struct rcu rcu;
static struct guest_loop *loop;
static struct port ports[2];

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
prepare(void *arg, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	(void)arg;
	(void)ring;
	(void)cfg;
	(void)is_first;
}

// What the process has of front-ends.
struct left {
	unsigned n_fds, n_maps;
};

static struct left
count_left(void)
{
	struct left left = {0};
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");

	for (int fd = 0; fd < 1024; fd++)
		left.n_fds += fcntl(fd, F_GETFD) >= 0 && fd != fileno(maps);
	while (fgets(line, sizeof(line), maps))
		left.n_maps += strstr(line, "memfd:guest") != NULL;
	fclose(maps);
	return left;
}

static struct left before;

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
	struct left now = count_left();

	return now.n_fds == before.n_fds && !now.n_maps;
}

static int
begin(void **state)
{
	(void)state;
	memset(ports, 0, sizeof(ports));
	for (unsigned i = 0; i < 2; i++) {
		ports[i].io.signal = vhost_guard_notify;
		ports[i].served = (struct guest_port){.client.fault = fault,
			.serial = i + 1,
			.features = F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_RING_PACKED),
			.create = vhost_link_create,
			.n_pairs = N_PAIRS,
			.may_connect = may_connect,
			.opened = opened,
			.changed = changed,
			.closed = closed,
			.announce = announce,
			.prepare = prepare};
	}
	before = count_left();
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
	for (unsigned i = 0; i < 2; i++) {
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

// False: the loop hung up.
static bool
send_raw(int socket, const void *bytes, size_t n, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(16 * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (n_fds) {
		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
		CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
		CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n_fds * sizeof(int));
	}
	return sendmsg(socket, &msg, MSG_NOSIGNAL) == (ssize_t)n;
}

static bool
say(int socket, uint32_t request, const void *payload, uint32_t n, int fd)
{
	uint8_t bytes[512];

	memcpy(bytes, (const uint32_t[]){request, 1, n}, 12);
	if (n)
		memcpy(bytes + 12, payload, n);
	return send_raw(socket, bytes, 12 + n, &fd, fd >= 0);
}

static bool
say_state(int socket, uint32_t request, uint32_t ring, uint32_t value)
{
	return say(socket, request, (const uint32_t[]){ring, value}, 8, -1);
}

static bool
say_u64(int socket, uint32_t request, uint64_t value, int fd)
{
	return say(socket, request, &value, sizeof(value), fd);
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
	assert_true(say(socket, 1, NULL, 0, -1));
	get_answer(socket, 1);
}

static bool
say_memory(int socket)
{
	const uint64_t table[] = {1, 0, MEM_BYTES, USER, 0};
	int fd = memfd_create("guest", MFD_CLOEXEC);
	bool is_sent;

	assert_int_equal(ftruncate(fd, MEM_BYTES), 0);
	is_sent = say(socket, 5, table, sizeof(table), fd);
	close(fd);
	return is_sent;
}

static bool
say_event(int socket, uint32_t request, uint32_t ring)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bool is_sent = say_u64(socket, request, ring, fd);

	close(fd);
	return is_sent;
}

static bool
say_addr(int socket, uint32_t ring)
{
	const uint64_t at = USER + ring * RING_BYTES, addr[] = {ring, at, at + 0x3000, at + 0x2000, 0};

	return say(socket, 9, addr, sizeof(addr), -1);
}

static bool
start_guest(int socket, unsigned n_rings)
{
	bool is_sent =
		say_u64(socket, 2, F(VIRTIO_F_VERSION_1) | F(VHOST_USER_F_PROTOCOL_FEATURES), -1) && say_memory(socket);

	for (uint32_t i = 0; is_sent && i < n_rings; i++)
		is_sent = say_state(socket, 8, i, RING_SIZE) && say_state(socket, 10, i, 0) && say_addr(socket, i) &&
			say_event(socket, 13, i) && say_event(socket, 12, i) && say_state(socket, 18, i, 1);
	return is_sent;
}

static int
connect_guest(struct port *p)
{
	int socket = connect_to(p);

	assert_true(start_guest(socket, 2));
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

	assert_true(say_memory(line));
	assert_true(say(line, 1, NULL, 0, -1));
	UNTIL(!atomic_load(&p->io.queue[1]));
	for (unsigned i = 0; i < 1000; i++)
		is_served(neighbour);
	assert_false(has_answer(line));
	assert_int_equal(count_left().n_maps, 1);
	return line;
}

static void
a_worker_that_does_not_end_its_turn_parks_one_link_only(void **state)
{
	int neighbour = connect_to(&ports[1]), line = park(&ports[0], neighbour);

	(void)state;
	rcu_quiescent(&rcu, 0);
	get_answer(line, 1);
	UNTIL(ports[0].io.queue[1]);
	UNTIL(count_left().n_maps == 1); // the new table: another thread unmaps the former one
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
	assert_int_equal(count_left().n_maps, 1);
	rcu_quiescent(&rcu, 0);
	UNTIL(ports[0].n_closed == 1);
	rcu_pause(&rcu, 0);
	UNTIL(!count_left().n_maps);
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
	assert_int_equal(count_left().n_maps, 1);
	rcu_quiescent(&rcu, 0);
	pthread_join(thread, NULL);
	UNTIL(!count_left().n_maps);
	is_served(neighbour);
	close(line);
	close(neighbour);
}

static void
a_link_that_broke_a_rule_is_kept_until_the_turn_ends(void **state)
{
	int line = connect_guest(&ports[0]);

	(void)state;
	assert_true(say_u64(line, 16, UINT64_MAX, -1));
	UNTIL(ports[0].n_closed == 1);
	assert_string_equal(ports[0].why, "protocol features that were not offered");
	assert_null(ports[0].io.queue[1]);
	assert_int_equal(count_left().n_maps, 1);
	rcu_quiescent(&rcu, 0);
	UNTIL(!count_left().n_maps);
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
		assert_true(say_state(line, 18, 0, 0));
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
	for (uint32_t i = 2; i < 2 * N_PAIRS; i++) {
		if (i % 2 == 0) {
			say_u64(line, 2, F(VIRTIO_F_VERSION_1) | F(VHOST_USER_F_PROTOCOL_FEATURES), -1);
			is_served(line);
		}
		for (unsigned k = 0; k < 6; k++) {
			assert_true(k == 0     ? say_state(line, 8, i, RING_SIZE) :
					k == 1 ? say_state(line, 10, i, 0) :
					k == 2 ? say_addr(line, i) :
					k == 3 ? say_event(line, 12, i) :
					k == 4 ? say_event(line, 13, i) :
						 say_state(line, 18, i, 1));
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
	assert_true(say_u64(line, 13, 0, full));
	is_served(line);
	assert_int_equal(eventfd_write(full, UINT64_MAX - 1 - 1), 0);
	assert_int_equal(fcntl(full, F_SETFL, 0), 0);
	assert_true(say_event(line, 12, 0)); // the ring starts anew, which its driver is told
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

static int kinds[4]; // an eventfd, memory, shorter memory, a pipe's end

// Right in most respects, so that it gets beyond the first check.
static bool
say_anything(int socket)
{
	static const uint16_t n_payload[] = {0, 0, 8, 0, 0, 40, 16, 0, 8, 40, 8, 8, 8, 8, 8, 0, 8, 0, 8, 8, 8};
	static const uint64_t words[] = {0, 1, 2, 7, 15, 16, 255, 256, 0x101, RING_SIZE, MEM_BYTES, USER,
		USER + RING_BYTES, UINT64_C(1) << 62, UINT64_MAX, UINT64_C(1) << 32, F(VIRTIO_F_VERSION_1),
		F(VIRTIO_F_VERSION_1) | F(VHOST_USER_F_PROTOCOL_FEATURES), VHOST_USER_PROTOCOL_FEATURES};
	uint32_t request = any(30) ? any(41) : any(UINT32_MAX), n, n_fds, times = any(20) ? 1 : 2;
	uint8_t bytes[12 + 300];
	int fds[10];
	bool is_sent = true;

	n = request < RTE_DIM(n_payload)       ? n_payload[request] :
		request == 37 || request == 38 ? 40 :
		request == 39		       ? 8 :
						 0;
	if (!any(20))
		n = any(300);
	memcpy(bytes, (const uint32_t[]){request, any(30) ? any(2) * 8 + 1 : any(16), any(40) ? n : any(UINT32_MAX)},
		12);
	for (uint32_t i = 0; i < n; i += 4) {
		uint64_t word = words[any(RTE_DIM(words))];

		memcpy(bytes + 12 + i, &word, RTE_MIN(n - i, sizeof(word)));
	}
	n_fds = request == 5 || request == 6 || request == 7 || request == 37 || (request >= 12 && request <= 14);
	if (!any(20))
		n_fds = any(10);
	for (uint32_t i = 0; i < n_fds; i++)
		fds[i] = kinds[any(50) ? !(request == 7 || (request >= 12 && request <= 14)) : any(4)];
	for (uint32_t i = 0; is_sent && i < times; i++)
		is_sent = send_raw(socket, bytes, any(50) ? 12 + n : 1 + any(12 + n), fds, n_fds);
	return is_sent;
}

static void
read_all(int socket)
{
	uint8_t bytes[1024];

	while (recv(socket, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
}

static void
attack(struct port *p, unsigned n_messages)
{
	for (unsigned n = 0; n < n_messages;) {
		unsigned n_here = 1 + any(GUEST_LOOP_CHANGES / 2);
		int line = connect_to(p);
		bool is_up = any(4) || start_guest(line, any(2 * N_PAIRS + 1));

		for (unsigned i = 0; is_up && i < n_here; i++, n++) {
			is_up = say_anything(line);
			if (any(4))
				read_all(line);
		}
		n += !is_up;
		close(line);
		UNTIL(p->n_opened == p->n_closed);
	}
	UNTIL(!count_left().n_maps);
}

static void
hostile_messages_leave_nothing_behind(void **state)
{
	int pipes[2], neighbour = connect_to(&ports[1]);
	struct left first, last;
	size_t n_heap;

	(void)state;
	random_state = (uint64_t)time(NULL) * 2654435761 | 1;
	print_message("seed %#lx\n", (unsigned long)random_state);
	assert_int_equal(pipe(pipes), 0);
	kinds[0] = eventfd(0, EFD_NONBLOCK);
	kinds[1] = memfd_create("guest", 0);
	kinds[2] = memfd_create("guest", 0);
	kinds[3] = pipes[1];
	assert_int_equal(ftruncate(kinds[1], MEM_BYTES), 0);
	assert_int_equal(ftruncate(kinds[2], 100), 0);
	rcu_pause(&rcu, 0);
	attack(&ports[0], N_HOSTILE / 50);
	first = count_left();
	n_heap = mallinfo2().uordblks;
	for (unsigned i = 0; i < 10; i++) {
		attack(&ports[0], N_HOSTILE / 10);
		is_served(neighbour);
	}
	UNTIL((last = count_left()).n_fds <= first.n_fds);
	// Less than a byte for ten messages: threads that end keep some of their own.
	assert_true(mallinfo2().uordblks <= n_heap + N_HOSTILE / 10);
	rcu_resume(&rcu, 0);
	for (unsigned i = 0; i < 4; i++)
		close(kinds[i]);
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
