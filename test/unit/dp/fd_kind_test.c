// The kind of a descriptor from a front-end. The smoke tests show that no check waits for a file
// system (a server of FUSE that does not answer).
#include "../unit.h"
#include "fd_kind.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void
each_kind_is_known(void **state)
{
	int pair[2], pipes[2], inet = socket(AF_INET, SOCK_DGRAM, 0);

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(pipe(pipes), 0);
	const struct {
		int fd;
		enum fd_kind kind;
	} cases[] = {
		{eventfd(0, 0), FD_EVENT},
		{eventfd(UINT32_MAX, EFD_NONBLOCK | EFD_SEMAPHORE), FD_EVENT},
		{memfd_create("a", 0), FD_MEMORY},
		{memfd_create("\neventfd-count: 0", MFD_ALLOW_SEALING), FD_MEMORY},
		{pair[0], FD_FOREIGN},
		{inet, FD_FOREIGN},
		{pipes[1], FD_FOREIGN},
		{open("/dev/null", O_RDWR), FD_FOREIGN},
		{open("/dev/zero", O_RDWR), FD_FOREIGN},
		{open("/proc/self/maps", O_RDONLY), FD_FOREIGN},
		{open("/", O_RDONLY | O_DIRECTORY), FD_FOREIGN},
		{open("/", O_PATH), FD_FOREIGN},
		{epoll_create1(0), FD_FOREIGN},
		{timerfd_create(CLOCK_MONOTONIC, 0), FD_FOREIGN},
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(cases[i].fd >= 0);
		if (fd_kind(cases[i].fd) != cases[i].kind)
			fail_msg("case %u is %s", i, fd_kind_names[fd_kind(cases[i].fd)]);
		close(cases[i].fd);
	}
	close(pair[1]);
	close(pipes[0]);
	assert_int_equal(fd_kind(-1), FD_FOREIGN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
