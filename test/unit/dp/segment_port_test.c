// The switch as a node of segments. Their other nodes are the test's own, of the same process: locks and numbers do not know the
// difference. A vhost guest is on the same bridge.
#include "dp_fixture.h"
#include "rtvs/frame.h"
#include "rtvs/segment_file.h"

#include <fcntl.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_NODES 4
#define N_SLOTS 512
#define MANY_SLOTS 32768 // 64 MiB
#define MAX_TAKEN 8192 // packet buffers
#define FEW 5 // that no frame of the MTU finds room in
#define SLOT_BYTES 2048
#define INBOX 64
#define ALONE (SLOT_BYTES / 2 + 1) // bytes of a frame that shares no slot
#define MTU 9000
#define GUEST 0 // on vhost
#define PORT 1 // of the segment A
#define OTHER_PORT 2 // of the segment B
#define TCP 6
#define UDP 17
#define SCTP 132

struct node {
	struct segment_file *file;
	struct segment *seg;
	uint8_t mac;
};

static char path_a[64], path_b[64];
static struct segment_file *joined[N_NODES * 2]; // by the test
static struct sigaction bus_errors; // as the datapath handles them; cmocka has its own handler for each case

static struct segment_geometry geometry = {
	.n_nodes = N_NODES, .n_slots = N_SLOTS, .slot_bytes = SLOT_BYTES, .inbox_size = INBOX};

static void
create(const char *path)
{
	struct segment_create c = {.path = path, .geometry = geometry, .mode = 0600, .is_forced = true};
	char err[SEGMENT_ERR_SIZE];

	if (segment_file_create(&c, err))
		fail_msg("%s", err);
}

static struct dp_port_cfg
segment_cfg(unsigned i, const char *path)
{
	struct dp_port_cfg cfg = port_cfg(i);

	cfg.type = DP_PORT_SEGMENT;
	cfg.mtu = MTU;
	cfg.socket[0] = '\0';
	snprintf(cfg.path, sizeof(cfg.path), "%s", path);
	return cfg;
}

static struct node
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

static void
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

static void
housekeep(void)
{
	struct dp_event ignored;

	tend();
	dp_housekeeping(dp);
	while (dp_event_next(dp, &ignored))
		;
}

// What became of packets, for whoever reads that a case waited in vain.
static void
print_drops(void)
{
	struct dp_port_stats s;

	for (unsigned i = 0; i < N_GUESTS; i++)
		for (unsigned d = 0; d < DROP_COUNT && !dp_port_stats(dp, guest[i].port, &s); d++)
			if (s.drops[d])
				print_message("p%u: %s %u\n", i, drop_names[d], (unsigned)s.drops[d]);
}

#define WAIT_FOR(condition)                                                  \
	do {                                                                 \
		uint64_t wait_end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S; \
		while (!(condition)) {                                       \
			housekeep();                                         \
			if (rte_rdtsc() > wait_end) {                        \
				refresh_stats();                             \
				print_drops();                               \
				fail_msg("waited in vain for " #condition);  \
			}                                                    \
		}                                                            \
	} while (0)

static struct dp_port_state
state_of(unsigned i)
{
	struct dp_port_state state;

	assert_int_equal(dp_port_state(dp, guest[i].port, &state), 0);
	return state;
}

// The switch has looked who is there, once at least from the beginning to the end.
static void
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

// Where memory is not coherent, nodes find each other when they tend.
static struct node
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

static bool
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

static void
address(uint8_t *p, const uint8_t dst[6], uint8_t src)
{
	memcpy(p, dst, 6);
	memcpy(p + 6, (const uint8_t[]){0x52, 0x54, 0, 0, 1, src, 0x88, 0xb5}, 8);
}

static const uint8_t *
mac_of(uint8_t node)
{
	static uint8_t mac[6] = {0x52, 0x54, 0, 0, 1};

	mac[5] = node;
	return mac;
}

static int
put(struct node *node, uint8_t *data, uint32_t len, const struct segment_offload *offload)
{
	uint64_t wake = 0;
	int rc;

	tend();
	rc = segment_put(node->seg, data, len, offload, &wake);
	segment_file_wake(node->file, wake);
	return rc;
}

static void
put_frame(struct node *node, const uint8_t dst[6], unsigned len)
{
	static uint8_t data[SEGMENT_MAX_FRAME];

	fill(data, len);
	address(data, dst, node->mac);
	assert_int_equal(put(node, data, len, NULL), 0);
}

// To these nodes, in one parcel: the switch takes all of it at once.
static void
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

// The next frame, with its offload; until WAIT_S.
static uint32_t
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

static void
expect_at(struct node *node, unsigned len)
{
	static uint8_t data[SEGMENT_MAX_FRAME], expected[SEGMENT_MAX_FRAME];

	assert_int_equal(get(node, data, NULL), len);
	fill(expected, len);
	assert_memory_equal(data + ETHER_HDR, expected + ETHER_HDR, len - ETHER_HDR);
}

static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static int
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

static int
add_separate_segments(void **state)
{
	geometry.buffers = SEGMENT_SEPARATE;
	return add_segments(state);
}

static int
add_noncoherent_segments(void **state)
{
	geometry.memory = SEGMENT_NONCOHERENT;
	return add_segments(state);
}

static int
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

// All slots that the others gave back, and are not the sender's own.
static uint32_t
n_free(const struct segment *seg)
{
	struct segment_pool_info info;

	segment_look_pool(seg, &info);
	return info.n_free;
}

// --- frames

// The guest's MAC is learned by the switch, the node's is told by the segment.
static void
guests_and_nodes_talk(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);
	const struct mac guest_0 = guest_mac(0);

	(void)state;
	put_frame(&a, broadcast, 100);
	expect_at(&b, 100);
	expect_frame(GUEST, 100);
	put_frame(&b, broadcast, 99);
	expect_at(&a, 99);
	expect_frame(GUEST, 99);
	put_frame(&a, mac_of(8), 101);
	expect_at(&b, 101);
	put_frame(&b, mac_of(7), 102);
	expect_at(&a, 102);
	send_frame(GUEST, BROADCAST, 0, 103);
	assert_int_equal(get(&a, (uint8_t[128]){0}, NULL), 103);
	assert_int_equal(get(&b, (uint8_t[128]){0}, NULL), 103);
	put_frame(&a, guest_0.b, 104);
	expect_frame(GUEST, 104);
	put_frame(&b, mac_of(7), 105); // what was not for it did not come
	expect_at(&a, 105);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// What it sends before the switch has found it is late, not lost.
static void
a_new_node_is_heard(void **state)
{
	struct node a;

	(void)state;
	for (uint8_t i = 0; i < 5; i++) {
		a = join_as(path_a, "new", 7);
		put_frame(&a, broadcast, 100 + i);
		expect_frame(GUEST, 100 + i);
		wait_tended(path_a);
		send_frame(GUEST, BROADCAST, 0, 61);
		assert_int_equal(get(&a, (uint8_t[64]){0}, NULL), 61);
		leave(&a);
		wait_tended(path_a);
	}
	assert_conserved();
}

static void
all_lengths_pass_whole(void **state)
{
	static const unsigned lens[] = {
		60, SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 2 * SLOT_BYTES, 5000, MTU + ETHER_HDR};
	struct node a = join(path_a, 7), b = join(path_b, 8);
	uint32_t before = n_free(a.seg);

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(lens); i++) {
		put_frame(&a, mac_of(8), lens[i]);
		expect_at(&b, lens[i]);
		put_frame(&b, mac_of(7), lens[i]);
		expect_at(&a, lens[i]);
	}
	put_frame(&a, mac_of(8), MTU + ETHER_HDR + 1);
	wait_drops(OTHER_PORT, DROP_MTU, 1);
	// Slots are at hand for the next frames, of both senders.
	assert_true(n_free(a.seg) + 2 * 32 >= before);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// As between nodes: what one burst has for one node costs a slot for each 2 KiB, not one a frame.
static void
small_frames_of_a_burst_share_a_slot(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct segment_frame frames[SEGMENT_BURST];
	uint8_t to[SEGMENT_BURST];
	unsigned n = 0, n_slots = 1;

	(void)state;
	put_frame(&a, broadcast, 60); // so that the switch knows where it is
	expect_at(&b, 60);
	expect_frame(GUEST, 60);
	memset(to, 7, sizeof(to));
	put_burst(&b, to);
	WAIT_FOR((n += segment_receive(a.seg, frames + n, SEGMENT_BURST - n)) == SEGMENT_BURST);
	for (unsigned i = 1; i < SEGMENT_BURST; i++)
		n_slots += (uint32_t)frames[i].slot[0] != (uint32_t)frames[i - 1].slot[0];
	// Packets come from another worker one by one.
	assert_in_range(n_slots, 1, n_workers > 1 ? SEGMENT_BURST / 2 : 1);
	segment_release(a.seg, frames, n);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// Frames of one burst have fates of their own, wherever in it they are.
static void
a_burst_loses_only_what_has_no_room(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	uint8_t to[SEGMENT_BURST], data[2048];

	(void)state;
	put_frame(&stuck, broadcast, 60);
	(void)get(&other, data, NULL);
	expect_at(&b, 60);
	expect_frame(GUEST, 60);
	put_frame(&other, mac_of(8), 60);
	expect_at(&b, 60);
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	WAIT_FOR(state_of(PORT).segment.counters.tx_frames == INBOX);
	for (unsigned i = 0; i < SEGMENT_BURST; i++)
		to[i] = i % 3 ? 9 : 7;
	put_burst(&b, to);
	for (unsigned i = 0; i < SEGMENT_BURST; i++)
		if (to[i] == 9)
			assert_int_equal(get(&other, data, NULL), 60);
	wait_drops(PORT, DROP_TX_FULL, (SEGMENT_BURST + 2) / 3);
	assert_int_equal(segment_receive(other.seg, &(struct segment_frame){0}, 1), 0);
	for (unsigned i = 0; i < INBOX; i++)
		assert_int_equal(get(&stuck, data, NULL), ALONE);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

// --- offloads

static void
store16(uint8_t *p, unsigned value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
}

static uint64_t
pseudo_sum(const uint8_t *ip, unsigned proto, unsigned l4_bytes)
{
	return frame_checksum_add(proto + l4_bytes, ip + 12, 8);
}

#define IP (ETHER_HDR)
#define L4 (ETHER_HDR + 20)

// An IPv4 packet; the pseudo header's sum is where the checksum will be.
static uint32_t
make_ip(uint8_t *p, uint8_t dst, uint8_t src, unsigned proto, unsigned payload)
{
	unsigned l4_len = proto == TCP ? 20 : proto == UDP ? 8 : 12, len = L4 + l4_len + payload;
	uint8_t *ip = p + IP, *l4 = p + L4;

	memset(p, 0, len);
	address(p, mac_of(dst), src);
	store16(p + 12, FRAME_ETHER_IPV4);
	ip[0] = 0x45;
	store16(ip + 2, len - IP);
	ip[8] = 64;
	ip[9] = (uint8_t)proto;
	memset(ip + 12, 0x0a, 4);
	memset(ip + 16, 0x0b, 4);
	store16(ip + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, ip, 20)));
	if (proto == TCP)
		l4[12] = 0x50;
	if (proto == UDP)
		store16(l4 + 4, l4_len + payload);
	for (unsigned i = 0; i < payload; i++)
		l4[l4_len + i] = (uint8_t)(i * 13);
	if (proto == TCP || proto == UDP)
		store16(l4 + (proto == TCP ? 16 : 6), frame_checksum_fold(pseudo_sum(ip, proto, len - L4)));
	return len;
}

static bool
is_checksum_right(const uint8_t *p, uint32_t len, unsigned proto)
{
	return frame_checksum_fold(frame_checksum_add(pseudo_sum(p + IP, proto, len - L4), p + L4, len - L4)) == 0xffff;
}

static struct segment_offload
needs_checksum(unsigned proto)
{
	return (struct segment_offload){
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = L4, .csum_offset = proto == TCP ? 16 : 6};
}

// To another segment what is asked for goes on; a guest that takes no offloads gets it done.
static void
checksums_are_left_or_done(void **state)
{
	static const unsigned protos[] = {TCP, UDP};
	struct node a = join(path_a, 7), b = join(path_b, 8);
	uint8_t sent[512], got[512];

	(void)state;
	put_frame(&b, broadcast, 60);
	expect_at(&a, 60);
	expect_frame(GUEST, 60);
	send_frame(GUEST, BROADCAST, 0, 60);
	(void)get(&a, got, NULL);
	(void)get(&b, got, NULL);
	for (unsigned i = 0; i < RTE_DIM(protos); i++) {
		struct segment_offload asked = needs_checksum(protos[i]), left;
		uint32_t len = make_ip(sent, 8, 7, protos[i], 201);
		const struct mac guest_0 = guest_mac(0);
		struct rte_mbuf *m;

		assert_int_equal(put(&a, sent, len, &asked), 0);
		assert_int_equal(get(&b, got, &left), len);
		assert_memory_equal(got, sent, len);
		assert_memory_equal(&left, &asked, sizeof(left));
		memcpy(sent, guest_0.b, 6);
		assert_int_equal(put(&a, sent, len, &asked), 0);
		m = receive(GUEST);
		assert_int_equal(m->pkt_len, len);
		assert_true(is_checksum_right(rte_pktmbuf_mtod(m, const uint8_t *), len, protos[i]));
		rte_pktmbuf_free(m);
	}
	assert_conserved();
	leave(&a);
	leave(&b);
}

// The longest there is, in a chain of slots and of buffers.
static void
super_frames_pass_whole_or_in_segments(void **state)
{
	static uint8_t sent[SEGMENT_MAX_FRAME], got[SEGMENT_MAX_FRAME];
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct segment_offload asked = needs_checksum(TCP), left;
	const struct mac guest_0 = guest_mac(0);
	unsigned payload = 65535 - 40, bytes = 0;
	uint32_t len;

	(void)state;
	put_frame(&b, broadcast, 60);
	expect_at(&a, 60);
	expect_frame(GUEST, 60);
	len = make_ip(sent, 8, 7, TCP, payload);
	asked.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
	asked.gso_size = 1400;
	asked.hdr_len = L4 + 20;
	assert_int_equal(put(&a, sent, len, &asked), 0);
	assert_int_equal(get(&b, got, &left), len);
	assert_memory_equal(got, sent, IP + 10);
	assert_memory_equal(got + IP + 12, sent + IP + 12, L4 + 16 - (IP + 12));
	assert_memory_equal(got + L4 + 18, sent + L4 + 18, len - (L4 + 18));
	assert_memory_equal(&left, &asked, sizeof(left));
	memcpy(sent, guest_0.b, 6);
	send_frame(GUEST, BROADCAST, 0, 60);
	(void)get(&a, got, NULL);
	assert_int_equal(put(&a, sent, 10000, &asked), 0); // shorter than it says it is
	len = make_ip(sent, 8, 7, TCP, 10000);
	memcpy(sent, guest_0.b, 6);
	assert_int_equal(put(&a, sent, len, &asked), 0);
	while (bytes < 10000) {
		struct rte_mbuf *m = receive(GUEST);

		assert_true(m->pkt_len <= 1400 + L4 + 20);
		assert_true(is_checksum_right(rte_pktmbuf_mtod(m, const uint8_t *), m->pkt_len, TCP));
		bytes += m->pkt_len - L4 - 20;
		rte_pktmbuf_free(m);
	}
	assert_int_equal(bytes, 10000);
	wait_drops(PORT, DROP_OFFLOAD, 1);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// Segments of what is no TCP; a size of 0; checksums behind the end, inside of headers, of another protocol, inside of a tunnel.
static void
false_claims_harm_nobody(void **state)
{
	static const struct segment_offload claims[] = {
		{.flags = 1, .csum_start = 65535, .csum_offset = 65535},
		{.flags = 1, .csum_start = 0, .csum_offset = 500},
		{.flags = 1, .csum_start = 241, .csum_offset = 0},
		{.flags = 1, .csum_start = 242, .csum_offset = 0},
		{.flags = 0xfe, .hdr_len = 65535, .csum_start = 3},
	};
	struct node a = join(path_a, 7), b = join(path_b, 8);
	uint8_t sent[512], got[512];
	struct segment_offload o;
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(claims); i++) {
		len = make_ip(sent, 8, 7, UDP, 200);
		assert_int_equal(len, 242);
		assert_int_equal(put(&a, sent, len, &claims[i]), 0);
		assert_int_equal(get(&b, got, &o), len);
		assert_int_equal(o.flags, 0);
		assert_memory_equal(got + 6, sent + 6, len - 6);
	}
	len = make_ip(sent, 8, 7, UDP, 200);
	o = (struct segment_offload){.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 100};
	assert_int_equal(put(&a, sent, len, &o), 0);
	wait_drops(PORT, DROP_OFFLOAD, 1);
	len = make_ip(sent, 8, 7, TCP, 200);
	o = (struct segment_offload){.gso_type = VIRTIO_NET_HDR_GSO_TCPV4};
	assert_int_equal(put(&a, sent, len, &o), 0);
	WAIT_FOR(drops_of(OTHER_PORT, DROP_OFFLOAD) == 1);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// The sum of everything behind csum_start; its place crosses buffers.
static void
other_checksums_are_done_at_once(void **state)
{
	static uint8_t sent[8000], got[8000];
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct segment_offload o = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 61, .csum_offset = SLOT_BYTES - 1 - 61};
	uint32_t len = make_ip(sent, 8, 7, SCTP, 7000);

	(void)state;
	memset(sent + SLOT_BYTES - 1, 0, 2);
	assert_int_equal(put(&a, sent, len, &o), 0);
	assert_int_equal(get(&b, got, &o), len);
	assert_int_equal(o.flags, 0);
	assert_int_equal(frame_checksum_fold(frame_checksum_add(0, got + 61, len - 61)), 0xffff);
	memset(got + SLOT_BYTES - 1, 0, 2);
	assert_memory_equal(got, sent, len);
	leave(&a);
	leave(&b);
}

// --- what does not take frames

static void
nobody_is_a_reason(void **state)
{
	struct node a = join(path_a, 7);

	(void)state;
	send_frame(GUEST, BROADCAST, 0, 60); // to A, and to nobody in B
	(void)get(&a, (uint8_t[64]){0}, NULL);
	wait_drops(OTHER_PORT, DROP_NO_NODE, 1);
	assert_int_equal(drops_of(PORT, DROP_NO_NODE), 0);
	assert_conserved();
	leave(&a);
}

// A node that takes nothing: its inbox's worth waits for it, the rest is dropped by name; its neighbour and the guest lose nothing.
static void
a_stuck_node_holds_up_nobody(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	static uint8_t data[256];
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 2 * INBOX; i++) {
		put_frame(&b, mac_of(7), 60);
		put_frame(&b, mac_of(9), 61);
		expect_at(&other, 61);
	}
	wait_drops(PORT, DROP_TX_FULL, INBOX);
	send_frame(GUEST, BROADCAST, 0, 62); // to those who have room
	assert_int_equal(get(&other, data, NULL), 62);
	assert_int_equal(get(&b, data, NULL), 62);
	assert_int_equal(drops_of(PORT, DROP_TX_FULL), INBOX);
	while (n < INBOX) {
		assert_int_equal(get(&stuck, data, NULL), 60);
		n++;
	}
	put_frame(&b, mac_of(7), 63);
	expect_at(&stuck, 63);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

// Its own buffers are all that it can fill.
static void
a_node_without_buffers_holds_up_nobody(void **state)
{
	struct node stuck = join(path_a, 7), other = join(path_a, 9), b = join(path_b, 8);
	unsigned n_slots = N_SLOTS / (N_NODES * (N_NODES - 1));

	(void)state;
	for (unsigned i = 0; i < 2 * n_slots; i++) {
		put_frame(&b, mac_of(7), 60);
		put_frame(&b, mac_of(9), 61);
		expect_at(&other, 61);
	}
	wait_drops(PORT, DROP_TX_FULL, n_slots);
	assert_conserved();
	leave(&stuck);
	leave(&other);
	leave(&b);
}

// Another node has all slots, but for those that the switch has at hand. When they come back, all is well.
static void
an_empty_pool_costs_frames_by_name(void **state)
{
	static struct segment_frame held[N_SLOTS];
	struct node a = join(path_a, 7), b = join(path_b, 8);
	unsigned n = 0, n_got = 0;
	uint8_t data[2048];

	(void)state;
	put_frame(&b, mac_of(7), 60);
	expect_at(&a, 60);
	while (!segment_reserve(a.seg, 0, 60, &held[n]))
		n++;
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	WAIT_FOR(drops_of(PORT, DROP_TX_FULL) + state_of(PORT).segment.counters.tx_frames == INBOX + 1);
	assert_true(drops_of(PORT, DROP_TX_FULL) > 0);
	assert_int_equal(state_of(PORT).segment.n_slots_free, 0);
	while (n--)
		segment_unreserve(a.seg, &held[n]);
	while (n_got + drops_of(PORT, DROP_TX_FULL) < INBOX) {
		assert_int_equal(get(&a, data, NULL), ALONE);
		n_got++;
	}
	put_frame(&b, mac_of(7), 62);
	expect_at(&a, 62);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// With a rate they wait at the port instead, and are sent when slots are free again.
static void
with_a_schedule_frames_wait_for_slots(void **state)
{
	static struct segment_frame held[N_SLOTS];
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct dp_port_stats stats;
	char err[DP_ERR_SIZE];
	unsigned n = 0;

	(void)state;
	cfg.rate_bps = UINT64_C(100000000000);
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	put_frame(&b, mac_of(7), 60);
	expect_at(&a, 60);
	while (!segment_reserve(a.seg, 0, 60, &held[n]))
		n++;
	// More than the switch has at hand. What is next to leave waits for 200 ms at most.
	for (unsigned i = 0; i < INBOX; i++)
		put_frame(&b, mac_of(7), ALONE);
	do {
		refresh_stats();
		assert_int_equal(dp_port_stats(dp, guest[PORT].port, &stats), 0);
	} while (stats.queued + (int64_t)stats.tx_pkts + (int64_t)stats.drops[DROP_TX_TIMEOUT] < INBOX + 1);
	assert_int_equal(stats.drops[DROP_TX_FULL], 0);
	while (n--)
		segment_unreserve(a.seg, &held[n]);
	for (unsigned i = 0; i < INBOX; i++)
		if (i + drops_of(PORT, DROP_TX_TIMEOUT) < INBOX)
			assert_int_equal(get(&a, (uint8_t[2048]){0}, NULL), ALONE);
	assert_conserved();
	leave(&a);
	leave(&b);
}

static uint64_t
n_sleeps(void)
{
	struct dp_worker_stats s;

	assert_int_equal(dp_worker_stats(dp, 0, &s), 0);
	return s.sleeps;
}

// Nobody tells a worker that there are buffers again: it does not sleep for long while frames wait for them. A port of the lowest rate holds
// those that the worker has at hand.
static void
frames_wait_for_buffers_awake(void **state)
{
	static void *taken[MAX_TAKEN];
	static uint8_t data[MTU];
	struct rte_mempool *buffers = rte_mempool_lookup("rtvs_pkts");
	struct node b = join(path_b, 8);
	struct dp_port_cfg cfg = port_cfg(GUEST);
	const struct mac guest_0 = guest_mac(0);
	char err[DP_ERR_SIZE];
	unsigned n = 0, len;
	uint64_t before, end;

	(void)state;
	if (n_workers > 1)
		skip(); // each has some at hand
	cfg.mtu = MTU;
	cfg.rate_bps = DP_RATE_MIN;
	cfg.queue = MAX_TAKEN;
	assert_int_equal(dp_port_set(dp, guest[GUEST].port, &cfg, err), 0);
	send_frame(GUEST, BROADCAST, 0, 60);
	(void)get(&b, data, NULL);
	rte_mempool_cache_flush(rte_mempool_default_cache(buffers, rte_lcore_id()), buffers);
	while (n < MAX_TAKEN && !rte_mempool_generic_get(buffers, &taken[n], 1, NULL))
		n++;
	address(data, guest_0.b, b.mac);
	WAIT_FOR((put(&b, data, sizeof(data), NULL), rte_mempool_avail_count(buffers) < FEW));
	before = n_sleeps();
	end = rte_rdtsc() + rte_get_tsc_hz() * WAIT_S;
	while (n_sleeps() <= before + 60 * WAIT_S) // of 100 ms there are 10 a second. Housekeeping would wake it
		assert_true(rte_rdtsc() < end);
	rte_mempool_generic_put(buffers, taken, n, NULL);
	cfg.rate_bps = 0;
	assert_int_equal(dp_port_set(dp, guest[GUEST].port, &cfg, err), 0);
	do {
		struct rte_mbuf *m;

		(void)put(&b, data, 62, NULL);
		m = receive(GUEST);
		len = m->pkt_len;
		rte_pktmbuf_free(m);
	} while (len != 62);
	leave(&b);
}

// --- the segment comes and goes

static void
the_port_waits_for_its_file(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	char err[DP_ERR_SIZE] = "";
	struct node a;
	int fd;

	(void)state;
	assert_int_equal(dp_port_check_segment(path_a, err), 0);
	add_port(PORT, &cfg);
	assert_false(state_of(PORT).is_link_up);
	assert_int_equal(state_of(PORT).segment.node, -1);
	assert_true(says(PORT, "waiting for the segment: "));
	assert_true(says(PORT, "no such file"));
	// What lies there then is no segment yet.
	fd = open(path_a, O_CREAT | O_RDWR, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 65536), 0);
	WAIT_FOR(says(PORT, "is no segment"));
	assert_int_equal(dp_port_check_segment(path_a, err), -ENODATA);
	assert_non_null(strstr(err, "path: "));
	close(fd);
	assert_int_equal(unlink(path_a), 0);
	WAIT_FOR(says(PORT, "no such file"));
	create(path_a);
	WAIT_FOR(state_of(PORT).is_link_up);
	assert_int_equal(dp_port_check_segment(path_a, err), 0);
	assert_string_equal(state_of(PORT).detail, "");
	a = join(path_a, 7);
	put_frame(&a, broadcast, 60);
	wait_drops(PORT, DROP_NO_TARGET, 1);
	leave(&a);
	assert_int_equal(state_of(PORT).n_connects, 1);
}

static void
a_file_made_anew_is_joined(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);

	(void)state;
	assert_int_equal(unlink(path_a), 0);
	WAIT_FOR(says(PORT, "was removed"));
	put_frame(&a, mac_of(8), 60); // those who have it go on
	expect_at(&b, 60);
	create(path_a);
	WAIT_FOR(state_of(PORT).n_connects == 2);
	assert_true(state_of(PORT).is_link_up);
	assert_string_equal(state_of(PORT).detail, "");
	leave(&a);
	a = join(path_a, 7);
	put_frame(&a, mac_of(8), 61);
	expect_at(&b, 61);
	put_frame(&b, mac_of(7), 62);
	expect_at(&a, 62);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// By whoever may write it, to any length; the other ports go on.
static void
a_truncated_file_costs_its_port_only(void **state)
{
	static const off_t lens[] = {0, 1 << 20, 4096, 1};
	struct node b = join(path_b, 8);

	(void)state;
	assert_int_equal(sigaction(SIGBUS, &bus_errors, NULL), 0);
	for (unsigned i = 0; i < RTE_DIM(lens); i++) {
		uint64_t n_before = state_of(PORT).n_disconnects;

		assert_int_equal(truncate(path_a, lens[i]), 0);
		put_frame(&b, broadcast, 60); // into what is left
		expect_frame(GUEST, 60);
		WAIT_FOR(state_of(PORT).n_disconnects == n_before + 1);
		assert_false(state_of(PORT).is_link_up);
		assert_true(says(PORT, "waiting for the segment: "));
		send_frame(GUEST, BROADCAST, 0, 61);
		assert_int_equal(get(&b, (uint8_t[64]){0}, NULL), 61);
		assert_int_equal(unlink(path_a), 0);
		create(path_a);
		WAIT_FOR(state_of(PORT).is_link_up);
	}
	assert_conserved();
	leave(&b);
}

static void
expelled_it_joins_again(void **state)
{
	struct node a = join(path_a, 7), b = join(path_b, 8);

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		WAIT_FOR(state_of(PORT).segment.n_nodes == 2);
		assert_true(segment_expel(a.seg, (unsigned)state_of(PORT).segment.node));
		WAIT_FOR(state_of(PORT).n_connects == i + 2);
		put_frame(&a, mac_of(8), 60 + i);
		expect_at(&b, 60 + i);
		put_frame(&b, mac_of(7), 70 + i);
		expect_at(&a, 70 + i);
	}
	assert_conserved();
	leave(&a);
	leave(&b);
}

static void
a_name_that_lives_is_waited_for(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct node twin;

	(void)state;
	create(path_a);
	twin = join_as(path_a, cfg.name, 7);
	add_port(PORT, &cfg);
	assert_false(state_of(PORT).is_link_up);
	assert_true(says(PORT, "has the name p1"));
	leave(&twin);
	WAIT_FOR(state_of(PORT).is_link_up);
}

// Pages of shared memory that this process has mapped.
static uint64_t
mapped_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %*u %lu", &pages), 1);
	(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// Before frames want it, by a thread that has the time.
static void
a_whole_file_is_mapped_ahead(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	uint64_t before;

	(void)state;
	geometry.n_slots = MANY_SLOTS;
	create(path_a);
	before = mapped_bytes();
	add_port(PORT, &cfg);
	WAIT_FOR(mapped_bytes() >= before + (uint64_t)MANY_SLOTS * SLOT_BYTES);
}

// Its slots are free again, and its number.
static void
a_dead_node_is_cleared_up(void **state)
{
	struct node b = join(path_b, 8);
	uint32_t before = n_free(b.seg);
	unsigned n_nodes;
	int status;
	pid_t pid;

	(void)state;
	n_nodes = state_of(OTHER_PORT).segment.n_nodes;
	assert_int_equal(n_nodes, 2);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct segment_identity identity = {.name = "mortal", .mtu = MTU};
		struct segment_frame frame;
		struct segment_file *file;
		char err[SEGMENT_ERR_SIZE];

		if (!segment_file_open(path_b, false, &file, err) && !segment_file_join(file, -1, &identity, err))
			for (unsigned i = 0; i < 100; i++)
				(void)segment_reserve(segment_file_segment(file), 0, SEGMENT_MAX_FRAME, &frame);
		(void)raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	WAIT_FOR(state_of(OTHER_PORT).segment.n_nodes == n_nodes && n_free(b.seg) == before);
	put_frame(&b, broadcast, 60);
	expect_frame(GUEST, 60);
	assert_conserved();
	leave(&b);
}

static void
down_is_left(void **state)
{
	struct dp_port_cfg cfg = segment_cfg(PORT, path_a);
	struct node a = join(path_a, 7);
	char err[DP_ERR_SIZE];

	(void)state;
	cfg.admin_up = false;
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	assert_false(state_of(PORT).is_link_up);
	assert_true(says(PORT, "administratively down"));
	assert_int_equal(put(&a, (uint8_t[60]){0x52, 0x54, 0, 0, 1, 8}, 60, NULL), -EHOSTUNREACH);
	cfg.admin_up = true;
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), 0);
	WAIT_FOR(state_of(PORT).is_link_up);
	assert_int_equal(dp_port_del(dp, guest[PORT].port), 0);
	assert_int_equal(put(&a, (uint8_t[60]){0x52, 0x54, 0, 0, 1, 8}, 60, NULL), -EHOSTUNREACH);
	add_port(PORT, &cfg);
	cfg.path[5] = 'X';
	assert_int_equal(dp_port_set(dp, guest[PORT].port, &cfg, err), -EINVAL);
	assert_non_null(strstr(err, "path: fixed"));
	leave(&a);
}

static int
start(void **state)
{
	int rc = fixture_start(state);

	return rc ? rc : sigaction(SIGBUS, NULL, &bus_errors);
}

int
main(int argc, char **argv)
{
#define T_OF(test, add) cmocka_unit_test_setup_teardown(test, add, remove_segments)
#define T(test) T_OF(test, add_segments)
#define T_ALONE(test) cmocka_unit_test_setup_teardown(test, fixture_add_bridge, remove_segments)
	const struct CMUnitTest tests[] = {
		T(guests_and_nodes_talk),
		T(all_lengths_pass_whole),
		T(small_frames_of_a_burst_share_a_slot),
		T(a_burst_loses_only_what_has_no_room),
		T(checksums_are_left_or_done),
		T(super_frames_pass_whole_or_in_segments),
		T(false_claims_harm_nobody),
		T(other_checksums_are_done_at_once),
		T(nobody_is_a_reason),
		T(a_stuck_node_holds_up_nobody),
		T_OF(guests_and_nodes_talk, add_separate_segments),
		T_OF(a_node_without_buffers_holds_up_nobody, add_separate_segments),
		T_OF(guests_and_nodes_talk, add_noncoherent_segments),
		T_OF(a_new_node_is_heard, add_noncoherent_segments),
		T_OF(super_frames_pass_whole_or_in_segments, add_noncoherent_segments),
		T(an_empty_pool_costs_frames_by_name),
		T(with_a_schedule_frames_wait_for_slots),
		T(frames_wait_for_buffers_awake),
		T_ALONE(the_port_waits_for_its_file),
		T(a_file_made_anew_is_joined),
		T(a_truncated_file_costs_its_port_only),
		T(expelled_it_joins_again),
		T_ALONE(a_name_that_lives_is_waited_for),
		T_ALONE(a_whole_file_is_mapped_ahead),
		T(a_dead_node_is_cleared_up),
		T(down_is_left),
	};

	n_workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	(void)snprintf(path_a, sizeof(path_a), "/dev/shm/rtvs-test-%d-a", (int)getpid());
	(void)snprintf(path_b, sizeof(path_b), "/dev/shm/rtvs-test-%d-b", (int)getpid());
	return cmocka_run_group_tests_name("dp/segment_port", tests, start, fixture_stop);
}
