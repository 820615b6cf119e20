// Captures: the file is read back block by block.
#include "capture.h"
#include "ctl_fixture.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_PACKET 6

struct blocks {
	unsigned n_headers, n_interfaces, n_packets;
	uint32_t caplen, len; // of the last packet
};

static uint32_t
get32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// Every block has its length at both ends, all of them fill the file.
static struct blocks
read_back(const char *path)
{
	struct blocks blocks = {0};
	uint8_t buf[65536];
	FILE *file = fopen(path, "r");
	size_t size, pos = 0;

	assert_non_null(file);
	size = fread(buf, 1, sizeof(buf), file);
	(void)fclose(file);
	while (pos < size) {
		uint32_t type = get32(buf + pos), len = get32(buf + pos + 4);
		assert_true(len >= 12 && len % 4 == 0 && pos + len <= size);
		assert_int_equal(get32(buf + pos + len - 4), len);
		blocks.n_headers += type == 0x0a0d0d0a;
		blocks.n_interfaces += type == 1;
		blocks.n_packets += type == BLOCK_PACKET;
		if (type == BLOCK_PACKET) {
			blocks.caplen = get32(buf + pos + 20);
			blocks.len = get32(buf + pos + 24);
		}
		pos += len;
	}
	return blocks;
}

static void
start(struct fixture *f, const char *more)
{
	char params[512];

	(void)snprintf(params, sizeof(params), "{\"port\": \"vm1\", \"file\": \"%s\"%s}", f->config, more);
	fixture_ok(f, "capture.start", params);
}

static void
give_packets(unsigned n)
{
	uint8_t data[200] = {1, 2, 3};
	struct dp_capture_pkt pkt = {.time_ns = 1700000000000000000, .len = 200, .caplen = 200, .data = data};

	for (unsigned i = 0; i < n; i++)
		fake_dp_packet(0, &pkt);
}

static void
packets_come_into_the_file(void **state)
{
	struct fixture *f = *state;
	struct rpc_error err;
	struct blocks blocks;
	struct stat st;
	json_t *list;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	start(f, ", \"snaplen\": 64");
	give_packets(3);
	assert_int_equal(capture_poll(f->ctl), CAPTURE_POLL_MS);
	list = fixture_call(f, "capture.list", NULL, &err);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "pkts")), 3);
	json_decref(list);
	give_packets(2);
	fixture_ok(f, "capture.stop", "{\"port\": \"vm1\"}");
	blocks = read_back(f->config);
	assert_int_equal(blocks.n_headers, 1);
	assert_int_equal(blocks.n_interfaces, 1);
	assert_int_equal(blocks.n_packets, 5);
	assert_int_equal(blocks.caplen, 64);
	assert_int_equal(blocks.len, 200);
	assert_int_equal(stat(f->config, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(capture_poll(f->ctl), -1);
}

static void
count_ends_the_capture(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	start(f, ", \"count\": 4");
	give_packets(9);
	(void)capture_poll(f->ctl);
	assert_null(f->ctl->captures);
	assert_int_equal(read_back(f->config).n_packets, 4);
	fixture_refused(f, "capture.stop", "{\"port\": \"vm1\"}", RPC_STATE_ERROR, "no capture");
}

static void
the_port_takes_its_capture_along(void **state)
{
	struct fixture *f = *state;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	start(f, "");
	fixture_ok(f, "port.del", "{\"name\": \"vm1\"}");
	assert_null(f->ctl->captures);
	assert_int_equal(read_back(f->config).n_packets, 0);
}

static void
refused_captures_leave_nothing(void **state)
{
	struct fixture *f = *state;
	char params[512];

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	(void)snprintf(
		params, sizeof(params), "{\"port\": \"vm1\", \"file\": \"%s\", \"filter\": \"nonsense\"}", f->config);
	fixture_refused(f, "capture.start", params, RPC_INVALID_PARAMS, "filter");
	assert_int_equal(access(f->config, F_OK), -1);
	(void)snprintf(params, sizeof(params), "{\"port\": \"vm2\", \"file\": \"%s\"}", f->config);
	fixture_refused(f, "capture.start", params, RPC_STATE_ERROR, "vm2");
	fixture_refused(f, "capture.start", "{\"port\": \"vm1\", \"file\": \"x\"}", RPC_INVALID_PARAMS, "absolute");
	fixture_refused(
		f, "capture.start", "{\"port\": \"vm1\", \"file\": \"/nowhere/x\"}", RPC_STATE_ERROR, "/nowhere/x");
	fixture_write(f->config, "precious");
	(void)snprintf(params, sizeof(params), "{\"port\": \"vm1\", \"file\": \"%s\"}", f->config);
	fixture_refused(f, "capture.start", params, RPC_STATE_ERROR, "exists");
	(void)unlink(f->config);
	start(f, "");
	(void)snprintf(params, sizeof(params), "{\"port\": \"vm1\", \"file\": \"%s.2\"}", f->config);
	fixture_refused(f, "capture.start", params, RPC_STATE_ERROR, "already");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(packets_come_into_the_file),
		T(count_ends_the_capture),
		T(the_port_takes_its_capture_along),
		T(refused_captures_leave_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
