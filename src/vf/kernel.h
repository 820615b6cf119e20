// rtnetlink of the guest: representors, which are VLANs of the physical function, and the filters
// of their ingress.
#pragma once

#include "tc_rule.h"

#include <net/if.h>

#define KERNEL_ERR_SIZE 256

struct kernel_reps {
	char pf[IF_NAMESIZE];
	unsigned n_vfs;
	char name[TC_RULE_PORTS][IF_NAMESIZE]; // as ports has them; empty: there is none
	struct tc_rule_ports ports;
};

// The interface whose PCI device can have virtual functions, if there is one. 0, or -1 with err.
int kernel_find_pf(char ret_name[IF_NAMESIZE], char err[KERNEL_ERR_SIZE]);
// Makes them, or takes those that are there. 0, or a negative errno with err: none was made.
int kernel_open_reps(
	struct kernel_reps *reps, const char *pf, unsigned first_vid, unsigned n_vfs, char err[KERNEL_ERR_SIZE]);
void kernel_close_reps(struct kernel_reps *reps);

// A socket on which changes are announced; nonblocking. Or a negative errno.
int kernel_watch(void);
struct kernel_event_fns {
	// A message RTM_NEWTFILTER or RTM_DELTFILTER.
	void (*filter_cb)(void *arg, const void *message, size_t len);
	// The interface has lost its filters; is_gone: and is there no more.
	void (*ingress_gone_cb)(void *arg, uint32_t ifindex, bool is_gone);
	// Its ingress belongs to a block that interfaces share.
	void (*shared_cb)(void *arg, uint32_t ifindex);
	void (*action_cb)(void *arg); // one that filters may share has changed
	void *arg;
};
// All that has been announced. -ENOBUFS: some was lost; or another negative errno.
int kernel_read_events(int fd, const struct kernel_event_fns *fns);
// All filters of an interface's ingress. 0 or a negative errno.
int kernel_dump_filters(uint32_t ifindex, const struct kernel_event_fns *fns);
