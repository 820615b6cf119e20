// A representor's frames carry a tag of the PF, so the kernel's VLAN interfaces are netdevs for
// them, without a driver. The map of priorities keeps the mark of copies (PCP 5) on the way through
// the guest, and back (rtvs/dp_eswitch.h).
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libmnl/libmnl.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define COPY_PCP 5
#define COPY_MARK 0x52545653 // "RTVS", as priority of packets in the kernel
#define REQUEST_SIZE 512
#define REPLY_SIZE 32768 // the kernel sends no more at once
#define EVENTS_BYTES (4 << 20)
#define INGRESS TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)

static int __attribute__((format(printf, 3, 4)))
fail(int rc, char err[KERNEL_ERR_SIZE], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(err, KERNEL_ERR_SIZE, fmt, args);
	va_end(args);
	return rc;
}

int
kernel_find_pf(char ret_name[IF_NAMESIZE], char err[KERNEL_ERR_SIZE])
{
	// Below a virtio interface is its virtio device, and above that the PCI function.
	static const char *const patterns[] = {
		"/sys/class/net/*/device/../sriov_totalvfs", "/sys/class/net/*/device/sriov_totalvfs"};
	unsigned n = 0;

	for (unsigned p = 0; p < 2; p++) {
		glob_t found;

		if (glob(patterns[p], 0, NULL, &found))
			continue;
		for (size_t i = 0; i < found.gl_pathc; i++, n++)
			(void)snprintf(ret_name, IF_NAMESIZE, "%.*s",
				(int)strcspn(found.gl_pathv[i] + strlen("/sys/class/net/"), "/"),
				found.gl_pathv[i] + strlen("/sys/class/net/"));
		globfree(&found);
	}
	if (n == 1)
		return 0;
	return fail(-1, err, "%s interface has virtual functions; name the physical function by --pf",
		n ? "more than one" : "no");
}

// ---- requests

static struct nlmsghdr *
put_link(void *buf, uint16_t type, uint16_t flags, uint32_t ifindex)
{
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *info = mnl_nlmsg_put_extra_header(head, sizeof(*info));

	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | flags;
	head->nlmsg_seq = 1;
	info->ifi_index = (int)ifindex;
	return head;
}

static int
ask(const struct nlmsghdr *head, mnl_cb_t fn_cb, void *arg)
{
	_Alignas(struct nlmsghdr) char buf[REPLY_SIZE];
	struct mnl_socket *s = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int more = s && !mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) ? MNL_CB_OK : MNL_CB_ERROR, rc;

	if (more == MNL_CB_OK && mnl_socket_sendto(s, head, head->nlmsg_len) < 0)
		more = MNL_CB_ERROR;
	while (more == MNL_CB_OK) {
		ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));

		more = n < 0 ? MNL_CB_ERROR :
			       mnl_cb_run(buf, (size_t)n, head->nlmsg_seq, mnl_socket_get_portid(s), fn_cb, arg);
	}
	rc = more == MNL_CB_ERROR ? -errno : 0;
	if (s)
		(void)mnl_socket_close(s);
	return rc;
}

struct vlan {
	uint32_t link; // the interface below
	uint16_t vid;
	bool is_vlan;
};

static int
read_link_cb(const struct nlmsghdr *head, void *arg)
{
	const struct nlattr *attr, *part, *data;
	struct vlan *vlan = arg;

	mnl_attr_for_each(attr, head, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) == IFLA_LINK)
			vlan->link = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) != IFLA_LINKINFO)
			continue;
		mnl_attr_for_each_nested(part, attr)
		{
			if (mnl_attr_get_type(part) == IFLA_INFO_KIND)
				vlan->is_vlan = !strcmp(mnl_attr_get_str(part), "vlan");
			if (mnl_attr_get_type(part) != IFLA_INFO_DATA)
				continue;
			mnl_attr_for_each_nested(data, part)
			{
				if (mnl_attr_get_type(data) == IFLA_VLAN_ID)
					vlan->vid = mnl_attr_get_u16(data);
			}
		}
	}
	return MNL_CB_STOP;
}

static bool
is_rep(uint32_t ifindex, uint32_t pf, unsigned vid)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct vlan vlan = {0};
	int rc = ask(put_link(buf, RTM_GETLINK, 0, ifindex), read_link_cb, &vlan);

	return !rc && vlan.is_vlan && vlan.link == pf && vlan.vid == vid;
}

// ---- representors

static void
put_map(struct nlmsghdr *head, uint16_t type, uint32_t from, uint32_t to)
{
	struct ifla_vlan_qos_mapping map = {.from = from, .to = to};
	struct nlattr *nest = mnl_attr_nest_start(head, type);

	mnl_attr_put(head, IFLA_VLAN_QOS_MAPPING, sizeof(map), &map);
	mnl_attr_nest_end(head, nest);
}

static int
make(const char *name, uint32_t pf, unsigned vid)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct nlmsghdr *head = put_link(buf, RTM_NEWLINK, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, 0);
	struct nlattr *info, *data;

	mnl_attr_put_strz(head, IFLA_IFNAME, name);
	mnl_attr_put_u32(head, IFLA_LINK, pf);
	info = mnl_attr_nest_start(head, IFLA_LINKINFO);
	mnl_attr_put_strz(head, IFLA_INFO_KIND, "vlan");
	data = mnl_attr_nest_start(head, IFLA_INFO_DATA);
	mnl_attr_put_u16(head, IFLA_VLAN_ID, (uint16_t)vid);
	mnl_attr_put_u16(head, IFLA_VLAN_PROTOCOL, htobe16(ETH_P_8021Q));
	put_map(head, IFLA_VLAN_INGRESS_QOS, COPY_PCP, COPY_MARK);
	put_map(head, IFLA_VLAN_EGRESS_QOS, COPY_MARK, COPY_PCP);
	mnl_attr_nest_end(head, data);
	mnl_attr_nest_end(head, info);
	return ask(head, NULL, NULL);
}

static int
set_up(uint32_t ifindex, const char *alias)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct nlmsghdr *head = put_link(buf, RTM_NEWLINK, NLM_F_ACK, ifindex);
	struct ifinfomsg *info = mnl_nlmsg_get_payload(head);

	info->ifi_flags = info->ifi_change = IFF_UP;
	if (alias)
		mnl_attr_put_str(head, IFLA_IFALIAS, alias);
	return ask(head, NULL, NULL);
}

// The switch completes checksums behind one tag; a frame of a representor may have one more.
static int
clear_offloads(const char *name)
{
	static const uint32_t commands[] = {ETHTOOL_STSO, ETHTOOL_STXCSUM};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = fd < 0 ? -errno : 0;

	for (unsigned i = 0; !rc && i < 2; i++) {
		struct ethtool_value value = {.cmd = commands[i]};
		struct ifreq request = {.ifr_data = (char *)&value};

		(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
		if (ioctl(fd, SIOCETHTOOL, &request) && errno != EOPNOTSUPP)
			rc = -errno;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static int
open_rep(struct kernel_reps *reps, unsigned port, uint32_t pf, unsigned vid, char err[KERNEL_ERR_SIZE])
{
	bool is_uplink = port == FLOW_TEXT_UPLINK;
	char *name = reps->name[port], text[2 * IF_NAMESIZE], alias[IF_NAMESIZE];
	uint32_t ifindex;
	int rc;

	if (is_uplink)
		(void)snprintf(text, sizeof(text), "%sup", reps->pf);
	else
		(void)snprintf(text, sizeof(text), "%sr%u", reps->pf, port);
	if (strlen(text) >= IF_NAMESIZE)
		return fail(-ENAMETOOLONG, err, "%s: too long a name for representors behind it", reps->pf);
	memcpy(name, text, strlen(text) + 1);
	(void)snprintf(alias, sizeof(alias), "rep0-%u", port);
	rc = make(name, pf, vid);
	ifindex = if_nametoindex(name);
	if (rc == -EEXIST && ifindex && is_rep(ifindex, pf, vid))
		rc = 0;
	if (rc) {
		rc = fail(rc, err, "representor %s, VLAN %u of %s: %s", name, vid, reps->pf, strerror(-rc));
		name[0] = '\0';
		return rc;
	}
	reps->ports.ifindex[port] = ifindex;
	rc = clear_offloads(name);
	if (!rc)
		rc = set_up(ifindex, is_uplink ? NULL : alias);
	return rc ? fail(rc, err, "representor %s: %s", name, strerror(-rc)) : 0;
}

int
kernel_open_reps(
	struct kernel_reps *reps, const char *pf, unsigned first_vid, unsigned n_vfs, char err[KERNEL_ERR_SIZE])
{
	uint32_t ifindex = if_nametoindex(pf);
	int rc;

	*reps = (struct kernel_reps){.n_vfs = n_vfs};
	(void)snprintf(reps->pf, sizeof(reps->pf), "%s", pf);
	if (!ifindex)
		return fail(-ENODEV, err, "%.60s: there is no such interface", pf);
	rc = set_up(ifindex, NULL);
	if (rc)
		return fail(rc, err, "%.60s: %s", pf, strerror(-rc));
	rc = open_rep(reps, FLOW_TEXT_UPLINK, ifindex, first_vid, err);
	for (unsigned i = 0; !rc && i < n_vfs; i++)
		rc = open_rep(reps, i, ifindex, first_vid + 1 + i, err);
	if (rc)
		kernel_close_reps(reps);
	return rc;
}

void
kernel_close_reps(struct kernel_reps *reps)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];

	for (unsigned i = 0; i < TC_RULE_PORTS; i++)
		if (reps->ports.ifindex[i])
			(void)ask(put_link(buf, RTM_DELLINK, NLM_F_ACK, reps->ports.ifindex[i]), NULL, NULL);
	memset(&reps->ports, 0, sizeof(reps->ports));
}

// ---- events

int
kernel_watch(void)
{
	static const int groups[] = {RTNLGRP_TC, RTNLGRP_LINK};
	struct sockaddr_nl any = {.nl_family = AF_NETLINK};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE), bytes = EVENTS_BYTES, rc;

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	rc = bind(fd, (const struct sockaddr *)&any, sizeof(any)) ? -errno : 0;
	for (unsigned i = 0; !rc && i < 2; i++)
		rc = setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])) ? -errno : 0;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

static void
read_qdisc(const struct nlmsghdr *head, const struct kernel_event_fns *fns)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(head);
	const struct nlattr *attr;

	if (mnl_nlmsg_get_payload_len(head) < sizeof(*tcm) || tcm->tcm_parent != TC_H_INGRESS)
		return;
	if (head->nlmsg_type == RTM_DELQDISC) {
		fns->ingress_gone_cb(fns->arg, (uint32_t)tcm->tcm_ifindex, false);
		return;
	}
	mnl_attr_for_each(attr, head, sizeof(*tcm))
	{
		if (mnl_attr_get_type(attr) == TCA_INGRESS_BLOCK)
			fns->shared_cb(fns->arg, (uint32_t)tcm->tcm_ifindex);
	}
}

static int
read_event_cb(const struct nlmsghdr *head, void *arg)
{
	const struct kernel_event_fns *fns = arg;
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(head);

	switch (head->nlmsg_type) {
	case RTM_NEWTFILTER:
	case RTM_DELTFILTER:
		fns->filter_cb(fns->arg, head, head->nlmsg_len);
		break;
	case RTM_NEWQDISC:
	case RTM_DELQDISC:
		read_qdisc(head, fns);
		break;
	case RTM_NEWACTION:
	case RTM_DELACTION:
		fns->action_cb(fns->arg);
		break;
	case RTM_DELLINK:
		// A bridge says the same of a port that leaves it.
		if (mnl_nlmsg_get_payload_len(head) >= sizeof(*info) && info->ifi_family == AF_UNSPEC)
			fns->ingress_gone_cb(fns->arg, (uint32_t)info->ifi_index, true);
		break;
	}
	return MNL_CB_OK;
}

int
kernel_read_events(int fd, const struct kernel_event_fns *fns)
{
	_Alignas(struct nlmsghdr) static char buf[REPLY_SIZE];

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		(void)mnl_cb_run(buf, (size_t)n, 0, 0, read_event_cb, (void *)fns);
	}
}

int
kernel_dump_filters(uint32_t ifindex, const struct kernel_event_fns *fns)
{
	_Alignas(struct nlmsghdr) char buf[REQUEST_SIZE];
	struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
	struct tcmsg *tcm = mnl_nlmsg_put_extra_header(head, sizeof(*tcm));
	int rc;

	head->nlmsg_type = RTM_GETTFILTER;
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	head->nlmsg_seq = 1;
	tcm->tcm_ifindex = (int)ifindex;
	tcm->tcm_parent = INGRESS;
	rc = ask(head, read_event_cb, (void *)fns);
	// There is no qdisc, or no interface: no filters.
	return rc == -EINVAL || rc == -ENOENT || rc == -ENODEV ? 0 : rc;
}
