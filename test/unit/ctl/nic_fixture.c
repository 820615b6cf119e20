#include "nic_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct nic nic;

int
nic_setup(void **state)
{
	struct fixture *f;
	char params[512];

	if (fixture_setup(state) < 0)
		return -1;
	f = *state;
	loop_close(&f->ctl->loop, &f->ctl->tick);
	fixture_ok(f, "bridge.add", "{\"name\":\"br0\"}");
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(
			params, sizeof(params), "{\"name\":\"f%u\",\"bridge\":\"br0\",\"socket\":\"/s%u\"}", i, i);
		fixture_ok(f, "port.add", params);
	}
	nic = (struct nic){.f = f, .fd = -1};
	(void)snprintf(nic.control, sizeof(nic.control), "%.64s/nic.sock", f->dir);
	return 0;
}

int
nic_teardown(void **state)
{
	if (nic.fd >= 0)
		close(nic.fd);
	return fixture_teardown(state);
}

const char *
nic_with_control(const char *rest)
{
	static char params[8192];

	(void)snprintf(params, sizeof(params), "{\"control\":\"%s\",%s}", nic.control, rest);
	return params;
}

void
nic_add(const char *limits)
{
	char rest[1024];

	(void)snprintf(rest, sizeof(rest), PORTS "%s", limits);
	fixture_ok(nic.f, "eswitch.add", nic_with_control(rest));
}

int
nic_connect(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.107s", path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

void
nic_say(const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(nic.fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno != EAGAIN)
			return;
		if (n < 0)
			(void)loop_turn(&nic.f->ctl->loop, 0);
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	fixture_turn(nic.f);
}

const char *
nic_hear(ssize_t *ret_n)
{
	static char buf[1 << 18];
	ssize_t n = recv(nic.fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	if (ret_n)
		*ret_n = n;
	return buf;
}

void
nic_greet(void)
{
	nic.fd = nic_connect(nic.control);
	nic_say(HELLO, strlen(HELLO));
	assert_non_null(strstr(nic_hear(NULL), "\"nonce\":\"n1\""));
}

void
nic_expect(const char *call, const char *text)
{
	const char *answer;

	nic_say(call, strlen(call));
	answer = nic_hear(NULL);
	if (!strstr(answer, text))
		fail_msg("%s -> %s", call, answer);
}

json_t *
nic_port_config(const char *name)
{
	struct rpc_error err;
	char params[64];
	json_t *shown, *config;

	(void)snprintf(params, sizeof(params), "{\"name\":\"%s\"}", name);
	shown = fixture_call(nic.f, "port.show", params, &err);
	config = json_incref(json_object_get(shown, "config"));
	json_decref(shown);
	return config;
}

void
nic_expect_config(const char *port, const char *key, const char *text)
{
	json_t *config = nic_port_config(port);
	char *value = json_dumps(json_object_get(config, key), JSON_ENCODE_ANY | JSON_COMPACT);

	assert_string_equal(value, text);
	free(value);
	json_decref(config);
}

json_int_t
nic_channel_count(const char *key)
{
	struct rpc_error err;
	json_t *shown = fixture_call(nic.f, "eswitch.show", "{\"name\":\"e\"}", &err);
	json_int_t n = json_integer_value(json_object_get(json_object_get(shown, "channel"), key));

	json_decref(shown);
	return n;
}
