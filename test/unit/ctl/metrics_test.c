// The page of the metrics, read by a strict small checker of OpenMetrics 1.0, and its HTTP.
#include "ctl_fixture.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_FAMILIES 128

struct checker {
	char families[MAX_FAMILIES][64];
	unsigned n_families, n_samples;
	char type[16], unit[16];
	char last_labels[512]; // of the last bucket, without le
	double last_le, last_bucket;
	bool is_ended;
};

static void
start_family(struct checker *c, const char *name, const char *type)
{
	for (unsigned i = 0; i < c->n_families; i++)
		if (strcmp(c->families[i], name) == 0)
			fail_msg("family %s twice, or interleaved", name);
	assert_true(c->n_families < MAX_FAMILIES);
	(void)snprintf(c->families[c->n_families++], 64, "%s", name);
	(void)snprintf(c->type, sizeof(c->type), "%s", type);
	c->unit[0] = c->last_labels[0] = '\0';
}

static void
check_comment(struct checker *c, const char *line)
{
	char name[64], rest[256];

	if (strcmp(line, "# EOF") == 0) {
		c->is_ended = true;
	} else if (sscanf(line, "# TYPE %63s %15s", name, rest) == 2) {
		start_family(c, name, rest);
	} else if (sscanf(line, "# UNIT %63s %15s", name, rest) == 2) {
		assert_string_equal(name, c->families[c->n_families - 1]);
		if (strlen(name) <= strlen(rest) || strcmp(name + strlen(name) - strlen(rest), rest) != 0)
			fail_msg("%s does not end with its unit %s", name, rest);
	} else if (sscanf(line, "# HELP %63s %255[^\n]", name, rest) == 2) {
		assert_string_equal(name, c->families[c->n_families - 1]);
	} else {
		fail_msg("not a comment: %s", line);
	}
}

static void
check_suffix(const struct checker *c, const char *suffix)
{
	bool is_good = strcmp(c->type, "counter") == 0 ? strcmp(suffix, "_total") == 0 :
		strcmp(c->type, "info") == 0	       ? strcmp(suffix, "_info") == 0 :
		strcmp(c->type, "gauge") == 0	       ? suffix[0] == '\0' :
						strcmp(suffix, "_bucket") == 0 || strcmp(suffix, "_count") == 0 ||
			strcmp(suffix, "_sum") == 0;

	if (!is_good)
		fail_msg("%s: suffix '%s' of a %s", c->families[c->n_families - 1], suffix, c->type);
}

// Buckets of one series: le rises, counts do not fall, +Inf equals _count.
static void
check_histogram(struct checker *c, const char *suffix, const char *labels, double value)
{
	const char *le = strstr(labels, "le=\"");
	double bound;

	if (strcmp(suffix, "_count") == 0)
		assert_true(value == c->last_bucket);
	if (strcmp(suffix, "_bucket") != 0)
		return;
	assert_non_null(le);
	bound = strtod(le + 4, NULL);
	if ((size_t)(le - labels) == strlen(c->last_labels) &&
		strncmp(c->last_labels, labels, (size_t)(le - labels)) == 0)
		assert_true(bound > c->last_le && value >= c->last_bucket);
	(void)snprintf(c->last_labels, sizeof(c->last_labels), "%.*s", (int)(le - labels), labels);
	c->last_le = bound;
	c->last_bucket = value;
}

static void
check_sample(struct checker *c, const char *line)
{
	const char *family = c->families[c->n_families - 1];
	size_t name_len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
	const char *labels = line + name_len;
	char suffix[32], label_text[512] = "", *end;
	double value;

	assert_true(name_len >= strlen(family) && strncmp(line, family, strlen(family)) == 0);
	(void)snprintf(suffix, sizeof(suffix), "%.*s", (int)(name_len - strlen(family)), line + strlen(family));
	check_suffix(c, suffix);
	if (*labels == '{') {
		const char *close = strchr(labels, '}');
		assert_non_null(close);
		(void)snprintf(label_text, sizeof(label_text), "%.*s", (int)(close - labels - 1), labels + 1);
		labels = close + 1;
	}
	assert_int_equal(*labels, ' ');
	value = strtod(labels + 1, &end);
	assert_true(end > labels + 1 && *end == '\0');
	if (strcmp(c->type, "counter") == 0)
		assert_true(value >= 0);
	if (strcmp(c->type, "histogram") == 0)
		check_histogram(c, suffix, label_text, value);
	c->n_samples++;
}

static void
check_page(struct checker *c, const char *text)
{
	char *copy = strdup(text), *save = NULL;

	assert_int_equal(text[strlen(text) - 1], '\n');
	for (const char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		assert_false(c->is_ended);
		if (line[0] == '#')
			check_comment(c, line);
		else
			check_sample(c, line);
	}
	assert_true(c->is_ended);
	free(copy);
}

static void
the_page_is_openmetrics(void **state)
{
	struct fixture *f = *state;
	struct checker *c = calloc(1, sizeof(*c));
	size_t len;
	char *text;

	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm1\", \"bridge\": \"br0\", \"domain\": \"web \\\"1\\\" \\\\ a\\nb\"}");
	fixture_ok(f, "port.add", "{\"name\": \"vm2\"}");
	fake_dp_stats("vm1")->rx_pkts = 1234567890123;
	fake_dp_stats("vm1")->blocked_ns = 1234067890123;
	fake_dp_stats("vm2")->drops[DROP_SPOOF_IP] = 42;
	fake_dp_flow("vm2", "vm1")->guaranteed_pkts = 5;
	hist_add_n(&fake_dp_flow("vm2", "vm1")->delay, 1000000, 5);
	hist_add(&fake_dp_worker(0)->stalls, 20000);
	hist_add(&fake_dp_worker(0)->stalls, 3000000);
	hist_add(&fake_dp_worker(1)->stalls, UINT64_C(100000000000));
	text = metrics_text(f->ctl, &len);
	assert_int_equal(strlen(text), len);
	check_page(c, text);
	assert_true(c->n_samples > 2 * DROP_COUNT);
	assert_non_null(strstr(text, "rtvs_port_rx_packets_total{port=\"vm1\",bridge=\"br0\"} 1234567890123\n"));
	assert_non_null(
		strstr(text, "rtvs_port_dropped_packets_total{port=\"vm2\",bridge=\"\",reason=\"spoof_ip\"} 42\n"));
	assert_non_null(strstr(text, "rtvs_port_blocked_seconds_total{port=\"vm1\",bridge=\"br0\"} 1234.067890123\n"));
	assert_non_null(strstr(text, "rtvs_port_blocked_seconds_total{port=\"vm2\",bridge=\"\"} 0.000000000\n"));
	assert_non_null(strstr(text, "rtvs_flow_guaranteed_packets_total{port=\"vm2\",from=\"vm1\"} 5\n"));
	assert_non_null(strstr(text, "rtvs_flow_delay_seconds_count{port=\"vm2\",from=\"vm1\"} 5\n"));
	assert_non_null(strstr(text, "rtvs_worker_stall_seconds_bucket{worker=\"0\",le=\"+Inf\"} 2\n"));
	assert_non_null(strstr(text, "rtvs_worker_stall_seconds_bucket{worker=\"0\",le=\"3.2767e-05\"} 1\n"));
	assert_non_null(strstr(text,
		"rtvs_port_info{port=\"vm1\",type=\"vhost\",domain_uuid=\"\",domain=\"web \\\"1\\\" \\\\ a\\nb\"} "
		"1\n"));
	assert_non_null(strstr(text, "rtvs_build_info{version=\"1.2.3\"} 1\n"));
	free(text);
	free(c);
}

static void
segments_are_on_the_page(void **state)
{
	static const char *const expected[] = {
		"rtvs_segment_nodes{port=\"s\",bridge=\"\"} 3\n",
		"rtvs_segment_slots{port=\"s\",bridge=\"\"} 4096\n",
		"rtvs_segment_slots_free{port=\"s\",bridge=\"\"} 4000\n",
		"rtvs_segment_slots_held{port=\"s\",bridge=\"\"} 7\n",
		"rtvs_segment_inbox_packets{port=\"s\",bridge=\"\"} 5\n",
		"rtvs_segment_inbox_size{port=\"s\",bridge=\"\"} 512\n",
		"rtvs_segment_dropped_packets_total{port=\"s\",bridge=\"\",reason=\"tx_inbox_full\"} 9\n",
		"rtvs_segment_dropped_packets_total{port=\"s\",bridge=\"\",reason=\"rx_bad\"} 0\n",
	};
	struct fixture *f = *state;
	struct checker *c = calloc(1, sizeof(*c));
	char *text;
	size_t len;

	fixture_ok(f, "port.add", "{\"name\": \"vm1\"}");
	text = metrics_text(f->ctl, &len);
	assert_null(strstr(text, "rtvs_segment"));
	free(text);
	fixture_ok(f, "port.add", "{\"name\": \"s\", \"type\": \"segment\", \"path\": \"/dev/shm/s\"}");
	fake_dp_state("s")->segment = (struct dp_segment_state){.n_nodes = 3,
		.n_slots = 4096,
		.n_slots_free = 4000,
		.n_slots_held = 7,
		.inbox_depth = 5,
		.inbox_size = 512,
		.counters = {.tx_inbox_full = 9}};
	text = metrics_text(f->ctl, &len);
	check_page(c, text);
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (!strstr(text, expected[i]))
			fail_msg("not there: %s", expected[i]);
	free(text);
	free(c);
}

// One request over an open socket; the whole answer (static).
static const char *
get(struct fixture *f, int fd, const char *request)
{
	static char buf[1 << 17];
	size_t len = 0;
	ssize_t n = -1;

	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	for (unsigned i = 0; i < 1000 && n != 0; i++) {
		metrics_run(f->ctl->metrics);
		n = recv(fd, buf + len, sizeof(buf) - 1 - len, MSG_DONTWAIT);
		len += n > 0 ? (size_t)n : 0;
		if (n < 0)
			(void)loop_turn(&f->ctl->loop, 5);
	}
	buf[len] = '\0';
	close(fd);
	return buf;
}

// A host that is not heard, and what the datapath measured of it.
static void
other_hosts_are_on_the_page(void **state)
{
	static const char *const expected[] = {
		"rtvs_remote_flow_received_packets_total{tunnel=\"t\",flow=\"3\"} 10\n",
		"rtvs_remote_flow_lost_packets_total{tunnel=\"t\",flow=\"3\"} 1\n",
		"rtvs_remote_flow_deadline_seconds{tunnel=\"t\",flow=\"3\"} 0.002000000\n",
		"rtvs_remote_flow_uncertainty_seconds{tunnel=\"t\",flow=\"3\"} +Inf\n",
		"rtvs_remote_flow_delay_seconds_sum{tunnel=\"t\",flow=\"3\"} 0.000005000\n",
		"rtvs_remote_flow_network_seconds_sum{tunnel=\"t\",flow=\"3\"} 0.000004000\n",
		"rtvs_peer_known{uplink=\"up\",address=\"10.9.0.2\"} 0\n",
		"rtvs_peer_clock_offset_seconds{uplink=\"up\",address=\"10.9.0.2\"} 0.000000000\n",
		"rtvs_peer_clock_uncertainty_seconds{uplink=\"up\",address=\"10.9.0.2\"} +Inf\n",
		"rtvs_peer_received_messages_total{uplink=\"up\",address=\"10.9.0.2\",result=\"forged\"} 0\n",
		"rtvs_peer_strangers_total 0\n",
	};
	struct fixture *f = *state;
	struct checker *c = calloc(1, sizeof(*c));
	char path[128], params[384], *text;
	size_t len;

	(void)snprintf(path, sizeof(path), "%s/key", f->dir);
	fixture_write(path, "1 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
	assert_int_equal(chmod(path, 0600), 0);
	fixture_ok(f, "bridge.add", "{\"name\": \"br0\"}");
	fixture_ok(f, "port.add",
		"{\"name\": \"up\", \"type\": \"ethdev\", \"devargs\": \"net_null0\", \"mtu\": 1700, \"address\": "
		"\"10.9.0.1/24\"}");
	text = metrics_text(f->ctl, &len);
	assert_null(strstr(text, "remote_flow"));
	assert_null(strstr(text, "peer_known"));
	free(text);
	(void)snprintf(params, sizeof(params),
		"{\"name\": \"t\", \"type\": \"geneve\", \"bridge\": \"br0\", \"uplink\": \"up\", \"remote\": "
		"\"10.9.0.2\", \"key_file\": \"%s\"}",
		path);
	fixture_ok(f, "port.add", params);
	text = metrics_text(f->ctl, &len);
	check_page(c, text);
	for (unsigned i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		if (!strstr(text, expected[i]))
			fail_msg("not there: %s", expected[i]);
	assert_null(strstr(text, "rtvs_feedback")); // nothing was reported
	free(text);
	free(c);
	(void)unlink(path);
}

static int
connect_unix(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static void
served_on_a_unix_socket(void **state)
{
	struct fixture *f = *state;
	char address[256], path[128], err[DP_ERR_SIZE];
	const char *answer;

	(void)snprintf(path, sizeof(path), "%s/metrics.sock", f->dir);
	(void)snprintf(address, sizeof(address), "unix:%s", path);
	f->params.metrics = address;
	assert_int_equal(ctl_create(&f->params, &f->ctl, err), 0);
	answer = get(f, connect_unix(path), "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_non_null(strstr(answer, "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "# EOF\n"));
	answer = get(f, connect_unix(path), "GET /other HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
	assert_non_null(strstr(answer, "HTTP/1.1 404"));
	answer = get(f, connect_unix(path),
		"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
	assert_non_null(strstr(answer, "HTTP/1.1 405"));
	(void)get(f, connect_unix(path), "\x01\x02garbage\r\n\r\n");
	ctl_destroy(f->ctl);
	f->ctl = NULL;
	assert_int_equal(access(path, F_OK), -1);
}

static void
served_on_loopback_only(void **state)
{
	static const char *const wrong[] = {"0.0.0.0:9090", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "[::]:9090",
		"localhost:9090", "unix:relative", ":9090", ""};
	struct fixture *f = *state;
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	char err[DP_ERR_SIZE], address[64];
	int fd = -1, rc = -EADDRINUSE;

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		f->params.metrics = wrong[i];
		assert_int_equal(ctl_create(&f->params, &f->ctl, err), -EINVAL);
	}
	for (uint16_t port = 19090; rc == -EADDRINUSE && port < 19110; port++) {
		(void)snprintf(address, sizeof(address), "127.0.0.1:%u", port);
		addr.sin_port = htons(port);
		f->params.metrics = address;
		rc = ctl_create(&f->params, &f->ctl, err);
	}
	assert_int_equal(rc, 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_non_null(strstr(get(f, fd, "GET / HTTP/1.0\r\n\r\n"), "# EOF\n"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_page_is_openmetrics, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(segments_are_on_the_page, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(other_hosts_are_on_the_page, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(served_on_a_unix_socket, fixture_setup_stopped, fixture_teardown),
		cmocka_unit_test_setup_teardown(served_on_loopback_only, fixture_setup_stopped, fixture_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
