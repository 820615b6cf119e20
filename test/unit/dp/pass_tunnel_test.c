// Frames through tunnels whose uplink is a guest's device, in turns of a worker made by hand: those
// that are no packets leave and come as packets would. The same random frames, both ways, are run
// twice, the second time with packets only. Each ring then has the same bytes in the same order,
// and counters, numbers and measured delays are the same. A frame that passed is known by that no
// packet was made of it.
#include "guest_fixture.h"
#include "path/capture.h"
#include "path/decap.h"
#include "path/pace.h"
#include "path/pass.h"
#include "path/schedule.h"
#include "path/tunnel_table.h"
#include "rtvs/random.h"

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <stdlib.h>
#include <string.h>

#define LONGEST 1800
#define N_MBUFS 1023
#define N_TURNS 1500
#define EPOCH 20 // turns between two configurations
#define VNI 77
#define FLOWS 3 // senders behind the tunnel
#define SLOTS 64

enum {
	NEAR, // two guests
	NEAR2,
	UPLINK, // a guest's device
	GUESTS,
	TUNNEL = GUESTS,
	N_PORTS
};

// What arrived somewhere, in order: a hash of each frame.
struct stream {
	uint32_t n;
	uint64_t frame[N_TURNS * 4 * PORT_BURST];
};

struct outcome {
	struct stream to[GUESTS], captured;
	struct port_counters c[N_PORTS];
	uint64_t guest_errors[GUESTS], seq[N_PORTS];
	struct flow_delay account[FLOWS];
	uint64_t n_sent, n_made; // frames, and packets
	uint64_t n_punted;
};

static const struct prefix own = {.addr = {10, 9, 0, 1}, .len = 24}, remote = {.addr = {10, 9, 0, 2}, .len = 32};
static struct env env;
static struct clock fixed;
static struct worker w;
static struct view *view;
static struct view_block block;
static struct view_bridge *view_bridge;
static struct view_port entry[N_PORTS];
static struct view_uplink *uplink;
static struct view_tunnel tunnel;
static struct port_path port[N_PORTS];
static struct bridge_path bridge;
static struct mac_bucket buckets[32];
static uint16_t members[N_PORTS], owned[N_PORTS];
static struct view_worker mine = {.n_owned = N_PORTS, .owned = owned};
static struct worker_waiting waiting[N_PORTS];
static struct poll_queue polled[GUESTS];
static uint64_t seq[N_PORTS], far_seq[FLOWS];
static uint32_t queued[N_PORTS];
static struct decap_delays *delays;
static struct decap_flow flow[FLOWS];
static struct capture capture;
static struct capture_slot slot[SLOTS];
static struct guest_turn *turn;
static struct outcome *now; // of the run that is under way
static uint64_t seed;

// In place of those of pace.c: time is the test's.
void
pace_tick(struct worker *worker)
{
	(void)worker;
}

void
pace_wake(struct worker *worker, uint64_t slept_ns)
{
	(void)worker;
	(void)slept_ns;
}

static void
note(struct stream *s, const uint8_t *bytes, uint32_t n)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) + n; // FNV-1a

	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	assert_true(s->n < RTE_DIM(s->frame));
	s->frame[s->n++] = hash;
}

static int
start(void **state)
{
	struct clock_pair begin = clock_read_pair();

	(void)state;
	seed = unit_seed();
	turn = guest_io_turn_create();
	guest_io_turn_join(turn);
	if (!turn || start_eal(N_MBUFS))
		return -1;
	clock_start(&fixed, begin);
	return 0;
}

static int
stop(void **state)
{
	guest_io_turn_destroy(turn);
	return stop_eal(state);
}

static uint64_t
mac_of(unsigned i)
{
	return UINT64_C(0x020000000000) + i;
}

static struct geneve_template
headers(const struct prefix *from, const struct prefix *to, uint32_t vni, uint16_t vlan, bool has_meta, bool has_csum)
{
	struct geneve_tunnel t = {.has_meta = has_meta,
		.has_csum = has_csum,
		.hop_limit = 64,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vlan = vlan,
		.vni = vni,
		.local_mac = {{2, 1, 0, 0, 0, 1}},
		.remote_mac = {{2, 1, 0, 0, 0, 2}}};
	struct geneve_template template;

	memcpy(t.local, from->addr, 16);
	memcpy(t.remote, to->addr, 16);
	assert_int_equal(geneve_template_init(&template, &t), 0);
	return template;
}

static void
begin_port(uint16_t i)
{
	port[i] = (struct port_path){.id = i, .serial = i + 1u, .answer = PORT_NO_ANSWER};
	entry[i] = (struct view_port){.port = &port[i],
		.bridge = i == UPLINK ? NULL : &bridge,
		.mirror_to = VIEW_NO_PORT,
		.takes_untagged = true,
		.is_admin_up = true,
		.frame_max = 1514,
		.mac_limit = UINT32_MAX,
		.dscp_out = DSCP_KEEP,
		.deadline_ns = 1000000,
		.sender = {.weight = 1, .limit = 64}};
	block.port[i] = &entry[i];
	members[i] = owned[i] = i;
	assert_int_equal(mailbox_init(&port[i].handoff, 256), 0);
	if (i == TUNNEL) {
		port[i].device.is_up = true;
		return;
	}
	port[i].device = guest[i].device;
	poll_set_add(&w.polls, i, 0, 0, w.now_ns);
	w.polls.queue[w.polls.n - 1].guest = &guest[i].io;
	guest[i].from.cfg.is_plain = guest[i].to.cfg.is_plain = true;
}

static void
begin_capture(void)
{
	capture = (struct capture){.snaplen = 2 * LONGEST,
		.filled = rte_ring_create("filled", SLOTS * 2, SOCKET_ID_ANY, 0),
		.empty = rte_ring_create("empty", SLOTS * 2, SOCKET_ID_ANY, 0)};
	assert_true(capture.filled && capture.empty);
	for (unsigned i = 0; i < SLOTS; i++) {
		slot[i].data = malloc(2 * LONGEST);
		assert_int_equal(rte_ring_enqueue(capture.empty, &slot[i]), 0);
	}
}

static void
begin_tunnel(void)
{
	uplink = calloc(1, sizeof(*uplink) + 4 * sizeof(uplink->tunnel[0]));
	delays = calloc(1, sizeof(*delays));
	assert_true(uplink && delays);
	uplink->address = own;
	uplink->mask = 3;
	for (unsigned i = 0; i < 4; i++)
		uplink->tunnel[i] = VIEW_NO_PORT;
	tunnel_table_add(uplink, TUNNEL, &remote, VNI);
	memset(seq, 0, sizeof(seq));
	memset(far_seq, 0, sizeof(far_seq));
	memset(queued, 0, sizeof(queued));
	for (unsigned i = 0; i < FLOWS; i++) {
		flow_delay_init(&flow[i].account, NULL, NULL);
		delays->flow[i] = &flow[i];
	}
	tunnel = (struct view_tunnel){.uplink = UPLINK,
		.is_resolved = true,
		.remote = remote,
		.vni = VNI,
		.frame_max = 1700,
		.headers = headers(&own, &remote, VNI, 0, true, false),
		.delays = delays,
		.seq = seq,
		.queued = queued};
	entry[UPLINK].uplink = uplink;
	entry[UPLINK].frame_max = 1714;
	entry[TUNNEL].tunnel = &tunnel;
}

static int
begin(void **state)
{
	(void)guests_begin(state);
	memset(buckets, 0, sizeof(buckets));
	memset(waiting, 0, sizeof(waiting));
	bridge.n_moves = bridge.full_events = 0;
	assert_int_equal(mac_table_init(&bridge.macs, buckets, RTE_DIM(buckets), 64, 1), 0);
	memset(&env, 0, sizeof(env));
	env = (struct env){.pool = pool,
		.clock = fixed,
		.n_mbufs = N_MBUFS,
		.n_workers = 1,
		.events.fd = -1,
		.option_class = GENEVE_CLASS_DEFAULT};
	assert_int_equal(event_queue_init(&env.events, &env.clock), 0);
	assert_int_equal(mailbox_init(&env.punt, 64), 0);
	env.reports = rte_ring_create_elem("reports", sizeof(struct dp_report), 64, SOCKET_ID_ANY, 0);
	w = (struct worker){.env = &env, .pool = pool, .now_ns = 1000000000, .waiting = waiting, .max_waiting = 64};
	w.port = aligned_alloc(RTE_CACHE_LINE_SIZE, N_PORTS * sizeof(*w.port));
	view = calloc(1, sizeof(*view) + sizeof(view->worker[0]));
	view_bridge = calloc(1, sizeof(*view_bridge));
	now = calloc(1, sizeof(*now));
	assert_true(env.reports && w.port && view && view_bridge && now && !waker_init(&w.waker));
	env.waker[0] = &w.waker;
	memset(w.port, 0, N_PORTS * sizeof(*w.port));
	poll_set_init(&w.polls, polled, w.now_ns);
	for (uint16_t i = 0; i < N_PORTS; i++)
		begin_port(i);
	begin_tunnel();
	*view_bridge = (struct view_bridge){.members = members, .n_members = N_PORTS};
	view->gen = 1;
	view->block[0] = &block;
	view->bridge[0] = view_bridge;
	view->n_ids = N_PORTS;
	view->n_uplinks = 1;
	view->worker[0] = &mine;
	begin_capture();
	return 0;
}

static int
end(void **state)
{
	for (unsigned i = 0; i < N_PORTS; i++)
		mailbox_fini(&port[i].handoff);
	mailbox_fini(&env.punt);
	rte_ring_free(env.reports);
	waker_fini(&w.waker);
	event_queue_fini(&env.events);
	rte_ring_free(capture.filled);
	rte_ring_free(capture.empty);
	for (unsigned i = 0; i < SLOTS; i++)
		free(slot[i].data);
	free(uplink);
	free(delays);
	free(view_bridge);
	free(view);
	free(w.port);
	free(now);
	return guests_end(state);
}

static void
put_mac(uint8_t *to, uint64_t mac)
{
	for (unsigned i = 0; i < 6; i++)
		to[i] = (uint8_t)(mac >> 8 * (5 - i));
}

// A frame of n bytes, 60 at least, with IPv4 of any flow in it.
static void
make(uint64_t *r, uint8_t *f, uint64_t dst, uint64_t src, uint32_t n)
{
	static const uint8_t ip[] = {0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};

	for (uint32_t i = 0; i < n; i++)
		f[i] = (uint8_t)(i * 7 + n);
	put_mac(f, dst);
	put_mac(f + 6, src);
	f[12] = 8;
	f[13] = 0;
	memcpy(f + 14, ip, sizeof(ip));
	f[15] = random_below(r, 8) ? 0 : (uint8_t)random_next(r);
	f[16] = (uint8_t)((n - 14) >> 8);
	f[17] = (uint8_t)(n - 14);
	f[37] = (uint8_t)random_below(r, 4);
	memcpy(f + 46, &now->n_sent, 4); // no two are alike
}

static void
unmark(struct rte_mempool *mp, void *arg, void *obj, unsigned i)
{
	struct rte_mbuf *m = obj;
	uint64_t *n_made = arg;

	(void)mp;
	(void)i;
	*n_made += m->packet_type != 1;
	m->packet_type = 1; // nothing sets it here, but for 0 in each new packet
}

static uint64_t
packets_made(void)
{
	uint64_t n = 0;

	rte_mempool_obj_iter(pool, unmark, &n);
	return n;
}

static void
assert_conserved(void)
{
	uint64_t in = 0, out = 0;

	for (unsigned i = 0; i < N_PORTS; i++) {
		const struct port_counters *c = &w.port[i].c;

		if (i != TUNNEL) { // which its uplink counts
			in += c->rx_pkts;
			out += c->tx_pkts;
		}
		in += c->replicated;
		out += c->to_daemon;
		for (unsigned k = 0; k < DROP_COUNT; k++)
			out += c->drops[k];
	}
	assert_int_equal(in, out);
}

static void
run_turn(void)
{
	struct capture_slot *s;
	struct rte_mbuf *m;

	w.polls.look_ns = w.now_ns;
	(void)worker_turn(&w, view);
	for (unsigned i = 0; i < GUESTS; i++)
		guest_reuse(i);
	while (mailbox_take(&env.punt, &m, 1)) {
		now->n_punted++;
		pkt_free(m);
	}
	while (!rte_ring_dequeue(capture.filled, (void **)&s)) {
		note(&now->captured, s->data, s->caplen);
		assert_int_equal(rte_ring_enqueue(capture.empty, s), 0);
	}
	assert_conserved();
	now->n_made += packets_made();
}

static bool
one_in(uint64_t *r, unsigned n)
{
	return !random_below(r, n);
}

// In an epoch in which a port is plain nothing rare happens.
struct chance {
	uint64_t *r;
	bool is_plain;
};

static bool
rare(struct chance c, unsigned n)
{
	return one_in(c.r, n) && !c.is_plain;
}

// Any configuration that a view may have.
static void
configure(uint64_t *r, unsigned i)
{
	const struct chance k = {r, one_in(r, 2)};
	struct view_port *vp = &entry[i];

	vp->capture = rare(k, 16) ? &capture : NULL;
	vp->max_rate.rate = 0;
	port[i].device.is_up = !rare(k, 24);
	if (i != TUNNEL) {
		guest[i].queue[GUEST_TO(0)].is_enabled = !rare(k, 24);
		guest[i].from.cfg.is_plain = guest[i].to.cfg.is_plain = !rare(k, 4);
	}
	if (i == UPLINK) {
		vp->frame_max = rare(k, 6) ? 1000 : 1714;
		vp->vlan = rare(k, 8) ? 5 : 0;
		return;
	}
	vp->takes_untagged = !rare(k, 16);
	vp->is_admin_up = !rare(k, 24);
	vp->is_isolated = rare(k, 4);
	vp->is_mirror_target = rare(k, 32);
	vp->mirror_to = NEAR2;
	vp->mirror = i != NEAR2 && rare(k, 12) ? (uint8_t)(1 + random_below(r, DP_MIRROR_BOTH)) : 0;
	vp->writes_dscp = rare(k, 3);
	vp->dscp_out = one_in(r, 2) ? DSCP_KEEP : 46;
	vp->deadline_ns = one_in(r, 2) ? 0 : random_below(r, UINT64_C(10000000000));
	vp->frame_max = rare(k, 4) ? 300 : 1514;
	vp->mac_limit = rare(k, 8) ? 2 : UINT32_MAX;
	port[i].answer = PORT_NO_ANSWER;
	if (i == TUNNEL) {
		tunnel.is_resolved = !rare(k, 16);
		tunnel.headers = headers(&own, &remote, VNI, entry[UPLINK].vlan, !rare(k, 3), rare(k, 8));
		tunnel.headers.has_csum = tunnel.headers.has_csum && one_in(r, 2);
	}
}

static uint32_t
any_length(uint64_t *r)
{
	static const uint16_t some[] = {60, 61, 64, 90, 127, 128, 129, 200, 299, 300, 301, 900, 1000, 1513, 1514, 1515};

	return one_in(r, 2) ? 60 : some[random_below(r, RTE_DIM(some))];
}

static uint64_t
any_near(uint64_t *r)
{
	return one_in(r, 32) ? FRAME_MAC_BROADCAST : one_in(r, 32) ? mac_of(99) : mac_of((unsigned)random_below(r, 2));
}

static bool
has_room(const struct driver *d)
{
	return d->n_free > DRIVER_PARTS && (!d->cfg.is_packed || d->n_free_slots > DRIVER_PARTS);
}

static void
send_near(uint64_t *r, unsigned i)
{
	unsigned n = one_in(r, 3) ? 0 : (unsigned)random_below(r, one_in(r, 2) ? 4 : 40);
	uint64_t dst = mac_of(TUNNEL + (unsigned)random_below(r, FLOWS));
	uint8_t frame[LONGEST];

	for (; n && has_room(&guest[i].from); n--) {
		uint32_t len = any_length(r);

		if (one_in(r, 8))
			dst = one_in(r, 2) ? any_near(r) : mac_of(TUNNEL + (unsigned)random_below(r, FLOWS));
		make(r, frame, dst, mac_of(i), len);
		guest_send(i, NULL, frame, len);
		now->n_sent++;
	}
}

// A frame of the other host, mostly one that is right.
static uint32_t
make_outside(uint64_t *r, uint8_t *f, bool is_plain)
{
	const struct prefix others = {.addr = {10, 9, 0, 3}, .len = 32};
	bool has_csum = !is_plain && one_in(r, 12);
	uint16_t from = (uint16_t)random_below(r, FLOWS), vlan = entry[UPLINK].vlan;
	uint32_t len = any_length(r), vni = VNI, end;
	const struct prefix *src = &remote, *dst = &own;
	struct geneve_template t;

	if (!is_plain && one_in(r, 32))
		vni++;
	if (!is_plain && one_in(r, 32))
		vlan ^= 4;
	if (!is_plain && one_in(r, 32))
		*(one_in(r, 2) ? &src : &dst) = &others;
	t = headers(src, dst, vni, vlan, is_plain || !one_in(r, 8), has_csum);
	make(r, f + t.len, any_near(r), mac_of(TUNNEL + from), len);
	geneve_push(&t, f, len, 50000, is_plain ? f[t.len + 15] & 3 : (uint8_t)random_next(r), 1000000, from);
	if (has_csum)
		geneve_finish_checksum(f, &t, len);
	geneve_patch_meta(f, &t, far_seq[from], clock_tai_ns(&fixed, w.now_ns) - 3000, 1000, has_csum);
	far_seq[from] += is_plain || !one_in(r, 16);
	end = t.len + len;
	if (is_plain)
		return end;
	if (one_in(r, 32)) {
		memset(f + end, 0xaa, 9); // padding
		end += 9;
	}
	if (one_in(r, 16))
		f[random_below(r, t.len)] ^= (uint8_t)(1 << random_below(r, 8));
	if (one_in(r, 32))
		end = (uint32_t)random_below(r, end);
	return end;
}

static void
send_outside(uint64_t *r)
{
	unsigned n = one_in(r, 3) ? 0 : (unsigned)random_below(r, one_in(r, 2) ? 4 : 40);
	bool is_plain = one_in(r, 2);
	uint8_t frame[LONGEST];

	for (; n && has_room(&guest[UPLINK].from); n--) {
		uint32_t len = make_outside(r, frame, is_plain);

		guest_send(UPLINK, NULL, frame, len);
		now->n_sent++;
	}
}

static void
allow_passing(bool may)
{
	view->gen++;
	for (unsigned i = 0; i < N_PORTS; i++)
		entry[i].passes = may && pass_allows(&entry[i]);
}

static void
offer_some(uint64_t *r, unsigned i)
{
	unsigned n = one_in(r, 4) ? (unsigned)random_below(r, 4) : (unsigned)random_below(r, 40);

	for (; n && has_room(&guest[i].to); n--)
		guest_offer(i, LONGEST + 4);
}

static void
receive_all(unsigned i)
{
	uint8_t got[LONGEST + 8];
	int n;

	while ((n = guest_receive(i, got, sizeof(got))) >= 0)
		note(&now->to[i], got, (uint32_t)n);
}

static struct outcome *
run(bool may_pass)
{
	uint64_t random = seed, *r = &random;
	struct outcome *ret;
	uint16_t old;

	assert_int_equal(begin(NULL), 0);
	for (unsigned i = 0; i < FLOWS; i++)
		(void)mac_table_add_static(&bridge.macs, mac_of(TUNNEL + i), 0, TUNNEL, &old, 0);
	(void)packets_made();
	for (unsigned t = 0; t < N_TURNS; t++) {
		if (t % EPOCH == 0) {
			for (unsigned i = 0; i < N_PORTS; i++)
				configure(r, i);
			allow_passing(may_pass);
		}
		for (unsigned i = 0; i < GUESTS; i++)
			offer_some(r, i);
		send_near(r, NEAR);
		send_near(r, NEAR2);
		send_outside(r);
		w.now_ns += random_below(r, 20000);
		w.now_s = (uint32_t)(w.now_ns / 1000000000);
		run_turn();
		for (unsigned i = 0; i < GUESTS; i++)
			if (!one_in(r, 4))
				receive_all(i);
	}
	for (unsigned i = 0; i < N_PORTS; i++)
		now->c[i] = w.port[i].c;
	for (unsigned i = 0; i < GUESTS; i++) {
		receive_all(i);
		now->guest_errors[i] = port[i].device.guest_errors;
	}
	memcpy(now->seq, seq, sizeof(seq));
	// A report is due at a run's end, and runs do not end at the same frames both ways: what
	// has come since is not compared.
	for (unsigned i = 0; i < FLOWS; i++) {
		now->account[i] = flow[i].account;
		now->account[i].next = (struct flow_delay_report){0};
		now->account[i].credit = 0;
	}
	ret = now;
	now = NULL;
	assert_int_equal(end(NULL), 0);
	return ret;
}

static void
assert_same_stream(const char *where, const struct stream *a, const struct stream *b)
{
	for (uint32_t i = 0; i < a->n && i < b->n; i++)
		if (a->frame[i] != b->frame[i])
			fail_msg("%s: frame %u is another", where, i);
	if (a->n != b->n)
		fail_msg("%s: %u frames, not %u", where, a->n, b->n);
}

static void
assert_same_counters(unsigned i, const struct port_counters *a, const struct port_counters *b)
{
	for (unsigned k = 0; k < DROP_COUNT; k++)
		if (a->drops[k] != b->drops[k])
			fail_msg("port %u: %s: %lu, not %lu", i, drop_names[k], a->drops[k], b->drops[k]);
	assert_int_equal(a->rx_pkts, b->rx_pkts);
	assert_int_equal(a->rx_bytes, b->rx_bytes);
	assert_int_equal(a->tx_pkts, b->tx_pkts);
	assert_int_equal(a->tx_bytes, b->tx_bytes);
	assert_int_equal(a->replicated, b->replicated);
	assert_int_equal(a->to_daemon, b->to_daemon);
}

static void
frames_pass_through_tunnels_as_packets_would(void **state)
{
	static const char *const names[] = {"near", "near2", "uplink"};
	struct outcome *passing = run(true), *packets = run(false);

	(void)state;
	for (unsigned i = 0; i < N_PORTS; i++)
		assert_same_counters(i, &passing->c[i], &packets->c[i]);
	for (unsigned i = 0; i < GUESTS; i++)
		assert_same_stream(names[i], &passing->to[i], &packets->to[i]);
	assert_same_stream("capture", &passing->captured, &packets->captured);
	assert_memory_equal(passing->guest_errors, packets->guest_errors, sizeof(passing->guest_errors));
	assert_memory_equal(passing->seq, packets->seq, sizeof(passing->seq));
	assert_memory_equal(passing->account, packets->account, sizeof(passing->account));
	assert_int_equal(passing->n_punted, packets->n_punted);
	print_message("%lu frames, %lu packets and %lu\n", passing->n_sent, passing->n_made, packets->n_made);
	assert_true(passing->n_made + passing->n_sent / 20 < packets->n_made);
	free(passing);
	free(packets);
}

// Both ways, timed, none becomes a packet: not even one that is longer than a head.
static void
plain_frames_of_tunnels_never_become_packets(void **state)
{
	static const uint32_t lengths[] = {60, 128, 129, 1514};
	uint8_t frame[LONGEST], got[LONGEST];
	struct geneve_packet p;
	uint64_t random = seed;
	uint16_t old;

	(void)state;
	(void)mac_table_add_static(&bridge.macs, mac_of(TUNNEL), 0, TUNNEL, &old, 0);
	(void)mac_table_add_static(&bridge.macs, mac_of(NEAR), 0, NEAR, &old, 0);
	entry[TUNNEL].writes_dscp = true;
	entry[NEAR].dscp_out = 46;
	allow_passing(true);
	(void)packets_made();
	for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
		make(&random, frame, mac_of(TUNNEL), mac_of(NEAR), lengths[i]);
		guest_send(NEAR, NULL, frame, lengths[i]);
		guest_offer(UPLINK, LONGEST);
		guest_offer(NEAR, LONGEST);
		run_turn();
		assert_true(guest_receive(UPLINK, got, sizeof(got)) > (int)lengths[i]);
		assert_int_equal(
			geneve_parse(got, sizeof(got), clock_tai_ns(&fixed, w.now_ns), GENEVE_CLASS_DEFAULT, &p),
			GENEVE_OK);
		assert_int_equal(p.meta.seq, i);
		assert_int_equal(p.meta.flow, NEAR);
		assert_int_equal(p.meta.time_ns, clock_tai_ns(&fixed, w.now_ns));
		assert_int_equal(p.tos >> 2, 46);
		assert_int_equal(p.inner_len, lengths[i]);
		assert_memory_equal(got + p.inner_offset, frame, lengths[i]);
		far_seq[0] = i;
	}
	for (unsigned i = 0; i < RTE_DIM(lengths); i++) {
		struct geneve_template t = headers(&remote, &own, VNI, 0, true, false);
		uint8_t out[LONGEST];

		make(&random, frame, mac_of(NEAR), mac_of(TUNNEL), lengths[i]);
		memcpy(out + t.len, frame, lengths[i]);
		geneve_push(&t, out, lengths[i], 50000, frame[15] & 3, 1000000, 1);
		geneve_patch_meta(out, &t, i, clock_tai_ns(&fixed, w.now_ns) - 3000, 1000, false);
		guest_send(UPLINK, NULL, out, t.len + lengths[i]);
		run_turn();
		assert_int_equal(guest_receive(NEAR, got, sizeof(got)), lengths[i]);
		assert_memory_equal(got, frame, lengths[i]);
	}
	assert_int_equal(now->n_made, 0);
	assert_int_equal(flow[1].account.stats.received, RTE_DIM(lengths));
	assert_int_equal(w.port[TUNNEL].c.rx_pkts, RTE_DIM(lengths));
	assert_int_equal(w.port[TUNNEL].c.tx_pkts, RTE_DIM(lengths));
}

// An answer of feedback raises some packets of a burst, and a schedule has an order of its own.
static void
frames_that_have_to_wait_become_packets(void **state)
{
	uint8_t frame[64], got[LONGEST];
	uint64_t random = seed;
	uint16_t old;

	(void)state;
	(void)mac_table_add_static(&bridge.macs, mac_of(TUNNEL), 0, TUNNEL, &old, 0);
	entry[TUNNEL].writes_dscp = true;
	port[NEAR].answer = port_answer_word(&(struct port_answer){.dscp = 40, .excess = 8});
	for (unsigned i = 0; i < 2; i++) {
		allow_passing(true);
		make(&random, frame, mac_of(TUNNEL), mac_of(NEAR), sizeof(frame));
		guest_send(NEAR, NULL, frame, sizeof(frame));
		guest_offer(UPLINK, LONGEST);
		(void)packets_made();
		now->n_made = 0;
		run_turn();
		assert_int_equal(now->n_made, 1);
		assert_true(guest_receive(UPLINK, got, sizeof(got)) > 0);
		port[NEAR].answer = PORT_NO_ANSWER;
		if (!i)
			assert_int_equal(schedule_create(&entry[UPLINK].schedule, w.now_ns), 0);
	}
	schedule_destroy(entry[UPLINK].schedule, &w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_through_tunnels_as_packets_would),
		cmocka_unit_test_setup_teardown(plain_frames_of_tunnels_never_become_packets, begin, end),
		cmocka_unit_test_setup_teardown(frames_that_have_to_wait_become_packets, begin, end),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
