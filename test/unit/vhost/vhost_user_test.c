// A front-end's messages: those that QEMU sends to start, stop, migrate and hot-plug do what they
// ask for; every other one ends the connection, and whatever ends it, each descriptor is closed
// once and each mapping undone once. Descriptors and mappings are a fake's numbers here.
#include "../unit.h"
#include "rtvs/random.h"
#include "rtvs/vhost_user.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>

#define F(bit) (UINT64_C(1) << (bit))
#define FEATURES                                                                                                    \
	(F(VIRTIO_F_VERSION_1) | F(VIRTIO_NET_F_MRG_RXBUF) | F(VIRTIO_RING_F_EVENT_IDX) | F(VIRTIO_F_RING_PACKED) | \
		F(VIRTIO_RING_F_INDIRECT_DESC))
#define TRANSPORT (F(VHOST_USER_F_PROTOCOL_FEATURES) | F(VHOST_USER_F_LOG_ALL))
#define NEED_REPLY 9u
#define MAX_OPEN 4096
#define MAX_MAPS 1024
#define USER (UINT64_C(1) << 46) // where the guest's memory begins in the front-end

enum request {
	GET_FEATURES = 1,
	SET_FEATURES,
	SET_OWNER,
	RESET_OWNER,
	SET_MEM_TABLE,
	SET_LOG_BASE,
	SET_LOG_FD,
	SET_VRING_NUM,
	SET_VRING_ADDR,
	SET_VRING_BASE,
	GET_VRING_BASE,
	SET_VRING_KICK,
	SET_VRING_CALL,
	SET_VRING_ERR,
	GET_PROTOCOL_FEATURES,
	SET_PROTOCOL_FEATURES,
	GET_QUEUE_NUM,
	SET_VRING_ENABLE,
	SEND_RARP,
	NET_SET_MTU,
	SET_BACKEND_REQ_FD,
	IOTLB_MSG,
	RESET_DEVICE = 34,
	GET_MAX_MEM_SLOTS = 36,
	ADD_MEM_REG,
	REM_MEM_REG,
	SET_STATUS,
	GET_STATUS,
};

struct region {
	uint64_t guest, n_bytes, user, offset;
};

// The state of the session's caller: open descriptors, mappings, running rings.
static struct fake {
	bool is_open[MAX_OPEN];
	int next_fd, n_open, fail_fd; // mapping fail_fd fails
	struct {
		uint8_t *host;
		uint64_t n_bytes;
	} map[MAX_MAPS];
	unsigned n_maps;
	struct {
		bool is_running, is_enabled;
		int kick, call;
		struct guest_ring_cfg cfg;
		unsigned n_starts;
	} ring[VHOST_USER_MAX_RINGS];
	uint8_t mac[6];
	uint64_t mtu;
	uint8_t status;
} fake;

static struct vhost_user user;
static _Alignas(4096) uint8_t memory[1 << 20];

static int
open_fd(void)
{
	while (fake.is_open[fake.next_fd % MAX_OPEN])
		fake.next_fd++;
	fake.is_open[fake.next_fd % MAX_OPEN] = true;
	fake.n_open++;
	return fake.next_fd++ % MAX_OPEN;
}

static void
fake_close(void *arg, int fd)
{
	(void)arg;
	assert_true(fd >= 0 && fake.is_open[fd]);
	fake.is_open[fd] = false;
	fake.n_open--;
}

static void
assert_nothing_runs(void)
{
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		assert_false(fake.ring[i].is_running);
}

static int
fake_map(void *arg, int fd, uint64_t offset, uint64_t n_bytes, uint8_t **ret_host)
{
	fake_close(arg, fd);
	if (fd == fake.fail_fd || fake.n_maps == MAX_MAPS)
		return -ENOMEM;
	*ret_host = memory + offset % sizeof(memory);
	fake.map[fake.n_maps].host = *ret_host;
	fake.map[fake.n_maps++].n_bytes = n_bytes;
	return 0;
}

static void
fake_unmap(void *arg, uint8_t *host, uint64_t n_bytes)
{
	unsigned i = 0;

	(void)arg;
	assert_nothing_runs();
	while (i < fake.n_maps && (fake.map[i].host != host || fake.map[i].n_bytes != n_bytes))
		i++;
	assert_true(i < fake.n_maps);
	fake.map[i] = fake.map[--fake.n_maps];
}

static int
fake_start(void *arg, unsigned ring, const struct guest_ring_cfg *cfg, int kick)
{
	(void)arg;
	assert_false(fake.ring[ring].is_running);
	assert_true(kick < 0 || fake.is_open[kick]);
	fake.ring[ring].is_running = true;
	fake.ring[ring].kick = kick;
	fake.ring[ring].cfg = *cfg;
	fake.ring[ring].n_starts++;
	return 0;
}

static void
fake_stop(void *arg, unsigned ring, struct guest_ring_pos *ret_pos)
{
	(void)arg;
	assert_true(fake.ring[ring].is_running);
	fake.ring[ring].is_running = false;
	*ret_pos = fake.ring[ring].cfg.pos;
}

static void
fake_enable(void *arg, unsigned ring, bool is_enabled)
{
	(void)arg;
	fake.ring[ring].is_enabled = is_enabled;
}

static void
fake_set_call(void *arg, unsigned ring, int fd)
{
	if (fake.ring[ring].call >= 0)
		fake_close(arg, fake.ring[ring].call);
	fake.ring[ring].call = fd;
}

static void
fake_announce(void *arg, const uint8_t mac[6])
{
	(void)arg;
	memcpy(fake.mac, mac, 6);
}

static int
fake_set_mtu(void *arg, uint64_t mtu)
{
	(void)arg;
	fake.mtu = mtu;
	return mtu < 68 ? -ERANGE : 0;
}

static void
fake_set_status(void *arg, uint8_t status)
{
	(void)arg;
	fake.status = status;
}

static const struct vhost_user_ops ops = {
	.map = fake_map,
	.unmap = fake_unmap,
	.close = fake_close,
	.start = fake_start,
	.stop = fake_stop,
	.enable = fake_enable,
	.set_call = fake_set_call,
	.announce = fake_announce,
	.set_mtu = fake_set_mtu,
	.set_status = fake_set_status,
};

static int
begin(void **state)
{
	struct vhost_user_cfg cfg = {.ops = &ops, .features = FEATURES, .n_pairs = 2};

	(void)state;
	memset(&fake, 0, sizeof(fake));
	fake.fail_fd = -1;
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++)
		fake.ring[i].call = -1;
	assert_int_equal(vhost_user_init(&user, &cfg), 0);
	return 0;
}

// In any case nothing is left.
static int
end(void **state)
{
	(void)state;
	vhost_user_fini(&user);
	assert_int_equal(fake.n_open, 0);
	assert_int_equal(fake.n_maps, 0);
	assert_nothing_runs();
	return 0;
}

// Handles the message, once it is whole.
static int
receive(const void *bytes, size_t n, const int *fds, unsigned n_fds)
{
	int rc = vhost_user_receive(&user, bytes, n, fds, n_fds);

	return rc || vhost_user_next(&user) == VHOST_USER_PART ? rc : vhost_user_handle(&user);
}

static int
say(uint32_t request, uint32_t flags, const void *payload, uint32_t n, unsigned n_fds)
{
	uint32_t header[3] = {request, flags, n};
	int fds[64], rc;

	for (unsigned i = 0; i < n_fds; i++)
		fds[i] = open_fd();
	assert_int_equal(vhost_user_wants(&user), sizeof(header));
	rc = receive(header, sizeof(header), fds, n_fds);
	if (rc || !n)
		return rc;
	assert_int_equal(vhost_user_wants(&user), n);
	return receive(payload, n, NULL, 0);
}

static int
say_u64(uint32_t request, uint64_t value, unsigned n_fds)
{
	return say(request, 1, &value, sizeof(value), n_fds);
}

static int
say_state(uint32_t request, uint32_t ring, uint32_t value)
{
	uint32_t state[2] = {ring, value};

	return say(request, 1, state, sizeof(state), 0);
}

// The reply that waits is to this request and has this payload.
static void
expect_reply(uint32_t request, const void *payload, uint32_t n)
{
	uint32_t header[3];

	assert_int_equal(user.n_out, sizeof(header) + n);
	memcpy(header, user.out, sizeof(header));
	assert_int_equal(header[0], request);
	assert_int_equal(header[1], 5);
	assert_int_equal(header[2], n);
	if (n)
		assert_memory_equal(user.out + sizeof(header), payload, n);
	vhost_user_sent(&user, user.n_out);
}

static void
expect_u64(uint32_t request, uint64_t value)
{
	expect_reply(request, &value, sizeof(value));
}

static int
say_addr(uint32_t ring, uint64_t at)
{
	struct {
		uint32_t ring, flags;
		uint64_t desc, device, driver, log;
	} addr = {ring, 0, USER + at, USER + at + 0x2000, USER + at + 0x1000, 0};

	return say(SET_VRING_ADDR, 1, &addr, sizeof(addr), 0);
}

static int
say_table(uint32_t n, const struct region *region, unsigned n_fds)
{
	struct {
		uint32_t n, unused;
		struct region region[9];
	} table = {.n = n};

	memcpy(table.region, region, n * sizeof(*region));
	return say(SET_MEM_TABLE, 1, &table, 8 + n * (uint32_t)sizeof(*region), n_fds);
}

static const struct region all = {0, sizeof(memory), USER, 0};

static void
negotiate(uint64_t features)
{
	assert_int_equal(say(GET_FEATURES, 1, NULL, 0, 0), 0);
	expect_u64(GET_FEATURES, FEATURES | TRANSPORT);
	assert_int_equal(say(GET_PROTOCOL_FEATURES, 1, NULL, 0, 0), 0);
	expect_u64(GET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_FEATURES);
	assert_int_equal(say_u64(SET_PROTOCOL_FEATURES, VHOST_USER_PROTOCOL_FEATURES, 0), 0);
	assert_int_equal(say(SET_OWNER, 1, NULL, 0, 0), 0);
	assert_int_equal(say_u64(SET_FEATURES, features, 0), 0);
	assert_int_equal(say_table(1, &all, 1), 0);
}

// As QEMU does. The kick comes last.
static void
start(uint32_t ring, uint32_t base)
{
	assert_int_equal(say_u64(SET_VRING_CALL, ring, 1), 0);
	assert_int_equal(say_state(SET_VRING_NUM, ring, 256), 0);
	assert_int_equal(say_state(SET_VRING_BASE, ring, base), 0);
	assert_int_equal(say_addr(ring, ring * 0x10000), 0);
	assert_false(fake.ring[ring].is_running);
	assert_int_equal(say_u64(SET_VRING_KICK, ring, 1), 0);
	assert_true(fake.ring[ring].is_running);
}

static void
a_front_end_starts_and_stops_its_rings(void **state)
{
	uint32_t answer[2] = {1, 77};

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1) | F(VIRTIO_RING_F_EVENT_IDX));
	for (uint32_t ring = 0; ring < 4; ring++) {
		start(ring, 77);
		assert_false(fake.ring[ring].is_enabled);
		assert_int_equal(say_state(SET_VRING_ENABLE, ring, 1), 0);
		assert_true(fake.ring[ring].is_enabled);
	}
	assert_ptr_equal(fake.ring[1].cfg.desc, memory + 0x10000);
	assert_ptr_equal(fake.ring[1].cfg.driver, memory + 0x11000);
	assert_ptr_equal(fake.ring[1].cfg.device, memory + 0x12000);
	assert_int_equal(fake.ring[1].cfg.device_guest, 0x12000);
	assert_int_equal(fake.ring[1].cfg.size, 256);
	assert_int_equal(fake.ring[1].cfg.hdr_bytes, 12);
	assert_true(fake.ring[1].cfg.has_event_idx);
	assert_false(fake.ring[1].cfg.has_mergeable || fake.ring[1].cfg.has_indirect || fake.ring[1].cfg.is_packed);
	assert_int_equal(fake.ring[1].cfg.pos.avail, 77);
	assert_int_equal(say_state(GET_VRING_BASE, 1, 0), 0);
	expect_reply(GET_VRING_BASE, answer, sizeof(answer));
	assert_false(fake.ring[1].is_running);
	assert_true(fake.ring[0].is_running);
	start(1, 78);
	assert_int_equal(say(RESET_DEVICE, 1, NULL, 0, 0), 0);
	assert_nothing_runs();
	assert_false(fake.ring[0].is_enabled);
	assert_int_equal(fake.n_open, 0);
	assert_int_equal(fake.n_maps, 1);
}

// Also without a stop before. It goes on at its position, and the others do not notice.
static void
a_running_ring_that_is_told_another_size_or_place_starts_there(void **state)
{
	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_RING_PACKED));
	start(0, 0x8000);
	start(1, 0x8000 | 77);
	assert_int_equal(say_state(SET_VRING_NUM, 1, 128), 0);
	assert_false(fake.ring[1].is_running);
	assert_int_equal(say_addr(1, 0x30000), 0);
	assert_true(fake.ring[1].is_running);
	assert_int_equal(fake.ring[1].cfg.size, 128);
	assert_ptr_equal(fake.ring[1].cfg.desc, memory + 0x30000);
	assert_int_equal(fake.ring[1].cfg.pos.avail, 77);
	assert_int_equal(say_addr(1, 0x40000), 0);
	assert_ptr_equal(fake.ring[1].cfg.desc, memory + 0x40000);
	assert_int_equal(fake.ring[1].n_starts, 3);
	assert_int_equal(fake.ring[0].n_starts, 1);
	// One that its position lies beyond.
	assert_int_equal(say_state(SET_VRING_NUM, 1, 77), 0);
	assert_int_equal(say_addr(1, 0x40000), -EPROTO);
	assert_string_equal(user.why, "a ring's size, base or alignment is none of the specification's");
}

// QEMU enables rings before it says which features it takes.
static void
rings_are_enabled_before_features_are_known(void **state)
{
	(void)state;
	assert_int_equal(say_state(SET_VRING_ENABLE, 0, 1), 0);
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	start(0, 0);
	assert_true(fake.ring[0].is_enabled);
	start(1, 0);
	assert_false(fake.ring[1].is_enabled);
}

static void
rings_that_are_always_enabled_are_not_to_be_enabled(void **state)
{
	(void)state;
	assert_int_equal(say_u64(SET_FEATURES, F(VIRTIO_F_VERSION_1), 0), 0);
	assert_int_equal(say_state(SET_VRING_ENABLE, 0, 1), -EPROTO);
}

static void
positions_of_packed_rings_go_both_ways(void **state)
{
	uint32_t answer[2] = {2, 0x80048004};

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1) | F(VIRTIO_F_RING_PACKED));
	start(2, 0x8004); // virtio-user says the first half only
	assert_int_equal(fake.ring[2].cfg.pos.avail, 4);
	assert_true(fake.ring[2].cfg.pos.avail_wrap);
	assert_int_equal(fake.ring[2].cfg.pos.used, 4);
	assert_true(fake.ring[2].cfg.pos.used_wrap);
	assert_int_equal(say_state(GET_VRING_BASE, 2, 0), 0);
	expect_reply(GET_VRING_BASE, answer, sizeof(answer));
}

static void
a_legacy_driver_has_short_headers_and_enabled_rings(void **state)
{
	(void)state;
	assert_int_equal(say_u64(SET_FEATURES, 0, 0), 0);
	assert_int_equal(say_table(1, &all, 1), 0);
	start(0, 0);
	assert_int_equal(fake.ring[0].cfg.hdr_bytes, 10);
	assert_true(fake.ring[0].is_enabled);
	assert_int_equal(say_u64(SET_FEATURES, F(VIRTIO_NET_F_MRG_RXBUF), 0), 0);
	assert_int_equal(fake.ring[0].cfg.hdr_bytes, 12); // as soon as buffers can be merged
	assert_int_equal(fake.ring[0].n_starts, 2);
}

static void
a_migration_logs_where_its_rings_go_on(void **state)
{
	uint64_t log[2] = {4096, 0x80000}, features = TRANSPORT | F(VIRTIO_F_VERSION_1);

	(void)state;
	negotiate(features & ~F(VHOST_USER_F_LOG_ALL));
	start(0, 5);
	assert_int_equal(say(SET_LOG_BASE, 1, log, sizeof(log), 1), 0);
	expect_reply(SET_LOG_BASE, NULL, 0);
	assert_null(fake.ring[0].cfg.log.bits);
	assert_int_equal(say_u64(SET_FEATURES, features, 0), 0);
	assert_ptr_equal(fake.ring[0].cfg.log.bits, memory + 0x80000);
	assert_int_equal(fake.ring[0].cfg.log.n_pages, 8 * 4096);
	assert_int_equal(fake.ring[0].cfg.pos.avail, 5);
	assert_int_equal(say_u64(SET_FEATURES, features & ~F(VHOST_USER_F_LOG_ALL), 0), 0);
	assert_null(fake.ring[0].cfg.log.bits);
	assert_int_equal(say_u64(SEND_RARP, UINT64_C(0x060504030201), 0), 0);
	assert_memory_equal(fake.mac, ((uint8_t[]){1, 2, 3, 4, 5, 6}), 6);
}

static void
memory_comes_and_goes_under_running_rings(void **state)
{
	struct {
		uint64_t unused;
		struct region region;
	} slot = {0, {1 << 30, 0x1000, USER + (1 << 30), 0}};

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	start(0, 0);
	assert_int_equal(say(GET_MAX_MEM_SLOTS, 1, NULL, 0, 0), 0);
	expect_u64(GET_MAX_MEM_SLOTS, GUEST_MEM_MAX_REGIONS);
	for (unsigned i = 1; i < GUEST_MEM_MAX_REGIONS; i++) {
		assert_int_equal(say(ADD_MEM_REG, 1, &slot, sizeof(slot), 1), 0);
		slot.region.guest += 0x1000;
		slot.region.user += 0x1000;
	}
	assert_true(fake.ring[0].is_running);
	assert_int_equal(fake.n_maps, GUEST_MEM_MAX_REGIONS);
	slot.region.guest -= 0x1000;
	slot.region.user -= 0x1000;
	// QEMU sends a descriptor, too
	assert_int_equal(say(REM_MEM_REG, 1, &slot, sizeof(slot), 1), 0);
	assert_int_equal(fake.n_maps, GUEST_MEM_MAX_REGIONS - 1);
	assert_true(fake.ring[0].is_running);
	assert_int_equal(say(ADD_MEM_REG, 1, &slot, sizeof(slot), 1), 0);
	slot.region.guest += 0x1000;
	slot.region.user += 0x1000;
	// one more than there are slots
	assert_int_equal(say(ADD_MEM_REG, 1, &slot, sizeof(slot), 1), -EPROTO);
	assert_string_equal(user.why, "more memory regions than slots");
}

static void
answers_are_given_where_they_are_asked_for(void **state)
{
	uint64_t mtu = 67;

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	assert_int_equal(say(NET_SET_MTU, NEED_REPLY, &mtu, sizeof(mtu), 0), 0);
	expect_u64(NET_SET_MTU, 1);
	mtu = 68;
	assert_int_equal(say(NET_SET_MTU, NEED_REPLY, &mtu, sizeof(mtu), 0), 0);
	expect_u64(NET_SET_MTU, 0);
	assert_int_equal(say(GET_QUEUE_NUM, NEED_REPLY, NULL, 0, 0), 0);
	expect_u64(GET_QUEUE_NUM, 2); // the reply is the answer
	assert_int_equal(say(NET_SET_MTU, 1, &mtu, sizeof(mtu), 0), 0);
	assert_int_equal(user.n_out, 0);
	mtu = 67;
	assert_int_equal(say(NET_SET_MTU, 1, &mtu, sizeof(mtu), 0), -EPROTO);
}

static void
memory_that_cannot_be_mapped_is_answered(void **state)
{
	struct {
		uint64_t unused;
		struct region region;
	} slot = {0, {1 << 30, 0x1000, USER + (1 << 30), 0}};

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	assert_int_equal(say_table(1, &all, 1), 0);
	start(0, 0);
	fake.fail_fd = fake.next_fd;
	assert_int_equal(say(ADD_MEM_REG, NEED_REPLY, &slot, sizeof(slot), 1), 0);
	expect_u64(ADD_MEM_REG, 1);
	assert_true(fake.ring[0].is_running); // in the memory that was there before
	fake.fail_fd = fake.next_fd;
	assert_int_equal(say(ADD_MEM_REG, 1, &slot, sizeof(slot), 1), -EPROTO);
}

static void
a_status_of_0_is_a_reset(void **state)
{
	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	start(0, 0);
	assert_int_equal(say_u64(SET_STATUS, 15, 0), 0);
	assert_int_equal(say(GET_STATUS, 1, NULL, 0, 0), 0);
	expect_u64(GET_STATUS, 15);
	assert_true(fake.ring[0].is_running);
	assert_int_equal(say_u64(SET_STATUS, 0, 0), 0);
	assert_nothing_runs();
	assert_int_equal(say_u64(SET_STATUS, 256, 0), -EPROTO);
}

// The whole start of a front-end, a byte at a time, descriptors with the first byte of theirs.
static void
a_message_that_comes_byte_by_byte_is_a_message(void **state)
{
	uint64_t kick = 1;
	uint32_t header[3] = {SET_VRING_KICK, 1, sizeof(kick)};
	uint8_t bytes[20];
	int fd;

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	assert_int_equal(say_state(SET_VRING_NUM, 1, 256), 0);
	assert_int_equal(say_addr(1, 0), 0);
	fd = open_fd();
	memcpy(bytes, header, 12);
	memcpy(bytes + 12, &kick, 8);
	for (unsigned i = 0; i < sizeof(bytes); i++) {
		assert_false(fake.ring[1].is_running);
		assert_true(vhost_user_wants(&user) >= 1);
		assert_int_equal(receive(bytes + i, 1, &fd, i == 0), 0);
	}
	assert_true(fake.ring[1].is_running);
	assert_int_equal(fake.ring[1].kick, fd);
	// It ends in the middle of a message with a descriptor: end() counts.
	fd = open_fd();
	assert_int_equal(vhost_user_receive(&user, bytes, 7, &fd, 1), 0);
}

// Those leave rings as they are, so that whoever uses them need not stop.
static void
messages_tell_whether_they_are_harmless(void **state)
{
	static const struct {
		uint32_t request, word;
	} harmless[] = {{GET_FEATURES}, {SET_OWNER}, {GET_PROTOCOL_FEATURES}, {GET_QUEUE_NUM}, {GET_STATUS},
		{GET_MAX_MEM_SLOTS}, {SET_VRING_ENABLE, 1}, {SET_STATUS, 1}, {SET_VRING_CALL}, {SET_VRING_ERR},
		{SET_LOG_FD}, {SET_PROTOCOL_FEATURES}, {SEND_RARP}, {NET_SET_MTU}};

	assert_int_equal(vhost_user_next(&user), VHOST_USER_PART);
	for (uint32_t request = 0; request < 128; request++) {
		uint32_t word = request / 64, payload[2] = {word, word}, header[3] = {request % 64, 1, 8};
		bool is_harmless = false;

		for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
			is_harmless |= header[0] == harmless[i].request && word >= harmless[i].word;
		assert_int_equal(vhost_user_receive(&user, (uint8_t *)header, sizeof(header), NULL, 0), 0);
		assert_int_equal(vhost_user_receive(&user, (uint8_t *)payload, sizeof(payload), NULL, 0), 0);
		assert_int_equal(vhost_user_next(&user), is_harmless ? VHOST_USER_HARMLESS : VHOST_USER_CHANGE);
		(void)vhost_user_handle(&user);
		assert_int_equal(end(state), 0);
		begin(state);
	}
}

struct breach {
	uint32_t request, flags, n_bytes, n_fds;
	uint64_t word;
};

static void
each_other_message_ends_the_connection(void **state)
{
	static const struct breach breaches[] = {
		{0, 1, 0, 0, 0}, {IOTLB_MSG, 1, 40, 0, 0}, {23, 1, 8, 0, 0}, // SET_VRING_ENDIAN
		{28, 1, 0, 0, 0}, // POSTCOPY_ADVISE
		{31, 1, 20, 0, 0}, // GET_INFLIGHT_FD
		{41, 1, 0, 0, 0}, {UINT32_MAX, 1, 0, 0, 0}, {GET_FEATURES, 0, 0, 0, 0}, // version
		{GET_FEATURES, 2, 0, 0, 0}, {GET_FEATURES, 5, 0, 0, 0}, // a reply
		{GET_FEATURES, 1, 8, 0, 0}, // length
		{GET_FEATURES, 1, VHOST_USER_MAX_PAYLOAD, 0, 0}, {GET_FEATURES, 1, VHOST_USER_MAX_PAYLOAD + 1, 0, 0},
		{GET_FEATURES, 1, UINT32_MAX, 0, 0}, {SET_FEATURES, 1, 7, 0, 0}, {SET_FEATURES, 1, 0, 0, 0},
		{GET_FEATURES, 1, 0, 1, 0}, // descriptors
		{SET_VRING_NUM, 1, 8, 1, UINT64_C(256) << 32}, {SET_LOG_BASE, 1, 16, 0, 1}, {SET_LOG_BASE, 1, 16, 2, 1},
		{SET_LOG_BASE, 1, 16, 1, 0}, // no bytes
		// no bytes
		{ADD_MEM_REG, 1, 40, 0, 0}, {ADD_MEM_REG, 1, 40, 2, 0}, {ADD_MEM_REG, 1, 40, 1, 0},
		{REM_MEM_REG, 1, 40, 0, 0}, // none such
		{SET_BACKEND_REQ_FD, 1, 0, 0, 0}, {SET_VRING_KICK, 1, 8, 0, 0}, {SET_VRING_KICK, 1, 8, 1, 0x100},
		{SET_VRING_KICK, 1, 8, 2, 0}, {SET_VRING_KICK, 1, 8, 1, 0x200},
		{SET_VRING_KICK, 1, 8, 1, 4}, // a ring beyond
		{SET_VRING_KICK, 1, 8, 1, 255}, {SET_VRING_CALL, 1, 8, 1, 4}, {SET_VRING_ERR, 1, 8, 1, 4},
		// no descriptors
		{SET_VRING_NUM, 1, 8, 0, 4 | UINT64_C(256) << 32}, {SET_VRING_NUM, 1, 8, 0, 0},
		{SET_VRING_NUM, 1, 8, 0, UINT64_C(32769) << 32}, {SET_VRING_ADDR, 1, 40, 0, 4},
		{SET_VRING_BASE, 1, 8, 0, 4}, {GET_VRING_BASE, 1, 8, 0, 4},
		{SET_VRING_ENABLE, 1, 8, 0, 4 | UINT64_C(1) << 32}, {SET_VRING_ENABLE, 1, 8, 0, UINT64_C(2) << 32},
		{SET_FEATURES, 1, 8, 0, UINT64_C(1) << 33}, // ACCESS_PLATFORM is not offered
		{SET_PROTOCOL_FEATURES, 1, 8, 0, UINT64_C(1) << 8}, // nor is PAGEFAULT
		{SET_MEM_TABLE, 1, 8, 0, 1}, {SET_MEM_TABLE, 1, 8, 1, 1}, {SET_MEM_TABLE, 1, 40, 0, 1},
		{SET_MEM_TABLE, 1, 40, 2, 1}, {SET_MEM_TABLE, 1, 264, 8, 9}, {SET_MEM_TABLE, 1, 264, 9, 8},
		{SET_MEM_TABLE, 1, 40, 1, 1}, // a region of no bytes
	};

	for (size_t i = 0; i < sizeof(breaches) / sizeof(breaches[0]); i++) {
		const struct breach *b = &breaches[i];
		uint8_t payload[512] = {0};

		begin(state);
		negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
		start(0, 0);
		memcpy(payload, &b->word, sizeof(b->word));
		assert_int_equal(say(b->request, b->flags, payload, b->n_bytes, b->n_fds), -EPROTO);
		assert_true(strlen(user.why) > 0);
		// It is over: nothing more is done.
		assert_int_equal(vhost_user_receive(&user, payload, 1, (int[]){open_fd()}, 1), -EPROTO);
		assert_int_equal(end(state), 0);
	}
	begin(state);
}

static void
rings_that_lie_outside_of_memory_end_the_connection(void **state)
{
	const uint64_t at[] = {sizeof(memory), sizeof(memory) - 0x2000, sizeof(memory) - 0x1000, 8, UINT64_MAX - USER};

	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		begin(state);
		negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
		assert_int_equal(say_state(SET_VRING_NUM, 0, 256), 0);
		assert_int_equal(say_u64(SET_VRING_KICK, 0, 1), 0);
		assert_int_equal(say_addr(0, at[i]), -EPROTO);
		assert_int_equal(end(state), 0);
	}
	begin(state);
}

static void
a_front_end_that_reads_no_replies_is_ended(void **state)
{
	unsigned n = 0;

	(void)state;
	while (!say(GET_FEATURES, 1, NULL, 0, 0))
		assert_true(++n < 1000);
	assert_true(n >= VHOST_USER_MAX_REPLIES);
	assert_string_equal(user.why, "the front-end reads no replies");
}

// Any message, with any payload near the valid ones, any descriptors, ended anywhere.
static void
say_anything(uint64_t *random)
{
	static const uint64_t words[] = {0, 1, 2, 3, 4, 0x100, 0x101, UINT64_C(256) << 32, UINT64_C(256) << 32 | 1,
		UINT64_C(1) << 32, UINT64_C(1) << 32 | 1, TRANSPORT, TRANSPORT | F(VIRTIO_F_VERSION_1),
		TRANSPORT | F(VIRTIO_F_RING_PACKED) | F(VIRTIO_F_VERSION_1), VHOST_USER_PROTOCOL_FEATURES, USER,
		USER + 0x1000, USER + 0x2000, sizeof(memory), UINT64_MAX};
	static const uint8_t lengths[] = {0, 8, 16, 40};
	uint8_t payload[VHOST_USER_MAX_PAYLOAD];
	uint32_t request = (uint32_t)random_below(random, 42), n = lengths[random_below(random, sizeof(lengths))];
	unsigned n_fds =
		random_below(random, 4) ? (unsigned)random_below(random, 2) : (unsigned)random_below(random, 10);

	for (uint32_t i = 0; i < sizeof(payload); i += 8) {
		uint64_t word = words[random_below(random, sizeof(words) / sizeof(words[0]))];

		memcpy(payload + i, &word, 8);
	}
	if (request == SET_MEM_TABLE || request == ADD_MEM_REG || request == REM_MEM_REG) {
		memcpy(payload + 8, &all, sizeof(all));
		n = 40;
	}
	if (!random_below(random, 32))
		n = (uint32_t)random_below(random, VHOST_USER_MAX_PAYLOAD + 2);
	if (request == SET_VRING_KICK || request == SET_VRING_CALL || request == ADD_MEM_REG)
		n_fds = random_below(random, 8) ? 1 : n_fds;
	(void)say(request, random_below(random, 2) ? 1 : NEED_REPLY, payload, n, n_fds);
	if (random_below(random, 2))
		vhost_user_sent(&user, user.n_out);
}

static void
a_million_hostile_messages_leave_nothing_behind(void **state)
{
	uint64_t random = unit_seed();
	unsigned n = 0, n_started = 0;

	while (n < 1000000) {
		begin(state);
		if (random_below(&random, 2)) {
			negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
			start((uint32_t)random_below(&random, 4), 0);
		}
		for (unsigned i = 0; i < 200 && !user.why[0] && user.n_in == 0; i++, n++)
			say_anything(&random);
		for (unsigned i = 0; i < 4; i++)
			n_started += fake.ring[i].n_starts;
		n++;
		assert_int_equal(end(state), 0);
	}
	assert_true(n_started > 10000);
	begin(state);
}

static struct vhost_user_kept kept;

static struct vhost_user_kept_fds
kept_fds(void)
{
	struct vhost_user_kept_fds fds;

	memset(&fds, -1, sizeof(fds));
	for (uint32_t i = 0; i < kept.n_regions && i < VHOST_USER_KEPT_REGIONS; i++)
		fds.memory[i] = open_fd();
	for (unsigned i = 0; i < VHOST_USER_MAX_RINGS; i++) {
		fds.kick[i] = kept.ring[i].has_kick ? open_fd() : -1;
		fds.call[i] = i < 2 ? open_fd() : -1;
	}
	return fds;
}

static void
keep_a_session(uint64_t more_features)
{
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1) | more_features);
	for (uint32_t ring = 0; ring < 2; ring++) {
		start(ring, 0x8000 | 70);
		assert_int_equal(say_state(SET_VRING_ENABLE, ring, 1), 0);
	}
	assert_int_equal(say_u64(SET_STATUS, 15, 0), 0);
	assert_true(vhost_user_kept_save(&user, &kept));
	assert_int_equal(end(NULL), 0);
	begin(NULL);
}

// Where a split ring stands is in the guest's memory.
static void
a_session_goes_on_in_the_next_process(void **state)
{
	(void)state;
	for (unsigned is_packed = 0; is_packed < 2; is_packed++) {
		uint64_t features = is_packed ? F(VIRTIO_F_RING_PACKED) : 0;
		struct vhost_user_kept_fds fds;
		struct vhost_user_kept again;

		keep_a_session(features);
		((struct vring_used *)(memory + 0x2000))->idx = 300;
		((struct vring_used *)(memory + 0x12000))->idx = 65535;
		fds = kept_fds();
		assert_int_equal(vhost_user_kept_restore(&user, &kept, &fds), 0);
		assert_int_equal(user.n_out, 0);
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(fake.ring[i].is_running, i < 2);
			assert_int_equal(fake.ring[i].is_enabled, i < 2);
			assert_int_equal(fake.ring[i].call >= 0, i < 2);
		}
		assert_ptr_equal(fake.ring[1].cfg.desc, memory + 0x10000);
		assert_int_equal(fake.ring[0].cfg.pos.avail, is_packed ? 70 : 300);
		assert_int_equal(fake.ring[1].cfg.pos.used, is_packed ? 70 : 65535);
		assert_int_equal(fake.status, 15);
		assert_true(vhost_user_kept_save(&user, &again));
		for (unsigned i = 0; !is_packed && i < 2; i++)
			kept.ring[i].base = fake.ring[i].cfg.pos.avail;
		assert_memory_equal(&again, &kept, sizeof(kept));
		assert_int_equal(end(state), 0);
		begin(state);
	}
}

static void
a_session_in_the_middle_of_something_is_not_kept(void **state)
{
	const uint32_t header[3] = {SET_VRING_NUM, 1, 8};
	const uint64_t log[2] = {4096, 0};

	(void)state;
	negotiate(TRANSPORT | F(VIRTIO_F_VERSION_1));
	assert_true(vhost_user_kept_save(&user, &kept));
	assert_int_equal(say(GET_FEATURES, 1, NULL, 0, 0), 0);
	assert_false(vhost_user_kept_save(&user, &kept)); // a reply waits
	vhost_user_sent(&user, user.n_out);
	assert_int_equal(say(SET_LOG_BASE, 1, log, sizeof(log), 1), 0);
	vhost_user_sent(&user, user.n_out);
	assert_false(vhost_user_kept_save(&user, &kept)); // a dirty log
	assert_int_equal(end(state), 0);
	begin(state);
	for (unsigned i = 0; i <= VHOST_USER_KEPT_REGIONS; i++) {
		const uint64_t slot[] = {0, i * 4096, 4096, USER + i * 4096, i * 4096};

		assert_true(vhost_user_kept_save(&user, &kept)); // one region less
		assert_int_equal(say(ADD_MEM_REG, 1, slot, sizeof(slot), 1), 0);
	}
	assert_false(vhost_user_kept_save(&user, &kept));
	assert_int_equal(end(state), 0);
	begin(state);
	assert_int_equal(vhost_user_receive(&user, (const uint8_t *)header, 5, NULL, 0), 0);
	assert_false(vhost_user_kept_save(&user, &kept)); // a part of a message
	vhost_user_refuse(&user, "any rule");
	assert_false(vhost_user_kept_save(&user, &kept));
}

// Whatever was kept, as each word may lie, and whichever descriptors are missing.
static void
a_kept_session_that_lies_is_ended(void **state)
{
	uint64_t random = unit_seed();
	unsigned n_ended = 0;

	(void)state;
	keep_a_session(0);
	for (unsigned i = 0; i < 100000; i++) {
		struct vhost_user_kept good = kept;
		struct vhost_user_kept_fds fds = kept_fds();
		uint32_t at = (uint32_t)random_below(&random, random_below(&random, 2) ? sizeof(kept) : 64);

		((uint8_t *)&kept)[at] ^= (uint8_t)(1 + random_below(&random, 255));
		if (!random_below(&random, 8))
			kept.n_regions = (uint32_t)random_below(&random, 70);
		if (fds.memory[0] >= 0 && !random_below(&random, 8)) {
			fake_close(NULL, fds.memory[0]);
			fds.memory[0] = -1;
		}
		n_ended += vhost_user_kept_restore(&user, &kept, &fds) != 0;
		kept = good;
		assert_int_equal(end(NULL), 0);
		begin(NULL);
	}
	assert_in_range(n_ended, 10000, 99999);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_front_end_starts_and_stops_its_rings, begin, end),
		cmocka_unit_test_setup_teardown(positions_of_packed_rings_go_both_ways, begin, end),
		cmocka_unit_test_setup_teardown(
			a_running_ring_that_is_told_another_size_or_place_starts_there, begin, end),
		cmocka_unit_test_setup_teardown(rings_are_enabled_before_features_are_known, begin, end),
		cmocka_unit_test_setup_teardown(rings_that_are_always_enabled_are_not_to_be_enabled, begin, end),
		cmocka_unit_test_setup_teardown(a_legacy_driver_has_short_headers_and_enabled_rings, begin, end),
		cmocka_unit_test_setup_teardown(a_migration_logs_where_its_rings_go_on, begin, end),
		cmocka_unit_test_setup_teardown(memory_comes_and_goes_under_running_rings, begin, end),
		cmocka_unit_test_setup_teardown(answers_are_given_where_they_are_asked_for, begin, end),
		cmocka_unit_test_setup_teardown(memory_that_cannot_be_mapped_is_answered, begin, end),
		cmocka_unit_test_setup_teardown(a_status_of_0_is_a_reset, begin, end),
		cmocka_unit_test_setup_teardown(a_message_that_comes_byte_by_byte_is_a_message, begin, end),
		cmocka_unit_test_setup_teardown(messages_tell_whether_they_are_harmless, begin, end),
		cmocka_unit_test_setup_teardown(each_other_message_ends_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(rings_that_lie_outside_of_memory_end_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(a_front_end_that_reads_no_replies_is_ended, begin, end),
		cmocka_unit_test_setup_teardown(a_session_goes_on_in_the_next_process, begin, end),
		cmocka_unit_test_setup_teardown(a_session_in_the_middle_of_something_is_not_kept, begin, end),
		cmocka_unit_test_setup_teardown(a_kept_session_that_lies_is_ended, begin, end),
		cmocka_unit_test_setup_teardown(a_million_hostile_messages_leave_nothing_behind, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
