#include "front_end.h"

#include "../unit.h"
#include "rtvs/vhost_user.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define FEATURES (UINT64_C(1) << VIRTIO_F_VERSION_1 | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES)
#define SLOT ((uint64_t)2 * FRONT_MEM_BYTES) // guest address of memory that is plugged
#define AT(ring) (FRONT_USER + (ring) * FRONT_RING_BYTES)
#define ENABLED (UINT64_C(1) << 32)
// clang-format off
#define EVENTS(n) .n_fds = (n), .kind = FRONT_EVENT
#define FILES(n) .n_fds = (n), .kind = FRONT_MEMORY
#define RING(i) \
	{13, 8, {i}, EVENTS(1), .names_ring = true}, \
	{14, 8, {i}, EVENTS(1), .names_ring = true}, \
	{8, 8, {(i) | (uint64_t)FRONT_RING_SIZE << 32}, .names_ring = true}, \
	{10, 8, {i}, .names_ring = true}, \
	{9, 40, {i, AT(i), AT(i) + 0x3000, AT(i) + 0x2000}, .names_ring = true}, \
	{12, 8, {i}, EVENTS(1), .names_ring = true}, \
	{18, 8, {(i) | ENABLED}, .names_ring = true}

const struct front_message front_session[] = {
	{1}, {15},
	{16, 8, {VHOST_USER_PROTOCOL_FEATURES}},
	{3},
	{2, 8, {FEATURES}},
	{17}, {36},
	{5, 72, {2, 0, FRONT_MEM_BYTES, FRONT_USER, 0, FRONT_MEM_BYTES, 4096, FRONT_USER + FRONT_MEM_BYTES, 0}, FILES(2)},
	RING(0), RING(1), RING(2),
	{39, 8, {15}}, {40},
	{20, 8, {1500}},
	{37, 40, {0, SLOT, 4096, FRONT_USER + SLOT, 0}, FILES(1)},
	{6, 16, {4096, 0}, FILES(1)},
	{7, .n_fds = 1, .kind = FRONT_EVENT},
	{2, 8, {FEATURES | UINT64_C(1) << VHOST_USER_F_LOG_ALL}},
	{19, 8, {UINT64_C(0x060504030201)}},
	{18, 8, {2}, .names_ring = true},
	{38, 40, {0, SLOT, 4096, FRONT_USER + SLOT, 0}, FILES(1)},
	{11, 8, {2}, .names_ring = true},
	{11, 8, {1}, .names_ring = true},
	{34}, {4},
};
// clang-format on
const unsigned front_n_messages = sizeof(front_session) / sizeof(front_session[0]);

bool
front_send(int socket, const void *bytes, size_t n, const int *fds, unsigned n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(FRONT_FDS * sizeof(int))];
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

bool
front_say(int socket, uint32_t request, const void *payload, uint32_t n, int fd)
{
	uint8_t bytes[512];

	memcpy(bytes, (const uint32_t[]){request, 1, n}, VHOST_USER_HEADER);
	if (n)
		memcpy(bytes + VHOST_USER_HEADER, payload, n);
	return front_send(socket, bytes, VHOST_USER_HEADER + n, &fd, fd >= 0);
}

bool
front_say_state(int socket, uint32_t request, uint32_t ring, uint32_t value)
{
	return front_say(socket, request, (const uint32_t[]){ring, value}, 8, -1);
}

bool
front_say_u64(int socket, uint32_t request, uint64_t value, int fd)
{
	return front_say(socket, request, &value, sizeof(value), fd);
}

int
front_memory(size_t n_bytes)
{
	int fd = memfd_create(FRONT_FILE, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n_bytes), 0);
	return fd;
}

bool
front_say_memory(int socket)
{
	const uint64_t table[] = {1, 0, FRONT_MEM_BYTES, FRONT_USER, 0};
	int fd = front_memory(FRONT_MEM_BYTES);
	bool is_sent = front_say(socket, 5, table, sizeof(table), fd);

	close(fd);
	return is_sent;
}

bool
front_say_event(int socket, uint32_t request, uint32_t ring)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bool is_sent = front_say_u64(socket, request, ring, fd);

	close(fd);
	return is_sent;
}

bool
front_say_addr(int socket, uint32_t ring)
{
	const uint64_t addr[] = {ring, AT(ring), AT(ring) + 0x3000, AT(ring) + 0x2000, 0};

	return front_say(socket, 9, addr, sizeof(addr), -1);
}

bool
front_start(int socket, unsigned n_rings)
{
	bool is_sent = front_say_u64(socket, 2, FEATURES, -1) && front_say_memory(socket);

	for (uint32_t i = 0; is_sent && i < n_rings; i++)
		is_sent = front_say_state(socket, 8, i, FRONT_RING_SIZE) && front_say_state(socket, 10, i, 0) &&
			front_say_addr(socket, i) && front_say_event(socket, 13, i) && front_say_event(socket, 12, i) &&
			front_say_state(socket, 18, i, 1);
	return is_sent;
}

unsigned
front_n_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

unsigned
front_n_maps(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned n = 0;

	while (fgets(line, sizeof(line), maps))
		n += strstr(line, "memfd:" FRONT_FILE) != NULL;
	fclose(maps);
	return n;
}
