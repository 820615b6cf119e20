// A guest's requests on their way to each kind of receiver, through chains of buffers, with tags
// added and removed. Whoever executes what is left to him has the frame that the sender meant: the
// reference here works on plain bytes and knows nothing but Virtio's rule. Lies have a name.
#include "../wire/packet.h"
#include "eal_fixture.h"
#include "io/gso.h"
#include "io/guest_offload.h"
#include "path/egress.h"

#include <rte_ip.h>

#include <linux/virtio_net.h>
#include <stdlib.h>

#define N_MBUFS 255
#define SRC UINT64_C(0x02a00000000b)
#define VLAN 5 // of the bridge
#define HEAD ((size_t)128) // bytes in the first buffer of a chain
#define PIECE ((size_t)701) // in each further one: odd, so that words cross buffers
#define TCP 6
#define UDP 17
#define MSS 500

static const struct {
	const char *bytes;
	unsigned n;
	bool is_vlan; // of the bridge's; others are none here
} tags[] = {
	{"", 0, false},
	{"\x81\0\0\5", 4, true},
	{"\x88\xa8\0\6", 4, false},
	{"\x81\0\0\5\x81\0\0\6", 8, true},
	{"\x88\xa8\0\5\x81\0\0\6", 8, false},
	{"\x81\0\0\5\x88\xa8\0\6", 8, true},
};

// What is before the header whose checksum is left. l4: of that header.
static const struct {
	const char *name;
	bool is_v6;
	unsigned proto;
	const char *bytes; // behind the outer IP header
	unsigned n;
	unsigned l4;
	bool is_own; // the frame's own TCP or UDP behind a plain IP header: what devices know
	bool has_segments;
} layouts[] = {
	{"TCP4", false, TCP, "", 0, TCP, true, true},
	{"UDP4", false, UDP, "", 0, UDP, true, false},
	{"TCP6", true, TCP, "", 0, TCP, true, true},
	{"UDP6", true, UDP, "", 0, UDP, true, false},
	{"hop-by-hop", true, 0, "\6\0\1\4\0\0\0\0", 8, TCP, false, true},
	{"destination options", true, 60, "\x3c\0\1\4\0\0\0\0\6\0\1\4\0\0\0\0", 16, TCP, false, true},
	{"routing", true, 43, "\6\0\0\0\0\0\0\0", 8, TCP, false, true},
	{"routing, UDP", true, 43, "\x11\0\0\0\0\0\0\0", 8, UDP, false, false},
	{"VXLAN", false, UDP,
		"\0\1\x12\xb5\0\0\0\0\x08\0\0\0\0\0\1\0\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
		"\x45\0\0\x34\0\1\0\0\x40\6\0\0\x0a\1\0\1\x0a\1\0\2",
		50, TCP, false, false},
	{"Geneve over IPv6", true, UDP,
		"\0\1\x17\xc1\0\0\0\0\1\0\x65\x58\0\0\1\0\1\2\3\0\2\0\0\0\0\1\2\0\0\0\0\2\x08\0"
		"\x45\0\0\x34\0\1\0\0\x40\x11\0\0\x0a\1\0\1\x0a\1\0\2",
		54, UDP, false, false},
	{"IPIP", false, 4, "\x45\0\0\x34\0\1\0\0\x40\6\0\0\x0a\1\0\1\x0a\1\0\2", 20, TCP, false, false},
	{"nothing known", false, 132, "", 0, 0, false, false},
};

static struct env env;
static struct view *view;
static struct view_port entry[2]; // of the sender, the receiver
static const struct view_block ports = {.port = {&entry[0], &entry[1]}};
static struct worker w;
static struct port_path port[2];

static int
start(void **state)
{
	(void)state;
	view = calloc(1, sizeof(*view) + sizeof(view->worker[0]));
	if (!view || start_eal(N_MBUFS))
		return -1;
	view->block[0] = &ports;
	w = (struct worker){.env = &env, .pool = pool, .now_ns = 1};
	w.port = aligned_alloc(RTE_CACHE_LINE_SIZE, DP_MAX_PORTS * sizeof(*w.port));
	return w.port ? 0 : -1;
}

static int
stop(void **state)
{
	free(w.port);
	free(view);
	return stop_eal(state);
}

static int
begin(void **state)
{
	(void)state;
	memset(w.port, 0, DP_MAX_PORTS * sizeof(*w.port));
	for (unsigned i = 0; i < 2; i++) {
		port[i] = (struct port_path){
			.id = (uint16_t)i, .answer = PORT_NO_ANSWER, .device = {.is_up = true, .n_txq = 1}};
		entry[i] = (struct view_port){.port = &port[i],
			.mirror_to = VIEW_NO_PORT,
			.takes_untagged = true,
			.is_admin_up = true,
			.frame_max = 1514,
			.dscp_out = DSCP_KEEP};
	}
	return 0;
}

static int
end(void **state)
{
	(void)state;
	assert_int_equal(rte_mempool_avail_count(pool), N_MBUFS);
	return 0;
}

// --- the reference

static uint16_t
sum_of(uint32_t sum, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void
finish(uint8_t *p, size_t len, unsigned csum_start, unsigned csum_offset)
{
	unsigned sum = 0xffff ^ sum_of(0, p + csum_start, len - csum_start);

	sum = sum ? sum : 0xffff;
	p[csum_start + csum_offset] = (uint8_t)(sum >> 8);
	p[csum_start + csum_offset + 1] = (uint8_t)sum;
}

static uint16_t
pseudo_sum(const uint8_t *ip, unsigned proto, size_t l4_len)
{
	bool is_v6 = ip[0] >> 4 == 6;

	return sum_of(proto + (uint32_t)l4_len, ip + (is_v6 ? 8 : 12), is_v6 ? 32 : 8);
}

// --- frames

static struct packet sent, meant; // meant: with its checksum
static struct guest_hdr asked;

static void
put(unsigned tag, unsigned layout, size_t payload)
{
	static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5};
	struct packet *p = &sent;
	unsigned l4_len = layouts[layout].l4 == TCP ? 24 : 8, proto = layouts[layout].l4;
	size_t l4;

	packet_ethernet(p, SRC);
	packet_put(p, tags[tag].bytes, tags[tag].n);
	if (layouts[layout].is_v6)
		packet_ipv6(p, v6, layouts[layout].proto);
	else
		packet_ipv4(p, "\x0a\0\0\5", layouts[layout].proto);
	packet_put(p, layouts[layout].bytes, layouts[layout].n);
	l4 = p->len;
	if (proto == TCP)
		packet_put(p, "\0\1\0\2\xff\xff\xff\0\0\0\0\2\x60\x19\xff\xff\0\0\0\0\1\1\1\1", l4_len);
	else
		packet_put(p, "\0\1\0\2\0\0\0\0", l4_len);
	if (proto != TCP)
		packet_set16(p, l4 + 4, (unsigned)(l4_len + payload));
	for (size_t i = 0; i < payload; i++)
		packet_put8(p, i * 7 + i / 251);
	packet_end(p);
	asked = (struct guest_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.hdr_len = 0xdead, // which nobody reads
		.csum_start = (uint16_t)l4,
		.csum_offset = proto == TCP ? 16 : 6};
	if (proto) {
		// of the innermost addresses
		const uint8_t *ip = layouts[layout].n >= 20 ? p->b + l4 - 20 : p->b + p->l3;

		packet_set16(p, l4 + asked.csum_offset, pseudo_sum(ip, proto, p->len - l4));
	}
	if (!layouts[layout].is_v6)
		packet_set16(p, p->l3 + 10, 0xffff ^ sum_of(0, p->b + p->l3, 20));
	meant = sent;
	finish(meant.b, meant.len, asked.csum_start, asked.csum_offset);
}

static struct rte_mbuf *
packet_of(const uint8_t *from, size_t len, bool is_chain)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	size_t done = RTE_MIN(len, is_chain ? HEAD : 2000);

	memcpy(rte_pktmbuf_append(m, (uint16_t)done), from, done);
	while (done < len) {
		struct rte_mbuf *more = rte_pktmbuf_alloc(pool);
		size_t n = RTE_MIN(len - done, PIECE);

		memcpy(rte_pktmbuf_append(more, (uint16_t)n), from + done, n);
		assert_int_equal(rte_pktmbuf_chain(m, more), 0);
		done += n;
	}
	m->port = 0;
	return m;
}

// As the switch takes it, with its tag and the VLAN that it is in.
static enum drop
take(bool is_chain, struct rte_mbuf **ret_m)
{
	struct rte_mbuf *m = packet_of(sent.b, sent.len, is_chain);
	struct frame_l2 l2;
	enum drop drop = DROP_NONE;

	guest_offload_note(m, &asked);
	assert_true(frame_parse_l2(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &l2));
	if (pkt_asks(m))
		drop = gso_take(m, &l2);
	if (drop != DROP_NONE)
		rte_pktmbuf_free(m);
	else
		*ret_m = m;
	return drop;
}

// --- receivers

#define STAGED w.port[1].tx

static void
unstage(void)
{
	rte_pktmbuf_free_bulk(STAGED.pkts, STAGED.n);
	STAGED.n = w.n_dirty = 0;
}

static void
leave(struct rte_mbuf *m, unsigned tag, uint32_t caps)
{
	port[1].device.caps = caps;
	egress_put(&w, view, 1, (struct egress_pkt){.m = m, .vlan = VLAN, .is_tagged = tags[tag].is_vlan});
}

// The bytes that a receiver of staged packet m has when all work is done that is left to it: a
// guest's by Virtio's header, a device's by the frame's headers, whose lengths it was told.
static size_t
received(struct rte_mbuf *m, uint8_t *to)
{
	const struct guest_hdr hdr = *guest_offload_hdr(m, &(struct guest_hdr){0});
	uint64_t kind = m->ol_flags & RTE_MBUF_F_TX_L4_MASK;
	size_t len = m->pkt_len, l4 = m->l2_len + m->l3_len;
	const void *from = rte_pktmbuf_read(m, 0, m->pkt_len, to);

	if (from != to)
		memcpy(to, from, len);
	if (hdr.flags)
		finish(to, len, hdr.csum_start, hdr.csum_offset);
	if (kind) {
		bool is_tcp = kind == RTE_MBUF_F_TX_TCP_CKSUM;
		unsigned offset = is_tcp ? 16 : 6;

		assert_false(hdr.flags);
		assert_int_equal(to[m->l2_len] >> 4, m->ol_flags & RTE_MBUF_F_TX_IPV6 ? 6 : 4);
		to[l4 + offset] = 0;
		to[l4 + offset + 1] = 0;
		uint16_t sum = pseudo_sum(to + m->l2_len, is_tcp ? TCP : UDP, len - l4);
		to[l4 + offset] = (uint8_t)(sum >> 8);
		to[l4 + offset + 1] = (uint8_t)sum;
		finish(to, len, (unsigned)l4, offset);
	}
	return len;
}

// What was meant, with the tag that the receiver's port has it with.
static size_t
expected(unsigned tag, bool wants_tag, uint8_t *to)
{
	bool has_tag = tags[tag].is_vlan;
	size_t skip = has_tag && !wants_tag ? 4 : 0, more = wants_tag && !has_tag ? 4 : 0;

	memcpy(to, meant.b, 12);
	if (more)
		memcpy(to + 12, "\x81\0\0\5", 4);
	memcpy(to + 12 + more, meant.b + 12 + skip, meant.len - 12 - skip);
	return meant.len + more - skip;
}

static const uint32_t all_caps[] = {0, PORT_CAP_SEGS, PORT_CAP_CSUM, PORT_CAP_CSUM | PORT_CAP_SEGS,
	PORT_CAP_CSUM | PORT_CAP_TSO4 | PORT_CAP_TSO6 | PORT_CAP_SEGS, PORT_CAP_CSUM | PORT_CAP_ANYWHERE,
	PORT_CAP_CSUM | PORT_CAP_ANYWHERE | PORT_CAP_SEGS, PORT_CAP_ALL};

static void
wants_tag(bool is_wanted)
{
	entry[1].vlan = is_wanted ? 0 : VLAN;
	entry[1].is_trunk = entry[1].carries_all = is_wanted;
}

static void
every_receiver_gets_the_checksum_that_was_meant(void **state)
{
	static uint8_t got[3000], want[3000];
	struct rte_mbuf *m;

	(void)state;
	for (unsigned layout = 0; layout < RTE_DIM(layouts); layout++)
		for (unsigned tag = 0; tag < RTE_DIM(tags); tag++)
			for (unsigned c = 0; c < RTE_DIM(all_caps); c++)
				for (unsigned i = 0; i < 4; i++) {
					bool is_chain = i & 1, is_trunk = i & 2;
					uint32_t caps = all_caps[c];
					size_t n;

					put(tag, layout, 1001);
					assert_int_equal(take(is_chain, &m), DROP_NONE);
					assert_true(pkt_asks(m));
					wants_tag(is_trunk);
					leave(m, tag, caps);
					assert_int_equal(STAGED.n, 1);
					m = STAGED.pkts[0];
					// Work that is left is work that the receiver does.
					assert_true(caps & PORT_CAP_SEGS || m->nb_segs == 1);
					assert_int_equal(
						pkt_asks(m), (caps & PORT_CAP_CSUM) && (caps & PORT_CAP_ANYWHERE));
					assert_int_equal(!!(m->ol_flags & RTE_MBUF_F_TX_L4_MASK),
						layouts[layout].is_own && (caps & PORT_CAP_CSUM) &&
							!(caps & PORT_CAP_ANYWHERE));
					n = expected(tag, is_trunk, want);
					assert_int_equal(received(m, got), n);
					if (memcmp(got, want, n))
						fail_msg("%s, tags %u, capabilities %#x, case %u", layouts[layout].name,
							tag, caps, i);
					unstage();
				}
}

// Bytes that others have, too, do not change.
static void
clones_do_not_see_what_is_done(void **state)
{
	static const uint32_t caps[] = {0, PORT_CAP_CSUM | PORT_CAP_SEGS, PORT_CAP_ALL};
	static uint8_t got[3000];
	struct rte_mbuf *m, *other;

	(void)state;
	for (unsigned i = 0; i < RTE_DIM(caps); i++) {
		put(0, 1, 1001);
		assert_int_equal(take(true, &m), DROP_NONE);
		other = pkt_clone(pool, m);
		wants_tag(false);
		leave(m, 0, caps[i]);
		m = STAGED.pkts[0];
		assert_int_equal(pkt_is_own(m), caps[i] != PORT_CAP_ALL);
		assert_int_equal(received(m, got), meant.len);
		assert_memory_equal(got, meant.b, meant.len);
		unstage();
		assert_memory_equal(rte_pktmbuf_read(other, 0, other->pkt_len, got), sent.b, sent.len);
		leave(other, 0, 0);
		assert_int_equal(received(STAGED.pkts[0], got), meant.len);
		assert_memory_equal(got, meant.b, meant.len);
		unstage();
	}
}

// A checksum of 0 would say that there is none.
static void
zero_is_never_a_checksum(void **state)
{
	static uint8_t got[3000];
	struct rte_mbuf *m;

	(void)state;
	for (unsigned layout = 0; layout < RTE_DIM(layouts); layout++) {
		unsigned at, sum;

		put(0, layout, 100);
		at = asked.csum_start;
		// two bytes of payload that make it so
		memset(sent.b + sent.len - 2, 0, 2);
		sum = 0xffff ^ sum_of(0, sent.b + at, sent.len - at);
		packet_set16(&sent, sent.len - 2, sum);
		assert_int_equal(sum_of(0, sent.b + at, sent.len - at), 0xffff);
		assert_int_equal(take(false, &m), DROP_NONE);
		wants_tag(false);
		leave(m, 0, 0);
		received(STAGED.pkts[0], got);
		assert_memory_equal(got + at + asked.csum_offset, "\xff\xff", 2);
		unstage();
	}
}

// --- super-frames

#define PAYLOAD 4321

// Packets on their own, with right checksums, that carry the whole payload.
static void
check_segments(unsigned layout, size_t l3, size_t l4, size_t mss)
{
	static uint8_t got[3000], joined[PAYLOAD];
	size_t done = 0;

	for (uint16_t i = 0; i < STAGED.n; i++) {
		size_t len = received(STAGED.pkts[i], got), n = len - l4 - 24;
		unsigned flags = i + 1 < STAGED.n ? 0x10 : 0x19;

		assert_false(pkt_asks(STAGED.pkts[i]));
		assert_true(n && n <= mss && done + n <= PAYLOAD);
		assert_int_equal(sum_of(pseudo_sum(got + l3, TCP, len - l4), got + l4, len - l4), 0xffff);
		if (layouts[layout].is_v6)
			assert_int_equal(got[l3 + 4] << 8 | got[l3 + 5], len - l3 - 40);
		else {
			assert_int_equal(got[l3 + 2] << 8 | got[l3 + 3], len - l3);
			assert_int_equal(sum_of(0, got + l3, 20), 0xffff);
		}
		assert_int_equal(got[l4 + 13], flags);
		memcpy(joined + done, got + l4 + 24, n);
		done += n;
	}
	assert_int_equal(done, PAYLOAD);
	assert_memory_equal(joined, sent.b + sent.len - PAYLOAD, PAYLOAD);
}

static void
check_whole(unsigned tag, bool is_trunk, bool is_v6, size_t l3, size_t l4)
{
	static uint8_t got[6000], want[6000];
	struct rte_mbuf *m = STAGED.pkts[0];
	const struct guest_hdr hdr = *guest_offload_hdr(m, &(struct guest_hdr){0});

	assert_int_equal(STAGED.n, 1);
	if (hdr.flags) {
		assert_int_equal(hdr.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
		assert_int_equal(hdr.gso_type, is_v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4);
		assert_int_equal(hdr.gso_size, MSS);
		assert_int_equal(hdr.hdr_len, l4 + 24);
		assert_int_equal(hdr.csum_start, l4);
		assert_int_equal(hdr.csum_offset, 16);
	} else {
		assert_true(m->ol_flags & RTE_MBUF_F_TX_TCP_SEG);
		assert_int_equal(m->tso_segsz, MSS);
		assert_int_equal(m->l2_len, l3);
		assert_int_equal(m->l2_len + m->l3_len, l4);
		assert_int_equal(m->l4_len, 24);
	}
	assert_int_equal(received(m, got), expected(tag, is_trunk, want));
	assert_memory_equal(got, want, m->pkt_len);
}

static void
super_frames_pass_whole_or_in_segments(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	for (unsigned layout = 0; layout < RTE_DIM(layouts); layout++)
		for (unsigned tag = 0; tag < RTE_DIM(tags); tag++)
			for (unsigned c = 0; c < RTE_DIM(all_caps); c++)
				for (unsigned i = 0; i < 4; i++) {
					bool is_chain = i & 1, is_trunk = i & 2, is_v6 = layouts[layout].is_v6;
					int moved = is_trunk == tags[tag].is_vlan ? 0 : is_trunk ? 4 : -4;
					uint32_t tso = is_v6 ? PORT_CAP_TSO6 : PORT_CAP_TSO4;
					size_t l3, l4;

					put(tag, layout, PAYLOAD);
					asked.gso_type = is_v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
					asked.gso_size = MSS;
					if (!layouts[layout].has_segments) {
						assert_int_equal(take(is_chain, &m), DROP_OFFLOAD);
						continue;
					}
					if (!is_v6) // as DPDK's drivers leave it
						packet_set16(&sent, sent.l3 + 10, 0);
					assert_int_equal(take(is_chain, &m), DROP_NONE);
					wants_tag(is_trunk);
					leave(m, tag, all_caps[c]);
					l3 = sent.l3 + (size_t)moved;
					l4 = asked.csum_start + (size_t)moved;
					if ((all_caps[c] & tso) &&
						(layouts[layout].is_own || (all_caps[c] & PORT_CAP_ANYWHERE)))
						check_whole(tag, is_trunk, is_v6, l3, l4);
					else
						check_segments(layout, l3, l4, MSS);
					unstage();
				}
}

// --- lies

#define LIE(change)                                                 \
	do {                                                        \
		put(0, 0, PAYLOAD);                                 \
		asked.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;          \
		asked.gso_size = MSS;                               \
		assert_int_equal(take(is_chain, &m), DROP_NONE);    \
		rte_pktmbuf_free(m);                                \
		change;                                             \
		assert_int_equal(take(is_chain, &m), DROP_OFFLOAD); \
	} while (0)

// CVE-2024-11614: a request for a checksum beyond the frame was carried out.
static void
lies_are_dropped_by_name(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	for (unsigned is_chain = 0; is_chain < 2; is_chain++) {
		LIE(asked.csum_start = (uint16_t)sent.len);
		LIE(asked.csum_start = 65535; asked.csum_offset = 65535);
		LIE(asked.csum_start = 13);
		LIE(asked.csum_start += 4);
		LIE(asked.csum_offset = 15);
		LIE(asked.csum_offset = 6);
		LIE(asked.flags = 0);
		LIE(asked.flags = VIRTIO_NET_HDR_F_DATA_VALID);
		LIE(asked.gso_size = 0);
		LIE(asked.gso_type = VIRTIO_NET_HDR_GSO_TCPV6);
		LIE(asked.gso_type = VIRTIO_NET_HDR_GSO_UDP); // which nobody negotiated
		LIE(asked.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4);
		LIE(asked.gso_type |= VIRTIO_NET_HDR_GSO_ECN);
		LIE(asked.gso_type = VIRTIO_NET_HDR_GSO_ECN);
		LIE(asked.gso_type |= 0x20); // in a tunnel over UDP
		LIE(asked.gso_type = 2);
		LIE(asked.gso_type = 0xff);
		LIE(sent.b[asked.csum_start + 12] = 0x40);
		LIE(sent.b[asked.csum_start + 12] = 0xf0; sent.len = asked.csum_start + 40; packet_end(&sent));
		LIE(sent.len -= 1);
		LIE(packet_put8(&sent, 0));
		LIE(asked.gso_type = 0; asked.csum_start = (uint16_t)(sent.len - 17));
		LIE(asked.gso_type = 0; asked.csum_offset = 1);
	}
	for (unsigned type = VIRTIO_NET_HDR_GSO_UDP; type <= VIRTIO_NET_HDR_GSO_UDP_L4; type += 2) {
		put(0, 1, 3000); // which would be right for these
		asked.gso_type = (uint8_t)type;
		asked.gso_size = MSS;
		assert_int_equal(take(false, &m), DROP_OFFLOAD);
	}
}

// All headers of a super-frame are in so many bytes, or it is refused. Checksums behind them are
// left or done, wherever they are.
static void
headers_have_a_limit(void **state)
{
	static uint8_t got[3000];
	struct rte_mbuf *m;

	(void)state;
	for (unsigned more = 0; more < 2; more++)
		for (unsigned is_super = 0; is_super < 2; is_super++) {
			// 8 * (n + 1) bytes of destination options behind IPv6's header
			size_t at, n = OFFLOAD_HEAD_MAX - 14 - 40 - 24 + (more ? 8 : 0), size = n / 8 * 8;

			put(0, 2, 1400);
			at = sent.l3 + 40;
			memmove(sent.b + at + size, sent.b + at, sent.len - at);
			memset(sent.b + at, 0, size);
			sent.b[at] = TCP;
			sent.b[at + 1] = (uint8_t)(size / 8 - 1);
			sent.b[sent.l3 + 6] = 60;
			sent.len += size;
			packet_end(&sent);
			meant = sent;
			asked.csum_start = (uint16_t)(asked.csum_start + size);
			finish(meant.b, meant.len, asked.csum_start, 16);
			asked.gso_type = is_super ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_NONE;
			asked.gso_size = MSS;
			if (is_super && more) {
				assert_int_equal(take(true, &m), DROP_OFFLOAD);
				continue;
			}
			assert_int_equal(take(true, &m), DROP_NONE);
			entry[1].frame_max = 2000;
			wants_tag(false);
			leave(m, 0, PORT_CAP_ALL);
			assert_int_equal(received(STAGED.pkts[0], got), meant.len);
			assert_memory_equal(got, meant.b, meant.len);
			unstage();
		}
}

// What a driver says beyond a request is not read.
static void
frames_without_request_stay_as_they_are(void **state)
{
	struct rte_mbuf *m;

	(void)state;
	put(0, 0, 100);
	asked = (struct guest_hdr){.flags = (uint8_t)~VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.hdr_len = 65535,
		.gso_size = 1,
		.csum_start = 65535,
		.csum_offset = 65535};
	assert_int_equal(take(false, &m), DROP_NONE);
	assert_false(pkt_asks(m));
	rte_pktmbuf_free(m);
}

// A switch that writes the DSCP changes no checksum that is left.
static void
dscp_is_written_and_the_checksum_is_right(void **state)
{
	static uint8_t got[3000];
	struct rte_mbuf *m;

	(void)state;
	for (unsigned layout = 0; layout < RTE_DIM(layouts); layout++)
		for (unsigned c = 0; c < RTE_DIM(all_caps); c++) {
			size_t l3;

			put(4, layout, 201);
			l3 = sent.l3;
			assert_int_equal(take(true, &m), DROP_NONE);
			wants_tag(false);
			entry[1].writes_dscp = true;
			entry[0].dscp_out = 46;
			leave(m, 4, all_caps[c]);
			assert_int_equal(received(STAGED.pkts[0], got), meant.len);
			if (layouts[layout].is_v6)
				assert_int_equal((got[l3] << 8 | got[l3 + 1]) & 0xfc0, 46 << 6);
			else {
				assert_int_equal(got[l3 + 1], 46 << 2);
				assert_int_equal(sum_of(0, got + l3, 20), 0xffff);
			}
			assert_memory_equal(got + l3 + 20, meant.b + l3 + 20, meant.len - l3 - 20);
			unstage();
		}
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_receiver_gets_the_checksum_that_was_meant),
		CASE(clones_do_not_see_what_is_done),
		CASE(zero_is_never_a_checksum),
		CASE(super_frames_pass_whole_or_in_segments),
		CASE(lies_are_dropped_by_name),
		CASE(headers_have_a_limit),
		CASE(frames_without_request_stay_as_they_are),
		CASE(dscp_is_written_and_the_checksum_is_right),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
