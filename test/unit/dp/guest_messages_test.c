// Each message of a front-end cut at each byte, said twice, and with descriptors that are wrong,
// missing or too many, through a socket. Whatever ends the connection, nothing is left of it.
#include "eal_fixture.h"
#include "front_end.h"
#include "io/vhost_link.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static struct {
	struct guest_io io;
	struct guest_link *link;
	int socket;
	bool has_foreign; // a descriptor that was closed
} w;

static unsigned n_fds_before;
static int event, memory;

static void
prepare(void *arg, const struct guest_link *link, unsigned ring, struct guest_ring_cfg *cfg, bool is_first)
{
	(void)arg;
	(void)link;
	(void)ring;
	(void)cfg;
	(void)is_first;
}

static void
announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	(void)mac;
}

static void
close_now(void *arg, int fd, bool is_foreign)
{
	(void)arg;
	w.has_foreign |= is_foreign;
	assert_int_equal(close(fd), 0);
}

static void
unmap_now(void *arg, void *at, size_t n_bytes)
{
	(void)arg;
	assert_int_equal(munmap(at, n_bytes), 0);
}

static bool
signal_now(int fd, unsigned owner)
{
	(void)owner;
	return eventfd_write(fd, 1) == 0;
}

static void
begin(void)
{
	struct guest_link_cfg cfg = {.features = UINT64_C(1) << VIRTIO_F_VERSION_1,
		.n_pairs = FRONT_PAIRS,
		.announce = announce,
		.prepare = prepare,
		.close = close_now,
		.unmap = unmap_now};
	int pair[2];

	n_fds_before = front_n_fds();
	memset(&w, 0, sizeof(w));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	w.io.signal = signal_now;
	w.socket = pair[0];
	cfg.fd = pair[1];
	w.link = vhost_link_create(&cfg);
	assert_non_null(w.link);
}

static void
end(void)
{
	guest_link_hide(w.link);
	guest_link_destroy(w.link);
	close(w.socket);
	assert_int_equal(front_n_fds(), n_fds_before);
}

static int
no_mapping_is_left(void **state)
{
	(void)state;
	return (int)front_n_maps();
}

// As the thread of a link does it.
static int
serve(void)
{
	uint8_t replies[1024];
	int rc = guest_link_read(w.link);

	if (rc == -EBUSY) {
		guest_link_hide(w.link);
		rc = guest_link_read(w.link);
	}
	if (!rc)
		guest_link_show(w.link, &w.io);
	(void)!recv(w.socket, replies, sizeof(replies), MSG_DONTWAIT);
	return rc;
}

// Its first n bytes, with n_fds of fds at the first of them.
static void
send_part(const struct front_message *m, uint32_t n, const int *fds, unsigned n_fds)
{
	uint8_t bytes[12 + sizeof(m->word)];

	memcpy(bytes, (const uint32_t[]){m->request, 1, m->n_bytes}, 12);
	memcpy(bytes + 12, m->word, sizeof(m->word));
	assert_true(front_send(w.socket, bytes, n, fds, n_fds));
}

// With n_fds of its own kind.
static int
say_with(const struct front_message *m, unsigned n_fds)
{
	int fds[FRONT_FDS];

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = m->kind == FRONT_MEMORY ? memory : event;
	send_part(m, 12 + m->n_bytes, fds, n_fds);
	return serve();
}

static int
say(const struct front_message *m)
{
	return say_with(m, m->n_fds);
}

// All that an honest front-end says before.
static void
begin_before(const struct front_message *m)
{
	begin();
	for (const struct front_message *former = front_session; former < m; former++)
		if (say(former))
			fail_msg("request %u: %s", former->request, guest_link_why(w.link));
}

static void
each_message(void (*try)(const struct front_message *m))
{
	for (unsigned i = 0; i < front_n_messages; i++)
		try(&front_session[i]);
}

static void
an_honest_front_end_is_served_to_its_end(void **state)
{
	(void)state;
	begin_before(&front_session[front_n_messages]);
	assert_int_equal(guest_link_running(w.link), 0);
	end();
}

static void
cut(const struct front_message *m)
{
	int fds[2] = {m->kind == FRONT_MEMORY ? memory : event, memory};

	for (uint32_t n = 1; n < 12 + m->n_bytes; n++) {
		begin_before(m);
		send_part(m, n, fds, m->n_fds);
		assert_int_equal(serve(), 0);
		shutdown(w.socket, SHUT_WR);
		assert_int_equal(serve(), -ECONNRESET);
		end();
	}
}

static void
a_message_may_be_cut_at_each_byte(void **state)
{
	(void)state;
	each_message(cut);
}

// The rest of the session follows.
static void
say_twice(const struct front_message *twice)
{
	// A region that is there, or is none any more.
	bool is_refused = twice->request == 37 || twice->request == 38;
	int rc = 0;

	begin();
	for (unsigned i = 0; !rc && i < front_n_messages; i++)
		rc = say(&front_session[i]) || (&front_session[i] == twice && say(twice));
	if (!!rc != is_refused)
		fail_msg("request %u: %s", twice->request, guest_link_why(w.link));
	end();
}

static void
a_message_may_be_said_twice(void **state)
{
	(void)state;
	each_message(say_twice);
}

static void
count(const struct front_message *m)
{
	static const unsigned numbers[] = {0, 1, 2, 3, 8, 9, FRONT_FDS};

	for (unsigned i = 0; i < RTE_DIM(numbers); i++) {
		bool is_right = numbers[i] == m->n_fds || (m->request == 38 && !numbers[i]);

		begin_before(m);
		if (say_with(m, numbers[i]) != (is_right ? 0 : -EPROTO))
			fail_msg("request %u with %u: %s", m->request, numbers[i], guest_link_why(w.link));
		end();
	}
}

static void
a_message_has_as_many_descriptors_as_it_should(void **state)
{
	(void)state;
	each_message(count);
}

// CVE-2022-0669 is of this kind: descriptors beyond those that a back end looked for stayed open.
static void
descriptors_that_come_one_by_one_are_too_many_together(void **state)
{
	uint8_t bytes[12] = {5, [4] = 1, [8] = 72};

	(void)state;
	begin();
	for (unsigned i = 0; i < 8; i++) {
		assert_true(front_send(w.socket, &bytes[i], 1, &memory, 1));
		assert_int_equal(serve(), 0);
	}
	assert_true(front_send(w.socket, &bytes[8], 1, &memory, 1));
	assert_int_equal(serve(), -EPROTO);
	assert_string_equal(guest_link_why(w.link), "more descriptors than any message has");
	end();
}

// Descriptors of any kind.

static int
open_again(int of, int flags)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", of);
	return open(path, flags | O_CLOEXEC);
}

static int
sealed(int seals)
{
	int fd = front_memory(FRONT_MEM_BYTES);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static int
end_of_pipe(unsigned i)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	close(ends[!i]);
	return ends[i];
}

enum is {
	FOREIGN, // to any message
	EVENT,
	MEMORY,
	NO_MEMORY, // it cannot be mapped as it should
};

static const char *const kinds[] = {"an eventfd", "one that counts down", "memory", "memory that keeps its size",
	"memory that is too short", "memory that is not written any more", "memory to read", "memory to look at",
	"a directory", "the end of a pipe", "the beginning of a pipe", "/dev/null", "/dev/zero", "a socket",
	"the connection's other end", "an epoll", "a timer", "a signalfd", "a path to memory", "a file of /proc"};

static int
open_kind(unsigned kind, enum is *ret_is)
{
	sigset_t none;

	*ret_is = kind < 2 ? EVENT : kind < 4 ? MEMORY : kind < 8 ? NO_MEMORY : FOREIGN;
	switch (kind) {
	case 0:
		return eventfd(0, EFD_CLOEXEC);
	case 1:
		return eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
	case 2:
		return front_memory(FRONT_MEM_BYTES);
	case 3:
		return sealed(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	case 4:
		return front_memory(4095);
	case 5:
		return sealed(F_SEAL_WRITE);
	case 6:
		return open_again(memory, O_RDONLY);
	case 7:
		return sealed(F_SEAL_FUTURE_WRITE);
	case 8:
		return open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	case 9:
	case 10:
		return end_of_pipe(kind == 10);
	case 11:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 12:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 13:
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	case 14:
		return fcntl(w.socket, F_DUPFD_CLOEXEC, 0);
	case 15:
		return epoll_create1(EPOLL_CLOEXEC);
	case 16:
		return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	case 17:
		sigemptyset(&none);
		return signalfd(-1, &none, SFD_CLOEXEC);
	case 18:
		return open_again(memory, O_PATH);
	default:
		return open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	}
}

static bool
is_right(const struct front_message *m, enum is is)
{
	if (m->request == 38 && is == NO_MEMORY) // which is closed as it came
		return true;
	return is == (m->kind == FRONT_MEMORY ? MEMORY : EVENT);
}

// As its last descriptor.
static void
try_kinds(const struct front_message *m)
{
	for (unsigned i = 0; m->n_fds && i < RTE_DIM(kinds); i++) {
		int fds[2] = {memory, memory}, *last = &fds[m->n_fds - 1], rc;
		enum is is;

		begin_before(m);
		*last = open_kind(i, &is);
		assert_true(*last >= 0);
		send_part(m, 12 + m->n_bytes, fds, m->n_fds);
		close(*last);
		rc = serve();
		if (rc != (is_right(m, is) ? 0 : -EPROTO))
			fail_msg("request %u with %s: %d, %s", m->request, kinds[i], rc, guest_link_why(w.link));
		assert_int_equal(w.has_foreign, is == FOREIGN);
		end();
	}
}

static void
a_descriptor_is_of_its_messages_kind(void **state)
{
	(void)state;
	each_message(try_kinds);
}

static int
start(void **state)
{
	(void)state;
	event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	memory = front_memory(FRONT_MEM_BYTES);
	return start_eal(63);
}

static int
stop(void **state)
{
	close(event);
	close(memory);
	return stop_eal(state);
}

int
main(void)
{
#define CASE(name) cmocka_unit_test_teardown(name, no_mapping_is_left)
	const struct CMUnitTest tests[] = {
		CASE(an_honest_front_end_is_served_to_its_end),
		CASE(a_message_may_be_cut_at_each_byte),
		CASE(a_message_may_be_said_twice),
		CASE(a_message_has_as_many_descriptors_as_it_should),
		CASE(descriptors_that_come_one_by_one_are_too_many_together),
		CASE(a_descriptor_is_of_its_messages_kind),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
