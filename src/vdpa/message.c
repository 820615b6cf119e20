// libmnl lays out and checks messages and attributes; here is what they mean. Every request asks
// for an acknowledgement, which ends its answer.
#include "message.h"

#include "bus.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/vdpa.h>
#include <linux/virtio_net.h>
#include <stdio.h>
#include <string.h>

static struct nlmsghdr *
put_header(void *buf, uint32_t seq, uint16_t family, uint8_t cmd, uint8_t version)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct genlmsghdr *genl = mnl_nlmsg_put_extra_header(head, sizeof(*genl));

	head->nlmsg_type = family;
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	head->nlmsg_seq = seq;
	genl->cmd = cmd;
	genl->version = version;
	return head;
}

size_t
message_get_family(void *buf, uint32_t seq)
{
	struct nlmsghdr *head = put_header(buf, seq, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);

	mnl_attr_put_strz(head, CTRL_ATTR_FAMILY_NAME, VDPA_GENL_NAME);
	return head->nlmsg_len;
}

size_t
message_dev(void *buf, uint32_t seq, uint16_t family, uint8_t cmd, const char *name, const char *mgmtdev)
{
	struct nlmsghdr *head = put_header(buf, seq, family, cmd, VDPA_GENL_VERSION);

	mnl_attr_put_strz(head, VDPA_ATTR_DEV_NAME, name);
	if (mgmtdev)
		mnl_attr_put_strz(head, VDPA_ATTR_MGMTDEV_DEV_NAME, mgmtdev);
	return head->nlmsg_len;
}

static int
read_family_cb(const struct nlattr *attr, void *ctx)
{
	struct message_answer *answer = ctx;

	if (mnl_attr_get_type(attr) != CTRL_ATTR_FAMILY_ID)
		return MNL_CB_OK;
	if (mnl_attr_validate(attr, MNL_TYPE_U16))
		return MNL_CB_ERROR;
	answer->family = mnl_attr_get_u16(attr);
	return MNL_CB_OK;
}

static int
read_dev_cb(const struct nlattr *attr, void *ctx)
{
	// In the order of the cases below.
	static const struct {
		uint16_t type;
		enum mnl_attr_data_type is;
		size_t len;
	} known[] = {{VDPA_ATTR_MGMTDEV_DEV_NAME, MNL_TYPE_NUL_STRING, 0}, {VDPA_ATTR_DEV_MAX_VQS, MNL_TYPE_U32, 4},
		{VDPA_ATTR_DEV_NET_CFG_MACADDR, MNL_TYPE_BINARY, 6}, {VDPA_ATTR_DEV_NET_CFG_MTU, MNL_TYPE_U16, 2},
		{VDPA_ATTR_DEV_NET_STATUS, MNL_TYPE_U16, 2}};
	struct vdpa_dev *dev = &((struct message_answer *)ctx)->dev;

	for (unsigned i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (mnl_attr_get_type(attr) == known[i].type &&
			(mnl_attr_validate(attr, known[i].is) || mnl_attr_get_payload_len(attr) < known[i].len))
			return MNL_CB_ERROR;
	switch (mnl_attr_get_type(attr)) {
	case VDPA_ATTR_MGMTDEV_DEV_NAME:
		(void)snprintf(dev->mgmtdev, sizeof(dev->mgmtdev), "%s", mnl_attr_get_str(attr));
		break;
	case VDPA_ATTR_DEV_MAX_VQS:
		dev->n_queues = mnl_attr_get_u32(attr);
		break;
	case VDPA_ATTR_DEV_NET_CFG_MACADDR:
		dev->has_mac = true;
		memcpy(&dev->mac, mnl_attr_get_payload(attr), sizeof(dev->mac));
		break;
	case VDPA_ATTR_DEV_NET_CFG_MTU:
		dev->mtu = mnl_attr_get_u16(attr);
		break;
	case VDPA_ATTR_DEV_NET_STATUS:
		dev->has_link = true;
		dev->is_link_up = mnl_attr_get_u16(attr) & VIRTIO_NET_S_LINK_UP;
		break;
	}
	return MNL_CB_OK;
}

static int
read_text_cb(const struct nlattr *attr, void *ctx)
{
	struct message_answer *answer = ctx;

	if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG && !mnl_attr_validate(attr, MNL_TYPE_NUL_STRING))
		(void)snprintf(answer->text, sizeof(answer->text), "%s", mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

// The acknowledgement. A refusal has the request behind it, or its header alone, and then the text.
static int
read_end(const struct nlmsghdr *head, struct message_answer *answer)
{
	const struct nlmsgerr *end = mnl_nlmsg_get_payload(head);
	size_t offset = sizeof(*end);

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*end) || end->error > 0)
		return -EBADMSG;
	if (!(head->nlmsg_flags & NLM_F_CAPPED) && end->msg.nlmsg_len >= NLMSG_HDRLEN)
		offset += end->msg.nlmsg_len - NLMSG_HDRLEN;
	if (end->error && (head->nlmsg_flags & NLM_F_ACK_TLVS) && offset <= mnl_nlmsg_get_payload_len(head))
		(void)mnl_attr_parse(head, (unsigned)offset, read_text_cb, answer);
	return end->error;
}

int
message_read(const void *buf, size_t len, uint32_t seq, struct message_answer *answer)
{
	const struct nlmsghdr *head = buf;

	for (int left = (int)len; mnl_nlmsg_ok(head, left); head = mnl_nlmsg_next(head, &left)) {
		bool is_family = head->nlmsg_type == GENL_ID_CTRL;

		if (head->nlmsg_seq != seq)
			continue;
		if (head->nlmsg_type == NLMSG_ERROR)
			return read_end(head, answer);
		if (mnl_nlmsg_get_payload_len(head) < sizeof(struct genlmsghdr) ||
			mnl_attr_parse(head, sizeof(struct genlmsghdr), is_family ? read_family_cb : read_dev_cb,
				answer) != MNL_CB_OK)
			return -EBADMSG;
	}
	return 1;
}

void
message_describe(int rc, const struct message_answer *answer, uint8_t cmd, const char *name, const char *mgmtdev,
	char err[VDPA_ERR_SIZE])
{
	if (rc == -EPERM)
		(void)snprintf(err, VDPA_ERR_SIZE, "no permission for vDPA devices: needs root, or CAP_NET_ADMIN");
	else if (rc == -ENOENT && !answer->family)
		(void)snprintf(err, VDPA_ERR_SIZE, "the kernel has no vDPA: modprobe vdpa");
	else if (rc == -ENODEV && cmd == VDPA_CMD_DEV_NEW)
		(void)snprintf(err, VDPA_ERR_SIZE, "the kernel has no management device %.99s: modprobe %.99s", mgmtdev,
			mgmtdev);
	else if (rc == -ENODEV)
		(void)snprintf(err, VDPA_ERR_SIZE, "there is no vDPA device %s", name);
	else if (rc == -EBUSY && cmd == VDPA_CMD_DEV_DEL)
		(void)snprintf(err, VDPA_ERR_SIZE, BUS_IN_USE, name);
	else if (rc == -EEXIST)
		(void)snprintf(err, VDPA_ERR_SIZE, "there is a vDPA device %s already", name);
	else if (rc == -EINVAL && cmd == VDPA_CMD_DEV_NEW && !answer->text[0])
		(void)snprintf(err, VDPA_ERR_SIZE, "%.99s has no device %s that is ready", mgmtdev, name);
	else
		(void)snprintf(err, VDPA_ERR_SIZE, "the kernel refuses it: %s",
			answer->text[0] ? answer->text : strerror(-rc));
}
