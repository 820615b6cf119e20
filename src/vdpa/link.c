// rtnetlink, in the network namespace of the thread that asks: threads of bounded_call have that of
// their maker. The kernel's lock of all interfaces is held while a driver waits for its device, so
// these requests have the same time limit as others.
#include "bounded.h"
#include "rtvs/vdpa.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define REPLY_SIZE 32768 // the kernel sends no more at once
#define REQUEST_SIZE 512

struct request {
	_Alignas(struct nlmsghdr) char message[REQUEST_SIZE];
	char virtio[VDPA_NAME_SIZE]; // whose interface is looked for
	struct vdpa_link link; // index 0: not found
};

// Attributes of one interface; a name that is cut names another.
static int
read_attribute_cb(const struct nlattr *attr, void *ctx)
{
	struct request *found = ctx;
	struct vdpa_link *link = &found->link;

	switch (mnl_attr_get_type(attr)) {
	case IFLA_IFNAME:
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			return MNL_CB_ERROR;
		(void)snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attr));
		break;
	case IFLA_ADDRESS:
		if (mnl_attr_get_payload_len(attr) == sizeof(link->mac))
			memcpy(&link->mac, mnl_attr_get_payload(attr), sizeof(link->mac));
		break;
	case IFLA_MTU:
		if (mnl_attr_validate(attr, MNL_TYPE_U32) < 0)
			return MNL_CB_ERROR;
		link->mtu = mnl_attr_get_u32(attr);
		break;
	case IFLA_PARENT_DEV_NAME:
		if (mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			return MNL_CB_ERROR;
		(void)snprintf(found->virtio, sizeof(found->virtio), "%s", mnl_attr_get_str(attr));
		break;
	}
	return MNL_CB_OK;
}

static int
read_link_cb(const struct nlmsghdr *head, void *ctx)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);
	struct request *wanted = ctx, found = {0};

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*info) ||
		mnl_attr_parse(head, sizeof(*info), read_attribute_cb, &found) < 0)
		return MNL_CB_ERROR;
	if (strcmp(found.virtio, wanted->virtio))
		return MNL_CB_OK;
	wanted->link = found.link;
	wanted->link.index = (uint32_t)info->ifi_index;
	wanted->link.is_up = info->ifi_flags & IFF_UP;
	return MNL_CB_OK;
}

static int
run(void *data)
{
	struct request *r = data;
	const struct nlmsghdr *head = (struct nlmsghdr *)r->message;
	_Alignas(struct nlmsghdr) char buf[REPLY_SIZE];
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int more = s && !mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) ? MNL_CB_OK : MNL_CB_ERROR, rc;

	if (more == MNL_CB_OK && mnl_socket_sendto(s, head, head->nlmsg_len) < 0)
		more = MNL_CB_ERROR;
	while (more == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

		more = n < 0 ? MNL_CB_ERROR :
			       mnl_cb_run(buf, (size_t)n, head->nlmsg_seq, mnl_socket_get_portid(s), read_link_cb, r);
	}
	rc = more == MNL_CB_ERROR ? -errno : 0;
	if (s)
		(void)mnl_socket_close(s);
	return rc;
}

static struct nlmsghdr *
put_header(struct request *r, uint16_t type, uint16_t flags, struct ifinfomsg **ret_info)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(r->message);

	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_seq = 1;
	*ret_info = mnl_nlmsg_put_extra_header(head, sizeof(**ret_info));
	return head;
}

int
vdpa_link_find(const char *virtio, struct vdpa_link *ret_link, unsigned timeout_ms, char err[VDPA_ERR_SIZE])
{
	struct request r = {0};
	struct ifinfomsg *info;
	int rc;

	(void)put_header(&r, RTM_GETLINK, NLM_F_DUMP, &info);
	(void)snprintf(r.virtio, sizeof(r.virtio), "%s", virtio);
	rc = bounded_call(run, &r, sizeof(r), timeout_ms);
	if (!rc && !r.link.index)
		rc = -ENOENT;
	if (rc)
		(void)snprintf(err, VDPA_ERR_SIZE, "interface of %.99s: %s", virtio, bounded_why(rc));
	else
		*ret_link = r.link;
	return rc;
}

int
vdpa_link_set(uint32_t index, const char *name, const struct mac *mac, int netns, bool is_up, unsigned timeout_ms,
	char err[VDPA_ERR_SIZE])
{
	struct request r = {0};
	struct ifinfomsg *info;
	struct nlmsghdr *head = put_header(&r, RTM_NEWLINK, NLM_F_ACK, &info);
	int rc;

	info->ifi_index = (int)index;
	info->ifi_change = is_up ? IFF_UP : 0;
	info->ifi_flags = is_up ? IFF_UP : 0;
	if (netns >= 0)
		mnl_attr_put_u32(head, IFLA_NET_NS_FD, (uint32_t)netns);
	if (name)
		mnl_attr_put_strz(head, IFLA_IFNAME, name);
	if (mac)
		mnl_attr_put(head, IFLA_ADDRESS, sizeof(*mac), mac);
	rc = bounded_call(run, &r, sizeof(r), timeout_ms);
	if (rc == -EEXIST)
		(void)snprintf(
			err, VDPA_ERR_SIZE, "the namespace has another interface %s", name ? name : "of that name");
	else if (rc)
		(void)snprintf(err, VDPA_ERR_SIZE, "interface: %s", bounded_why(rc));
	return rc;
}
