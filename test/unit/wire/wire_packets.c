// usage: wire_packets FILE
//
// Writes one packet of everything that the codecs encode, as pcapng, for another program:
// test/smoke/wire_test.sh compares tshark's output with the values here. The codecs' own tests know
// their bytes; this test shows that other programs read the same in them.
#include "packet.h"
#include "rtvs/frame.h"
#include "rtvs/geneve.h"
#include "rtvs/icmp_too_big.h"
#include "rtvs/neighbor.h"
#include "rtvs/pcapng.h"
#include "rtvs/peer_msg.h"
#include "rtvs/stamp.h"

#include <stdio.h>

#define UTC_OFFSET_S 37
#define TIME_NS UINT64_C(1763719237123456789) // TAI; 2025-11-21 10:00:00.123456789 UTC
// a quarter of a millisecond later
#define CAPTURED_NS (TIME_NS - UTC_OFFSET_S * UINT64_C(1000000000) + 250000)

static const struct neighbor_self a4 = {.mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {192, 0, 2, 1}};
static const struct neighbor_self b4 = {.mac = {{2, 0, 0, 0, 0, 0xb0}}, .addr = {192, 0, 2, 2}};
static const struct neighbor_self a6 = {
	.is_ipv6 = true, .vlan = 0x123, .mac = {{2, 0, 0, 0, 0, 0xa0}}, .addr = {0x20, 1, 0x0d, 0xb8, [15] = 1}};
static const struct neighbor_self b6 = {
	.is_ipv6 = true, .vlan = 0x123, .mac = {{2, 0, 0, 0, 0, 0xb0}}, .addr = {0x20, 1, 0x0d, 0xb8, [15] = 2}};

static FILE *file;
static struct packet p;

static void
write_packet(void)
{
	static uint8_t block[sizeof(p.b) + PCAPNG_PACKET_OVERHEAD];
	uint32_t len = (uint32_t)p.len;

	fwrite(block, 1, pcapng_packet(block, sizeof(block), CAPTURED_NS, false, len, p.b, len), file);
}

static void
set_checksum(size_t offset, uint64_t sum, size_t from)
{
	packet_set16(&p, offset, 0);
	packet_set16(&p, offset, frame_checksum_finish(frame_checksum_add(sum, p.b + from, p.len - from)));
}

// From A to B, in IPv4.
static void
put_udp(unsigned port, const uint8_t *payload, size_t len)
{
	p.len = 0;
	packet_put(&p, b4.mac.b, 6);
	packet_put(&p, a4.mac.b, 6);
	packet_ipv4(&p, "\xc0\0\2\1", 17);
	p.b[p.l3 + 19] = 2;
	packet_put16(&p, 50000);
	packet_put16(&p, port);
	packet_put16(&p, (unsigned)len + 8);
	packet_put16(&p, 0);
	packet_put(&p, payload, len);
	packet_end(&p);
	packet_set16(&p, p.l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, 20)));
	set_checksum(p.l3 + 26, frame_checksum_add(17 + 8 + len, p.b + p.l3 + 12, 8), p.l3 + 20);
}

static void
write_geneve(const struct geneve_tunnel *tunnel)
{
	static const struct geneve_meta meta = {UINT64_C(0x0102030405060708), TIME_NS, 1500, 2000000, 7};
	struct geneve_template template;
	static struct packet inner;

	put_udp(9, (const uint8_t *)"inner", 5);
	inner = p;
	if (geneve_template_init(&template, tunnel))
		return;
	memcpy(p.b + template.len, inner.b, inner.len);
	geneve_push(
		&template, p.b, inner.len, geneve_source_port(inner.b, inner.len), 0xb9, meta.deadline_ns, meta.flow);
	geneve_patch_meta(p.b, &template, meta.seq, meta.time_ns, meta.residence_ns, false);
	p.len = template.len + inner.len;
	write_packet();
}

static void
write_tunnels(void)
{
	struct geneve_tunnel tunnel = {.has_meta = true,
		.hop_limit = 64,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = 0xabcdef,
		.local_mac = a4.mac,
		.remote_mac = b4.mac,
		.local = {192, 0, 2, 1},
		.remote = {192, 0, 2, 2}};

	write_geneve(&tunnel);
	tunnel.option_class++;
	write_geneve(&tunnel);
	tunnel.has_meta = false;
	write_geneve(&tunnel);
	tunnel = (struct geneve_tunnel){.is_ipv6 = true,
		.has_meta = true,
		.hop_limit = 64,
		.vlan = 0x123,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = 1,
		.local_mac = a6.mac,
		.remote_mac = b6.mac};
	memcpy(tunnel.local, a6.addr, 16);
	memcpy(tunnel.remote, b6.addr, 16);
	write_geneve(&tunnel);
}

static void
write_peer_messages(void)
{
	static struct peer_msg msg = {.key_id = 3,
		.session = UINT64_C(0x1122334455667788),
		.echo = UINT64_C(0x99aabbccddeeff00),
		.seq = 5,
		.t1_ns = TIME_NS,
		.t2_ns = TIME_NS + 10000,
		.t3_ns = TIME_NS + 20000,
		.n_flows = 2,
		.flows = {{7, 1, 1000, 3, 20, 150000, 900000, 2500, UINT64_C(0x0102030405060708)},
			{UINT16_MAX, 0x8000, UINT32_MAX, 2, 1, 4, 5, 6, UINT64_MAX}}};
	uint8_t out[PEER_MSG_MAX];
	size_t len = 0;

	for (int type = PEER_MSG_HELLO; type <= PEER_MSG_FEEDBACK; type++) {
		msg.type = (enum peer_msg_type)type;
		len = peer_msg_encode(&msg, out);
		memset(out + peer_msg_covered(len), 0x5a, PEER_MSG_TAG_BYTES);
		put_udp(PEER_MSG_PORT, out, len);
		write_packet();
	}
	put_udp(7000, out, len); // known by what it looks like
	write_packet();
	put_udp(PEER_MSG_PORT, out, len - 1);
	write_packet();
}

static void
write_stamp(void)
{
	const struct stamp_request request = {7, {STAMP_NTP, true, 1000}, TIME_NS};
	const struct stamp_reply reply = {.seq = 9,
		.clock = {STAMP_NTP, false, 0},
		.received_ns = TIME_NS + 10000,
		.sent_ns = TIME_NS + 30000,
		.request_ttl = 253};
	uint8_t out[STAMP_BYTES];

	stamp_request_encode(&request, UTC_OFFSET_S, out);
	put_udp(STAMP_PORT, out, sizeof(out));
	write_packet();
	if (stamp_reflect(out, sizeof(out), &reply, UTC_OFFSET_S) == 0) {
		put_udp(STAMP_PORT, out, sizeof(out));
		packet_set16(&p, p.l3 + 20, STAMP_PORT);
		packet_set16(&p, p.l3 + 22, 50000);
		write_packet();
	}
}

static void
write_neighbors(void)
{
	const struct neighbor_self *from[] = {&a4, &a6}, *to[] = {&b4, &b6};
	struct neighbor_msg msg;

	for (unsigned i = 0; i < 2; i++) {
		p.len = neighbor_request(from[i], to[i]->addr, NULL, p.b);
		write_packet();
		if (neighbor_parse(p.b, p.len, &msg) == 0) {
			p.len = neighbor_reply(to[i], &msg, p.b);
			write_packet();
		}
		p.len = neighbor_announce(from[i], p.b);
		write_packet();
	}
	// A's ping becomes B's answer.
	put_udp(0, (const uint8_t *)"data", 4);
	p.b[p.l3 + 9] = 1;
	packet_set16(&p, p.l3 + 10, 0);
	packet_set16(&p, p.l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, 20)));
	memcpy(p.b + p.l3 + 20, "\x08\0\0\0\0\x2a\0\1", 8);
	set_checksum(p.l3 + 22, 0, p.l3 + 20);
	if (neighbor_echo(p.b, p.len, &b4) == 0)
		write_packet();
}

static void
write_too_big(void)
{
	static uint8_t answer[ICMP_TOO_BIG_MAX];
	static const uint8_t data[1400];

	put_udp(9, data, sizeof(data));
	p.b[p.l3 + 6] = 0x40;
	packet_set16(&p, p.l3 + 10, 0);
	packet_set16(&p, p.l3 + 10, (uint16_t)~frame_checksum_fold(frame_checksum_add(0, p.b + p.l3, 20)));
	size_t len = icmp_too_big(p.b, p.len, p.len, 1392, answer);
	p.len = 0;
	packet_put(&p, answer, len);
	write_packet();

	p.len = 0;
	packet_put(&p, b6.mac.b, 6);
	packet_put(&p, a6.mac.b, 6);
	packet_put(&p, "\x81\0\x01\x23", 4);
	packet_ipv6(&p, a6.addr, 17);
	memcpy(p.b + p.l3 + 24, b6.addr, 16);
	packet_put16(&p, 50000);
	packet_put16(&p, 9);
	packet_put16(&p, sizeof(data) + 8);
	packet_put16(&p, 0xffff);
	packet_put(&p, data, sizeof(data));
	packet_end(&p);
	len = icmp_too_big(p.b, p.len, p.len, 1372, answer);
	p.len = 0;
	packet_put(&p, answer, len);
	write_packet();
}

int
main(int argc, char **argv)
{
	uint8_t header[PCAPNG_HEADER_MAX];

	if (argc != 2 || !(file = fopen(argv[1], "wb"))) {
		fprintf(stderr, "usage: wire_packets FILE\n");
		return 2;
	}
	fwrite(header, 1, pcapng_header(header, sizeof(header), "wire_packets", "underlay", NULL, 65535), file);
	write_tunnels();
	write_peer_messages();
	write_stamp();
	write_neighbors();
	write_too_big();
	return fclose(file) ? 1 : 0;
}
