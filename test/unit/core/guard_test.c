// Spoof guard: the permitted frames of a guest, and every way round the guard that we know of.
#include "../unit.h"
#include "../wire/packet.h"
#include "rtvs/guard.h"

#define MINE UINT64_C(0x02a00000000b)
#define ALSO_MINE UINT64_C(0x02a00000000c)
#define OTHER UINT64_C(0x02a0000000ff)
#define MY_IP "\x0a\0\0\5" // within 10.0.0.4/30
#define OTHER_IP "\x0a\0\0\x08"
#define NO_IP "\0\0\0\0"
#define GATEWAY "\x0a\0\0\1"
#define DST_OPTIONS "\0\1\4\0\0\0\0" // without its first byte, the next header; PadN

static const uint8_t my_v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 5}; // within 2001:db8::/67
static const uint8_t other_v6[16] = {0x20, 0x01, 0x0d, 0xb8, [8] = 0x20, [15] = 5};
static const uint8_t no_v6[16];
static const uint8_t my_link_local[16] = {0xfe, 0x80, [8] = 0x00, 0xa0, 0x00, 0xff, 0xfe, 0x00, 0x00, 0x0b};
static const uint8_t other_link_local[16] = {0xfe, 0x80, [8] = 0x00, 0xa0, 0x00, 0xff, 0xfe, 0x00, 0x00, 0xff};
static const uint8_t random_link_local[16] = {0xfe, 0x80, [8] = 0x9d, 0x31, 0x07, 0xc2, 0x5e, 0x44, 0x1a, 0x83};
static const uint8_t not_link_local[16] = {0xfe, 0x80, [7] = 1, [8] = 0x9d, 0x31, 0x07, 0xc2, 0x5e, 0x44, 0x1a, 0x83};

static struct packet p;
static struct guard both, macs_only, ips_only, nothing;

static int
set_up(void **state)
{
	const struct mac_list macs = {2, {{{0x02, 0xa0, 0, 0, 0, 0x0b}}, {{0x02, 0xa0, 0, 0, 0, 0x0c}}}};
	const struct prefix_list ips = {
		2, {{.addr = {10, 0, 0, 4}, .len = 30}, {.addr = {0x20, 0x01, 0x0d, 0xb8}, .len = 67, .is_v6 = true}}};
	const struct mac_list no_macs = {0};
	const struct prefix_list no_ips = {0};

	(void)state;
	guard_init(&both, &macs, &ips);
	guard_init(&macs_only, &macs, &no_ips);
	guard_init(&ips_only, &no_macs, &ips);
	guard_init(&nothing, &no_macs, &no_ips);
	return 0;
}

// As the datapath asks.
static enum drop
check(const struct guard *g)
{
	struct frame_l2 l2;
	struct frame_l3 l3;

	if (!frame_parse_l2(p.b, p.len, &l2))
		return DROP_MALFORMED;
	if (!guard_allows_mac(g, l2.src))
		return DROP_SPOOF_MAC;
	if (!guard_needs_l3(g, &l2))
		return DROP_NONE;
	frame_parse_l3(p.b, p.len, &l2, &l3);
	return guard_check_l3(g, p.b, p.len, &l2, &l3);
}

static void
no_rules_allow_everything(void **state)
{
	(void)state;
	assert_false(guard_is_active(&nothing));
	packet_ethernet(&p, OTHER);
	packet_put16(&p, 0x0806); // and nothing behind it
	assert_int_equal(check(&nothing), DROP_NONE);
	assert_true(guard_is_active(&both) && guard_is_active(&macs_only) && guard_is_active(&ips_only));
}

static void
source_mac_must_be_allowed(void **state)
{
	(void)state;
	packet_ethernet(&p, OTHER);
	packet_ipv4(&p, MY_IP, 6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_MAC);
	assert_int_equal(check(&ips_only), DROP_NONE);
	packet_ethernet(&p, ALSO_MINE);
	packet_ipv4(&p, OTHER_IP, 6);
	packet_end(&p);
	assert_int_equal(check(&macs_only), DROP_NONE);
}

static void
source_ipv4_must_be_within_a_prefix(void **state)
{
	(void)state;
	for (unsigned last = 0; last < 16; last++) {
		const char ip[4] = {10, 0, 0, (char)last};

		packet_ethernet(&p, MINE);
		packet_ipv4(&p, ip, 6);
		packet_end(&p);
		assert_int_equal(check(&both), last / 4 == 1 ? DROP_NONE : DROP_SPOOF_IP);
	}
}

static void
source_ipv6_must_be_within_a_prefix(void **state)
{
	(void)state;
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, my_v6, 6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, other_v6, 6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	assert_int_equal(check(&macs_only), DROP_NONE);
}

static void
ipv4_prefix_does_not_allow_ipv6_with_the_same_bytes(void **state)
{
	const uint8_t same[16] = {10, 0, 0, 5};

	(void)state;
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, same, 6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
}

static void
put_nd(const uint8_t *src, unsigned type, const uint8_t *target)
{
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, src, 58);
	packet_nd(&p, type, target);
}

// Hosts make them at random (RFC 7217), and send DHCPv6, solicitations and probes from them.
static void
any_link_local_is_allowed_to_allowed_macs(void **state)
{
	const uint8_t *link_locals[] = {my_link_local, other_link_local, random_link_local};
	struct guard v4_only = both;

	(void)state;
	v4_only.ips.n = 1;
	for (unsigned i = 0; i < 3; i++) {
		packet_ethernet(&p, MINE);
		packet_ipv6(&p, link_locals[i], 17);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_NONE);
		assert_int_equal(check(&ips_only), DROP_NONE);
		assert_int_equal(check(&v4_only), DROP_SPOOF_IP);
		packet_ethernet(&p, OTHER);
		packet_ipv6(&p, link_locals[i], 17);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_MAC);
	}
	// fe80::/10 is reserved, fe80::/64 is what hosts use (RFC 4291, section 2.5.6).
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, not_link_local, 17);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
}

static void
listed_link_local_is_the_only_one_beside_the_macs(void **state)
{
	struct guard listed = both;

	(void)state;
	listed.ips.prefix[listed.ips.n] = (struct prefix){.len = 128, .is_v6 = true};
	memcpy(listed.ips.prefix[listed.ips.n++].addr, random_link_local, 16);
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, random_link_local, 17);
	packet_end(&p);
	assert_int_equal(check(&listed), DROP_NONE);
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, my_link_local, 17);
	packet_end(&p);
	assert_int_equal(check(&listed), DROP_NONE);
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, other_link_local, 17);
	packet_end(&p);
	assert_int_equal(check(&listed), DROP_SPOOF_IP);
	put_nd(my_v6, 136, other_link_local);
	packet_end(&p);
	assert_int_equal(check(&listed), DROP_SPOOF_ND);
	// Without MACs it is not known which one is made of the port's.
	listed.n_macs = 0;
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, my_link_local, 17);
	packet_end(&p);
	assert_int_equal(check(&listed), DROP_SPOOF_IP);
}

static void
put_dhcp(unsigned proto, unsigned from, unsigned to)
{
	packet_ethernet(&p, MINE);
	packet_ipv4(&p, NO_IP, proto);
	packet_put16(&p, from);
	packet_put16(&p, to);
	packet_put(&p, NULL, 4);
	packet_end(&p);
}

static void
unspecified_ipv4_is_for_dhcp_alone(void **state)
{
	(void)state;
	put_dhcp(17, 68, 67);
	assert_int_equal(check(&both), DROP_NONE);
	packet_set16(&p, p.l3 + 6, 0x2000);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	packet_set16(&p, p.l3 + 6, 0x0001);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	put_dhcp(17, 67, 68);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	put_dhcp(6, 68, 67);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	put_dhcp(17, 68, 53);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	// Ports behind the packet's end, in the frame's padding.
	put_dhcp(17, 68, 67);
	packet_set16(&p, p.l3 + 2, 20);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
}

static enum drop
check_arp_of(const struct guard *g, unsigned op, uint64_t mac, const char *sender, const char *target)
{
	packet_ethernet(&p, MINE);
	packet_arp(&p, op, mac, sender, target);
	return check(g);
}

static void
arp_sender_must_be_allowed_in_every_operation(void **state)
{
	(void)state;
	for (unsigned op = 0; op < 12; op++) {
		assert_int_equal(check_arp_of(&both, op, MINE, MY_IP, GATEWAY), DROP_NONE);
		// gratuitous
		assert_int_equal(check_arp_of(&both, op, MINE, GATEWAY, GATEWAY), DROP_SPOOF_ARP);
		assert_int_equal(check_arp_of(&both, op, OTHER, MY_IP, MY_IP), DROP_SPOOF_ARP);
		assert_int_equal(check_arp_of(&macs_only, op, OTHER, MY_IP, MY_IP), DROP_SPOOF_ARP);
		assert_int_equal(check_arp_of(&macs_only, op, ALSO_MINE, GATEWAY, MY_IP), DROP_NONE);
		assert_int_equal(check_arp_of(&ips_only, op, OTHER, MY_IP, GATEWAY), DROP_NONE);
		assert_int_equal(check_arp_of(&ips_only, op, OTHER, OTHER_IP, GATEWAY), DROP_SPOOF_ARP);
	}
}

static void
arp_probe_is_a_request_for_an_allowed_address(void **state)
{
	(void)state;
	assert_int_equal(check_arp_of(&both, 1, MINE, NO_IP, MY_IP), DROP_NONE);
	assert_int_equal(check_arp_of(&both, 1, MINE, NO_IP, OTHER_IP), DROP_SPOOF_ARP);
	assert_int_equal(check_arp_of(&both, 2, MINE, NO_IP, MY_IP), DROP_SPOOF_ARP);
	assert_int_equal(check_arp_of(&both, 1, OTHER, NO_IP, MY_IP), DROP_SPOOF_ARP);
}

static enum drop
check_rarp_of(const struct guard *g, unsigned op, uint64_t mac, const char *sender)
{
	packet_ethernet(&p, MINE);
	packet_arp(&p, op, mac, sender, NO_IP);
	packet_set16(&p, p.l3 - 2, FRAME_ETHER_RARP);
	return check(g);
}

// As librte_vhost and QEMU announce a guest that has moved.
static void
rarp_request_of_an_allowed_mac_leaves(void **state)
{
	(void)state;
	assert_int_equal(check_rarp_of(&both, 3, MINE, NO_IP), DROP_NONE);
	assert_int_equal(check_rarp_of(&macs_only, 3, MINE, NO_IP), DROP_NONE);
	assert_int_equal(check_rarp_of(&ips_only, 3, OTHER, NO_IP), DROP_NONE);
	assert_int_equal(check_rarp_of(&both, 3, MINE, MY_IP), DROP_NONE);
}

static void
rarp_claims_nothing_that_is_not_allowed(void **state)
{
	(void)state;
	assert_int_equal(check_rarp_of(&both, 3, OTHER, NO_IP), DROP_SPOOF_ARP);
	assert_int_equal(check_rarp_of(&macs_only, 3, OTHER, NO_IP), DROP_SPOOF_ARP);
	assert_int_equal(check_rarp_of(&both, 3, MINE, OTHER_IP), DROP_SPOOF_ARP);
	assert_int_equal(check_rarp_of(&ips_only, 3, MINE, OTHER_IP), DROP_SPOOF_ARP);
	for (unsigned op = 0; op < 12; op++)
		assert_int_equal(check_rarp_of(&macs_only, op, MINE, NO_IP), op == 3 ? DROP_NONE : DROP_SPOOF_ARP);
	check_rarp_of(&both, 3, MINE, NO_IP);
	p.len--;
	assert_int_equal(check(&macs_only), DROP_MALFORMED);
}

static void
malformed_arp_is_refused(void **state)
{
	(void)state;
	check_arp_of(&both, 1, MINE, MY_IP, GATEWAY);
	p.b[p.l3 + 4] = 8; // hardware addresses of 8 bytes move the sender's IP
	assert_int_equal(check(&both), DROP_MALFORMED);
	check_arp_of(&both, 1, MINE, MY_IP, GATEWAY);
	p.len--;
	assert_int_equal(check(&macs_only), DROP_MALFORMED);
}

static void
other_types_leave_only_without_ip_rules(void **state)
{
	// LLDP, an 802.3 length, MPLS, PPPoE, an old tag.
	static const unsigned types[] = {0x88cc, 0x0026, 0x8847, 0x8863, 0x9100};

	(void)state;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		packet_ethernet(&p, MINE);
		packet_put16(&p, types[i]);
		packet_put(&p, NULL, 46);
		assert_int_equal(check(&both), DROP_SPOOF_TYPE);
		assert_int_equal(check(&ips_only), DROP_SPOOF_TYPE);
		assert_int_equal(check(&macs_only), DROP_NONE);
	}
}

static void
tags_hide_nothing(void **state)
{
	static const unsigned tags[][3] = {{0x8100}, {0x88a8}, {0x8100, 0x8100}, {0x8100, 0x88a8}, {0x88a8, 0x8100}};

	(void)state;
	for (unsigned i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		packet_ethernet(&p, MINE);
		for (unsigned k = 0; tags[i][k]; k++) {
			packet_put16(&p, tags[i][k]);
			packet_put16(&p, 0);
		}
		packet_arp(&p, 2, OTHER, GATEWAY, GATEWAY);
		assert_int_equal(check(&both), DROP_SPOOF_ARP);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ARP);
		assert_int_equal(check(&ips_only), DROP_SPOOF_ARP);
	}
	// More tags than are looked through.
	packet_ethernet(&p, MINE);
	packet_put(&p, "\x81\0\0\1\x81\0\0\1\x81\0\0\1", 12);
	packet_arp(&p, 2, OTHER, GATEWAY, GATEWAY);
	assert_int_equal(check(&macs_only), DROP_SPOOF_TYPE);
	assert_int_equal(check(&ips_only), DROP_SPOOF_TYPE);
}

static void
neighbour_advertisement_claims_only_allowed_addresses(void **state)
{
	(void)state;
	put_nd(my_v6, 136, my_v6);
	packet_lladdr(&p, 2, MINE);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_nd(my_v6, 136, my_link_local);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_nd(my_v6, 136, other_v6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_ND);
	assert_int_equal(check(&ips_only), DROP_SPOOF_ND);
	assert_int_equal(check(&macs_only), DROP_NONE);
	put_nd(my_v6, 136, no_v6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_ND);
}

static void
link_layer_options_name_only_allowed_macs(void **state)
{
	static const unsigned types[] = {133, 135, 136};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		put_nd(random_link_local, types[i], my_v6);
		packet_lladdr(&p, 1, OTHER);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		put_nd(my_v6, types[i], my_v6);
		packet_lladdr(&p, 1, OTHER);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ND);
		assert_int_equal(check(&ips_only), DROP_NONE);
		put_nd(my_v6, types[i], my_v6);
		packet_put(&p, "\x0e\1\1\2\3\4\5\6", 8); // nonce (RFC 3971)
		packet_lladdr(&p, 1, MINE);
		packet_lladdr(&p, 2, OTHER);
		packet_end(&p);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ND);
		put_nd(my_v6, types[i], my_v6);
		packet_lladdr(&p, 1, MINE);
		packet_lladdr(&p, 1, ALSO_MINE);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		assert_int_equal(check(&ips_only), DROP_SPOOF_ND);
	}
}

static void
options_that_lie_about_their_length_are_refused(void **state)
{
	(void)state;
	put_nd(my_v6, 136, my_v6);
	packet_put(&p, "\1\0\0\0\0\0\0\0", 8);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_MALFORMED);
	put_nd(my_v6, 136, my_v6);
	packet_put(&p, "\1\2\0\0\0\0\0\0", 8);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_MALFORMED);
	put_nd(my_v6, 136, my_v6);
	packet_put(&p, "\1\1\2\xa0", 4);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_MALFORMED);
}

static void
too_many_options_are_refused(void **state)
{
	(void)state;
	for (unsigned n = FRAME_MAX_ND_OPTIONS; n <= FRAME_MAX_ND_OPTIONS + 1; n++) {
		put_nd(my_v6, 136, my_v6);
		for (unsigned i = 0; i < n; i++)
			packet_put(&p, "\x0e\1\1\2\3\4\5\6", 8);
		packet_end(&p);
		assert_int_equal(check(&macs_only), n > FRAME_MAX_ND_OPTIONS ? DROP_SPOOF_ND : DROP_NONE);
	}
}

static void
routers_are_not_guests(void **state)
{
	static const unsigned types[] = {134, 137};

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		put_nd(my_v6, types[i], my_v6);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ND);
		assert_int_equal(check(&ips_only), DROP_SPOOF_ND);
	}
}

static void
extension_headers_hide_no_neighbour_discovery(void **state)
{
	static const unsigned headers[] = {0, 43, 60, 135, 139, 140};

	(void)state;
	for (unsigned i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		packet_ethernet(&p, MINE);
		packet_ipv6(&p, my_v6, headers[i]);
		packet_put8(&p, 51); // then AH, in units of its own
		packet_put(&p, DST_OPTIONS, 7);
		packet_put(&p, "\x3c\4", 2);
		packet_put(&p, NULL, 22);
		packet_put8(&p, 58);
		packet_put(&p, DST_OPTIONS, 7);
		packet_nd(&p, 134, no_v6);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ND);
	}
}

static void
unclear_headers_are_refused(void **state)
{
	static const unsigned experimental[] = {253, 254};

	(void)state;
	for (unsigned n = FRAME_MAX_EXT_HEADERS; n <= FRAME_MAX_EXT_HEADERS + 1; n++) {
		packet_ethernet(&p, MINE);
		packet_ipv6(&p, my_v6, 60);
		for (unsigned i = 0; i < n; i++) {
			packet_put8(&p, i + 1 < n ? 60 : 17);
			packet_put(&p, DST_OPTIONS, 7);
		}
		packet_put(&p, NULL, 8);
		packet_end(&p);
		assert_int_equal(check(&macs_only), n > FRAME_MAX_EXT_HEADERS ? DROP_SPOOF_ND : DROP_NONE);
	}
	for (unsigned i = 0; i < 2; i++) {
		packet_ethernet(&p, MINE);
		packet_ipv6(&p, my_v6, experimental[i]);
		packet_put(&p, NULL, 8);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
	}
}

static void
put_fragment(unsigned next, unsigned offset_and_flags)
{
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, my_v6, 44);
	packet_put8(&p, next);
	packet_put8(&p, 0);
	packet_put16(&p, offset_and_flags);
	packet_put(&p, NULL, 4);
}

static void
neighbour_discovery_in_fragments_is_refused(void **state)
{
	(void)state;
	for (unsigned more = 0; more < 2; more++) { // 0: atomic fragment
		put_fragment(58, more);
		packet_nd(&p, 136, my_v6);
		packet_end(&p);
		assert_int_equal(check(&both), DROP_SPOOF_ND);
		assert_int_equal(check(&macs_only), DROP_SPOOF_ND);
	}
	// The ND header in the second fragment: the first one says only that ICMPv6 follows.
	put_fragment(60, 1);
	packet_put8(&p, 58);
	packet_put(&p, DST_OPTIONS, 7);
	packet_end(&p);
	assert_int_equal(check(&macs_only), DROP_MALFORMED);
	// The extension header itself crosses the fragments.
	put_fragment(60, 1);
	packet_put(&p, "\x3a\1\1\4\0\0\0\0", 8);
	packet_end(&p);
	assert_int_equal(check(&macs_only), DROP_MALFORMED);
}

static void
fragments_of_other_packets_pass(void **state)
{
	(void)state;
	put_fragment(17, 1);
	packet_put(&p, NULL, 16);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_fragment(17, 16 | 1);
	packet_put(&p, NULL, 16);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_fragment(58, 1);
	packet_put(&p, "\x80\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0", 16); // echo request
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
}

static void
unspecified_ipv6_is_for_dad_of_an_allowed_address(void **state)
{
	(void)state;
	put_nd(no_v6, 135, my_v6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_nd(no_v6, 135, my_link_local);
	packet_put(&p, "\x0e\1\1\2\3\4\5\6", 8); // nonce (RFC 7527)
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_nd(no_v6, 135, my_v6);
	packet_lladdr(&p, 1, MINE);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	put_nd(no_v6, 135, random_link_local);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_NONE);
	put_nd(no_v6, 135, other_v6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
	put_nd(no_v6, 136, my_v6);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
}

static void
unspecified_ipv6_is_for_mld_reports(void **state)
{
	static const unsigned types[] = {128, 129, 130, 131, 132, 143};

	(void)state;
	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		packet_ethernet(&p, MINE);
		packet_ipv6(&p, no_v6, 0);
		packet_put(&p, "\x3a\0\5\2\0\0\1\0", 8); // router alert
		packet_put8(&p, types[i]);
		packet_put(&p, NULL, 23);
		packet_end(&p);
		assert_int_equal(check(&both), types[i] > 130 ? DROP_NONE : DROP_SPOOF_IP);
	}
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, no_v6, 17);
	packet_put(&p, "\x8f\0\0\0\0\0\0\0", 8);
	packet_end(&p);
	assert_int_equal(check(&both), DROP_SPOOF_IP);
}

static void
headers_that_lie_are_malformed(void **state)
{
	(void)state;
	packet_ethernet(&p, MINE);
	packet_ipv4(&p, MY_IP, 17);
	packet_end(&p);
	packet_set16(&p, p.l3 + 2, 21);
	assert_int_equal(check(&both), DROP_MALFORMED);
	packet_set16(&p, p.l3 + 2, 19);
	assert_int_equal(check(&both), DROP_MALFORMED);
	p.b[p.l3] = 0x65;
	assert_int_equal(check(&both), DROP_MALFORMED);
	packet_ethernet(&p, MINE);
	packet_ipv6(&p, my_v6, 17);
	packet_end(&p);
	packet_set16(&p, p.l3 + 4, 1);
	assert_int_equal(check(&macs_only), DROP_MALFORMED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_rules_allow_everything),
		cmocka_unit_test(source_mac_must_be_allowed),
		cmocka_unit_test(source_ipv4_must_be_within_a_prefix),
		cmocka_unit_test(source_ipv6_must_be_within_a_prefix),
		cmocka_unit_test(ipv4_prefix_does_not_allow_ipv6_with_the_same_bytes),
		cmocka_unit_test(any_link_local_is_allowed_to_allowed_macs),
		cmocka_unit_test(listed_link_local_is_the_only_one_beside_the_macs),
		cmocka_unit_test(unspecified_ipv4_is_for_dhcp_alone),
		cmocka_unit_test(arp_sender_must_be_allowed_in_every_operation),
		cmocka_unit_test(arp_probe_is_a_request_for_an_allowed_address),
		cmocka_unit_test(rarp_request_of_an_allowed_mac_leaves),
		cmocka_unit_test(rarp_claims_nothing_that_is_not_allowed),
		cmocka_unit_test(malformed_arp_is_refused),
		cmocka_unit_test(other_types_leave_only_without_ip_rules),
		cmocka_unit_test(tags_hide_nothing),
		cmocka_unit_test(neighbour_advertisement_claims_only_allowed_addresses),
		cmocka_unit_test(link_layer_options_name_only_allowed_macs),
		cmocka_unit_test(options_that_lie_about_their_length_are_refused),
		cmocka_unit_test(too_many_options_are_refused),
		cmocka_unit_test(routers_are_not_guests),
		cmocka_unit_test(extension_headers_hide_no_neighbour_discovery),
		cmocka_unit_test(unclear_headers_are_refused),
		cmocka_unit_test(neighbour_discovery_in_fragments_is_refused),
		cmocka_unit_test(fragments_of_other_packets_pass),
		cmocka_unit_test(unspecified_ipv6_is_for_dad_of_an_allowed_address),
		cmocka_unit_test(unspecified_ipv6_is_for_mld_reports),
		cmocka_unit_test(headers_that_lie_are_malformed),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
