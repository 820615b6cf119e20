// An eswitch in switchdev mode: guest 0 is its PF, which is on the bridge as well, guests 1 and 2
// are VF 0 and VF 1.
#include "dp_fixture.h"
#include "rtvs/dp_eswitch.h"
#include "rtvs/dp_rules.h"
#include "rtvs/flow_text.h"

#include <errno.h>
#include <string.h>

#define PF 0
#define VF0 1
#define VF1 2
#define TAG 4
#define VID(vf) (uint16_t)(DP_ESWITCH_VID + 1 + (vf))

static unsigned uplink;

static struct dp_eswitch_cfg
eswitch_cfg(void)
{
	return (struct dp_eswitch_cfg){
		.pf = guest[PF].port, .uplink = uplink, .n_vfs = 2, .vf = {guest[VF0].port, guest[VF1].port}};
}

static void
set_eswitch(const struct dp_eswitch_cfg *cfg)
{
	char err[DP_ERR_SIZE] = "";

	if (dp_eswitch_set(dp, cfg, err))
		fail_msg("%s", err);
}

static void
begin(void)
{
	struct dp_port_cfg cfg = port_cfg(0);
	struct dp_eswitch_cfg eswitch;

	plain_guests();
	cfg.type = DP_PORT_ESWITCH;
	cfg.socket[0] = '\0';
	snprintf(cfg.name, sizeof(cfg.name), "uplink");
	uplink = new_port(&cfg);
	eswitch = eswitch_cfg();
	set_eswitch(&eswitch);
	wait_link(uplink, true);
}

static void
set_rule(unsigned port, uint32_t slot, const char *text, unsigned n_outputs, const unsigned *outputs)
{
	struct dp_rule_change c = {.is_there = text};
	char err[DP_ERR_SIZE] = "";

	if (text && flow_text_parse(text, NULL, &c.entry, err))
		fail_msg("%s: %s", text, err);
	c.entry.rule.slot = slot;
	if (n_outputs)
		c.entry.action.verdict = FLOW_OUTPUT;
	c.entry.action.n_outputs = (uint8_t)n_outputs;
	for (unsigned i = 0; i < n_outputs; i++)
		c.entry.action.output[i] = (uint16_t)outputs[i];
	if (dp_rules_change(dp, port, DP_RULES_GUEST, &c, 1, err))
		fail_msg("%s", err);
}

static void
set_output(unsigned port, uint32_t slot, const char *match, unsigned to)
{
	char text[FLOW_TEXT_SIZE];

	(void)snprintf(text, sizeof(text), "%sactions=allow", match);
	set_rule(port, slot, text, 1, &to);
}

// A tag of the TCI, and len bytes in all.
static void
expect_tagged(unsigned i, uint16_t tci, unsigned len)
{
	struct rte_mbuf *m = receive(i);
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

	assert_int_equal(p[12] << 8 | p[13], 0x8100);
	assert_int_equal(p[14] << 8 | p[15], tci);
	assert_int_equal(m->pkt_len, len);
	rte_pktmbuf_free(m);
}

static uint64_t
drops_at(unsigned port, enum drop reason)
{
	struct dp_port_stats s;

	refresh_stats();
	assert_int_equal(dp_port_stats(dp, port, &s), 0);
	return s.drops[reason];
}

static void
wait_drops_at(unsigned port, enum drop reason, uint64_t n)
{
	uint64_t end = wait_limit();

	while (drops_at(port, reason) != n && rte_rdtsc() < end)
		;
	assert_int_equal(drops_at(port, reason), n);
}

static void
without_rules_the_guests_kernel_switches(void **state)
{
	(void)state;
	begin();
	send_frame(VF0, VF1, 0, 100);
	expect_tagged(PF, VID(0), 100 + TAG);
	send_frame(VF1, BROADCAST, 10, 101); // a tag of its own stays inside
	expect_tagged(PF, VID(1), 101 + TAG);
	send_frame(PF, VF1, VID(1), 102); // to a representor
	expect_frame(VF1, 102 - TAG);
	send_frame(PF, VF0, VID(0), 103);
	expect_frame(VF0, 103 - TAG);
	send_frame(PF, BROADCAST, 0, 104); // the NIC itself is on the bridge, and VFs are not
	expect_tagged(PF, DP_ESWITCH_VID, 104 + TAG);
	expect_nothing(VF0);
	expect_nothing(VF1);
	send_frame(PF, VF0, VID(2), 105); // there is no VF 2
	wait_drops(PF, DROP_VLAN_INGRESS, 1);
	send_frame(VF0, BROADCAST, 0, 106);
	expect_tagged(PF, VID(0), 106 + TAG);
}

static void
rules_output_to_functions_and_the_uplink(void **state)
{
	struct dp_rule_stats stats;

	(void)state;
	begin();
	set_output(guest[VF0].port, 0, "dl_dst=52:54:00:00:00:03,", guest[VF1].port);
	send_frame(VF0, VF1, 0, 100);
	expect_frame(VF1, 100);
	// The first is shown.
	expect_tagged(PF, (uint16_t)(DP_ESWITCH_COPY_PCP << 13 | VID(0)), 100 + TAG);
	send_frame(VF0, VF1, 0, 101);
	expect_frame(VF1, 101);
	expect_nothing(PF);
	assert_int_equal(dp_rule_stats(dp, guest[VF0].port, DP_RULES_GUEST, 0, &stats), 0);
	assert_int_equal(stats.packets, 2);
	assert_int_equal(stats.bytes, 201);
	set_rule(guest[VF0].port, 1, "dl_dst=ff:ff:ff:ff:ff:ff,actions=allow", 2,
		(const unsigned[]){guest[VF1].port, uplink});
	send_frame(VF0, BROADCAST, 0, 102);
	expect_frame(VF1, 102);
	expect_tagged(PF, (uint16_t)(DP_ESWITCH_COPY_PCP << 13 | VID(0)), 102 + TAG);
	expect_frame(PF, 102); // by the bridge
	send_frame(PF, VF0, 0, 103); // the address is the uplink's there
	expect_tagged(PF, DP_ESWITCH_VID, 103 + TAG);
	set_output(uplink, 0, "", guest[VF0].port);
	send_frame(PF, VF0, 0, 104);
	expect_frame(VF0, 104);
	expect_tagged(PF, (uint16_t)(DP_ESWITCH_COPY_PCP << 13 | DP_ESWITCH_VID), 104 + TAG);
	set_rule(guest[VF0].port, 0, "dl_dst=52:54:00:00:00:03,actions=drop", 0, NULL);
	send_frame(VF0, VF1, 0, 105);
	wait_drops(VF0, DROP_RULE, 1);
	expect_tagged(PF, (uint16_t)(DP_ESWITCH_COPY_PCP << 13 | VID(0)), 105 + TAG);
	set_rule(guest[VF0].port, 0, "dl_dst=52:54:00:00:00:03,actions=allow", 0, NULL); // a trap
	send_frame(VF0, VF1, 0, 106);
	expect_tagged(PF, VID(0), 106 + TAG);
}

static void
copies_that_come_back_end(void **state)
{
	struct rte_mbuf *m;
	uint8_t *p;

	(void)state;
	begin();
	m = make_frame(PF, VF1, VID(1), 100);
	p = rte_pktmbuf_mtod(m, uint8_t *);
	p[14] |= DP_ESWITCH_COPY_PCP << 5;
	send_mbuf(PF, m);
	wait_drops(PF, DROP_COPY, 1);
	expect_nothing(VF1);
}

static void
rules_push_and_pop_tags(void **state)
{
	struct dp_rule_change c = {.is_there = true};
	char err[DP_ERR_SIZE] = "";

	(void)state;
	begin();
	c.entry.action = (struct flow_action){.verdict = FLOW_OUTPUT,
		.push_tci = FLOW_KEY_VLAN_PRESENT | 3 << 13 | 10,
		.n_outputs = 1,
		.output = {(uint16_t)guest[VF1].port}};
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), 0);
	send_frame(VF0, VF1, 0, 100);
	expect_tagged(VF1, 3 << 13 | 10, 100 + TAG);
	rte_pktmbuf_free(receive(PF)); // the copy
	c.entry.action.push_tci = FLOW_KEY_VLAN_PRESENT | 11;
	c.entry.action.pops_tag = true;
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), 0);
	send_frame(VF0, VF1, 10, 101);
	expect_tagged(VF1, 11, 101);
	rte_pktmbuf_free(receive(PF));
	c.entry.action.push_tci = 0;
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), 0);
	send_frame(VF0, VF1, 10, 102);
	expect_frame(VF1, 102 - TAG);
	send_frame(VF0, VF1, 0, 103); // there is none to take
	expect_frame(VF1, 103);
}

static void
host_limits_what_goes_to_the_guests_kernel(void **state)
{
	struct dp_eswitch_cfg cfg;
	uint64_t end;

	(void)state;
	begin();
	cfg = eswitch_cfg();
	cfg.miss_pps = 1;
	set_eswitch(&cfg);
	for (unsigned i = 0; i < 40; i++)
		send_frame(VF0, VF1, 0, 100);
	end = wait_limit();
	while (stats_of(VF0).rx_pkts < 40 && rte_rdtsc() < end)
		;
	assert_in_range(drops_at(guest[VF0].port, DROP_MISS_LIMIT), 1, 39);
	send_frame(VF1, VF0, 0, 101); // of each port
	do {
		struct rte_mbuf *m = receive(PF);
		bool is_other = m->pkt_len == 101 + TAG;

		rte_pktmbuf_free(m);
		if (is_other)
			break;
	} while (true);
}

static void
host_limits_addresses_at_the_uplink(void **state)
{
	struct dp_eswitch_cfg cfg;

	(void)state;
	begin();
	cfg = eswitch_cfg();
	cfg.n_macs = 1;
	cfg.macs[0].mac = guest_mac(VF0);
	cfg.macs[0].n_bits = 48;
	set_eswitch(&cfg);
	send_frame(VF1, BROADCAST, 0, 90); // inside the guest any will do
	expect_tagged(PF, VID(1), 90 + TAG);
	send_frame(PF, BROADCAST, DP_ESWITCH_VID, 100); // of the PF's own address
	wait_drops_at(uplink, DROP_SPOOF_MAC, 1);
	set_output(guest[VF1].port, 0, "", uplink);
	send_frame(VF1, BROADCAST, 0, 101);
	wait_drops_at(uplink, DROP_SPOOF_MAC, 2);
	rte_pktmbuf_free(receive(PF)); // the copy
	set_output(guest[VF0].port, 0, "", uplink);
	send_frame(VF0, BROADCAST, 0, 102);
	rte_pktmbuf_free(receive(PF)); // the copy
	expect_frame(PF, 102);
}

static void
foreign_ports_are_not_reached(void **state)
{
	(void)state;
	begin();
	for (unsigned i = 0; i < 3; i++) {
		const unsigned to[] = {guest[PF].port, guest[VF0].port, DP_MAX_PORTS - 1};

		set_output(guest[VF0].port, 0, "", to[i]);
		send_frame(VF0, VF1, 0, 100);
		wait_drops(VF0, i == 1 ? DROP_SAME_PORT : DROP_NO_TARGET, i == 2 ? 2 : 1);
		rte_pktmbuf_free(receive(PF)); // the copy
	}
	expect_nothing(VF1);
}

static void
ports_are_as_before_at_the_end(void **state)
{
	struct dp_eswitch_cfg cfg;
	struct dp_rule_stats stats;

	(void)state;
	begin();
	set_output(guest[VF0].port, 0, "", guest[VF1].port);
	assert_int_equal(dp_eswitch_clear(dp, guest[PF].port), 0);
	wait_link(uplink, false);
	assert_int_equal(dp_eswitch_clear(dp, guest[PF].port), -ENOENT);
	assert_int_equal(dp_rule_stats(dp, guest[VF0].port, DP_RULES_GUEST, 0, &stats), -ENOENT);
	send_frame(VF0, BROADCAST, 0, 100);
	expect_frame(PF, 100);
	expect_frame(VF1, 100);
	cfg = eswitch_cfg();
	set_eswitch(&cfg);
	set_output(guest[VF0].port, 0, "", guest[VF1].port);
	assert_int_equal(dp_port_del(dp, uplink), 0); // which ends it
	send_frame(VF0, BROADCAST, 0, 101);
	expect_frame(PF, 101);
	expect_frame(VF1, 101);
}

static void
assert_refused(const struct dp_eswitch_cfg *cfg, int rc, const char *about)
{
	char err[DP_ERR_SIZE] = "";

	assert_int_equal(dp_eswitch_set(dp, cfg, err), rc);
	if (!strstr(err, about))
		fail_msg("'%s' does not say '%s'", err, about);
}

static void
wrong_eswitches_are_refused(void **state)
{
	struct dp_eswitch_cfg cfg;
	struct dp_rule_change c = {.is_there = true};
	char err[DP_ERR_SIZE] = "";

	(void)state;
	begin();
	cfg = eswitch_cfg();
	cfg.n_vfs = 0;
	assert_refused(&cfg, -EINVAL, "out of range 1 to 64");
	cfg.n_vfs = DP_ESWITCH_VFS + 1;
	assert_refused(&cfg, -EINVAL, "65 ports");
	cfg = eswitch_cfg();
	cfg.vf[1] = cfg.vf[0];
	assert_refused(&cfg, -EINVAL, "named twice");
	cfg.vf[1] = cfg.pf;
	assert_refused(&cfg, -EINVAL, "named twice");
	cfg.vf[1] = DP_MAX_PORTS;
	assert_refused(&cfg, -ENOENT, "no port");
	cfg.vf[1] = uplink;
	assert_refused(&cfg, -EINVAL, "type=eswitch");
	cfg = eswitch_cfg();
	cfg.uplink = cfg.vf[0];
	assert_refused(&cfg, -EINVAL, "type=vhost");
	cfg = eswitch_cfg();
	cfg.n_vfs = 1;
	assert_refused(&cfg, -EBUSY, "with other ports");
	cfg.pf = guest[VF1].port;
	assert_refused(&cfg, -EBUSY, "another eswitch");
	cfg = eswitch_cfg();
	cfg.n_macs = DP_ESWITCH_MACS + 1;
	assert_refused(&cfg, -EINVAL, "0 to 16");
	cfg.n_macs = 1;
	assert_refused(&cfg, -EINVAL, "1 to 48");
	cfg.macs[0].n_bits = 49;
	assert_refused(&cfg, -EINVAL, "1 to 48");
	assert_int_equal(dp_rules_change(dp, guest[PF].port, DP_RULES_GUEST, &c, 1, err), -EINVAL);
	c.entry.action.verdict = FLOW_OUTPUT;
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), -EINVAL);
	c.entry.action.n_outputs = FLOW_OUTPUTS_MAX + 1;
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), -EINVAL);
	c.entry.action.n_outputs = 1;
	c.entry.action.output[0] = DP_MAX_PORTS;
	assert_int_equal(dp_rules_change(dp, guest[VF0].port, DP_RULES_GUEST, &c, 1, err), -EINVAL);
	send_frame(VF0, VF1, 0, 100); // nothing has changed
	expect_tagged(PF, VID(0), 100 + TAG);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WITH_BRIDGE(without_rules_the_guests_kernel_switches),
		WITH_BRIDGE(rules_output_to_functions_and_the_uplink),
		WITH_BRIDGE(copies_that_come_back_end),
		WITH_BRIDGE(rules_push_and_pop_tags),
		WITH_BRIDGE(host_limits_what_goes_to_the_guests_kernel),
		WITH_BRIDGE(host_limits_addresses_at_the_uplink),
		WITH_BRIDGE(foreign_ports_are_not_reached),
		WITH_BRIDGE(ports_are_as_before_at_the_end),
		WITH_BRIDGE(wrong_eswitches_are_refused),
	};

	set_workers(argc, argv);
	return cmocka_run_group_tests_name("dp/port_eswitch", tests, fixture_start, fixture_stop);
}
