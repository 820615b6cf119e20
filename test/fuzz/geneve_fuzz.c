// Fuzz target: a frame from the underlay at a tunnel's end. The first eight bytes are not the
// frame's: the time. An accepted frame must lie inside of the input and come out the same when it
// is encapsulated again.
#include "promise.h"
#include "rtvs/geneve.h"
#include "rtvs/geneve_ignore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENEVE_FUZZ_MAX 66000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void
check_packet(const uint8_t *data, size_t len, const struct geneve_packet *packet)
{
	size_t n = packet->is_ipv6 ? 16 : 4;

	PROMISE(packet->inner_len >= GENEVE_INNER_MIN);
	PROMISE((size_t)packet->inner_offset + packet->inner_len <= len);
	PROMISE(packet->src > data && packet->src + n <= data + packet->inner_offset);
	PROMISE(packet->dst == packet->src + n);
	PROMISE(packet->n_options <= 63);
	PROMISE(packet->vni <= GENEVE_VNI_MAX);
	PROMISE(!packet->has_meta || packet->n_options);
}

// A tunnel that ignores nothing accepts exactly the packets without critical options.
static void
check_options(const uint8_t *data, const struct geneve_packet *packet, enum geneve_result result)
{
	static const struct geneve_ignore none, all = {.n = 1, .option = {{GENEVE_CLASS_DEFAULT, -1}}};
	const uint8_t *options = data + packet->inner_offset - packet->options_len;

	PROMISE(geneve_ignore_covers(&none, options, packet->options_len) == (result == GENEVE_OK));
	(void)geneve_ignore_covers(&all, options, packet->options_len);
}

// Through a tunnel that looks like the one it came from.
static void
check_again(const uint8_t *data, const struct geneve_packet *packet, uint64_t near_ns)
{
	static uint8_t out[GENEVE_HEADER_MAX + GENEVE_INNER_MAX];
	struct geneve_tunnel tunnel = {.is_ipv6 = packet->is_ipv6,
		.has_meta = packet->has_meta,
		.has_csum = packet->source_port & 1,
		.hop_limit = 64,
		.vlan = packet->vlan,
		.option_class = GENEVE_CLASS_DEFAULT,
		.vni = packet->vni};
	struct geneve_template template;
	struct geneve_packet again;

	if (packet->vlan > RTVS_VLAN_MAX || packet->inner_len > GENEVE_INNER_MAX)
		return;
	memcpy(tunnel.local, packet->src, packet->is_ipv6 ? 16 : 4);
	memcpy(tunnel.remote, packet->dst, packet->is_ipv6 ? 16 : 4);
	PROMISE(geneve_template_init(&template, &tunnel) == 0);
	memcpy(out + template.len, data + packet->inner_offset, packet->inner_len);
	geneve_push(&template, out, packet->inner_len, packet->source_port, packet->tos,
		packet->has_meta ? packet->meta.deadline_ns : 0, packet->has_meta ? packet->meta.flow : 0);
	if (tunnel.has_csum)
		geneve_finish_checksum(out, &template, packet->inner_len);
	if (packet->has_meta)
		geneve_patch_meta(out, &template, packet->meta.seq, packet->meta.time_ns, packet->meta.residence_ns,
			tunnel.has_csum);
	PROMISE(geneve_parse(out, (size_t)template.len + packet->inner_len, near_ns, GENEVE_CLASS_DEFAULT, &again) ==
		GENEVE_OK);
	PROMISE(again.is_ipv6 == packet->is_ipv6 && again.has_meta == packet->has_meta);
	PROMISE(again.tos == packet->tos && again.vlan == packet->vlan && again.vni == packet->vni);
	PROMISE(again.source_port == packet->source_port && again.inner_len == packet->inner_len);
	PROMISE(memcmp(out + again.inner_offset, data + packet->inner_offset, packet->inner_len) == 0);
	if (!packet->has_meta)
		return;
	PROMISE(again.meta.seq == packet->meta.seq && again.meta.time_ns == packet->meta.time_ns);
	PROMISE(again.meta.residence_ns == packet->meta.residence_ns && again.meta.flow == packet->meta.flow);
	PROMISE(again.meta.deadline_ns == packet->meta.deadline_ns);
}

int
LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	struct geneve_packet packet, cut;
	uint64_t near_ns;

	if (len < 8 || len > GENEVE_FUZZ_MAX)
		return 0;
	memcpy(&near_ns, input, 8);
	near_ns &= INT64_MAX;
	input += 8;
	len -= 8;
	PROMISE(geneve_source_port(input, len) >= GENEVE_SOURCE_PORT_MIN);
	enum geneve_result result = geneve_parse(input, len, near_ns, GENEVE_CLASS_DEFAULT, &packet);
	PROMISE(result < GENEVE_RESULT_COUNT);
	if (result && result != GENEVE_CRITICAL)
		return 0;
	check_packet(input, len, &packet);
	check_options(input, &packet, result);
	check_again(input, &packet, near_ns);
	(void)geneve_source_port(input + packet.inner_offset, packet.inner_len);
	// One byte less than the inner frame's end is one too few.
	PROMISE(geneve_parse(
		input, (size_t)packet.inner_offset + packet.inner_len - 1, near_ns, GENEVE_CLASS_DEFAULT, &cut));
	return 0;
}
