// Frames from a guest through the switch of a worker made by hand, to receivers of all kinds. Each
// gets the sender's bytes, though the sender writes over them as soon as the turn ends.
#include "guest_fixture.h"
#include "path/capture.h"
#include "path/egress.h"
#include "path/schedule.h"
#include "path/switch.h"

#include <rte_ring.h>

#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#define VLAN 5
#define LONGEST 16000
#define SLOTS 4
#define MINE 0
#define OTHERS 1

enum {
	SENDER,
	PLAIN,
	ACCESS,
	TRUNK,
	SCHEDULED,
	OTHER_WORKER,
	CAPTURED,
	KEEPER,
	N_PORTS
};

static struct env env;
static struct worker w;
static struct view *view;
static struct view_block block;
static struct view_bridge *view_bridge;
static struct view_port entry[N_PORTS];
static struct port_path port[N_PORTS];
static struct bridge_path bridge;
static struct mac_bucket buckets[16];
static uint16_t members[N_PORTS], owned[N_PORTS];
static struct view_worker mine = {.owned = owned};
static struct worker_waiting waiting[N_PORTS];
static struct capture capture;
static struct capture_slot slot[SLOTS];
static struct rte_mbuf *kept[PORT_BURST];
static unsigned n_kept;

static uint8_t sent[LONGEST], got[LONGEST + 4];

static uint16_t
keep(struct device *device, uint16_t q, struct rte_mbuf **pkts, uint16_t n, struct port_refused *refused)
{
	(void)device;
	(void)q;
	(void)refused;
	for (uint16_t i = 0; i < n; i++)
		kept[n_kept++] = pkts[i];
	return n;
}

static const struct port_io keeper_io = {.tx = keep};

static uint64_t
mac_of(unsigned i)
{
	return UINT64_C(0x020000000000) + i;
}

static void
begin_port(uint16_t i)
{
	uint16_t old;

	port[i] = (struct port_path){.id = i, .owner = i == OTHER_WORKER ? OTHERS : MINE, .answer = PORT_NO_ANSWER};
	if (i == KEEPER)
		port[i].device = (struct device){.io = &keeper_io, .is_up = true, .caps = PORT_CAP_SEGS, .n_txq = 1};
	else
		port[i].device = guest[i].device;
	entry[i] = (struct view_port){.port = &port[i],
		.bridge = &bridge,
		.mirror_to = VIEW_NO_PORT,
		.vlan = i == ACCESS ? VLAN : 0,
		.is_trunk = i == SENDER || i == TRUNK,
		.carries_all = true,
		.takes_untagged = true,
		.is_admin_up = true,
		.frame_max = LONGEST,
		.mac_limit = UINT32_MAX,
		.deadline_ns = 1000000,
		.sender = {.deadline_ns = 1000000, .weight = 1, .limit = 64},
		.dscp_out = DSCP_KEEP};
	block.port[i] = &entry[i];
	members[i] = owned[i] = i;
	assert_int_equal(mac_table_add_static(&bridge.macs, mac_of(i), 0, i, &old, 0), 0);
	assert_int_equal(mac_table_add_static(&bridge.macs, mac_of(i), VLAN, i, &old, 0), 0);
}

static void
begin_capture(void)
{
	capture = (struct capture){.snaplen = LONGEST,
		.filled = rte_ring_create("filled", SLOTS * 2, SOCKET_ID_ANY, 0),
		.empty = rte_ring_create("empty", SLOTS * 2, SOCKET_ID_ANY, 0)};
	assert_non_null(capture.filled);
	assert_non_null(capture.empty);
	for (unsigned i = 0; i < SLOTS; i++) {
		slot[i].data = malloc(LONGEST);
		assert_int_equal(rte_ring_enqueue(capture.empty, &slot[i]), 0);
	}
	entry[CAPTURED].capture = &capture;
}

static int
begin(void **state)
{
	(void)guests_begin(state);
	memset(buckets, 0, sizeof(buckets));
	memset(waiting, 0, sizeof(waiting));
	assert_int_equal(mac_table_init(&bridge.macs, buckets, RTE_DIM(buckets), 64, 1), 0);
	env = (struct env){.pool = pool, .n_mbufs = 65536, .n_workers = 1, .events.fd = -1};
	clock_start(&env.clock, clock_read_pair());
	assert_int_equal(event_queue_init(&env.events, &env.clock), 0);
	w = (struct worker){.env = &env, .index = MINE, .pool = pool, .now_ns = 1000000000, .waiting = waiting};
	w.max_waiting = 64;
	w.port = aligned_alloc(RTE_CACHE_LINE_SIZE, N_PORTS * sizeof(*w.port));
	view = calloc(1, sizeof(*view) + sizeof(view->worker[0]));
	view_bridge = calloc(1, sizeof(*view_bridge));
	if (!w.port || !view || !view_bridge)
		return -1;
	memset(w.port, 0, N_PORTS * sizeof(*w.port));
	for (uint16_t i = 0; i < N_PORTS; i++)
		begin_port(i);
	*view_bridge = (struct view_bridge){.members = members, .n_members = N_PORTS};
	view->gen = 1;
	view->block[0] = &block;
	view->bridge[0] = view_bridge;
	view->n_ids = N_PORTS;
	mine.n_owned = N_PORTS;
	view->worker[MINE] = &mine;
	begin_capture();
	env.waker[OTHERS] = &w.waker;
	n_kept = 0;
	return mailbox_init(&port[OTHER_WORKER].handoff, 64) || waker_init(&w.waker) ||
			schedule_create((struct schedule **)&entry[SCHEDULED].schedule, w.now_ns) ?
		-1 :
		0;
}

static int
end(void **state)
{
	schedule_destroy(entry[SCHEDULED].schedule, &w);
	mailbox_fini(&port[OTHER_WORKER].handoff);
	waker_fini(&w.waker);
	event_queue_fini(&env.events);
	pkt_free_burst(kept, n_kept);
	rte_ring_free(capture.filled);
	rte_ring_free(capture.empty);
	for (unsigned i = 0; i < SLOTS; i++)
		free(slot[i].data);
	free(view_bridge);
	free(view);
	free(w.port);
	return guests_end(state);
}

// An Ethernet frame in `sent`: UDP in IPv4, with a tag if vlan is not 0.
static void
make(unsigned to, uint16_t vlan, uint32_t n)
{
	const uint64_t dst = to == N_PORTS ? FRAME_MAC_BROADCAST : mac_of(to);
	static const uint8_t ip[] = {0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17};
	uint32_t at = 12;

	for (uint32_t i = 0; i < n; i++)
		sent[i] = (uint8_t)(i * 7 + to + n);
	for (unsigned i = 0; i < 6; i++) {
		sent[i] = (uint8_t)(dst >> 8 * (5 - i));
		sent[6 + i] = (uint8_t)(mac_of(SENDER) >> 8 * (5 - i));
	}
	if (vlan) {
		memcpy(sent + at, (const uint8_t[]){0x81, 0, (uint8_t)(vlan >> 8), (uint8_t)vlan}, 4);
		at += 4;
	}
	memcpy(sent + at, ip, sizeof(ip));
	sent[at + 4] = (uint8_t)((n - at - 2) >> 8);
	sent[at + 5] = (uint8_t)(n - at - 2);
}

static void
poll_sender(void)
{
	struct rte_mbuf *pkts[PORT_BURST];
	uint16_t n = guest_io_ops.rx(&guest[SENDER].device, 0, pkts, PORT_BURST);

	for (uint16_t i = 0; i < n; i++)
		pkts[i]->port = SENDER;
	counters_add(&w.port[SENDER].c.rx_pkts, n);
	switch_burst(&w, view, SENDER, pkts, n);
	egress_flush(&w, view);
}

static void
end_turn(void)
{
	guest_io_turn_end(); // fails if a packet is borrowed still
	guest_reuse(SENDER);
}

// A frame to a port, or to all (N_PORTS), in a turn of its own.
static void
send_frame(unsigned to, uint16_t vlan, uint32_t n)
{
	make(to, vlan, n);
	guest_send(SENDER, NULL, sent, n);
	poll_sender();
	end_turn();
}

// What was sent with a VLAN's tag, or without one.
static void
assert_sent(const uint8_t *frame, int len, uint32_t n, bool has_tag, bool wants_tag)
{
	static uint8_t want[LONGEST + 4];
	uint32_t skip = has_tag && !wants_tag ? 4 : 0, more = wants_tag && !has_tag ? 4 : 0;

	memcpy(want, sent, 12);
	memcpy(want + 12, (const uint8_t[]){0x81, 0, 0, VLAN}, 4);
	memcpy(want + 12 + more, sent + 12 + skip, n - 12 - skip);
	assert_int_equal(len, n + more - skip);
	assert_memory_equal(frame, want, n + more - skip);
}

static void
assert_mbuf_sent(struct rte_mbuf *m, uint32_t n)
{
	const uint8_t *at = rte_pktmbuf_read(m, 0, m->pkt_len, got);

	assert_false(pkt_is_borrowed(m));
	assert_sent(at, (int)m->pkt_len, n, false, false);
}

static uint64_t
drops_of(unsigned i, enum drop drop)
{
	return w.port[i].c.drops[drop];
}

// The last byte of the head, the first beyond, a tag more, several buffers of ours.
static const uint32_t sizes[] = {60, 127, 128, 129, 130, 200, 1514, 2047, 2048, 2049, 4000, 9000, LONGEST - 100};

static void
guests_get_the_bytes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		guest_offer(PLAIN, LONGEST);
		send_frame(PLAIN, 0, sizes[i]);
		assert_sent(got, guest_receive(PLAIN, got, sizeof(got)), sizes[i], false, false);
	}
	assert_int_equal(w.port[PLAIN].c.tx_pkts, RTE_DIM(sizes));
}

static void
bursts_of_all_sizes_keep_their_order(void **state)
{
	unsigned next = 0;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		guest_offer(PLAIN, LONGEST);
		make(PLAIN, 0, sizes[i]);
		guest_send(SENDER, NULL, sent, sizes[i]);
	}
	poll_sender();
	end_turn();
	for (; next < RTE_DIM(sizes); next++) {
		make(PLAIN, 0, sizes[next]);
		assert_sent(got, guest_receive(PLAIN, got, sizeof(got)), sizes[next], false, false);
	}
}

static void
tags_come_and_go_in_the_head(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		unsigned n_free = rte_mempool_avail_count(pool);

		guest_offer(ACCESS, LONGEST);
		send_frame(ACCESS, VLAN, sizes[i] + 4);
		assert_sent(got, guest_receive(ACCESS, got, sizeof(got)), sizes[i] + 4, true, false);
		guest_offer(TRUNK, LONGEST);
		send_frame(TRUNK, VLAN, sizes[i]);
		assert_sent(got, guest_receive(TRUNK, got, sizeof(got)), sizes[i], true, true);
		entry[SENDER].vlan = VLAN; // what it sends without a tag
		guest_offer(TRUNK, LONGEST);
		send_frame(TRUNK, 0, sizes[i]);
		entry[SENDER].vlan = 0;
		assert_sent(got, guest_receive(TRUNK, got, sizeof(got)), sizes[i], false, true);
		assert_int_equal(rte_mempool_avail_count(pool), n_free);
	}
}

static void
who_keeps_a_packet_gets_a_copy(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		struct rte_mbuf *m;

		send_frame(KEEPER, 0, sizes[i]);
		assert_int_equal(n_kept, 1);
		assert_mbuf_sent(kept[0], sizes[i]);
		pkt_free(kept[--n_kept]);
		send_frame(OTHER_WORKER, 0, sizes[i]);
		assert_int_equal(mailbox_take(&port[OTHER_WORKER].handoff, &m, 1), 1);
		assert_mbuf_sent(m, sizes[i]);
		pkt_free(m);
	}
}

static void
captures_have_all_bytes(void **state)
{
	struct capture_slot *s = NULL;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		guest_offer(CAPTURED, LONGEST);
		send_frame(CAPTURED, 0, sizes[i]);
		assert_sent(got, guest_receive(CAPTURED, got, sizeof(got)), sizes[i], false, false);
		assert_int_equal(rte_ring_dequeue(capture.filled, (void **)&s), 0);
		assert_sent(s->data, (int)s->caplen, sizes[i], false, false);
		assert_int_equal(rte_ring_enqueue(capture.empty, s), 0);
	}
}

static void
packets_that_wait_are_copies(void **state)
{
	(void)state;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		guest_offer(SCHEDULED, LONGEST); // passes at once
		send_frame(SCHEDULED, 0, sizes[i]);
		assert_sent(got, guest_receive(SCHEDULED, got, sizeof(got)), sizes[i], false, false);
		send_frame(SCHEDULED, 0, sizes[i]); // no room: one is pending, one queued
		send_frame(SCHEDULED, 0, sizes[i]);
		assert_int_equal(guest_receive(SCHEDULED, got, sizeof(got)), -1);
		for (unsigned k = 0; k < 2; k++)
			guest_offer(SCHEDULED, LONGEST);
		(void)schedule_serve_all(&w, view);
		guest_io_turn_end();
		for (unsigned k = 0; k < 2; k++)
			assert_sent(got, guest_receive(SCHEDULED, got, sizeof(got)), sizes[i], false, false);
	}
	assert_int_equal(w.port[SCHEDULED].c.queued_in, 2 * RTE_DIM(sizes));
	assert_int_equal(w.port[SCHEDULED].c.queued_out, 2 * RTE_DIM(sizes));
}

static void
floods_and_mirrors_reach_all(void **state)
{
	static const unsigned to[] = {PLAIN, TRUNK, SCHEDULED, CAPTURED};

	(void)state;
	entry[SENDER].mirror_to = KEEPER;
	entry[SENDER].mirror = DP_MIRROR_RX;
	for (unsigned i = 0; i < RTE_DIM(sizes); i++) {
		struct capture_slot *s = NULL;
		struct rte_mbuf *m;

		for (unsigned k = 0; k < RTE_DIM(to); k++)
			guest_offer(to[k], LONGEST);
		send_frame(N_PORTS, 0, sizes[i]);
		for (unsigned k = 0; k < RTE_DIM(to); k++)
			assert_sent(got, guest_receive(to[k], got, sizeof(got)), sizes[i], false, false);
		assert_int_equal(guest_receive(ACCESS, got, sizeof(got)), -1);
		assert_int_equal(mailbox_take(&port[OTHER_WORKER].handoff, &m, 1), 1);
		assert_mbuf_sent(m, sizes[i]);
		pkt_free(m);
		assert_int_equal(n_kept, 2); // flooded and mirrored
		while (n_kept) {
			assert_mbuf_sent(kept[n_kept - 1], sizes[i]);
			pkt_free(kept[--n_kept]);
		}
		assert_int_equal(rte_ring_dequeue(capture.filled, (void **)&s), 0);
		assert_int_equal(rte_ring_enqueue(capture.empty, s), 0);
	}
}

static void
receivers_without_room_lose_packets(void **state)
{
	struct guest_queue *q = guest[PLAIN].io.queue[GUEST_TO(0)];

	(void)state;
	send_frame(PLAIN, 0, 1514);
	assert_int_equal(drops_of(PLAIN, DROP_TX_FULL), 1);
	guest[PLAIN].io.queue[GUEST_TO(0)] = NULL;
	send_frame(PLAIN, 0, 1514);
	assert_int_equal(drops_of(PLAIN, DROP_TX_FULL), 2);
	guest[PLAIN].io.queue[GUEST_TO(0)] = q;
	q->ring.fault = GUEST_RING_FAULT_HEAD;
	send_frame(PLAIN, 0, 1514);
	assert_int_equal(drops_of(PLAIN, DROP_REFUSED), 1);
	port[PLAIN].device.is_up = false;
	send_frame(PLAIN, 0, 1514);
	assert_int_equal(drops_of(PLAIN, DROP_LINK_DOWN), 1);
	entry[SENDER].is_admin_up = false;
	send_frame(PLAIN, 0, 1514);
	assert_int_equal(drops_of(SENDER, DROP_PORT_DOWN), 1);
	assert_int_equal(w.port[PLAIN].c.tx_pkts, 0);
}

// A checksum that is left to the receiver, or to the switch, and segments of a super-frame.
static void
requests_are_as_with_copies(void **state)
{
	static const struct virtio_net_hdr hdr = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
	uint8_t sum[2];

	(void)state;
	for (unsigned i = 3; i < RTE_DIM(sizes); i++)
		for (unsigned in_software = 0; in_software < 2; in_software++) {
			make(PLAIN, 0, sizes[i]);
			sent[38] = (uint8_t)((sizes[i] - 34) >> 8);
			sent[39] = (uint8_t)(sizes[i] - 34);
			guest_send(SENDER, &hdr, sent, sizes[i]);
			guest_offer(PLAIN, LONGEST);
			port[PLAIN].device.caps = in_software ? PORT_CAP_SEGS : guest[PLAIN].device.caps;
			poll_sender();
			end_turn();
			assert_int_equal(guest_receive(PLAIN, got, sizeof(got)), sizes[i]);
			memcpy(sum, got + 40, 2);
			if (in_software)
				assert_memory_not_equal(sum, sent + 40, 2);
			memcpy(got + 40, sent + 40, 2);
			assert_memory_equal(got, sent, sizes[i]);
		}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(guests_get_the_bytes),
		CASE(bursts_of_all_sizes_keep_their_order),
		CASE(tags_come_and_go_in_the_head),
		CASE(who_keeps_a_packet_gets_a_copy),
		CASE(captures_have_all_bytes),
		CASE(packets_that_wait_are_copies),
		CASE(floods_and_mirrors_reach_all),
		CASE(receivers_without_room_lose_packets),
		CASE(requests_are_as_with_copies),
	};

	return cmocka_run_group_tests(tests, guests_start, guests_stop);
}
