// The other side is core's own session under the same key.
#include "remote.h"

#include "ctl_clock.h"
#include "peers_json.h"

#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_ID 7

struct peer_session remote;
char key_path[64];
struct dp_datagram last;
static unsigned char key[32];

// A datagram of the remote, under the key that it has.
struct dp_datagram
datagram(struct peer_msg *msg, const struct peer_session_stamp *stamp)
{
	struct dp_datagram d = {
		.from = {.addr = {10, 9, 0, 2}, .len = 32}, .from_port = PEER_MSG_PORT, .to_port = PEER_MSG_PORT};
	size_t covered;

	msg->key_id = (uint16_t)stamp->key;
	msg->session = stamp->session;
	msg->echo = stamp->echo;
	msg->seq = stamp->seq;
	d.len = (uint16_t)peer_msg_encode(msg, d.data);
	covered = peer_msg_covered(d.len);
	(void)crypto_generichash(d.data + covered, PEER_MSG_TAG_BYTES, d.data, covered, key, sizeof(key));
	return d;
}

void
remote_sends(struct fixture *f, struct peer_msg *msg)
{
	struct peer_session_stamp stamp;

	assert_true(peer_session_send(&remote, &stamp, ctl_now_ns()));
	last = datagram(msg, &stamp);
	peers_receive(f->ctl, &last);
}

// The remote takes what was sent to it.
enum peer_session_verdict
remote_takes(struct peer_msg *ret_msg)
{
	const struct dp_datagram *d = fake_dp_sent();
	unsigned char tag[PEER_MSG_TAG_BYTES];

	assert_int_equal(peer_msg_decode(d->data, d->len, ret_msg), 0);
	(void)crypto_generichash(tag, sizeof(tag), d->data, peer_msg_covered(d->len), key, sizeof(key));
	assert_memory_equal(tag, d->data + peer_msg_covered(d->len), sizeof(tag));
	return peer_session_receive(&remote,
		&(struct peer_session_stamp){.session = ret_msg->session,
			.echo = ret_msg->echo,
			.seq = ret_msg->seq,
			.key = ret_msg->key_id},
		ctl_now_ns());
}

uint64_t
count(struct fixture *f, const char *name)
{
	json_t *list = peers_json(f->ctl);
	const json_t *value = json_object_get(json_array_get(list, 0), name);
	uint64_t n = json_is_true(value) ? 1 : (uint64_t)json_integer_value(value);

	assert_int_equal(json_array_size(list), 1);
	json_decref(list);
	return n;
}

// The file holds this key, under the same number; it is the remote's from here on.
void
write_key(void)
{
	FILE *file = fopen(key_path, "we");
	char hex[65];

	randombytes_buf(key, sizeof(key));
	assert_non_null(file);
	assert_int_equal(fchmod(fileno(file), 0600), 0);
	(void)fprintf(
		file, "# shared with host 2\n%d %s\n", KEY_ID, sodium_bin2hex(hex, sizeof(hex), key, sizeof(key)));
	assert_int_equal(fclose(file), 0);
}

// A tunnel to a peer that knows us, and a port whose packets it may report.
struct fixture *
acquainted(void **state)
{
	struct fixture *f = *state;
	uint32_t id = KEY_ID;
	struct peer_session_stamp stamp;
	struct peer_msg msg = {.type = PEER_MSG_HELLO};
	char params[256];

	(void)snprintf(key_path, sizeof(key_path), "/tmp/rtvs-key-%d", (int)getpid());
	(void)unlink(key_path);
	write_key();
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"net_null0\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"vm\", \"bridge\": \"br0\", \"socket\": \"/tmp/vm.sock\", \"deadline\": \"2ms\"}");
	(void)snprintf(params, sizeof(params),
		"{\"name\": \"t\", \"type\": \"geneve\", \"bridge\": \"br0\", \"uplink\": \"up\", \"remote\": "
		"\"10.9.0.2\", "
		"\"key_file\": \"%s\", \"clock\": \"peer\"}",
		key_path);
	fixture_ok(f, "port.add", params);
	assert_int_equal(peer_session_init(&remote, 0x1234567, &id, 1, ctl_now_ns()), 0);
	assert_true(peer_session_hello(&remote, &stamp, ctl_now_ns()));
	last = datagram(&msg, &stamp);
	peers_receive(f->ctl, &last);
	(void)remote_takes(&msg); // a HELLO that names us
	assert_int_equal(msg.type, PEER_MSG_HELLO);
	assert_true(peer_session_is_known(&remote));
	return f;
}

int
forget(void **state)
{
	(void)unlink(key_path);
	return fixture_teardown(state);
}

struct peer_msg
late_report(struct fixture *f, uint64_t last_seq)
{
	struct peer_msg msg = {.type = PEER_MSG_FEEDBACK, .n_flows = 1};

	msg.flows[0] = (struct peer_msg_flow){.flow = (uint16_t)model_port_find(f->ctl->plane.live, "vm")->id,
		.packets = 10,
		.missed = 5,
		.worst_over_ns = 3000000,
		.worst_network_ns = 4900000,
		.last_seq = last_seq};
	return msg;
}
