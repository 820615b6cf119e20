// One socket and one thread a request. The kernel gives the family its number when the module is
// loaded, so each request asks for that first.
#include "bounded.h"
#include "bus.h"
#include "message.h"
#include "rtvs/vdpa.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct request {
	uint8_t cmd;
	char name[VDPA_NAME_SIZE], mgmtdev[VDPA_NAME_SIZE]; // mgmtdev "": not sent
	struct message_answer answer;
};

static int
exchange(struct mnl_socket *s, const void *request, size_t len, uint32_t seq, struct message_answer *answer)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_SIZE];
	int rc = 1;

	if (mnl_socket_sendto(s, request, len) < 0)
		return -errno;
	while (rc == 1) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		rc = message_read(buf, (size_t)n, seq, answer);
	}
	return rc;
}

static int
run(void *data)
{
	_Alignas(struct nlmsghdr) char buf[MESSAGE_SIZE];
	struct request *r = data;
	struct mnl_socket *s = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	int on = 1, rc = s && !mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) ? 0 : -errno;

	if (!rc) {
		// Without it refusals have no text.
		(void)mnl_socket_setsockopt(s, NETLINK_EXT_ACK, &on, sizeof(on));
		rc = exchange(s, buf, message_get_family(buf, 1), 1, &r->answer);
	}
	if (!rc && r->cmd == VDPA_CMD_DEV_DEL && bus_is_open("", r->name))
		rc = -EBUSY;
	if (!rc)
		rc = exchange(s, buf,
			message_dev(buf, 2, r->answer.family, r->cmd, r->name, r->mgmtdev[0] ? r->mgmtdev : NULL), 2,
			&r->answer);
	if (s)
		(void)mnl_socket_close(s);
	return rc;
}

static int
ask(struct request *r, uint8_t cmd, const char *name, const char *mgmtdev, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	int rc;

	if (!name[0] || strlen(name) >= sizeof(r->name) ||
		(mgmtdev && (!mgmtdev[0] || strlen(mgmtdev) >= sizeof(r->mgmtdev)))) {
		(void)snprintf(err, VDPA_ERR_SIZE, "a device's name has 1 to %d bytes", VDPA_NAME_SIZE - 1);
		return -EINVAL;
	}
	r->cmd = cmd;
	r->answer.family = 0;
	(void)snprintf(r->name, sizeof(r->name), "%s", name);
	(void)snprintf(r->mgmtdev, sizeof(r->mgmtdev), "%s", mgmtdev ? mgmtdev : "");
	rc = bounded_call(run, r, sizeof(*r), timeout_ms);
	if (rc == -ETIMEDOUT || (rc == -EBUSY && !r->answer.family))
		(void)snprintf(err, VDPA_ERR_SIZE, "%s", bounded_why(rc));
	else if (rc)
		message_describe(rc, &r->answer, cmd, name, r->mgmtdev, err);
	return rc;
}

int
vdpa_dev_new(const char *name, const char *mgmtdev, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	struct request r = {0};

	return ask(&r, VDPA_CMD_DEV_NEW, name, mgmtdev, timeout_ms, err);
}

int
vdpa_dev_del(const char *name, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	struct request r = {0};

	return ask(&r, VDPA_CMD_DEV_DEL, name, NULL, timeout_ms, err);
}

// Two questions: who made it, and what it shows to its driver.
int
vdpa_dev_get(const char *name, struct vdpa_dev *ret_dev, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	struct request r = {0};
	int rc = ask(&r, VDPA_CMD_DEV_GET, name, NULL, timeout_ms, err);

	if (!rc)
		rc = ask(&r, VDPA_CMD_DEV_CONFIG_GET, name, NULL, timeout_ms, err);
	if (!rc)
		*ret_dev = r.answer.dev;
	return rc;
}
