#include "segment_fixture.h"

#include <stdio.h>
#include <unistd.h>

char path_a[64], path_b[64];
static struct segment_file *joined[N_NODES * 2]; // by the test
struct sigaction bus_errors;

struct segment_geometry geometry = {
	.n_nodes = N_NODES, .n_slots = N_SLOTS, .slot_bytes = SLOT_BYTES, .inbox_size = INBOX};

void
create(const char *path)
{
	struct segment_create c = {.path = path, .geometry = geometry, .mode = 0600, .is_forced = true};
	char err[SEGMENT_ERR_SIZE];

	if (segment_file_create(&c, err))
		fail_msg("%s", err);
}

struct dp_port_cfg
segment_cfg(unsigned i, const char *path)
{
	struct dp_port_cfg cfg = port_cfg(i);

	cfg.type = DP_PORT_SEGMENT;
	cfg.mtu = MTU;
	cfg.socket[0] = '\0';
	snprintf(cfg.path, sizeof(cfg.path), "%s", path);
	return cfg;
}

struct node
join_as(const char *path, const char *name, uint8_t mac)
{
	struct segment_identity identity = {.mtu = MTU, .n_macs = 1, .mac = {{{0x52, 0x54, 0, 0, 1, mac}}}};
	struct node node = {.mac = mac};
	char err[SEGMENT_ERR_SIZE];

	snprintf(identity.name, sizeof(identity.name), "%s", name);
	if (segment_file_open(path, false, &node.file, err) || segment_file_join(node.file, -1, &identity, err))
		fail_msg("%s", err);
	node.seg = segment_file_segment(node.file);
	for (unsigned i = 0; i < RTE_DIM(joined); i++)
		if (!joined[i]) {
			joined[i] = node.file;
			break;
		}
	return node;
}

void
leave(struct node *node)
{
	for (unsigned i = 0; i < RTE_DIM(joined); i++)
		if (joined[i] == node->file)
			joined[i] = NULL;
	segment_file_close(node->file);
}

static void
tend(void)
{
	for (unsigned i = 0; i < RTE_DIM(joined); i++)
		if (joined[i])
			(void)segment_file_tend(joined[i]);
}

void
housekeep(void)
{
	tend();
	dp_housekeeping(dp);
	take_events();
}

void
print_drops(void)
{
	struct dp_port_stats s;

	for (unsigned i = 0; i < N_GUESTS; i++)
		for (unsigned d = 0; d < DROP_COUNT && !dp_port_stats(dp, guest[i].port, &s); d++)
			if (s.drops[d])
				print_message("p%u: %s %u\n", i, drop_names[d], (unsigned)s.drops[d]);
}

void
wait_tended(const char *path)
{
	unsigned node = (unsigned)state_of(path == path_a ? PORT : OTHER_PORT).segment.node;
	struct segment_node_info info;
	struct segment_file *file;
	char err[SEGMENT_ERR_SIZE];
	struct segment *seg;
	uint64_t beat;

	assert_int_equal(segment_file_open(path, true, &file, err), 0);
	seg = segment_file_segment(file);
	assert_true(segment_look(seg, node, &info));
	beat = info.beat;
	WAIT_FOR(segment_look(seg, node, &info) && info.beat > beat + 1);
	segment_file_close(file);
}

struct node
join(const char *path, uint8_t mac)
{
	struct node node;
	char name[16];

	snprintf(name, sizeof(name), "node%u", mac);
	node = join_as(path, name, mac);
	if (geometry.memory == SEGMENT_NONCOHERENT)
		wait_tended(path);
	return node;
}

bool
says(unsigned i, const char *text)
{
	return strstr(state_of(i).detail, text);
}

static void
fill(uint8_t *p, unsigned len)
{
	for (unsigned i = ETHER_HDR; i < len; i++)
		p[i] = (uint8_t)(i * 7 + i / 256);
}

void
address(uint8_t *p, const uint8_t dst[6], uint8_t src)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, (const uint8_t[]){0x52, 0x54, 0, 0, 1, src, 0x88, 0xb5}, 8);
}

const uint8_t *
mac_of(uint8_t node)
{
	static uint8_t mac[6] = {0x52, 0x54, 0, 0, 1};

	mac[5] = node;
	return mac;
}

int
put(struct node *node, uint8_t *data, uint32_t len, const struct segment_offload *offload)
{
	uint64_t wake = 0;
	int rc;

	tend();
	rc = segment_put(node->seg, data, len, offload, &wake);
	segment_file_wake(node->file, wake);
	return rc;
}

void
put_frame(struct node *node, const uint8_t dst[6], unsigned len)
{
	static uint8_t data[SEGMENT_MAX_FRAME];

	fill(data, len);
	address(data, dst, node->mac);
	assert_int_equal(put(node, data, len, NULL), 0);
}

void
put_burst(struct node *node, const uint8_t to[SEGMENT_BURST])
{
	struct segment_frame frames[SEGMENT_BURST];
	uint64_t wake = 0;
	uint32_t len;

	for (unsigned i = 0; i < SEGMENT_BURST; i++) {
		uint64_t bridge_node = segment_route(node->seg, mac_of(to[i]));

		assert_int_equal(segment_reserve(node->seg, bridge_node, 60, &frames[i]), 0);
		address(segment_piece(node->seg, &frames[i], 0, &len), mac_of(to[i]), node->mac);
	}
	assert_int_equal(segment_send(node->seg, frames, SEGMENT_BURST, &wake), SEGMENT_BURST);
	segment_file_wake(node->file, wake);
}

uint32_t
get(struct node *node, uint8_t *ret_data, struct segment_offload *ret_offload)
{
	struct segment_frame frame;

	WAIT_FOR(segment_receive(node->seg, &frame, 1));
	segment_copy(node->seg, &frame, ret_data);
	if (ret_offload)
		*ret_offload = frame.offload;
	segment_release(node->seg, &frame, 1);
	return frame.len;
}

void
expect_at(struct node *node, unsigned len)
{
	static uint8_t data[SEGMENT_MAX_FRAME], expected[SEGMENT_MAX_FRAME];

	assert_int_equal(get(node, data, NULL), len);
	fill(expected, len);
	assert_memory_equal(data + ETHER_HDR, expected + ETHER_HDR, len - ETHER_HDR);
}

const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

int
add_segments(void **state)
{
	int rc = fixture_add_bridge(state);
	struct dp_port_cfg cfg = port_cfg(GUEST);

	create(path_a);
	create(path_b);
	cfg.mtu = MTU;
	add_port(GUEST, &cfg);
	plug(GUEST, 0, 0);
	cfg = segment_cfg(PORT, path_a);
	add_port(PORT, &cfg);
	cfg = segment_cfg(OTHER_PORT, path_b);
	add_port(OTHER_PORT, &cfg);
	wait_link(guest[PORT].port, true);
	wait_link(guest[OTHER_PORT].port, true);
	return rc;
}

int
add_separate_segments(void **state)
{
	geometry.buffers = SEGMENT_SEPARATE;
	return add_segments(state);
}

int
add_noncoherent_segments(void **state)
{
	geometry.memory = SEGMENT_NONCOHERENT;
	return add_segments(state);
}

int
remove_segments(void **state)
{
	geometry.buffers = SEGMENT_POOL;
	geometry.memory = SEGMENT_COHERENT;
	geometry.n_slots = N_SLOTS;
	memset(joined, 0, sizeof(joined)); // of a case that failed
	(void)unlink(path_a);
	(void)unlink(path_b);
	return fixture_remove_all(state);
}

uint32_t
n_free(const struct segment *seg)
{
	struct segment_pool_info info;

	segment_look_pool(seg, &info);
	return info.n_free;
}

int
segment_fixture_start(void **state)
{
	int rc = fixture_start(state);

	(void)snprintf(path_a, sizeof(path_a), "/dev/shm/rtvs-test-%d-a", (int)getpid());
	(void)snprintf(path_b, sizeof(path_b), "/dev/shm/rtvs-test-%d-b", (int)getpid());
	return rc ? rc : sigaction(SIGBUS, NULL, &bus_errors);
}
