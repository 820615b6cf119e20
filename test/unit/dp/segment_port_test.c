// The traffic between a segment's nodes and the bridge: frames, bursts, offloads.
#include "rtvs/frame.h"
#include "segment_fixture.h"

#include <linux/virtio_net.h>

#define TCP 6
#define UDP 17
#define SCTP 132

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

// Frames that it sends before the switch has found it are late, not lost.
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

// Checksums behind the end, inside of Ethernet's header, between words; segments of packets other
// than TCP, of a kind that nobody offered, without checksums, of size 0.
static void
false_claims_are_dropped_by_name(void **state)
{
	static const struct segment_offload claims[] = {
		{.flags = 1, .csum_start = 65535, .csum_offset = 65535},
		{.flags = 1, .csum_start = 0, .csum_offset = 50},
		{.flags = 1, .csum_start = 34, .csum_offset = 500},
		{.flags = 1, .csum_start = 34, .csum_offset = 5},
		{.flags = 1, .csum_start = 241, .csum_offset = 0},
		{.flags = 1, .csum_start = 242, .csum_offset = 0},
		{.flags = 1, VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100, .csum_start = L4, .csum_offset = 16},
		{.flags = 1, VIRTIO_NET_HDR_GSO_UDP, .gso_size = 100, .csum_start = L4, .csum_offset = 6},
		{.flags = 1, VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 100, .csum_start = L4, .csum_offset = 6},
		{.flags = 0, VIRTIO_NET_HDR_GSO_UDP_L4, .gso_size = 100},
	};
	static const struct segment_offload of_tcp[] = {
		{.flags = 1, VIRTIO_NET_HDR_GSO_TCPV4, .csum_start = L4, .csum_offset = 16},
		{.flags = 0, VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100, .csum_start = L4, .csum_offset = 16},
		{.flags = 1, VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = 100, .csum_start = L4, .csum_offset = 16},
		{.flags = 1, 0x20 | VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 100, .csum_start = L4, .csum_offset = 16},
	};
	struct node a = join(path_a, 7), b = join(path_b, 8);
	uint8_t sent[512], got[512];
	struct segment_offload o;
	uint64_t n_dropped = 0;
	uint32_t len;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(claims); i++) {
		len = make_ip(sent, 8, 7, UDP, 200);
		assert_int_equal(len, 242);
		assert_int_equal(put(&a, sent, len, &claims[i]), 0);
		wait_drops(PORT, DROP_OFFLOAD, ++n_dropped);
	}
	for (unsigned i = 0; i < RTE_DIM(of_tcp); i++) {
		len = make_ip(sent, 8, 7, TCP, 200);
		assert_int_equal(put(&a, sent, len, &of_tcp[i]), 0);
		wait_drops(PORT, DROP_OFFLOAD, ++n_dropped);
	}
	// Without a request the rest is not read.
	o = (struct segment_offload){.flags = 0xfe, .hdr_len = 65535, .csum_start = 3};
	len = make_ip(sent, 8, 7, UDP, 200);
	assert_int_equal(put(&a, sent, len, &o), 0);
	assert_int_equal(get(&b, got, &o), len);
	assert_int_equal(o.flags, 0);
	assert_memory_equal(got, sent, len);
	assert_conserved();
	leave(&a);
	leave(&b);
}

// The guest's next frame is what was sent, with the sum of everything from csum_start on.
static void
expect_done(const uint8_t *sent, uint32_t len, const struct segment_offload *o)
{
	static uint8_t copy[8000];
	struct rte_mbuf *m = receive(GUEST);
	const uint8_t *data = rte_pktmbuf_read(m, 0, len, copy);
	unsigned at = o->csum_start + o->csum_offset;

	assert_int_equal(m->pkt_len, len);
	assert_int_equal(frame_checksum_fold(frame_checksum_add(0, data + o->csum_start, len - o->csum_start)), 0xffff);
	assert_memory_equal(data, sent, at);
	assert_memory_equal(data + at + 2, sent + at + 2, len - at - 2);
	rte_pktmbuf_free(m);
}

// Of any protocol, and where the place crosses buffers. Who takes requests has to do the same.
static void
other_checksums_are_left_or_done(void **state)
{
	static uint8_t sent[8000], got[8000];
	struct node a = join(path_a, 7), b = join(path_b, 8);
	struct segment_offload o = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 61, .csum_offset = SLOT_BYTES - 1 - 61};
	uint32_t len = make_ip(sent, 8, 7, SCTP, 7000);
	struct segment_offload left;

	(void)state;
	memset(sent + SLOT_BYTES - 1, 0, 2);
	// Nobody knows yet where b is: each gets the frame in its own form.
	assert_int_equal(put(&a, sent, len, &o), 0);
	assert_int_equal(get(&b, got, &left), len);
	assert_memory_equal(&left, &o, sizeof(left));
	assert_memory_equal(got, sent, len);
	expect_done(sent, len, &o);
	leave(&a);
	leave(&b);
}

int
main(int argc, char **argv)
{
#define T_OF(test, add) cmocka_unit_test_setup_teardown(test, add, remove_segments)
#define T(test) T_OF(test, add_segments)
	const struct CMUnitTest tests[] = {
		T(guests_and_nodes_talk),
		T(all_lengths_pass_whole),
		T(small_frames_of_a_burst_share_a_slot),
		T(checksums_are_left_or_done),
		T(super_frames_pass_whole_or_in_segments),
		T(false_claims_are_dropped_by_name),
		T(other_checksums_are_left_or_done),
		T_OF(guests_and_nodes_talk, add_separate_segments),
		T_OF(guests_and_nodes_talk, add_noncoherent_segments),
		T_OF(a_new_node_is_heard, add_noncoherent_segments),
		T_OF(super_frames_pass_whole_or_in_segments, add_noncoherent_segments),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/segment_port", tests, segment_fixture_start, fixture_stop);
}
